"""Each schema operation on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

from dbkit.errors import InvalidInput
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

from ..found import StoredColumn, found_form, found_type
from ..schema import Tables
from . import data, refusals
from .nested import has_gained_fields
from .postgres_tables import Index, PostgresTables, Table

__all__ = ["PostgresOperations"]

FILL = "_dbkit_fill"


class PostgresOperations:
    """Schema operations; with *again*, what is done already is left as it is; *gentle*: each statement commits by itself."""

    def __init__(self, tables: PostgresTables, *, again: bool, gentle: bool = False) -> None:
        self._t = tables
        self._again = again
        self._gentle = gentle

    def apply(self, operation: Operation) -> int:
        """Do one; return how many rows it rewrote."""
        return self._VERBS[type(operation)](self, operation)

    def _tables(self, entity: EntitySpec) -> Tables:
        return data.tables_of(self._t.dialect, entity)

    def _done(self, what: str) -> int:
        if not self._again:
            raise refusals.there_already(what)
        return 0

    def _gone(self, what: str) -> int:
        if not self._again:
            raise refusals.absent(what)
        return 0

    @property
    def _reads(self) -> bool:
        return self._t.log is None

    # -- collections ---------------------------------------------------------------------------------------------------

    def _create(self, op: CreateCollection) -> int:
        entity = op.entity
        if self._t.find(entity.stored) is not None:
            return self._done(f"table {entity.stored!r}")
        tables = self._tables(entity)
        self._make_namespace(tables, entity)
        for statement in tables.create(entity):
            self._t.send(statement)
        made = Table.declared(tables, entity)
        self._t.put(entity.stored, made)
        for f in entity.references:
            self._refer(tables, entity, f, made)
        # Of two that refer to each other the first one made could not refer yet.
        for other in tables.schema:
            table = None if other is entity else self._t.find(other.stored)
            if table is not None:
                for f in other.references:
                    assert f.reference is not None
                    if f.reference.target is entity and f.stored in table.columns:
                        self._refer(tables, other, f, table)
        return 0

    def _refer(self, tables: Tables, entity: EntitySpec, f: FieldSpec, table: Table) -> None:
        """Add a reference, unless it is there, or its parent is still to come and refers back."""
        reference = f.reference
        if reference is None or not reference.check:
            return
        name = self._t.named("fk", entity.stored, f.stored)
        if name in table.references:
            return
        if self._t.find(reference.target.stored) is None:
            if entity in tables_behind(reference.target):
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

    def _make_namespace(self, tables: Tables, entity: EntitySpec) -> None:
        namespace = tables.namespace(entity)
        if namespace is not None:
            # CREATE SCHEMA IF NOT EXISTS needs the right to make one even where it is there.
            ((is_there,),) = self._t.rows("SELECT to_regnamespace(%s) IS NOT NULL", (namespace,))
            if not is_there:
                self._t.send(f"CREATE SCHEMA {namespace}")

    def _drop(self, op: DropCollection) -> int:
        table = self._t.find(op.stored)
        if table is None:
            return self._gone(f"table {op.stored!r}")
        if by := self._t.referring(table):
            raise refusals.still_referenced(op.stored, ", ".join(by))
        self._t.send(f"DROP TABLE {self._t.quoted_table(op.stored)}", touches=self._t.size(table))
        self._t.put(op.stored, None)
        return 0

    def _rename(self, op: RenameCollection) -> int:
        old, new = op.was, op.entity.stored
        table = self._t.find(old)
        if table is None:
            if self._t.find(new) is not None:
                return self._done(f"table {new!r}")
            raise refusals.absent(f"table {old!r}")
        if self._t.find(new) is not None:
            raise refusals.there_already(f"table {new!r}")
        (before, schema), (after, other) = self._t.place(old), self._t.place(new)
        if schema != other:
            raise InvalidInput(
                f"a rename does not take {old!r} into another schema",
                hint='m.sql("ALTER TABLE … SET SCHEMA …", on="postgresql")',
            )
        self._t.alter(lambda op: op.rename_table(before, after, schema=schema))
        self._t.put(old, None)
        self._t.put(new, table)
        table.stored = new
        tables = self._tables(op.entity)
        self._t.rename_constraint(table, self._t.named("pk", old), self._t.named("pk", new))
        for f in op.entity.columns:
            fk = self._t.named("fk", old, f.stored)
            if fk in table.references:
                self._t.rename_constraint(table, fk, self._t.named("fk", new, f.stored))
            check = tables.check(op.entity, f)
            if check is not None:
                for name in table.own_checks(f.stored):
                    self._t.rename_constraint(table, name, check[0])
        self._t.resize(table)
        self._rename_indexes(table, old, lambda column: column)
        return 0

    def _rename_indexes(self, table: Table, old: str, before: Callable[[str], str]) -> None:
        """Give dbkit's own indexes the names of their new table and columns; *before*: a column's old name."""
        for name, index in list(table.indexes.items()):
            columns = [column for column, _ in index.columns]
            shorter = columns[:-1] if columns[-1:] == table.keys and len(columns) > 1 else columns
            for prefix, about in (("ux", columns), ("ix", columns), ("ix", shorter)):
                if name == self._t.named(prefix, old, *(before(column) for column in about)):
                    self._t.rename_index(table, name, self._t.named(prefix, table.stored, *about))
                    break

    # -- fields --------------------------------------------------------------------------------------------------------

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
                raise refusals.duplicates(entity, key.names, found)

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
                    raise refusals.duplicates(entity, data.declared(entity, names), twice)
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
        found = found_type(tables, op.entity, column)
        if found is not None or op.using is not None:
            return found
        # Whether each stored value fits is looked at, so that their form may be enough.
        if has_gained_fields(tables, op.entity, column, op.field.type):
            return op.field.type
        return found_form(tables, column)

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

    # -- keys, indexes, references -------------------------------------------------------------------------------------

    def _add_unique(self, op: AddUnique) -> int:
        entity, key = op.entity, op.key
        twin = data.only(entity, uniques=(key,))
        tables = self._tables(twin)
        table = self._t.need(entity.stored)
        name = str(tables.indexes[twin.token][0].name)
        if name in table.indexes:
            return self._done(f"unique key {', '.join(key.names)} of {entity.stored!r}")
        rows = 0
        for shadow in (f for f in key.fields if f.shadow_of is not None and f.stored not in table.columns):
            owner = entity.by_name[shadow.shadow_of or ""]
            type = self._t.dialect.column_type(shadow.type)
            self._t.add_column(table, shadow.stored, type, nullable=True)
            self._comment(tables, twin, shadow)
            rows += self._t.send_many(self._update(entity, shadow, None), self._folded(tables, entity, owner))
            self._finish(tables, twin, table, [shadow])
        self._look(tables, twin, (key,))
        self._index_all(tables, twin, table)
        return rows

    def _folded(
        self, tables: Tables, entity: EntitySpec, owner: FieldSpec
    ) -> Iterator[list[tuple[Any, ...]]]:
        for batch in data.stored_values(self._t.rows, tables, entity, owner.stored, owner.type, "%s"):
            yield [(casefold_key(value), id) for id, value in batch]

    def _drop_unique(self, op: DropUnique) -> int:
        twin = data.only(op.entity, uniques=(op.key,))
        table = self._t.need(op.entity.stored)
        name = str(self._tables(twin).indexes[twin.token][0].name)
        shadows = [f.stored for f in op.key.fields if f.shadow_of is not None and f.stored in table.columns]
        if name not in table.indexes and not shadows:
            return self._gone(f"unique key {', '.join(op.key.names)} of {op.entity.stored!r}")
        if name in table.indexes:
            self._t.drop_index(table, name)
        self._without(table, shadows)
        return 0

    def _add_index(self, op: AddIndex) -> int:
        twin = data.only(op.entity, indexes=(op.index,))
        tables = self._tables(twin)
        table = self._t.need(op.entity.stored)
        name = str(tables.indexes[twin.token][0].name)
        there = table.indexes.get(name)
        if there is not None and there.is_valid:
            return self._done(f"index {name}")
        if op.is_concurrent and there is not None:
            # What a killed CREATE INDEX CONCURRENTLY leaves (the manual, "Building Indexes Concurrently").
            self._t.drop_index(table, name, concurrently=True)
        index = tables.indexes[twin.token][0]
        columns = [
            (
                str(c.name),
                not table.columns[str(c.name)][1] if str(c.name) in table.columns else bool(c.nullable),
            )
            for c in index.columns
        ]
        self._t.create_index(table, name, Index(columns, False), concurrently=op.is_concurrent)
        return 0

    def _drop_index(self, op: DropIndex) -> int:
        twin = data.only(op.entity, indexes=(op.index,))
        table = self._t.need(op.entity.stored)
        name = str(self._tables(twin).indexes[twin.token][0].name)
        if name not in table.indexes:
            return self._gone(f"index {name}")
        self._t.drop_index(table, name, concurrently=op.is_concurrent)
        return 0

    def _add_reference(self, op: AddReference) -> int:
        table = self._t.need(op.entity.stored)
        name = self._t.named("fk", op.entity.stored, op.field.stored)
        if name in table.references:
            if self._gentle:
                self._validate(table, name)
            return self._done(f"the reference {op.entity.stored}.{op.field.stored}")
        self._refer_checked(self._tables(op.entity), op.entity, op.field, table)
        return 0

    def _drop_reference(self, op: DropReference) -> int:
        table = self._t.need(op.entity.stored)
        name = self._t.named("fk", op.entity.stored, op.field.stored)
        if name not in table.references:
            return self._gone(f"the reference {op.entity.stored}.{op.field.stored}")
        self._t.drop_constraint(table, name)
        return 0

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


def tables_behind(entity: EntitySpec) -> list[EntitySpec]:
    """Return the entities that an entity refers to, directly or not."""
    found: list[EntitySpec] = []
    waiting = [entity]
    while waiting:
        for f in waiting.pop().references:
            assert f.reference is not None
            target = f.reference.target
            if target not in found:
                found.append(target)
                waiting.append(target)
    return found
