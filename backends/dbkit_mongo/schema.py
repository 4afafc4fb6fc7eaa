"""Collections as the entities declare them: validators, indexes, and what differs. Pure.

The declared fields are kept in a `$jsonSchema` validator, so the server itself refuses a document that does not fit, and
drift can be read from it: https://www.mongodb.com/docs/manual/core/schema-validation/specify-json-schema/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from bson.binary import UUID_SUBTYPE, Binary
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId

from dbkit.errors import ConfigurationError
from dbkit.spec import EntitySpec, FieldSpec, Schema
from dbkit.values import INT_MIN, Kind, ValueType

from . import guards
from .compile import JOINED
from .rows import key_of

__all__ = [
    "Collection",
    "Index",
    "check_names",
    "collection_of",
    "collections_of",
    "index_differences",
    "meaning_of",
    "validator_differences",
]


@dataclass(frozen=True, slots=True)
class Index:
    """An index as it shall be."""

    name: str
    keys: tuple[str, ...]
    unique: bool = False
    partial: Mapping[str, Any] | None = field(default=None, hash=False)
    ttl_s: int | None = None

    @property
    def options(self) -> dict[str, Any]:
        """The options of `createIndexes`."""
        options: dict[str, Any] = {"name": self.name}
        if self.unique:
            options["unique"] = True
        if self.partial is not None:
            options["partialFilterExpression"] = dict(self.partial)
        if self.ttl_s is not None:
            options["expireAfterSeconds"] = self.ttl_s
        return options


@dataclass(frozen=True, slots=True, eq=False)
class Collection:
    """A collection as it shall be."""

    name: str
    entity: EntitySpec | None
    validator: dict[str, Any]
    indexes: tuple[Index, ...]


def check_names(schema: Schema) -> None:
    """Refuse fields that a pipeline's own names would hide."""
    for entity in schema:
        for column in entity.columns:
            if column.stored.startswith(JOINED) or (column.stored == "_id" and column.name != "id"):
                raise ConfigurationError(
                    f"{entity.name}.{column.name} is stored as {column.stored!r}, a name that dbkit keeps for itself",
                    entity=entity.name,
                    field=column.name,
                    hint='field(stored_as="…")',
                )


def collection_of(entity: EntitySpec) -> Collection:
    """Return an entity's own collection."""
    validator = {"$jsonSchema": _document_schema(entity.columns, key_of, entity.name)}
    return Collection(entity.stored, entity, validator, tuple(_indexes(entity)))


def collections_of(schema: Schema) -> list[Collection]:
    """Return what the schema needs and dbkit makes; parents first, the guards last."""
    made = [collection_of(e) for e in schema.parents_first() if e.managed]
    if any(schema.children(e) for e in schema):
        ttl = Index(f"index_{guards.STAMP}", (guards.STAMP,), ttl_s=guards.TTL_S)
        made.append(Collection(guards.COLLECTION, None, {}, (ttl,)))
    return made


# -- validators ----------------------------------------------------------------------------------------------------------

_BSON_TYPES = {
    Kind.UUID: "binData",
    Kind.OBJECT_ID: "objectId",
    Kind.TEXT: "string",
    Kind.INT: "long",
    Kind.FLOAT: "double",
    Kind.DECIMAL: "decimal",
    Kind.BOOL: "bool",
    Kind.DATETIME: "date",
    Kind.DATE: "long",
    Kind.TIME: "long",
    Kind.TIMEDELTA: "long",
    Kind.BYTES: "binData",
    Kind.MODEL: "object",
    Kind.DICT: "object",
    Kind.LIST: "array",
}


def _stored(field: FieldSpec) -> str:
    return field.stored


def _document_schema(
    columns: Iterable[FieldSpec], key: Callable[[FieldSpec], str], title: str | None
) -> dict[str, Any]:
    fields = list(columns)
    schema: dict[str, Any] = {"bsonType": "object"}
    if title is not None:
        schema["title"] = f"dbkit entity {title}"
    required = [key(f) for f in fields if not f.type.nullable]
    if required:
        schema["required"] = required
    schema["properties"] = {key(f): _value_schema(f.type) for f in fields}
    return schema


def _value_schema(type: ValueType) -> dict[str, Any]:
    if type.kind is Kind.JSON:
        return {}
    schema: dict[str, Any] = {}
    if type.kind is Kind.MODEL:
        assert type.model is not None
        schema = _document_schema(type.model.fields, _stored, None)
    elif type.kind is Kind.LIST:
        assert type.element is not None
        items = _value_schema(type.element)
        schema = {"items": items} if items else {}
    name = _BSON_TYPES[type.kind]
    schema["bsonType"] = [name, "null"] if type.nullable else name
    meaning = meaning_of(type)
    if meaning != name:
        schema["description"] = meaning
    return schema


def meaning_of(type: ValueType) -> str:
    """Return what the BSON type does not say of the values: read by another declaration they would mean something else."""
    if type.kind is Kind.DECIMAL:
        return f"decimal with {type.decimal_places} places"
    return _MEANINGS.get(type.kind, _BSON_TYPES[type.kind])


