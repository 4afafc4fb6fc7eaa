"""SQLite's connections, in two colours: the standard library's, and aiosqlite's, which runs it on a thread of its own.

Hand-written as a pair, as the two drivers' methods differ. A connection is in autocommit (`isolation_level=None`) until
`begin`; the same methods are those of PostgreSQL's connections in `_async/postgres.py`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from dbkit.statement import Hook, Statement

from .dialects.sqlite import remove_equal
from .errors import Failure
from .settings import SqliteSettings

if TYPE_CHECKING:
    import aiosqlite

__all__ = ["AsyncSqliteConnection", "Owner", "SqliteConnection", "sqlite_failure"]

T = TypeVar("T")
Rows = list[tuple[Any, ...]]

# How many instructions of SQLite's machine run between two looks at the clock: some milliseconds.
_INSTRUCTIONS = 200_000


class Owner(Protocol):
    """The backend that made a connection."""

    name: str
    hook: Hook | None


class _Clock:
    """Stops a statement that runs too long; SQLite itself has no limit."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._deadline = float("inf")

    def limit(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s

    def start(self) -> None:
        self._deadline = monotonic() + self._timeout_s

    def is_over(self) -> bool:
        return monotonic() > self._deadline


def sqlite_failure(error: BaseException) -> Failure | None:
    """Return what an error of the driver says, None for another error."""
    if not isinstance(error, sqlite3.Error):
        return None
    return Failure(getattr(error, "sqlite_errorcode", None) or 1, str(error))


def begin_text(read_only: bool) -> str:
    """Return the statement that begins a transaction."""
    # A writer takes its lock at once: one that asks for it later may find that another wrote since its snapshot, and
    # no waiting helps (https://www.sqlite.org/lang_transaction.html).
    return "BEGIN" if read_only else "BEGIN IMMEDIATE"


class SqliteConnection:
    """A connection of the standard library; used by one thread at a time."""

    is_doubtful = False

    def __init__(self, raw: sqlite3.Connection, owner: Owner, settings: SqliteSettings) -> None:
        self.raw = raw
        self._owner = owner
        self._clock = _Clock(settings.timeout_s)
        self._cursor = raw.cursor()
        self._guarded = False

    @classmethod
    def connect(cls, settings: SqliteSettings, owner: Owner) -> SqliteConnection:
        """Open a connection."""
        raw = sqlite3.connect(settings.path, check_same_thread=False, **settings.arguments)
        try:
            made = cls(raw, owner, settings)
            raw.create_function("dbkit_remove", 2, remove_equal, deterministic=True)
            raw.set_progress_handler(made._clock.is_over, _INSTRUCTIONS)
            for name, value in settings.pragmas.items():
                raw.execute(f"PRAGMA {name} = {value}")
        except BaseException:
            raw.close()
            raise
        return made

    def rows(self, text: str, params: Sequence[Any] = ()) -> Rows:
        """Run a statement and return its rows."""
        if self._owner.hook is not None:
            return self._observed(text, lambda: self._cursor.execute(text, params).fetchall())
        self._clock.start()
        return self._cursor.execute(text, params).fetchall()

    def change(self, text: str, params: Sequence[Any] = ()) -> int:
        """Run a statement and return how many rows it changed."""
        if self._owner.hook is not None:
            return self._observed(text, lambda: self._cursor.execute(text, params).rowcount)
        self._clock.start()
        return self._cursor.execute(text, params).rowcount

    def change_many(self, text: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement for each row."""
        self._observed(text, lambda: self._cursor.executemany(text, rows))

    def _observed(self, text: str, run: Callable[[], T]) -> T:
        self._clock.start()
        started = monotonic()
        failed: str | None = None
        try:
            return run()
        except BaseException as error:
            failed = type(error).__name__
            raise
        finally:
            if self._owner.hook is not None:
                self._owner.hook(Statement(self._owner.name, text, monotonic() - started, failed))

    def patience(self, timeout_s: float) -> None:
        """Let each statement from now on take as long."""
        self._clock.limit(timeout_s)

    @property
    def touched(self) -> int:
        """How many rows were ever changed, those of foreign keys' actions among them."""
        return self.raw.total_changes

    @property
    def is_clean(self) -> bool:
        """Whether it is fit for the next one: no transaction is open, and it may write."""
        return not self.raw.in_transaction and not self._guarded

    def begin(self, *, read_only: bool = False, guarded: bool = False) -> None:
        """Begin a transaction; *guarded*: SQLite itself refuses to write in it."""
        if guarded:
            self._guarded = True
            self.rows("PRAGMA query_only = ON")
        self.rows(begin_text(read_only))

    def commit(self) -> None:
        """Commit it."""
        self.rows("COMMIT")
        self._end()

    def rollback(self) -> None:
        """Roll it back, where SQLite has not done so itself."""
        if self.raw.in_transaction:
            self.rows("ROLLBACK")
        self._end()

    def _end(self) -> None:
        if self._guarded:
            self.rows("PRAGMA query_only = OFF")
            self._guarded = False

    def close(self) -> None:
        """Close it."""
        self.raw.close()


class AsyncSqliteConnection:
    """A connection of aiosqlite; used by one task at a time. Each call is one hop to its thread and back."""

    is_doubtful = False

    def __init__(self, raw: aiosqlite.Connection, owner: Owner, settings: SqliteSettings) -> None:
        self.raw = raw
        self._owner = owner
        self._clock = _Clock(settings.timeout_s)
        self._guarded = False

    @classmethod
    async def connect(cls, settings: SqliteSettings, owner: Owner) -> AsyncSqliteConnection:
        """Open a connection."""
        import aiosqlite

        raw = await aiosqlite.connect(settings.path, **settings.arguments)
        try:
            made = cls(raw, owner, settings)
            await raw.create_function("dbkit_remove", 2, remove_equal, deterministic=True)
            await raw.set_progress_handler(made._clock.is_over, _INSTRUCTIONS)
            for name, value in settings.pragmas.items():
                await raw.execute_fetchall(f"PRAGMA {name} = {value}")
        except BaseException:
            await raw.close()
            raise
        return made

    async def rows(self, text: str, params: Sequence[Any] = ()) -> Rows:
        """Run a statement and return its rows."""
        if self._owner.hook is not None:
            return await self._observed(text, lambda: self._rows(text, params))
        return await self._rows(text, params)

    async def _rows(self, text: str, params: Sequence[Any]) -> Rows:
        self._clock.start()
        found: Any = await self.raw.execute_fetchall(text, params)
        return list(found)

    async def change(self, text: str, params: Sequence[Any] = ()) -> int:
        """Run a statement and return how many rows it changed."""
        if self._owner.hook is not None:
            return await self._observed(text, lambda: self._change(text, params))
        return await self._change(text, params)

    async def _change(self, text: str, params: Sequence[Any]) -> int:
        self._clock.start()
        cursor = await self.raw.execute(text, params)
        changed = cursor.rowcount
        await cursor.close()
        return changed

    async def change_many(self, text: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement for each row."""
        await self._observed(text, lambda: self._change_many(text, rows))

    async def _change_many(self, text: str, rows: Iterable[Sequence[Any]]) -> None:
        self._clock.start()
        cursor = await self.raw.executemany(text, rows)
        await cursor.close()

    async def _observed(self, text: str, run: Callable[[], Awaitable[T]]) -> T:
        started = monotonic()
        failed: str | None = None
        try:
            return await run()
        except BaseException as error:
            failed = type(error).__name__
            raise
        finally:
            if self._owner.hook is not None:
                self._owner.hook(Statement(self._owner.name, text, monotonic() - started, failed))

    @property
    def touched(self) -> int:
        """How many rows were ever changed, those of foreign keys' actions among them."""
        return self.raw.total_changes

    @property
    def is_clean(self) -> bool:
        """Whether it is fit for the next one: no transaction is open, and it may write."""
        return not self.raw.in_transaction and not self._guarded

    async def begin(self, *, read_only: bool = False, guarded: bool = False) -> None:
        """Begin a transaction; *guarded*: SQLite itself refuses to write in it."""
        if guarded:
            self._guarded = True
            await self.rows("PRAGMA query_only = ON")
        await self.rows(begin_text(read_only))

    async def commit(self) -> None:
        """Commit it."""
        await self.rows("COMMIT")
        await self._end()

    async def rollback(self) -> None:
        """Roll it back, where SQLite has not done so itself."""
        await self._stop()
        if self.raw.in_transaction:
            await self.rows("ROLLBACK")
        await self._end()

    async def _end(self) -> None:
        if self._guarded:
            await self.rows("PRAGMA query_only = OFF")
            self._guarded = False

    async def close(self) -> None:
        """Close it."""
        await self._stop()
        await self.raw.close()

    async def _stop(self) -> None:
        """Stop the statement that a cancelled task left running on the thread: what comes next waits for its end."""
        with suppress(ValueError):  # it is closed
            await self.raw.interrupt()
