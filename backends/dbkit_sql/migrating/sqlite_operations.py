"""Each schema operation on SQLite."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from dbkit.answers import not_unique
from dbkit.migrations.operations import (
    AddField,
    AddIndex,
    AddReference,
    AddUnique,
    CreateCollection,
    DropCollection,
    DropField,
    DropIndex,
    DropReference,
    DropUnique,
    Operation,
    RenameCollection,
    RenameField,
    RetypeField,
)
from dbkit.spec import EntitySpec, FieldSpec, UniqueKey
from dbkit.values import ValueType, casefold_key

from ..drift import sqlite_table
from ..found import StoredColumn, found_type
from ..schema import Tables
from . import data, refusals
from .doing import Doing
from .nested import readable_as
from .parts import Definition, column_rest, index_columns, mentions, renamed_index
from .sqlite_tables import SqliteTables, Value

__all__ = ["SqliteOperations"]

Filled = Iterator[list[tuple[Any, Any, Any]]]


class SqliteOperations(Doing[SqliteTables]):
    """Schema operations."""

    def apply(self, operation: Operation) -> int:
        """Do one; return how many rows it rewrote."""
        return self._VERBS[type(operation)](self, operation)

    # -- collections ---------------------------------------------------------------------------------------------------

    def _create(self, op: CreateCollection) -> int:
        if self._t.find(op.entity.stored) is not None:
            return self._done(f"table {op.entity.stored!r}")
        for statement in self._tables(op.entity).create(op.entity):
            self._t.send(statement)
        return 0

    def _drop(self, op: DropCollection) -> int:
        if self._t.find(op.stored) is None:
            return self._gone(f"table {op.stored!r}")
        by = self._t.referring(op.stored)
        if by:
            raise refusals.still_referenced(op.stored, ", ".join(f"{table}.{column}" for table, column in by))
        rows = self._t.size(op.stored)
        self._t.send(f"DROP TABLE {self._t.quoted(op.stored)}", (), rows)
        return rows or 0

    def _rename(self, op: RenameCollection) -> int:
        old, new = op.was, op.entity.stored
        if self._t.find(old) is None:
            if self._t.find(new) is not None:
                return self._done(f"table {new!r}")
            raise refusals.absent(f"table {old!r}")
        if self._t.find(new) is not None:
            raise refusals.there_already(f"table {new!r}")
        # The references of other tables follow by this (https://www.sqlite.org/lang_altertable.html#rename).
        self._t.send(f"ALTER TABLE {self._t.quoted(old)} RENAME TO {self._t.quoted(new)}")
        made = self._t.need(new).copy()
        keys = self._t.primary_key(new)
        made.rename_constraint(self._t.named("pk", old), self._t.named("pk", new))
        for column in made.columns:
            made.rename_constraint(self._t.named("fk", old, column), self._t.named("fk", new, column))
            for check in self._t.own_checks(made, column):
                found = re.match(
                    rf"ck_{re.escape(old.replace(chr(46), chr(95)))}__{re.escape(column)}__([0-9a-f]{{8}})",
                    check,
                )
                if found:
                    made.rename_constraint(check, self._t.named("ck", new, column, found[1]))
        self._t.resize(made, new)
        return self._t.rebuild(new, made, edit=self._index_names(old, new, keys, lambda column: column))

    def _index_names(
        self, old: str, new: str, keys: list[str], before: Callable[[str], str]
    ) -> Callable[[str, str], str | None]:
        """Return what gives dbkit's own indexes the names of their new table and columns; *before*: a column's old name."""

        def edit(name: str, sql: str) -> str | None:
            columns = index_columns(sql)
            if columns is None:
                return sql
            shorter = columns[:-1] if columns[-1:] == keys and len(columns) > 1 else columns
            for prefix, about in (("ux", columns), ("ix", columns), ("ix", shorter)):
                if name == self._t.named(prefix, old, *(before(column) for column in about)):
                    return renamed_index(sql, name, self._t.named(prefix, new, *about))
            return sql

        return edit

    # -- fields --------------------------------------------------------------------------------------------------------

    def _add_field(self, op: AddField) -> int:
        entity, f = op.entity, op.field
        table = entity.stored
        there = self._t.need(table)
        if f.stored in there.columns:
            return self._done(f"{table}.{f.stored}")
        shadow = entity.shadow(f.name)
        keys = tuple(k for k in entity.uniques if k.names == (f.name,))
        twin = data.only(entity, uniques=keys, indexes=tuple(i for i in entity.indexes if i.fields == (f,)))
        tables = self._tables(twin)
        rows = self._t.size(table)
        if op.fill is None and op.default is None and not f.type.nullable and rows and self._reads:
            raise refusals.valueless(entity, f, rows)
        wanted = Definition.parse(tables.create(twin)[0])
        new = there.copy()
        added = [f] if shadow is None else [f, shadow]
        for column in added:
            self._t.take(new, wanted, tables, twin, column)
        self._reference(new, wanted, table, f)
        self._t.resize(new, table, more=[t for c in added if (t := tables.size_term(c)) is not None])
        values: dict[str, Value] = {}
        if op.fill is None:
            folded = None if shadow is None or op.default is None else casefold_key(op.default)
            values[f.stored] = ("?", (self._encoded(f.type, op.default),))
            if shadow is not None:
                values[shadow.stored] = ("?", (folded,))
            copied = self._t.rebuild(table, new, values=values)
        else:
            made = self._made(op, tables, there)
            copied = self._rebuilt_with(entity, f, shadow, new, made)
        self._look(tables, twin, f, keys)
        for statement in tables.index(twin):
            self._t.send(statement)
        return copied

    def _made(self, op: AddField, tables: Tables, there: Definition) -> Filled:
        """Yield id, value and shadow of each row, as the fill function makes them."""
        assert op.fill is not None
        f = op.field
        for batch in data.instances(self._t.rows, tables, op.entity, f, op.default, there.columns, "?"):
            yield [(id, *self._pair(f, op.fill(row))) for id, row in batch]

    def _pair(self, f: FieldSpec, value: Any) -> tuple[Any, Any]:
        folded = casefold_key(value) if isinstance(value, str) and f.type.choices is None else None
        return self._encoded(f.type, value), folded

    def _encoded(self, type: ValueType, value: Any) -> Any:
        return data.encoded(self._t.dialect, type, value)

    def _rebuilt_with(
        self,
        entity: EntitySpec,
        f: FieldSpec,
        shadow: FieldSpec | None,
        new: Definition,
        made: Filled,
        value: str = "v.value",
    ) -> int:
        """Rebuild a table with what Python makes for a column."""
        self._t.fill(made)
        values: dict[str, Value] = {f.stored: (value, ())}
        if shadow is not None:
            values[shadow.stored] = ("v.shadow", ())
        join = self._t.joined(entity.id.stored)
        copied = self._t.rebuild(entity.stored, new, values=values, join=join)
        self._t.drop_fill()
        return copied

    def _reference(self, new: Definition, wanted: Definition, table: str, f: FieldSpec) -> None:
        name = self._t.named("fk", table, f.stored)
        if name in wanted.constraints:
            new.constraints[name] = wanted.constraints[name]

    def _look(
        self, tables: Tables, entity: EntitySpec, f: FieldSpec | None, keys: Iterable[UniqueKey]
    ) -> None:
        """Raise where rows break a key or a reference that is being made."""
        if not self._reads:
            return
        for key in keys:
            self._unique(tables, entity, [f.stored for f in key.fields])
        if f is not None and f.reference is not None and f.reference.check:
            parent = f.reference.target.stored
            if self._t.find(parent) is None:
                raise refusals.absent(f"table {parent!r}, to which {entity.name}.{f.name} refers,")
            if found := self._t.number(data.orphans_sql(tables, entity, f)):
                raise refusals.orphans(entity.stored, f.name, parent, found, entity=entity.name)

    def _unique(self, tables: Tables, entity: EntitySpec, columns: list[str]) -> None:
        names = tuple(columns)
        if self._reads and (found := self._t.number(data.duplicates_sql(tables, entity, names))):
            raise not_unique(entity.name, ", ".join(data.declared(entity, names)), found)

    def _drop_field(self, op: DropField) -> int:
        table = op.collection
        there = self._t.need(table)
        if op.stored not in there.columns:
            return self._gone(f"{table}.{op.stored}")
        self._t.refuse_key(table, op.stored, "dropped")
        return self._without(table, there, [op.stored, data.shadow_name(op.stored)])

    def _without(self, table: str, there: Definition, columns: list[str]) -> int:
        gone = [column for column in columns if column in there.columns]
        new = there.copy()
        self._t.resize(new, table, without=gone)
        for column in gone:
            del new.columns[column]
            for name in there.about(column):
                new.constraints.pop(name, None)

        def edit(_: str, sql: str) -> str | None:
            inside = sql[sql.index("(") :]
            return None if any(mentions(inside, column) for column in gone) else sql

        return self._t.rebuild(table, new, edit=edit)

    def _rename_field(self, op: RenameField) -> int:
        entity, f = op.entity, op.field
        table, old, new = entity.stored, op.was, f.stored
        there = self._t.need(table)
        if old not in there.columns:
            if new in there.columns:
                return self._done(f"{table}.{new}")
            raise refusals.absent(f"{table}.{old}")
        if new in there.columns:
            raise refusals.there_already(f"{table}.{new}")
        names = {old: new}
        if data.shadow_name(old) in there.columns:
            names[data.shadow_name(old)] = data.shadow_name(new)
        checks = {column: self._t.own_checks(there, column) for column in names}
        # What is about the column follows by this, in other tables too; but names of constraints stay.
        for before, after in names.items():
            self._t.send(
                f"ALTER TABLE {self._t.quoted(table)} RENAME COLUMN {self._t.quoted(before)} TO {self._t.quoted(after)}"
            )
        made = self._t.need(table).copy()
        tables = self._tables(entity)
        was = {after: before for before, after in names.items()}
        wanted = Definition.parse(tables.create(entity)[0])
        for mine in (f, *(s for s in entity.shadows if s.shadow_of == f.name)):
            check = tables.check(entity, mine)
            if mine.stored not in was:
                continue
            if check is not None:
                for name in checks[was[mine.stored]]:
                    made.rename_constraint(name, check[0])
            if mine is not f:
                # Its comment says of what it is the key.
                made.columns[mine.stored] = wanted.columns[mine.stored]
        made.rename_constraint(self._t.named("fk", table, old), self._t.named("fk", table, new))
        self._t.resize(made, table)
        keys = self._t.primary_key(table)
        edit = self._index_names(table, table, keys, lambda column: was.get(column, column))
        return self._t.rebuild(table, made, edit=edit)

    def _retype(self, op: RetypeField) -> int:
        entity, f = op.entity, op.field
        table = entity.stored
        there = self._t.need(table)
        if f.stored not in there.columns:
            raise refusals.absent(f"{table}.{f.stored}")
        tables = self._tables(data.only(entity))
        wanted = Definition.parse(tables.create(data.only(entity))[0])
        shadow = entity.shadow(f.name)
        if shadow is not None and shadow.stored not in there.columns:
            shadow = None
        new = there.copy()
        changed = [f] if shadow is None else [f, shadow]
        for mine in changed:
            self._t.drop_checks(new, mine.stored)
            self._t.take(new, wanted, tables, entity, mine)
            if rest := column_rest(there.columns[mine.stored]):
                # In a table that dbkit did not make: a key, a default, a check of its own.
                new.columns[mine.stored] += f" {rest}"
        terms = [t for c in changed if (t := tables.size_term(c)) is not None]
        self._t.resize(new, table, without=[c.stored for c in changed], more=terms)
        if new == there and (op.using is None or self._again):
            # An Enum's or a Literal's values stand in no table.
            self._no_misfits(op, data.Converted(f"o.{self._t.quoted(f.stored)}"))
            return 0
        stored = sqlite_table(tables, entity, [("table", table, there.create(self._t.quoted(table)))])
        column_there = stored.columns[f.stored]
        found = op.found.type if op.found is not None else self._found(op, tables, column_there)
        if there.columns[f.stored].split(" ")[1:2] != new.columns[f.stored].split(" ")[1:2]:
            self._refuse_referenced(table, f)
        column = f"o.{self._t.quoted(f.stored)}"
        fallback, folded = self._pair(f, op.default)
        self._no_nulls(op)
        if op.using is not None:
            known = data.need_known(entity, f, found)
            made = self._used(op, tables, known)
            value = f"CASE WHEN {column} IS NULL THEN ? ELSE v.value END"
            return self._retyped_with(op, tables, shadow, new, made, (value, (fallback,)), folded)
        change = None if found is None else data.converted(self._t.dialect, column, found, f.type)
        if change is None:
            raise refusals.no_conversion(entity, f, found)
        self._no_misfits(op, change)
        values: dict[str, Value] = {f.stored: (f"coalesce({change.expr}, ?)", (fallback,))}
        if shadow is not None:
            values[shadow.stored] = (f"coalesce(o.{self._t.quoted(shadow.stored)}, ?)", (folded,))
        return self._t.rebuild(table, new, values=values, judge=partial(self._unique, tables, entity))

    def _found(self, op: RetypeField, tables: Tables, column: StoredColumn) -> ValueType | None:
        if op.using is not None:
            return found_type(tables, op.entity, replace(column, is_sized=None))
        return readable_as(tables, op.entity, column, op.field.type)

    def _refuse_referenced(self, table: str, f: FieldSpec) -> None:
        if f.stored in self._t.primary_key(table) and (by := self._t.referring(table)):
            raise refusals.still_referenced(f"{table}.{f.stored}", ", ".join(".".join(pair) for pair in by))

    def _no_nulls(self, op: RetypeField) -> None:
        if op.field.type.nullable or op.default is not None or not self._reads:
            return
        table, column = self._t.quoted(op.entity.stored), self._t.quoted(op.field.stored)
        if found := self._t.number(f"SELECT count(*) FROM {table} WHERE {column} IS NULL"):  # noqa: S608
            raise refusals.nulls(op.entity, op.field, found)

    def _no_misfits(self, op: RetypeField, change: data.Converted) -> None:
        if not self._reads:
            return
        table, column = self._t.quoted(op.entity.stored), f"o.{self._t.quoted(op.field.stored)}"
        wrong = data.misfit(self._t.dialect, change, op.field.type)
        found = 0
        if wrong is not None:
            text = f"SELECT count(*) FROM {table} AS o WHERE {column} IS NOT NULL AND ({wrong})"  # noqa: S608
            found = self._t.number(text)
        if not op.field.type.kind.is_scalar and not found:
            fits = data.reads_as(op.field.type, self._t.dialect.decoder(op.field.type))
            text = f"SELECT {column} FROM {table} AS o WHERE {column} IS NOT NULL"  # noqa: S608
            found = sum(not fits(raw) for (raw,) in self._t.connection.raw.execute(text))
        if found:
            raise refusals.misfits(op.entity, op.field, found)

    def _used(self, op: RetypeField, tables: Tables, found: ValueType) -> Filled:
        assert op.using is not None
        for batch in data.stored_values(self._t.rows, tables, op.entity, op.field.stored, found, "?"):
            yield [(id, *self._pair(op.field, op.using(value))) for id, value in batch]

    def _retyped_with(
        self,
        op: RetypeField,
        tables: Tables,
        shadow: FieldSpec | None,
        new: Definition,
        made: Filled,
        value: Value,
        folded: Any,
    ) -> int:
        self._t.fill(made)
        values: dict[str, Value] = {op.field.stored: value}
        if shadow is not None:
            old = f"o.{self._t.quoted(op.field.stored)}"
            values[shadow.stored] = (f"CASE WHEN {old} IS NULL THEN ? ELSE v.shadow END", (folded,))
        join = self._t.joined(op.entity.id.stored)
        judge = partial(self._unique, tables, op.entity)
        copied = self._t.rebuild(op.entity.stored, new, values=values, join=join, judge=judge)
        self._t.drop_fill()
        return copied

    # -- keys, indexes, references -------------------------------------------------------------------------------------

    def _add_unique(self, op: AddUnique) -> int:
        entity, key = op.entity, op.key
        twin = data.only(entity, uniques=(key,))
        tables = self._tables(twin)
        there = self._t.need(entity.stored)
        (statement,) = tables.index(twin)
        if self._t.has_index(str(tables.indexes[twin.token][0].name)):
            return self._done(f"unique key {', '.join(key.names)} of {entity.stored!r}")
        copied = 0
        for shadow in (f for f in key.fields if f.shadow_of is not None and f.stored not in there.columns):
            owner = entity.by_name[shadow.shadow_of or ""]
            new = there.copy()
            self._t.take(new, Definition.parse(tables.create(twin)[0]), tables, twin, shadow)
            made = self._folded(tables, entity, owner)
            copied = self._rebuilt_with(entity, replace(shadow), None, new, made, value="v.shadow")
        self._look(tables, twin, None, (key,))
        self._t.send(statement)
        return copied

    def _folded(self, tables: Tables, entity: EntitySpec, owner: FieldSpec) -> Filled:
        for batch in data.stored_values(self._t.rows, tables, entity, owner.stored, owner.type, "?"):
            yield [(id, None, casefold_key(value)) for id, value in batch]

    def _drop_unique(self, op: DropUnique) -> int:
        twin = data.only(op.entity, uniques=(op.key,))
        name = str(self._tables(twin).indexes[twin.token][0].name)
        there = self._t.need(op.entity.stored)
        shadows = [f.stored for f in op.key.fields if f.shadow_of is not None and f.stored in there.columns]
        if not self._t.has_index(name) and not shadows:
            return self._gone(f"unique key {', '.join(op.key.names)} of {op.entity.stored!r}")
        self._t.send(f"DROP INDEX IF EXISTS {self._t.quoted(name)}")
        return self._without(op.entity.stored, there, shadows) if shadows else 0

    def _add_index(self, op: AddIndex) -> int:
        twin = data.only(op.entity, indexes=(op.index,))
        tables = self._tables(twin)
        self._t.need(op.entity.stored)
        name = str(tables.indexes[twin.token][0].name)
        if self._t.has_index(name):
            return self._done(f"index {name}")
        (statement,) = tables.index(twin)
        self._t.send(statement)
        return 0

    def _drop_index(self, op: DropIndex) -> int:
        twin = data.only(op.entity, indexes=(op.index,))
        name = str(self._tables(twin).indexes[twin.token][0].name)
        if not self._t.has_index(name):
            return self._gone(f"index {name}")
        self._t.send(f"DROP INDEX {self._t.quoted(name)}")
        return 0

    def _add_reference(self, op: AddReference) -> int:
        entity, f = op.entity, op.field
        tables = self._tables(entity)
        there = self._t.need(entity.stored)
        wanted = Definition.parse(tables.create(entity)[0])
        new = there.copy()
        self._reference(new, wanted, entity.stored, f)
        if new == there:
            return self._done(f"the reference {entity.stored}.{f.stored}")
        self._look(tables, entity, f, ())
        return self._t.rebuild(entity.stored, new)

    def _drop_reference(self, op: DropReference) -> int:
        table = op.entity.stored
        new = self._t.need(table).copy()
        name = self._t.named("fk", table, op.field.stored)
        if new.constraints.pop(name, None) is None:
            return self._gone(f"the reference {table}.{op.field.stored}")
        return self._t.rebuild(table, new)

    _VERBS: ClassVar[dict[type[Any], Callable[[Any, Any], int]]] = {
        CreateCollection: _create,
        DropCollection: _drop,
        RenameCollection: _rename,
        AddField: _add_field,
        DropField: _drop_field,
        RenameField: _rename_field,
        RetypeField: _retype,
        AddUnique: _add_unique,
        DropUnique: _drop_unique,
        AddIndex: _add_index,
        DropIndex: _drop_index,
        AddReference: _add_reference,
        DropReference: _drop_reference,
    }
