"""What transactions, conflicts and guards are taken to do."""

import threading

import pymongo
import pytest
from bson import Int64
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConnectionFailure,
    DocumentTooLarge,
    DuplicateKeyError,
    ExecutionTimeout,
    OperationFailure,
)
from pymongo.read_concern import ReadConcern

from .conftest import Begin, Doc

WRITE_CONFLICT = 112
NO_SUCH_TRANSACTION = 251
NOT_SUPPORTED_IN_TRANSACTION = 263
TRANSIENT = "TransientTransactionError"


def assert_gone(session: ClientSession) -> None:
    """The server has aborted the transaction: committing says so, though the driver still thinks it is open."""
    assert session.in_transaction
    with pytest.raises(OperationFailure) as caught:
        session.commit_transaction()
    assert caught.value.code == NO_SUCH_TRANSACTION
    assert caught.value.has_error_label(TRANSIENT)


def assert_conflict(caught: pytest.ExceptionInfo[OperationFailure]) -> None:
    assert caught.value.code == WRITE_CONFLICT
    assert caught.value.has_error_label(TRANSIENT)


def test_writes_are_seen_inside_at_once_and_outside_after_commit(db: Database[Doc], begin: Begin) -> None:
    """manual: core/transactions"""
    session = begin()
    db.a.insert_one({"_id": 1}, session=session)
    assert db.a.find_one({"_id": 1}, session=session) is not None
    assert db.a.find_one({"_id": 1}) is None
    session.commit_transaction()
    assert db.a.find_one({"_id": 1}) is not None


def test_abort_undoes(db: Database[Doc], begin: Begin) -> None:
    """manual: core/transactions"""
    db.a.insert_one({"_id": 1, "n": 0})
    session = begin()
    db.a.update_one({"_id": 1}, {"$inc": {"n": 5}}, session=session)
    session.abort_transaction()
    assert db.a.find_one() == {"_id": 1, "n": 0}


def test_a_transaction_reads_one_snapshot_of_all_collections(db: Database[Doc], begin: Begin) -> None:
    """manual: reference/read-concern-snapshot"""
    db.a.insert_one({"_id": 1, "n": 0})
    db.b.insert_one({"_id": 1})
    session = begin()
    assert db.a.find_one({"_id": 1}, session=session) == {"_id": 1, "n": 0}
    db.a.update_one({"_id": 1}, {"$inc": {"n": 1}})
    db.b.insert_one({"_id": 2})
    assert db.a.find_one({"_id": 1}, session=session) == {"_id": 1, "n": 0}
    assert db.b.count_documents({}, session=session) == 1
    assert [d["_id"] for d in db.b.aggregate([{"$sort": {"_id": 1}}], session=session)] == [1]


def test_a_write_over_a_newer_version_conflicts(db: Database[Doc], begin: Begin) -> None:
    """manual: core/transactions-production-consideration (in-progress transactions and write conflicts)"""
    db.a.insert_one({"_id": 1, "n": 0})
    session = begin()
    db.a.find_one({"_id": 1}, session=session)
    db.a.update_one({"_id": 1}, {"$inc": {"n": 1}})
    with pytest.raises(OperationFailure) as caught:
        db.a.update_one({"_id": 1}, {"$inc": {"n": 1}}, session=session)
    assert_conflict(caught)
    assert_gone(session)


@pytest.mark.parametrize("first", ["update", "delete"])
def test_the_second_writer_of_a_document_fails_at_once(db: Database[Doc], begin: Begin, first: str) -> None:
    """manual: core/transactions-production-consideration (in-progress transactions and write conflicts)"""
    db.a.insert_one({"_id": 1, "n": 0})
    one, two = begin(), begin()
    if first == "update":
        db.a.update_one({"_id": 1}, {"$inc": {"n": 1}}, session=one)
    else:
        db.a.delete_one({"_id": 1}, session=one)
    with pytest.raises(OperationFailure) as caught:
        db.a.update_one({"_id": 1}, {"$inc": {"n": 1}}, session=two)
    assert_conflict(caught)
    assert_gone(two)
    one.commit_transaction()


def test_transactions_over_different_documents_do_not_conflict(db: Database[Doc], begin: Begin) -> None:
    """manual: core/transactions-production-consideration"""
    db.create_collection("a")
    one, two = begin(), begin()
    db.a.insert_one({"_id": 1}, session=one)
    db.a.insert_one({"_id": 2}, session=two)
    one.commit_transaction()
    two.commit_transaction()
    assert db.a.count_documents({}) == 2


