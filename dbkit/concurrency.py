"""Locks, events, sleeps and identities in pairs: what `_async/` uses, and what its generated twin uses instead.

Hand-written, as no mapping of names turns the one into the other.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from typing import Any

from .errors import InvalidInput

__all__ = [
    "AsyncEvent",
    "AsyncLock",
    "Event",
    "Lock",
    "asleep",
    "async_worker",
    "check_ran",
    "sleep",
    "worker",
]

AsyncLock = asyncio.Lock
Lock = threading.Lock

asleep = asyncio.sleep
sleep = time.sleep

worker = threading.get_ident


def async_worker() -> int:
    """Return a number that is the running task's alone, while it runs."""
    task = asyncio.current_task()
    return id(task) if task is not None else threading.get_ident()


def check_ran(result: Any) -> None:
    """Refuse a coroutine in a result's place: the function that gave it has done nothing yet, and never would."""
    if inspect.iscoroutine(result):
        result.close()
        raise InvalidInput(
            "an asynchronous function was called where a plain one is meant: none of it was run",
            hint="def, not async def; or aconnect, whose transactions await it",
        )


class Event(threading.Event):
    """A flag that one thread waits for."""

    def wait_for(self, timeout_s: float) -> bool:
        """Wait until the flag is set, at most *timeout_s*; return whether it is."""
        return self.wait(timeout_s)


class AsyncEvent(asyncio.Event):
    """A flag that one task waits for."""

    async def wait_for(self, timeout_s: float) -> bool:
        """Wait until the flag is set, at most *timeout_s*; return whether it is."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self.wait()
        except TimeoutError:
            return self.is_set()
