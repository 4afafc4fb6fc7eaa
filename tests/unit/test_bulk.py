"""Many rows at once are the rows of each, and what is wrong is told as of each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from dbkit import Embedded, Entity, Mapped, View, errors, field
from dbkit.bulk import rows_of_many
from dbkit.entity import row_of, spec_of


class Point(Embedded):
    """Small."""

    x: Mapped[int]


class Guest(Entity, name="guests", unique=[("name", "town")]):
    """Texts whose lengths are watched, alone and together; nulls; what has to be made canonical."""

    name: Mapped[str] = field(max_length=900)
    town: Mapped[str | None] = field(default=None, max_length=900)
    email: Mapped[str | None] = field(default=None, unique="casefold")
    seen: Mapped[datetime | None] = field(default=None)
    money: Mapped[Decimal] = field(default=Decimal(0), max_digits=8, decimal_places=2)
    blob: Mapped[bytes] = field(default=b"")
    point: Mapped[Point | None] = field(default=None)


class GuestNote(Guest, View[Guest]):
    """Is no entity."""


SPEC = spec_of(Guest)


def _guests(**changes: Any) -> list[Guest]:
    """Return some guests, one of them changed without being checked."""
    guests = [Guest(name=f"g{n}", email=f"G{n}@X.org" if n % 3 else None) for n in range(12)]
    guests[7] = guests[7].model_copy(update=changes)
    return guests


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"email": "Größe@İ.org"},
        {"email": ""},
        {"seen": datetime(2024, 1, 1, 5, tzinfo=timezone(timedelta(hours=2)))},
        {"created_at": datetime(2024, 1, 1, microsecond=1234, tzinfo=UTC)},
        {"money": Decimal("-0.0")},
        {"money": Decimal("1.5")},
        {"name": "x" * 900, "town": None},
        {"name": "é" * 600, "town": "y" * 700},
        {"blob": b"x" * 3_000_000},
        {"point": Point(x=3)},
    ],
)
def test_they_are_those_of_each(changes: dict[str, Any]) -> None:
    guests = _guests(**changes)
    rows = rows_of_many(SPEC, guests)
    assert rows == [row_of(SPEC, guest) for guest in guests]
    assert [[type(value) for value in row] for row in rows] == [
        [type(value) for value in row_of(SPEC, guest)] for guest in guests
    ]
    assert all(row[2].tzinfo is UTC for row in rows)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": 3},
        {"name": None},
        {"name": "a\0b"},
        {"name": "\ud800"},
        {"email": "a\0"},
        {"email": 3},
        {"name": "x" * 901},
        {"name": "é" * 900, "town": "é" * 900},
        {"created_at": datetime(2024, 1, 1)},  # noqa: DTZ001
        {"created_at": None},
        {"money": Decimal("1.234")},
        {"money": True},
        {"id": "x"},
        {"point": {"x": 3}},
        {"blob": b"x" * (16 * 2**20)},
    ],
)
def test_what_is_wrong_is_told_as_of_each(changes: dict[str, Any]) -> None:
    guests = _guests(**changes)
    with pytest.raises(errors.InvalidInput) as one:
        row_of(SPEC, guests[7])
    with pytest.raises(errors.InvalidInput) as many:
        rows_of_many(SPEC, guests)
    assert (type(many.value), str(many.value), many.value.field) == (
        type(one.value),
        str(one.value),
        one.value.field,
    )


@pytest.mark.parametrize("wrong", [None, 3, Guest, Point(x=1), GuestNote(name="x")])
def test_what_is_no_instance_is_refused(wrong: Any) -> None:
    guests: list[Any] = _guests()
    guests[5] = wrong
    with pytest.raises(errors.InvalidInput):
        rows_of_many(SPEC, guests)


def test_a_field_that_is_missing_is_named() -> None:
    guests = _guests()
    values: dict[str, Any] = vars(guests[7])
    del values["town"]
    with pytest.raises(errors.InvalidInput, match=r"Guest\.town: is missing"):
        rows_of_many(SPEC, guests)
