"""Steps and schemas as people read them: commands as relaxed Extended JSON, without stored values. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from dbkit.migrations.operations import (
    CreateCollection,
    DropCollection,
    DropField,
    DropIndex,
    DropUnique,
    Operation,
    RenameCollection,
    RenameField,
)
from dbkit.spec import Schema

from .. import guards
from ..rows import key_of
from ..schema import Index, _indexes, collections_of
from .conditions import value_schema
from .drafts import Draft
from .planning import Look, plain_index, unique_index
from .steps import Command, Document, Rewrite, Step, Transform, as_json

__all__ = ["as_text", "assuming", "create_commands"]


def as_text(step: Step) -> str | None:
    """Return the command that a step sends; None for what only looks, or takes a note."""
    if isinstance(step, Command):
        return as_json(step.command)
    if isinstance(step, Rewrite):
        return _update(step.collection, step.filter, step.update)
    if isinstance(step, Transform):
        return _update(step.collection, step.filter, step.shown)
    return None


def _update(collection: str, filter: Document, update: Document | list[Document]) -> str:
    # What is sent has the ids of one batch beside the filter.
    return as_json({"update": collection, "updates": [{"q": filter, "u": update, "multi": True}]})


def create_commands(schema: Schema) -> list[str]:
    """Return the commands that make the schema in an empty database."""
    shown: list[str] = []
    for collection in collections_of(schema):
        made: Document = {"create": collection.name}
        if collection.validator:
            made["validator"] = collection.validator
        shown.append(as_json(made))
        indexes = [{"key": dict.fromkeys(i.keys, 1), **i.options} for i in collection.indexes]
        if indexes:
            shown.append(as_json({"createIndexes": collection.name, "indexes": indexes}))
    return shown


# -- what is not there yet -------------------------------------------------------------------------------------------------


def assuming(operation: Operation, look: Look) -> Look:
    """Let an operation find what an earlier one, which is not run yet, will have made."""
    is_about_itself = isinstance(operation, CreateCollection | DropCollection)

    def assumed(name: str) -> Draft:
        draft = look(name)
        if draft.exists or is_about_itself or name == guards.COLLECTION:
            return draft
        if isinstance(operation, RenameCollection) and name != operation.was:
            return draft
        return Draft(name, {"validator": {"$jsonSchema": _schema(operation)}}, _made(operation))

    return assumed


def _schema(operation: Operation) -> Document:
    properties: Document = {"…": {}}
    required: list[str] = []
    if isinstance(operation, RenameField):
        type = operation.field.type
        properties[operation.was] = value_schema(type)
        required = [] if type.nullable else [operation.was]
    elif isinstance(operation, DropField):
        properties[operation.stored] = {}
    return {"bsonType": "object", "properties": properties, "required": required}


def _made(operation: Operation) -> list[Document]:
    indexes: Iterable[Index] = ()
    was: dict[str, str] = {}
    if isinstance(operation, RenameField):
        key = key_of(operation.field)
        was = {key: operation.was}
        indexes = [index for index in _indexes(operation.entity) if key in index.keys]
    elif isinstance(operation, DropUnique):
        indexes = [unique_index(operation.key)]
    elif isinstance(operation, DropIndex):
        indexes = [plain_index(operation.index)]
    made: list[Document] = []
    for index in indexes:
        keys = [was.get(k, k) for k in index.keys]
        partial = {was.get(k, k): rule for k, rule in (index.partial or {}).items()}
        name = f"{'unique' if index.unique else 'index'}_{'__'.join(keys)}"
        spec: Document = {**index.options, "name": name, "key": dict.fromkeys(keys, 1)}
        made.append({**spec, "partialFilterExpression": partial} if partial else spec)
    return made
