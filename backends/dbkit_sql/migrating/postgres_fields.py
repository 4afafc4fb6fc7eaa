"""Adding, dropping and renaming fields on PostgreSQL, and what all operations there share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from dbkit.answers import not_unique
from dbkit.errors import InvalidInput
from dbkit.migrations.operations import AddField, DropField, RenameField
from dbkit.spec import EntitySpec, FieldSpec, UniqueKey
from dbkit.values import ValueType, casefold_key

from ..schema import Tables
from . import data, refusals
from .doing import Doing
from .postgres_tables import Index, PostgresTables, Table

__all__ = ["FieldOperations"]


class FieldOperations(Doing[PostgresTables]):
    """Operations on fields; *gentle*: each statement commits by itself."""

    def __init__(self, tables: PostgresTables, *, again: bool, gentle: bool = False) -> None:
        super().__init__(tables, again=again)
        self._gentle = gentle

    def _add_field(self, op: AddField) -> int:
        entity, f = op.entity, op.field
        table = self._t.need(entity.stored)
        if f.stored in table.columns:
            return self._done(f"{entity.stored}.{f.stored}")
        shadow = entity.shadow(f.name)
        keys = tuple(k for k in entity.uniques if k.names == (f.name,))
        twin = data.only(entity, uniques=keys, indexes=tuple(i for i in entity.indexes if i.fields == (f,)))
        tables = self._tables(twin)
        if op.fill is None and op.default is None and not f.type.nullable and self._reads:
            rows = self._t.number(f"SELECT count(*) FROM {self._t.quoted_table(entity.stored)}")  # noqa: S608
            if rows:
                raise refusals.valueless(entity, f, rows)
        there = set(table.columns)
        added = [f] if shadow is None else [f, shadow]
        has_default = op.fill is None and op.default is not None
        for column in added:
            value = op.default if column is f or op.default is None else casefold_key(op.default)
            self._t.add_column(
                table,
                column.stored,
                self._t.dialect.column_type(column.type),
                nullable=column.type.nullable or op.fill is not None,
                default=self._constant(column.type, value) if has_default else None,
            )
        if shadow is not None:
            self._comment(tables, twin, shadow)
        rows = 0
        if op.fill is not None:
            rows = self._t.send_many(self._update(entity, f, shadow), self._made(op, tables, shadow, there))
        self._finish(tables, twin, table, added)
        self._refer_checked(tables, twin, f, table)
        self._look(tables, twin, keys)
        self._index_all(tables, twin, table)
        return rows

    def _constant(self, type: ValueType, value: Any) -> str:
        return self._t.literal(data.encoded(self._t.dialect, type, value))

    def _comment(self, tables: Tables, entity: EntitySpec, shadow: FieldSpec) -> None:
        place = f"{tables.quoted_table(entity.stored)}.{tables.quoted(shadow.stored)}"
        for statement in tables.create(entity):
            if statement.startswith(f"COMMENT ON COLUMN {place} "):
                self._t.send(statement)

    def _update(self, entity: EntitySpec, f: FieldSpec, shadow: FieldSpec | None) -> str:
        columns = [f.stored] if shadow is None else [f.stored, shadow.stored]
        assigned = ", ".join(f"{self._t.quoted(column)} = %s" for column in columns)
        table, id = self._t.quoted_table(entity.stored), self._t.quoted(entity.id.stored)
        return f"UPDATE {table} SET {assigned} WHERE {id} = %s"  # noqa: S608

    def _made(
        self, op: AddField, tables: Tables, shadow: FieldSpec | None, there: set[str]
    ) -> Iterator[list[tuple[Any, ...]]]:
        assert op.fill is not None
        f = op.field
        for batch in data.instances(self._t.rows, tables, op.entity, f, op.default, there, "%s"):
            yield [(*self._values(f, shadow, op.fill(row)), id) for id, row in batch]

    def _values(self, f: FieldSpec, shadow: FieldSpec | None, value: Any) -> tuple[Any, ...]:
        made = data.encoded(self._t.dialect, f.type, value)
        if shadow is None:
            return (made,)
        return made, None if value is None else casefold_key(value)

    def _finish(self, tables: Tables, entity: EntitySpec, table: Table, columns: Iterable[FieldSpec]) -> None:
        """Make what restricts columns, once their values are there."""
        terms: list[str] = []
        for column in columns:
            self._t.set_nullable(table, column.stored, nullable=column.type.nullable)
            if (check := tables.check(entity, column)) is not None:
                self._t.add_check(table, *check, (column.stored,))
            if (term := tables.size_term(column)) is not None:
                terms.append(term)
        if terms:
            self._t.resize(table, more=terms)

    def _refer_checked(self, tables: Tables, entity: EntitySpec, f: FieldSpec, table: Table) -> None:
        reference = f.reference
        if reference is None or not reference.check:
            return
        parent = reference.target.stored
        if self._t.find(parent) is None:
            raise refusals.absent(f"table {parent!r}, to which {entity.name}.{f.name} refers,")
        if self._reads and (found := self._t.number(data.orphans_sql(tables, entity, f))):
            raise refusals.orphans(entity.stored, f.name, parent, found, entity=entity.name)
        self._refer(tables, entity, f, table)

    def _look(self, tables: Tables, entity: EntitySpec, keys: Iterable[UniqueKey]) -> None:
        if not self._reads:
            return
        for key in keys:
            columns = tuple(f.stored for f in key.fields)
            if found := self._t.number(data.duplicates_sql(tables, entity, columns)):
                raise not_unique(entity.name, ", ".join(key.names), found)

    def _index_all(self, tables: Tables, entity: EntitySpec, table: Table) -> None:
        for index in tables.indexes[entity.token]:
            columns = [(str(c.name), bool(c.nullable)) for c in index.columns]
            # A class that shows a part of its table may not know that a column can be null.
            columns = [
                (name, not table.columns[name][1] if name in table.columns else first)
                for name, first in columns
            ]
            self._t.create_index(table, str(index.name), Index(columns, bool(index.unique)))

    def _drop_field(self, op: DropField) -> int:
        table = self._t.need(op.collection)
        if op.stored not in table.columns:
            return self._gone(f"{op.collection}.{op.stored}")
        if table.keys == [op.stored]:
            raise InvalidInput(f"{op.collection}.{op.stored} is the table's key, which cannot be dropped")
        self._without(table, [op.stored, data.shadow_name(op.stored)])
        return 0

    def _without(self, table: Table, columns: list[str]) -> None:
        gone = [column for column in columns if column in table.columns]
        # It would go with the first column, and the others be unbounded.
        self._t.resize(table, without=gone)
        for column in gone:
            self._t.drop_column(table, column)
            for name, index in list(table.indexes.items()):
                if any(part == column for part, _ in index.columns):
                    del table.indexes[name]
            for name in [n for n, (_, about) in table.checks.items() if column in about]:
                del table.checks[name]
            for name in [n for n, about in table.references.items() if about == column]:
                del table.references[name]

    def _rename_field(self, op: RenameField) -> int:
        entity, f = op.entity, op.field
        old, new = op.was, f.stored
        table = self._t.need(entity.stored)
        if old not in table.columns:
            if new in table.columns:
                return self._done(f"{entity.stored}.{new}")
            raise refusals.absent(f"{entity.stored}.{old}")
        if new in table.columns:
            raise refusals.there_already(f"{entity.stored}.{new}")
        names = {old: new}
        if data.shadow_name(old) in table.columns:
            names[data.shadow_name(old)] = data.shadow_name(new)
        for before, after in names.items():
            self._t.rename_column(table, before, after)
        self._renamed(table, names)
        tables = self._tables(entity)
        for mine in (f, *(s for s in entity.shadows if s.shadow_of == f.name)):
            check = tables.check(entity, mine)
            if mine.stored in names.values() and check is not None:
                for name in table.own_checks(mine.stored):
                    self._t.rename_constraint(table, name, check[0])
            if mine is not f and mine.stored in table.columns:
                self._comment(tables, entity, mine)
        fk = self._t.named("fk", entity.stored, old)
        if fk in table.references:
            self._t.rename_constraint(table, fk, self._t.named("fk", entity.stored, new))
        self._resize_names(table)
        was = {after: before for before, after in names.items()}
        self._rename_indexes(table, entity.stored, lambda column: was.get(column, column))
        return 0

    def _renamed(self, table: Table, names: dict[str, str]) -> None:
        """Let what is known of a table follow its columns' new names, as the catalogue does."""

        def new(column: str) -> str:
            return names.get(column, column)

        table.columns = {new(name): column for name, column in table.columns.items()}
        table.references = {name: new(column) for name, column in table.references.items()}
        for name, (text, about) in list(table.checks.items()):
            for before, after in names.items():
                text = data.with_column(text, before, self._t.quoted(after))
            table.checks[name] = (text, tuple(new(column) for column in about))
        for index in table.indexes.values():
            index.columns = [(new(column), first) for column, first in index.columns]

    def _resize_names(self, table: Table) -> None:
        name = self._t.size_check(table)
        if name is not None:
            self._t.rename_constraint(table, *name)

    # -- names and references ------------------------------------------------------------------------------------------

    def _rename_indexes(self, table: Table, old: str, before: Callable[[str], str]) -> None:
        """Give dbkit's own indexes the names of their new table and columns; *before*: a column's old name."""
        for name, index in list(table.indexes.items()):
            columns = [column for column, _ in index.columns]
            shorter = columns[:-1] if columns[-1:] == table.keys and len(columns) > 1 else columns
            for prefix, about in (("ux", columns), ("ix", columns), ("ix", shorter)):
                if name == self._t.named(prefix, old, *(before(column) for column in about)):
                    self._t.rename_index(table, name, self._t.named(prefix, table.stored, *about))
                    break

    def _refer(self, tables: Tables, entity: EntitySpec, f: FieldSpec, table: Table) -> None:
        """Add a reference, unless it is there, or its parent is still to come and refers back."""
        reference = f.reference
        if reference is None or not reference.check:
            return
        name = self._t.named("fk", entity.stored, f.stored)
        if name in table.references:
            return
        if self._t.find(reference.target.stored) is None:
            if entity in data.behind(reference.target):
                return
            raise refusals.absent(
                f"table {reference.target.stored!r}, to which {entity.name}.{f.name} refers,"
            )
        statement = tables.reference(entity, name)
        table.references[name] = f.stored
        if self._gentle:
            self._t.send(f"{statement} NOT VALID")
            self._validate(table, name)
        else:
            self._t.send(statement)

    def _validate(self, table: Table, constraint: str) -> None:
        """Look at the rows that are there; one that is valid already is not looked at again."""
        place = self._t.quoted_table(table.stored)
        self._t.send(f"ALTER TABLE {place} VALIDATE CONSTRAINT {self._t.quoted(constraint)}")
