"""`db.check()` on collections that dbkit did not make: ObjectIds, missing and mixed-typed fields, duplicates, orphans."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import bson
import pytest
from bson.binary import Binary, UuidRepresentation
from pymongo import MongoClient

from dbkit import Embedded, Entity, Mapped, ObjectId, Record, StoredDataInvalid, aconnect, connect, field
from dbkit.checking import Finding

A, B, C, D = (bson.ObjectId(digit * 24) for digit in "abcd")
NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Plan(Enum):
    FREE = "free"
    PAID = "paid"


class Address(Embedded):
    city: Mapped[str]
    zip: Mapped[str | None] = field(default=None)


class Account(Record[ObjectId], name="crm.accounts", managed=False):
    id: Mapped[ObjectId]
    email: Mapped[str] = field(unique=True, max_length=100)
    tax: Mapped[str | None] = field(default=None, unique=True, max_length=20)
    since: Mapped[datetime]
    plan: Mapped[Plan] = field(default=Plan.FREE)
    age: Mapped[int | None] = field(default=None, index=True)
    credit: Mapped[Decimal] = field(default=Decimal(0), max_digits=8, decimal_places=2)
    token: Mapped[UUID | None] = field(default=None)
    born: Mapped[date | None] = field(default=None)
    address: Mapped[Address | None] = field(default=None)
    tags: Mapped[list[str]] = field(default_factory=list)
    extra: Mapped[dict[str, Any]] = field(default_factory=dict)


class Visit(Record[ObjectId], name="crm.visits", managed=False, indexes=[("account", "at")]):
    id: Mapped[ObjectId]
    account: Mapped[ObjectId | None] = field(default=None, references=lambda: Account, on_delete="cascade")
    at: Mapped[datetime]


class Nothing(Entity, name="crm.nothing", managed=False):
    pass


ENTITIES: list[type[Any]] = [Account, Visit, Nothing]


def account(id: Any, **more: Any) -> dict[str, Any]:
    good: dict[str, Any] = {
        "_id": id,
        "email": f"{id}@example.org",
        "since": NOW,
        "plan": "free",
        "credit": 3,
        "tags": [],
        "extra": {},
    }
    made = good | more
    return {key: value for key, value in made.items() if value is not ...}


@pytest.fixture
def theirs(mongo_url: str) -> Iterator[Any]:
    """Return the database as somebody else's program left it."""
    with MongoClient[dict[str, Any]](mongo_url, tz_aware=True) as client:
        database = client.get_default_database()
        database["crm.accounts"].insert_many(
            [
                account(
                    A, age=36, tax="1", address={"city": "Bonn"}, legacy=1, credit=bson.Decimal128("1.5")
                ),
                account(
                    B,
                    age="36",
                    tax="1",
                    email=f"{A}@example.org",
                    since="2026-03-01",
                    tags=["x", 7],
                    legacy=2,
                ),
                account(
                    C,
                    age=36.5,
                    since=...,
                    plan="gold",
                    credit=bson.Decimal128("1.505"),
                    address={"zip": 5},
                    odd=1,
                ),
                account(
                    "d",
                    age=None,
                    email=None,
                    plan=...,
                    token="018f0000-0000-7000-8000-000000000000",
                    tags="x",
                ),
                account(
                    D,
                    age=bson.Int64(7),
                    tax="2",
                    token=Binary.from_uuid(UUID(int=5), UuidRepresentation.PYTHON_LEGACY),
                    born=bson.Int64(20_000),
                    extra={"a": [1, {"b": None}]},
                ),
            ]
        )
        database["crm.accounts"].create_index([("age", -1)])
        database["crm.accounts"].create_index(
            [("legacy", 1), ("odd", 1)], unique=True, partialFilterExpression={"legacy": {"$gte": 0}}
        )
        database["crm.visits"].insert_many(
            [
                {"_id": bson.ObjectId(), "account": A, "at": NOW},
                {"_id": bson.ObjectId(), "account": bson.ObjectId(), "at": NOW},
                {"_id": bson.ObjectId(), "at": NOW},
            ]
        )
        yield database


