"""Locks, events, sleeps and identities of tasks: what `_async/` uses; its generated twin uses those of `concurrency`."""

from __future__ import annotations

import asyncio
import threading

from .concurrency import check_ran

__all__ = ["AsyncEvent", "AsyncLock", "asleep", "async_worker", "check_ran"]

AsyncLock = asyncio.Lock

asleep = asyncio.sleep


def async_worker() -> int:
    """Return a number that is the running task's alone, while it runs."""
    task = asyncio.current_task()
    return id(task) if task is not None else threading.get_ident()


class AsyncEvent(asyncio.Event):
    """A flag that one task waits for."""

    async def wait_for(self, timeout_s: float) -> bool:
        """Wait until the flag is set, at most *timeout_s*; return whether it is."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self.wait()
        except TimeoutError:
            return self.is_set()