def test_a_write_outside_waits_for_the_transaction(db: Database[Doc], begin: Begin) -> None:
    """manual: core/transactions-production-consideration ("the write operation blocks until …")"""
    db.a.insert_one({"_id": 1, "n": 0})
    session = begin()
    db.a.update_one({"_id": 1}, {"$inc": {"n": 1}}, session=session)
    done = threading.Event()

    def outside() -> None:
        db.a.update_one({"_id": 1}, {"$inc": {"n": 10}})
        done.set()

    thread = threading.Thread(target=outside)
    thread.start()
    try:
        assert not done.wait(0.3)
        session.commit_transaction()
    finally:
        session.end_session()
        thread.join(10)
    assert done.is_set()
    assert db.a.find_one() == {"_id": 1, "n": 11}


def test_max_time_ends_a_waiting_update(db: Database[Doc], begin: Begin) -> None:
    """manual: reference/method/cursor.maxTimeMS, reference/command/update (maxTimeMS)"""
    db.a.insert_one({"_id": 1, "n": 0})
    session = begin()
    db.a.update_one({"_id": 1}, {"$inc": {"n": 1}}, session=session)
    update = {"update": "a", "updates": [{"q": {"_id": 1}, "u": {"$inc": {"n": 1}}}], "maxTimeMS": 200}
    with pytest.raises(ExecutionTimeout) as caught:
        db.command(update)
    assert caught.value.code == 50


@pytest.mark.real_mongod
def test_max_time_ends_a_waiting_insert(db: Database[Doc], begin: Begin) -> None:
    """manual: reference/command/insert (maxTimeMS). The surrogate waits until the transaction ends."""
    db.create_collection("a")
    session = begin()
    db.a.insert_one({"_id": 1}, session=session)
    with pytest.raises(ExecutionTimeout):
        db.command({"insert": "a", "documents": [{"_id": 1}], "maxTimeMS": 200})


def test_a_duplicate_dooms_the_transaction(db: Database[Doc], begin: Begin) -> None:
    """manual: core/transactions (an error aborts), core/index-unique"""
    db.a.create_index("k", unique=True)
    db.a.insert_one({"_id": 1, "k": "x"})
    session = begin()
    db.a.insert_one({"_id": 2, "k": "y"}, session=session)
    with pytest.raises(DuplicateKeyError) as caught:
        db.a.insert_one({"_id": 3, "k": "x"}, session=session)
    assert not caught.value.has_error_label(TRANSIENT)
    assert_gone(session)
    assert db.a.count_documents({}) == 1


@pytest.mark.parametrize(
    "broken", [{"$inc": {"k": 1}}, [{"$set": {"k": {"$toLong": "not a number"}}}], {"$set": {"_id": 7}}]
)
def test_any_error_of_a_write_dooms_the_transaction(
    db: Database[Doc], begin: Begin, broken: Doc | list[Doc]
) -> None:
    """manual: core/transactions"""
    db.a.insert_one({"_id": 1, "k": "x"})
    session = begin()
    db.a.insert_one({"_id": 2}, session=session)
    with pytest.raises(OperationFailure):
        db.a.update_one({"_id": 1}, broken, session=session)
    assert_gone(session)
    assert db.a.find_one({"_id": 2}) is None


def test_an_error_of_the_driver_leaves_the_transaction_open(db: Database[Doc], begin: Begin) -> None:
    """PyMongo: DocumentTooLarge is raised before sending, so dooming the transaction is the backend's work."""
    db.create_collection("a")
    session = begin()
    db.a.insert_one({"_id": 1}, session=session)
    with pytest.raises(DocumentTooLarge):
        db.a.insert_one({"_id": 2, "s": "x" * (17 << 20)}, session=session)
    session.commit_transaction()
    assert db.a.count_documents({}) == 1


def test_insert_many_in_a_transaction_is_all_or_nothing(db: Database[Doc], begin: Begin) -> None:
    """manual: reference/method/db.collection.insertMany, core/transactions"""
    db.a.create_index("k", unique=True)
    session = begin()
    with pytest.raises(BulkWriteError) as caught:
        db.a.insert_many([{"_id": 1, "k": "x"}, {"_id": 2, "k": "x"}], session=session)
    [error] = caught.value.details["writeErrors"]
    assert (error["index"], error["code"], error["keyPattern"]) == (1, 11000, {"k": 1})
    assert_gone(session)
    assert db.a.count_documents({}) == 0


