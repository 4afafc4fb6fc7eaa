"""PostgreSQL's tables, as its catalogue has them, and ALTER statements as text.

Alembic's `Operations` write them; nothing of it is run by Alembic: the statements go to psycopg, as all others do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from psycopg import sql

from dbkit.migrations.store import Rendered
from dbkit.spec import EntitySpec, Schema

from .._sync.postgres import PostgresConnection
from ..binds import Raw
from ..dialects import Dialect
from ..drift import CATALOGUE
from ..schema import MAX_STORED_BYTES, Tables, constraint_name, digest, size_condition
from . import refusals
from .parts import mentions, size_terms

__all__ = ["Index", "PostgresTables", "Table"]

Column = tuple[str, bool]
"""Its type with its collation, and whether it is never null."""


@dataclass
class Index:
    """An index."""

    columns: list[tuple[str, bool]]
    """With whether null comes first."""
    is_unique: bool
    is_valid: bool = True
    definition: str = ""


@dataclass
class Table:
    """A table that is there, or that an operation that is only shown would have made."""

    stored: str
    columns: dict[str, Column] = field(default_factory=dict[str, Column])
    checks: dict[str, tuple[str, tuple[str, ...]]] = field(
        default_factory=dict[str, tuple[str, tuple[str, ...]]]
    )
    """The definition and the columns of each."""
    references: dict[str, str] = field(default_factory=dict[str, str])
    """The column of each."""
    indexes: dict[str, Index] = field(default_factory=dict[str, Index])
    keys: list[str] = field(default_factory=list[str])
    """The primary key's columns."""
    is_there: bool = True
    """Whether the database has it: one that is only shown can be counted no rows of."""

    @classmethod
    def found(cls, stored: str, found: Any) -> Table:
        """Return what the catalogue says."""
        made = cls(stored)
        columns: dict[str, tuple[str, bool, str | None]] = found["columns"] or {}
        for name, (type, not_null, collation) in columns.items():
            made.columns[name] = (f'{type} COLLATE "{collation}"' if collation else type, not_null)
        checks: list[tuple[str, str, list[str] | None]] = found["checks"] or []
        for name, text, about in checks:
            made.checks[name] = (text, tuple(about or ()))
        references: list[tuple[str, str, str, str, str | None]] = found["references"] or []
        for column, _, _, name, _ in references:
            made.references[name] = column
        indexes: list[dict[str, Any]] = found["indexes"] or []
        for index in indexes:
            names = [(str(name), bool(first)) for name, first in index["columns"]]
            if index["primary"]:
                made.keys = [name for name, _ in names]
            else:
                made.indexes[index["name"]] = Index(
                    names, index["unique"], index["valid"], index["definition"]
                )
        return made

    @classmethod
    def declared(cls, tables: Tables, entity: EntitySpec) -> Table:
        """Return what `create_schema()` makes, references aside."""
        made = cls(entity.stored, keys=[entity.id.stored], is_there=False)
        for f in entity.columns:
            made.columns[f.stored] = (tables.dialect.column_type(f.type), not f.type.nullable)
            if (check := tables.check(entity, f)) is not None:
                made.checks[check[0]] = (check[1], (f.stored,))
        if (size := tables.size_check(entity)) is not None:
            made.checks[size[0]] = (size[1], ())
        for index in tables.indexes[entity.token]:
            columns = [(str(c.name), bool(c.nullable)) for c in index.columns]
            made.indexes[str(index.name)] = Index(columns, bool(index.unique))
        return made

    def own_checks(self, column: str) -> list[str]:
        """Return the names of dbkit's own CHECKs that are about one column alone."""
        return [
            name
            for name, (text, columns) in self.checks.items()
            if columns == (column,) and name.startswith("ck_") and size_terms(text, MAX_STORED_BYTES) is None
        ]


def _text(text: str) -> Any:
    """Return SQL of our own making as an expression; its % is doubled where it is written."""
    return cast("Any", sa.literal_column(text))


