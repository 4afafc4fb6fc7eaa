"""MongoDB's side of migrations: its lease, its state, batches, commands, refusals, differences."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pymongo
import pytest
from bson.int64 import Int64

from dbkit import Locked, Mapped, Record, Unsupported, connect, errors, field
from dbkit.entity import spec_of
from dbkit.migrations import operations as op
from dbkit.migrations.state import STATE_NAME, Applied, Progress, State
from dbkit.migrations.store import MigrationStore
from dbkit.options import Options
from dbkit.spec import Schema
from dbkit.testing.servers import Server, drop_database, fresh_database
from dbkit.url import parse_url
from dbkit.values import Kind, utc_now
from dbkit_mongo.features import standalone
from dbkit_mongo.migrating import lease
from dbkit_mongo.migrating.commands import native
from dbkit_mongo.migrating.store import MongoMigrationStore
from dbkit_mongo.plugin import migration_store
from tests.migrations import mongo_cases as cases


@pytest.fixture(scope="module")
def url(mongo_server: Server) -> Iterator[str]:
    url = fresh_database(mongo_server)
    yield url
    drop_database(mongo_server, url)


@pytest.fixture
def database(url: str) -> Iterator[Any]:
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        database = client.get_default_database()
        for name in database.list_collection_names():
            database.drop_collection(name)
        yield database


Open = Callable[[], MongoMigrationStore]


@pytest.fixture
def open_store(url: str, database: Any) -> Iterator[Open]:
    with ExitStack() as stack:

        def opened() -> MongoMigrationStore:
            parsed = parse_url(url)
            store = migration_store(parsed, Options(driver=tuple(parsed.query)))
            assert isinstance(store, MongoMigrationStore)
            store.open()
            stack.callback(store.close)
            return store

        yield opened


@pytest.fixture
def store(open_store: Open) -> MongoMigrationStore:
    return open_store()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> float:
    """Return how long a lease lasts in this test."""
    monkeypatch.setattr(lease, "LEASE_S", 1.5)
    return 1.5


# -- the lease ---------------------------------------------------------------------------------------------------------------


def test_a_url_without_a_server_makes_nothing() -> None:
    with pytest.raises(Unsupported, match="mongomock cannot be migrated"):
        migration_store(parse_url("mongomock://"), Options())
    assert migration_store(parse_url("mongodb+motor://nowhere/app"), Options()).language == "mongodb"


def test_one_migrates_and_the_other_waits(open_store: Open, short: float) -> None:
    first, second = open_store(), open_store()
    told: list[str] = []

    def migrate() -> None:
        with second.lock(20):
            told.append("second")

    with first.lock(5):
        other = threading.Thread(target=migrate)
        other.start()
        # Longer than a lease lasts: the heartbeat keeps it.
        time.sleep(1.3 * short)
        told.append("first")
        first.state()
    other.join()
    assert told == ["first", "second"]
    assert first.state() is None


def test_waiting_ends(open_store: Open) -> None:
    first, second = open_store(), open_store()
    with first.lock(5), pytest.raises(Locked, match=r"not done within 0\.2 s"), second.lock(0.2):
        pass
    with second.lock(0.2):
        pass


CHILD = """
import sys, time
from dbkit.options import Options
from dbkit.url import parse_url
from dbkit_mongo.migrating import lease
from dbkit_mongo.plugin import migration_store
lease.LEASE_S = 1.5
url = parse_url(sys.argv[1])
store = migration_store(url, Options(driver=tuple(url.query)))
store.open()
with store.lock(5):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_ones_lock_is_taken_over(url: str, store: MigrationStore, short: float) -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD, url], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        child.kill()
    with store.lock(10):
        # Whoever it was can store nothing any more.
        assert store.state() == State(revision=1)


