"""What filters, orders, changes and groups mean, in plain Python: SEMANTICS made to run.

Pure functions over stored rows. The conformance and differential tests hold every other store to what this file says,
so it is written to be read beside SEMANTICS, not to be fast.

A stored row maps stored names to plain values: an enum's value instead of its member, a dict by stored names instead of
a nested model, everything else in its canonical form.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Context, Decimal, localcontext
from enum import Enum
from typing import Any, Protocol, TypeGuard

from dbkit.answers import out_of_range
from dbkit.errors import OutOfRange
from dbkit.query import (
    And,
    AnyRelated,
    Append,
    Arithmetic,
    Assign,
    Change,
    Compare,
    Constant,
    Contains,
    Everything,
    Expression,
    FieldValue,
    Filter,
    Has,
    In,
    IsNull,
    Not,
    Nothing,
    Or,
    Order,
    Path,
    Remove,
    StartsWith,
)
from dbkit.spec import Aggregate, EntitySpec, GroupKey, GroupSpec
from dbkit.values import INT_MAX, INT_MIN, Kind, ValueType, exact_average

__all__ = [
    "Row",
    "Rows",
    "changed",
    "condition",
    "copied",
    "encode",
    "grouped",
    "in_order",
    "is_after",
    "is_dict",
    "is_list",
    "same",
    "value_of",
]

Row = Mapping[str, Any]
"""A stored row: plain values by stored names. Never changed in place."""

_EXACT = Context(prec=60)


class Rows(Protocol):
    """The other rows that a row can reach."""

    def row(self, table: str, id: Any) -> Row | None:
        """Return the row with this id."""
        ...

    def referring(self, table: str, column: str, id: Any) -> Iterable[Row]:
        """Return the rows of *table* whose *column* holds *id*."""
        ...


# -- values ------------------------------------------------------------------------------------------------------------


def encode(value: Any, type: ValueType) -> Any:
    """Return *value* as it is stored; containers are copied, so that nobody else holds what is stored."""
    if value is None:
        return None
    if isinstance(value, Enum):
        return value.value
    if type.kind is Kind.MODEL:
        assert type.model is not None
        return {f.stored: encode(getattr(value, f.name), f.type) for f in type.model.fields}
    if type.kind is Kind.LIST:
        assert type.element is not None
        return [encode(item, type.element) for item in value]
    if type.kind is Kind.DICT:
        assert type.element is not None
        return {key: encode(item, type.element) for key, item in value.items()}
    return copied(value) if type.kind is Kind.JSON else value


def copied(value: Any) -> Any:
    """Return JSON data that shares no container with *value*."""
    if is_dict(value):
        return {key: copied(item) for key, item in value.items()}
    if is_list(value):
        return [copied(item) for item in value]
    return value


def is_dict(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a stored value is a dict or a nested model."""
    return isinstance(value, dict)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Whether a stored value is a list."""
    return isinstance(value, list)


def same(left: Any, right: Any) -> bool:
    """Whether two stored values are equal: bool is not int, 1 is 1.0, all the way down."""
    kind = _kind(left)
    if kind != _kind(right):
        return False
    if kind == "dict":
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if kind == "list":
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, dict):
        return "dict"
    return "list" if isinstance(value, list) else "other"


def value_of(path: Path) -> Callable[[Row, Rows], Any]:
    """Return the function that gives the path's value in a row: None where anything on the way is null or missing."""
    if path.is_own_field:
        own = path.field.stored
        return lambda row, _: row[own]

    def value(row: Row, rows: Rows) -> Any:
        for step in path.references:
            assert step.reference is not None
            id = row[step.stored]
            parent = None if id is None else rows.row(step.reference.target.stored, id)
            if parent is None:
                return None
            row = parent
        found: Any = row[path.field.stored]
        for inner in path.inside:
            if not is_dict(found):
                return None
            found = found.get(inner if isinstance(inner, str) else inner.stored)
        return found

    return value


# -- filters -----------------------------------------------------------------------------------------------------------

Condition = Callable[[Row, Rows], bool]

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}


