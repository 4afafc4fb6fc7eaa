"""What happens when something breaks on the way: the error's class, what is stored, and that the client goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pymongo
import pytest

from dbkit import (
    Conflict,
    Database,
    Group,
    Mapped,
    OutcomeUnknown,
    Unavailable,
    aconnect,
    connect,
    count,
    errors,
    key,
)
from dbkit.statement import Statement
from dbkit.testing.servers import Server
from dbkit_mongo import reads
from tests.mongo.entities import Plain, Post, User

Fail = Callable[..., None]


@pytest.fixture
def fail(mongo_server: Server) -> Iterator[Fail]:
    """Return a function that lets the server's next commands fail."""
    with pymongo.MongoClient[dict[str, Any]](mongo_server.url) as client:

        def set_fail_point(*commands: str, times: int = 1, **data: Any) -> None:
            client.admin.command(
                {
                    "configureFailPoint": "failCommand",
                    "mode": {"times": times},
                    "data": {"failCommands": list(commands), **data},
                }
            )

        yield set_fail_point
        client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


@pytest.fixture
def plain(mongo_url: str) -> Iterator[Database]:
    with connect(mongo_url, entities=[Plain]) as db:
        db.create_schema()
        yield db


@pytest.fixture
def hasty(mongo_url: str) -> Iterator[Database]:
    """Return a database whose driver gives up soon."""
    with connect(mongo_url, entities=[Plain], timeout_s=1) as db:
        db.create_schema()
        yield db


def test_a_read_that_broke_is_read_again(plain: Database, fail: Fail) -> None:
    fail("find", times=3, closeConnection=True)
    assert plain.store(Plain).get("a") is None


def test_a_broken_read_is_unavailable(hasty: Database, fail: Fail) -> None:
    fail("find", times=1_000, closeConnection=True)
    # It reads again as long as it has time, and the last attempt may be under way by then.
    with pytest.raises((Unavailable, errors.DeadlineExceeded)) as caught:
        hasty.store(Plain).get("a")
    assert caught.value.retryable


def test_a_write_that_broke_once_is_written_once(plain: Database, fail: Fail) -> None:
    fail("insert", closeConnection=True)
    plain.store(Plain).create(Plain(id="a"))
    assert plain.store(Plain).count() == 1


def test_a_write_that_broke_for_good_is_unknown(plain: Database, fail: Fail) -> None:
    plain.store(Plain).create(Plain(id="a"))
    fail("findAndModify", times=9, closeConnection=True)
    with pytest.raises(OutcomeUnknown):
        plain.store(Plain).update("a", Plain.n.set(5))
    fail("findAndModify", times=0, closeConnection=True)


def test_a_lost_commit_is_sent_again(plain: Database, fail: Fail) -> None:
    fail("commitTransaction", times=2, closeConnection=True)
    with plain.transaction() as tx:
        tx.store(Plain).create(Plain(id="a"))
    assert plain.store(Plain).count() == 1


def test_a_commit_that_is_lost_again_and_again_is_unknown(hasty: Database, fail: Fail) -> None:
    fail("commitTransaction", times=1_000, closeConnection=True)
    with pytest.raises(OutcomeUnknown), hasty.transaction() as tx:
        tx.store(Plain).create(Plain(id="a"))
    fail("commitTransaction", times=0, closeConnection=True)
    assert hasty.store(Plain).count() in {0, 1}


def test_a_new_primary_takes_the_insertion(plain: Database, fail: Fail) -> None:
    """The old one has refused it, so it is sent again, once."""
    fail("insert", errorCode=10107)
    plain.store(Plain).create(Plain(id="a"))
    assert plain.store(Plain).count() == 1
    fail("insert", times=2, errorCode=10107)
    with pytest.raises(Unavailable):
        plain.store(Plain).create(Plain(id="b"))
    assert plain.store(Plain).count() == 1


def test_an_insertion_without_its_majority_is_unknown(plain: Database, fail: Fail) -> None:
    unconfirmed = {"code": 64, "errmsg": "waiting for replication timed out", "errInfo": {"wtimeout": True}}
    fail("insert", times=2, writeConcernError=unconfirmed)
    with pytest.raises(OutcomeUnknown, match="a majority"):
        plain.store(Plain).create(Plain(id="a"))


def test_a_write_conflict_is_a_conflict(plain: Database, fail: Fail) -> None:
    plain.store(Plain).create(Plain(id="a"))
    fail("findAndModify", errorCode=112, errorLabels=["TransientTransactionError"])
    with pytest.raises(Conflict), plain.transaction() as tx:
        tx.store(Plain).update("a", Plain.n.set(5))
    assert plain.store(Plain).require("a").n == 0


