"""`db.check()` on tables that dbkit did not make: each thing that does not fit is found, and nothing else."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from dbkit import (
    ConfigurationError,
    DuplicateKey,
    Entity,
    InvalidInput,
    Mapped,
    ObjectId,
    OutOfRange,
    Record,
    ReferenceViolation,
    StoredDataInvalid,
    aconnect,
    connect,
    field,
)
from dbkit.checking import Finding

POSTGRES = """
CREATE SCHEMA shop;
CREATE TABLE shop.customers (
  id serial PRIMARY KEY,
  email varchar(100) COLLATE "C" NOT NULL,
  city text COLLATE "{collation}" NOT NULL DEFAULT '',
  name varchar(40) COLLATE "C",
  joined timestamp without time zone NOT NULL,
  seen timestamptz,
  credit numeric(8,2) NOT NULL DEFAULT 0,
  rating real,
  state text COLLATE "C" NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  notes text COLLATE "C" NOT NULL DEFAULT '',
  extra jsonb
);
CREATE UNIQUE INDEX ON shop.customers (email) WHERE state <> 'gone';
CREATE UNIQUE INDEX ON shop.customers (lower(name));
CREATE UNIQUE INDEX ON shop.customers (notes);
CREATE TABLE shop.orders (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer_id integer REFERENCES shop.customers ON DELETE CASCADE,
  seller_id integer,
  number integer NOT NULL,
  year smallint NOT NULL,
  paid boolean
);
CREATE INDEX ON shop.orders (year);
CREATE UNIQUE INDEX ON shop.orders (number, year);
INSERT INTO shop.customers (email, name, joined, state, tenant, notes) VALUES
  ('ada@example.org', 'Ada', now(), 'active', 't', '1'), ('ada@example.org', 'Bob', now(), 'gone', 't', '2'),
  ('eve@example.org', NULL, now(), 'odd', 't', '3');