def condition(where: Filter | None) -> Condition:
    """Return the function that says whether a row meets *where*. It is two-valued: no answer is ever unknown."""
    match where:
        case None | Everything():
            return lambda _row, _rows: True
        case Nothing():
            return lambda _row, _rows: False
        case Not():
            part = condition(where.part)
            return lambda row, rows: not part(row, rows)
        case And():
            parts = [condition(p) for p in where.parts]
            return lambda row, rows: all(part(row, rows) for part in parts)
        case Or():
            parts = [condition(p) for p in where.parts]
            return lambda row, rows: any(part(row, rows) for part in parts)
        case AnyRelated():
            return _any_related(where)
        case IsNull():
            return _leaf(where.path, lambda _: False, null=True)
        case Compare():
            return _compare(where)
        case In():
            return _in(where)
        case Contains():
            return _leaf(where.path, lambda stored: where.value in stored)
        case StartsWith():
            return _leaf(where.path, lambda stored: stored.startswith(where.value))
        case Has():
            assert where.path.type.element is not None
            wanted = encode(where.value, where.path.type.element)
            return _leaf(where.path, lambda stored: any(same(item, wanted) for item in stored))
        case _:
            raise AssertionError(type(where))


def _leaf(path: Path, holds: Callable[[Any], bool], *, null: bool = False) -> Condition:
    """Return the condition *holds* on a value that is there, and *null* where none is."""
    value = value_of(path)

    def leaf(row: Row, rows: Rows) -> bool:
        stored = value(row, rows)
        return null if stored is None else holds(stored)

    return leaf


def _compare(where: Compare) -> Condition:
    wanted = encode(where.value, where.path.type)
    if where.op == "eq":
        return _leaf(where.path, lambda stored: same(stored, wanted))
    if where.op == "ne":
        return _leaf(where.path, lambda stored: not same(stored, wanted), null=True)
    compare = _COMPARE[where.op]
    return _leaf(where.path, lambda stored: _kind(stored) == _kind(wanted) and compare(stored, wanted))


def _in(where: In) -> Condition:
    values = [encode(v, where.path.type) for v in where.values]
    if where.path.type.kind is Kind.JSON:
        return _leaf(where.path, lambda stored: any(same(stored, v) for v in values))
    members = frozenset(values)
    return _leaf(where.path, lambda stored: stored in members)


def _any_related(where: AnyRelated) -> Condition:
    assert isinstance(where.root, EntitySpec)
    id, child, reference = where.root.id.stored, where.child.stored, where.reference.stored
    meets = condition(where.where)
    return lambda row, rows: any(meets(found, rows) for found in rows.referring(child, reference, row[id]))


# -- orders ------------------------------------------------------------------------------------------------------------


def _rank(value: Any) -> tuple[Any, ...]:
    """Return what a value is sorted by: null comes before every value."""
    return (0,) if value is None else (1, value)


def in_order(rows: Iterable[Row], order: Sequence[Order], reach: Rows) -> list[Row]:
    """Return the rows sorted: ascending puts null first, descending last."""
    done = list(rows)
    # Sorting is stable, also reversed: sorted by the last key first, earlier keys decide.
    for key in reversed(order):
        value = value_of(key.path)
        done.sort(key=lambda row: _rank(value(row, reach)), reverse=key.descending)
    return done


def is_after(keys: Sequence[Any], after: Sequence[Any], order: Sequence[Order]) -> bool:
    """Whether a row with the sort keys' values *keys* stands after the one with the values *after*."""
    for value, last, key in zip(keys, after, order, strict=True):
        here, there = _rank(value), _rank(last)
        if here != there:
            return here < there if key.descending else here > there
    return False


# -- changes -----------------------------------------------------------------------------------------------------------


def changed(row: Row, changes: Iterable[Change], rows: Rows) -> dict[str, Any]:
    """Return the row as it is after the changes, all of them computed from the row as it was.

    Raises:
        OutOfRange: a computed value, or one on the way to it, leaves the bounds.
    """
    made = dict(row)
    for change in changes:
        made[change.field.stored] = _changed(row, change, rows)
    return made


def _changed(row: Row, change: Change, rows: Rows) -> Any:
    field = change.field
    if isinstance(change, Assign):
        value = _computed(change.expression, change, row, rows)
        # A literal passed the field's own validation when the change was made.
        return value if isinstance(change.expression, Constant) else _within_bounds(value, change)
    assert isinstance(change, Append)
    assert field.type.element is not None
    elements: list[Any] | None = row[field.stored]
    element = encode(change.value, field.type.element)
    if isinstance(change, Remove):
        return None if elements is None else [item for item in elements if not same(item, element)]
    longer = [*(elements or ()), element]
    if field.type.max_length is not None and len(longer) > field.type.max_length:
        raise out_of_range(change.root.name, change.field.name)
    return longer


def _computed(expression: Expression, change: Change, row: Row, rows: Rows) -> Any:
    match expression:
        case Constant():
            return encode(expression.value, expression.type)
        case FieldValue():
            return value_of(expression.path)(row, rows)
        case Arithmetic():
            left = _computed(expression.left, change, row, rows)
            right = _computed(expression.right, change, row, rows)
            if left is None or right is None:
                return None
            operate = {"add": operator.add, "sub": operator.sub, "mul": operator.mul}[expression.op]
            with localcontext(_EXACT):
                return _on_the_way(operate(left, right), expression.type, change)
        case _:
            raise AssertionError(type(expression))


