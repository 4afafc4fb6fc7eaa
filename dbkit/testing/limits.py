"""Makes dbkit's limits small and its clock fast, so that a rule shows them without ten thousand rows or thirty seconds.

Both reach into every module that is loaded, a backend's too, and put all back at the end. Open the database inside the
block: what a backend tells its server (a lock's time limit, say) is told when it connects.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from dbkit import options
from dbkit._async import executor as async_executor
from dbkit._sync import executor as sync_executor

__all__ = ["FastClock", "fast_clock", "shortened"]


@contextmanager
def shortened(**limits: float) -> Generator[None]:
    """Give the constants of `dbkit.options` other values: `shortened(LOCK_WAIT_S=0.3)`."""
    changed: list[tuple[Any, str, float]] = []
    for name, value in limits.items():
        known = getattr(options, name)
        for module in list(sys.modules.values()):
            # Some modules answer to any name; only dbkit's own constant is meant.
            held: Any = getattr(module, "__dict__", {}).get(name)
            if type(held) is type(known) and held == known:
                changed.append((module, name, held))
                setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, held in changed:
            setattr(module, name, held)


class FastClock:
    """The clock of transactions' deadlines; it can be put forward."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        """Return the time that it shows."""
        return time.monotonic() + self.ahead_s


@contextmanager
def fast_clock() -> Generator[FastClock]:
    """Let transactions that begin in the block read their time from the clock that is lent."""
    clock = FastClock()
    modules: tuple[Any, ...] = (async_executor, sync_executor)
    for module in modules:
        module.monotonic = clock.monotonic
    try:
        yield clock
    finally:
        for module in modules:
            module.monotonic = time.monotonic
