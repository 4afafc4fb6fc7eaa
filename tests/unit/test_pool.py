"""The pool, in both colours: bounded, last in first out, handed over fairly, nothing lost whoever is cancelled."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
import time
from collections.abc import Callable

import pytest

from dbkit._async.pool import AsyncPool
from dbkit._sync.pool import Pool
from dbkit.errors import OperationalError, PoolTimeout


class Factory:
    """Makes numbered connections, and knows which are open."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)
        self.open: set[int] = set()
        self.most = 0
        self.fails_with: BaseException | None = None

    def connect(self) -> int:
        if self.fails_with is not None:
            raise self.fails_with
        made = next(self.numbers)
        self.open.add(made)
        self.most = max(self.most, len(self.open))
        return made

    def close(self, connection: int) -> None:
        self.open.remove(connection)

    async def aconnect(self) -> int:
        await asyncio.sleep(0)
        return self.connect()

    async def aclose(self, connection: int) -> None:
        await asyncio.sleep(0)
        self.close(connection)


@pytest.fixture
def factory() -> Factory:
    return Factory()


def pool_of(factory: Factory, size: int, timeout_s: float = 5.0) -> Pool[int]:
    return Pool(size, timeout_s, factory.connect, factory.close)


def async_pool_of(factory: Factory, size: int, timeout_s: float = 5.0) -> AsyncPool[int]:
    return AsyncPool(size, timeout_s, factory.aconnect, factory.aclose)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


# -- one at a time -----------------------------------------------------------------------------------------------------


def test_connections_are_made_when_they_are_needed(factory: Factory) -> None:
    pool = pool_of(factory, 3)
    assert (factory.open, pool.in_use) == (set(), 0)
    one = pool.acquire()
    assert (factory.open, pool.in_use) == ({one}, 1)
    pool.release(one)
    assert pool.acquire() == one
    assert factory.open == {one}


def test_the_one_used_last_is_lent_first(factory: Factory) -> None:
    pool = pool_of(factory, 3)
    one, two, three = pool.acquire(), pool.acquire(), pool.acquire()
    for connection in (two, three, one):
        pool.release(connection)
    assert [pool.acquire() for _ in range(3)] == [one, three, two]


def test_an_exhausted_pool_says_so_in_time(factory: Factory) -> None:
    pool = pool_of(factory, 2, timeout_s=0.02)
    lent = [pool.acquire(), pool.acquire()]
    with pytest.raises(PoolTimeout, match=r"within 0\.02 s \(pool_size=2\)") as caught:
        pool.acquire()
    assert caught.value.retryable
    assert "pool_size" in (caught.value.hint or "")
    pool.release(lent[0])
    assert pool.acquire() == lent[0]


async def test_an_exhausted_async_pool_says_so_in_time(factory: Factory) -> None:
    pool = async_pool_of(factory, 1, timeout_s=0.02)
    lent = await pool.acquire()
    with pytest.raises(PoolTimeout):
        await pool.acquire()
    pool.release(lent)
    assert await pool.acquire() == lent


def test_a_broken_connection_makes_room_for_another(factory: Factory) -> None:
    pool = pool_of(factory, 1, timeout_s=0.02)
    broken = pool.acquire()
    pool.discard(broken)
    assert (factory.open, pool.in_use) == (set(), 0)
    assert pool.acquire() != broken
    assert pool.in_use == 1


def test_a_connect_that_fails_leaves_its_place(factory: Factory) -> None:
    pool = pool_of(factory, 1, timeout_s=0.02)
    factory.fails_with = OSError("refused")
    for _ in range(3):
        with pytest.raises(OSError, match="refused"):
            pool.acquire()
    assert pool.in_use == 0
    factory.fails_with = None
    assert pool.acquire() in factory.open


def test_a_close_that_fails_leaves_its_place(factory: Factory) -> None:
    pool = pool_of(factory, 1, timeout_s=0.02)
    one = pool.acquire()
    factory.open.clear()
    with pytest.raises(KeyError):
        pool.discard(one)
    assert pool.in_use == 0
    assert pool.acquire() != one


