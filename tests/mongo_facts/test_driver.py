"""What PyMongo is taken to do: codecs, retries, timeouts, identities, and its asynchronous twin."""

import datetime as dt
import inspect
import threading
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pymongo
import pytest
from bson import Binary, Decimal128, Int64
from bson.errors import InvalidDocument
from pymongo import AsyncMongoClient, MongoClient
from pymongo.database import Database
from pymongo.errors import (
    AutoReconnect,
    InvalidOperation,
    NetworkTimeout,
    OperationFailure,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
)
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from dbkit.testing.servers import Server

from .conftest import Doc
from .plans import stages_of, winning_plan

UTC = dt.UTC


class Started(CommandListener):
    """Tells when a command was sent."""

    def __init__(self) -> None:
        self.started_one = threading.Event()

    def started(self, event: CommandStartedEvent) -> None:
        self.started_one.set()

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


@contextmanager
def fail_point(client: MongoClient[Doc], times: int, **data: Any) -> Generator[None]:
    try:
        client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": times}, "data": data})
    except OperationFailure:
        pytest.skip("the server runs without its test commands")
    try:
        yield
    finally:
        client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


def test_a_replica_set_says_so(client: MongoClient[Doc]) -> None:
    """manual: reference/command/hello: without setName or msg "isdbgrid", transactions are Unsupported.

    The driver's topology type does not tell: with directConnection=true it is Single for a replica set, too.
    """
    hello = client.admin.command("hello")
    assert "setName" in hello or hello.get("msg") == "isdbgrid"
    assert hello["logicalSessionTimeoutMinutes"] is not None


def test_a_surrogate_names_itself(client: MongoClient[Doc], mongo_server: Server) -> None:
    """manual: reference/command/buildInfo, reference/command/serverStatus (process)"""
    info = client.admin.command("buildInfo")
    is_mongod = "mongo" in client.admin.command("serverStatus")["process"]
    assert ("secantusVersion" in info) is mongo_server.is_surrogate
    assert is_mongod is not mongo_server.is_surrogate
    assert tuple(info["versionArray"][:2]) >= (6, 0)


@pytest.mark.parametrize(
    "moment",
    [
        dt.datetime(1, 1, 1, tzinfo=UTC),
        dt.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        dt.datetime(2020, 1, 1, 0, 0, 0, 1999, tzinfo=dt.timezone(dt.timedelta(hours=5))),
        dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ],
)
def test_datetimes_are_cut_to_milliseconds_and_come_back_in_utc(
    db: Database[Doc], moment: dt.datetime
) -> None:
    """manual: reference/bson-types (date); PyMongo cuts, also before 1970"""
    db.a.insert_one({"_id": 1, "d": moment})
    row = db.a.find_one()
    assert row is not None
    assert row["d"] == moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert row["d"].utcoffset() == dt.timedelta(0)


def test_uuids_are_written_and_read_as_sixteen_bytes(db: Database[Doc]) -> None:
    """PyMongo: UUID handling (unspecified representation)"""
    key = uuid.uuid4()
    with pytest.raises(ValueError, match="UuidRepresentation"):
        db.a.insert_one({"_id": key})
    db.a.insert_one({"_id": Binary(key.bytes, 4)})
    row = db.a.find_one({"_id": Binary.from_uuid(key)})
    assert row is not None
    assert isinstance(row["_id"], Binary)
    assert (bytes(row["_id"]), row["_id"].subtype) == (key.bytes, 4)
    assert db.a.find_one({"_id": key.bytes}) is None