class _Sink:
    """Takes what Alembic writes, a statement at a time."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def write(self, text: str) -> None:
        self.texts.append(text.strip().removesuffix(";"))

    def flush(self) -> None:
        pass


class PostgresTables:
    """One connection's tables.

    With a *log* nothing is sent, and each statement is noted there; the tables are kept as they would have become.
    """

    def __init__(
        self,
        connection: PostgresConnection,
        dialect: Dialect,
        log: list[Rendered] | None = None,
        known: dict[str, Table | None] | None = None,
    ) -> None:
        self.connection = connection
        self.dialect = dialect
        self.log = log
        self.names = Tables(dialect, Schema(()))
        self._known: dict[str, Table | None] = {} if known is None else known
        self._sink = _Sink()
        options = {"as_sql": True, "output_buffer": self._sink}
        self._operations = Operations(
            MigrationContext.configure(dialect=cast("Any", dialect.core), opts=options)
        )

    # -- sending -------------------------------------------------------------------------------------------------------

    def alter(self, write: Callable[[Operations], object], *, touches: int | None = None) -> None:
        """Send what Alembic makes of an operation."""
        write(self._operations)
        texts, self._sink.texts = self._sink.texts, []
        for text in texts:
            self.send(text, touches=touches)

    def send(self, text: str, params: tuple[Any, ...] = (), touches: int | None = None) -> int:
        """Run a statement (with its % doubled) and return how many rows it changed."""
        if self.log is not None:
            self.log.append(Rendered(text.replace("%%", "%"), touches))
            return 0
        return max(0, self.connection.change(text, params))

    def send_many(self, text: str, batches: Iterator[list[tuple[Any, ...]]]) -> int:
        """Run a statement for each row; return how many those were."""
        if self.log is not None:
            self.log.append(Rendered(text))
            return 0
        rows = 0
        for batch in batches:
            if batch:
                self.connection.change_many(text, batch)
                rows += len(batch)
        return rows

    def rows(self, text: str, params: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Read."""
        return self.connection.rows(text, params)

    def number(self, text: str) -> int:
        """Return the one number that a query gives."""
        ((found,),) = self.rows(text)
        return int(found)

    def size(self, table: Table) -> int | None:
        """Return how many rows a table has, where only shown and there at all; None else: counting reads it all."""
        if self.log is None or not table.is_there:
            return None
        return self.number(f"SELECT count(*) FROM {self.quoted_table(table.stored)}")  # noqa: S608

    def literal(self, value: Any) -> str:
        """Return a value of the declaration as it stands in SQL, its % not doubled."""
        text = sql.Literal(value).as_string(self.connection.raw).strip()
        # Alembic makes spaces of tabs.
        if "\t" in text:
            text = ("" if text[0] in "eE" else "E") + text.replace("\t", "\\t")
        return text

    # -- names ---------------------------------------------------------------------------------------------------------

    def quoted(self, name: str) -> str:
        """Return an identifier as it stands in SQL."""
        return self.names.quoted(name)

    def quoted_table(self, stored: str) -> str:
        """Return a table's stored name as it stands in SQL."""
        return self.names.quoted_table(stored)

    def place(self, stored: str) -> tuple[str, str | None]:
        """Return a table's name and its schema."""
        schema, dot, name = stored.partition(".")
        return (name, schema) if dot else (stored, None)

    def quoted_index(self, table: str, name: str) -> str:
        """Return an index's name as it stands in SQL: it is in its table's schema."""
        _, schema = self.place(table)
        return self.quoted(name) if schema is None else f"{self.quoted(schema)}.{self.quoted(name)}"

    def named(self, prefix: str, table: str, *parts: str) -> str:
        """Return the name of a constraint or an index."""
        return constraint_name(self.dialect, prefix, table, parts)

    # -- what is there -------------------------------------------------------------------------------------------------

    def find(self, stored: str) -> Table | None:
        """Return a table, None where there is none."""
        if stored not in self._known:
            ((found,),) = self.rows(CATALOGUE, (self.quoted_table(stored),))
            self._known[stored] = None if found is None else Table.found(stored, found)
        return self._known[stored]

    def need(self, stored: str) -> Table:
        """Return a table."""
        found = self.find(stored)
        if found is None:
            raise refusals.absent(f"table {stored!r}")
        return found

    def put(self, stored: str, table: Table | None) -> None:
        """Keep in mind what became of a table."""
        self._known[stored] = table

    def referring(self, table: Table) -> list[str]:
        """Return the other tables' columns that refer to a table."""
        if not table.is_there:
            return []
        found = self.rows(
            "SELECT c.conrelid::regclass::text || '.' || a.attname FROM pg_constraint c "
            "JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1] "
            "WHERE c.contype = 'f' AND c.confrelid = to_regclass(%s) AND c.conrelid <> c.confrelid ORDER BY 1",
            (self.quoted_table(table.stored),),
        )
        dropped = {stored for stored, known in self._known.items() if known is None}
        return [name for (name,) in found if str(name).rpartition(".")[0] not in dropped]

    # -- parts ---------------------------------------------------------------------------------------------------------

    def add_column(
        self, table: Table, name: str, type: str, *, nullable: bool, default: str | None = None
    ) -> None:
        """Add a column; with a constant default no row is rewritten (the manual, ALTER TABLE, Notes)."""
        bare, schema = self.place(table.stored)
        server_default = None if default is None else _text(default)
        column = sa.Column(name, Raw(type), nullable=nullable, server_default=server_default)
        self.alter(lambda op: op.add_column(bare, column, schema=schema))
        if default is not None:
            # create_schema() declares none: the program gives every value.
            self.alter(lambda op: op.alter_column(bare, name, server_default=None, schema=schema))
        table.columns[name] = (type, not nullable)

    def drop_column(self, table: Table, name: str) -> None:
        """Drop a column; indexes and constraints of it go with it."""
        bare, schema = self.place(table.stored)
        self.alter(lambda op: op.drop_column(bare, name, schema=schema))
        del table.columns[name]

    def rename_column(self, table: Table, old: str, new: str) -> None:
        """Give a column another name; what is about it follows, under its own old name."""
        bare, schema = self.place(table.stored)
        self.alter(lambda op: op.alter_column(bare, old, new_column_name=new, schema=schema))

    def set_nullable(self, table: Table, name: str, *, nullable: bool) -> None:
        """Set or drop NOT NULL."""
        bare, schema = self.place(table.stored)
        type, not_null = table.columns[name]
        if not_null is nullable:
            self.alter(lambda op: op.alter_column(bare, name, nullable=nullable, schema=schema))
            table.columns[name] = (type, not nullable)

    def add_check(self, table: Table, name: str, condition: str, columns: tuple[str, ...] = ()) -> None:
        """Add a CHECK."""
        bare, schema = self.place(table.stored)
        text = _text(condition)
        self.alter(lambda op: op.create_check_constraint(name, bare, text, schema=schema))
        table.checks[name] = (condition, columns)

    def drop_constraint(self, table: Table, name: str) -> None:
        """Drop a CHECK or a reference."""
        bare, schema = self.place(table.stored)
        self.alter(lambda op: op.drop_constraint(name, bare, schema=schema))
        table.checks.pop(name, None)
        table.references.pop(name, None)

    def rename_constraint(self, table: Table, old: str, new: str) -> None:
        """Give a constraint another name."""
        if old == new:
            return
        names = f"{self.quoted(old)} TO {self.quoted(new)}"
        self.send(f"ALTER TABLE {self.quoted_table(table.stored)} RENAME CONSTRAINT {names}")
        if old in table.checks:
            table.checks[new] = table.checks.pop(old)
        if old in table.references:
            table.references[new] = table.references.pop(old)

    def rename_index(self, table: Table, old: str, new: str) -> None:
        """Give an index another name."""
        if old != new:
            self.send(f"ALTER INDEX {self.quoted_index(table.stored, old)} RENAME TO {self.quoted(new)}")
            table.indexes[new] = table.indexes.pop(old)

    def create_index(self, table: Table, name: str, index: Index, *, concurrently: bool = False) -> None:
        """Make an index, as `create_schema()` writes it."""
        bare, schema = self.place(table.stored)
        columns: list[Any] = [
            _text(self.quoted(column) + (" ASC NULLS FIRST" if nulls_first else ""))
            for column, nulls_first in index.columns
        ]
        options = self.dialect.unique_options() if index.is_unique else {}
        self.alter(
            lambda op: op.create_index(
                name,
                bare,
                columns,
                schema=schema,
                unique=index.is_unique,
                **options,
                postgresql_concurrently=concurrently,
            )
        )
        table.indexes[name] = index

    def drop_index(self, table: Table, name: str, *, concurrently: bool = False) -> None:
        """Drop an index."""
        bare, schema = self.place(table.stored)
        self.alter(
            lambda op: op.drop_index(
                name, bare, schema=schema, postgresql_concurrently=concurrently, if_exists=concurrently
            )
        )
        table.indexes.pop(name, None)

    def resize(self, table: Table, *, without: Iterable[str] = (), more: Iterable[str] = ()) -> None:
        """Make the CHECK of a row's size anew: *without* some columns, with some *more* terms."""
        old = {
            name: found
            for name, (text, _) in table.checks.items()
            if (found := size_terms(text, MAX_STORED_BYTES)) is not None
        }
        gone = list(without)
        terms = {
            term
            for found in old.values()
            for term in found
            if not any(mentions(term, column) for column in gone)
        }
        terms.update(more)
        condition = size_condition(terms)
        name = self.named("ck", table.stored, "size", digest(condition)) if terms else None
        if name is not None and name in old:
            return
        for before in old:
            if before in table.checks:
                self.drop_constraint(table, before)
        if name is not None:
            self.add_check(table, name, condition)

    def size_check(self, table: Table) -> tuple[str, str] | None:
        """Return the name of the CHECK of a row's size, and what it should be by what it says."""
        for name, (text, _) in table.checks.items():
            terms = size_terms(text, MAX_STORED_BYTES)
            if terms is not None:
                return name, self.named("ck", table.stored, "size", digest(size_condition(terms)))
        return None

    def size_columns(self, table: Table) -> set[str]:
        """Return the columns that the CHECK of a row's size adds up."""
        terms = [t for text, _ in table.checks.values() for t in size_terms(text, MAX_STORED_BYTES) or ()]
        return {name for name in table.columns if any(mentions(term, name) for term in terms)}
