"""Operations in words, for plans and for those who watch."""

from __future__ import annotations

from .operations import (
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
    RenameCollection,
    RenameField,
    RetypeField,
)

__all__ = ["words_of"]


def words_of(operation: Operation) -> str:
    """Return what *operation* does, in stored names."""
    match operation:
        case CreateCollection(entity):
            return f"create {entity.stored}"
        case DropCollection(stored):
            return f"drop {stored}"
        case RenameCollection(entity, was):
            return f"rename {was} to {entity.stored}"
        case AddField(entity, field):
            return f"add {entity.stored}.{field.stored}"
        case DropField(collection, stored):
            return f"drop {collection}.{stored}"
        case RenameField(entity, field, was):
            return f"rename {entity.stored}.{was} to {field.stored}"
        case RetypeField(entity, field):
            return f"change the type of {entity.stored}.{field.stored}"
        case AddUnique(entity, key) | DropUnique(entity, key):
            verb = "make" if isinstance(operation, AddUnique) else "drop"
            return f"{verb} the unique key of {entity.stored}: {', '.join(key.names)}"
        case AddIndex(entity, index) | DropIndex(entity, index):
            verb = "make" if isinstance(operation, AddIndex) else "drop"
            fields = ", ".join(f.stored for f in index.fields)
            return f"{verb} the index of {entity.stored}: {fields}{' concurrently' * operation.is_concurrent}"
        case AddReference(entity, field):
            return f"check the reference {entity.stored}.{field.stored}"
        case DropReference(entity, field):
            return f"check the reference {entity.stored}.{field.stored} no more"
        case _:
            return f"set the validator of {operation.entity.stored}"