_MEANINGS = {
    Kind.UUID: "UUID",
    Kind.DATE: "date, in days since 1970-01-01",
    Kind.TIME: "time, in microseconds since midnight",
    Kind.TIMEDELTA: "duration, in microseconds",
}


def validator_differences(wanted: Mapping[str, Any], found: Mapping[str, Any] | None) -> list[str]:
    """Return how the stored validator differs from the declared fields, in words; empty where it does not."""
    known = None if found is None else found.get("$jsonSchema")
    if known is None:
        return ["it has no $jsonSchema validator, so dbkit did not make it"]
    return list(_compare(cast("Mapping[str, Any]", wanted["$jsonSchema"]), known, ""))


def _compare(wanted: Mapping[str, Any], found: Mapping[str, Any], path: str) -> Iterable[str]:
    declared, there = wanted.get("properties", {}), found.get("properties", {})
    for key in declared.keys() - there.keys():
        yield f"it lacks the field {path}{key}"
    for key in there.keys() - declared.keys():
        yield f"it has the field {path}{key}, which is not declared"
    for key in declared.keys() & there.keys():
        ours, theirs = _types(declared[key]), _types(there[key])
        if ours != theirs:
            yield f"{path}{key} is {_words(theirs)} there and {_words(ours)} here"
        yield from _compare(declared[key], there[key], f"{path}{key}.")
        yield from _compare(declared[key].get("items", {}), there[key].get("items", {}), f"{path}{key}.")
    required, is_required = set(wanted.get("required", ())), set(found.get("required", ()))
    for key in sorted((required ^ is_required) & declared.keys() & there.keys()):
        yield f"{path}{key} is {'required' if key in is_required else 'not required'} there"


def _types(schema: Mapping[str, Any]) -> frozenset[str]:
    types = schema.get("bsonType", ())
    own = [types] if isinstance(types, str) else list(types)
    own += [f"({schema['description']})"] if "description" in schema else []
    own += [f"of {t}" for t in _types(schema["items"])] if "items" in schema else []
    return frozenset(own)


def _words(types: frozenset[str]) -> str:
    return " or ".join(sorted(types)) or "anything"


# -- indexes -------------------------------------------------------------------------------------------------------------

_MINIMA: dict[Kind, Any] = {
    Kind.UUID: Binary(bytes(16), UUID_SUBTYPE),
    Kind.OBJECT_ID: ObjectId(bytes(12)),
    Kind.TEXT: "",
    Kind.INT: Int64(INT_MIN),
    Kind.FLOAT: float("-inf"),
    Kind.DECIMAL: Decimal128("-Infinity"),
    Kind.BOOL: False,
    # Without a zone, as PyMongo gives an index's condition back: with one it would equal nothing that is read.
    Kind.DATETIME: datetime(1, 1, 1),  # noqa: DTZ001
    Kind.DATE: Int64(INT_MIN),
    Kind.TIME: Int64(INT_MIN),
    Kind.TIMEDELTA: Int64(INT_MIN),
    Kind.BYTES: Binary(b"", 0),
}


def _indexes(entity: EntitySpec) -> Iterable[Index]:
    """Return the entity's indexes; none twice."""
    made: dict[tuple[str, ...], Index] = {}
    for key in entity.uniques:
        keys = tuple(key_of(f) for f in key.fields)
        # Null never conflicts: only documents without a null in the key are in the index. By type bracketing `>=` the
        # type's minimum takes all values of the type; an equality on the field implies it, so the index serves that.
        # https://www.mongodb.com/docs/manual/core/index-partial/
        partial = {key_of(f): {"$gte": _MINIMA[f.type.kind]} for f in key.fields if f.type.nullable}
        made[keys] = Index(f"unique_{'__'.join(keys)}", keys, unique=True, partial=partial or None)
    plain = [tuple(key_of(f) for f in index.fields) for index in entity.indexes]
    served = {keys[0] for keys in plain} | {keys[0] for keys, index in made.items() if index.partial is None}
    # Deleting a parent looks for its children, and so do relations and any_related.
    plain += [(key_of(f),) for f in entity.references if key_of(f) not in served]
    for keys in plain:
        # The id at the end gives the total order, and pages that start anywhere.
        full = keys if "_id" in keys else (*keys, "_id")
        made.setdefault(full, Index(f"index_{'__'.join(full)}", full))
    return made.values()


def index_differences(index: Index, found: Iterable[Mapping[str, Any]]) -> list[str] | None:
    """Return how the index on the same keys differs, in words; None where there is none, empty where it is right."""
    keys = [(key, 1) for key in index.keys]
    same = [f for f in found if list(f["key"].items()) == keys]
    if not same:
        return None
    for there in same:
        partial = there.get("partialFilterExpression")
        is_partial = None if partial is None else dict(partial)
        if bool(there.get("unique")) == index.unique and is_partial == index.partial:
            return []
    shown = ", ".join(index.keys)
    if bool(same[0].get("unique")) != index.unique:
        return [f"its index on {shown} is {'not ' if index.unique else ''}unique there"]
    return [f"its index on {shown} covers other documents there (partialFilterExpression)"]
