"""Locks, events, sleeps and identities of threads: what `_sync/` uses, where its source uses `async_concurrency`.

A pair, hand-written, as no mapping of names turns the one into the other; two files, so that a program of threads does
not load asyncio.
"""

from __future__ import annotations

import inspect
import threading
import time
from typing import Any

from .errors import InvalidInput

__all__ = ["Event", "Lock", "check_ran", "sleep", "worker"]

Lock = threading.Lock

sleep = time.sleep

worker = threading.get_ident


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
