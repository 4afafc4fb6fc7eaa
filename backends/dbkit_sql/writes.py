"""The statements of writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from dbkit.options import MAX_ROWS_TOUCHED
from dbkit.query import (
    Append,
    Arithmetic,
    Assign,
    Change,
    Claim,
    Constant,
    Expression,
    FieldValue,
    Filter,
    Remove,
    Slot,
    UpdateMany,
    UpdateOne,
    Upsert,
)
from dbkit.spec import EntitySpec, FieldSpec
from dbkit.values import Kind, ValueType

from .binds import Binds, Raw, Text
from .codecs import Codec
from .compile import Scope
from .dialects.base import Expr, Number, literal
from .rows import RowReader
from .schema import Constraint, Tables

__all__ = [
    "TOO_MANY",
    "BulkPlan",
    "ClaimPlan",
    "InsertPlan",
    "UpdatePlan",
    "bulk",
    "claim",
    "counted",
    "first_ids",
    "insert",
    "update_many",
    "update_one",
    "upsert",
]  # fmt: skip

TOO_MANY = MAX_ROWS_TOUCHED + 1


@dataclass(frozen=True, slots=True)
class ParentCheck:
    """Asks whether a reference's parent is there, where the server does not name the reference that failed."""

    constraint: Constraint
    text: str
    value: Callable[[tuple[Any, ...]], Any]
    """Gives the encoded id, or None, of the query's binds."""


@dataclass(frozen=True, slots=True)
class InsertPlan:
    """One row."""

    text: Text
    parents: tuple[ParentCheck, ...]


@dataclass(frozen=True, slots=True)
class BulkPlan:
    """Many rows of one entity."""

    insert: InsertPlan
    copy: str
    """COPY … FROM STDIN, for a server that has it."""
    types: tuple[str, ...]
    """The columns' types; none where the values are sent as text."""
    refers_to_itself: bool
    encodes: bool
    """Whether any value is stored in another form than its own."""

    def filled(self, rows: Sequence[tuple[Any, ...]]) -> Sequence[tuple[Any, ...]]:
        """Return the rows as the driver gets them."""
        # The columns stand in the order of the row: where nothing is encoded, it is the tuple that `fill` would make again.
        return list(map(self.insert.text.fill, rows)) if self.encodes else rows


@dataclass(frozen=True, slots=True)
class UpdatePlan:
    """A change of one row or of many."""

    text: Text
    exists: Text | None
    """For one row: whether it is there at all."""
    reader: RowReader
    changes: tuple[Change, ...]
    parents: tuple[ParentCheck, ...]


@dataclass(frozen=True, slots=True)
class ClaimPlan:
    """Changes the first free rows."""

    text: Text
    select: Text | None
    """The ids in order, where the change cannot return them so."""
    reader: RowReader
    id_position: int
    changes: tuple[Change, ...]


# -- inserting ---------------------------------------------------------------------------------------------------------


def insert(tables: Tables, entity: EntitySpec) -> InsertPlan:
    """Compile the insertion of a row; its binds are the row."""
    binds = Binds()
    slots = tuple(Slot(n) for n in range(len(entity.columns)))
    statement = sa.insert(tables.of(entity)).values(_row(tables, binds, entity, slots))
    return InsertPlan(
        binds.compile(statement, tables.dialect.core),
        _parent_checks(tables, entity, dict(zip(entity.columns, slots, strict=True))),
    )


def bulk(tables: Tables, entity: EntitySpec) -> BulkPlan:
    """Compile the insertion of many rows."""
    quoted = ", ".join(tables.quoted(f.stored) for f in entity.columns)
    # In binary a value must be of exactly the column's type: a table that dbkit did not make may have another that fits.
    types = tuple(tables.dialect.copy_type(f.type) for f in entity.columns) if entity.managed else ()
    how = " (FORMAT BINARY)" if entity.managed else ""
    return BulkPlan(
        insert(tables, entity),
        f"COPY {tables.quoted_table(entity.stored)} ({quoted}) FROM STDIN{how}",
        types,
        any(f.reference is not None and f.reference.target is entity for f in entity.references),
        any(tables.dialect.encoder(f.type) is not None for f in entity.columns),
    )


def _row(tables: Tables, binds: Binds, entity: EntitySpec, slots: Sequence[Slot]) -> dict[Any, Any]:
    table = tables.of(entity)
    return {
        table.c[f.stored]: binds.one(slot, tables.dialect.encoder(f.type), nullable=f.type.nullable)
        for f, slot in zip(entity.columns, slots, strict=True)
    }


def _parent_checks(
    tables: Tables, entity: EntitySpec, slots: dict[FieldSpec, Slot]
) -> tuple[ParentCheck, ...]:
    made: list[ParentCheck] = []
    for f in entity.references:
        if f in slots and f.reference is not None and f.reference.check:
            binds = Binds()
            parent = tables.of(f.reference.target)
            id = parent.c[f.reference.target.id.stored]
            statement = sa.select(literal("1")).where(id == binds.one(Slot(0)))
            text = binds.compile(statement, tables.dialect.core).text
            value = _encoded(slots[f].index, tables.dialect.encoder(f.type))
            made.append(ParentCheck(Constraint("reference", entity, (f.name,)), text, value))
    return tuple(made)