def test_clear_idle_closes_what_is_idle_only(factory: Factory) -> None:
    pool = pool_of(factory, 3)
    kept, idle = pool.acquire(), pool.acquire()
    pool.release(idle)
    pool.clear_idle()
    assert factory.open == {kept}
    assert pool.in_use == 1


def test_a_closed_pool_lends_nothing(factory: Factory) -> None:
    pool = pool_of(factory, 2)
    lent, idle = pool.acquire(), pool.acquire()
    pool.release(idle)
    pool.close()
    assert pool.is_closed
    assert factory.open == {lent}
    with pytest.raises(OperationalError, match="closed") as caught:
        pool.acquire()
    assert not caught.value.retryable
    pool.discard(lent)
    assert factory.open == set()
    pool.close()


# -- waiting -----------------------------------------------------------------------------------------------------------


async def test_those_who_wait_are_served_in_their_order(factory: Factory) -> None:
    pool = async_pool_of(factory, 1)
    lent = await pool.acquire()
    served: list[int] = []

    async def wait(number: int) -> None:
        connection = await pool.acquire()
        served.append(number)
        await asyncio.sleep(0)
        pool.release(connection)

    tasks = [asyncio.create_task(wait(number)) for number in range(5)]
    await settle()
    pool.release(lent)
    await asyncio.gather(*tasks)
    assert served == [0, 1, 2, 3, 4]


async def test_nobody_starves_behind_one_who_comes_back_at_once(factory: Factory) -> None:
    """A worker that gives a connection back and takes the next at once must not be lent it before those who wait."""
    pool = async_pool_of(factory, 1, timeout_s=2)
    turns: list[str] = []

    async def loop(name: str) -> None:
        for _ in range(20):
            connection = await pool.acquire()
            turns.append(name)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            pool.release(connection)

    await asyncio.gather(loop("a"), loop("b"))
    longest = max(len(list(group)) for _, group in itertools.groupby(turns[: 2 * min(20, len(turns))]))
    assert longest <= 2, turns


def test_no_thread_starves_behind_one_who_comes_back_at_once(factory: Factory) -> None:
    pool = pool_of(factory, 1, timeout_s=10)
    stop = threading.Event()

    def greedy() -> None:
        while not stop.is_set():
            connection = pool.acquire()
            time.sleep(0.0005)
            pool.release(connection)

    thread = threading.Thread(target=greedy)
    thread.start()
    try:
        started = time.monotonic()
        for _ in range(20):
            pool.release(pool.acquire())
        assert time.monotonic() - started < 2
    finally:
        stop.set()
        thread.join()


async def test_a_discarded_connection_serves_one_who_waits(factory: Factory) -> None:
    pool = async_pool_of(factory, 1)
    broken = await pool.acquire()
    task = asyncio.create_task(pool.acquire())
    await settle()
    await pool.discard(broken)
    made = await task
    assert made != broken
    assert factory.open == {made}


async def test_close_ends_those_who_wait(factory: Factory) -> None:
    pool = async_pool_of(factory, 1, timeout_s=60)
    await pool.acquire()
    tasks = [asyncio.create_task(pool.acquire()) for _ in range(3)]
    await settle()
    await pool.close()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(result, OperationalError)
        assert not isinstance(result, PoolTimeout)


def test_close_ends_threads_that_wait(factory: Factory) -> None:
    pool = pool_of(factory, 1, timeout_s=60)
    pool.acquire()
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            pool.acquire()
        except OperationalError as error:
            errors.append(error)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(pool._waiters) == 3)
    pool.close()
    for thread in threads:
        thread.join(5)
    assert [type(e) for e in errors] == [OperationalError] * 3


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


# -- cancellation ------------------------------------------------------------------------------------------------------


async def test_a_cancelled_waiter_is_passed_over(factory: Factory) -> None:
    pool = async_pool_of(factory, 1)
    lent = await pool.acquire()
    first, second = asyncio.create_task(pool.acquire()), asyncio.create_task(pool.acquire())
    await settle()
    first.cancel()
    await settle()
    pool.release(lent)
    assert await second == lent
    assert first.cancelled()


