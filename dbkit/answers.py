"""What a store says no with: each error that every backend raises, in one wording.

A program that logs `str(error)` reads the same on SQLite as on MongoDB. Backends find out which it is, these say it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from .errors import (
    ConfigurationError,
    DuplicateKey,
    IntegrityError,
    NotFound,
    OperationalError,
    OutOfRange,
    PreconditionFailed,
    ReferenceViolation,
    TooLarge,
)
from .options import MAX_ROWS_TOUCHED, MAX_ROWS_UNASKED
from .spec import EntitySpec

__all__ = [
    "CREATE_FIRST",
    "DRIFTED",
    "IN_MIGRATIONS",
    "Closed",
    "check_broken",
    "closed",
    "condition_failed",
    "depended_on",
    "duplicate",
    "missing_parent",
    "no_row",
    "no_table",
    "not_unique",
    "out_of_range",
    "row_too_large",
    "still_referenced",
    "too_many_children",
    "too_many_rows",
]


def closed() -> OperationalError:
    """A store, or a transaction's beginning, is used after `db.close()`."""
    return OperationalError("the database is closed", retryable=False, hint="connect again")


class Closed:
    """In the place of what a closed database worked on, where nothing else would refuse: looking is not needed per call."""

    def __getattr__(self, name: str) -> NoReturn:
        raise closed()


def no_row(entity: str) -> NotFound:
    """No row of the entity has the id."""
    return NotFound(f"there is no {entity} with this id", entity=entity)


def condition_failed(entity: str) -> PreconditionFailed:
    """The row is there, but `where` is false."""
    return PreconditionFailed(
        f"the {entity} is there, but the condition of the write does not hold", entity=entity
    )


def duplicate(entity: str, field: str | None) -> DuplicateKey:
    """Another row has the same key; *field* names it as declared, compound ones joined by `, `."""
    what = f"the same {field}" if field else "the same unique key"
    return DuplicateKey(f"another {entity} has {what}", entity=entity, field=field)


def not_unique(entity: str, field: str, rows: int) -> DuplicateKey:
    """A key is to become unique, and is not; *rows* are all that share a value of it, or would."""
    return DuplicateKey(
        f"{rows:,} rows of {entity} have the same {field} as another one",
        entity=entity,
        field=field,
        hint="mend the rows first; of a new field each row needs a value of its own: fill=lambda row: …",
    )


def missing_parent(entity: str, field: str, parent: str) -> ReferenceViolation:
    """A row refers to one that is not there."""
    return ReferenceViolation(
        f"{entity}.{field} refers to a {parent} that is not there", entity=entity, field=field
    )


def still_referenced(parent: str, child: str, field: str) -> ReferenceViolation:
    """A row that others refer to was to be deleted; *field* is the children's."""
    return ReferenceViolation(
        f"a {parent} that is to be deleted is still referred to by {child}.{field}",
        entity=parent,
        field=field,
        hint='delete the children first, or declare on_delete="cascade" or "set_null"',
    )


def depended_on(parent: EntitySpec, child: str, field: str) -> ReferenceViolation:
    """A table or collection was to be dropped, and one that stays refers to it; both names are the stored ones."""
    return ReferenceViolation(
        f"{parent.stored!r} is not dropped, as {child!r} refers to it by {field}: nothing was dropped",
        entity=parent.name,
        hint=f"drop them together: entities= with the class of {child!r}, too",
    )


def out_of_range(entity: str | None, field: str | None) -> OutOfRange:
    """A computed value does not fit; *field* is None where the store does not say which."""
    what = "a value" if entity is None or field is None else f"{entity}.{field}"
    return OutOfRange(f"the change would take {what} out of its declared bounds", entity=entity, field=field)


def row_too_large() -> TooLarge:
    """An update would let a row grow beyond what every store keeps."""
    return TooLarge("the change would let the row grow beyond 16 MiB")


def too_many_rows() -> TooLarge:
    """A write would touch more rows than one may."""
    return TooLarge(
        f"more than {MAX_ROWS_TOUCHED:,} rows would be touched, cascades included; nothing was written",
        hint="narrow the filter, or say batched=True, which is not atomic",
    )


def too_many_children(view: str, relation: str) -> TooLarge:
    """A relation without a limit has more children of one row than are given out unasked."""
    return TooLarge(
        f"{view}.{relation} has more than {MAX_ROWS_UNASKED:,} children of one row",
        field=relation,
        hint="declare a limit: related(…, limit=…), or read the children by page()",
    )


CREATE_FIRST = "call db.create_schema() first"
DRIFTED = "db.create_schema() says what differs"

IN_MIGRATIONS = {
    CREATE_FIRST: "a migration makes it: this one, by an earlier step, or one before it",
    DRIFTED: "the entity in the migration's file is as the collection is at this step",
}
"""A hint that names `create_schema()`, to what is said of it in a migration, where that would be wrong."""


def no_table(stored: str, entities: Iterable[EntitySpec] = ()) -> ConfigurationError:
    """The table or collection is not there; *entities* tell whether dbkit would make it."""
    is_managed = all(entity.managed for entity in entities if entity.stored == stored)
    hint = CREATE_FIRST if is_managed else "its owner has to make it"
    return ConfigurationError(f"{stored!r} does not exist", hint=hint)


def check_broken(constraint: str | None) -> IntegrityError:
    """The rows do not fulfil a CHECK that a statement of somebody's own brings or meets."""
    which = "" if constraint is None else f" (constraint {constraint})"
    return IntegrityError(f"a CHECK is not fulfilled by the rows{which}", hint="mend the rows first")