INSERT INTO shop.orders (customer_id, seller_id, number, year) VALUES (1, 1, 1, 26), (1, 7, 2, 26), (NULL, 8, 3, 26);
"""


class State(Enum):
    ACTIVE = "active"
    GONE = "gone"
    HALF = "50 %s, or 50% of 'it'"


class Customer(Record[int], name="shop.customers", managed=False):
    id: Mapped[int]
    email: Mapped[str] = field(unique=True, max_length=100)
    city: Mapped[str] = field(default="")
    name: Mapped[str] = field(max_length=80, index=True)
    joined: Mapped[datetime]
    seen: Mapped[datetime | None] = field(default=None)
    credit: Mapped[Decimal] = field(default=Decimal(0), max_digits=12, decimal_places=2)
    rating: Mapped[float | None] = field(default=None)
    state: Mapped[State] = field(default=State.ACTIVE)
    bio: Mapped[str | None] = field(default=None)
    extra: Mapped[dict[str, Any] | None] = field(default=None)


class Order(Record[int], name="shop.orders", managed=False, unique=[("year", "number")]):
    id: Mapped[int]
    customer_id: Mapped[int | None] = field(default=None, references=lambda: Customer, on_delete="set_null")
    seller_id: Mapped[int | None] = field(default=None, references=lambda: Customer)
    number: Mapped[int] = field(ge=1, le=2**31 - 1)
    year: Mapped[int] = field(ge=0, le=2_000, index=True)
    paid: Mapped[bool] = field(default=False, index=True)


class Nowhere(Entity, name="shop.nowhere"):
    pass


def short(findings: tuple[Finding, ...]) -> list[tuple[str | None, str, str, int | None, bool]]:
    return [(f.field, f.kind, f.words, f.count, f.is_problem) for f in findings]


ALTER = "ALTER TABLE shop.customers ALTER COLUMN"

# Of those that a server has without any locale of its machine; no index is made, so that it need not be usable.
COLLATION = "SELECT collname FROM pg_collation WHERE collname IN ('en_US', 'en_US.utf8', 'unicode') LIMIT 1"
CUSTOMERS = [
    ("id", "limit", "is integer there: -2,147,483,648 to 2,147,483,647", None, True),
    (
        "email",
        "unique",
        "its unique index covers only rows WHERE (state <> 'gone'::text); 1 key is there more than once",
        1,
        True,
    ),
    (
        "city",
        "collation",
        "is sorted and compared by {collation!r}, not by code point: order, <, >= and starts_with differ",
        None,
        True,
    ),
    ("name", "limit", "holds 40 characters there and 80 characters here", None, True),
    ("name", "index", "is not indexed there: reads scan the table", None, True),
    ("name", "null", "can be null there and not here: 1 row is without a value", 1, True),
    (
        "joined",
        "type",
        "is timestamp without time zone there: which moments it holds, only its writers know",
        None,
        True,
    ),
    (
        "seen",
        "type",
        "is timestamp with time zone there: dbkit cuts to milliseconds, and finds no row by the rest",
        None,
        True,
    ),
    ("credit", "limit", "has 8 digits there and 12 here", None, True),
    ("rating", "type", "is real there; double precision holds a float", None, True),
    ("state", "value", "1 row is outside of the declared type or bounds", 1, True),
    ("bio", "missing field", "there is no column 'bio'", None, True),
    (
        "tenant",
        "required field",
        "the column 'tenant' takes no null, has no default and is not declared: every create fails",
        None,
        True,
    ),
    ("notes", "undeclared field", "the column 'notes' is not declared", None, False),
    (
        "notes",
        "undeclared unique",
        "is unique there and not here: DuplicateKey will not name the field",
        None,
        False,
    ),
]
ORDERS = [
    ("id", "generated field", "is generated by the server, which takes no value for it", None, True),
    ("customer_id", "limit", "is integer there: -2,147,483,648 to 2,147,483,647", None, True),
    ("customer_id", "index", "is not indexed there: reads scan the table", None, True),
    ("customer_id", "reference", "ON DELETE CASCADE there, on_delete='set_null' here", None, True),
    ("seller_id", "limit", "is integer there: -2,147,483,648 to 2,147,483,647", None, True),
    ("seller_id", "index", "is not indexed there: reads scan the table", None, True),
    ("seller_id", "reference", "no foreign key keeps it to Customer; 2 rows are without a parent", 2, True),
    ("paid", "index", "is not indexed there: reads scan the table", None, True),
    ("paid", "null", "can be null there and not here: 3 rows are without a value", 3, True),
]


async def test_a_postgresql_schema_made_by_hand(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as raw:
        found = raw.execute(COLLATION).fetchone()
        if found is None:
            pytest.skip("the server has no collation but by code point")
        raw.execute(POSTGRES.replace("{collation}", found[0]).encode())
    with connect(postgres_url, entities=[Customer, Order, Nowhere]) as db:
        report = db.check()
        expected = [
            (a, b, words.replace("{collation!r}", repr(found[0])), c, d) for a, b, words, c, d in CUSTOMERS
        ]
        assert short(report.of("Customer")) == expected
        assert short(report.of("Order")) == ORDERS
        assert [f.kind for f in report.of("Nowhere")] == ["missing collection"]
        assert not report.ok
        assert len(report.problems) == 23
        hints = {(f.field, f.kind): f.hint for f in report.of("Customer")}
        assert hints["id", "limit"] == f"field(ge=-2147483648, le=2147483647), or {ALTER} id TYPE bigint"
        assert hints["city", "collation"] == f'{ALTER} city TYPE text COLLATE "C"'
        assert hints["joined", "type"] == (
            f"{ALTER} joined TYPE timestamp(3) with time zone USING joined AT TIME ZONE 'UTC', where they wrote UTC"
        )
        sampled = {f.field: f for f in db.check(Order, sample=2).findings if f.sampled}
        assert {name: f.count for name, f in sampled.items()} == {"seller_id": 1, "paid": 2}
        assert db.check(Order).entities == ("Order",)
    async with aconnect(postgres_url, entities=[Customer, Order, Nowhere]) as adb:
        assert await adb.check() == report


async def test_what_dbkit_made_fits(store_url: str) -> None:
    class Parent(Record[ObjectId], name="app.parents", indexes=[("note", "size")]):
        id: Mapped[ObjectId] = field(stored_as="parent_no")
        note: Mapped[str | None] = field(default=None, unique="casefold", max_length=30)
        size: Mapped[int | None] = field(default=None, index=True)
        state: Mapped[State] = field(default=State.GONE)
        at: Mapped[datetime | None] = field(default=None)
        extra: Mapped[dict[str, Any]] = field(default_factory=dict)

    class Child(Entity, name="children", unique=[("parent", "number")]):
        parent: Mapped[ObjectId] = field(references=lambda: Parent, on_delete="cascade")
        before: Mapped[UUID | None] = field(default=None, references=lambda: Child, on_delete="set_null")
        beside: Mapped[UUID | None] = field(default=None, references=lambda: Child)
        number: Mapped[int | None] = field(default=None)

    with connect(store_url, entities=[Parent, Child]) as db:
        assert [(f.entity, f.kind) for f in db.check().problems] == [
            ("Parent", "missing collection"),
            ("Child", "missing collection"),
        ]
        db.create_schema()
        assert db.check().is_empty
        parent = db.store(Parent).create(Parent(id=ObjectId(), note="x", extra={"a.b": [1]}))
        child = db.store(Child).create(Child(parent=parent.id))
        db.store(Child).create(Child(parent=parent.id, before=child.id, beside=child.id, number=3))
        report = db.check()
        assert report.is_empty, report
        assert report.ok
        assert report.text().endswith(": everything fits")
        for wrong in (0, -1, True, "all"):
            with pytest.raises(InvalidInput):
                db.check(sample=wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        with pytest.raises(ConfigurationError):
            db.check(Order)
    async with aconnect(store_url, entities=[Parent, Child]) as adb:
        assert (await adb.check(Child)).is_empty


FOREIGN = """
CREATE TABLE people (
  no serial PRIMARY KEY, login varchar(30) COLLATE "C" NOT NULL CONSTRAINT people_login_key UNIQUE,
  level smallint NOT NULL, points bigint NOT NULL DEFAULT 0, balance numeric(10,2) NOT NULL, boss integer CONSTRAINT people_boss_fkey REFERENCES people,
  active boolean NOT NULL, extra jsonb, photo bytea, score double precision, since timestamptz(3) NOT NULL
);
CREATE INDEX ON people (boss NULLS FIRST);
"""


class Person(Record[int], name="people", managed=False):
    id: Mapped[int] = field(stored_as="no", ge=1, le=2**31 - 1)
    login: Mapped[str] = field(unique=True, max_length=30)
    level: Mapped[int] = field(ge=-(2**15), le=2**15 - 1)
    points: Mapped[int] = field(default=0)
    balance: Mapped[Decimal] = field(max_digits=10, decimal_places=2)
    boss: Mapped[int | None] = field(default=None, references=lambda: Person, ge=1, le=2**31 - 1)
    active: Mapped[bool] = field(default=True)
    extra: Mapped[dict[str, Any] | None] = field(default=None)
    photo: Mapped[bytes | None] = field(default=None)
    score: Mapped[float | None] = field(default=None)
    since: Mapped[datetime]


def test_what_is_said_to_fit_works(postgres_url: str) -> None:
    """Narrower integers, varchar and the server's own names: every verb does what it does elsewhere."""
    with psycopg.connect(postgres_url, autocommit=True) as raw:
        raw.execute(FOREIGN)
    with connect(postgres_url, entities=[Person]) as db:
        assert db.check().is_empty, db.check()
        people = db.store(Person)
        since = datetime.fromisoformat("2026-03-01T12:00:00.123Z")
        money, photo = Decimal("1.50"), b"\x00\xff"
        first = Person(
            id=1, login="ada", level=1, balance=money, extra={"a": [1, "x"]}, photo=photo, since=since
        )
        assert people.create(first) == first
        rest = [
            Person(id=n, login=f"p{n}", level=n, balance=money, boss=1, score=0.1, since=since)
            for n in (2, 3)
        ]
        assert people.create_many([*rest, first.evolve(id=4, login="odd \\ \t'")]) == 3
        assert people.find(order_by=Person.id) == [first, *rest, first.evolve(id=4, login="odd \\ \t'")]
        assert people.find(Person.boss.in_([1]), Person.level > 2, Person.login.starts_with("p")) == [rest[1]]
        page = people.page(order_by=(Person.boss, Person.id), limit=2)
        assert len(people.page(order_by=(Person.boss, Person.id), after=page.next_cursor).items) == 2
        assert (
            people.update(
                2, Person.level.set(Person.level + 40), Person.balance.set(Person.balance - 1)
            ).level
            == 42
        )
        assert people.upsert(first.evolve(id=9, level=5), on=Person.login).id == 1
        with pytest.raises(DuplicateKey) as taken:
            people.create(first.evolve(id=5))
        assert taken.value.field == "login"
        with pytest.raises(DuplicateKey) as taken:
            people.create(first.evolve(login="new"))
        assert taken.value.field == "id"
        with pytest.raises(ReferenceViolation) as orphan:
            people.create(first.evolve(id=5, login="new", boss=77))
        assert orphan.value.field == "boss"
        with pytest.raises(ReferenceViolation) as parent:
            people.delete(1)
        assert parent.value.field == "boss"
        people.update(2, Person.points.set(2))
        for change in (
            Person.level.set(Person.level + 32_767),
            Person.points.set(Person.points * (2**62)),
            Person.balance.set(Person.balance + Decimal("99999999.99")),
        ):
            with pytest.raises(OutOfRange):
                people.update(2, change)
        assert people.delete_many(Person.boss == 1) == 2


