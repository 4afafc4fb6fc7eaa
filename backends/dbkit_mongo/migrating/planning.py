"""From an operation and what is there to the steps that remain. Pure.

The order inside an operation lets a program go on meanwhile as far as it can: a validator is relaxed before documents
change and made strict after them, uniqueness is asked about before its index is built. Rewritings pass over validation
(they write what fits, and what else is in a document is not their business).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dbkit.answers import no_table, not_unique
from dbkit.errors import (
    DbkitError,
    InvalidInput,
    ReferenceViolation,
    SchemaDrift,
    StoredDataInvalid,
)
from dbkit.migrations.operations import (
    AddField,
    AddIndex,
    AddReference,
    AddUnique,
    CreateCollection,
    DropCollection,
    DropField,
    DropIndex,
    DropReference,
    DropUnique,
    Operation,
    SetValidator,
)
from dbkit.spec import EntitySpec, FieldSpec, IndexSpec, ReadSpec, UniqueKey
from dbkit.values import casefold_key, check_value

from .. import guards
from ..reads import Shape
from ..rows import MONGODB as CODEC
from ..rows import key_of
from ..schema import _MINIMA, Index, _document_schema, _indexes, validator_differences
from .conditions import counted, duplicates, lacking, misfits, orphans, value_schema
from .drafts import NOT_FOUND, Draft, mentions
from .steps import Check, Command, Document, Rewrite, Step, Transform

__all__ = ["SHADOW", "Look", "checked", "documents", "plain_index", "plan", "there", "unique_index"]

Look = Callable[[str], Draft]
"""Gives a collection as it is."""

SHADOW = "__casefold"
"""What the key of a casefold shadow ends with."""
NAMESPACE_EXISTS = frozenset({48})


def plan(operation: Operation, look: Look) -> list[Step]:
    """Return the steps of an operation that needs no notes."""
    made: list[Step] = _PLANNERS[type(operation)](operation, look)
    return made


# -- collections -----------------------------------------------------------------------------------------------------------


def document_schema(entity: EntitySpec) -> Document:
    """Return the `$jsonSchema` of the entity's documents."""
    return _document_schema(entity.columns, key_of, entity.name)


def guards_steps(fields: Iterable[FieldSpec], look: Look) -> list[Step]:
    """Return what makes the guards' collection, where one of *fields* is a checked reference."""
    if not any(f.reference is not None and f.reference.check for f in fields):
        return []
    draft = look(guards.COLLECTION)
    if not draft.exists:
        draft.steps.append(Command({"create": guards.COLLECTION}, settled_by=NAMESPACE_EXISTS))
    draft.add_index(Index(f"index_{guards.STAMP}", (guards.STAMP,), ttl_s=guards.TTL_S))
    return draft.steps


def _create(operation: CreateCollection, look: Look) -> list[Step]:
    entity = operation.entity
    draft, schema = look(entity.stored), document_schema(entity)
    if not draft.exists:
        command = {"create": entity.stored, "validator": {"$jsonSchema": schema}}
        draft.steps.append(Command(command, settled_by=NAMESPACE_EXISTS))
    else:
        found = None if draft.schema is None else {"$jsonSchema": draft.schema}
        differences = validator_differences({"$jsonSchema": schema}, found)
        if differences:
            raise SchemaDrift(
                f"the collection {entity.stored!r} is there already and not as declared: {'; '.join(differences)}",
                entity=entity.name,
                hint="drop it, or change it by other operations",
            )
    for index in _indexes(entity):
        draft.add_index(index)
    return draft.steps + guards_steps(entity.fields, look)


def _drop(operation: DropCollection, look: Look) -> list[Step]:
    stored = operation.stored
    steps: list[Step] = []
    if look(stored).exists:
        steps.append(Command({"drop": stored}, settled_by=NOT_FOUND))
    return steps + without_guards(stored, look)


def without_guards(stored: str, look: Look) -> list[Step]:
    """Return what removes a collection's guards: new ones come into being with the first reference."""
    if not look(guards.COLLECTION).exists:
        return []
    gone: Document = {"q": {"_id.of": stored}, "limit": 0}
    return [Command({"delete": guards.COLLECTION, "deletes": [gone]})]


