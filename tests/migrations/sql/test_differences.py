"""Each difference is told once, and a column tells its type."""

# a step is several statements, and what fails is its end

from __future__ import annotations

import enum
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from dbkit import Embedded, Mapped, ObjectId, Record, connect, errors, field
from dbkit.entity import spec_of
from dbkit.migrations.operations import (
    CreateCollection,
    DropCollection,
    RenameField,
)
from dbkit.migrations.store import MigrationStore
from dbkit.spec import Schema
from tests.migrations.sql.tables import MEMBER, ORG, SCHEMA, AppUser, Member, Org, Task, begun, field_of


class Colour(enum.Enum):
    RED = "r"


class Part(Embedded):
    n: Mapped[int]


class Everything(Record[UUID], name="all_types"):
    id: Mapped[UUID]
    oid: Mapped[ObjectId]
    text: Mapped[str]
    short: Mapped[str | None] = field(max_length=9)
    whole: Mapped[int]
    small: Mapped[int | None] = field(ge=-5, lt=10)
    positive: Mapped[int] = field(ge=1)
    real: Mapped[float]
    part: Mapped[float] = field(ge=0.0, le=1.5)
    price: Mapped[Decimal] = field(max_digits=9, decimal_places=2)
    share: Mapped[Decimal] = field(max_digits=18, decimal_places=6, ge=0, le=1)
    flag: Mapped[bool]
    at: Mapped[datetime | None]
    day: Mapped[date]
    hour: Mapped[time]
    span: Mapped[timedelta]
    raw: Mapped[bytes]
    digest: Mapped[bytes] = field(max_length=32)
    things: Mapped[list[Any]] = field(max_length=4)
    extra: Mapped[dict[str, Any]]
    numbers: Mapped[list[int]]
    dates: Mapped[dict[str, date | None]]


class Opaque(Record[UUID], name="opaque"):
    id: Mapped[UUID]
    colour: Mapped[Colour]
    address: Mapped[Part]
    nested: Mapped[list[Part]]


class Bare(Record[UUID], name="all_types"):
    id: Mapped[UUID]


class BareOpaque(Record[UUID], name="opaque"):
    id: Mapped[UUID]


def test_a_column_tells_its_type(store: MigrationStore, url: str) -> None:
    with connect(url, entities=[Everything, Opaque]) as db:
        db.create_schema()
    found = {d.stored[0]: d for d in store.differences(Schema([spec_of(Bare)]))}
    assert {d.kind for d in found.values()} == {"undeclared field"}
    for f in spec_of(Everything).fields:
        if f.name != "id":
            got = found[f.stored].found
            assert got is not None, f.name
            assert (got.kind, got.nullable, got.max_length) == (
                f.type.kind,
                f.type.nullable,
                f.type.max_length,
            )
            assert got.element == f.type.element, f.name
            if f.type.kind.is_number:
                assert got.bounds == f.type.bounds, f.name
                assert got.decimal_places == f.type.decimal_places
    # What is inside JSON no catalogue shows, nor which values an Enum has.
    opaque = {d.stored[0]: d.found for d in store.differences(Schema([spec_of(BareOpaque)]))}
    assert opaque["address"] is opaque["nested"] is None
    assert opaque["colour"] is None


class MemberBefore(Record[int], name="members", unique=[("org", "name")], indexes=[("name", "boss")]):
    id: Mapped[int]
    org: Mapped[str] = field(references=lambda: Org, max_length=40)
    boss: Mapped[int | None] = field(default=None, ge=0)
    name: Mapped[str] = field(max_length=30, unique="casefold")
    note: Mapped[str] = field(unique="casefold", index=True)


