"""Another type for a field on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dbkit.answers import not_unique
from dbkit.migrations.operations import RetypeField
from dbkit.spec import EntitySpec, FieldSpec
from dbkit.values import ValueType

from ..found import StoredColumn, found_type
from ..schema import Tables
from . import data, refusals
from .nested import readable_as
from .postgres_fields import FieldOperations
from .postgres_tables import Index, Table

__all__ = ["RetypeOperations"]

FILL = "_dbkit_fill"


class RetypeOperations(FieldOperations):
    """What a column is: its type, whether it is null, its checks."""

    def _retype(self, op: RetypeField) -> int:
        entity, f = op.entity, op.field
        table = self._t.need(entity.stored)
        if f.stored not in table.columns:
            raise refusals.absent(f"{entity.stored}.{f.stored}")
        tables = self._tables(data.only(entity))
        shadow = entity.shadow(f.name)
        if shadow is not None and shadow.stored not in table.columns:
            shadow = None
        changed = [f] if shadow is None else [f, shadow]
        if self._is_retyped(tables, entity, table, changed) and (op.using is None or self._again):
            # An Enum's or a Literal's values stand in no table.
            self._no_misfits(op, data.Converted(self._t.quoted(f.stored)))
            return 0
        type = self._t.dialect.column_type(f.type)
        is_other = table.columns[f.stored][0] != type
        if f.stored in table.keys and (is_other or op.using is not None) and (by := self._t.referring(table)):
            raise refusals.still_referenced(f"{entity.stored}.{f.stored}", ", ".join(by))
        found = op.found.type if op.found is not None else self._found(op, tables, table)
        self._no_nulls(op)
        change: data.Converted | None = None
        if op.using is None:
            column = self._t.quoted(f.stored)
            change = None if found is None else data.converted(self._t.dialect, column, found, f.type)
            if change is None:
                raise refusals.no_conversion(entity, f, found)
            self._no_misfits(op, change)
        else:
            known = data.need_known(entity, f, found)
            self._fill(op, tables, table, shadow, known)
        loose = self._loosen(table, changed, moves=op.using is not None)
        rows = self._used(op, table, shadow) if change is None else self._converted(op, table, change)
        rows += self._default(op, table, shadow)
        self._finish(tables, entity, table, changed)
        for name, index in loose:
            index.columns = [(column, not table.columns[column][1]) for column, _ in index.columns]
            if index.is_unique and self._reads:
                names = tuple(column for column, _ in index.columns)
                if twice := self._t.number(data.duplicates_sql(tables, entity, names)):
                    raise not_unique(entity.name, ", ".join(data.declared(entity, names)), twice)
            self._t.create_index(table, name, index)
        return rows

    def _is_retyped(self, tables: Tables, entity: EntitySpec, table: Table, columns: list[FieldSpec]) -> bool:
        """Whether nothing is left to do."""
        in_size = self._t.size_columns(table)
        for f in columns:
            check = tables.check(entity, f)
            wanted = (self._t.dialect.column_type(f.type), not f.type.nullable)
            names = [] if check is None else [check[0]]
            is_unbounded = tables.size_term(f) is not None
            if (
                table.columns[f.stored] != wanted
                or table.own_checks(f.stored) != names
                or is_unbounded != (f.stored in in_size)
            ):
                return False
        return True

    def _found(self, op: RetypeField, tables: Tables, table: Table) -> ValueType | None:
        name = op.field.stored
        type, not_null = table.columns[name]
        checks = tuple((check, table.checks[check][0]) for check in table.own_checks(name))
        column = StoredColumn(name, type.partition(" COLLATE")[0], not not_null, checks)
        if op.using is not None:
            return found_type(tables, op.entity, column)
        return readable_as(tables, op.entity, column, op.field.type)

    def _no_nulls(self, op: RetypeField) -> None:
        if op.field.type.nullable or op.default is not None or not self._reads:
            return
        table, column = self._t.quoted_table(op.entity.stored), self._t.quoted(op.field.stored)
        if found := self._t.number(f"SELECT count(*) FROM {table} WHERE {column} IS NULL"):  # noqa: S608
            raise refusals.nulls(op.entity, op.field, found)

    def _no_misfits(self, op: RetypeField, change: data.Converted) -> None:
        if not self._reads:
            return
        table, column = self._t.quoted_table(op.entity.stored), self._t.quoted(op.field.stored)
        wrong = data.misfit(self._t.dialect, change, op.field.type)
        found = 0
        if wrong is not None:
            text = f"SELECT count(*) FROM {table} WHERE {column} IS NOT NULL AND ({wrong})"  # noqa: S608
            found = self._t.number(text)
        if not op.field.type.kind.is_scalar and not found:
            fits = data.reads_as(op.field.type, self._t.dialect.decoder(op.field.type))
            text = f"SELECT {self._t.quoted(op.entity.id.stored)}, {column} FROM {table}"  # noqa: S608
            found = sum(raw is not None and not fits(raw) for _, raw in self._t.rows(text))
        if found:
            raise refusals.misfits(op.entity, op.field, found)

    def _fill(
        self, op: RetypeField, tables: Tables, table: Table, shadow: FieldSpec | None, found: ValueType
    ) -> None:
        """Keep what the function makes of each value beside the table."""
        assert op.using is not None
        using, f = op.using, op.field
        type = self._t.dialect.column_type(f.type)
        id = table.columns[op.entity.id.stored][0]
        self._t.send(
            f"CREATE TEMPORARY TABLE {FILL} (id {id} PRIMARY KEY, value {type}, shadow text) ON COMMIT DROP"
        )

        def made() -> Iterator[list[tuple[Any, ...]]]:
            values = data.stored_values(self._t.rows, tables, op.entity, f.stored, found, "%s")
            for batch in values:
                yield [(id, *self._both(f, shadow, using(value))) for id, value in batch]

        self._t.send_many(f"INSERT INTO {FILL} (id, value, shadow) VALUES (%s, %s, %s)", made())  # noqa: S608

    def _both(self, f: FieldSpec, shadow: FieldSpec | None, value: Any) -> tuple[Any, Any]:
        made = self._values(f, shadow, value)
        return (made[0], None) if len(made) == 1 else (made[0], made[1])

    def _loosen(self, table: Table, columns: list[FieldSpec], *, moves: bool) -> list[tuple[str, Index]]:
        """Remove what restricts the columns as they were; return the indexes that are to be made again.

        An index has null first where its column can be null, and so changes with that. Where values *move*, a unique one
        would find the new value of one row taken by the old one of another.
        """
        self._t.resize(table, without=[f.stored for f in columns])
        loose: list[tuple[str, Index]] = []
        for f in columns:
            for name in table.own_checks(f.stored):
                self._t.drop_constraint(table, name)
            if table.columns[f.stored][1] is not f.type.nullable and not moves:
                continue
            for name, index in list(table.indexes.items()):
                about = any(column == f.stored for column, _ in index.columns)
                if about and name.startswith(("ux_", "ix_")):
                    self._t.drop_index(table, name)
                    loose.append((name, index))
        for f in columns:
            self._t.set_nullable(table, f.stored, nullable=True)
        return loose

    def _converted(self, op: RetypeField, table: Table, change: data.Converted) -> int:
        f = op.field
        type = self._t.dialect.column_type(f.type)
        if table.columns[f.stored][0] != type:
            self._set_type(table, f.stored, type, change.expr)
        return 0

    def _set_type(self, table: Table, column: str, type: str, using: str) -> None:
        # Alembic's alter_column knows SQLAlchemy's types only where they have a collation of their own.
        self._t.send(
            f"ALTER TABLE {self._t.quoted_table(table.stored)} ALTER COLUMN {self._t.quoted(column)} "
            f"TYPE {type} USING {using}",
            touches=self._t.size(table),
        )
        table.columns[column] = (type, table.columns[column][1])

    def _used(self, op: RetypeField, table: Table, shadow: FieldSpec | None) -> int:
        """Bring what was kept beside the table into it."""
        f = op.field
        type = self._t.dialect.column_type(f.type)
        if table.columns[f.stored][0] != type:
            # The values are all in the fill by now; a subquery may not stand here.
            self._set_type(table, f.stored, type, f"NULL::{type}")
        quoted, name = self._t.quoted, self._t.quoted_table(table.stored)
        assigned = f"{quoted(f.stored)} = v.value"
        if shadow is not None:
            assigned += f", {quoted(shadow.stored)} = v.shadow"
        return (
            self._t.send(
                f"UPDATE {name} AS o SET {assigned} FROM {FILL} AS v WHERE v.id = o.{quoted(op.entity.id.stored)}",  # noqa: S608
                touches=self._t.size(table),
            )
            + self._drop_fill()
        )

    def _drop_fill(self) -> int:
        self._t.send(f"DROP TABLE {FILL}")
        return 0

    def _default(self, op: RetypeField, table: Table, shadow: FieldSpec | None) -> int:
        """Give null the default, where the field cannot be null any more."""
        f = op.field
        if f.type.nullable or op.default is None:
            return 0
        quoted, name = self._t.quoted, self._t.quoted_table(table.stored)
        columns = [f.stored] if shadow is None else [f.stored, shadow.stored]
        assigned = ", ".join(f"{quoted(column)} = %s" for column in columns)
        text = f"UPDATE {name} SET {assigned} WHERE {quoted(f.stored)} IS NULL"  # noqa: S608
        return self._t.send(text, self._values(f, shadow, op.default))
