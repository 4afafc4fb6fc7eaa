"""What both SQL backends share: a pool, one statement on one connection, and transactions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from dbkit._async.pool import AsyncPool
from dbkit.errors import DbkitError, TransactionAborted
from dbkit.features import Features
from dbkit.options import Options
from dbkit.query import Claim, Query
from dbkit.spec import EntitySpec, FieldSpec, Schema
from dbkit.statement import Hook, Plan, ServerInfo

from ..compiler import Compiler
from ..dialects import Dialect
from ..errors import Verb, uncommitted, verb_of
from ..schema import Tables
from ..writes import BulkPlan
from .connection import AsyncConnection, AsyncWork
from .verbs import AsyncVerbs, Rows

if TYPE_CHECKING:
    from dbkit.checking import Finding

    from ..checking import Found, Rules

__all__ = ["AsyncSqlBackend", "AsyncSqlTransaction"]

C = TypeVar("C", bound=AsyncConnection)
T = TypeVar("T")


class AsyncSqlBackend(AsyncVerbs[C]):
    """A database that speaks SQL."""

    name: str
    features: Features
    server: ServerInfo
    dialect: Dialect

    def __init__(self, options: Options) -> None:
        self.hook: Hook | None = None
        self._options = options
        self._is_closed = False
        self.pool: AsyncPool[C] = AsyncPool(options.pool_size, options.timeout_s, self._connect, self._close)

    # -- what each database does its own way ---------------------------------------------------------------------------

    @abstractmethod
    async def _connect(self) -> C:
        """Open a connection; raises `DbkitError`s only."""

    @abstractmethod
    async def _probe(self, connection: C) -> None:
        """Learn who answers, and refuse a server that is too old."""

    @abstractmethod
    def translated(self, error: BaseException, verb: Verb) -> DbkitError | None:
        """Return what a driver's error means; None for what is no driver's error."""

    @abstractmethod
    def is_lost(self, connection: C, error: BaseException) -> bool:
        """Return whether the connection broke."""

    def is_outdated(self, error: BaseException) -> bool:
        """Return whether nothing was run, as a table was altered after the statement had been prepared."""
        del error
        return False

    @abstractmethod
    async def bulk(
        self, connection: C, plan: BulkPlan, entity: EntitySpec, rows: Sequence[tuple[Any, ...]]
    ) -> None:
        """Insert the rows on one connection, inside a transaction or as one statement."""

    @abstractmethod
    async def claim(self, query: Claim) -> list[Any]:
        """Change and return rows that no other worker is changing."""

    @abstractmethod
    async def found_table(self, connection: C, entity: EntitySpec) -> Found | None:
        """Look at the entity's table as it is; None where there is none."""

    @abstractmethod
    def checking_rules(self) -> Rules:
        """Return which of its types hold which values."""

    # -- life ----------------------------------------------------------------------------------------------------------

    async def open(self, schema: Schema) -> None:
        self.compiler = Compiler(Tables(self.dialect, schema))
        connection = await self.pool.acquire()
        try:
            await self._probe(connection)
        except BaseException as error:
            await self.pool.discard(connection)
            failed = self.translated(error, Verb())
            if failed is None:
                raise
            raise failed from error
        await self.give_back(connection)

    async def close(self) -> None:
        self._is_closed = True
        await self.pool.close()

    async def ping(self) -> None:
        await self.rows("SELECT 1", (), None)

    async def check(self, entities: Sequence[EntitySpec], sample: int | None) -> list[Finding]:
        from ..checking import Inspection

        tables = self.compiler.tables

        async def work(connection: C) -> list[Finding]:
            # Of all entities: references lead from one to another.
            found = {e.token: await self.found_table(connection, e) for e in tables.schema}
            made: list[Finding] = []
            for entity in entities:
                inspection = Inspection(tables, entity, found, self.checking_rules(), sample)
                inspection.compare()
                for query, told in inspection.questions:
                    (numbers,) = await connection.rows(query)
                    told(numbers)
                made += inspection.findings
            return made

        return await self.inside(Verb(), work, read_only=True)

    async def backfill(
        self,
        entity: EntitySpec,
        values: Sequence[tuple[FieldSpec, Any]],
        batch: int,
        told: Callable[[int, int], object],
    ) -> int:
        # A column stands in every row: a missing one is a migration's to add.
        return 0

    async def _close(self, connection: C) -> None:
        await connection.close()

    async def taken(self) -> C:
        """Take a connection of the pool that the server has not closed meanwhile."""
        connection = await self.pool.acquire()
        while connection.is_doubtful:
            await self.pool.discard(connection)
            connection = await self.pool.acquire()
        return connection

    async def give_back(self, connection: C) -> None:
        """Give a clean connection back; close it where the database was closed meanwhile."""
        self.pool.release(connection)
        if self._is_closed:
            await self.pool.clear_idle()

    # -- statements ----------------------------------------------------------------------------------------------------

    async def rows(self, text: str, params: Sequence[Any], query: Query | Verb | None) -> Rows:
        # As `taken` and `give_back`, in place: this is every read's path.
        connection = await self.pool.acquire()
        while connection.is_doubtful:
            await self.pool.discard(connection)
            connection = await self.pool.acquire()
        try:
            found = await connection.rows(text, params)
        except BaseException as error:
            if await self._renewed(connection, error):
                return await self.rows(text, params, query)
            await self.failed(connection, error, query)
            raise
        self.pool.release(connection)
        if self._is_closed:
            await self.pool.clear_idle()
        return found

    async def change(self, text: str, params: Sequence[Any], query: Query | Verb | None) -> int:
        connection = await self.taken()
        try:
            changed = await connection.change(text, params)
        except BaseException as error:
            if await self._renewed(connection, error):
                return await self.change(text, params, query)
            await self.failed(connection, error, query)
            raise
        await self.give_back(connection)
        return changed

    async def inside(
        self, query: Query | Verb | None, work: AsyncWork[C, T], *, read_only: bool = False
    ) -> T:
        connection = await self.taken()
        try:
            await connection.begin(read_only=read_only)
            result = await work(connection)
        except BaseException as error:
            if await self._renewed(connection, error):
                return await self.inside(query, work, read_only=read_only)
            await self.failed(connection, error, uncommitted(query))
            raise
        try:
            await connection.commit()
        except BaseException as error:
            await self.failed(connection, error, query)
            raise
        await self.give_back(connection)
        return result

    async def insert_rows(self, plan: BulkPlan, entity: EntitySpec, rows: Sequence[tuple[Any, ...]]) -> None:
        verb = Verb(entity, writes=True)
        await self.inside(verb, lambda connection: self.bulk(connection, plan, entity, rows))

    async def failed(self, connection: C, error: BaseException, query: Query | Verb | None) -> None:
        """Give back a connection after an error, or close it, and raise what a driver's error means.

        Returns where the error is to be raised as it is.
        """
        translated = self.translated(error, verb_of(query))
        if translated is not None and self.is_lost(connection, error):
            await self.pool.discard(connection)
            # The others are likely to be as broken.
            await self.pool.clear_idle()
        elif not isinstance(error, Exception):
            # Cancelled in the middle: who knows what is still to come on this connection.
            await self.pool.discard(connection)
        else:
            await self.recovered(connection)
        if translated is not None:
            raise translated from error

    async def _renewed(self, connection: C, error: BaseException) -> bool:
        """Return whether the work is to be done again, on another connection, as a statement's plan was out of date."""
        if not self.is_outdated(error):
            return False
        await self.pool.discard(connection)
        # They have prepared the same statements.
        await self.pool.clear_idle()
        return True

    async def recovered(self, connection: C) -> None:
        """Roll back what is open, and give the connection back; close it where that fails."""
        try:
            if not connection.is_clean:
                await connection.rollback()
            is_clean = connection.is_clean
        except Exception:  # noqa: BLE001  # it is closed, and the first error is raised
            is_clean = False
        except BaseException:
            # Cancelled while it rolled back.
            await self.pool.discard(connection)
            raise
        if is_clean:
            await self.give_back(connection)
        else:
            await self.pool.discard(connection)

    @asynccontextmanager
    async def native(self) -> AsyncGenerator[Any]:
        connection = await self.taken()
        try:
            yield connection.raw
        finally:
            # What was set on it meanwhile shall not reach the next one.
            await self.pool.discard(connection)


