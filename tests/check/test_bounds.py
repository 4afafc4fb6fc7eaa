"""Computed changes stay inside the declared bounds also where the table's own CHECKs are not dbkit's."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from dbkit import Mapped, OutOfRange, Record, connect, field

TABLES = {
    "sqlite": "CREATE TABLE things (id INTEGER PRIMARY KEY, n INT, m INT, price INT, rate REAL, name TEXT, tags TEXT, raw BLOB)",
    "postgresql": "CREATE TABLE things (id bigint PRIMARY KEY, n bigint, m bigint, price numeric(9,2), "
    'rate double precision, name text COLLATE "C", tags jsonb, raw bytea)',
}


class Thing(Record[int], name="things", managed=False):
    id: Mapped[int]
    n: Mapped[int | None] = field(default=5, ge=0, le=99)
    m: Mapped[int] = field(default=0)
    price: Mapped[Decimal] = field(default=Decimal(1), max_digits=6, decimal_places=2, ge=0)
    rate: Mapped[float] = field(default=0.5, le=2)
    name: Mapped[str] = field(default="", max_length=3)
    tags: Mapped[list[str]] = field(default_factory=list, max_length=2)
    raw: Mapped[bytes | None] = field(default=None)


LEAVES: list[Any] = [
    Thing.n.set(Thing.n + 95),
    Thing.n.set(Thing.n - 6),
    Thing.n.set(Thing.m),
    Thing.m.set(Thing.m * (2**62)),
    Thing.price.set(Thing.price - Decimal("1.01")),
    Thing.price.set(Thing.price + Decimal("9999.00")),
    Thing.rate.set(Thing.rate * 5.0),
    Thing.tags.append("c"),
]
STAYS: list[Any] = [
    (Thing.n.set(Thing.n + 94), "n", 99),
    (Thing.n.set(Thing.n - 99), "n", 0),
    (Thing.m.set(Thing.m * (2**53)), "m", 1_000 * 2**53),
    (Thing.price.set(Thing.price * 3), "price", Decimal("3.00")),
    (Thing.rate.set(Thing.rate * 4.0), "rate", 2.0),
    (Thing.tags.remove("a"), "tags", ["b"]),
    (Thing.tags.append("z"), "tags", ["b", "z"]),
]


@pytest.mark.parametrize("name", ["sqlite", "postgresql", "memory", "mongodb"])
def test_computed_changes_stay_inside(name: str, request: pytest.FixtureRequest) -> None:
    fixtures = {"postgresql": "postgres_url", "mongodb": "mongo_url"}
    url: str = request.getfixturevalue(fixtures[name]) if name in fixtures else f"{name}://"
    with connect(url, entities=[Thing]) as db:
        if name in TABLES:
            with db.native() as raw:
                raw.execute(TABLES[name])
            assert db.check().ok, db.check()
        elif name == "memory":
            db.create_schema()
        else:
            with db.native() as (database, _):
                database.create_collection("things")
        things = db.store(Thing)
        row = things.create(Thing(id=1, m=1_000, tags=["a", "b"]))
        things.create(Thing(id=2, n=None))
        for change in LEAVES:
            with pytest.raises(OutOfRange) as raised:
                things.update(1, change)
            assert raised.value.field == change.field.name
            with pytest.raises(OutOfRange):
                things.update_many(Thing.id == 1, changes=change)
            assert things.get(1) == row
        for change, field_name, value in STAYS:
            assert getattr(things.update(1, change), field_name) == value
        assert things.update(2, Thing.n.set(Thing.n + 1)).n is None