def _set_validator(operation: SetValidator, look: Look) -> list[Step]:
    draft = there(operation.entity.stored, look)
    draft.replace(document_schema(operation.entity))
    draft.modify()
    return draft.steps


def no_collection(stored: str) -> DbkitError:
    """The collection that an operation is about is not there."""
    error = no_table(stored)
    error.hint = "create it first, or correct the name"
    return error


def there(stored: str, look: Look) -> Draft:
    """Return the collection, which must be there."""
    draft = look(stored)
    if not draft.exists:
        raise no_collection(stored)
    return draft


# -- fields ----------------------------------------------------------------------------------------------------------------


def _add_field(operation: AddField, look: Look) -> list[Step]:
    entity, field = operation.entity, operation.field
    draft = there(entity.stored, look)
    key, shadow = key_of(field), entity.shadow(field.name)
    schema, is_required = value_schema(field.type), not field.type.nullable
    gaps = lacking(key, or_null=is_required)
    if operation.fill is None and operation.default is None and is_required:
        draft.steps.append(Check(entity.stored, counted(gaps), _nothing_to_fill(entity, field)))
    strange = misfits(key, schema)
    draft.steps.append(
        Check(entity.stored, counted(strange), _strange(entity, field, "another value already"))
    )
    alone = [u for u in entity.uniques if u.names == (field.name,)]
    if alone and operation.fill is None and operation.default is not None:
        draft.steps.append(Check(entity.stored, counted(gaps, least=2), _duplicated(entity, (field.name,))))
    if draft.properties.get(key, schema) != schema:
        raise SchemaDrift(
            f"{entity.name} has a field {key!r} already, of another type",
            entity=entity.name,
            field=field.name,
            hint="retype or drop it",
        )
    if key not in draft.properties:
        draft.declare(key, schema, required=False)
        if shadow is not None:
            draft.declare(key_of(shadow), value_schema(shadow.type), required=False)
        draft.modify()
    fill = _filling(operation, gaps)
    draft.steps.append(fill)
    draft.declare(key, schema, required=is_required)
    if shadow is not None:
        draft.declare(key_of(shadow), value_schema(shadow.type), required=is_required)
    if is_required:
        draft.modify()
        # What an older program stored in between.
        draft.steps.append(fill)
    undo = draft.without(key, *([] if shadow is None else [key_of(shadow)]))
    for unique in alone:
        _ask_unique(draft, entity, unique, undo)
    if field.reference is not None and field.reference.check:
        draft.steps.append(Check(entity.stored, orphans(field, key), _orphaned(entity, field), undo))
    for unique in alone:
        draft.add_index(unique_index(unique))
    draft.settle(entity, [field], makes_declared=True)
    return draft.steps + guards_steps([field], look)


def _filling(operation: AddField, gaps: Document) -> Step:
    entity, field = operation.entity, operation.field
    if operation.fill is not None:
        return Transform(
            entity.stored,
            gaps,
            _filler(operation, gaps),
            {"$set": {key_of(field): "what the migration's function gives"}},
        )
    return Rewrite(entity.stored, gaps, {"$set": _values(entity, field, operation.default)})


def _values(entity: EntitySpec, field: FieldSpec, value: Any) -> Document:
    """Return what a document has for the field's canonical value: itself and its shadow."""
    values = {key_of(field): CODEC.encode(field.type, value)}
    shadow = entity.shadow(field.name)
    if shadow is not None:
        values[key_of(shadow)] = None if value is None else casefold_key(value)
    return values


def _filler(
    operation: AddField, gaps: Document
) -> Callable[[list[Document]], list[tuple[Document, Document]]]:
    entity, field, fill = operation.entity, operation.field, operation.fill
    assert fill is not None
    key = key_of(field)
    stands_in = operation.default is not None or field.type.nullable
    read = entity.read
    if not stands_in:
        # The function sees an instance without the field.
        others = tuple(o for o in read.outputs if o.path.field is not field)
        read = ReadSpec(read.model, entity, others)
    shape, default = Shape(read, CODEC), CODEC.encode(field.type, operation.default)

    def change(documents: list[Document]) -> list[tuple[Document, Document]]:
        rows = [{**document, key: default} for document in documents] if stands_in else documents
        made: list[tuple[Document, Document]] = []
        for document, instance in zip(documents, shape.instances(rows), strict=True):
            value = checked(entity, field, fill(instance), "add_field")
            update = {"$set": _values(entity, field, value)}
            # What a program stored meanwhile stays.
            made.append(({"$and": [{"_id": document["_id"]}, gaps]}, update))
        return made

    return change