def test_the_same_key_in_two_open_transactions_conflicts(db: Database[Doc], begin: Begin) -> None:
    """manual: core/index-unique, core/transactions-production-consideration. Not 11000: the first may still abort."""
    db.a.create_index("k", unique=True)
    one, two = begin(), begin()
    db.a.insert_one({"_id": 1, "k": "x"}, session=one)
    with pytest.raises(OperationFailure) as caught:
        db.a.insert_one({"_id": 2, "k": "x"}, session=two)
    assert_conflict(caught)
    one.commit_transaction()


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("committed", [True, False])
def test_two_transactions_that_raise_one_guard_conflict(
    db: Database[Doc], begin: Begin, exists: bool, committed: bool
) -> None:
    """manual: core/transactions-production-consideration. Holds for an upsert of a guard that is not there yet."""
    db.create_collection("guards")
    if exists:
        db.guards.insert_one({"_id": "p/0", "n": Int64(0)})
    one, two = begin(), begin()
    for session in (one, two):
        db.guards.find_one({"_id": "another"}, session=session)
    raise_guard = {"$inc": {"n": Int64(1)}}
    db.guards.update_one({"_id": "p/0"}, raise_guard, upsert=True, session=one)
    if committed:
        one.commit_transaction()
    with pytest.raises(OperationFailure) as caught:
        db.guards.update_one({"_id": "p/0"}, raise_guard, upsert=True, session=two)
    assert_conflict(caught)
    if not committed:
        one.commit_transaction()
    assert db.guards.find_one() == {"_id": "p/0", "n": 1}


def test_a_set_that_changes_nothing_is_no_guard(db: Database[Doc], begin: Begin) -> None:
    """ticket: SERVER-77616"""
    db.guards.insert_one({"_id": 1, "k": 1})
    one, two = begin(), begin()
    db.guards.update_one({"_id": 1}, {"$set": {"k": 1}}, session=one)
    db.guards.update_one({"_id": 1}, {"$inc": {"n": 1}}, session=two)
    one.commit_transaction()
    two.commit_transaction()


def test_without_a_guard_an_orphan_is_possible(db: Database[Doc], begin: Begin) -> None:
    """manual: core/transactions-production-consideration (stale reads): the control of the guard's probe."""
    db.parents.insert_one({"_id": 1})
    db.create_collection("children")
    inserting, deleting = begin(), begin()
    assert db.parents.find_one({"_id": 1}, session=inserting) is not None
    assert db.children.find_one({"parent": 1}, session=deleting) is None
    db.children.insert_one({"parent": 1}, session=inserting)
    db.parents.delete_one({"_id": 1}, session=deleting)
    inserting.commit_transaction()
    deleting.commit_transaction()
    assert db.parents.count_documents({}) == 0
    assert db.children.count_documents({}) == 1


@pytest.mark.parametrize("deletes_first", [True, False])
def test_with_a_guard_no_orphan_is(db: Database[Doc], begin: Begin, deletes_first: bool) -> None:
    """manual: core/transactions-production-consideration (stale reads): write to a shared document to be safe."""
    db.parents.insert_one({"_id": 1})
    db.create_collection("children")
    db.create_collection("guards")
    inserting, deleting = begin(), begin()
    assert db.parents.find_one({"_id": 1}, session=inserting) is not None
    assert db.children.find_one({"parent": 1}, session=deleting) is None
    first, second = (deleting, inserting) if deletes_first else (inserting, deleting)
    db.guards.update_one({"_id": 1}, {"$inc": {"n": 1}}, upsert=True, session=first)
    with pytest.raises(OperationFailure) as caught:
        db.guards.update_one({"_id": 1}, {"$inc": {"n": 1}}, upsert=True, session=second)
    assert_conflict(caught)
    first.commit_transaction()


def test_a_collection_may_be_made_inside(db: Database[Doc], begin: Begin) -> None:
    """manual: core/transactions (create collections and indexes in a transaction)"""
    session = begin()
    db.fresh.insert_one({"_id": 1}, session=session)
    session.commit_transaction()
    assert db.fresh.count_documents({}) == 1