def _encoded(index: int, encode: Codec) -> Callable[[tuple[Any, ...]], Any]:
    def value(binds: tuple[Any, ...]) -> Any:
        found = binds[index]
        return found if found is None or encode is None else encode(found)

    return value


def upsert(tables: Tables, reader: RowReader, query: Upsert) -> UpdatePlan:
    """Compile a slotted `Upsert`."""
    binds = Binds()
    entity = query.entity
    table = tables.of(entity)
    made = tables.dialect.insertion(table).values(_row(tables, binds, entity, query.row))
    kept = {entity.id.name, "created_at"} if entity.timestamped else {entity.id.name}
    changed: dict[Any, Any] = {
        table.c[f.stored]: made.excluded[f.stored] for f in entity.columns if f.name not in kept
    }
    if entity.versioned:
        version = table.c[entity.by_name["version"].stored]
        changed[version] = version + literal("1")
    # Without any change there would be nothing to return.
    changed = changed or {table.c[entity.id.stored]: table.c[entity.id.stored]}
    keys = [table.c[f.stored] for f in query.on.fields]
    merged = made.on_conflict_do_update(index_elements=keys, set_=changed)
    statement = merged.returning(*_returned(tables, reader))
    slots = dict(zip(entity.columns, query.row, strict=True))
    return UpdatePlan(
        binds.compile(statement, tables.dialect.core), None, reader, (), _parent_checks(tables, entity, slots)
    )


def _returned(tables: Tables, reader: RowReader) -> list[Expr]:
    table = tables.of(reader.read.entity)
    return [table.c[path.field.stored] for path in reader.paths]


# -- updating ----------------------------------------------------------------------------------------------------------


def update_one(tables: Tables, reader: RowReader, query: UpdateOne) -> UpdatePlan:
    """Compile a slotted `UpdateOne`."""
    binds = Binds()
    entity = query.entity
    table = tables.of(entity)
    scope = Scope(tables, binds, entity, table, correlated=True)
    id = scope.id == binds.one(query.id, tables.dialect.encoder(entity.id.type))
    statement = sa.update(table).values(_assignments(scope, query.changes)).where(id)
    if query.where is not None:
        statement = statement.where(scope.condition(query.where))
    other = Binds()
    here = Scope(tables, other, entity, table)
    exists = sa.select(literal("1")).select_from(table)
    exists = exists.where(here.id == other.one(query.id, tables.dialect.encoder(entity.id.type)))
    return UpdatePlan(
        binds.compile(statement.returning(*_returned(tables, reader)), tables.dialect.core),
        other.compile(exists, tables.dialect.core),
        reader,
        query.changes,
        _parent_checks(tables, entity, _assigned(query.changes)),
    )


def update_many(tables: Tables, reader: RowReader, query: UpdateMany) -> UpdatePlan:
    """Compile a slotted `UpdateMany`."""
    binds = Binds()
    entity = query.entity
    table = tables.of(entity)
    scope = Scope(tables, binds, entity, table, correlated=True)
    changed = sa.update(table).values(_assignments(scope, query.changes))
    where = scope.condition(query.where)
    statement: Any
    if tables.dialect.updates_in_cte:
        statement = counted(changed, where, first_ids(scope, where))
    else:
        statement = changed.where(scope.id.in_(first_ids(*_other(tables, binds, query.entity, query.where))))
    parents = _parent_checks(tables, entity, _assigned(query.changes))
    return UpdatePlan(binds.compile(statement, tables.dialect.core), None, reader, query.changes, parents)


def _other(tables: Tables, binds: Binds, entity: EntitySpec, where: Filter | None) -> tuple[Scope, Expr]:
    """Return the rows again, under another name, and the condition on them."""
    scope = Scope(tables, binds, entity, binds.alias(tables.of(entity)))
    return scope, scope.condition(where)


def first_ids(scope: Scope, where: Expr) -> Any:
    """Return the ids of the rows, one more than may be touched at most."""
    return sa.select(scope.id).select_from(scope.source).where(where).limit(literal(str(TOO_MANY)))


def counted(write: Any, where: Expr, touched: Any) -> Any:
    """Return the statement that writes only where *touched* has not too many rows, and returns (touched, written).

    All parts of one statement see the same snapshot (PostgreSQL's manual, 7.8.4).
    """
    total = sa.select(sa.func.count().label("n")).select_from(touched.subquery("touched")).cte("_dbkit_total")
    few = sa.select(total.c.n).scalar_subquery() <= literal(str(MAX_ROWS_TOUCHED))
    written = write.where(where, few).returning(literal("1").label("one")).cte("_dbkit_written")
    return sa.select(
        sa.select(total.c.n).scalar_subquery(),
        sa.select(sa.func.count()).select_from(written).scalar_subquery(),
    )


