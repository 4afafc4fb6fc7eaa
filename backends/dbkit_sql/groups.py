"""GROUP BY: keys, exact figures, and what is filtered and ordered by them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from dbkit.errors import OutOfRange, StoredDataInvalid
from dbkit.query import GroupBy, Order, Path
from dbkit.spec import Aggregate, GroupKey, GroupSpec
from dbkit.values import Kind, ValueType, exact_average, explain_validation

from .binds import Binds, Text
from .codecs import Codec
from .compile import Conditions, Scope
from .dialects import JsonClass, Place
from .dialects.base import Expr
from .rows import canonical_of
from .schema import Tables

__all__ = ["GroupPlan", "group"]

Figure = Callable[[Sequence[Any]], Any]
"""Makes the result's value of the raw values that were selected for it."""


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """A compiled group."""

    text: Text
    spec: GroupSpec
    figures: tuple[tuple[str, int, int, Figure], ...]
    """Of each field of the result: its name, where its raw values start and end, what makes them the value."""

    def instances(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """Return the results as instances of the group's class."""
        found = [{name: figure(row[start:end]) for name, start, end, figure in self.figures} for row in rows]
        try:
            made: list[Any] = self.spec.validator.validate_python(found)
        except ValidationError as error:
            where, message = explain_validation(error)
            field = str(where[1]) if len(where) > 1 else None
            raise StoredDataInvalid(
                f"a group does not fit {self.spec.name}.{field}: {message}",
                entity=self.spec.name,
                field=field,
            ) from error
        return made


class _Having(Conditions):
    """Filters on the fields of the results."""

    def __init__(self, binds: Binds, scope: Scope, places: dict[int, Sequence[Place]]) -> None:
        super().__init__(scope.dialect, binds)
        self._places = places

    def places(self, path: Path, json_class: JsonClass | None = None) -> Sequence[Place]:
        del json_class
        return self._places[path.field.token]


def group(tables: Tables, query: GroupBy) -> GroupPlan:
    """Compile a slotted `GroupBy`."""
    binds = Binds()
    spec = query.group
    scope = Scope(tables, binds, spec.entity, tables.of(spec.entity))
    places: dict[int, Sequence[Place]] = {}
    columns: list[Expr] = []
    figures: list[tuple[str, int, int, Figure]] = []

    def add(token: int, name: str, found: Sequence[Place], figure: Figure) -> None:
        places[token] = found
        figures.append((name, len(columns), len(columns) + len(found), figure))
        columns.extend(place.expr for place in found)

    for key in spec.keys:
        place, codec = _key(scope, key)
        add(key.field.token, key.field.name, [place], _single(codec))
    grouped = list(columns)
    for aggregate in spec.aggregates:
        found, figure = _aggregate(scope, aggregate)
        add(aggregate.field.token, aggregate.field.name, found, figure)
    where = [] if query.where is None else [scope.condition(query.where)]
    statement = sa.select(*columns).select_from(scope.source).where(*where)
    if grouped:
        statement = statement.group_by(*grouped)
    if query.having is not None:
        statement = statement.having(_Having(binds, scope, places).condition(query.having))
    # Without keys there is one row, and no order.
    if grouped:
        statement = statement.order_by(*_sort_keys(tables, query.order, places))
    if query.limit is not None:
        statement = statement.limit(binds.one(query.limit))
    return GroupPlan(binds.compile(statement, tables.dialect.core), spec, tuple(figures))


def _sort_keys(tables: Tables, order: Sequence[Order], places: dict[int, Sequence[Place]]) -> list[Expr]:
    return [
        tables.dialect.sort_key(place.expr, descending=key.descending, nullable=place.nullable)
        for key in order
        for place in places[key.path.field.token]
    ]


def _key(scope: Scope, key: GroupKey) -> tuple[Place, Codec]:
    place = scope.place(key.path)
    if key.period is None:
        return place, canonical_of(scope.dialect, key.path.type, is_leaf=bool(key.path.inside))
    moment = scope.dialect.moment(place.expr) if key.path.inside else place.expr
    dates = ValueType(Kind.DATE, nullable=place.nullable)
    made = scope.dialect.column(scope.dialect.period(moment, key.period), dates, nullable=place.nullable)
    return made, scope.dialect.canonical(dates)


def _aggregate(scope: Scope, aggregate: Aggregate) -> tuple[Sequence[Place], Figure]:
    dialect = scope.dialect
    if aggregate.path is None:
        return [Place(sa.func.count(), None, False, "bigint")], _first
    type = aggregate.path.type
    place = scope.place(aggregate.path)
    expr = place.expr
    is_leaf = bool(aggregate.path.inside)
    match aggregate.function:
        case "count":
            return [Place(sa.func.count(expr), None, False, "bigint")], _first
        case "count_distinct":
            return [Place(sa.func.count(expr.distinct()), None, False, "bigint")], _first
        case "min" | "max":
            found = Place(dialect.extreme(aggregate.function, expr, type), place.encode, True, place.cast)
            return [found], _single(canonical_of(dialect, type, is_leaf=is_leaf))
        case "sum" if type.kind is Kind.FLOAT:
            total = sa.func.coalesce(sa.func.sum(expr), sa.literal_column("0.0"))
            return [Place(total, None, False)], _float
        case "sum":
            # A Decimal inside JSON is a scaled int on every store.
            scaled = dialect.scaled_sums or is_leaf
            return dialect.sum_places(expr, type, is_leaf=is_leaf), _sum(
                dialect.sum_value, type, scaled=scaled
            )
        case "avg" if type.kind is Kind.FLOAT:
            return [Place(sa.func.avg(expr), None, True)], _float
        case "avg":
            scaled = dialect.scaled_sums or is_leaf
            sums = dialect.sum_places(expr, type, is_leaf=is_leaf)
            total_of = _sum(dialect.sum_value, type, scaled=scaled)
            return [*sums, Place(sa.func.count(expr), None, False)], _average(total_of, type)


def _first(raw: Sequence[Any]) -> Any:
    return raw[0]


def _single(codec: Codec) -> Figure:
    if codec is None:
        return _first
    return lambda raw: None if raw[0] is None else codec(raw[0])


def _float(raw: Sequence[Any]) -> Any:
    value = raw[0]
    if value is None:
        return None
    if not math.isfinite(value):
        raise OutOfRange("the sum of a float field is beyond what a float holds")
    return float(value) + 0.0


def _sum(combine: Callable[[Sequence[Any]], Any], type: ValueType, *, scaled: bool) -> Figure:
    def figure(raw: Sequence[Any]) -> Any:
        total = combine(raw)
        if type.kind is not Kind.DECIMAL:
            return int(total)
        if not scaled:
            return Decimal(total).quantize(Decimal(1).scaleb(-type.decimal_places), context=_WIDE)
        return Decimal(int(total)).scaleb(-type.decimal_places, _WIDE)

    return figure


def _average(total_of: Figure, type: ValueType) -> Figure:
    places = type.decimal_places if type.kind is Kind.DECIMAL else 0

    def figure(raw: Sequence[Any]) -> Any:
        count = raw[-1]
        if count == 0:
            return None
        return exact_average(Decimal(total_of(raw[:-1])), count, places + 6)

    return figure


# A sum of 2**63 rows of 18 digits has fewer.
_WIDE = Context(prec=60)