def short(findings: tuple[Finding, ...]) -> list[tuple[str | None, str, str, int | None, bool]]:
    return [(f.field, f.kind, f.words, f.count, f.is_problem) for f in findings]


ACCOUNTS = [
    (None, "validator", "no validator keeps other programs to the declared types", None, False),
    ("id", "type", "string in 1 of 5 documents, and objectId here", 1, True),
    ("email", "null", "null in 1 of 5 documents, and never None here", 1, True),
    ("email", "unique", "no unique index keeps it; 1 key is there more than once", 1, True),
    ("tax", "missing field", "missing in 2 of 5 documents: it reads as None", 2, False),
    ("tax", "unique", "no unique index keeps it; 1 key is there more than once", 1, True),
    ("since", "missing field", "missing in 1 of 5 documents", 1, True),
    ("since", "type", "string in 1 of 5 documents, and date here", 1, True),
    ("plan", "missing field", "missing in 1 of 5 documents", 1, True),
    ("plan", "value", "a value outside of what is declared in 1 of 5 documents", 1, True),
    ("age", "type", "double or string in 2 of 5 documents, and long here", 2, True),
    ("credit", "value", "a value outside of what is declared in 1 of 5 documents", 1, True),
    ("token", "missing field", "missing in 3 of 5 documents: it reads as None", 3, False),
    ("token", "type", "binData of subtype 3 or string in 2 of 5 documents, and UUID here", 2, True),
    ("born", "missing field", "missing in 4 of 5 documents: it reads as None", 4, False),
    ("address", "missing field", "missing in 3 of 5 documents: it reads as None", 3, False),
    ("address.city", "missing field", "missing in 1 of 5 documents", 1, True),
    ("address.zip", "type", "int in 1 of 5 documents", 1, True),
    ("tags", "type", "string in 1 of 5 documents, and array here", 1, True),
    ("tags[]", "type", "int in 1 of 5 documents", 1, True),
    ("legacy", "undeclared field", "in 2 of 5 documents, and not declared", 2, False),
    (
        "legacy, odd",
        "undeclared unique",
        "is unique there and not here: DuplicateKey will not name the field",
        None,
        False,
    ),
    ("odd", "undeclared field", "in 1 of 5 documents, and not declared", 1, False),
]
VISITS = [
    (
        None,
        "missing collection",
        "there is no collection '_dbkit_guards', by which dbkit keeps references",
        None,
        True,
    ),
    (None, "validator", "no validator keeps other programs to the declared types", None, False),
    ("account", "index", "is not indexed there: reads scan the collection", None, True),
    ("account", "missing field", "missing in 1 of 3 documents: it reads as None", 1, False),
    ("account", "reference", "1 document leads to no Account", 1, True),
]


def by_place(findings: Any) -> list[Any]:
    return sorted(findings, key=lambda f: (f[0] or "", f[1]))