def test_limits_that_are_not_declared_are_errors_of_their_own(postgres_url: str) -> None:
    class Loose(Record[int], name="people", managed=False):
        id: Mapped[int] = field(stored_as="no")
        login: Mapped[str]
        level: Mapped[int]
        balance: Mapped[Decimal] = field(max_digits=12, decimal_places=2)
        active: Mapped[bool] = field(default=True)
        since: Mapped[datetime]

    with psycopg.connect(postgres_url, autocommit=True) as raw:
        raw.execute(FOREIGN)
    with connect(postgres_url, entities=[Loose]) as db:
        assert [(f.field, f.kind) for f in db.check().problems] == [
            ("id", "limit"),
            ("login", "limit"),
            ("level", "limit"),
            ("balance", "limit"),
        ]
        since = datetime.fromisoformat("2026-03-01T12:00:00Z")
        good = Loose(id=1, login="a", level=1, balance=Decimal(1), since=since)
        for wrong in (
            good.evolve(id=2**31),
            good.evolve(login="x" * 31),
            good.evolve(level=2**15),
            good.evolve(balance=Decimal(10**9)),
        ):
            with pytest.raises(OutOfRange):
                db.store(Loose).create(wrong)


class Member(Record[int], name="members", managed=False):
    id: Mapped[int]
    email: Mapped[str] = field(unique=True, max_length=50)
    name: Mapped[str | None] = field(default=None, max_length=20)
    key: Mapped[UUID | None] = field(default=None)
    joined: Mapped[datetime | None] = field(default=None)
    active: Mapped[bool] = field(default=True)
    extra: Mapped[dict[str, Any] | None] = field(default=None)
    club: Mapped[str] = field(references=lambda: Club, index=True)