def checked(entity: EntitySpec, field: FieldSpec, value: Any, operation: str) -> Any:
    """Return what a migration's function gave in canonical form.

    Raises:
        InvalidInput: it does not fit the field.
    """
    return check_value(field.type.literal, value, entity=entity.name, field=field.name, operation=operation)


def _drop_field(operation: DropField, look: Look) -> list[Step]:
    stored = operation.stored
    if stored in {"_id", "id"}:
        raise InvalidInput("an id cannot be dropped", field="id", operation="drop_field")
    draft = there(operation.collection, look)
    keys = (stored, stored + SHADOW)
    for key in keys:
        draft.forget(key)
    draft.modify()
    draft.remove(lambda spec: mentions(spec, keys))
    gone = {"$or": [{key: {"$exists": True}} for key in keys]}
    draft.steps.append(Rewrite(draft.name, gone, {"$unset": dict.fromkeys(keys, "")}))
    return draft.steps


# -- keys ------------------------------------------------------------------------------------------------------------------


def unique_index(key: UniqueKey) -> Index:
    """Return the index that keeps a unique key."""
    keys = tuple(key_of(f) for f in key.fields)
    partial = {key_of(f): {"$gte": _MINIMA[f.type.kind]} for f in key.fields if f.type.nullable}
    return Index(f"unique_{'__'.join(keys)}", keys, unique=True, partial=partial or None)


def _ask_unique(draft: Draft, entity: EntitySpec, key: UniqueKey, undo: tuple[Step, ...] = ()) -> None:
    """Plan the question about duplicates."""
    found = duplicates(unique_index(key))
    draft.steps.append(Check(draft.name, found, _duplicated(entity, key.names), undo))


def _shadow_of(key: UniqueKey) -> FieldSpec | None:
    return next((f for f in key.fields if f.shadow_of is not None), None)


def _add_unique(operation: AddUnique, look: Look) -> list[Step]:
    entity, key = operation.entity, operation.key
    draft = there(entity.stored, look)
    shadow = _shadow_of(key)
    if shadow is not None:
        assert shadow.shadow_of is not None
        schema, name = value_schema(shadow.type), key_of(shadow)
        fill = _folding(entity, entity.by_name[shadow.shadow_of], shadow)
        if name not in draft.properties:
            draft.declare(name, schema, required=False)
            draft.modify()
        draft.steps.append(fill)
        _ask_unique(draft, entity, key, draft.without(name))
        draft.declare(name, schema, required=not shadow.type.nullable)
        draft.modify()
        draft.steps.append(fill)
    _ask_unique(draft, entity, key)
    draft.add_index(unique_index(key))
    draft.settle(entity, key.fields)
    return draft.steps


def _folding(entity: EntitySpec, field: FieldSpec, shadow: FieldSpec) -> Transform:
    """Return what gives every document its shadow, also where one is stale: an older program does not know it."""
    source, target = key_of(field), key_of(shadow)

    def change(documents: list[Document]) -> list[tuple[Document, Document]]:
        made: list[tuple[Document, Document]] = []
        for document in documents:
            value = document.get(source)
            if value is not None and not isinstance(value, str):
                raise StoredDataInvalid(
                    f"a stored {entity.name}.{field.name} is no text", entity=entity.name, field=field.name
                )
            folded = None if value is None else casefold_key(value)
            if target not in document or document[target] != folded:
                made.append(({"_id": document["_id"], source: value}, {"$set": {target: folded}}))
        return made

    shown = {"$set": {target: f"{source} without case"}}
    return Transform(entity.stored, {}, change, shown, (source, target))


def _drop_unique(operation: DropUnique, look: Look) -> list[Step]:
    entity, key = operation.entity, operation.key
    draft = there(entity.stored, look)
    shadow = _shadow_of(key)
    keys = tuple(key_of(f) for f in key.fields)
    gone: list[Step] = []
    if shadow is not None:
        name = key_of(shadow)
        draft.forget(name)
        draft.modify()
        gone = [Rewrite(draft.name, {name: {"$exists": True}}, {"$unset": {name: ""}})]
    draft.remove(lambda spec: bool(spec.get("unique")) and tuple(spec["key"]) == keys)
    draft.settle(entity, key.fields)
    return draft.steps + gone


