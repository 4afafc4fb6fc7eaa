"""Changing SQLite's tables: the stored definition is edited part by part, and the table made anew by it.

SQLite's ALTER TABLE can neither add nor drop a constraint, so the table is rebuilt as
https://www.sqlite.org/lang_altertable.html#otheralter says, in its order: make the new one, copy, drop the old one, rename,
make indexes and triggers again; foreign keys are off (they would cascade at the drop) and checked before the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dbkit.errors import InvalidInput
from dbkit.migrations.store import Rendered
from dbkit.spec import EntitySpec, FieldSpec

from ..dialects import Dialect
from ..drivers import SqliteConnection
from ..schema import MAX_STORED_BYTES, Tables, constraint_name, digest, size_condition
from . import refusals
from .parts import Definition, index_columns, mentions, plain, size_terms

__all__ = ["FILL", "NEW", "SqliteTables", "Value"]

NEW = "_dbkit_new"
FILL = "_dbkit_fill"
Value = tuple[str, tuple[Any, ...]]
"""An expression over the old table `o` and the fill `v`, and what its placeholders get."""
Edit = Callable[[str, str], str | None]
"""From an index's name and statement to its new statement; None drops it."""


def _as_it_is(_: str, sql: str) -> str | None:
    return sql


class SqliteTables:
    """One connection's tables.

    With a *log* nothing is read of rows, and each statement is noted there with the number of rows that *count* gives.
    """

    def __init__(
        self,
        connection: SqliteConnection,
        dialect: Dialect,
        log: list[Rendered] | None = None,
        count: Callable[[str], int | None] | None = None,
    ) -> None:
        self.connection = connection
        self.dialect = dialect
        self.log = log
        self._count = count

    # -- sending -------------------------------------------------------------------------------------------------------

    def send(self, text: str, params: tuple[Any, ...] = (), touches: int | None = None) -> int:
        """Run a statement; return how many rows it changed."""
        if self.log is not None:
            self.log.append(Rendered(text, touches))
        return max(0, self.connection.change(text, params))

    def rows(self, text: str, params: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Read."""
        return self.connection.rows(text, params)

    def number(self, text: str) -> int:
        """Return the one number that a query gives."""
        ((found,),) = self.rows(text)
        return int(found)

    def quoted(self, name: str) -> str:
        """Return an identifier as it stands in SQL."""
        return self.dialect.core.identifier_preparer.quote(name)

    def size(self, table: str) -> int | None:
        """Return how many rows a table has; None where what it would count is not there yet."""
        if self._count is not None:
            return self._count(table)
        return self.number(f"SELECT count(*) FROM {self.quoted(table)}")  # noqa: S608

    # -- what is there -------------------------------------------------------------------------------------------------

    def find(self, table: str) -> Definition | None:
        """Return a table's definition, None where there is no such table."""
        found = self.rows(
            "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE", (table,)
        )
        return Definition.parse(found[0][0]) if found else None

    def need(self, table: str) -> Definition:
        """Return a table's definition."""
        found = self.find(table)
        if found is None:
            raise refusals.absent(f"table {table!r}")
        return found

    def indexes(self, table: str) -> list[tuple[str, str]]:
        """Return the name and the statement of each index that has one."""
        found = self.rows(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? COLLATE NOCASE "
            "AND sql IS NOT NULL ORDER BY name",
            (table,),
        )
        return [(name, sql) for name, sql in found]

    def has_index(self, name: str) -> bool:
        """Return whether there is an index of that name."""
        return bool(self.rows("SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = ?", (name,)))

    def primary_key(self, table: str) -> list[str]:
        """Return the columns of the primary key."""
        found = self.rows("SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk", (table,))
        return [name for (name,) in found]

    def referring(self, table: str) -> list[tuple[str, str]]:
        """Return the other tables' columns that refer to a table."""
        found = self.rows(
            'SELECT m.name, f."from" FROM sqlite_schema AS m, pragma_foreign_key_list(m.name) AS f '
            "WHERE m.type = 'table' AND f.\"table\" = ? COLLATE NOCASE AND m.name <> ? COLLATE NOCASE ORDER BY 1, 2",
            (table, table),
        )
        return [(name, column) for name, column in found]

    # -- the rebuild ---------------------------------------------------------------------------------------------------

    def rebuild(
        self,
        table: str,
        new: Definition,
        *,
        values: Mapping[str, Value] | None = None,
        join: str = "",
        edit: Edit = _as_it_is,
        judge: Callable[[list[str]], None] | None = None,
    ) -> int:
        """Make the table anew by a definition, copy its rows, and return how many they are.

        A column has the value that *values* says, else that of the same name. Indexes and triggers are made again;
        *judge* is asked before a unique one is, with its columns.
        """
        values = values or {}
        hidden = {
            name
            for name, kind in self.rows("SELECT name, hidden FROM pragma_table_xinfo(?)", (table,))
            if kind in (2, 3)
        }
        columns = [name for name in new.columns if name not in hidden]
        # Read before the drop, which takes them along.
        indexes = [made for name, sql in self.indexes(table) if (made := edit(name, sql)) is not None]
        triggers = self.rows(
            "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE ORDER BY name",
            (table,),
        )
        picked = [values.get(name, (f"o.{self.quoted(name)}", ())) for name in columns]
        into = ", ".join(self.quoted(name) for name in columns)
        source = f"{self.quoted(table)} AS o{' ' + join if join else ''}"
        rows = self.size(table)
        self.send(new.create(NEW))
        copied = self.send(
            f"INSERT INTO {NEW} ({into}) SELECT {', '.join(text for text, _ in picked)} FROM {source}",  # noqa: S608
            tuple(param for _, params in picked for param in params),
            rows,
        )
        self.send(f"DROP TABLE {self.quoted(table)}")
        # Without it SQLite would look through all views and triggers, which speak of a table that is not there just now.
        self.send("PRAGMA legacy_alter_table = ON")
        self.send(f"ALTER TABLE {NEW} RENAME TO {self.quoted(table)}")
        self.send("PRAGMA legacy_alter_table = OFF")
        for statement in indexes:
            about = index_columns(statement)
            if judge is not None and about and plain(statement).upper().startswith("CREATE UNIQUE"):
                judge(about)
            self.send(statement)
        for (statement,) in triggers:
            self.send(statement)
        return copied

    def fill(self, pairs: Iterable[list[tuple[Any, Any, Any]]]) -> str:
        """Keep what Python made, as (id, value, shadow), beside the table; return the name to join."""
        self.send(f"CREATE TEMP TABLE {FILL} (id PRIMARY KEY, value, shadow) WITHOUT ROWID")
        text = f"INSERT INTO temp.{FILL} (id, value, shadow) VALUES (?, ?, ?)"  # noqa: S608
        if self.log is not None:
            self.log.append(Rendered(text))
            return FILL
        for batch in pairs:
            if batch:
                self.connection.change_many(text, batch)
        return FILL

    def joined(self, id: str) -> str:
        """Return the JOIN with the fill."""
        return f"LEFT JOIN temp.{FILL} AS v ON v.id = o.{self.quoted(id)}"

    def drop_fill(self) -> None:
        """Forget it."""
        self.send(f"DROP TABLE temp.{FILL}")

    # -- parts of a definition -----------------------------------------------------------------------------------------

    def named(self, prefix: str, table: str, *parts: str) -> str:
        """Return the name of a constraint or an index."""
        return constraint_name(self.dialect, prefix, table, parts)

    def take(
        self, new: Definition, wanted: Definition, tables: Tables, entity: EntitySpec, f: FieldSpec
    ) -> None:
        """Put a column with its CHECK into a definition, as a newly made table would have them."""
        new.columns[f.stored] = wanted.columns[f.stored]
        check = tables.check(entity, f)
        if check is not None:
            new.constraints[check[0]] = wanted.constraints[check[0]]

    def resize(
        self, new: Definition, table: str, *, without: Iterable[str] = (), more: Iterable[str] = ()
    ) -> None:
        """Make the CHECK of a row's size anew: *without* some columns, with some *more* terms."""
        terms: set[str] = set()
        for name, text in list(new.constraints.items()):
            found = size_terms(text, MAX_STORED_BYTES)
            if found is not None:
                del new.constraints[name]
                terms.update(found)
        gone = list(without)
        terms = {term for term in terms if not any(mentions(term, column) for column in gone)}
        terms.update(more)
        if terms:
            condition = size_condition(terms)
            name = self.named("ck", table, "size", digest(condition))
            new.constraints[name] = f"CONSTRAINT {self.quoted(name)} CHECK ({condition})"

    def drop_checks(self, new: Definition, column: str) -> None:
        """Remove dbkit's own CHECK of a column."""
        for name in self.own_checks(new, column):
            del new.constraints[name]

    def own_checks(self, definition: Definition, column: str) -> list[str]:
        """Return the names of dbkit's own CHECKs that are about one column alone."""
        made: list[str] = []
        for name in definition.about(column):
            text = definition.constraints[name]
            others = (c for c in definition.columns if c != column)
            if (
                name.startswith("ck_")
                and size_terms(text, MAX_STORED_BYTES) is None
                and not any(mentions(text, other) for other in others)
            ):
                made.append(name)
        return made

    def refuse_key(self, table: str, column: str, what: str) -> None:
        """Raise where a column is the table's key."""
        if [c.lower() for c in self.primary_key(table)] == [column.lower()]:
            raise InvalidInput(f"{table}.{column} is the table's key, which cannot be {what}")
