"""Servers that are killed (SIGKILL), started again, or frozen: what is told, what is stored, and how it goes on."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import pytest

from dbkit import aconnect, everything
from dbkit._async.database import AsyncDatabase
from dbkit.errors import (
    Conflict,
    DbkitError,
    DeadlineExceeded,
    DuplicateKey,
    OperationalError,
    OutcomeUnknown,
    TransactionAborted,
    Unavailable,
)
from dbkit.testing.concurrency import AsyncTeam
from dbkit.testing.limits import shortened
from dbkit.testing.servers import Server
from tests.faults.entities import Item, Pair, database_of

pytestmark = pytest.mark.server

STORM_BEGINS = 8
"""After how many writes the server is killed."""
TOLD = (Unavailable, OutcomeUnknown)


class AsyncThunk(Protocol):
    async def __call__(self) -> Any: ...


@pytest.fixture(autouse=True)
def _short_waits() -> Iterator[None]:
    """For as long PostgreSQL is asked after a commit whose reply was lost."""
    with shortened(LOCK_WAIT_S=0.4):
        yield


@asynccontextmanager
async def database(
    server: Server, *, timeout_s: float = 1.2, pool_size: int = 4
) -> AsyncGenerator[AsyncDatabase]:
    url = database_of(server)
    if not server.is_running:
        server.restart()
    async with aconnect(url, entities=[Item, Pair], timeout_s=timeout_s, pool_size=pool_size) as db:
        await db.create_schema()
        await db.store(Item).delete_many(everything())
        await db.store(Pair).delete_many(everything())
        yield db


def is_quiet(db: AsyncDatabase) -> bool:
    """Return whether no connection is lent out; PyMongo's pool is not ours to ask."""
    pool: Any = getattr(db.backend, "pool", None)
    return pool is None or pool.in_use == 0


async def goes_on(db: AsyncDatabase) -> None:
    """Assert that the first call after the server's return works, and as many at once as the pool has places."""
    store = db.store(Item)
    await store.count()
    await store.create(Item(name="after"))

    async def work() -> int:
        async with db.transaction() as tx:
            return await tx.store(Item).count(Item.name == "after")

    assert await AsyncTeam.run([work] * 6) == [1] * 6
    assert is_quiet(db)


async def told(call: AsyncThunk) -> Any:
    try:
        return await call()
    except DbkitError as error:
        return error


async def test_a_server_that_is_gone_is_unavailable(own_server: Server) -> None:
    """Reads say Unavailable; writes that, or OutcomeUnknown on a connection that was open; then the first call works."""
    async with database(own_server) as db:
        store = db.store(Item)
        item = await store.create(Item(name="a"))
        own_server.kill()
        result = await told(lambda: store.get(item.id))
        assert type(result) is Unavailable, repr(result)
        assert (result.operation, result.entity, result.retryable) == ("get", "Item", True)
        assert result.backend == own_server.kind
        for write in (
            lambda: store.create(Item(name="b")),
            lambda: store.update_many(everything(), changes=Item.n.set(1)),
        ):
            result = await told(write)
            assert type(result) in TOLD, repr(result)

        async def count() -> int:
            async with db.transaction(read_only=True) as tx:
                return await tx.store(Item).count()

        assert type(await told(count)) is Unavailable
        assert is_quiet(db)
        own_server.restart()
        await goes_on(db)
        found = await store.find(Item.name != "after")
        assert found == [item], "a write that was refused is there"


async def test_connecting_to_a_server_that_is_gone(own_server: Server) -> None:
    url = database_of(own_server)
    own_server.kill()

    async def opened() -> None:
        async with aconnect(url, entities=[Item], timeout_s=0.3):
            pass

    result = await told(opened)
    assert type(result) is Unavailable, repr(result)
    assert (result.operation, result.backend) == ("connect", own_server.kind)
    own_server.restart()
    assert await told(opened) is None


