"""What a schema operation says no with: counts and declared names, never a stored value."""

from __future__ import annotations

from dbkit.answers import IN_MIGRATIONS
from dbkit.errors import (
    DbkitError,
    InvalidInput,
    ReferenceViolation,
    SchemaDrift,
    StoredDataInvalid,
)
from dbkit.spec import EntitySpec, FieldSpec
from dbkit.values import ValueType

__all__ = [
    "absent",
    "in_a_migration",
    "misfits",
    "no_conversion",
    "nulls",
    "orphans",
    "still_referenced",
    "there_already",
    "valueless",
]

_COMPARE = "`dbkit migrate diff` says how the database differs from the entities"


def in_a_migration(error: DbkitError) -> DbkitError:
    """Return the error with another way out where its own is `create_schema()`: here that is the migration's work."""
    if error.hint is not None:
        error.hint = IN_MIGRATIONS.get(error.hint, error.hint)
    return error


def absent(what: str) -> SchemaDrift:
    """The operation needs something that is not there."""
    return SchemaDrift(f"{what} is not there", hint=_COMPARE)


def there_already(what: str) -> SchemaDrift:
    """The operation would make something that is there."""
    return SchemaDrift(f"{what} is there already", hint=_COMPARE)


def valueless(entity: EntitySpec, field: FieldSpec, rows: int) -> InvalidInput:
    """A field that cannot be None is added to rows, and nothing says what they get."""
    return InvalidInput(
        f"{entity.name}.{field.name} cannot be None, and {_rows(rows)} would have no value for it",
        entity=entity.name,
        field=field.name,
        hint="give default= or fill=",
    )


def nulls(entity: EntitySpec, field: FieldSpec, rows: int) -> StoredDataInvalid:
    """A field is to be no longer nullable, and null is stored."""
    return StoredDataInvalid(
        f"{entity.name}.{field.name} is to be never None, and is null in {_rows(rows)}",
        entity=entity.name,
        field=field.name,
        hint="give default=, or mend the rows first",
    )


def misfits(entity: EntitySpec, field: FieldSpec, rows: int) -> StoredDataInvalid:
    """Stored values do not fit a field's new type."""
    return StoredDataInvalid(
        f"{_rows(rows)} of {entity.stored!r} {'do' if rows > 1 else 'does'} not fit {entity.name}.{field.name} as it is declared now",
        entity=entity.name,
        field=field.name,
        hint="give using=, or mend the rows first",
    )


def orphans(
    table: str, field: str, parent: str, rows: int, *, entity: str | None = None
) -> ReferenceViolation:
    """Rows refer to a parent that is not there."""
    return ReferenceViolation(
        f"{_rows(rows)} of {table!r} {'refer' if rows > 1 else 'refers'} by {field} to {parent!r}, where there is no such row",
        entity=entity,
        field=field,
        hint="mend the rows first",
    )


def still_referenced(table: str, by: str) -> ReferenceViolation:
    """A table that is to be dropped is referred to by another one."""
    return ReferenceViolation(
        f"{table!r} is still referred to by {by}", hint="drop that reference, or that collection, first"
    )


def no_conversion(entity: EntitySpec, field: FieldSpec, found: ValueType | None) -> InvalidInput:
    """Nothing converts what is stored without loss, or nobody knows what is stored."""
    what = "what is stored" if found is None else f"{found.kind.value}"
    return InvalidInput(
        f"there is no lossless change of {entity.name}.{field.name} from {what} to {field.type.kind.value}",
        entity=entity.name,
        field=field.name,
        hint="give using=, a function from the stored value to the new one"
        + (", and was=, the type that is stored" if found is None else ""),
    )


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