def plain_index(index: IndexSpec) -> Index:
    """Return the index as `create_schema` makes it: the id at its end gives a total order."""
    keys = tuple(key_of(f) for f in index.fields)
    full = keys if "_id" in keys else (*keys, "_id")
    return Index(f"index_{'__'.join(full)}", full)


def _add_index(operation: AddIndex, look: Look) -> list[Step]:
    draft = there(operation.entity.stored, look)
    draft.add_index(plain_index(operation.index))
    if len(operation.index.fields) > 1:
        draft.settle(operation.entity, operation.index.fields[:1])
    return draft.steps


def _drop_index(operation: DropIndex, look: Look) -> list[Step]:
    entity, fields = operation.entity, operation.index.fields
    draft = there(entity.stored, look)
    keys = plain_index(operation.index).keys
    alone = fields[0] if len(fields) == 1 else None
    if alone is not None and alone.reference is not None:
        # The reference goes on needing one.
        is_served = any(
            next(iter(spec["key"])) == keys[0]
            and tuple(spec["key"]) != keys
            and "partialFilterExpression" not in spec
            for spec in draft.indexes
        )
        if not is_served:
            return []
    draft.remove(lambda spec: not spec.get("unique") and tuple(spec["key"]) == keys)
    if alone is None:
        draft.settle(entity, fields[:1])
    return draft.steps


# -- references ------------------------------------------------------------------------------------------------------------


def _add_reference(operation: AddReference, look: Look) -> list[Step]:
    # They live in the programs: what a database has of them is an index, and guards.
    entity, field = operation.entity, operation.field
    draft = there(entity.stored, look)
    if field.reference is not None and field.reference.check:
        draft.steps.append(Check(entity.stored, orphans(field, key_of(field)), _orphaned(entity, field)))
    draft.settle(entity, [field], makes_declared=True)
    return draft.steps + guards_steps([field], look)


def _drop_reference(operation: DropReference, look: Look) -> list[Step]:
    draft = there(operation.entity.stored, look)
    draft.settle(operation.entity, [operation.field], refers=False)
    return draft.steps


# -- refusals --------------------------------------------------------------------------------------------------------------

Refusal = Callable[[Document], DbkitError]


def documents(n: int, entity: EntitySpec) -> str:
    """Say how many."""
    return f"{n:,} document{'' if n == 1 else 's'} of {entity.name}"


def _nothing_to_fill(entity: EntitySpec, field: FieldSpec) -> Refusal:
    return lambda found: InvalidInput(
        f"{documents(found['n'], entity)} have no {field.name}, which is not nullable",
        entity=entity.name,
        field=field.name,
        hint="give default=… or fill=…",
    )


def _strange(entity: EntitySpec, field: FieldSpec, what: str) -> Refusal:
    return lambda found: StoredDataInvalid(
        f"{documents(found['n'], entity)} have {what} under {key_of(field)!r}",
        entity=entity.name,
        field=field.name,
        hint="mend or remove them first",
    )


def _duplicated(entity: EntitySpec, names: Sequence[str]) -> Refusal:
    return lambda found: not_unique(entity.name, ", ".join(names), found["n"])


def _orphaned(entity: EntitySpec, field: FieldSpec) -> Refusal:
    assert field.reference is not None
    target = field.reference.target.name
    return lambda found: ReferenceViolation(
        f"{documents(found['n'], entity)} refer by {field.name} to a {target} that is not there",
        entity=entity.name,
        field=field.name,
        hint="mend or delete them first",
    )


_PLANNERS: dict[type[Any], Callable[[Any, Look], list[Step]]] = {
    CreateCollection: _create,
    DropCollection: _drop,
    AddField: _add_field,
    DropField: _drop_field,
    AddUnique: _add_unique,
    DropUnique: _drop_unique,
    AddIndex: _add_index,
    DropIndex: _drop_index,
    AddReference: _add_reference,
    DropReference: _drop_reference,
    SetValidator: _set_validator,
}
