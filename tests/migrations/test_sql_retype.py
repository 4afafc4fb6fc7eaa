"""Changes of a field's type on SQLite and PostgreSQL: what is lossless, what does not fit, and what a function makes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from dbkit import Embedded, Mapped, Record, connect, errors, field
from dbkit.entity import spec_of
from dbkit.migrations.operations import Operation, RetypeField
from dbkit.migrations.store import MigrationStore
from dbkit.options import Options
from dbkit.spec import Schema
from dbkit.testing.servers import Server, drop_database, fresh_database
from dbkit.url import parse_url
from dbkit_sql.plugin import migration_store


class Place(Embedded):
    city: Mapped[str]
    since: Mapped[date]
    rent: Mapped[Decimal] = field(max_digits=8, decimal_places=2)


class WiderPlace(Embedded):
    city: Mapped[str]
    since: Mapped[date]
    rent: Mapped[Decimal] = field(max_digits=8, decimal_places=2)
    floor: Mapped[int | None] = field(default=None)


class NarrowPlace(Embedded):
    city: Mapped[int]


class OtherRent(Embedded):
    """Its rent is stored by tenths of cents: read so, what is there would be a tenth of itself."""

    city: Mapped[str]
    since: Mapped[date]
    rent: Mapped[Decimal] = field(max_digits=8, decimal_places=3)


class Before(Record[int], name="things"):
    id: Mapped[int]
    to_decimal: Mapped[int]
    to_float: Mapped[int]
    to_int: Mapped[bool]
    to_moment: Mapped[date | None]
    more_places: Mapped[Decimal] = field(max_digits=8, decimal_places=1)
    fewer_places: Mapped[Decimal] = field(max_digits=8, decimal_places=3)
    whole: Mapped[Decimal] = field(max_digits=8, decimal_places=2)
    chosen: Mapped[str] = field(max_length=20)
    free: Mapped[Literal["x", "y"]]
    longer: Mapped[str] = field(max_length=5, index=True)
    unbounded: Mapped[str] = field(max_length=5)
    bounded: Mapped[list[int]]
    wider: Mapped[Place]
    rank: Mapped[int] = field(unique=True)
    swapped: Mapped[str] = field(max_length=5, unique="casefold")


class After(Record[int], name="things"):
    id: Mapped[int]
    to_decimal: Mapped[Decimal] = field(max_digits=5, decimal_places=2)
    to_float: Mapped[float] = field(ge=-1e18)
    to_int: Mapped[int | None]
    to_moment: Mapped[datetime]
    more_places: Mapped[Decimal] = field(max_digits=12, decimal_places=4)
    fewer_places: Mapped[Decimal] = field(max_digits=8, decimal_places=1)
    whole: Mapped[int] = field(le=99)
    chosen: Mapped[Literal["red", "it's 5%"]]
    free: Mapped[str] = field(max_length=3)
    longer: Mapped[str | None] = field(max_length=50, index=True)
    unbounded: Mapped[str]
    bounded: Mapped[list[float]] = field(max_length=2)
    wider: Mapped[WiderPlace]
    rank: Mapped[int] = field(unique=True)
    swapped: Mapped[str] = field(max_length=9, unique="casefold")


PLACE = Place(city="Ulm", since=date(2020, 1, 1), rent=Decimal("9.50"))
ROW: dict[str, Any] = {
    "to_decimal": 999, "to_float": 2**53, "to_int": True, "to_moment": date(1960, 2, 29), "more_places": Decimal("-9.5"),
    "fewer_places": Decimal("7.300"), "whole": Decimal("42.00"), "chosen": "it's 5%", "free": "x", "longer": "abc",
    "unbounded": "u", "bounded": [1, 2], "wider": PLACE, "rank": 1, "swapped": "a",
}  # fmt: skip
OTHER: dict[str, Any] = {**ROW, "to_moment": None, "rank": 2, "swapped": "B"}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the URL of a database with two things."""
    if request.param == "sqlite":
        made = f"sqlite:///{tmp_path}/db.sqlite"
        _begin(made)
        yield made
        return
    server: Server = request.getfixturevalue("postgres_server")
    made = fresh_database(server)
    _begin(made)
    yield made
    drop_database(server, made)


def _begin(url: str) -> None:
    with connect(url, entities=[Before]) as db:
        db.create_schema()
        db.store(Before).create_many([Before(id=1, **ROW), Before(id=2, **OTHER)])


@pytest.fixture
def store(url: str) -> Iterator[MigrationStore]:
    made = migration_store(parse_url(url), Options())
    made.open()
    yield made
    made.close()