@pytest.mark.parametrize("command", [{"listIndexes": "a"}, {"explain": {"find": "a"}}, {"drop": "a"}])
def test_commands_that_are_refused_inside(db: Database[Doc], begin: Begin, command: Doc) -> None:
    """manual: core/transactions-operations"""
    db.a.insert_one({"_id": 1})
    session = begin()
    db.a.find_one({}, session=session)
    with pytest.raises(OperationFailure) as caught:
        db.command(command, session=session)
    assert caught.value.code == NOT_SUPPORTED_IN_TRANSACTION


@pytest.mark.real_mongod
def test_union_with_is_refused_inside(db: Database[Doc], begin: Begin) -> None:
    """manual: reference/operator/aggregation/unionWith (restrictions). The surrogate lets it pass."""
    db.a.insert_one({"_id": 1})
    session = begin()
    with pytest.raises(OperationFailure):
        list(db.a.aggregate([{"$unionWith": "a"}], session=session))


def test_a_cursor_goes_on_inside(db: Database[Doc], begin: Begin) -> None:
    """manual: core/transactions-operations (getMore)"""
    db.a.insert_many([{"_id": i} for i in range(7)])
    assert len(list(db.a.find({}, batch_size=2, session=begin()))) == 7


def test_commit_can_be_sent_again(db: Database[Doc], begin: Begin) -> None:
    """manual: core/transactions-in-applications (retry the commit)"""
    db.create_collection("a")
    session = begin()
    db.a.insert_one({"_id": 1}, session=session)
    session.commit_transaction()
    session.commit_transaction()
    assert db.a.count_documents({}) == 1


def test_a_lost_commit_is_labelled_unknown(client: MongoClient[Doc], db: Database[Doc], begin: Begin) -> None:
    """manual: core/transactions-in-applications (UnknownTransactionCommitResult)"""
    db.create_collection("a")
    session = begin()
    db.a.insert_one({"_id": 1}, session=session)
    fail = {"failCommands": ["commitTransaction"], "closeConnection": True}
    try:
        client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": 9}, "data": fail})
    except OperationFailure:
        pytest.skip("the server runs without its test commands")
    try:
        with pytest.raises(ConnectionFailure) as caught:
            session.commit_transaction()
    finally:
        client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
    assert caught.value.has_error_label("UnknownTransactionCommitResult")
    assert isinstance(caught.value, AutoReconnect)
    session.commit_transaction()
    assert db.a.count_documents({}) == 1


@pytest.mark.real_mongod
def test_a_snapshot_session_reads_one_instant(client: MongoClient[Doc], db: Database[Doc]) -> None:
    """manual: reference/read-concern-snapshot (outside transactions). The surrogate reads what is newest."""
    db.a.insert_one({"_id": 1, "n": 0})
    with client.start_session(snapshot=True) as session:
        assert db.a.find_one({}, session=session) == {"_id": 1, "n": 0}
        db.a.update_one({}, {"$inc": {"n": 1}})
        assert db.a.find_one({}, session=session) == {"_id": 1, "n": 0}


@pytest.mark.real_mongod
def test_one_aggregate_at_snapshot_is_one_instant(client: MongoClient[Doc], db: Database[Doc]) -> None:
    """manual: reference/read-concern-snapshot; core/read-isolation-consistency-recency. The surrogate tears it."""
    db.a.insert_one({"_id": 1, "n": 0})
    db.b.insert_one({"_id": 1, "n": 0})
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            with client.start_session() as session, session.start_transaction():
                for name in ("a", "b"):
                    db[name].update_one({}, {"$inc": {"n": 1}}, session=session)

    join = {"from": "b", "localField": "_id", "foreignField": "_id", "as": "b"}
    reads = db.a.with_options(read_concern=ReadConcern("snapshot"))
    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(300):
            [row] = reads.aggregate([{"$lookup": join}])
            assert row["n"] == row["b"][0]["n"]
    finally:
        stop.set()
        thread.join()


def test_workers_that_find_and_modify_never_share_a_row(db: Database[Doc]) -> None:
    """manual: reference/method/db.collection.findOneAndUpdate (atomic; a conflict is retried inside)"""
    db.a.insert_many([{"_id": i, "taken": False} for i in range(24)])
    taken: list[int] = []

    def work() -> None:
        while row := db.a.find_one_and_update(
            {"taken": False}, {"$set": {"taken": True}}, sort=[("_id", pymongo.ASCENDING)]
        ):
            taken.append(row["_id"])

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(24))
