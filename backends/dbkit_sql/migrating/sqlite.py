"""The migration store of SQLite: one migrator at a time, each step in the write transaction, tables rebuilt."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager
from math import inf
from time import monotonic
from typing import Any

from dbkit.errors import Conflict, DbkitError, Locked
from dbkit.migrations.differences import Difference
from dbkit.migrations.operations import (
    AddIndex,
    CreateCollection,
    DropIndex,
    DropReference,
    Operation,
    SetValidator,
)
from dbkit.migrations.state import STATE_NAME
from dbkit.migrations.store import Rendered
from dbkit.options import LOCK_WAIT_S, Options
from dbkit.spec import EntitySpec, Schema
from dbkit.statement import Hook
from dbkit.url import URL

from .._sync.sqlite import SqliteBackend
from ..drift import sqlite_comparison
from ..drivers import SqliteConnection, sqlite_failure
from ..errors import Verb, sqlite_error
from ..schema import Tables
from ..settings import SqliteSettings
from .differences import differences, missing
from .refusals import orphans
from .sqlite_actions import Actions
from .sqlite_operations import SqliteOperations
from .sqlite_tables import SqliteTables
from .sqlite_turns import is_busy, turn
from .store import Kind, SqlMigrationStore

__all__ = ["SqliteMigrationStore"]


# They add nothing that a row could refer to in vain, and remove no parent.
_HARMLESS = (CreateCollection, AddIndex, DropIndex, DropReference)


class _Nobody:
    """The owner of a connection that nobody watches."""

    name = "sqlite"
    hook: Hook | None = None


class SqliteMigrationStore(SqlMigrationStore[SqliteConnection]):
    """SQLite."""

    def __init__(self, url: URL, options: Options) -> None:
        super().__init__(SqliteBackend(url, options))
        self._wait_s = LOCK_WAIT_S
        self._scratch: SqliteConnection | None = None
        self._actions: Actions | None = None
        self._may_break = False
        """Whether the open step did anything that could leave a row without its parent."""

    # -- one at a time -------------------------------------------------------------------------------------------------

    @contextmanager
    def lock(self, timeout_s: float) -> Generator[None]:
        """Be the only migrator; `transaction` takes the database's own lock, and waits at most *timeout_s* for it."""
        before, self._wait_s = self._wait_s, timeout_s
        with ExitStack() as held:
            if file := self._file:
                with self._told():
                    held.enter_context(turn(file, timeout_s))
            try:
                yield
            finally:
                self._wait_s = before

    def _settle(self, connection: SqliteConnection) -> None:
        connection.patience(inf)

    def _begin(self, kind: Kind) -> None:
        connection = self._connection
        self._forget()
        self._may_break = False
        if kind == "step":
            # Inside a transaction it would be ignored (https://www.sqlite.org/pragma.html#pragma_foreign_keys).
            connection.rows("PRAGMA foreign_keys = OFF")
        deadline = monotonic() + self._wait_s
        while True:
            left = max(0.0, min(deadline - monotonic(), LOCK_WAIT_S))
            connection.rows(f"PRAGMA busy_timeout = {round(left * 1000)}")
            try:
                connection.begin()
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                if monotonic() < deadline:
                    continue
                if kind == "batch":
                    raise Conflict("another writer holds the database's lock") from error
                raise Locked(
                    "another migrator, or another writer, holds the database's lock", hint="wait for its end"
                ) from error
            return

    def _check(self) -> None:
        if self._open != "step" or not self._may_break:
            return
        found = _broken(self._connection.raw)
        if not found:
            return
        # What was broken before is not this migration's doing: SQLite checks nothing for those who never asked it to.
        path = self._file.replace("?", "%3f").replace("#", "%23")
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as other:
            found -= _broken(other)
        if found:
            (table, parent), rows = next(iter(found.items()))
            columns = [
                column
                for column, target in self._connection.rows(
                    'SELECT "from", "table" FROM pragma_foreign_key_list(?)', (table,)
                )
                if target == parent
            ]
            raise orphans(table, " or ".join(columns) or "a reference", parent, rows)

    @property
    def _file(self) -> str:
        ((_, _, path),) = self._connection.rows(
            "SELECT seq, name, file FROM pragma_database_list WHERE name = 'main'"
        )
        return str(path)

    def _commit(self) -> None:
        self._forget_actions()
        self._connection.commit()

    def _after(self) -> None:
        self._actions = None
        # A rebuild, or triggers, that failed half-way left them on.
        self._connection.rows("PRAGMA legacy_alter_table = OFF")
        self._connection.rows("PRAGMA recursive_triggers = OFF")
        self._connection.rows(f"PRAGMA busy_timeout = {round(LOCK_WAIT_S * 1000)}")
        self._connection.rows("PRAGMA foreign_keys = ON")

    # -- the base's questions ------------------------------------------------------------------------------------------

    @property
    def _mark(self) -> str:
        return "?"

    def _translate(self, error: BaseException, verb: Verb, tables: Tables) -> DbkitError | None:
        failure = sqlite_failure(error)
        return None if failure is None else sqlite_error(failure, verb, tables)

    def _refused(self, error: BaseException) -> str | None:
        # The plain "SQL logic error" is about the text: a typing error, or a name that is not there.
        failure = sqlite_failure(error)
        return failure.message if failure is not None and failure.code == 1 else None

    def _has_table(self, stored: str) -> bool:
        text = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE"
        return bool(self._connection.rows(text, (stored,)))

    def _state_ddl(self) -> str:
        return (
            f'CREATE TABLE IF NOT EXISTS "{STATE_NAME}" (id INTEGER PRIMARY KEY CHECK (id = 1), '
            "revision INTEGER NOT NULL, version INTEGER NOT NULL, dirty INTEGER NOT NULL CHECK (dirty IN (0, 1)), "
            "state TEXT NOT NULL) STRICT"
        )

    def _run(self, text: str) -> int:
        self._forget()
        self._may_break = True
        first = next(t.text.upper() for t in self._tokens(text) if t.kind not in ("space", "comment"))
        if self._open == "step":
            if first in ("DELETE", "WITH", "REPLACE", "INSERT", "UPDATE"):
                self._act()
            else:
                self._forget_actions()
        return max(0, self._connection.change(text))

    # -- the work ------------------------------------------------------------------------------------------------------

    def _operate(self, operation: Operation, *, again: bool) -> int:
        self._forget()
        self._forget_actions()
        self._may_break |= not isinstance(operation, _HARMLESS)
        tables = SqliteTables(self._connection, self._main.dialect)
        return SqliteOperations(tables, again=again).apply(operation)

    def _index_concurrently(self, operation: AddIndex | DropIndex) -> None:
        # There is one writer at a time anyhow.
        with self._within("step"):
            self._operated(operation, again=True)

    def _is_gentle(self, operation: Operation) -> bool:
        return False

    def _before_store(self, entity: EntitySpec) -> None:
        pass

    def _before_write(self) -> None:
        if self._open == "step":
            self._may_break = True
            self._act()

    def _act(self) -> None:
        """Let deletions cascade, as foreign keys are off."""
        if self._actions is None:
            self._actions = Actions(self._connection)
            self._actions.make()

    def _forget_actions(self) -> None:
        if self._actions is not None:
            self._actions.drop()
            self._actions = None

    def _compared(self, schema: Schema) -> list[Difference]:
        tables = Tables(self._main.dialect, schema)
        made: list[Difference] = []
        for entity in schema.managed:
            there = self._connection.rows(
                "SELECT type, name, sql FROM sqlite_schema WHERE tbl_name = ? COLLATE NOCASE AND sql IS NOT NULL",
                (entity.stored,),
            )
            if any(kind == "table" for kind, _, _ in there):
                made += differences(tables, entity, sqlite_comparison(tables, entity, there))
            else:
                made.append(missing(entity))
        return made

    # -- showing -------------------------------------------------------------------------------------------------------

    def render(self, operation: Operation) -> list[Rendered]:
        """Return what `apply` would send: it is done to an empty copy of the schema, in memory, and noted.

        The copy stays as it became, so that a plan's later operations find it so; it is forgotten when anything is done.
        """
        if isinstance(operation, SetValidator):
            return []
        log: list[Rendered] = []
        with self._told(getattr(operation, "entity", None)):
            scratch = SqliteTables(self._copied(), self._main.dialect, log, self._count)
            SqliteOperations(scratch, again=False).apply(operation)
        return log

    def _copied(self) -> SqliteConnection:
        if self._scratch is None:
            settings = SqliteSettings(":memory:", inf, {"foreign_keys": "OFF"})
            self._scratch = scratch = SqliteConnection.connect(settings, _Nobody())
            found = self._connection.rows(
                "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite~_%' ESCAPE '~' "
                "ORDER BY CASE type WHEN 'table' THEN 1 WHEN 'index' THEN 2 WHEN 'view' THEN 3 ELSE 4 END, rowid"
            )
            for (sql,) in found:
                scratch.rows(sql)
        return self._scratch

    def _count(self, table: str) -> int | None:
        if not self._has_table(table):
            return None
        quoted = self._main.dialect.core.identifier_preparer.quote(table)
        ((rows,),) = self._connection.rows(f"SELECT count(*) FROM {quoted}")  # noqa: S608
        return int(rows)

    def _forget(self) -> None:
        if self._scratch is not None:
            self._scratch.close()
            self._scratch = None

    def close(self) -> None:
        """Close the connection."""
        self._forget()
        super().close()


def _broken(raw: Any) -> Counter[tuple[str, str]]:
    """Return how many rows of each table refer to no row of another."""
    return Counter((table, parent) for table, _, parent, _ in raw.execute("PRAGMA foreign_key_check"))