def test_a_broken_connection_in_a_transaction_leaves_nothing(db: Database, fail: Fail) -> None:
    user = db.store(User).create(User(name="ada"))
    fail("update", times=2, closeConnection=True)
    with pytest.raises(errors.OperationalError):
        db.store(Post).create(Post(user_id=user.id, title="t"))
    fail("update", times=0, closeConnection=True)
    assert db.store(Post).count() == 0
    db.store(Post).create(Post(user_id=user.id, title="t"))


def test_a_read_that_takes_too_long(mongo_url: str, fail: Fail) -> None:
    with connect(mongo_url, entities=[Plain], timeout_s=0.3) as db:
        db.create_schema()
        db.store(Plain).get("a")
        fail("find", errorCode=50)
        with pytest.raises(errors.DeadlineExceeded):
            db.store(Plain).get("a")


def test_rolling_back_never_raises(plain: Database, fail: Fail) -> None:
    fail("abortTransaction", times=9, closeConnection=True)

    def create_and_stop() -> None:
        with plain.transaction() as tx:
            tx.store(Plain).create(Plain(id="a"))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        create_and_stop()
    fail("abortTransaction", times=0, closeConnection=True)
    assert plain.store(Plain).count() == 0


def test_an_error_in_a_verb_of_several_commands_leaves_nothing(db: Database) -> None:
    user = db.store(User).create(User(name="ada"))
    rows = [Post(user_id=user.id, title="t"), Post(user_id=uuid4(), title="orphan")]
    with pytest.raises(errors.ReferenceViolation):
        db.store(Post).create_many(rows)
    assert db.store(Post).count() == 0


def test_who_wants_no_second_read_gets_none(mongo_url: str, fail: Fail) -> None:
    with connect(f"{mongo_url}&retryReads=false", entities=[Plain]) as db:
        db.create_schema()
        fail("find", closeConnection=True)
        with pytest.raises(Unavailable):
            db.store(Plain).get("a")
        assert db.store(Plain).get("a") is None


class PlainByN(Group[Plain]):
    n: Mapped[int] = key(Plain.n)
    rows: Mapped[int] = count()


def test_what_one_reply_does_not_hold_is_read_whole(plain: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    plains = plain.store(Plain)
    plains.create_many(Plain(id=f"{n:03}", n=n) for n in range(150))
    # The server's own first batch of 101, and one of 7: as where 16 MB are full.
    monkeypatch.setattr(reads, "FIRST_BATCH", 1_000)
    monkeypatch.setitem(reads.ALL_AT_ONCE, "batchSize", 7)
    told: list[Statement] = []
    plains.count()
    plain.on_statement(told.append)
    assert [p.n for p in plains.find(order_by=Plain.id, limit=150)] == list(range(150))
    assert [g.n for g in plains.group(PlainByN, order_by=PlainByN.n)] == list(range(150))
    commands = ["find", "killCursors", "find", "aggregate", "killCursors", "aggregate"]
    assert [s.text.split('"')[1] for s in told] == commands


def test_get_many_is_one_command(plain: Database) -> None:
    plains = plain.store(Plain)
    plains.create_many(Plain(id=f"{n:03}", n=n) for n in range(150))
    plains.get_many(["000"])
    told: list[Statement] = []
    plain.on_statement(told.append)
    assert len(plains.get_many([f"{n:03}" for n in range(150)])) == 150
    # Its 101 documents are as many as the server's own first batch holds.
    assert len(plains.page(limit=100).items) == 100
    assert [s.text.split('"')[1] for s in told] == ["find", "find"]


async def test_the_asynchronous_side_reads_again(mongo_url: str, fail: Fail) -> None:
    async with aconnect(mongo_url, entities=[Plain]) as db:
        await db.create_schema()
        fail("find", times=3, closeConnection=True)
        assert await db.store(Plain).get("a") is None
        fail("find", times=4, closeConnection=True)
        with pytest.raises(Unavailable):
            await db.store(Plain).get("a")


async def test_a_cancelled_call_is_told_as_one(mongo_url: str, fail: Fail) -> None:
    async with aconnect(mongo_url, entities=[Plain]) as db:
        await db.create_schema()
        await db.store(Plain).get("a")
        told: list[Statement] = []
        db.on_statement(told.append)
        fail("find", blockConnection=True, blockTimeMS=300)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await db.store(Plain).get("a")
        assert [s.error for s in told] == ["CancelledError"]