async def test_a_transaction_whose_server_dies_is_rolled_back(own_server: Server) -> None:
    async with database(own_server) as db:
        kept = await db.store(Item).create(Item(name="kept"))
        for dies_before in ("a write", "the commit"):

            async def work(dies_before: str = dies_before) -> None:
                async with db.transaction() as tx:
                    await tx.store(Item).create(Item(name="lost"))
                    await tx.store(Item).update(kept.id, Item.n.set(Item.n + 1))
                    own_server.kill()
                    if dies_before == "a write":
                        result = await told(lambda: tx.store(Item).create(Item(name="never")))
                        assert type(result) in (*TOLD, Conflict), repr(result)
                        assert type(await told(lambda: tx.store(Item).count())) is TransactionAborted

            result = await told(work)
            expected = (TransactionAborted,) if dies_before == "a write" else TOLD
            assert type(result) in expected, repr(result)
            assert is_quiet(db)
            own_server.restart()
            await goes_on(db)
            assert await db.store(Item).delete_many(Item.name == "after") == 1
            assert await db.store(Item).find() == [kept]


async def test_writers_in_the_storm_are_told_the_truth(own_server: Server) -> None:
    """The server is killed under four writers: what succeeded is there, what failed is there as a whole or not at all."""
    async with database(own_server) as db:
        results: dict[int, Any] = {}

        async def pair(number: int) -> None:
            async with db.transaction() as tx:
                await tx.store(Pair).create(Pair(number=number, side="left"))
                await tx.store(Pair).create(Pair(number=number, side="right"))

        async def many(number: int) -> None:
            await db.store(Pair).create_many([Pair(number=number), Pair(number=number)])

        killer = threading.Timer(0.05, own_server.kill)
        starts = threading.Lock()

        def writer(worker: int) -> AsyncThunk:
            async def write() -> None:
                for number in range(worker * 10_000, worker * 10_000 + 10_000):
                    try:
                        await (pair if number % 2 else many)(number)
                    except DbkitError as error:
                        results[number] = error
                        return
                    results[number] = None
                    # In the middle, however fast the machine is.
                    if len(results) > STORM_BEGINS and starts.acquire(blocking=False):
                        killer.start()

            return write

        for end in await AsyncTeam.run([writer(worker) for worker in range(4)]):
            assert end is None, repr(end)
        killer.join()
        assert is_quiet(db)
        own_server.restart()
        await goes_on(db)
        stored: dict[int, int] = {}
        async for row in db.store(Pair).iterate():
            stored[row.number] = stored.get(row.number, 0) + 1
        assert set(stored.values()) <= {2}, "half of a write is stored"
        for number, result in results.items():
            if result is None:
                assert number in stored, "what was committed is gone"
            else:
                assert type(result) in (*TOLD, Conflict, TransactionAborted), repr(result)
                if not isinstance(result, OutcomeUnknown):
                    assert number not in stored, f"{result!r}, and yet it is stored"
        assert stored.keys() <= results.keys()
        assert sum(result is None for result in results.values()) > STORM_BEGINS


async def test_create_goes_through_a_restart(own_server: Server) -> None:
    """Creates that meet a restart succeed, or say so; a create that is tried again by its caller is a duplicate at most."""
    async with database(own_server) as db:
        store = db.store(Item)
        items = [Item(name=f"i{n}", n=n) for n in range(4)]
        assert await told(lambda: store.create(items[0])) == items[0]
        own_server.kill()
        assert type(await told(lambda: store.create(items[1]))) in TOLD
        own_server.restart()
        for item in items[1:]:
            try:
                assert await store.create(item) == item
            except DuplicateKey:
                assert item is items[1], "only what was tried before can be there"
        assert [item.n for item in await store.find(order_by=Item.n)] == [0, 1, 2, 3]


async def test_a_server_that_is_frozen_is_not_waited_for_for_ever(own_server: Server) -> None:
    """Reads and writes end within `timeout_s` and a little; a write's outcome is unknown; then all goes on."""
    async with database(own_server, timeout_s=1) as db:
        store = db.store(Item)
        item = await store.create(Item(name="a"))
        own_server.pause()
        try:
            result = await told(lambda: store.get(item.id))
            assert isinstance(result, OperationalError), repr(result)
            assert type(result) in (DeadlineExceeded, Unavailable)
            result = await told(lambda: store.update(item.id, Item.n.set(Item.n + 1)))
            assert type(result) in (*TOLD, DeadlineExceeded), repr(result)
        finally:
            own_server.resume()
        assert is_quiet(db)
        await goes_on(db)
        assert (await store.require(item.id)).n in (0, 1)
