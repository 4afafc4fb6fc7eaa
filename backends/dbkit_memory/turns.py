"""Who else may go on before a verb: a pair that `_async/` and its twin share by name."""

from __future__ import annotations

import asyncio

__all__ = ["AsyncTurn", "Turn"]


class AsyncTurn:
    """Between tasks: nothing here waits by itself, so a task that loops over verbs would stop all the others."""

    @staticmethod
    async def give() -> None:
        """Let the other tasks go on."""
        await asyncio.sleep(0)


class Turn:
    """Between threads: the interpreter gives turns by itself."""

    @staticmethod
    def give() -> None:
        """Do nothing."""
