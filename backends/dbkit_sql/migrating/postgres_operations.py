"""Each schema operation on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from dbkit.spec import EntitySpec, FieldSpec
from dbkit.values import casefold_key

from ..schema import Tables
from . import data, refusals
from .postgres_retype import RetypeOperations
from .postgres_tables import Index, Table

__all__ = ["PostgresOperations"]


class PostgresOperations(RetypeOperations):
    """Schema operations."""

    def apply(self, operation: Operation) -> int:
        """Do one; return how many rows it rewrote."""
        return self._VERBS[type(operation)](self, operation)

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
        AddField: RetypeOperations._add_field,
        DropField: RetypeOperations._drop_field,
        RenameField: RetypeOperations._rename_field,
        RetypeField: RetypeOperations._retype,
        AddUnique: _add_unique,
        DropUnique: _drop_unique,
        AddIndex: _add_index,
        DropIndex: _drop_index,
        AddReference: _add_reference,
        DropReference: _drop_reference,
    }