async def test_what_was_handed_to_a_cancelled_waiter_goes_to_the_next(factory: Factory) -> None:
    """Released and cancelled in the same turn of the loop: the connection has an owner, who is gone."""
    pool = async_pool_of(factory, 1)
    lent = await pool.acquire()
    first, second = asyncio.create_task(pool.acquire()), asyncio.create_task(pool.acquire())
    await settle()
    pool.release(lent)
    first.cancel()
    assert await asyncio.wait_for(second, 1) == lent
    pool.release(lent)
    assert pool.in_use == 0


async def test_a_place_handed_to_a_cancelled_waiter_goes_to_the_next(factory: Factory) -> None:
    pool = async_pool_of(factory, 1)
    lent = await pool.acquire()
    first, second = asyncio.create_task(pool.acquire()), asyncio.create_task(pool.acquire())
    await settle()
    await pool.discard(lent)
    first.cancel()
    made = await asyncio.wait_for(second, 1)
    assert factory.open == {made}
    pool.release(made)
    assert pool.in_use == 0


async def test_cancelled_while_connecting_leaves_its_place(factory: Factory) -> None:
    pool = async_pool_of(factory, 1, timeout_s=0.5)
    task = asyncio.create_task(pool.acquire())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pool.in_use == 0
    assert await pool.acquire() in factory.open


@pytest.mark.parametrize("seed", range(20))
async def test_any_mix_of_work_failure_and_cancellation_loses_nothing(factory: Factory, seed: int) -> None:
    chance = random.Random(seed)
    size = chance.randint(1, 3)
    pool = async_pool_of(factory, size, timeout_s=chance.choice([0.001, 5]))
    holders: set[int] = set()

    async def work() -> None:
        for _ in range(chance.randint(1, 5)):
            try:
                connection = await pool.acquire()
            except PoolTimeout:
                continue
            assert connection not in holders
            holders.add(connection)
            try:
                await asyncio.sleep(chance.choice([0, 0, 0.001]))
            finally:
                holders.remove(connection)
                if chance.random() < 0.2:
                    await asyncio.shield(pool.discard(connection))
                else:
                    pool.release(connection)

    tasks = [asyncio.create_task(work()) for _ in range(12)]
    for _ in range(15):
        await asyncio.sleep(chance.choice([0, 0, 0.0005]))
        chance.choice(tasks).cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await settle()
    assert factory.most <= size
    assert pool.in_use == 0
    assert not pool._waiters
    # All places are there: the pool can be taken out whole, once.
    taken = [await pool.acquire() for _ in range(size)]
    assert len(set(taken)) == size == len(factory.open)


# -- threads -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3])
def test_threads_never_share_a_connection_and_lose_none(factory: Factory, size: int) -> None:
    pool = pool_of(factory, size, timeout_s=10)
    holders: set[int] = set()
    problems: list[BaseException] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        try:
            for _ in range(150):
                connection = pool.acquire()
                assert connection not in holders
                holders.add(connection)
                if chance.random() < 0.1:
                    time.sleep(0)
                holders.remove(connection)
                if chance.random() < 0.1:
                    pool.discard(connection)
                else:
                    pool.release(connection)
        except BaseException as problem:  # noqa: BLE001  # shown by the assertion below
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not problems
    assert not any(thread.is_alive() for thread in threads)
    assert factory.most <= size
    assert (pool.in_use, len(pool._waiters)) == (0, 0)
    assert len({pool.acquire() for _ in range(size)}) == size == len(factory.open)


def test_threads_that_give_up_lose_nothing(factory: Factory) -> None:
    """Timeouts of a few microseconds meet hand-overs: each connection ends in exactly one place."""
    pool = pool_of(factory, 2, timeout_s=0.0003)
    outcomes: list[str] = []
    problems: list[BaseException] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        try:
            for _ in range(200):
                try:
                    connection = pool.acquire()
                except PoolTimeout:
                    outcomes.append("timeout")
                    continue
                time.sleep(chance.choice([0, 0.0003]))
                outcomes.append("served")
                pool.release(connection)
        except BaseException as problem:  # noqa: BLE001  # shown by the assertion below
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not problems
    assert {"served"} <= set(outcomes)
    assert (pool.in_use, len(pool._waiters)) == (0, 0)
    assert len({pool.acquire(), pool.acquire()}) == 2 == len(factory.open)
