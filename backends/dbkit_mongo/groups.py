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
from typing import Any, NamedTuple

from bson.decimal128 import Decimal128
from pydantic import ValidationError

from dbkit.errors import StoredDataInvalid
from dbkit.query import GroupBy, Slot
from dbkit.spec import Aggregate, EntitySpec, GroupKey, GroupSpec
from dbkit.values import Kind, ValueType, exact_average, explain_validation

from .compile import Figure, Level, Stage, condition, match_stages, wide
from .errors import IN_STEPS, Doing
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
    doing: Doing
    fill: Fill
    rows: Callable[[list[Document]], list[Document]]
    """Makes of each document a mapping by the result's field names."""

    def instances(self, documents: list[Document]) -> list[Any]:
        """Return an instance of the group's class for each document."""
        rows = self.rows(documents)
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
    """Compile a slotted `GroupBy`.

    What a key takes from a parent follows from the reference; where that is a key as well, the parents are joined to the
    groups, which are fewer than the documents, and after the limit if nothing before it asks for them.
    """
    group, entity = query.group, query.entity
    level = Level(codec, {entity.stored: None})
    stages = match_stages(query.where, level)
    roots = {
        key.path.field.token: f"k{position}"
        for position, key in enumerate(group.keys)
        if key.path.is_own_field and key.period is None
    }
    parents = Level(codec, level.collections, roots=roots)
    keys: Document = {}
    joined: Document = {}
    shown: Document = {"_id": 0}
    values: dict[str, Value] = {}
    figures: dict[int, Figure] = {}
    for position, key in enumerate(group.keys):
        name = f"k{position}"
        is_late = bool(key.path.references) and key.path.references[0].token in roots
        (joined if is_late else keys)[name] = _key(key, parents if is_late else level)
        if not is_late:
            shown[name] = f"$_id.{name}"
        values[key.field.name] = _plain(name, key.path.type, codec) if key.period is None else _period(name)
        figures[key.field.token] = Figure(
            name, _midnight if key.period is not None else codec.encoder(key.path.type)
        )
    accumulators: Document = {}
    for position, figure in enumerate(group.aggregates):
        name = f"a{position}"
        value = None if figure.path is None else f"${level.place(figure.path)}"
        accumulate, show = _FIGURES[figure.function](name, value, figure)
        accumulators |= accumulate
        shown |= show
        values[figure.field.name] = _figure(name, figure, codec)
        is_sum = figure.function in {"count", "count_distinct", "sum"}
        figures[figure.field.token] = Figure(name, wide if is_sum else codec.encoder(figure.field.type))
    stages += level.take()
    stages += _grouped({"_id": keys or None, **accumulators}, has_keys=bool(group.keys))
    stages.append({"$project": shown})
    late = {key.field.token for position, key in enumerate(group.keys) if f"k{position}" in joined}
    order = query.decisive_order() if joined else query.order
    results = Level(codec, level.collections, figures)
    having: list[Stage] = [] if query.having is None else [{"$match": condition(query.having, results)}]
    end: list[Stage] = []
    if order:
        end.append({"$sort": {results.place(o.path): -1 if o.descending else 1 for o in order}})
    if isinstance(query.limit, Slot):
        end.append({"$limit": Hole(query.limit.index)})
    joins: list[Stage] = []
    if joined:
        names = [name for name in shown if name != "_id"]
        joins = [*parents.take(), {"$project": {"_id": 0, **dict.fromkeys(names, 1), **joined}}]
    if query.having_fields() & late:
        stages += [*joins, *having, *end]
    elif late.intersection(o.path.field.token for o in order):
        stages += [*having, *joins, *end]
    else:
        stages += [*having, *end, *joins]
    text = text_of({"aggregate": entity.stored, "pipeline": stages})
    return GroupPlan(
        entity=entity,
        group=group,
        collections=tuple(level.collections),
        text=text,
        doing=Doing(text, entity, within_s=IN_STEPS),
        fill=compile_template(stages),
        rows=_rows(values),
    )


def _key(key: GroupKey, level: Level) -> Document:
    place = f"${level.place(key.path)}"
    if key.period is None:
        # A missing field and null are one group.
        return {"$ifNull": [place, None]}
    # In UTC unless told otherwise; null stays null. Right before 1970 too.
    # https://www.mongodb.com/docs/manual/reference/operator/aggregation/dateTrunc/
    return {"$dateTrunc": {"date": place, "unit": key.period}}


def _grouped(grouping: Document, *, has_keys: bool) -> list[Stage]:
    if has_keys:
        return [{"$group": grouping}]
    # Exactly one row, even over nothing: `$facet` gives one document whatever comes in.
    nothing: Document = {
        name: [] if "$addToSet" in accumulator else _EMPTY.get(next(iter(accumulator)))
        for name, accumulator in grouping.items()
        if name != "_id"
    }
    return [
        {"$facet": {"all": [{"$group": grouping}]}},
        {"$replaceWith": {"$ifNull": [{"$first": "$all"}, {"$literal": {"_id": None, **nothing}}]}},
    ]


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


class Value(NamedTuple):
    """A value of a group's document: what *decode* makes of the one under *name* if that is not null."""

    name: str
    decode: Callable[[Any], Any] | None = None
    whole: Callable[[Document], Any] | None = None
    """Where it takes more than one: what reads it from the document."""


def _rows(values: dict[str, Value]) -> Callable[[list[Document]], list[Document]]:
    """Return the function that reads all documents: one display, as `templates` makes them."""
    constants: dict[str, Any] = {}
    parts: list[str] = []
    for position, (field, value) in enumerate(values.items()):
        source = f"d.get({value.name!r})"
        if value.whole is not None:
            constants[f"c{position}"] = value.whole
            source = f"c{position}(d)"
        elif value.decode is not None:
            constants[f"c{position}"] = value.decode
            source = f"(None if (v := {source}) is None else c{position}(v))"
        parts.append(f"{field!r}: {source}")
    source = f"lambda documents: [{{{', '.join(parts)}}} for d in documents]"
    # Of field names, our own names and the names of `constants`.
    rows: Callable[[list[Document]], list[Document]] = eval(source, {"__builtins__": {}, **constants})  # noqa: S307
    return rows


def _plain(name: str, type: ValueType, codec: Codec) -> Value:
    # pydantic reads the 16 bytes of a UUID.
    is_uuid = type.kind is Kind.UUID and type.enum is None
    return Value(name, None if is_uuid else codec.decoder(type))


def _midnight(value: date) -> datetime:
    return datetime(value.year, value.month, value.day, tzinfo=UTC)


def _period(name: str) -> Value:
    return Value(name, datetime.date)


def _figure(name: str, figure: Aggregate, codec: Codec) -> Value:
    if figure.function in {"count", "count_distinct"}:
        return Value(name, int)
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

    return Value(name, whole=get)


def _at(value: Decimal, places: int) -> Decimal:
    exact = value.quantize(Decimal(1).scaleb(-places), context=_WIDE)
    return exact or abs(exact)