def _retype(name: str, entity: Any = After, **how: Any) -> Operation:
    spec = spec_of(entity)
    return RetypeField(spec, spec.by_name[name], **how)


def _apply(store: MigrationStore, *operations: Operation) -> None:
    with store.transaction():
        for operation in operations:
            store.apply(operation)


def test_what_is_lossless_is_changed_by_the_store(store: MigrationStore, url: str) -> None:
    moment = datetime(2000, 1, 1, tzinfo=UTC)
    defaults: dict[str, Any] = {"to_moment": moment}
    # Unique values may change places: a key is looked at when all are there.
    swap: dict[str, Any] = {"rank": (3).__sub__, "swapped": {"a": "b", "B": "A"}.get}
    names = [f.name for f in spec_of(After).fields if f.name not in ("id", *swap)]
    changes = [_retype(name, default=defaults.get(name)) for name in names]
    assert all(store.render(change) for change in changes)
    _apply(store, *changes)
    assert [d.words for d in store.differences(Schema([spec_of(After)])) if "swapped" not in d.words] == []
    _apply(store, *(_retype(name, using=function) for name, function in swap.items()))
    assert store.differences(Schema([spec_of(After)])) == []
    with connect(url, entities=[After]) as db:
        db.create_schema()
        one, two = db.store(After).find()
        assert db.store(After).find_one(After.swapped.equals_casefold("B")) == one
    assert one == After(
        id=1, to_decimal=Decimal("999.00"), to_float=float(2**53), to_int=1, to_moment=datetime(1960, 2, 29, tzinfo=UTC),
        more_places=Decimal("-9.5000"), fewer_places=Decimal("7.3"), whole=42, chosen="it's 5%", free="x", longer="abc",
        unbounded="u", bounded=[1.0, 2.0], wider=WiderPlace(**PLACE.model_dump()), rank=2, swapped="b",
    )  # fmt: skip
    assert (two.to_moment, two.rank, two.swapped) == (moment, 1, "A")
    _apply(store, *changes)


class Tight(Record[int], name="things"):
    id: Mapped[int]
    to_decimal: Mapped[Decimal] = field(max_digits=4, decimal_places=2)
    to_float: Mapped[float] = field(le=5.0)
    more_places: Mapped[Decimal] = field(max_digits=4, decimal_places=4)
    fewer_places: Mapped[Decimal] = field(max_digits=8, decimal_places=0)
    whole: Mapped[int] = field(le=41)
    chosen: Mapped[Literal["red"]]
    free: Mapped[Literal["y"]]
    longer: Mapped[str] = field(max_length=2)
    bounded: Mapped[list[int]] = field(max_length=1)
    wider: Mapped[NarrowPlace]


class Moved(Record[int], name="things"):
    id: Mapped[int]
    to_moment: Mapped[date]
    to_int: Mapped[str]
    wider: Mapped[OtherRent]
    bounded: Mapped[list[Annotated[Decimal, Field(max_digits=5, decimal_places=1)]]]
    rank: Mapped[int] = field(unique=True)
    unbounded: Mapped[str] = field(max_length=2)


class Guess(Record[int], name="things"):
    id: Mapped[int]
    unbounded: Mapped[int]


def test_what_does_not_fit_changes_nothing(store: MigrationStore) -> None:
    for f in spec_of(Tight).fields:
        if f.name != "id":
            with pytest.raises(
                errors.StoredDataInvalid, match=f"^2 rows of 'things' do not fit Tight.{f.name}"
            ):
                _apply(store, _retype(f.name, Tight))
    refused: list[tuple[Operation, type[errors.DbkitError], str]] = [
        (_retype("to_moment", Moved), errors.StoredDataInvalid, "is null in 1 row"),
        (
            _retype("to_int", Moved),
            errors.InvalidInput,
            "no lossless change of Moved.to_int from bool to text",
        ),
        (_retype("wider", Moved), errors.InvalidInput, "no lossless change of Moved.wider"),
        (_retype("bounded", Moved), errors.InvalidInput, "no lossless change of Moved.bounded"),
        (
            _retype("rank", Moved, using={1: 7, 2: 7}.get),
            errors.DuplicateKey,
            "2 rows of Moved have the same rank as another one",
        ),
        (
            _retype("unbounded", Moved, using=str, found=spec_of(Guess).by_name["unbounded"]),
            errors.StoredDataInvalid,
            "a stored value of 'things'.unbounded is no int",
        ),
    ]
    for operation, kind, words in refused:
        with pytest.raises(kind, match=words):
            _apply(store, operation)
    assert store.differences(Schema([spec_of(Before)])) == []
