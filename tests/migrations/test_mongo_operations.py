"""Each operation on MongoDB: what it leaves is what `create_schema()` makes, wherever it was interrupted."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pymongo
import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64

from dbkit import Database, connect
from dbkit.entity import spec_of
from dbkit.migrations.state import State
from dbkit.migrations.store import MigrationStore
from dbkit.options import Options
from dbkit.spec import Schema
from dbkit.statement import Statement
from dbkit.testing.servers import Server, drop_database, fresh_database
from dbkit.url import parse_url
from dbkit_mongo.plugin import migration_store
from tests.migrations.mongo_cases import CASES, Case, Org, Rows, documents

EVERY_POINT = bool(os.environ.get("DBKIT_EVERY_KILL"))
"""Whether to interrupt after each command, not after each third."""
NEVER_MADE = {"_dbkit_guards", "_dbkit_migrations"}


@pytest.fixture(scope="module")
def url(mongo_server: Server) -> Iterator[str]:
    url = fresh_database(mongo_server)
    yield url
    drop_database(mongo_server, url)


@pytest.fixture(scope="module")
def native(url: str) -> Iterator[Any]:
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        yield client.get_default_database()


@pytest.fixture
def store(url: str, native: Any) -> Iterator[MigrationStore]:
    for name in native.list_collection_names():
        native.drop_collection(name)
    store = store_of(url)
    store.open()
    yield store
    store.close()


def store_of(url: str) -> MigrationStore:
    parsed = parse_url(url)
    return migration_store(parsed, Options(driver=tuple(parsed.query)))


def begin(url: str, native: Any, case: Case) -> None:
    """Make what is there before, with rows that have seen years."""
    for name in native.list_collection_names():
        native.drop_collection(name)
    with connect(url, entities=[case.before, *case.others]) as db:
        db.create_schema()
        if case.before is Org:
            return
        plain = documents()
        entity = spec_of(case.before)
        for document in plain:
            for shadow in entity.shadows:
                document[shadow.stored] = document[str(shadow.shadow_of)].casefold()
            if entity.by_name["age"].type.kind == "decimal" and document.get("age") is not None:
                document["age"] = Decimal128(f"{document['age']}.00")
        native.people.insert_many(plain, bypass_document_validation=True)
        for other in case.others:
            native[spec_of(other).stored].insert_one({"_id": Int64(7)})


@contextmanager
def step(store: MigrationStore, target: int) -> Generator[None]:
    """Do what a migrator does around a step: dirty before it, clean after it."""
    state = (store.state() or State()).changed(dirty=True, target=target)
    store.save(state)
    yield
    store.save(state.changed(dirty=False, version=target))


def check(store: MigrationStore, case: Case, entity: type[Any], rows: Rows | None) -> None:
    """Nothing differs from what `create_schema()` makes, and the rows are as they shall be."""
    schema = Schema([spec_of(e) for e in dict.fromkeys([entity, *case.others])])
    assert store.differences(schema) == []
    db = store.stores(schema)
    assert isinstance(db, Database)
    before = layout(db)
    db.create_schema()
    assert layout(db) == before
    if entity is Org:
        return
    found = {row.id: row for row in db.store(entity).find()}
    if case.name != "create_collection":
        assert found.keys() == {1, 2, 3, 4}
    for id, fields in (rows or {}).items():
        assert {name: getattr(found[id], name) for name in fields} == fields


def layout(db: Any) -> dict[str, Any]:
    """Return all that a database has apart from documents, order left out."""
    with db.native() as (database, _):
        made: dict[str, Any] = {}
        for found in database.list_collections():
            if found["name"] in NEVER_MADE:
                continue
            schema = dict(found["options"].get("validator", {}).get("$jsonSchema", {}))
            schema.pop("title", None)  # the class's name, which a migration of one field leaves as it was
            schema["required"] = sorted(schema.get("required", ()))
            indexes = {
                i["name"]: (list(i["key"].items()), i.get("unique", False), i.get("partialFilterExpression"))
                for i in database[found["name"]].list_indexes()
            }
            made[found["name"]] = (schema, indexes)
        return made


def fresh_layout(url: str, native: Any, *entities: type[Any]) -> dict[str, Any]:
    for name in native.list_collection_names():
        native.drop_collection(name)
    with connect(url, entities=entities) as db:
        db.create_schema()
        return layout(db)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_an_operation_leaves_what_create_schema_makes(
    store: MigrationStore, url: str, native: Any, case: Case
) -> None:
    there, back = case.operations()
    expected = [fresh_layout(url, native, e, *case.others) for e in (case.after, case.before)]
    begin(url, native, case)
    for operation, entity, rows, made, version in (
        (there, case.after, case.seen, expected[0], 1),
        (back, case.before, case.returned, expected[1], 0),
    ):
        with step(store, version):
            store.render(operation)
            store.apply(operation)
            check(store, case, entity, rows)
            with connect(url, entities=[entity, *case.others]) as db:
                shown = layout(db)
                if case.name == "create_collection":
                    shown.pop("orgs", None)
                    made.pop("orgs", None)
                assert shown == made
            assert store.apply(operation) == 0
            check(store, case, entity, rows)
    leftovers = [d for d in native.people.find() if d["_id"] == 4]
    assert not leftovers or leftovers[0]["left"] == [None, {"a": 1}]


class Killed(BaseException):
    """Like a signal: no handler takes it for an error."""


def killed_at(store: MigrationStore, operation: Any, n: int) -> bool:
    """Run the operation until *n* commands were sent; return whether it was interrupted."""
    sent = 0

    def hook(_: Statement) -> None:
        nonlocal sent
        sent += 1
        if sent == n:
            raise Killed

    store.hook = hook
    try:
        store.apply(operation)
    except Killed:
        return True
    finally:
        store.hook = None
    return False


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_an_operation_that_was_interrupted_anywhere_is_completed_by_running_it_again(
    store: MigrationStore, url: str, native: Any, case: Case
) -> None:
    there, back = case.operations()
    begin(url, native, case)
    interrupted = 1 if EVERY_POINT else 1 + CASES.index(case) % 3
    was_killed = True
    while was_killed:
        with step(store, 1):
            was_killed = killed_at(store, there, interrupted)
            store.apply(there)
            check(store, case, case.after, case.seen)
        with step(store, 0):
            was_killed |= killed_at(store, back, interrupted)
            store.apply(back)
            check(store, case, case.before, case.returned)
        interrupted += 1 if EVERY_POINT else 3
    assert interrupted > 3
