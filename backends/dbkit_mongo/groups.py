"""Groups as pipelines, and their documents as instances. Pure.

Sums of ints and decimals are taken as Decimal128 and so exact: its 34 digits hold the sum of 10¹⁵ values of 19 digits;
beyond that the server would round (https://www.mongodb.com/docs/manual/reference/operator/aggregation/sum/). An average
is the quotient of the exact sum and the count, taken by the client.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Context, Decimal
from typing import Any

from bson.decimal128 import Decimal128
from pydantic import ValidationError

from dbkit.errors import StoredDataInvalid
from dbkit.query import GroupBy, Slot
from dbkit.spec import Aggregate, EntitySpec, GroupSpec
from dbkit.values import Kind, ValueType, exact_average, explain_validation

from .compile import Figure, Level, Stage, condition, match_stages, wide
from .rows import Codec
from .templates import Fill, Hole, compile_template, text_of

__all__ = ["GroupPlan", "compile_group"]

Document = dict[str, Any]
_WIDE = Context(prec=60)


@dataclass(frozen=True, slots=True, eq=False)
class GroupPlan:
    """A pipeline whose documents are groups."""

    entity: EntitySpec
    group: GroupSpec
    collections: tuple[str, ...]
    text: str
    fill: Fill
    getters: tuple[tuple[str, Callable[[Document], Any]], ...]
    """The result's field names, and what reads their values from a document."""

    def instances(self, documents: list[Document]) -> list[Any]:
        """Return an instance of the group's class for each document."""
        rows = [{name: get(document) for name, get in self.getters} for document in documents]
        try:
            made: list[Any] = self.group.validator.validate_python(rows)
        except ValidationError as error:
            where, message = explain_validation(error)
            field = ".".join(str(step) for step in where[1:]) or None
            raise StoredDataInvalid(
                f"the groups {self.group.name} do not fit what is stored: {field or 'one'} {message}",
                entity=self.entity.name,
                field=field,
            ) from None
        return made


def compile_group(query: GroupBy, codec: Codec) -> GroupPlan:
    """Compile a slotted `GroupBy`."""
    group, entity = query.group, query.entity
    level = Level(codec, {entity.stored: None})
    stages = match_stages(query.where, level)
    keys: Document = {}
    shown: Document = {"_id": 0}
    getters: list[tuple[str, Callable[[Document], Any]]] = []
    figures: dict[int, Figure] = {}
    for position, key in enumerate(group.keys):
        place = f"${level.place(key.path)}"
        name = f"k{position}"
        if key.period is None:
            # A missing field and null are one group.
            keys[name] = {"$ifNull": [place, None]}
            getters.append((key.field.name, _plain(name, key.path.type, codec)))
            figures[key.field.token] = Figure(name, codec.encoder(key.path.type))
        else:
            # In UTC unless told otherwise; null stays null. Right before 1970 too.
            # https://www.mongodb.com/docs/manual/reference/operator/aggregation/dateTrunc/
            keys[name] = {"$dateTrunc": {"date": place, "unit": key.period}}
            getters.append((key.field.name, _period(name)))
            figures[key.field.token] = Figure(name, _midnight)
        shown[name] = f"$_id.{name}"
    accumulators: Document = {}
    for position, figure in enumerate(group.aggregates):
        name = f"a{position}"
        value = None if figure.path is None else f"${level.place(figure.path)}"
        accumulate, show = _FIGURES[figure.function](name, value, figure)
        accumulators |= accumulate
        shown |= show
        getters.append((figure.field.name, _figure(name, figure, codec)))
        is_sum = figure.function in {"count", "count_distinct", "sum"}
        figures[figure.field.token] = Figure(name, wide if is_sum else codec.encoder(figure.field.type))
    stages += level.take()
    grouped: Stage = {"$group": {"_id": keys or None, **accumulators}}
    if group.keys:
        stages.append(grouped)
    else:
        # Exactly one row, even over nothing: `$facet` gives one document whatever comes in.
        nothing: Document = {
            name: [] if "$addToSet" in acc else _EMPTY.get(next(iter(acc)))
            for name, acc in accumulators.items()
        }
        stages += [
            {"$facet": {"all": [grouped]}},
            {"$replaceWith": {"$ifNull": [{"$first": "$all"}, {"$literal": {"_id": None, **nothing}}]}},
        ]
    stages.append({"$project": shown})
    results = Level(codec, level.collections, figures)
    if query.having is not None:
        stages.append({"$match": condition(query.having, results)})
    if query.order:
        stages.append({"$sort": {results.place(o.path): -1 if o.descending else 1 for o in query.order}})
    if isinstance(query.limit, Slot):
        stages.append({"$limit": Hole(query.limit.index)})
    return GroupPlan(
        entity=entity,
        group=group,
        collections=tuple(level.collections),
        text=text_of({"aggregate": entity.stored, "pipeline": stages}),
        fill=compile_template(stages),
        getters=tuple(getters),
    )


