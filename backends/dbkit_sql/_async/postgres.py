"""PostgreSQL by psycopg 3: autocommit, server-side prepared statements, tuples, binary results."""

from __future__ import annotations

import warnings
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.pq import ConnStatus, TransactionStatus

from dbkit.answers import depended_on
from dbkit.async_concurrency import asleep
from dbkit.errors import (
    BadURL,
    Conflict,
    DbkitError,
    OutcomeUnknown,
    TransactionAborted,
    Unavailable,
    Unsupported,
)
from dbkit.options import LOCK_WAIT_S, Isolation, Options
from dbkit.query import Claim, Query
from dbkit.spec import EntitySpec
from dbkit.statement import Plan, ServerInfo, Statement
from dbkit.url import URL

from ..adapters import ADAPTERS, has_input, postgres_failure
from ..dialects.postgresql import PostgresDialect
from ..errors import OUTDATED, Verb, postgres_error, refused_connection, verb_of
from ..features import POSTGRESQL
from ..plans import POSTGRES_EXPLAIN, postgres_plan
from ..settings import PostgresSettings, postgres_settings
from ..writes import BulkPlan
from .backend import AsyncSqlBackend, AsyncSqlTransaction
from .connection import AsyncThunk, AsyncWork

if TYPE_CHECKING:
    from ..checking import Found, Rules
    from ..drivers import Owner

__all__ = ["AsyncPostgresBackend", "AsyncPostgresConnection"]

T = TypeVar("T")
_OLDEST = 140_000
# A connection that was idle for longer is looked at before it is used: has the server closed it meanwhile?
_TRUSTED_S = 0.5
# So many rows are not kept in memory for the sake of a kept cursor.
_MANY_ROWS = 200
# Of each connection; the server keeps each of them in its memory.
_PREPARED = 256
# Held while a schema is made: two processes shall not make one table at once. Any number that is always the same.
_SCHEMA_LOCK = 7_306_367_291_482_113_381
# From tables that are not among the named ones to those that are.
# https://www.postgresql.org/docs/current/catalog-pg-constraint.html
_REFERENCES = """
WITH named AS (SELECT name, to_regclass(name) AS oid FROM unnest(%s::text[]) AS name)
SELECT CASE WHEN pg_table_is_visible(c.oid) THEN c.relname ELSE n.nspname || '.' || c.relname END, named.name, a.attname
FROM pg_constraint AS k
JOIN named ON named.oid = k.confrelid
JOIN pg_class AS c ON c.oid = k.conrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
WHERE k.contype = 'f' AND NOT EXISTS (SELECT FROM named AS other WHERE other.oid = k.conrelid)
ORDER BY 1, 2, 3
LIMIT 1
"""


class AsyncPatientConnection(psycopg.AsyncConnection[Any]):
    """A connection that gives up: a server that is frozen answers no statement_timeout."""

    patience_s: float | None = None

    async def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        """Wait for the server, at most *timeout*, or as long as this connection's patience lasts."""
        return await super().wait(gen, interval, self.patience_s if timeout is None else timeout)


