"""Workers at once, in pairs: tasks for the asynchronous colour, threads for the synchronous one.

Hand-written, as no mapping of names turns the one into the other. What a worker raises is its result: a rule about a
race says which set of outcomes is allowed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

__all__ = ["AsyncBarrier", "AsyncTeam", "Barrier", "Team", "TooSlow"]

WITHIN_S = 90.0
"""A team that takes longer hangs."""


class TooSlow(AssertionError):
    """A worker did not end in time: it hangs, or waits for one that does."""


class AsyncTeam:
    """Runs asynchronous functions at once, each in a task of its own."""

    @staticmethod
    async def run(works: Sequence[Callable[[], Awaitable[Any]]]) -> list[Any]:
        """Return each function's result, or the exception that it raised, in order."""

        async def one(work: Callable[[], Awaitable[Any]]) -> Any:
            return await work()

        try:
            async with asyncio.timeout(WITHIN_S):
                return await asyncio.gather(*map(one, works), return_exceptions=True)
        except TimeoutError:
            raise TooSlow(f"workers did not end within {WITHIN_S:.0f} s") from None


class Team:
    """Runs functions at once, each in a thread of its own."""

    @staticmethod
    def run(works: Sequence[Callable[[], Any]]) -> list[Any]:
        """Return each function's result, or the exception that it raised, in order."""
        results: list[Any] = [None] * len(works)

        def one(place: int, work: Callable[[], Any]) -> None:
            try:
                results[place] = work()
            except Exception as error:  # noqa: BLE001  # it is the result
                results[place] = error

        threads = [threading.Thread(target=one, args=pair, daemon=True) for pair in enumerate(works)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WITHIN_S)
            if thread.is_alive():
                raise TooSlow(f"workers did not end within {WITHIN_S:.0f} s")
        return results


class AsyncBarrier:
    """Lets *parties* tasks pass together, each time all of them wait."""

    def __init__(self, parties: int) -> None:
        self._barrier = asyncio.Barrier(parties)

    async def wait(self) -> None:
        """Wait until all are here."""
        async with asyncio.timeout(WITHIN_S):
            await self._barrier.wait()


class Barrier:
    """Lets *parties* threads pass together, each time all of them wait."""

    def __init__(self, parties: int) -> None:
        self._barrier = threading.Barrier(parties, timeout=WITHIN_S)

    def wait(self) -> None:
        """Wait until all are here."""
        self._barrier.wait()
