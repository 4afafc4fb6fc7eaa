"""The statements of reads: by id, in order, page by page, children, counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from dbkit.options import MAX_ROWS_UNASKED
from dbkit.query import Count, Exists, Filter, Find, Order, Slot, is_row_comparable, seek, size_class
from dbkit.spec import EntitySpec, Relation

from .binds import Binds, Raw, Text
from .codecs import Codec
from .compile import Scope, ordering, trimmed
from .dialects.base import Expr, literal
from .rows import RowReader, canonical_of
from .schema import Tables

__all__ = ["ChildrenPlan", "FindPlan", "GetPlan", "children", "count", "counts", "exists", "find", "get"]


@dataclass(frozen=True, slots=True)
class GetPlan:
    """A read by id."""

    text: str
    encode: Codec
    reader: RowReader


@dataclass(frozen=True, slots=True)
class FindPlan:
    """A read in order."""

    text: Text
    reader: RowReader
    keys: tuple[tuple[int, Codec], ...]
    """For a page: where the sort keys' values stand in a row, and what makes them canonical."""
    total: Text | None
    """For a page that asks for it: the count of all rows that the filter takes."""

    def last(self, row: Sequence[Any]) -> tuple[Any, ...]:
        """Return the sort keys' values of a row."""
        return tuple(
            row[at] if codec is None or row[at] is None else codec(row[at]) for at, codec in self.keys
        )


@dataclass(frozen=True, slots=True)
class ChildrenPlan:
    """A read of the children of several rows; each row that it gives ends with the parent's id."""

    relation: Relation
    text: Text
    reader: RowReader
    binds: tuple[Any, ...]
    """What stands in the relation's own filter; the parents' ids stand before it."""
    most: int | None
    """More children of one row than this are too many; None where the statement keeps to a limit."""


def get(tables: Tables, reader: RowReader) -> GetPlan:
    """Compile the read by id."""
    binds = Binds()
    entity = reader.read.entity
    scope = Scope(tables, binds, entity, tables.of(entity))
    columns = [scope.output(path) for path in reader.paths]
    encode = tables.dialect.encoder(entity.id.type)
    statement = sa.select(*columns).select_from(scope.source).where(scope.id == binds.one(Slot(0)))
    return GetPlan(binds.compile(statement, tables.dialect.core).text, encode, reader)


def find(tables: Tables, reader: RowReader, query: Find) -> FindPlan:
    """Compile a slotted `Find`."""
    binds = Binds()
    order = trimmed(query.order)
    selected = _Selected(tables, reader, query.order if query.page else order)
    limit = None
    if query.limit is not None:
        limit = binds.plus(query.limit, 1) if query.page else binds.one(query.limit)
    if query.after is None or is_row_comparable(order):
        scope = Scope(tables, binds, query.entity, tables.of(query.entity))
        columns = selected.columns(scope)
        conditions = _conditions(scope, query.where)
        if query.after is not None:
            conditions.append(scope.after(order, query.after))
        keys = scope.sort_keys(order)
        statement: Any = sa.select(*columns).select_from(scope.source).where(*conditions).order_by(*keys)
    else:
        statement = _branches(tables, binds, selected, query, order, limit)
    if limit is not None:
        statement = statement.limit(limit)
    if query.offset is not None:
        statement = statement.offset(binds.one(query.offset))
    total = count(tables, Count(query.entity, query.where)) if query.total else None
    keys_read = selected.keys() if query.page else ()
    return FindPlan(binds.compile(statement, tables.dialect.core), reader, keys_read, total)


def _branches(
    tables: Tables, binds: Binds, selected: _Selected, query: Find, order: tuple[Order, ...], limit: Any
) -> Any:
    """Return the rows after the cursor as disjoint ranges of an index, none of them read further than the page goes."""
    assert query.after is not None
    limits = tables.dialect.limits_branches
    parts: list[Any] = []
    for branch in seek(order, query.after[: len(order)]):
        scope = Scope(tables, binds, query.entity, tables.of(query.entity))
        columns = [c.label(f"c{n}") for n, c in enumerate(selected.columns(scope))]
        conditions = _conditions(scope, query.where) + [scope.condition(part) for part in branch]
        keys = scope.sort_keys(order)
        part: Any = sa.select(*columns).select_from(scope.source).where(*conditions)
        parts.append(sa.select(part.order_by(*keys).limit(limit).subquery()) if limits else part)
    names = [(literal(f"c{at}"), o) for at, o in zip(selected.positions, order, strict=False)]
    statement: Any = sa.union_all(*parts) if len(parts) > 1 else parts[0]
    return statement.order_by(*ordering(tables.dialect, names))


def _conditions(scope: Scope, where: Filter | None) -> list[Expr]:
    return [] if where is None else [scope.condition(where)]


class _Selected:
    """What a read selects: the view's values, then the sort keys that are not among them."""

    def __init__(self, tables: Tables, reader: RowReader, order: Sequence[Order]) -> None:
        self._tables = tables
        self._reader = reader
        self._order = order
        self._hidden: list[Order] = []
        self.positions: list[int] = []
        """Where each sort key stands."""
        for key in order:
            at = reader.position_of(key.path)
            if at is None:
                at = len(reader.paths) + len(self._hidden)
                self._hidden.append(key)
            self.positions.append(at)

    @property
    def width(self) -> int:
        return len(self._reader.paths) + len(self._hidden)

    def columns(self, scope: Scope) -> list[Expr]:
        paths = [*self._reader.paths, *(key.path for key in self._hidden)]
        return [scope.output(path) for path in paths]

    def keys(self) -> tuple[tuple[int, Codec], ...]:
        dialect = self._tables.dialect
        return tuple(
            (at, canonical_of(dialect, key.path.type, is_leaf=bool(key.path.inside)))
            for at, key in zip(self.positions, self._order, strict=True)
        )


