"""Which documents lack a field, hold a value that does not fit, share a key, or refer to nothing. Pure.

Plain conditions look into arrays (`{"tags": null}` takes `[null]` too), so what is asked here is asked by `$expr` and
`$jsonSchema`, which take a value as a whole: https://www.mongodb.com/docs/manual/reference/operator/query/jsonSchema/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dbkit.spec import FieldSpec
from dbkit.values import Kind, ValueType

from ..rows import MONGODB as CODEC
from ..schema import _BSON_TYPES, Index, _value_schema
from .steps import Document

__all__ = [
    "bson_types",
    "counted",
    "duplicates",
    "lacking",
    "misfits",
    "of_types",
    "orphans",
    "out_of_bounds",
    "value_schema",
]

ALL_BSON_TYPES = frozenset(_BSON_TYPES.values())


def value_schema(type: ValueType) -> Document:
    """Return the `$jsonSchema` of a field's values, as the entity's validator has it."""
    return _value_schema(type)


def bson_types(schema: Mapping[str, Any] | None) -> list[str]:
    """Return the BSON types that a property allows, without null; all that dbkit knows where it does not say."""
    stated = (schema or {}).get("bsonType")
    if stated is None:
        return sorted(ALL_BSON_TYPES)
    names = [stated] if isinstance(stated, str) else list(stated)
    return [name for name in names if name != "null"]


def lacking(key: str, *, or_null: bool) -> Document:
    """Take the documents without the field; *or_null*: or with null in it."""
    if not or_null:
        return {key: {"$exists": False}}
    # What is missing sorts before null, and only the least key of all before that.
    return {"$expr": {"$lte": [f"${key}", None]}}


def of_types(key: str, types: Iterable[str]) -> Document:
    """Take the documents whose value is of one of these BSON types."""
    return {"$expr": {"$in": [{"$type": f"${key}"}, list(types)]}}


def misfits(key: str, schema: Mapping[str, Any]) -> Document:
    """Take the documents that have a value there, other than null, that the schema would refuse."""
    known = {name: rule for name, rule in schema.items() if name != "description"}
    return {
        "$and": [
            {"$expr": {"$gt": [f"${key}", None]}},
            {"$nor": [{"$jsonSchema": {"properties": {key: known}}}]},
        ]
    }


def out_of_bounds(key: str, type: ValueType) -> Document | None:
    """Take the documents whose value has the right BSON type and yet is not what the field allows; None where all is."""
    place, said = f"${key}", list[Any]()
    if type.choices is not None:
        known = [CODEC.encode(ValueType(type.kind), choice) for choice in type.choices]
        said.append({"$not": [{"$in": [place, known]}]})
    elif type.kind in {Kind.INT, Kind.DECIMAL, Kind.FLOAT}:
        low, high = (CODEC.encode(type, bound) for bound in type.bounds)
        said += [{"$lt": [place, low]}, {"$gt": [place, high]}]
    elif type.max_length is not None:
        length = {Kind.TEXT: "$strLenCP", Kind.BYTES: "$binarySize", Kind.LIST: "$size"}[type.kind]
        said.append({"$gt": [{length: place}, type.max_length]})
    if not said:
        return None
    # `$cond` looks at the value only where it has the type; `$and` promises no order.
    is_such = {"$eq": [{"$type": place}, _BSON_TYPES[type.kind]]}
    return {"$expr": {"$cond": [is_such, {"$or": said}, False]}}


def counted(filter: Document, *, least: int = 1) -> list[Document]:
    """Return the pipeline that counts what *filter* takes, and gives nothing below *least*."""
    return [{"$match": filter}, {"$count": "n"}, {"$match": {"n": {"$gte": least}}}]


def duplicates(index: Index) -> list[Document]:
    """Return the pipeline that counts the documents that share a key (`n`), as the unique index allows none."""
    within = [{"$match": dict(index.partial)}] if index.partial else []
    # An index holds null for what is missing.
    key = {f"k{i}": {"$ifNull": [f"${name}", None]} for i, name in enumerate(index.keys)}
    return [
        *within,
        {"$group": {"_id": key, "n": {"$sum": 1}}},
        {"$match": {"n": {"$gt": 1}}},
        {"$group": {"_id": None, "n": {"$sum": "$n"}}},
    ]


def orphans(field: FieldSpec, key: str) -> list[Document]:
    """Return the pipeline that counts the documents whose parent is not there."""
    assert field.reference is not None
    # By localField and foreignField, which use the parents' `_id` index; an equality in `$expr` would scan.
    parents = {
        "from": field.reference.target.stored,
        "localField": key,
        "foreignField": "_id",
        "as": "_dbkit_parent",
    }
    return [
        {"$match": {key: {"$ne": None}}},
        {"$lookup": parents},
        {"$match": {"_dbkit_parent": {"$size": 0}}},
        {"$count": "n"},
    ]