class Club(Record[str], name="clubs", managed=False):
    id: Mapped[str] = field(stored_as="code", max_length=10)


SQLITE = """
CREATE TABLE Clubs (Code VARCHAR(10) PRIMARY KEY NOT NULL);
CREATE TABLE Members (
  ID INTEGER PRIMARY KEY, Email VARCHAR(50) NOT NULL COLLATE NOCASE, name TEXT, key CHAR(36), joined DATETIME,
  active BOOLEAN NOT NULL, extra JSON, club TEXT NOT NULL REFERENCES clubs (code), legacy TEXT NOT NULL, hint TEXT
);
CREATE UNIQUE INDEX members_email ON Members (Email) WHERE active;
INSERT INTO Clubs VALUES ('a');
INSERT INTO Members (id, email, name, key, joined, active, extra, club, legacy) VALUES
  (1, 'x', 'Ada', NULL, 1700000000000, 1, '{}', 'a', ''),
  (2, 'y', 'a name of more than twenty characters', '018f0000-0000-7000-8000-000000000000', '2026-03-01', 7, '[1', 'a', '');
"""


def test_a_sqlite_file_made_by_hand(tmp_path: Path) -> None:
    raw = sqlite3.connect(tmp_path / "theirs.sqlite")
    raw.executescript(SQLITE)
    raw.close()
    with connect(f"sqlite:///{tmp_path}/theirs.sqlite", entities=[Member, Club]) as db:
        report = db.check()
        assert report.of("Club") == ()
        assert short(report.of("Member")) == [
            (
                "email",
                "collation",
                "is sorted and compared by 'NOCASE', not by code point: order, <, >= and starts_with differ",
                None,
                True,
            ),
            (
                "email",
                "unique",
                "its unique index covers only rows WHERE active; no key is there twice",
                0,
                True,
            ),
            ("name", "value", "1 row is outside of the declared type or bounds", 1, True),
            ("key", "type", "is CHAR(36) there; BLOB holds uuid values", None, True),
            ("joined", "value", "1 row is outside of the declared type or bounds", 1, True),
            ("active", "value", "1 row is outside of the declared type or bounds", 1, True),
            ("extra", "type", "is JSON there; TEXT holds dict values", None, True),
            ("club", "index", "is not indexed there: reads scan the table", None, True),
            (
                "legacy",
                "required field",
                "the column 'legacy' takes no null, has no default and is not declared: every create fails",
                None,
                True,
            ),
            ("hint", "undeclared field", "the column 'hint' is not declared", None, False),
        ]
        with pytest.raises(StoredDataInvalid):
            db.store(Member).find()


def test_a_table_of_ours_that_lost_its_checks(tmp_path: Path) -> None:
    class Ours(Record[int], name="ours"):
        id: Mapped[int]
        n: Mapped[int] = field(default=0, ge=0)
        price: Mapped[Decimal] = field(default=Decimal(0), max_digits=6, decimal_places=2)

    with connect(f"sqlite:///{tmp_path}/ours.sqlite", entities=[Ours]) as db:
        with db.native() as raw:
            raw.execute(
                "CREATE TABLE ours (id INTEGER NOT NULL PRIMARY KEY, n INTEGER NOT NULL, price INTEGER NOT NULL) STRICT"
            )
        assert [(f.field, f.kind, f.words, f.hint) for f in db.check().findings] == [
            (
                "n",
                "limit",
                "nothing there keeps a computed change within the declared bounds",
                "add CHECK (n BETWEEN 0 AND 9223372036854775807)",
            ),
            (
                "price",
                "limit",
                "nothing there keeps a computed change within the declared bounds",
                "add CHECK (price BETWEEN -999999 AND 999999)",
            ),
        ]