# -- figures: (the accumulators, what `$project` shows of them) ------------------------------------------------------------

_Figure = Callable[[str, Any, Aggregate], tuple[Document, Document]]
_EMPTY = {"$sum": 0}
_IS_VALUE: Callable[[str], Document] = lambda value: {"$cond": [{"$gt": [value, None]}, 1, 0]}  # noqa: E731


def _count(name: str, _value: str | None, _figure: Aggregate) -> tuple[Document, Document]:
    return {name: {"$sum": 1}}, {name: 1}


def _count_distinct(name: str, value: str, _figure: Aggregate) -> tuple[Document, Document]:
    # The set is held in memory; beyond 100 MB the server refuses.
    return {name: {"$addToSet": value}}, {name: {"$size": {"$setDifference": [f"${name}", [None]]}}}


def _sum(name: str, value: str, figure: Aggregate) -> tuple[Document, Document]:
    return {name: {"$sum": _exact(value, figure)}}, {name: 1}


def _avg(name: str, value: str, figure: Aggregate) -> tuple[Document, Document]:
    count = f"{name}n"
    sums = {name: {"$sum": _exact(value, figure)}, count: {"$sum": _IS_VALUE(value)}}
    return sums, {name: 1, count: 1}


def _exact(value: str, figure: Aggregate) -> Any:
    assert figure.path is not None
    return value if figure.path.type.kind is Kind.FLOAT else {"$toDecimal": value}


_FIGURES: dict[str, _Figure] = {
    "count": _count,
    "count_distinct": _count_distinct,
    "sum": _sum,
    "avg": _avg,
    # Both pass over null and missing values.
    "min": lambda name, value, _figure: ({name: {"$min": value}}, {name: 1}),
    "max": lambda name, value, _figure: ({name: {"$max": value}}, {name: 1}),
}


# -- from documents ------------------------------------------------------------------------------------------------------


def _plain(name: str, type: ValueType, codec: Codec) -> Callable[[Document], Any]:
    decode = codec.decoder(type)

    def get(document: Document) -> Any:
        value = document.get(name)
        return value if value is None or decode is None else decode(value)

    return get


def _midnight(value: date) -> datetime:
    return datetime(value.year, value.month, value.day, tzinfo=UTC)


def _period(name: str) -> Callable[[Document], Any]:
    def get(document: Document) -> Any:
        value = document.get(name)
        return None if value is None else value.date()

    return get


def _figure(name: str, figure: Aggregate, codec: Codec) -> Callable[[Document], Any]:
    if figure.function in {"count", "count_distinct"}:
        return lambda document: int(document[name])
    assert figure.path is not None
    type = figure.path.type
    if figure.function in {"min", "max"}:
        return _plain(name, type, codec)
    is_sum, is_float = figure.function == "sum", type.kind is Kind.FLOAT
    places = type.decimal_places

    def get(document: Document) -> Any:
        total = document[name]
        if is_float:
            if is_sum:
                return float(total) + 0.0
            return None if not document[f"{name}n"] else total / document[f"{name}n"] + 0.0
        exact = total.to_decimal() if isinstance(total, Decimal128) else Decimal(int(total))
        if not is_sum:
            count = int(document[f"{name}n"])
            return exact_average(exact, count, places + 6) if count else None
        return int(exact) if type.kind is Kind.INT else _at(exact, places)

    return get


def _at(value: Decimal, places: int) -> Decimal:
    exact = value.quantize(Decimal(1).scaleb(-places), context=_WIDE)
    return exact or abs(exact)