def test_numbers_keep_their_types(db: Database[Doc]) -> None:
    """manual: reference/bson-types; PyMongo writes a small int as 32 bits unless it is Int64"""
    db.a.insert_one({"_id": 1, "i": 5, "l": Int64(5), "d": Decimal128("1.50"), "b": b"x"})
    [types] = db.a.aggregate([{"$project": {"_id": 0, "i": {"$type": "$i"}, "l": {"$type": "$l"}}}])
    assert types == {"i": "int", "l": "long"}
    row = db.a.find_one()
    assert row is not None
    assert type(row["l"]) is Int64
    assert str(row["d"].to_decimal()) == "1.50"
    assert type(row["b"]) is bytes


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (Decimal(1), InvalidDocument),
        (dt.date(2020, 1, 1), InvalidDocument),
        ({"a\0b": 1}, InvalidDocument),
        (2**63, OverflowError),
        ("\ud800", UnicodeEncodeError),
    ],
)
def test_values_that_the_driver_refuses(db: Database[Doc], value: Any, error: type[Exception]) -> None:
    """PyMongo: bson.encode. They never reach the server, so dbkit checks first."""
    with pytest.raises(error):
        db.a.insert_one({"v": value})


def test_a_write_whose_connection_breaks_is_sent_again_once(
    client: MongoClient[Doc], db: Database[Doc]
) -> None:
    """manual: core/retryable-writes"""
    db.create_collection("a")
    with fail_point(client, 1, failCommands=["insert"], closeConnection=True):
        db.a.insert_one({"_id": 1})
    with (
        fail_point(client, 9, failCommands=["insert"], closeConnection=True),
        pytest.raises(AutoReconnect) as caught,
    ):
        db.a.insert_one({"_id": 2})
    assert caught.value.has_error_label("RetryableWriteError")
    assert [d["_id"] for d in db.a.find()] == [1]


def test_a_write_that_timed_out_may_have_happened(client: MongoClient[Doc], db: Database[Doc]) -> None:
    """PyMongo: pymongo.timeout; NetworkTimeout is no answer, so the outcome is unknown"""
    db.create_collection("a")
    with (
        fail_point(client, 1, failCommands=["insert"], blockConnection=True, blockTimeMS=400),
        pymongo.timeout(0.1),
        pytest.raises(NetworkTimeout) as caught,
    ):
        db.a.insert_one({"_id": 1})
    assert caught.value.timeout


def test_an_absent_server_is_told_in_time() -> None:
    """PyMongo: serverSelectionTimeoutMS"""
    with (
        MongoClient[Doc]("mongodb://127.0.0.1:1/", serverSelectionTimeoutMS=100) as client,
        pytest.raises(ServerSelectionTimeoutError),
    ):
        client.admin.command("ping")


def test_a_transaction_holds_no_connection(mongo_server: Server, db: Database[Doc]) -> None:
    """PyMongo: maxPoolSize, waitQueueTimeoutMS (replica sets; a sharded transaction does hold one)"""
    db.a.insert_one({"_id": 1})
    with MongoClient[Doc](mongo_server.url, maxPoolSize=1, waitQueueTimeoutMS=100) as small:
        rows = small[db.name].a
        with small.start_session() as session, session.start_transaction():
            assert rows.find_one({}, session=session) == rows.find_one({}) == {"_id": 1}


def test_a_full_pool_is_told_in_time(
    mongo_server: Server, client: MongoClient[Doc], db: Database[Doc]
) -> None:
    """PyMongo: waitQueueTimeoutMS"""
    db.a.insert_one({"_id": 1})
    listener = Started()
    with MongoClient[Doc](
        mongo_server.url, maxPoolSize=1, waitQueueTimeoutMS=50, event_listeners=[listener]
    ) as small:
        rows = small[db.name].a
        with fail_point(client, 1, failCommands=["find"], blockConnection=True, blockTimeMS=400):
            thread = threading.Thread(target=rows.find_one)
            thread.start()
            assert listener.started_one.wait(5)
            with pytest.raises(WaitQueueTimeoutError):
                rows.find_one()
            thread.join()


def test_a_closed_client_says_so(mongo_server: Server) -> None:
    """PyMongo: MongoClient.close"""
    client = MongoClient[Doc](mongo_server.url)
    client.close()
    with pytest.raises(InvalidOperation):
        client.admin.command("ping")


