"""The migration store of PostgreSQL: a session's advisory lock, DDL in the step's transaction."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any

import psycopg

from dbkit.concurrency import sleep
from dbkit.errors import DbkitError, Locked, Unavailable, Unsupported
from dbkit.migrations.differences import Difference
from dbkit.migrations.operations import AddIndex, AddReference, DropIndex, Operation, SetValidator
from dbkit.migrations.state import STATE_NAME
from dbkit.migrations.store import Rendered
from dbkit.options import Options
from dbkit.spec import EntitySpec, Schema
from dbkit.url import URL

from .._sync.postgres import PostgresBackend, PostgresConnection
from ..adapters import postgres_failure
from ..drift import CATALOGUE, postgres_comparison
from ..errors import Verb, postgres_error
from ..schema import Tables
from .differences import differences, missing
from .postgres_operations import PostgresOperations
from .postgres_tables import PostgresTables, Table
from .store import Kind, SqlMigrationStore

__all__ = ["PostgresMigrationStore"]

# Any number that is always the same, and not that of create_schema().
_LOCK = 7_306_367_291_482_113_382


class PostgresMigrationStore(SqlMigrationStore[PostgresConnection]):
    """PostgreSQL."""

    def __init__(self, url: URL, options: Options) -> None:
        self._postgres = PostgresBackend(url, options)
        super().__init__(self._postgres)
        self._names = Tables(self._main.dialect, Schema(()))
        self._locked: set[str] = set()
        self._known: dict[str, Table | None] = {}
        self._xid: str | None = None

    # -- one at a time -------------------------------------------------------------------------------------------------

    @contextmanager
    def lock(self, timeout_s: float) -> Generator[None]:
        """Hold the session's advisory lock.

        Polled: one that blocks waits inside a statement, whose snapshot CREATE INDEX CONCURRENTLY of the other migrator
        waits for, for ever (the manual, "Building Indexes Concurrently").
        """
        deadline = monotonic() + timeout_s
        while True:
            with self._told():
                ((is_mine,),) = self._connection.rows("SELECT pg_try_advisory_lock(%s)", (_LOCK,))
            if is_mine:
                break
            if monotonic() >= deadline:
                raise Locked(
                    "another migrator is at work in this database",
                    backend=self.name,
                    hint="wait for its end; pg_locks shows its session (locktype 'advisory')",
                )
            sleep(0.05)
        try:
            yield
        finally:
            # Where the connection broke, the lock went with it.
            with suppress(Exception):
                self._connection.rows("SELECT pg_advisory_unlock(%s)", (_LOCK,))

    def _settle(self, connection: PostgresConnection) -> None:
        connection.take_time()

    def _begin(self, kind: Kind) -> None:
        self._known.clear()
        self._locked.clear()
        if kind == "batch":
            # Rows are read, and written by what was read: what another one changes between is a Conflict.
            self._connection.begin()
        else:
            self._connection.change("BEGIN")

    def _check(self) -> None:
        self._xid = self._connection.current_xid()

    def _commit(self) -> None:
        try:
            self._connection.commit()
        except psycopg.Error:
            if not self._connection.is_lost or self._xid is None:
                raise
            status = self._postgres.became_of(self._xid)
            if status == "committed":
                return
            if status == "aborted":
                raise Unavailable("the connection broke at the commit; everything is rolled back") from None
            raise

    def _after(self) -> None:
        self._known.clear()

    # -- the base's questions ------------------------------------------------------------------------------------------

    @property
    def _mark(self) -> str:
        return "%s"

    def _translate(self, error: BaseException, verb: Verb, tables: Tables) -> DbkitError | None:
        failure = postgres_failure(error)
        return None if failure is None else postgres_error(failure, verb, tables)

    def _refused(self, error: BaseException) -> str | None:
        # Class 42 is about the text: syntax, names, rights; 2B about what depends on what is dropped; 0A about what cannot
        # be done at all. Their words hold no stored value.
        failure = postgres_failure(error)
        return (
            failure.message if failure is not None and str(failure.code)[:2] in ("42", "2B", "0A") else None
        )

    def _has_table(self, stored: str) -> bool:
        name = f'"{stored}"' if stored == STATE_NAME else self._names.quoted_table(stored)
        ((is_there,),) = self._connection.rows("SELECT to_regclass(%s) IS NOT NULL", (name,))
        return bool(is_there)

    def _state_ddl(self) -> str:
        return (
            f'CREATE TABLE IF NOT EXISTS "{STATE_NAME}" (id integer PRIMARY KEY CHECK (id = 1), '
            "revision bigint NOT NULL, version bigint NOT NULL, dirty boolean NOT NULL, state text NOT NULL)"
        )

    def _run(self, text: str) -> int:
        self._known.clear()
        return max(0, self._connection.run(text))

    # -- the work ------------------------------------------------------------------------------------------------------

    def _operate(self, operation: Operation, *, again: bool) -> int:
        if isinstance(operation, AddIndex | DropIndex) and operation.is_concurrent:
            raise Unsupported(
                "an index is made or dropped concurrently outside a transaction only",
                hint="say transactional = False in the migration's file",
            )
        tables = PostgresTables(self._connection, self._main.dialect)
        self._known.clear()
        return PostgresOperations(tables, again=again, gentle=self._open is None).apply(operation)

    def _index_concurrently(self, operation: AddIndex | DropIndex) -> None:
        tables = PostgresTables(self._connection, self._main.dialect)
        # It waits for every transaction that is open, and no lock_timeout shall leave it half done.
        self._connection.change("SET lock_timeout = 0")
        try:
            PostgresOperations(tables, again=True).apply(operation)
        finally:
            with suppress(Exception):
                self._connection.change("SET lock_timeout = 5000")

    def _before_store(self, entity: EntitySpec) -> None:
        """Keep other writers off while a step's transaction computes what it writes from what it read."""
        if self._open == "step" and entity.stored not in self._locked and self._has_table(entity.stored):
            name = self._names.quoted_table(entity.stored)
            with self._told(entity):
                self._connection.change(f"LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE")
            self._locked.add(entity.stored)

    def _before_write(self) -> None:
        pass

    def _is_gentle(self, operation: Operation) -> bool:
        # Both tables are locked for a moment only; the rows are looked at beside writers (the manual, ALTER TABLE).
        return isinstance(operation, AddReference)

    def _compared(self, schema: Schema) -> list[Difference]:
        tables = Tables(self._main.dialect, schema)
        made: list[Difference] = []
        for entity in schema.managed:
            found: Any
            ((found,),) = self._connection.rows(CATALOGUE, (tables.quoted_table(entity.stored),))
            if found is None:
                made.append(missing(entity))
            else:
                made += differences(tables, entity, postgres_comparison(tables, entity, found))
        return made

    # -- showing -------------------------------------------------------------------------------------------------------

    def render(self, operation: Operation) -> list[Rendered]:
        """Return what `apply` would send.

        The tables are kept in mind as they would have become, so that a plan's later operations find them so; it is forgotten
        when anything is done.
        """
        if isinstance(operation, SetValidator):
            return []
        log: list[Rendered] = []
        with self._told(getattr(operation, "entity", None)):
            tables = PostgresTables(self._connection, self._main.dialect, log, self._known)
            PostgresOperations(tables, again=False).apply(operation)
        return log

    def _shown(self, statement: str) -> str:
        return statement.replace("%%", "%")
