"""A connection that breaks at the worst moment: what the caller is told, what is stored, and whether all goes on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

import pytest

from dbkit import aconnect, everything
from dbkit._async.database import AsyncDatabase
from dbkit._async.store import AsyncStore
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
from dbkit.testing.servers import Server
from tests.faults.entities import Item, Pair, database_of
from tests.faults.proxy import Proxy

pytestmark = pytest.mark.server

COMMIT = {"postgresql": b"COMMIT", "mongodb": b"commitTransaction"}


class AsyncThunk(Protocol):
    async def __call__(self) -> Any: ...


class Line:
    """A database through a proxy, and the same one directly."""

    def __init__(self, server: Server, proxy: Proxy, db: AsyncDatabase, direct: AsyncDatabase) -> None:
        self.server, self.proxy, self.db, self.direct = server, proxy, db, direct


@asynccontextmanager
async def line_to(server: Server) -> AsyncGenerator[Line]:
    url = database_of(server)
    # Who only speaks MongoDB's protocol does not tell a write that the driver sends again from a new one.
    own = f"{url}&retryWrites=false" if server.is_surrogate else url
    with Proxy(own) as proxy:
        entities = [Item, Pair]
        async with aconnect(url, entities=entities) as direct:
            await direct.create_schema()
            await direct.store(Item).delete_many(everything())
            await direct.store(Pair).delete_many(everything())
            async with aconnect(proxy.url, entities=entities, timeout_s=3) as db:
                yield Line(server, proxy, db, direct)
                # Whatever broke: nothing is leaked, and the next calls work, more of them than the pool has places.
                assert line_is_quiet(db)
                for _ in range(12):
                    await db.store(Item).count()
                await db.store(Item).create(Item(name="the last one"))
                assert line_is_quiet(db)


def line_is_quiet(db: AsyncDatabase) -> bool:
    """Return whether no connection is lent out; PyMongo's pool is not ours to ask."""
    pool: Any = getattr(db.backend, "pool", None)
    return pool is None or pool.in_use == 0


async def outcome(call: AsyncThunk) -> Any:
    try:
        return await call()
    except DbkitError as error:
        return error


async def test_a_lost_reply_to_create_is_success(own_server: Server) -> None:
    async with line_to(own_server) as line:
        item = Item(name="marked-1")
        line.proxy.lose_reply(b"marked-1")
        assert await line.db.store(Item).create(item) == item
        assert line.proxy.cuts == 1
        assert await line.direct.store(Item).find() == [item]


async def test_a_lost_request_of_create_is_sent_again(own_server: Server) -> None:
    async with line_to(own_server) as line:
        item = Item(name="marked-2")
        line.proxy.lose_request(b"marked-2")
        assert await line.db.store(Item).create(item) == item
        assert line.proxy.cuts == 1
        assert await line.direct.store(Item).find() == [item]


async def test_create_is_sent_again_once(own_server: Server) -> None:
    """When the second reply is lost too the outcome is unknown, and the row is there once."""
    async with line_to(own_server) as line:
        item = Item(name="marked-3")
        # A driver may send it again by itself, more often.
        for _ in range(100):
            line.proxy.lose_reply(b"marked-3")
        result = await outcome(lambda: line.db.store(Item).create(item))
        line.proxy._plans.clear()
        assert isinstance(result, OutcomeUnknown), repr(result)
        assert (result.operation, result.entity, result.backend) == ("create", "Item", own_server.kind)
        assert await line.direct.store(Item).find() == [item]


async def test_a_lost_reply_of_a_duplicate_is_a_duplicate(own_server: Server) -> None:
    async with line_to(own_server) as line:
        first = await line.direct.store(Item).create(Item(name="marked-4"))
        for other in (Item(name="marked-4"), first.evolve(name="marked-5")):
            line.proxy.lose_reply(b"marked-")
            with pytest.raises(DuplicateKey):
                await line.db.store(Item).create(other)
        assert line.proxy.cuts == 2
        assert await line.direct.store(Item).find() == [first]


@pytest.mark.parametrize("what", ["reply", "request"])
async def test_an_update_is_never_made_twice(own_server: Server, what: str) -> None:
    async with line_to(own_server) as line:
        item = await line.direct.store(Item).create(Item(name="a"))
        (line.proxy.lose_reply if what == "reply" else line.proxy.lose_request)(b"marked-6")
        store = line.db.store(Item)
        result = await outcome(
            lambda: store.update(item.id, Item.n.set(Item.n + 1), Item.name.set("marked-6"))
        )
        assert line.proxy.cuts == 1
        found = await line.direct.store(Item).require(item.id)
        if isinstance(result, DbkitError):
            assert type(result) in (OutcomeUnknown, Unavailable), repr(result)
            assert (found.n, found.name) in ((0, "a"), (1, "marked-6"))
            if what == "reply":
                assert isinstance(result, OutcomeUnknown)
                assert found.n == 1
        else:
            assert (found.n, found.name) == (1, "marked-6")


