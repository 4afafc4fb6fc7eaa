"""Tasks that are cancelled in the middle of anything: nothing half-written, nothing locked, nothing leaked."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from dbkit import aconnect, everything
from dbkit.errors import DbkitError
from dbkit.testing import plugin
from dbkit.testing.stores import NotRun
from tests.faults.entities import Item, Pair

ROUNDS = 40


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    stores, _ = plugin.asked(metafunc.config)
    marks = {
        label: [pytest.mark.server] for label, asked in stores.items() if asked in {"postgresql", "mongodb"}
    }
    metafunc.parametrize(
        "cancelled_store",
        [pytest.param(item, id=item[0], marks=marks.get(item[0], [])) for item in stores.items()],
    )


async def pair(db: Any, number: int) -> None:
    async with db.transaction() as tx:
        await tx.store(Pair).create(Pair(number=number, side="left"))
        await tx.store(Pair).create(Pair(number=number, side="right"))


async def many(db: Any, number: int) -> None:
    await db.store(Pair).create_many([Pair(number=number), Pair(number=number)])


async def again(db: Any, number: int) -> None:
    async def work(tx: Any) -> None:
        await tx.store(Pair).create_many(
            [Pair(number=number, side="left"), Pair(number=number, side="right")]
        )
        await tx.store(Item).update_many(everything(), changes=Item.n.set(Item.n + 1))

    await db.run_in_transaction(work)


async def test_cancelled_tasks_leave_nothing_behind(
    cancelled_store: tuple[str, str], request: pytest.FixtureRequest
) -> None:
    store = plugin.shelf(request.config).store(*cancelled_store)
    if isinstance(store, NotRun):
        plugin.missing(store, named=plugin.asked(request.config)[1])
    chance = random.Random(11)
    async with aconnect(store.url, entities=[Item, Pair], pool_size=3) as db:
        await db.drop_schema()
        await db.create_schema()
        await db.store(Item).create(Item(name="counter"))
        finished: set[int] = set()
        for number in range(ROUNDS):
            verb = (pair, many, again)[number % 3]
            tasks = [asyncio.create_task(verb(db, number * 10 + n)) for n in range(2)]
            await asyncio.sleep(chance.choice([0, 0, 0.001, 0.002, 0.004, 0.008]))
            tasks[0].cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            for n, result in enumerate(results):
                if result is None:
                    finished.add(number * 10 + n)
                else:
                    assert isinstance(result, asyncio.CancelledError | DbkitError), repr(result)
            assert results[1] is None, "the one that was not cancelled succeeds"
            assert getattr(getattr(db.backend, "pool", None), "in_use", 0) == 0
        stored: dict[int, int] = {}
        async for row in db.store(Pair).iterate():
            stored[row.number] = stored.get(row.number, 0) + 1
        assert set(stored.values()) == {2}
        assert finished <= stored.keys()
        assert ROUNDS <= len(finished) < 2 * ROUNDS, "either all were cancelled in time or none"
        # Nobody holds a lock, and this task has no transaction open.
        await db.store(Item).update_many(everything(), changes=Item.n.set(0))
        async with db.transaction() as tx:
            await tx.store(Item).update_many(everything(), changes=Item.n.set(1))
        assert await asyncio.gather(*(db.store(Item).count() for _ in range(9))) == [1] * 9
        await db.drop_schema()


async def test_a_cancelled_wait_for_a_connection(
    cancelled_store: tuple[str, str], request: pytest.FixtureRequest
) -> None:
    store = plugin.shelf(request.config).store(*cancelled_store)
    if isinstance(store, NotRun):
        plugin.missing(store, named=plugin.asked(request.config)[1])
    async with aconnect(store.url, entities=[Item, Pair], pool_size=1, timeout_s=5) as db:
        await db.drop_schema()
        await db.create_schema()
        async with db.transaction() as tx:
            await tx.store(Item).count()
            waiting = [asyncio.create_task(db.store(Item).count()) for _ in range(4)]
            await asyncio.sleep(0.02)
            for task in waiting[:3]:
                task.cancel()
            await asyncio.sleep(0)
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert results[3] == 0
        assert await db.store(Item).count() == 0
        await db.drop_schema()


async def test_cancelled_while_it_rolls_back(
    cancelled_store: tuple[str, str], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error came first, the cancellation while its rollback ran: the connection is not lost between the two."""
    store = plugin.shelf(request.config).store(*cancelled_store)
    if isinstance(store, NotRun):
        plugin.missing(store, named=plugin.asked(request.config)[1])
    async with aconnect(store.url, entities=[Item, Pair], pool_size=1, timeout_s=5) as db:
        await db.drop_schema()
        await db.create_schema()
        await db.store(Item).create(Item(name="taken"))
        pool: Any = getattr(db.backend, "pool", None)
        if pool is None:
            pytest.skip("its pool is the driver's own, or it has none")
        begun = asyncio.Event()
        idle: Any = pool._idle[0]
        connection: Any = idle.__class__
        rollback: Any = connection.rollback

        async def slow(self: Any) -> None:
            begun.set()
            await asyncio.sleep(0.02)
            await rollback(self)

        monkeypatch.setattr(connection, "rollback", slow)

        async def work() -> None:
            async with db.transaction() as tx:
                await tx.store(Item).create(Item(name="new"))
                await tx.store(Item).create(Item(name="taken"))

        task = asyncio.create_task(work())
        await begun.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        monkeypatch.undo()
        assert pool.in_use == 0
        assert await db.store(Item).count() == 1
        await db.drop_schema()
