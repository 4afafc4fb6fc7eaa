"""SQLite: a file that is opened by each connection of the pool."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbkit.answers import depended_on
from dbkit.async_concurrency import asleep
from dbkit.errors import DbkitError, Unavailable, Unsupported
from dbkit.options import Isolation, Options
from dbkit.query import Claim
from dbkit.spec import EntitySpec
from dbkit.statement import Plan, ServerInfo
from dbkit.url import URL

from ..dialects.sqlite import SqliteDialect
from ..drivers import AsyncSqliteConnection, sqlite_failure
from ..errors import Verb, reference, sqlite_error
from ..features import SQLITE
from ..plans import sqlite_plan
from ..settings import sqlite_settings
from ..writes import BulkPlan
from .backend import AsyncSqlBackend, AsyncSqlTransaction

if TYPE_CHECKING:
    from ..checking import Found, Rules

__all__ = ["AsyncSqliteBackend"]

_OLDEST = (3, 37, 0)
# To tables that are there. https://www.sqlite.org/pragma.html#pragma_foreign_key_list
_REFERENCES = """
SELECT c.name, f."table", f."from" FROM sqlite_schema AS c, pragma_foreign_key_list(c.name) AS f
WHERE c.type = 'table' AND EXISTS (
    SELECT 1 FROM sqlite_schema AS p WHERE p.type = 'table' AND lower(p.name) = lower(f."table"))