class AsyncPostgresConnection:
    """A connection of psycopg; used by one at a time."""

    def __init__(self, raw: AsyncPatientConnection, owner: Owner) -> None:
        self.raw = raw
        self._owner = owner
        # Kept: making one for each statement costs 15 % (and forgets how to adapt the parameters' types).
        self._cursor = raw.cursor(binary=True)
        self._control = raw.cursor()
        self.touched = 0
        self._used_at = monotonic()

    @classmethod
    async def connect(cls, settings: PostgresSettings, owner: Owner) -> AsyncPostgresConnection:
        """Open a connection."""
        raw = await AsyncPatientConnection.connect(autocommit=True, context=ADAPTERS, **settings.parameters)
        try:
            raw.prepared_max = _PREPARED
            raw.patience_s = settings.patience_s
            await raw.execute(settings.session.encode(), prepare=False)
        except BaseException:
            await raw.close()
            raise
        return cls(raw, owner)

    async def rows(self, text: Any, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows."""
        if self._owner.hook is not None:
            return await self._observed(text, lambda: self._rows(text, params))
        return await self._rows(text, params)

    async def _rows(self, text: Any, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        await self._cursor.execute(text, params)
        found = await self._cursor.fetchall()
        self._used_at = monotonic()
        if len(found) > _MANY_ROWS:
            # A cursor holds its last result until the next one comes.
            self._cursor = self.raw.cursor(binary=True)
        return found

    async def change(self, text: Any, params: Sequence[Any] = ()) -> int:
        """Run a statement and return how many rows it changed."""
        if self._owner.hook is not None:
            return await self._observed(text, lambda: self._change(text, params))
        return await self._change(text, params)

    async def _change(self, text: Any, params: Sequence[Any]) -> int:
        await self._cursor.execute(text, params)
        self._used_at = monotonic()
        return self._cursor.rowcount

    async def change_many(self, text: Any, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement for each row."""
        await self._observed(text, lambda: self._cursor.executemany(text, rows))

    async def copy(self, text: Any, types: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Send the rows by COPY."""
        await self._observed(text, lambda: self._copy(text, types, rows))

    async def _copy(self, text: Any, types: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        async with self._control.copy(text) as copy:
            if types:
                copy.set_types(types)
            # As `copy.write_row` does, without a coroutine for each row: most rows only fill the formatter's buffer.
            encode = copy.formatter.write_row
            for row in rows:
                if data := encode(row):
                    await copy.write(data)

    async def run(self, text: str) -> int:
        """Run a statement of the user's as it stands, % and all, and return how many rows it changed."""
        await self._observed(text, lambda: self._control.execute(text.encode(), prepare=False))
        return self._control.rowcount

    async def take_time(self) -> None:
        """Let each statement from now on take as long as it takes; tables may be altered between two of one text."""
        self.raw.patience_s = None
        # Altered meanwhile, a prepared one is refused: "cached plan must not change result type".
        self.raw.prepare_threshold = None
        await self._control.execute(b"SET statement_timeout = 0", prepare=False)

    async def _observed(self, text: str, run: AsyncThunk[T]) -> T:
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

    # -- transactions --------------------------------------------------------------------------------------------------

    async def begin(self, *, read_only: bool = False, serializable: bool = False) -> None:
        """Begin a transaction of one snapshot."""
        level = "SERIALIZABLE" if serializable else "REPEATABLE READ"
        text = f"BEGIN ISOLATION LEVEL {level}{' READ ONLY' if read_only else ''}"
        await self._observed(text, lambda: self._control.execute(text.encode(), prepare=False))

    async def current_xid(self) -> str | None:
        """Return the id of the transaction that is open, None before its first write."""
        text = "SELECT pg_current_xact_id_if_assigned()::text"
        ((xid,),) = await self.rows(text)
        return None if xid is None else str(xid)

    async def commit(self) -> None:
        """Commit it."""
        if self.raw.pgconn.transaction_status == TransactionStatus.INERROR:
            # COMMIT would answer ROLLBACK, and psycopg would say nothing.
            raise TransactionAborted("an error in the transaction ended it; everything is rolled back")
        await self._observed("COMMIT", lambda: self._control.execute(b"COMMIT", prepare=False))

    async def rollback(self) -> None:
        """Roll it back."""
        await self._observed("ROLLBACK", lambda: self._control.execute(b"ROLLBACK", prepare=False))

    # -- state ---------------------------------------------------------------------------------------------------------

    @property
    def is_clean(self) -> bool:
        """Whether it is open, and no transaction is."""
        return self.raw.pgconn.transaction_status == TransactionStatus.IDLE

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be sent any more, or no answer came to what was."""
        pgconn = self.raw.pgconn
        return pgconn.status != ConnStatus.OK or pgconn.transaction_status == TransactionStatus.ACTIVE

    @property
    def is_doubtful(self) -> bool:
        """Whether the server closed it while it was idle. No round trip: only what has already come is read."""
        if monotonic() - self._used_at < _TRUSTED_S:
            return False
        pgconn = self.raw.pgconn
        try:
            # The server's farewell comes first, the end of the stream behind it.
            for _ in range(2):
                if not has_input(pgconn.socket):
                    return False
                pgconn.consume_input()
        except (psycopg.Error, OSError, ValueError):
            return True
        return pgconn.status != ConnStatus.OK

    async def close(self) -> None:
        """Close it."""
        await self.raw.close()


class AsyncPostgresBackend(AsyncSqlBackend[AsyncPostgresConnection]):
    """A PostgreSQL server."""

    name = "postgresql"

    def __init__(self, url: URL, options: Options) -> None:
        super().__init__(options)
        self.features = POSTGRESQL
        self.server = ServerInfo("PostgreSQL", "?")
        self.dialect = PostgresDialect()
        self._settings = postgres_settings(url, options)
        if psycopg.pq.__impl__ == "python":
            warnings.warn(
                "psycopg runs in pure Python, which reads lists six times slower: pip install 'psycopg[binary]'",
                RuntimeWarning,
                stacklevel=4,
            )

    # -- life ----------------------------------------------------------------------------------------------------------

    async def _connect(self) -> AsyncPostgresConnection:
        try:
            return await AsyncPostgresConnection.connect(self._settings, self)
        except psycopg.ProgrammingError:
            # The message may hold the password, as may every message at this point.
            raise BadURL("libpq does not accept a value in the URL's query") from None
        except (psycopg.Error, OSError, UnicodeError) as error:
            raise refused_connection(getattr(error, "sqlstate", None), str(error)) from None

    async def _probe(self, connection: AsyncPostgresConnection) -> None:
        info = connection.raw.info
        version = info.server_version
        self.server = ServerInfo("PostgreSQL", (info.parameter_status("server_version") or "?").split()[0])
        if version < _OLDEST:
            raise Unsupported(f"PostgreSQL {self.server.version} is too old", hint="dbkit needs 14 or newer")
        encoding = info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise Unsupported(
                f"the database's encoding is {encoding}, which cannot keep every text",
                hint="CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
            )

    def translated(self, error: BaseException, verb: Verb) -> DbkitError | None:
        failure = postgres_failure(error)
        return None if failure is None else postgres_error(failure, verb, self.compiler.tables)

    def is_lost(self, connection: AsyncPostgresConnection, error: BaseException) -> bool:
        return connection.is_lost

    def is_outdated(self, error: BaseException) -> bool:
        failure = postgres_failure(error)
        return failure is not None and failure.code == OUTDATED

    # -- verbs ---------------------------------------------------------------------------------------------------------

    async def insert_rows(self, plan: BulkPlan, entity: EntitySpec, rows: Sequence[tuple[Any, ...]]) -> None:
        connection = await self.taken()
        try:
            # One statement is all or nothing by itself.
            await self.bulk(connection, plan, entity, rows)
        except BaseException as error:
            await self.failed(connection, error, Verb(entity, writes=True))
            raise
        await self.give_back(connection)

    async def bulk(
        self,
        connection: AsyncPostgresConnection,
        plan: BulkPlan,
        entity: EntitySpec,
        rows: Sequence[tuple[Any, ...]],
    ) -> None:
        await connection.copy(plan.copy, plan.types, plan.filled(rows))

    async def claim(self, query: Claim) -> list[Any]:
        plan = self.compiler.claim(query)
        return plan.reader.instances(await self.rows(plan.text.text, plan.text.fill(query.binds), query))

    async def explained(self, connection: AsyncPostgresConnection, text: str, params: Sequence[Any]) -> Plan:
        ((answer,),) = await connection.rows(f"{POSTGRES_EXPLAIN} {text}", params)
        return postgres_plan(text, answer, {entity.stored for entity in self.compiler.tables.schema})

    async def begin(self, *, read_only: bool, isolation: Isolation) -> AsyncPostgresTransaction:
        connection = await self.taken()
        serializable = isolation == "serializable"
        try:
            await connection.begin(read_only=read_only, serializable=serializable)
        except BaseException as error:
            await self.failed(connection, error, None)
            raise
        return AsyncPostgresTransaction(self, connection)

    async def became_of(self, xid: str) -> str | None:
        """Ask, on a new connection, what became of a transaction; None where nobody can say.

        A server that lost the connection may be finishing the commit: it is asked for a while
        (PostgreSQL's manual, 9.27, `pg_xact_status`).
        """
        deadline = monotonic() + LOCK_WAIT_S
        while True:
            try:
                connection = await self._connect()
            except Unavailable:
                if monotonic() > deadline:
                    return None
                await asleep(0.1)
                continue
            try:
                ((status,),) = await connection.rows("SELECT pg_xact_status(%s::xid8)", (xid,))
            except psycopg.Error:
                status = None
            finally:
                await connection.close()
            if status != "in progress" or monotonic() > deadline:
                return None if status is None else str(status)
            await asleep(0.05)

    # -- checking ------------------------------------------------------------------------------------------------------

    async def found_table(self, connection: AsyncPostgresConnection, entity: EntitySpec) -> Found | None:
        from .. import checking_postgresql

        tables = self.compiler.tables
        ((found,),) = await connection.rows(
            checking_postgresql.CATALOGUE, (tables.quoted_table(entity.stored),)
        )
        targets = [e.stored for e in tables.schema]
        return None if found is None else checking_postgresql.found_table(found, targets)

    def checking_rules(self) -> Rules:
        from ..checking_postgresql import RULES

        return RULES

    # -- schema --------------------------------------------------------------------------------------------------------

    async def create_schema(self) -> None:
        from ..drift import CATALOGUE, postgres_drift

        tables = self.compiler.tables

        async def work(connection: AsyncPostgresConnection) -> None:
            await self._lock_schema(connection)
            made: list[EntitySpec] = []
            for entity in tables.schema.parents_first():
                if not entity.managed:
                    continue
                ((found,),) = await connection.rows(CATALOGUE, (tables.quoted_table(entity.stored),))
                if found is None:
                    await self._make_namespace(connection, tables.namespace(entity))
                    made.append(entity)
                missing = tables.create(entity) if found is None else postgres_drift(tables, entity, found)
                for statement in missing:
                    await connection.change(statement)
            for entity in made:
                for statement in tables.refer(entity):
                    await connection.change(statement)

        await self._in_own_transaction(work)

    async def _make_namespace(self, connection: AsyncPostgresConnection, schema: str | None) -> None:
        """Make the schema of a table's name where it is missing.

        Asked for first: CREATE SCHEMA IF NOT EXISTS needs the right to make one even where it is there.
        """
        if schema is not None:
            ((is_there,),) = await connection.rows("SELECT to_regnamespace(%s) IS NOT NULL", (schema,))
            if not is_there:
                await connection.change(f"CREATE SCHEMA {schema}")

    async def drop_schema(self) -> None:
        tables = self.compiler.tables

        async def work(connection: AsyncPostgresConnection) -> None:
            await self._lock_schema(connection)
            going = {tables.quoted_table(entity.stored): entity for entity in tables.schema.managed}
            if not going:
                return
            for child, parent, column in await connection.rows(_REFERENCES, (list(going),)):
                raise depended_on(going[parent], child, column)
            await connection.change(f"DROP TABLE IF EXISTS {', '.join(going)}")

        await self._in_own_transaction(work)

    async def _in_own_transaction(self, work: AsyncWork[AsyncPostgresConnection, None]) -> None:
        connection = await self.taken()
        try:
            # READ COMMITTED: what another process made while this one waited is to be seen.
            await connection.change("BEGIN")
            await work(connection)
            await connection.commit()
        except BaseException as error:
            await self.failed(connection, error, Verb(writes=True))
            raise
        await self.give_back(connection)

    async def _lock_schema(self, connection: AsyncPostgresConnection) -> None:
        """Wait until nobody else makes a schema in this database.

        Polled: a blocking lock and CREATE INDEX CONCURRENTLY wait for each other for ever.
        """
        deadline = monotonic() + self._options.timeout_s
        while True:
            ((is_mine,),) = await connection.rows("SELECT pg_try_advisory_xact_lock(%s)", (_SCHEMA_LOCK,))
            if is_mine:
                return
            if monotonic() > deadline:
                raise Conflict("another process is making a schema in this database", retryable=False)
            await asleep(0.02)


class AsyncPostgresTransaction(AsyncSqlTransaction[AsyncPostgresConnection]):
    """An open transaction of PostgreSQL."""

    def __init__(self, backend: AsyncPostgresBackend, connection: AsyncPostgresConnection) -> None:
        super().__init__(backend, connection)
        self._postgres = backend
        self._xid: str | None = None

    async def rows(
        self, text: str, params: Sequence[Any], query: Query | Verb | None
    ) -> list[tuple[Any, ...]]:
        found = await super().rows(text, params, query)
        await self._learn(query)
        return found

    async def change(self, text: str, params: Sequence[Any], query: Query | Verb | None) -> int:
        changed = await super().change(text, params, query)
        await self._learn(query)
        return changed

    async def inside(
        self,
        query: Query | Verb | None,
        work: AsyncWork[AsyncPostgresConnection, T],
        *,
        read_only: bool = False,
    ) -> T:
        result = await super().inside(query, work, read_only=read_only)
        await self._learn(query)
        return result

    async def _learn(self, query: Query | Verb | None) -> None:
        """Ask for the transaction's id after its first write, before anything can be lost.

        By it a new connection can ask what became of the transaction, should the reply to COMMIT not come.
        """
        if self._xid is None and query is not None and verb_of(query).writes:
            try:
                self._xid = await self._connection.current_xid()
            except psycopg.Error as error:
                self._raise(error, None)
                raise

    async def commit(self) -> None:
        """Commit; where the reply is lost, ask the server what became of it."""
        try:
            await super().commit()
        except OutcomeUnknown:
            if self._xid is None:
                return  # nothing was written: there is nothing that could be in doubt
            status = await self._postgres.became_of(self._xid)
            if status == "aborted":
                raise Unavailable("the connection broke at the commit; everything is rolled back") from None
            if status != "committed":
                raise

    @asynccontextmanager
    async def native(self) -> AsyncGenerator[Any]:
        async with super().native() as connection:
            yield connection
        await self._learn(Verb(writes=True))
