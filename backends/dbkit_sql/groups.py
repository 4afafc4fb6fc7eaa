"""GROUP BY: keys, exact figures, and what is filtered and ordered by them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from typing import Any, cast

import sqlalchemy as sa
from pydantic import ValidationError

from dbkit.errors import OutOfRange, StoredDataInvalid
from dbkit.query import GroupBy, Order, Path
from dbkit.spec import Aggregate, FieldSpec, GroupKey, GroupSpec
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
    displays: Callable[[Sequence[Sequence[Any]]], list[dict[str, Any]]]
    """Makes the rows dicts by the names of the result's fields."""

    def instances(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """Return the results as instances of the group's class."""
        try:
            made: list[Any] = self.spec.validator.validate_python(self.displays(rows))
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


class _Figures:
    """What is selected, and what makes the result's fields of it."""

    def __init__(self) -> None:
        self.columns: list[Expr] = []
        self.places: dict[int, Sequence[Place]] = {}
        self._items: list[str] = []
        self._globals: dict[str, Any] = {}

    def add(self, field: FieldSpec, found: Sequence[Place], figure: Figure) -> None:
        """Select the places of a field."""
        self.places[field.token] = found
        raw = [f"a{len(self.columns) + n}" for n in range(len(found))]
        self.columns.extend(place.expr for place in found)
        value = raw[0]
        if figure is not _first:
            self._globals[f"f{len(self._items)}"] = figure
            value = f"f{len(self._items)}(({', '.join(raw)},))"
        self._items.append(f"{field.name!r}: {value}")

    def displays(self) -> Callable[[Sequence[Sequence[Any]]], list[dict[str, Any]]]:
        """Return the function that makes rows dicts: one literal display, as in `rows`."""
        names = ", ".join(f"a{n}" for n in range(len(self.columns)))
        source = f"lambda rows: [{{{', '.join(self._items)}}} for ({names},) in rows]"
        made: Callable[[Sequence[Sequence[Any]]], list[dict[str, Any]]] = eval(source, self._globals)  # noqa: S307  # declared names only
        return made


def group(tables: Tables, query: GroupBy) -> GroupPlan:
    """Compile a slotted `GroupBy`.

    A key of a parent decides nothing where its reference is a key itself: such parents are joined with the groups, not with
    the rows, of which there are more; and where neither *having* nor the order asks for them, with those groups that are
    returned.
    """
    binds = Binds()
    spec = query.group
    scope = Scope(tables, binds, spec.entity, tables.of(spec.entity))
    own = {key.path.field.token for key in spec.keys if key.path.is_own_field and key.period is None}
    later = [key for key in spec.keys if key.path.references and key.path.references[0].token in own]
    grouped = [key for key in spec.keys if key not in later]
    keys = {key.field.token: _key(scope, key) for key in grouped}
    aggregates = [(each.field, *_aggregate(scope, each)) for each in spec.aggregates]
    where = [] if query.where is None else [scope.condition(query.where)]
    by = [place.expr for place, _ in keys.values()]
    order = query.decisive_order() if later else query.order

    def having(places: _Places) -> list[Expr]:
        return [] if query.having is None else [_Having(binds, scope, places).condition(query.having)]

    def ordered(statement: sa.Select[Any], places: _Places) -> sa.Select[Any]:
        # Without keys there is one row, and no order.
        return statement.order_by(*_sort_keys(tables, order, places)) if spec.keys else statement

    def limited(statement: sa.Select[Any]) -> sa.Select[Any]:
        return statement if query.limit is None else statement.limit(binds.one(query.limit))

    def groups(columns: Sequence[Expr]) -> sa.Select[Any]:
        return sa.select(*columns).select_from(scope.source).where(*where).group_by(*by)

    places: _Places = {token: [place] for token, (place, _) in keys.items()}
    places |= {field.token: found for field, found, _ in aggregates}

    def few(columns: Sequence[Expr]) -> sa.Select[Any]:
        made = groups(columns).having(*having(places))
        return made if query.limit is None else limited(ordered(made, places))

    if not later:
        figures = _figures(spec, keys, aggregates)
        statement = limited(ordered(groups(figures.columns).having(*having(places)), places))
    else:
        asked = query.having_fields() | {key.path.field.token for key in order}
        are_few = asked.isdisjoint(key.field.token for key in later)
        outer, keys, aggregates = _grouped(scope, few if are_few else groups, grouped, keys, aggregates)
        figures = _figures(spec, keys | {key.field.token: _key(outer, key) for key in later}, aggregates)
        joined = cast("sa.Select[Any]", sa.select(*figures.columns).select_from(outer.source))
        if not are_few:
            joined = joined.where(*having(figures.places))
        joined = ordered(joined, figures.places)
        statement = joined if are_few else limited(joined)
    return GroupPlan(binds.compile(statement, tables.dialect.core), spec, figures.displays())


_Aggregates = list[tuple[FieldSpec, Sequence[Place], Figure]]
_Keys = dict[int, tuple[Place, Codec]]
_Places = dict[int, Sequence[Place]]


def _figures(spec: GroupSpec, keys: _Keys, aggregates: _Aggregates) -> _Figures:
    figures = _Figures()
    for key in spec.keys:
        place, codec = keys[key.field.token]
        figures.add(key.field, [place], _single(codec))
    for field, found, figure in aggregates:
        figures.add(field, found, figure)
    return figures


def _grouped(
    scope: Scope,
    groups: Callable[[Sequence[Expr]], sa.Select[Any]],
    grouped: Sequence[GroupKey],
    keys: _Keys,
    aggregates: _Aggregates,
) -> tuple[Scope, _Keys, _Aggregates]:
    """Return a scope whose rows are the groups, and where keys and figures are in it."""
    columns: list[Expr] = []

    def column(place: Place, name: str) -> str:
        columns.append(place.expr.label(name))
        return name

    names: dict[int, str] = {}
    for n, key in enumerate(grouped):
        # By its own name a reference is joined by; no declared name holds a dollar.
        name = key.path.field.stored
        if key.path.references or key.path.inside or key.period is not None or name in names.values():
            name = f"key${n}"
        names[key.field.token] = column(keys[key.field.token][0], name)
    figures = [
        [column(place, f"figure${n}${part}") for part, place in enumerate(found)]
        for n, (_, found, _) in enumerate(aggregates)
    ]
    inner = groups(columns).subquery("groups$")
    outer = Scope(scope.tables, scope.binds, scope.entity, inner)
    return (
        outer,
        {
            token: (replace(place, expr=inner.c[names[token]]), codec)
            for token, (place, codec) in keys.items()
        },
        [
            (field, [replace(p, expr=inner.c[name]) for p, name in zip(found, made, strict=True)], figure)
            for (field, found, figure), made in zip(aggregates, figures, strict=True)
        ],
    )


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
