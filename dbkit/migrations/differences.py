"""How a database differs from its entities: values that `diff` turns into a migration and people read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..spec import EntitySpec, FieldSpec, IndexSpec, UniqueKey
from ..values import ValueType

__all__ = ["Difference", "Kind"]

Kind = Literal[
    "missing collection",
    "missing field",
    "undeclared field",
    "changed field",
    "missing unique",
    "undeclared unique",
    "missing index",
    "undeclared index",
    "missing reference",
    "changed reference",
    "undeclared reference",
    "other",
]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as declared. `create_schema()` would call all but the missing ones `SchemaDrift`."""

    kind: Kind
    entity: EntitySpec
    words: str
    """What a person reads: `users.bio is text not null there and text here`."""
    field: FieldSpec | None = None
    """The declared field (its shadow's owner for a shadow), where the difference is about one."""
    key: UniqueKey | IndexSpec | None = None
    """The declared key or index that is missing."""
    stored: tuple[str, ...] = ()
    """The columns or keys that are there and not declared, or whose declaration differs."""
    found: ValueType | None = None
    """The type that is there, where dbkit has one for it: what a `down` needs to bring it back. Undeclared indexes are
    named only where dbkit's own naming shows that it made them."""
    is_convertible: bool = True
    """Where *found* is None: whether the store makes the declared type of what is there by itself, if the values fit."""
    is_limited: bool = True
    """Whether *found* has the lengths, bounds and choices that were declared: MongoDB's validator says nothing of them."""
    found_target: str | None = None
    """The table or collection that an undeclared or changed reference points to."""
    found_on_delete: str | None = None
    """What that reference does at a deletion: `on_delete=` of a `down` that brings it back; None where nobody knows."""