def test_who_was_asleep_for_too_long_can_do_nothing(
    open_store: Open, short: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    asleep, other = open_store(), open_store()
    state = State().changed(dirty=True, target=1)
    monkeypatch.setattr(asleep.lease, "_beat", lambda: None)
    with asleep.lock(5):
        asleep.save(state)
        time.sleep(short)
        with other.lock(5):
            assert other.state() == state.changed()
            with pytest.raises(Locked, match="its lock has run out"):
                asleep.state()
            # Even if its own clock had stood still meanwhile.
            monkeypatch.setattr(asleep.lease, "check", lambda: None)
            with pytest.raises(Locked, match="has taken over"):
                asleep.save(state.changed(dirty=False, version=1))
            other.save(state.changed().changed(dirty=False))
    with other.lock(1):
        assert other.state() == state.changed().changed(dirty=False)


def test_a_heartbeat_finds_that_the_lease_is_gone(store: MigrationStore, database: Any, short: float) -> None:
    with store.lock(5):
        database[STATE_NAME].update_one({"_id": "lease"}, {"$set": {"owner": "another"}})
        time.sleep(short * 0.6)
        with pytest.raises(Locked):
            store.state()
    assert database[STATE_NAME].find_one({"_id": "lease"})["owner"] == "another"


# -- the state ---------------------------------------------------------------------------------------------------------------


def test_the_state_is_changed_by_compare_and_set(store: MigrationStore, open_store: Open) -> None:
    assert store.state() is None
    applied = Applied(1, "one", "abc", utc_now(), 12)
    first = State().changed(version=1, applied=(applied,))
    store.save(first)
    assert store.state() == first
    second = first.changed(dirty=True, target=2, progress=Progress(2, "up", "abc", 0, 17))
    store.save(second)
    assert open_store().state() == second
    for stale in (first, second, State().changed()):
        with pytest.raises(Locked):
            store.save(stale)
    assert store.state() == second


def test_notes_live_as_long_as_their_step(store: MongoMigrationStore, database: Any) -> None:
    notebook = store._notebook
    state = State().changed(dirty=True, target=1)
    store.save(state)
    notebook.put("rename a.b c", {"indexes": [{"$gte": Int64(1)}]})
    assert notebook.get("rename a.b c") == {"indexes": [{"$gte": Int64(1)}]}
    state = state.changed(progress=Progress(1, "up", "abc", 1))
    store.save(state)
    state = state.changed(dirty=False)  # by force, back to where it began
    store.save(state)
    assert notebook.get("rename a.b c") is not None
    store.save(state.changed(version=1))
    assert notebook.get("rename a.b c") is None
    assert "notes" not in database[STATE_NAME].find_one({"_id": "state"})


# -- stores and batches -------------------------------------------------------------------------------------------------------

PEOPLE = Schema([spec_of(cases.Base)])


@pytest.fixture
def people(url: str, database: Any) -> Any:
    with connect(url, entities=[cases.Base]) as db:
        db.create_schema()
    database.people.insert_many(cases.documents(), bypass_document_validation=True)
    return database.people


def test_a_batch_commits_with_its_state(store: MongoMigrationStore, people: Any) -> None:
    state = State().changed(dirty=True, target=1)
    store.save(state)
    with store.batch(PEOPLE) as stores:
        stores.store(cases.Base).update(1, cases.Base.age.set(31))
        state = state.changed(progress=Progress(1, "up", "abc", 0, 1))
        store.save(state)
    assert store.state() == state

    def fail() -> None:
        with store.batch(PEOPLE) as stores:
            other = store.stores(Schema([spec_of(cases.AgeIndexed)]))
            other.store(cases.AgeIndexed).update(3, cases.AgeIndexed.age.set(31))
            assert stores.store(cases.Base).require(3).age == 31
            assert other.counts(cases.AgeIndexed) == [4]
            stores.store(cases.Base).update(2, cases.Base.age.set(31))
            store.save(state.changed(progress=Progress(1, "up", "abc", 0, 2)))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert store.state() == state
    rows = {row.id: row.age for row in store.stores(PEOPLE).store(cases.Base).find()}
    assert rows == {1: 31, 2: None, 3: None, 4: -1}


def test_a_batch_of_one_that_was_shut_out_is_rolled_back(store: MongoMigrationStore, people: Any) -> None:
    state = State().changed(dirty=True, target=1)
    store.save(state)

    def write() -> None:
        with store.batch(PEOPLE) as stores:
            stores.store(cases.Base).update(1, cases.Base.age.set(31))
            store.save(state)

    with pytest.raises(Locked):
        write()
    assert people.find_one({"_id": 1})["age"] == 30


def test_without_transactions_a_batch_is_single_writes(store: MongoMigrationStore, people: Any) -> None:
    store._backend.features = standalone(store._backend.features)

    def fail() -> None:
        with store.batch(PEOPLE) as stores:
            stores.store(cases.Base).update(1, cases.Base.age.set(31))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert people.find_one({"_id": 1})["age"] == 31


# -- commands ----------------------------------------------------------------------------------------------------------------


def test_commands_may_hold_extended_json(store: MongoMigrationStore, database: Any) -> None:
    reply = store.command(
        {
            "insert": "things",
            "documents": [{"_id": 1, "n": {"$numberLong": "5"}, "at": {"$date": "2026-01-02T03:04:05Z"}}],
        }
    )
    assert reply["n"] == 1
    assert isinstance(database.things.find_one()["n"], Int64)
    with pytest.raises(errors.DuplicateKey) as caught:
        store.command({"insert": "things", "documents": [{"_id": 1}]})
    assert "1" not in str(caught.value)
    store.command({"renameCollection": "things", "to": "others"})
    assert database.list_collection_names() == ["others"]
    for wrong in ({}, {"ping": {"$oid": "x"}}, {"ping": {"$date": "x"}}, {"ping": {"$numberLong": "x"}}):
        with pytest.raises(errors.InvalidInput):
            native(wrong)
    with pytest.raises(Unsupported):
        store.sql("SELECT 1")


# -- refusals ----------------------------------------------------------------------------------------------------------------


class Slug(Record[int], name="people"):
    id: Mapped[int]
    slug: Mapped[str] = field(unique=True, max_length=80)
    org: Mapped[int | None] = field(default=None, references=lambda: cases.Org, unique=True)
    age: Mapped[int] = field(ge=0)
    name: Mapped[str] = field(unique="casefold", max_length=3)
    left: Mapped[str | None] = field(default=None)


SLUG = spec_of(Slug)
_ORG_KEY: Any = SLUG.unique_key(("org",))
REFUSED: list[tuple[str, op.Operation, type[errors.DbkitError], str]] = [
    (
        "duplicates",
        op.AddUnique(SLUG, _ORG_KEY),
        errors.DuplicateKey,
        "2 rows of Slug have the same org as another one",
    ),
    (
        "orphans",
        op.AddReference(SLUG, SLUG.by_name["org"]),
        errors.ReferenceViolation,
        "2 documents of Slug refer by org to a Org",
    ),
    (
        "nulls",
        op.RetypeField(SLUG, SLUG.by_name["age"], found=SLUG.by_name["age"]),
        errors.StoredDataInvalid,
        "2 documents of Slug have no value",
    ),
    (
        "bounds",
        op.RetypeField(SLUG, SLUG.by_name["age"], default=1),
        errors.StoredDataInvalid,
        "1 document of Slug have a value that the field does not allow",
    ),
    (
        "length",
        op.RetypeField(SLUG, SLUG.by_name["slug"], using=lambda t: t * 90),
        errors.InvalidInput,
        "longer than the declared 80",
    ),
    (
        "no such change",
        op.RetypeField(SLUG, SLUG.by_name["age"], found=SLUG.by_name["slug"]),
        errors.InvalidInput,
        "is text there and int here",
    ),
    (
        "taken",
        op.AddField(SLUG, SLUG.by_name["left"]),
        errors.StoredDataInvalid,
        "1 document of Slug have another value already under 'left'",
    ),
    ("no collection", op.DropField("persons", "age"), errors.ConfigurationError, "'persons' does not exist"),
    ("the id", op.DropField("people", "_id"), errors.InvalidInput, "an id cannot be dropped"),
]


@pytest.mark.parametrize(("name", "operation", "kind", "words"), REFUSED, ids=[r[0] for r in REFUSED])
def test_what_cannot_be_done_changes_nothing(
    store: MongoMigrationStore,
    people: Any,
    database: Any,
    name: str,
    operation: op.Operation,
    kind: type[errors.DbkitError],
    words: str,
) -> None:
    before = sorted(people.find(), key=lambda d: d["_id"])
    with pytest.raises(kind) as caught:
        store.apply(operation)
    assert words in str(caught.value)
    assert "Ada" not in str(caught.value)
    assert sorted(people.find(), key=lambda d: d["_id"]) == before
    assert list(people.index_information()) == ["_id_"]


def test_a_new_field_needs_values(store: MongoMigrationStore, people: Any) -> None:
    code = spec_of(cases.WithCode)
    with pytest.raises(errors.InvalidInput, match=r"4 documents of WithCode have no code"):
        store.apply(op.AddField(code, code.by_name["code"]))
    with pytest.raises(errors.DuplicateKey, match="4 rows of WithCode have the same code as another one"):
        store.apply(op.AddField(code, code.by_name["code"], default="a"))
    with pytest.raises(errors.DuplicateKey, match="4 rows of WithCode have the same code as another one"):
        store.apply(op.AddField(code, code.by_name["code"], fill=lambda _: "a"))
    assert people.count_documents({"code": {"$exists": True}}) == 0
    assert store.differences(PEOPLE) == []


def test_duplicates_without_case_leave_no_trace(store: MongoMigrationStore, people: Any) -> None:
    people.insert_one({"_id": Int64(5), "name": "éve", "slug": "e"})
    folded = spec_of(cases.FoldedName)
    key = folded.unique_key(("name",))
    assert key is not None
    with pytest.raises(errors.DuplicateKey, match="2 rows of FoldedName have the same name as another one"):
        store.apply(op.AddUnique(folded, key))
    assert people.count_documents({"name__casefold": {"$exists": True}}) == 0
    assert store.differences(PEOPLE) == []


# -- what is shown -------------------------------------------------------------------------------------------------------------


def test_a_plan_says_what_is_sent_and_how_many_it_touches(store: MongoMigrationStore, people: Any) -> None:
    bio = spec_of(cases.WithBio)
    shown = store.render(op.AddField(bio, bio.by_name["bio"], default="-"))
    assert [s.text.split('"')[1] for s in shown] == ["collMod", "update", "collMod", "createIndexes"]
    assert [s.touches for s in shown] == [None, 4, None, None]
    assert shown[1].text == (
        '{"update": "people", "updates": [{"q": {"$expr": {"$lte": ["$bio", null]}}, "u": {"$set": {"bio": "-"}}, '
        '"multi": true}]}'
    )
    people.drop()
    shown = store.render(op.AddField(bio, bio.by_name["bio"], default="-"))
    assert [s.touches for s in shown] == [None, None, None, None]
    assert "people" not in people.database.list_collection_names()


def test_ddl_is_what_create_schema_sends(store: MongoMigrationStore, url: str) -> None:
    texts = store.ddl(Schema([spec_of(cases.OrgRefSlug), spec_of(cases.Org)]))
    assert [t.split('"')[1::2][:2] for t in texts] == [
        ["create", "orgs"],
        ["create", "people"],
        ["createIndexes", "people"],
        ["create", "_dbkit_guards"],
        ["createIndexes", "_dbkit_guards"],
    ]


# -- differences ---------------------------------------------------------------------------------------------------------------


class Other(Record[int], name="people", unique=[("org", "slug")]):
    id: Mapped[int]
    name: Mapped[str] = field(unique="casefold", max_length=80)
    org: Mapped[int | None] = field(default=None, references=lambda: cases.Org)
    slug: Mapped[str | None] = field(default=None)
    bio: Mapped[str] = field(unique=True)


def test_differences_are_what_operations_mend(store: MongoMigrationStore, url: str) -> None:
    other = Schema([spec_of(Other), spec_of(cases.Org)])
    assert {d.kind for d in store.differences(other)} == {"missing collection"}
    with connect(url, entities=[cases.AgeIndexed, cases.Org]) as db:
        db.create_schema()
    found = {(d.kind, d.field.name if d.field else None, d.stored): d for d in store.differences(other)}
    assert found.keys() == {
        ("missing field", "bio", ()),
        ("changed field", "slug", ("slug",)),
        ("undeclared field", None, ("age",)),
        ("undeclared index", None, ("age",)),
        ("missing unique", None, ()),
        ("missing reference", "org", ()),
    }
    assert found["changed field", "slug", ("slug",)].words == (
        "people.slug is string there and null or string, not required here"
    )
    slug, age = (
        found["changed field", "slug", ("slug",)].found,
        found["undeclared field", None, ("age",)].found,
    )
    assert slug is not None
    assert (slug.kind, slug.nullable) == (Kind.TEXT, False)
    assert age is not None
    assert (age.kind, age.nullable) == (Kind.INT, True)
    kinds = [d.kind for d in store.differences(other)]
    assert kinds.count("missing unique") == 2


def test_undeclared_keys_are_named_by_dbkits_own_names(
    store: MongoMigrationStore, url: str, database: Any
) -> None:
    with connect(url, entities=[cases.Folded]) as db:
        db.create_schema()
    database.people.create_index("slug", name="mine")
    base = Schema([spec_of(cases.Base)])
    assert {(d.kind, d.stored) for d in store.differences(base)} == {
        ("undeclared unique", ("name__casefold",)),
        ("undeclared unique", ("org", "name")),
        ("undeclared index", ("name", "age")),
    }


def test_a_collection_of_others_is_no_field_by_field_difference(
    store: MongoMigrationStore, database: Any
) -> None:
    database.people.insert_one({"_id": Int64(1), "name": "Ada", "slug": "a"})
    base = Schema([spec_of(cases.Base)])
    (difference,) = store.differences(base)
    assert difference.kind == "other"
    assert "dbkit did not make it" in difference.words
    # Operations work there too, and leave the validator to whoever made it.
    bio = spec_of(cases.WithBio)
    assert store.apply(op.AddField(bio, bio.by_name["bio"], default="-")) == 1
    renamed = spec_of(cases.Renamed)
    for _ in range(2):
        store.apply(op.RenameField(renamed, renamed.by_name["fullname"], "name"))
    assert database.people.find_one() == {"_id": 1, "fullname": "Ada", "slug": "a", "bio": "-"}
    assert "validator" not in next(iter(database.list_collections(filter={"name": "people"})))["options"]
    store.apply(op.DropField("people", "bio"))
    store.apply(op.RenameField(spec_of(cases.Base), spec_of(cases.Base).by_name["name"], "fullname"))
    store.apply(op.SetValidator(spec_of(cases.Base)))
    assert store.differences(base) == []
