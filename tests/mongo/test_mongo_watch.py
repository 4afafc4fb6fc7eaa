"""The time limit of asynchronous calls: as `asyncio.timeout`, for many calls by one timer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from dbkit_mongo.watch import Watch

SOON_S, LATER_S = 0.25, 60.0


async def bounded(watch: Watch, work: Awaitable[str]) -> str:
    with watch.call():
        return await work


async def slow(seconds: float = LATER_S) -> str:
    await asyncio.sleep(seconds)
    return "done"


async def test_what_takes_too_long_ends_alone() -> None:
    watch = Watch(SOON_S)
    calls = [bounded(watch, slow(s)) for s in (LATER_S, 0, LATER_S, 0.001)]
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(f) for f in found] == [TimeoutError, str, TimeoutError, str]
    assert not watch.running


async def test_the_timer_goes_on_with_the_next_call() -> None:
    watch = Watch(SOON_S)
    for _ in range(2):
        assert await bounded(watch, slow(0)) == "done"
        first = asyncio.create_task(bounded(watch, slow()))
        await asyncio.sleep(SOON_S / 2)
        second = asyncio.create_task(bounded(watch, slow()))
        for call in (first, second):
            with pytest.raises(TimeoutError):
                await call
        assert watch.loop is None


async def test_who_is_cancelled_by_another_stays_so() -> None:
    watch = Watch(LATER_S)
    task = asyncio.create_task(bounded(watch, slow()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not watch.running


async def test_who_is_late_and_cancelled_is_cancelled() -> None:
    watch = Watch(LATER_S)
    task = asyncio.create_task(bounded(watch, slow()))
    await asyncio.sleep(0)
    (call,) = watch.running
    call.end()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelling() == 1


async def test_a_task_goes_on_after_its_call_was_ended() -> None:
    watch = Watch(SOON_S)
    with pytest.raises(TimeoutError):
        await bounded(watch, slow())
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert await bounded(watch, slow(0)) == "done"


async def test_an_error_passes() -> None:
    async def fail() -> str:
        raise LookupError

    watch = Watch(LATER_S)
    with pytest.raises(LookupError):
        await bounded(watch, fail())
    assert not watch.running


def test_each_loop_has_its_timer() -> None:
    watch = Watch(SOON_S)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            asyncio.run(bounded(watch, slow()))
    assert asyncio.run(bounded(watch, slow(0))) == "done"
    with pytest.raises(TimeoutError):
        asyncio.run(bounded(watch, slow()))
