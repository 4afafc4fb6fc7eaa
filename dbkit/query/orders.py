"""Sort keys, and the rows after a cursor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .filters import Compare, Filter, IsNull, Not
from .paths import Path, Shape


class Order:
    """One sort key. Ascending puts null first, descending last."""

    __slots__ = ("descending", "path", "shape")

    def __init__(self, path: Path, descending: bool = False) -> None:
        self.path, self.descending = path, descending
        self.shape: Shape = ("desc" if descending else "asc", path.shape)

    def __repr__(self) -> str:
        return f"<Order {self.path} {'desc' if self.descending else 'asc'}>"


def is_row_comparable(order: Sequence[Order]) -> bool:
    """Whether "after the cursor" is one row-value comparison: all keys in one direction and never null."""
    return len({o.descending for o in order}) == 1 and not any(o.path.type.nullable for o in order)


def seek(order: Sequence[Order], after: Sequence[Any]) -> list[list[Filter]]:
    """Return disjoint branches, each a list of conditions, that together take the rows after the cursor.

    The branches stand in the order of their rows: all rows of one come before those of the next. Each is a range of an
    index on the keys. *after* may hold values, slots, and None for null keys.
    """
    branches: list[list[Filter]] = []
    for position in range(len(order) - 1, -1, -1):
        same = [_equal(o.path, v) for o, v in zip(order[:position], after[:position], strict=True)]
        key, value = order[position], after[position]
        if value is None:
            # Null is first ascending: every value follows. It is last descending: nothing does.
            if not key.descending:
                branches.append([*same, Not(IsNull(key.path))])
            continue
        branches.append([*same, Compare(key.path, "lt" if key.descending else "gt", value)])
        if key.descending and key.path.type.nullable:
            branches.append([*same, IsNull(key.path)])
    return branches


def _equal(path: Path, value: Any) -> Filter:
    return IsNull(path) if value is None else Compare(path, "eq", value)