def test_each_difference_is_told_once(store: MigrationStore, url: str) -> None:
    begun(url)
    with connect(url, entities=[Org, MemberBefore]) as db, pytest.raises(errors.SchemaDrift) as raised:
        db.create_schema()
    assert "column note is missing" in str(raised.value)
    found = store.differences(Schema([ORG, spec_of(MemberBefore)]))
    told = {(d.kind, d.field.name if d.field else None, d.stored) for d in found}
    assert told == {
        ("missing field", "note", ()),
        ("changed field", "boss", ("boss",)),
        ("changed field", "name", ("name",)),
        ("undeclared reference", "boss", ("boss",)),
        ("changed reference", "org", ("org",)),
        ("missing unique", "name", ()),
        ("missing unique", None, ()),
        ("missing index", None, ()),
        ("undeclared index", "boss", ("boss",)),
        ("undeclared index", "org", ("org",)),
    }
    there = {d.stored[0]: (d.found_target, d.found_on_delete) for d in found if "reference" in d.kind}
    assert there == {"boss": ("members", "set_null"), "org": ("orgs", "cascade")}
    backwards = store.differences(SCHEMA)
    assert backwards == []
    with connect(url, entities=[Org, Member, Task]) as db:
        db.drop_schema()
    with connect(url, entities=[Org, MemberBefore]) as db:
        db.create_schema()
    told = {
        (d.kind, d.field.name if d.field else None, d.stored)
        for d in store.differences(Schema([ORG, MEMBER]))
    }
    assert told == {
        ("undeclared field", None, ("note",)),
        # They go with the field, and are told for who wants it back.
        ("undeclared unique", None, ("note__casefold",)),
        ("undeclared index", None, ("note",)),
        ("changed field", "boss", ("boss",)),
        ("changed field", "name", ("name",)),
        ("missing reference", "boss", ()),
        ("changed reference", "org", ("org",)),
        ("undeclared unique", "name", ("name__casefold",)),
        ("undeclared unique", None, ("org", "name")),
        ("undeclared index", None, ("name", "boss")),
        ("missing index", None, ()),
    }


def test_ddl_makes_what_create_schema_makes(store: MigrationStore, url: str) -> None:
    with store.transaction():
        for statement in store.ddl(SCHEMA):
            store.sql(statement)
    assert store.differences(SCHEMA) == []


class Chicken(Record[int], name="chickens"):
    id: Mapped[int]
    egg: Mapped[int | None] = field(default=None, references=lambda: Egg, on_delete="set_null")


class Egg(Record[int], name="eggs"):
    id: Mapped[int]
    chicken: Mapped[int | None] = field(default=None, references=lambda: Chicken)


def test_two_that_refer_to_each_other(store: MigrationStore) -> None:
    both = Schema([spec_of(Chicken), spec_of(Egg)])
    shown = [r.text for e in both for r in store.render(CreateCollection(e))]
    assert len(shown) >= 4
    with store.transaction():
        store.apply(CreateCollection(spec_of(Chicken)))
        store.apply(CreateCollection(spec_of(Egg)))
    assert store.differences(both) == []


class AppPost(Record[int], name="app.posts"):
    id: Mapped[int]
    author: Mapped[int] = field(references=lambda: AppUser, unique=True)
    title: Mapped[str] = field(unique="casefold", max_length=20)


class AppPostNamed(Record[int], name="app.articles"):
    id: Mapped[int]
    writer: Mapped[int] = field(references=lambda: AppUser, unique=True)
    title: Mapped[str] = field(unique="casefold", max_length=20)


def test_tables_in_a_schema(store: MigrationStore, url: str) -> None:
    from dbkit.migrations.operations import RenameCollection

    user, post, article = spec_of(AppUser), spec_of(AppPost), spec_of(AppPostNamed)
    with store.transaction():
        store.apply(CreateCollection(user))
        store.apply(CreateCollection(post))
    assert store.differences(Schema([user, post])) == []
    with connect(url, entities=[AppUser, AppPost]) as db:
        db.create_schema()
        db.store(AppUser).create(AppUser(id=1, name="x"))
        db.store(AppPost).create(AppPost(id=1, author=1, title="T"))
    with store.transaction():
        store.apply(RenameField(spec_of(AppWriter), field_of(AppWriter, "writer"), "author"))
        store.apply(RenameCollection(article, "app.posts"))
    assert [d.words for d in store.differences(Schema([user, article]))] == []
    with connect(url, entities=[AppUser, AppPostNamed]) as db:
        db.create_schema()
        assert db.store(AppPostNamed).require(1).writer == 1
    with store.transaction():
        store.apply(DropCollection("app.articles"))
        store.apply(DropCollection("app.users"))


class AppWriter(Record[int], name="app.posts"):
    id: Mapped[int]
    writer: Mapped[int] = field(references=lambda: AppUser, unique=True)