async def test_a_lost_reply_leaves_all_or_nothing(own_server: Server) -> None:
    marked = Item(name="marked-7", n=7)
    others = Item.name != "marked-7"
    # (rows, rows with n == 7) afterwards, of four rows with 0.
    verbs: list[tuple[Callable[[AsyncStore[Item], list[Item]], Any], tuple[int, int]]] = [
        (lambda store, _rows: store.create_many([Item(name="x", n=7), marked]), (6, 2)),
        (lambda store, _rows: store.update_many(others, changes=Item.n.set(7)), (4, 4)),
        (lambda store, _rows: store.delete_many(others), (0, 0)),
        (lambda store, _rows: store.upsert(marked, on=Item.name), (5, 1)),
        (lambda store, rows: store.delete(rows[0].id, where=others), (3, 0)),
        (lambda store, rows: store.replace(rows[0].evolve(name="marked-7", n=7)), (4, 1)),
        (lambda store, _rows: store.claim(others, changes=Item.n.set(7)), (4, 1)),
    ]
    async with line_to(own_server) as line:
        for number, (verb, after) in enumerate(verbs):
            await line.direct.store(Item).delete_many(everything())
            rows = [Item(name=f"r{n}") for n in range(4)]
            await line.direct.store(Item).create_many(rows)
            line.proxy.lose_reply(b"marked-7")

            async def call(verb: Any = verb, rows: Any = rows) -> Any:
                return await verb(line.db.store(Item), rows)

            result = await outcome(call)
            assert line.proxy.cuts == number + 1, f"verb {number}"
            found = await line.direct.store(Item).find()
            seen = (len(found), sum(item.n == 7 for item in found))
            if isinstance(result, DbkitError):
                assert type(result) in (OutcomeUnknown, Unavailable), repr(result)
                # Unavailable says that nothing was written.
                assert seen in ([(4, 0), after] if isinstance(result, OutcomeUnknown) else [(4, 0)]), (
                    f"verb {number}"
                )
            else:
                assert seen == after, f"verb {number}"


async def test_a_lost_reply_to_a_read_is_unavailable(own_server: Server) -> None:
    """Or late: a driver may read again by itself, for as long as it may take."""
    async with line_to(own_server) as line:
        await line.direct.store(Item).create(Item(name="marked-8"))
        # PyMongo reads again as long as it has time.
        for _ in range(1_000):
            line.proxy.lose_reply(b"marked-8")
        result = await outcome(lambda: line.db.store(Item).find(Item.name == "marked-8"))
        line.proxy._plans.clear()
        assert type(result) in (Unavailable, DeadlineExceeded), repr(result)
        assert result.retryable
        assert (result.operation, result.entity) == ("find", "Item")
        assert len(await line.db.store(Item).find(Item.name == "marked-8")) == 1


async def test_a_lost_reply_to_commit(own_server: Server) -> None:
    """The server is asked what became of it: the transaction is known to be committed."""
    async with line_to(own_server) as line:
        line.proxy.lose_reply(COMMIT[own_server.kind])
        async with line.db.transaction() as tx:
            await tx.store(Pair).create(Pair(number=1, side="left"))
            await tx.store(Pair).create(Pair(number=1, side="right"))
        assert line.proxy.cuts == 1
        assert await line.direct.store(Pair).count() == 2


async def test_a_lost_request_of_commit(own_server: Server) -> None:
    """Committed after all, or rolled back and said so: what is told and what is stored agree."""
    async with line_to(own_server) as line:
        line.proxy.lose_request(COMMIT[own_server.kind])

        async def work() -> None:
            async with line.db.transaction() as tx:
                await tx.store(Pair).create(Pair(number=1, side="left"))
                await tx.store(Pair).create(Pair(number=1, side="right"))

        result = await outcome(work)
        assert line.proxy.cuts == 1
        stored = await line.direct.store(Pair).count()
        if result is None:
            assert stored == 2
        else:
            assert type(result) in (Unavailable, Conflict, OutcomeUnknown), repr(result)
            assert stored in ((0, 2) if isinstance(result, OutcomeUnknown) else (0,))


async def test_a_connection_that_breaks_inside_a_transaction(own_server: Server) -> None:
    """The transaction is rolled back and says so; nothing of it is stored, whatever was sent before."""
    async with line_to(own_server) as line:
        for marker in ("reply", "request"):
            (line.proxy.lose_reply if marker == "reply" else line.proxy.lose_request)(b"marked-9")

            async def work() -> None:
                async with line.db.transaction() as tx:
                    await tx.store(Item).create(Item(name="before"))
                    broken = await outcome(lambda: tx.store(Item).create(Item(name="marked-9")))
                    assert isinstance(broken, OperationalError | OutcomeUnknown | Conflict), repr(broken)
                    later = await outcome(lambda: tx.store(Item).count())
                    assert isinstance(later, TransactionAborted), repr(later)

            assert isinstance(await outcome(work), TransactionAborted)
            assert await line.direct.store(Item).delete_many(everything()) == 0
        assert line.proxy.cuts == 2


async def test_run_in_transaction_does_not_hide_an_unknown_outcome(own_server: Server) -> None:
    """The work is run again on Conflict only: what is stored is what one successful run stores, or nothing."""
    async with line_to(own_server) as line:
        runs: list[int] = []
        line.proxy.lose_reply(COMMIT[own_server.kind])

        async def work(tx: Any) -> None:
            runs.append(1)
            await tx.store(Pair).create(Pair(number=len(runs)))

        result = await outcome(lambda: line.db.run_in_transaction(work))
        assert result is None or isinstance(result, OutcomeUnknown | Unavailable), repr(result)
        assert await line.direct.store(Pair).count() == (1 if result is None else len(runs))
        assert len(runs) == 1
