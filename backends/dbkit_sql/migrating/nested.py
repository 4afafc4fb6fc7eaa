"""Whether what is stored as JSON still means the same when it is read as another type.

JSON has too few types: a Decimal is its scaled integer, a datetime its milliseconds, a UUID its digits. Read as another type
such a value would be another value, and nothing would say so; so these leaves must stay what they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

from dbkit.spec import EntitySpec
from dbkit.values import Kind, ValueType

from ..found import StoredColumn, found_form, found_type
from ..schema import Tables, constraint_name, digest, signature

__all__ = ["means_the_same", "readable_as"]

_PLAIN = frozenset({Kind.TEXT, Kind.INT, Kind.FLOAT, Kind.BOOL, Kind.JSON})
"""What JSON itself has: whether a value fits is seen when it is read."""
_MOST_NEW = 4


def means_the_same(found: ValueType, wanted: ValueType) -> bool:
    """Return whether a stored value that can be read as *wanted* is what it was as *found*."""
    if found.kind.is_scalar and wanted.kind.is_scalar:
        if found.kind is wanted.kind:
            return found.kind is not Kind.DECIMAL or found.decimal_places == wanted.decimal_places
        return {found.kind, wanted.kind} <= _PLAIN
    if Kind.JSON in (found.kind, wanted.kind):
        return all(leaf.kind in _PLAIN for type in (found, wanted) for leaf in _leaves(type))
    if found.model is not None and wanted.model is not None:
        there = {f.stored: f.type for f in found.model.fields}
        return all(
            f.stored not in there or means_the_same(there[f.stored], f.type) for f in wanted.model.fields
        )
    pairs = ((a, b) for a in _parts(found) for b in _parts(wanted))
    same_form = (found.kind is Kind.LIST) is (wanted.kind is Kind.LIST)
    return same_form and all(means_the_same(a, b) for a, b in pairs)


def _parts(type: ValueType) -> list[ValueType]:
    if type.model is not None:
        return [f.type for f in type.model.fields]
    return [] if type.element is None else [type.element]


def _leaves(type: ValueType) -> Iterator[ValueType]:
    parts = _parts(type)
    if not parts:
        yield type
    for part in parts:
        yield from _leaves(part)


def readable_as(
    tables: Tables, entity: EntitySpec, column: StoredColumn, wanted: ValueType
) -> ValueType | None:
    """Return as what the values of a column can be read that are to become *wanted*; None where nobody can tell.

    Whether each of them fits is looked at, so that their form may be enough.
    """
    # Which values an Enum had does not matter here: they are all texts.
    found = found_type(tables, entity, replace(column, is_sized=None))
    if found is not None:
        return found
    return wanted if _has_gained_fields(tables, entity, column, wanted) else found_form(tables, column)


def _has_gained_fields(tables: Tables, entity: EntitySpec, column: StoredColumn, wanted: ValueType) -> bool:
    """Return whether all that is new is a few more fields of a nested model: then a check's digest is that without them."""
    names = {name for name, _ in column.checks}
    text = " AND ".join(tables.dialect.checks(tables.quoted(column.name), wanted))
    return any(
        constraint_name(tables.dialect, "ck", entity.stored, (column.name, digest(text + before))) in names
        for before in _signatures(wanted)
    )


def _signatures(type: ValueType, *, is_whole: bool = True) -> Iterator[str]:
    """Yield the signatures of the type with some of its model's fields left out, and of either nullability."""
    inside: Iterator[tuple[str, str]]
    if type.model is not None:
        fields = type.model.fields
        inside = (
            ("", ", ".join(f"{f.stored}: {signature(f.type)}" for f in kept))
            for gone in range(min(_MOST_NEW, len(fields)) + 1)
            for kept in combinations(fields, len(fields) - gone)
        )
    elif type.element is not None:
        inside = ((element, "") for element in _signatures(type.element, is_whole=False))
    else:
        return
    for element, model in inside:
        for mark in ("", "?") if is_whole else ("?" if type.nullable else "",):
            yield f"{type.kind.value}{mark}[{element}]{{{model}}}"