class AsyncSqlTransaction(AsyncVerbs[C]):
    """An open transaction."""

    def __init__(self, backend: AsyncSqlBackend[C], connection: C) -> None:
        self.compiler = backend.compiler
        self._backend = backend
        self._connection = connection
        self._over = False

    async def rows(self, text: str, params: Sequence[Any], query: Query | Verb | None) -> Rows:
        try:
            return await self._connection.rows(text, params)
        except Exception as error:
            self._raise(error, query)
            raise

    async def change(self, text: str, params: Sequence[Any], query: Query | Verb | None) -> int:
        try:
            return await self._connection.change(text, params)
        except Exception as error:
            self._raise(error, query)
            raise

    async def inside(
        self, query: Query | Verb | None, work: AsyncWork[C, T], *, read_only: bool = False
    ) -> T:
        try:
            return await work(self._connection)
        except Exception as error:
            self._raise(error, query)
            raise

    def _raise(self, error: Exception, query: Query | Verb | None) -> None:
        translated = self._backend.translated(error, uncommitted(query))
        if translated is not None:
            raise translated from error

    async def insert_rows(self, plan: BulkPlan, entity: EntitySpec, rows: Sequence[tuple[Any, ...]]) -> None:
        verb = Verb(entity, writes=True)
        await self.inside(verb, lambda connection: self._backend.bulk(connection, plan, entity, rows))

    async def explained(self, connection: C, text: str, params: Sequence[Any]) -> Plan:
        return await self._backend.explained(connection, text, params)

    async def commit(self) -> None:
        """Commit, and give the connection back."""
        self._over = True
        try:
            await self._commit(self._connection)
        except BaseException as error:
            await self._backend.failed(self._connection, error, Verb(writes=True))
            raise
        await self._backend.give_back(self._connection)

    async def _commit(self, connection: C) -> None:
        await connection.commit()

    async def rollback(self) -> None:
        """Roll back, and give the connection back."""
        if not self._over:
            self._over = True
            await self._backend.recovered(self._connection)

    @asynccontextmanager
    async def native(self) -> AsyncGenerator[Any]:
        if self._over:
            raise TransactionAborted("this transaction has ended")
        yield self._connection.raw
