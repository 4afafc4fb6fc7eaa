"""Bounds asynchronous calls by time, many of them by one timer.

`asyncio.timeout` sets a timer for each call and takes it back, a twentieth of what a `get` costs. Calls that all have the same
time end in the order in which they began, so one timer is enough: it is set for the oldest that is still running.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

__all__ = ["Watch"]


class Watch:
    """Ends calls that take longer than *seconds*, by cancelling their task."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.running: dict[Watched, None] = {}
        self.loop: asyncio.AbstractEventLoop | None = None

    def call(self) -> Watched:
        """Return the context of one call."""
        return Watched(self)

    def begin(self, call: Watched) -> None:
        """Set the timer, unless it is set in this loop."""
        loop = asyncio.get_running_loop()
        call.until = loop.time() + self.seconds
        self.running[call] = None
        if self.loop is not loop:
            self.loop = loop
            loop.call_at(call.until, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.loop is loop:
            self.loop = None
        now = loop.time()
        for call in list(self.running):
            if call.until > now:
                self.loop = loop
                loop.call_at(call.until, self._look, loop)
                return
            call.end()


class Watched:
    """One call, as a context: `TimeoutError` where it took too long. As `asyncio.timeout` otherwise."""

    __slots__ = ("cancelling", "is_late", "task", "until", "watch")

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.until = 0.0
        self.is_late = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an asynchronous call outside of a task")
        self.task = task
        self.cancelling = task.cancelling()
        self.watch.begin(self)

    def end(self) -> None:
        """Cancel the call."""
        del self.watch.running[self]
        self.is_late = True
        self.task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.is_late:
            del self.watch.running[self]
        # Somebody else may have cancelled the task as well: then it stays cancelled.
        # https://docs.python.org/3/library/asyncio-task.html#asyncio.Task.uncancel
        elif self.task.uncancel() <= self.cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
