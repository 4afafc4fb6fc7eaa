"""How long keys may be: at most 2,000 UTF-8 bytes of text in one unique key or index (SEMANTICS, "Values").

PostgreSQL refuses entries of more than 2,704 bytes, the others take any: so it is the client that says no, before anything is
written. A row as a whole is looked at as it is; a change of one text of several is looked at together with what is stored
in the others, where their declared lengths leave it open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from .errors import TooLarge
from .query import Assign, Change, Constant
from .spec import EntitySpec, FieldSpec
from .values import Kind, casefold_key

__all__ = ["MAX_KEY_BYTES", "LongKey", "OpenKey", "check_key_part", "check_keys", "long_keys", "open_keys"]

MAX_KEY_BYTES = 2_000


@dataclass(frozen=True, slots=True)
class LongKey:
    """A key or an index whose texts could be too long together."""

    columns: tuple[FieldSpec, ...]
    """Its texts alone."""
    positions: tuple[int, ...]
    """Where they stand in a row."""
    names: str
    """As declared."""


@cache
def long_keys(spec: EntitySpec) -> tuple[LongKey, ...]:
    """Return the keys and indexes that could be too long, by the declared lengths of their texts."""
    positions = {f.token: position for position, f in enumerate(spec.columns)}
    groups = [(spec.id,), *(u.fields for u in spec.uniques), *(i.fields for i in spec.indexes)]
    found: list[LongKey] = []
    for fields in groups:
        texts = tuple(f for f in fields if f.type.kind in (Kind.TEXT, Kind.BYTES) and f.type.choices is None)
        if sum(map(_most_bytes, texts)) > MAX_KEY_BYTES:
            names = ", ".join(f.shadow_of or f.name for f in texts)
            found.append(LongKey(texts, tuple(positions[f.token] for f in texts), names))
    return tuple(found)


def _most_bytes(column: FieldSpec) -> int:
    width = 4 if column.type.kind is Kind.TEXT else 1
    return (column.type.max_length or MAX_KEY_BYTES) * width


def _bytes(value: Any) -> int:
    if value is None:
        return 0
    return len(value.encode()) if isinstance(value, str) else len(value)


def check_keys(spec: EntitySpec, row: tuple[Any, ...]) -> None:
    """Raise TooLarge where a key of the row is too long."""
    for key in long_keys(spec):
        texts = [row[position] for position in key.positions if row[position] is not None]
        # A character has at most 4 bytes.
        if sum(map(len, texts)) * 4 > MAX_KEY_BYTES and sum(map(_bytes, texts)) > MAX_KEY_BYTES:
            raise _too_long(spec, key.names)


def check_key_part(spec: EntitySpec, column: FieldSpec, value: Any) -> None:
    """Raise TooLarge where *value* alone is more than one index entry may hold."""
    name = _parts(spec).get(column.token)
    if name is None or not isinstance(value, str | bytes) or len(value) * 4 <= MAX_KEY_BYTES:
        return
    if _bytes(value) > MAX_KEY_BYTES:
        raise _too_long(spec, name)


@cache
def _parts(spec: EntitySpec) -> dict[int, str]:
    """Return the columns of long keys, by their tokens, with the names of their fields."""
    return {f.token: f.shadow_of or f.name for key in long_keys(spec) for f in key.columns}


# -- changes of a part -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenKey:
    """A long key of which a change gives one part, and the stored row the other."""

    spec: EntitySpec
    names: str
    given: int
    """The bytes of what the change gives."""
    others: tuple[FieldSpec, ...]

    def check(self, stored: Any) -> None:
        """Raise TooLarge where the key becomes too long by what is stored in an instance."""
        if self.given + sum(_bytes(_stored(f, stored)) for f in self.others) > MAX_KEY_BYTES:
            raise _too_long(self.spec, self.names)


def _stored(column: FieldSpec, instance: Any) -> Any:
    value = instance.__dict__[column.shadow_of or column.name]
    return value if column.shadow_of is None or value is None else casefold_key(value)


def open_keys(spec: EntitySpec, changes: Sequence[Change]) -> list[OpenKey]:
    """Return the keys that could become too long by the changes and by what is stored beside them.

    Raises:
        TooLarge: the changes alone make a key too long.
    """
    found: list[OpenKey] = []
    compound = _compound(spec)
    # Texts are only ever set to a value: an expression is of the row's numbers.
    given: dict[int, Any] = {
        change.field.token: change.expression.value
        for change in (changes if compound else ())
        if isinstance(change, Assign) and isinstance(change.expression, Constant)
    }
    for key in compound:
        size = sum(_bytes(given.get(f.token)) for f in key.columns)
        if size > MAX_KEY_BYTES:
            raise _too_long(spec, key.names)
        others = tuple(f for f in key.columns if f.token not in given)
        # What is stored fits already, so that null instead of a text fits as well.
        if size and size + sum(map(_most_bytes, others)) > MAX_KEY_BYTES:
            found.append(OpenKey(spec, key.names, size, others))
    return found


@cache
def _compound(spec: EntitySpec) -> tuple[LongKey, ...]:
    return tuple(key for key in long_keys(spec) if len(key.columns) > 1)


def _too_long(spec: EntitySpec, names: str) -> TooLarge:
    return TooLarge(
        f"{spec.name}.{names}: more than {MAX_KEY_BYTES:,} UTF-8 bytes in one index",
        entity=spec.name,
        field=names,
        hint="declare a smaller max_length, or index a digest of it",
    )
