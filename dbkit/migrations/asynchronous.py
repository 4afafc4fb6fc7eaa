"""The same verbs for those who await: run in a thread of their own, as a migration's functions are plain ones.

Every verb of one migrator runs in the same thread, one after the other: SQLite's connection belongs to the thread that
made it.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from ..statement import Hook, ServerInfo
from ..url import URL
from .diff import Ask, Draft
from .folder import Folder
from .history import Entry
from .migrator import Migrator, Ran, Version
from .planning import PlannedStep
from .running import Notify

__all__ = ["AsyncMigrator"]

R = TypeVar("R")


class AsyncMigrator:
    """`Migrator` with awaited verbs; use it in an `async with` block.

    A cancelled verb lets the statement that is running end, stops before the next one, and then raises `CancelledError`:
    a step that commits as a whole is rolled back, any other one is left dirty. Hooks and `on_event` run in the thread.
    """

    def __init__(
        self,
        url: str,
        path: str | Path,
        *,
        entities: Iterable[type[Any]] = (),
        lock_timeout_s: float = 60.0,
        on_event: Notify | None = None,
    ) -> None:
        self._migrator = Migrator(
            url, path, entities=entities, lock_timeout_s=lock_timeout_s, on_event=on_event
        )
        self._thread: ThreadPoolExecutor | None = None

    def __repr__(self) -> str:
        return repr(self._migrator).replace("<Migrator", f"<{type(self).__name__}", 1)

    async def open(self) -> Self:
        """Connect; `async with` does it by itself."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="dbkit-migrator")
            try:
                await self._call(self._migrator.open)
            except BaseException:
                await self.close()
                raise
        return self

    async def close(self) -> None:
        """Close the connection. A second call does nothing."""
        if self._thread is not None:
            try:
                await self._call(self._migrator.close)
            finally:
                self._thread.shutdown(wait=False)
                self._thread = None

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _call(self, verb: Callable[[], R]) -> R:
        if self._thread is None:
            # Which says what is missing.
            return verb()
        job = self._thread.submit(contextvars.copy_context().run, verb)
        running = asyncio.wrap_future(job)
        cancelled: asyncio.CancelledError | None = None
        while not running.done():
            try:
                # Not by awaiting it: that would lose sight of it when it is cancelled.
                await asyncio.wait([running])
            except asyncio.CancelledError as error:
                cancelled = error
                if not job.cancel():
                    self._migrator.stop()
        if cancelled is None:
            return running.result()
        # How it ended was asked for, and the state tells it.
        self._migrator.forget_stop()
        if not running.cancelled():
            running.exception()  # or asyncio reports that nobody looked
        raise cancelled

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    def url(self) -> URL:
        """Where the database is."""
        return self._migrator.url

    @property
    def path(self) -> Path:
        """The folder's."""
        return self._migrator.path

    @property
    def backend(self) -> str:
        """The store's name: `"sqlite"`, `"postgresql"`, `"mongodb"`."""
        return self._migrator.backend

    @property
    def language(self) -> str:
        """`"sql"` or `"mongodb"`."""
        return self._migrator.language

    @property
    def is_transactional(self) -> bool:
        """Whether a step commits as a whole, unless its file says otherwise."""
        return self._migrator.is_transactional

    @property
    def server(self) -> ServerInfo:
        """Who answers."""
        return self._migrator.server

    @property
    def folder(self) -> Folder:
        """The folder as it is now."""
        return self._migrator.folder

    def on_statement(self, hook: Hook) -> Hook:
        """Call *hook* after each statement with its text and time, never with its values; return *hook*."""
        return self._migrator.on_statement(hook)

    def stop(self) -> None:
        """End the running verb before its next statement."""
        self._migrator.stop()

    # -- verbs ---------------------------------------------------------------------------------------------------------

    async def up(self) -> list[Ran]:
        """Apply all that is pending; return what was run."""
        return await self._call(self._migrator.up)

    async def down(self) -> list[Ran]:
        """Undo all that was applied; return what was run."""
        return await self._call(self._migrator.down)

    async def steps(self, count: int) -> list[Ran]:
        """Apply the next *count* migrations, or undo the last ones where it is negative."""
        return await self._call(partial(self._migrator.steps, count))

    async def goto(self, version: int) -> list[Ran]:
        """Apply or undo what lies between here and *version*, which is applied afterwards; 0 undoes all."""
        return await self._call(partial(self._migrator.goto, version))

    async def version(self) -> Version:
        """Return where the database stands; also while another migrator runs."""
        return await self._call(self._migrator.version)

    async def force(self, version: int) -> Version:
        """Say that *version* is reached, and clean; nothing is run."""
        return await self._call(partial(self._migrator.force, version))

    async def history(self) -> list[Entry]:
        """Return each migration of the folder and of the database, in order, and where it stands."""
        return await self._call(self._migrator.history)

    async def plan(
        self, *, steps: int | None = None, version: int | None = None, down: bool = False
    ) -> list[PlannedStep]:
        """Return what would run, nothing being written: all that is pending, unless told otherwise."""
        return await self._call(partial(self._migrator.plan, steps=steps, version=version, down=down))

    async def diff(
        self,
        entities: Iterable[type[Any]] | None = None,
        *,
        renames: Mapping[str, str] | None = None,
        ask: Ask | None = None,
        allow_loss: bool = False,
    ) -> Draft:
        """Return the migration that closes the difference between the database and the entities.

        *ask* runs in the thread.
        """
        call = partial(self._migrator.diff, entities, renames=renames, ask=ask, allow_loss=allow_loss)
        return await self._call(call)
