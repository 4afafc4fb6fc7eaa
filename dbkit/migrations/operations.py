"""Schema operations as values, in entities' terms: what a migration asks for and each store does in its own way.

An operation touches what it names and nothing else, so the classes in a migration's file need hold only the fields that
it is about. What it leaves is what `create_schema()` would have made: names, checks, indexes, validators.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..spec import EntitySpec, FieldSpec, IndexSpec, UniqueKey

__all__ = [
    "AddField",
    "AddIndex",
    "AddReference",
    "AddUnique",
    "CreateCollection",
    "DropCollection",
    "DropField",
    "DropIndex",
    "DropReference",
    "DropUnique",
    "Fill",
    "Operation",
    "RenameCollection",
    "RenameField",
    "RetypeField",
    "SetValidator",
]

Fill = Callable[[Any], Any]
"""From the row as it is (an instance of the migration's own class for `AddField`; the stored value for `RetypeField`)
to the field's new value."""


@dataclass(frozen=True, slots=True, eq=False)
class CreateCollection:
    """The table or collection with all that the entity declares: checks, keys, indexes, references, validator."""

    entity: EntitySpec


@dataclass(frozen=True, slots=True, eq=False)
class DropCollection:
    """The table or collection, with all data in it."""

    stored: str


@dataclass(frozen=True, slots=True, eq=False)
class RenameCollection:
    """Another `name=`; what has the old name in its own is renamed as well."""

    entity: EntitySpec
    """As it is afterwards (complete: its keys and checks get their new names)."""
    was: str
    """The stored name before."""


@dataclass(frozen=True, slots=True, eq=False)
class AddField:
    """A new field with all that its own declaration says: checks, reference, single-field key (shadow too) and index.

    Every row gets *default* (canonical, may be None where the type is nullable), or what *fill* makes of the row.
    """

    entity: EntitySpec
    field: FieldSpec
    default: Any = None
    fill: Fill | None = None
    """Called with an instance of `entity.model` without this field's stored value (the default stands in), batch by batch
    in the order of ids."""


@dataclass(frozen=True, slots=True, eq=False)
class DropField:
    """A field with its data, its shadow, and every check, key, index and reference that it is part of."""

    collection: str
    stored: str


@dataclass(frozen=True, slots=True, eq=False)
class RenameField:
    """Another stored name; checks, keys, indexes, references and the shadow follow."""

    entity: EntitySpec
    field: FieldSpec
    """As it is afterwards."""
    was: str
    """The stored name before."""


@dataclass(frozen=True, slots=True, eq=False)
class RetypeField:
    """Another type, nullability, length or scale. Every value must fit: the first that does not fails the operation.

    Without *using* the store's own lossless change is made (int to Decimal, a longer text, nullable); where there is none
    it is `InvalidInput` before anything is sent.
    """

    entity: EntitySpec
    field: FieldSpec
    """As it is afterwards."""
    found: FieldSpec | None = None
    """As it was, where the migration says so (`was=`): how *using* reads the stored values."""
    using: Fill | None = None
    default: Any = None
    """What null becomes where the field is no longer nullable; None: a null fails it."""


@dataclass(frozen=True, slots=True, eq=False)
class AddUnique:
    """A unique key; for `unique="casefold"` the shadow with it, filled for every row. A duplicate fails it."""

    entity: EntitySpec
    key: UniqueKey


@dataclass(frozen=True, slots=True, eq=False)
class DropUnique:
    """A unique key, and its shadow."""

    entity: EntitySpec
    key: UniqueKey


@dataclass(frozen=True, slots=True, eq=False)
class AddIndex:
    """An index; *is_concurrent* does not block writes (PostgreSQL: not in a transaction)."""

    entity: EntitySpec
    index: IndexSpec
    is_concurrent: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class DropIndex:
    """An index."""

    entity: EntitySpec
    index: IndexSpec
    is_concurrent: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class AddReference:
    """The check of a reference (the field is there already); an orphan fails it, by count."""

    entity: EntitySpec
    field: FieldSpec


@dataclass(frozen=True, slots=True, eq=False)
class DropReference:
    """The check of a reference; the field stays."""

    entity: EntitySpec
    field: FieldSpec


@dataclass(frozen=True, slots=True, eq=False)
class SetValidator:
    """MongoDB: the whole validator as the entity declares it; a SQL store keeps its checks with each field, and does nothing."""

    entity: EntitySpec


Operation = (
    CreateCollection
    | DropCollection
    | RenameCollection
    | AddField
    | DropField
    | RenameField
    | RetypeField
    | AddUnique
    | DropUnique
    | AddIndex
    | DropIndex
    | AddReference
    | DropReference
    | SetValidator
)
