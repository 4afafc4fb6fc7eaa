"""Steps and schemas as people read them: commands as relaxed Extended JSON, without stored values. Pure."""

from __future__ import annotations

from dbkit.spec import Schema

from ..schema import collections_of
from .steps import Command, Document, Rewrite, Step, Transform, as_json

__all__ = ["as_text", "create_commands"]


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