def _on_the_way(value: Any, type: ValueType, change: Change) -> Any:
    """Return a result of arithmetic in canonical form; it must fit into 64 bits, a Decimal as the scaled int."""
    if type.kind is Kind.FLOAT:
        if not math.isfinite(value):
            raise out_of_range(change.root.name, change.field.name)
        return value + 0.0
    scaled = int(value * type.scale) if type.kind is Kind.DECIMAL else value
    if not INT_MIN <= scaled <= INT_MAX:
        raise out_of_range(change.root.name, change.field.name)
    return Decimal(scaled).scaleb(-type.decimal_places) if type.kind is Kind.DECIMAL else value


def _within_bounds(value: Any, change: Change) -> Any:
    field = change.field
    if value is None:
        if not field.type.nullable:
            raise out_of_range(change.root.name, change.field.name)
        return None
    if field.type.kind is Kind.DECIMAL:
        value = Decimal(value).quantize(Decimal(1).scaleb(-field.type.decimal_places), context=_EXACT)
    if field.type.kind.is_number:
        low, high = field.type.bounds
        if not low <= value <= high:
            raise out_of_range(change.root.name, change.field.name)
    return value


# -- groups ------------------------------------------------------------------------------------------------------------


def grouped(group: GroupSpec, rows: Iterable[Row], reach: Rows) -> list[dict[str, Any]]:
    """Return one row of results, by stored names, for each combination of keys; in no order.

    Null is a key like any other. Without keys there is exactly one row, even over nothing.
    """
    keys = [_key_of(key) for key in group.keys]
    members: dict[tuple[Any, ...], list[Row]] = {} if keys else {(): []}
    for row in rows:
        members.setdefault(tuple(key(row, reach) for key in keys), []).append(row)
    results: list[dict[str, Any]] = []
    for found, mine in members.items():
        result = {key.field.stored: value for key, value in zip(group.keys, found, strict=True)}
        for aggregate in group.aggregates:
            result[aggregate.field.stored] = _figure(aggregate, mine, reach)
        results.append(result)
    return results


def _key_of(key: GroupKey) -> Callable[[Row, Rows], Any]:
    value = value_of(key.path)
    if key.period is None:
        return value

    def start(row: Row, rows: Rows) -> date | None:
        at: datetime | date | None = value(row, rows)
        if at is None:
            return None
        return date(at.year, 1 if key.period == "year" else at.month, at.day if key.period == "day" else 1)

    return start


def _figure(aggregate: Aggregate, rows: list[Row], reach: Rows) -> Any:
    if aggregate.path is None:
        return len(rows)
    value = value_of(aggregate.path)
    values = [v for v in (value(row, reach) for row in rows) if v is not None]
    match aggregate.function:
        case "count":
            return len(values)
        case "count_distinct":
            return len(set(values))
        case "sum":
            return _sum(values, aggregate.path.type)
        case "avg":
            return _average(values, aggregate.path.type) if values else None
        case "min":
            return min(values, default=None)
        case "max":
            return max(values, default=None)


def _sum(values: list[Any], type: ValueType) -> Any:
    """Return the sum, exact at any size for int and Decimal; of nothing it is 0."""
    if type.kind is Kind.FLOAT:
        return _float_sum(values)
    if type.kind is Kind.DECIMAL:
        total = sum(_scaled(value, type) for value in values)
        return _unscaled(total, type)
    return sum(values)


def _average(values: list[Any], type: ValueType) -> Any:
    """Return the mean: of int and Decimal a Decimal, half-even at the type's places + 6."""
    if type.kind is Kind.FLOAT:
        return _float_sum(values) / len(values) + 0.0
    places = type.decimal_places if type.kind is Kind.DECIMAL else 0
    return exact_average(Decimal(_sum(values, type)), len(values), places + 6)


def _float_sum(values: list[float]) -> float:
    try:
        return math.fsum(values) + 0.0
    except OverflowError as error:
        raise OutOfRange("the sum of a float field is beyond what a float holds") from error


def _scaled(value: Decimal, type: ValueType) -> int:
    with localcontext(_EXACT):
        return int(value.scaleb(type.decimal_places))


def _unscaled(total: int, type: ValueType) -> Decimal:
    with localcontext(_EXACT) as context:
        context.prec = max(context.prec, len(str(total)))
        return Decimal(total).scaleb(-type.decimal_places)
