"""Who else may go on before a verb: a pair that `_async/` and its twin share by name."""

from __future__ import annotations

from collections.abc import Generator
from types import coroutine

__all__ = ["AsyncTurn", "Turn"]


class AsyncTurn:
    """Between tasks: nothing here waits by itself, so a task that loops over verbs would stop all the others."""

    @staticmethod
    @coroutine
    def give() -> Generator[None]:
        """Let the other tasks go on: a bare yield is what `asyncio.sleep(0)` is, and loads no asyncio."""
        yield


class Turn:
    """Between threads: the interpreter gives turns by itself."""

    @staticmethod
    def give() -> None:
        """Do nothing."""