# -- children ----------------------------------------------------------------------------------------------------------


def children(tables: Tables, reader: RowReader, relation: Relation, parents: int) -> ChildrenPlan:
    """Compile the read of a relation's children, for *parents* rows."""
    binds = Binds()
    ids = Slot(0, size_class(parents))
    taken = 0

    def take(value: Any) -> Slot:
        nonlocal taken
        taken += 1
        return Slot(taken, size_class(len(value)) if value.__class__ is tuple else 1)

    where = None if relation.where is None else relation.where.slotted(take)
    limit = literal(str(MAX_ROWS_UNASKED + 1 if relation.limit is None else relation.limit))
    make = _lateral if tables.dialect.has_lateral else _by_ids
    statement = make(tables, binds, reader, relation, where, ids, limit)
    return ChildrenPlan(
        relation,
        binds.compile(statement, tables.dialect.core),
        reader,
        relation.where.binds if relation.where is not None else (),
        MAX_ROWS_UNASKED if relation.limit is None else None,
    )


def _lateral(
    tables: Tables,
    binds: Binds,
    reader: RowReader,
    relation: Relation,
    where: Filter | None,
    ids: Slot,
    limit: Expr,
) -> Any:
    """Return the children of each id of an array: the index of the reference is read up to the limit, once per id."""
    entity = relation.read.entity
    order = trimmed(relation.order)
    kind = tables.dialect.array_type(relation.reference.type)
    array = sa.cast(binds.array(ids, None), Raw(f"{kind}[]"))
    parents = sa.func.unnest(array).table_valued("id", name="parents").render_derived()
    table = tables.of(entity).alias("child")
    scope = Scope(tables, binds, entity, table)
    selected = _Selected(tables, reader, order)
    columns = [c.label(f"c{n}") for n, c in enumerate(selected.columns(scope))]
    conditions = [table.c[relation.reference.stored] == parents.c.id, *_conditions(scope, where)]
    keys = scope.sort_keys(order)
    inner = sa.select(*columns).select_from(scope.source).where(*conditions).order_by(*keys)
    found = inner.limit(limit).lateral("children")
    made = [found.c[f"c{n}"] for n in range(selected.width)]
    keys = ordering(
        tables.dialect, [(found.c[f"c{at}"], o) for at, o in zip(selected.positions, order, strict=True)]
    )
    return sa.select(*made, parents.c.id).select_from(parents.join(found, sa.true())).order_by(*keys)


def _by_ids(
    tables: Tables,
    binds: Binds,
    reader: RowReader,
    relation: Relation,
    where: Filter | None,
    ids: Slot,
    limit: Expr,
) -> Any:
    """Return the same without LATERAL: an IN over a correlated subquery is read once per id, and stops at the limit."""
    entity = relation.read.entity
    order = trimmed(relation.order)
    values = [(bind,) for bind in binds.each(ids, None, repeat=False)]
    parents = sa.values(sa.column("id"), name="_dbkit_parents").data(values).cte("_dbkit_parents")
    chosen = binds.alias(tables.of(entity))
    inner = Scope(tables, binds, entity, chosen)
    conditions = [chosen.c[relation.reference.stored] == parents.c.id, *_conditions(inner, where)]
    keys = inner.sort_keys(order)
    ids_of_one = sa.select(inner.id).select_from(inner.source).where(*conditions).order_by(*keys).limit(limit)
    table = tables.of(entity)
    scope = Scope(tables, binds, entity, table)
    columns = [scope.output(path) for path in reader.paths]
    keys = scope.sort_keys(order)
    # The join with the parents comes first, so that what the view joins stands behind it.
    on = scope.id.in_(ids_of_one.correlate(parents))
    source = _joined(parents, scope, on)
    return sa.select(*columns, parents.c.id).select_from(source).order_by(*keys)


def _joined(parents: Any, scope: Scope, on: Expr) -> Any:
    """Return the FROM that starts with *parents* and goes on with all that the scope joined."""
    joins: list[Any] = []
    source: Any = scope.source
    while source is not scope.table:
        joins.append(source)
        source = source.left
    made = parents.join(scope.table, on)
    for join in reversed(joins):
        made = made.join(join.right, join.onclause, isouter=join.isouter)
    return made


# -- counts ------------------------------------------------------------------------------------------------------------


def count(tables: Tables, query: Count) -> Text:
    """Compile a slotted `Count`."""
    binds = Binds()
    scope = Scope(tables, binds, query.entity, tables.of(query.entity))
    conditions = _conditions(scope, query.where)
    statement = sa.select(sa.func.count()).select_from(scope.source).where(*conditions)
    return binds.compile(statement, tables.dialect.core)


def exists(tables: Tables, query: Exists) -> Text:
    """Compile a slotted `Exists`."""
    binds = Binds()
    scope = Scope(tables, binds, query.entity, tables.of(query.entity))
    conditions = _conditions(scope, query.where)
    found = sa.exists(sa.select(literal("1")).select_from(scope.source).where(*conditions))
    return binds.compile(sa.select(found), tables.dialect.core)


def counts(tables: Tables, entities: Sequence[EntitySpec]) -> Text:
    """Compile the numbers of rows of several entities, as one row."""
    binds = Binds()
    each = [
        sa.select(sa.func.count()).select_from(tables.of(entity)).scalar_subquery() for entity in entities
    ]
    return binds.compile(sa.select(*each), tables.dialect.core)