def test_explain_names_the_index_and_counts_documents(db: Database[Doc]) -> None:
    """manual: reference/explain-results"""
    db.a.insert_many([{"_id": i, "x": i % 5, "y": i} for i in range(20)])
    db.a.create_index([("x", 1), ("_id", 1)], name="x_id")
    plan = db.command("explain", {"find": "a", "filter": {"x": 3}}, verbosity="executionStats")
    stages = list(stages_of(plan["queryPlanner"]["winningPlan"]))
    assert [s.get("indexName") for s in stages if s["stage"] == "IXSCAN"] == ["x_id"]
    assert plan["executionStats"]["totalDocsExamined"] == 4
    stages = list(stages_of(winning_plan(db, "a", {"y": 3}, sort={"y": 1})))
    assert {"SORT", "COLLSCAN"} <= {s["stage"] for s in stages}


@pytest.mark.real_mongod
def test_an_index_that_gives_the_order_leaves_no_sort(db: Database[Doc]) -> None:
    """manual: tutorial/sort-results-with-indexes. The surrogate sorts whenever there is a filter."""
    db.a.insert_many([{"_id": i, "x": i % 5} for i in range(20)])
    db.a.create_index([("x", 1), ("_id", 1)], name="x_id")
    for query, sort in (({"x": 3}, {"_id": 1}), ({"x": {"$gt": 1}}, {"x": -1, "_id": -1})):
        stages = list(stages_of(winning_plan(db, "a", query, sort=sort, limit=3)))
        assert "SORT" not in {s["stage"] for s in stages}


@pytest.mark.real_mongod
def test_a_page_after_a_cursor_merges_index_ranges(db: Database[Doc]) -> None:
    """manual: reference/operator/query/or ($or and sort). The surrogate scans the collection."""
    db.a.insert_many([{"_id": i, "x": i % 5} for i in range(200)])
    db.a.create_index([("x", 1), ("_id", 1)], name="x_id")
    after = {"$or": [{"x": {"$gt": 2}}, {"x": 2, "_id": {"$gt": 100}}]}
    stages = {s["stage"] for s in stages_of(winning_plan(db, "a", after, sort={"x": 1, "_id": 1}, limit=3))}
    assert "SORT_MERGE" in stages
    assert not {"SORT", "COLLSCAN"} & stages


AWAITED = {
    "collection": "aggregate bulk_write count_documents create_indexes delete_many delete_one find_one "
    "find_one_and_update insert_many insert_one list_indexes replace_one update_many update_one",
    "database": "aggregate command create_collection drop_collection list_collections",
    "client": "aconnect close drop_database server_info",
    "session": "abort_transaction commit_transaction end_session start_transaction",
    "cursor": "close next to_list",
}
NOT_AWAITED = {"collection": "find find_raw_batches", "client": "start_session", "cursor": "limit sort"}


async def test_which_calls_are_awaited(mongo_server: Server, db: Database[Doc]) -> None:
    """PyMongo: migrate to PyMongo Async"""
    async with AsyncMongoClient[Doc](mongo_server.url) as client:
        rows = client[db.name].a
        await rows.insert_many([{"_id": 1}, {"_id": 2}])
        async with client.start_session() as session:
            things = {
                "client": client,
                "database": client[db.name],
                "collection": rows,
                "session": session,
                "cursor": rows.find(),
            }
            for where, names in AWAITED.items():
                for name in names.split():
                    assert inspect.iscoroutinefunction(getattr(things[where], name)), (where, name)
            for where, names in NOT_AWAITED.items():
                for name in names.split():
                    assert not inspect.iscoroutinefunction(getattr(things[where], name)), (where, name)
            async with await session.start_transaction():
                assert await rows.count_documents({}, session=session) == 2
        cursor = await rows.aggregate([{"$sort": {"_id": -1}}])
        assert await cursor.to_list() == [{"_id": 2}, {"_id": 1}]
        assert [d["_id"] async for d in rows.find().sort("_id", 1)] == [1, 2]