ORDER BY 1, 2, 3
"""


class AsyncSqliteBackend(AsyncSqlBackend[AsyncSqliteConnection]):
    """A database in a file, or in a temporary one that is removed at close."""

    name = "sqlite"

    def __init__(self, url: URL, options: Options) -> None:
        super().__init__(options)
        self.features = SQLITE
        self.server = ServerInfo("SQLite", sqlite3.sqlite_version)
        self.dialect = SqliteDialect()
        self._settings = sqlite_settings(url, options)
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    # -- life ----------------------------------------------------------------------------------------------------------

    async def _connect(self) -> AsyncSqliteConnection:
        if not self._settings.path:
            # Not ":memory:", which each connection would have alone, nor its shared cache, where readers block writers.
            self._folder = tempfile.TemporaryDirectory(prefix="dbkit-")
            self._settings = self._settings.at(str(Path(self._folder.name) / "database.sqlite"))
        try:
            return await AsyncSqliteConnection.connect(self._settings, self)
        except sqlite3.Error as error:
            raise Unavailable(
                "the database file cannot be opened",
                retryable=False,
                hint="does its folder exist, and may this program write there?",
            ) from error

    async def _probe(self, connection: AsyncSqliteConnection) -> None:
        if sqlite3.sqlite_version_info < _OLDEST:
            raise Unsupported(
                f"SQLite {sqlite3.sqlite_version} is too old: dbkit needs 3.37, for STRICT tables",
                hint="a newer Python brings a newer SQLite",
            )
        # Kept in the file. Switching needs it alone for a moment, and no waiting is done for that.
        for attempt in range(50):
            with contextlib.suppress(sqlite3.OperationalError):
                await connection.rows("PRAGMA journal_mode = WAL")
                return
            await asleep(0.002 * attempt)
        await connection.rows("PRAGMA journal_mode = WAL")

    async def close(self) -> None:
        await super().close()
        if self._folder is not None:
            self._folder.cleanup()

    def translated(self, error: BaseException, verb: Verb) -> DbkitError | None:
        failure = sqlite_failure(error)
        return None if failure is None else sqlite_error(failure, verb, self.compiler.tables)

    def is_lost(self, connection: AsyncSqliteConnection, error: BaseException) -> bool:
        return False

    # -- verbs ---------------------------------------------------------------------------------------------------------

    async def bulk(
        self,
        connection: AsyncSqliteConnection,
        plan: BulkPlan,
        entity: EntitySpec,
        rows: Sequence[tuple[Any, ...]],
    ) -> None:
        if not plan.refers_to_itself:
            await connection.change_many(plan.insert.text.text, plan.filled(rows))
            return
        # Rows may refer to each other in any order, but each INSERT is a statement of its own, at whose end SQLite looks.
        await connection.rows("PRAGMA defer_foreign_keys = ON")
        await connection.change_many(plan.insert.text.text, plan.filled(rows))
        for check in plan.insert.parents:
            for value in dict.fromkeys(check.value(row) for row in rows):
                if value is not None and not await connection.rows(check.text, (value,)):
                    raise reference(check.constraint, deletes=False)
        await connection.rows("PRAGMA defer_foreign_keys = OFF")

    async def claim(self, query: Claim) -> list[Any]:
        plan = self.compiler.claim(query)
        assert plan.select is not None
        select, update = plan.select, plan.text

        async def work(connection: AsyncSqliteConnection) -> list[tuple[Any, ...]]:
            ids = await connection.rows(select.text, select.fill(query.binds))
            if not ids:
                return []
            rows = await connection.rows(update.text, update.fill(query.binds))
            # RETURNING gives them in any order (sqlite.org/lang_returning.html).
            places = {id: place for place, (id,) in enumerate(ids)}
            return sorted(rows, key=lambda row: places[row[plan.id_position]])

        return plan.reader.instances(await self.inside(query, work))

    async def explained(self, connection: AsyncSqliteConnection, text: str, params: Sequence[Any]) -> Plan:
        rows = await connection.rows(f"EXPLAIN QUERY PLAN {text}", params)
        return sqlite_plan(text, rows, {entity.stored for entity in self.compiler.tables.schema})

    async def begin(
        self, *, read_only: bool, isolation: Isolation
    ) -> AsyncSqlTransaction[AsyncSqliteConnection]:
        connection = await self.taken()
        try:
            # One writer at a time is serializable.
            await connection.begin(read_only=read_only, guarded=read_only)
        except BaseException as error:
            await self.failed(connection, error, None)
            raise
        return AsyncSqlTransaction(self, connection)

    # -- checking ------------------------------------------------------------------------------------------------------

    async def found_table(self, connection: AsyncSqliteConnection, entity: EntitySpec) -> Found | None:
        from .. import checking_sqlite

        there = await connection.rows(checking_sqlite.TABLE, (entity.stored,))
        if not there:
            return None
        ((name, sql),) = there
        columns = await connection.rows(checking_sqlite.COLUMNS, (name,))
        indexes = await connection.rows(checking_sqlite.INDEXES, (name,))
        links = await connection.rows(checking_sqlite.LINKS, (name,))
        names = {f.stored.lower(): f.stored for f in entity.columns}
        names |= {f"table {e.stored.lower()}": e.stored for e in self.compiler.tables.schema}
        return checking_sqlite.found_table(sql, columns, indexes, links, names)

    def checking_rules(self) -> Rules:
        from ..checking_sqlite import RULES

        return RULES

    # -- schema --------------------------------------------------------------------------------------------------------

    async def create_schema(self) -> None:
        from ..drift import sqlite_drift

        tables = self.compiler.tables

        async def work(connection: AsyncSqliteConnection) -> None:
            for entity in tables.schema.parents_first():
                if not entity.managed:
                    continue
                there = await connection.rows(
                    "SELECT type, name, sql FROM sqlite_schema WHERE tbl_name = ? AND sql IS NOT NULL",
                    (entity.stored,),
                )
                missing = sqlite_drift(tables, entity, there) if there else tables.create(entity)
                for statement in missing:
                    await connection.rows(statement)

        await self.inside(Verb(writes=True), work)

    async def drop_schema(self) -> None:
        connection = await self.taken()
        tables = self.compiler.tables
        try:
            # Dropping a table deletes its rows first, and their children with them; inside a transaction the pragma
            # would be ignored (sqlite.org/pragma.html#pragma_foreign_keys).
            await connection.rows("PRAGMA foreign_keys = OFF")
            await connection.begin()
            going = {entity.stored.lower(): entity for entity in tables.schema.managed}
            for child, parent, column in await connection.rows(_REFERENCES):
                if parent.lower() in going and child.lower() not in going:
                    raise depended_on(going[parent.lower()], child, column)
            for entity in going.values():
                await connection.rows(f"DROP TABLE IF EXISTS {tables.quoted_table(entity.stored)}")
            await connection.commit()
            await connection.rows("PRAGMA foreign_keys = ON")
        except BaseException as error:
            # What it began is rolled back, and nobody gets it with its foreign keys switched off.
            await self.pool.discard(connection)
            failed = self.translated(error, Verb(writes=True))
            if failed is None:
                raise
            raise failed from error
        await self.give_back(connection)