async def test_collections_made_by_another_program(mongo_url: str, theirs: Any) -> None:
    before = {name: list(theirs[name].find()) for name in ("crm.accounts", "crm.visits")}
    with connect(mongo_url, entities=ENTITIES) as db:
        report = db.check()
        assert by_place(short(report.of("Account"))) == by_place(ACCOUNTS)
        assert [f.field for f in report.of("Account") if f.field in {"id", "email", "plan", "tags"}] == (
            ["id", "email", "email", "plan", "plan", "tags"]
        )
        visits = [f for f in short(report.of("Visit")) if f[1] != "index"]
        assert by_place(visits) == by_place(f for f in VISITS if f[1] != "index")
        assert [(f.kind, f.hint) for f in report.of("Nothing")] == [
            ("missing collection", "its owner has to make it")
        ]
        hints = {(f.field, f.kind): f.hint for f in report.of("Account")}
        assert hints["since", "missing field"] == "db.backfill(Account, Account.since, …)"
        with pytest.raises(StoredDataInvalid):
            db.store(Account).find()
        sampled = db.check(Account, sample=3)
        assert sampled.sample == 3
        assert all(f.sampled for f in sampled.findings if f.count is not None)
        counted = [f.words for f in sampled.findings if " of " in f.words]
        assert all("of 3 sampled documents" in words for words in counted)
        many = db.check(Account, sample=100)
        assert many.of("Account") == report.of("Account")
        db.create_schema()
        assert "_dbkit_guards" in theirs.list_collection_names()
        assert not [f for f in db.check(Visit).findings if f.kind == "missing collection"]
    async with aconnect(mongo_url, entities=ENTITIES) as adb:
        assert (await adb.check(Account)).findings == report.of("Account")
    assert before == {name: list(theirs[name].find()) for name in before}


def test_what_fits_is_read_and_written(mongo_url: str, theirs: Any) -> None:
    theirs["crm.accounts"].delete_many({"_id": {"$ne": D}})
    theirs["crm.accounts"].update_many({}, {"$unset": {"token": ""}, "$set": {"age": 8}})
    for name in ("email", "tax"):
        partial = {"partialFilterExpression": {"tax": {"$gte": ""}}} if name == "tax" else {}
        theirs["crm.accounts"].create_index([(name, 1)], unique=True, **partial)
    with connect(mongo_url, entities=ENTITIES) as db:
        db.create_schema()
        assert db.check(Account).ok, db.check(Account)
        accounts, visits = db.store(Account), db.store(Visit)
        (found,) = accounts.find()
        assert (found.id, found.age, found.credit) == (ObjectId(D), 8, Decimal("3.00"))
        assert accounts.get(ObjectId(D)) == found
        assert (
            accounts.update(
                found.id, Account.age.set(Account.age + 1), Account.credit.set(Account.credit * 2)
            ).age
            == 9
        )
        made = visits.create(Visit(id=ObjectId(), account=found.id, at=NOW))
        assert visits.find(Visit.account == found.id, order_by=Visit.at) == [made]
        assert theirs["crm.visits"].find_one({"_id": bson.ObjectId(made.id.binary)})["account"] == D
        assert accounts.delete(found.id)
        assert visits.get(made.id) is None


def test_indexes_that_keep_something_else_do_not_count(mongo_url: str, theirs: Any) -> None:
    collection = theirs["crm.accounts"]
    collection.delete_many({})
    collection.create_index([("tax", 1)], unique=True)
    collection.create_index([("email", 1)], unique=True, partialFilterExpression={"plan": "paid"})
    with connect(mongo_url, entities=ENTITIES) as db:
        found = {f.field: f.words for f in db.check(Account).problems}
    assert found == {
        "email": "its unique index covers only some documents (partialFilterExpression); no key is there twice",
        "tax": "its unique index takes two nulls for duplicates; no key is there twice",
    }


def test_mongomock_is_looked_at_too() -> None:
    class Plain(Entity, name="plain"):
        n: Mapped[int] = field(unique=True)
        rate: Mapped[float] = field(default=0.0)

    with connect("mongomock://", entities=[Plain]) as db:
        assert [f.kind for f in db.check().findings] == ["missing collection"]
        db.create_schema()
        db.store(Plain).create(Plain(n=1))
        with db.native() as (database, _):
            database["plain"].insert_one({"_id": "x", "n": "1", "extra": 1, "rate": float("inf")})
        assert [(f.field, f.kind, f.count) for f in db.check().findings] == [
            ("id", "type", 1),
            ("created_at", "missing field", 1),
            ("updated_at", "missing field", 1),
            ("n", "type", 1),
            ("rate", "value", 1),
            ("extra", "undeclared field", 1),
        ]
