"""What every store says in the same words: the errors of writes that were understood and refused.

Backends raise these, so that a program, its logs and its tests read the same whatever the URL. They name classes and
fields, which the program knows, not tables, and no values.
"""

from __future__ import annotations

from .errors import DuplicateKey, NotFound, OutOfRange, PreconditionFailed, ReferenceViolation, TooLarge
from .options import MAX_ROWS_TOUCHED, MAX_ROWS_UNASKED

__all__ = [
    "duplicate_key",
    "missing_parent",
    "not_found",
    "out_of_range",
    "precondition_failed",
    "relation_too_large",
    "row_too_large",
    "still_referenced",
    "too_many_rows",
]


def not_found(entity: str) -> NotFound:
    """Return the error for an id that no row has."""
    return NotFound(f"there is no {entity} with this id", entity=entity)


def precondition_failed(entity: str) -> PreconditionFailed:
    """Return the error for a row whose `where` does not hold."""
    return PreconditionFailed(
        f"the {entity} is there, but the condition of the write does not hold", entity=entity
    )


def out_of_range(entity: str, field: str | None) -> OutOfRange:
    """Return the error for a computed value outside its field's bounds; *field* is None where no one knows which."""
    what = f"a computed value of {entity}" if field is None else f"the computed value of {entity}.{field}"
    return OutOfRange(
        f"{what} is outside its declared bounds; nothing was changed",
        entity=entity,
        field=field,
        hint="say where= with the condition under which the change is right",
    )


def duplicate_key(entity: str, names: str | None) -> DuplicateKey:
    """Return the error for a unique key that is taken; *names* are its declared fields, joined by `, `."""
    if names == "id":
        return DuplicateKey(f"there is already a {entity} with this id", entity=entity, field="id")
    same = "unique key" if names is None else names
    return DuplicateKey(f"there is already a {entity} with the same {same}", entity=entity, field=names)


def missing_parent(child: str, field: str, parent: str) -> ReferenceViolation:
    """Return the error for a row that refers to one that is not there."""
    return ReferenceViolation(
        f"{child}.{field} refers to a {parent} that is not there", entity=child, field=field
    )


def still_referenced(parent: str, child: str, field: str) -> ReferenceViolation:
    """Return the error for a row that cannot be deleted, as others refer to it."""
    return ReferenceViolation(
        f"a {parent} is still referred to by {child}.{field}; nothing was deleted",
        entity=parent,
        field=field,
        hint="delete or change those first, or declare on_delete='cascade' or 'set_null'",
    )


def too_many_rows() -> TooLarge:
    """Return the error for a write that would touch more rows than one operation may."""
    return TooLarge(
        f"more than {MAX_ROWS_TOUCHED:,} rows would be touched, cascades included; nothing was written",
        hint="narrow the filter, or say batched=True, which is not atomic",
    )


def row_too_large(entity: str) -> TooLarge:
    """Return the error for a change that would let a row grow beyond what every store keeps."""
    return TooLarge(
        f"the change would let the {entity} grow beyond 16 MiB; nothing was changed", entity=entity
    )


def relation_too_large(view: str, relation: str) -> TooLarge:
    """Return the error for more children than a relation without a limit returns."""
    return TooLarge(
        f"{view}.{relation} has more than {MAX_ROWS_UNASKED:,} children of one row",
        field=relation,
        hint="give the relation a limit=, or read the children by page()",
    )