def _assigned(changes: Sequence[Change]) -> dict[FieldSpec, Slot]:
    found: dict[FieldSpec, Slot] = {}
    for change in changes:
        if isinstance(change, Assign) and isinstance(change.expression, Constant):
            found[change.field] = change.expression.value
    return found


def _assignments(scope: Scope, changes: Sequence[Change]) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    for change in changes:
        column: Any = scope.table.c[change.field.stored]
        made[column] = _changed(scope, column, change)
    return made


def _changed(scope: Scope, column: Expr, change: Change) -> Expr:
    dialect, type = scope.dialect, change.field.type
    match change:
        case Assign(expression=Constant(value=slot)):
            return scope.binds.one(slot, dialect.encoder(type), nullable=type.nullable)
        case Assign(expression=FieldValue(path=path)):
            return _kept(scope, scope.place(path).expr, type)
        case Assign(expression=expression):
            return _kept(scope, dialect.result(_number(scope, expression), type), type)
        case Remove():
            assert type.element is not None
            return dialect.removed(scope.binds, column, type.element, change.value)
        case Append():
            assert type.element is not None
            return _kept(scope, dialect.appended(scope.binds, column, type.element, change.value), type)
        case _:
            raise AssertionError(change)


def _kept(scope: Scope, computed: Expr, type: ValueType) -> Expr:
    """Return a computed value that stays inside its declared bounds: the CHECKs of dbkit's own tables see to it there."""
    if scope.entity.managed:
        return computed
    bad = scope.dialect.outside(computed, type)
    return computed if bad is None else scope.dialect.refused(computed, bad, type)


def _number(scope: Scope, expression: Expression) -> Number:
    dialect = scope.dialect
    match expression:
        case FieldValue(path=path):
            return dialect.operand(scope.place(path).expr, path.type)
        case Constant(value=slot, type=type):
            cast = sa.cast(
                scope.binds.one(slot, dialect.number_encoder(type)), Raw(dialect.number_type(type))
            )
            return Number(cast)
        case Arithmetic(op=op, left=left, right=right):
            kind = expression.type.kind
            sides = [_operand(scope, side, kind) for side in (left, right)]
            return dialect.compute(op, sides[0], sides[1], kind)
        case _:
            raise AssertionError(expression)


def _operand(scope: Scope, side: Expression, kind: Kind) -> Number:
    number = _number(scope, side)
    if kind is Kind.FLOAT and side.type.kind is not Kind.FLOAT:
        return scope.dialect.as_float(number)
    return number


# -- claiming ----------------------------------------------------------------------------------------------------------


def claim(tables: Tables, reader: RowReader, query: Claim) -> ClaimPlan:
    """Compile a slotted `Claim`."""
    binds = Binds()
    entity = query.entity
    table = tables.of(entity)
    scope = Scope(tables, binds, entity, table, correlated=True)
    changed = sa.update(table).values(_assignments(scope, query.changes))
    free_binds = binds if tables.dialect.updates_in_cte else Binds()
    free = tables.of(entity).alias("free")
    chosen = Scope(tables, binds, entity, free)
    keys = chosen.sort_keys(query.order)
    select = sa.select(chosen.id).where(chosen.condition(query.where)).order_by(*keys)
    returned = _returned(tables, reader)
    id_position = next(
        n for n, path in enumerate(reader.paths) if path.is_own_field and path.field is entity.id
    )
    if not tables.dialect.updates_in_cte:
        update = changed.where(scope.id.in_(select.limit(binds.one(query.limit)))).returning(*returned)
        other = Scope(tables, free_binds, entity, free)
        first = (
            sa.select(other.id).where(other.condition(query.where)).order_by(*other.sort_keys(query.order))
        )
        text = free_binds.compile(first.limit(free_binds.one(query.limit)), tables.dialect.core)
        return ClaimPlan(binds.compile(update, tables.dialect.core), text, reader, id_position, query.changes)
    places = [chosen.place(o.path).expr.label(f"k{n}") for n, o in enumerate(query.order)]
    locked = select.with_only_columns(chosen.id.label("id"), *places).limit(binds.one(query.limit))
    locked = locked.with_for_update(skip_locked=True)
    picked = locked.cte("_dbkit_picked").prefix_with("MATERIALIZED")
    written = changed.where(scope.id == picked.c.id).returning(*returned).cte("_dbkit_written")
    order = [
        tables.dialect.sort_key(picked.c[f"k{n}"], descending=o.descending, nullable=o.path.type.nullable)
        for n, o in enumerate(query.order)
    ]
    columns = [written.c[path.field.stored] for path in reader.paths]
    join = written.join(picked, written.c[entity.id.stored] == picked.c.id)
    statement = sa.select(*columns).select_from(join).order_by(*order)
    return ClaimPlan(binds.compile(statement, tables.dialect.core), None, reader, id_position, query.changes)
