"""What a write does to a document: the update document or pipeline, and the ranges that its filter must hold. Pure.

Changes become classic operators (`$set`, `$inc`, `$push`, `$pull`) where those say the same, else one `$set` stage of an
update pipeline, which sees the document as it was. The range that a computed value must keep stands in the filter, so a
document that would leave it is not matched and stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, cast

from bson.decimal128 import Decimal128
from bson.int64 import Int64

from dbkit.errors import Unsupported
from dbkit.query import (
    Append,
    Arithmetic,
    Assign,
    Change,
    Constant,
    Expression,
    FieldValue,
    Remove,
    Slot,
)
from dbkit.spec import FieldSpec
from dbkit.values import INT_MAX, INT_MIN, Kind, ValueType

from .compile import Condition, Level, bson_types, hole
from .rows import Codec, key_of
from .templates import Fixed, Hole

__all__ = ["COMPUTED", "Changes", "Parents", "assigned", "compile_changes"]

Parents = tuple[tuple[FieldSpec, int], ...]
"""The checked references that a write sets: the field, and which bind is the parent's id."""


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """What a write does to a document."""

    update: Any
    """The template of the update document or pipeline."""
    ranges: dict[str, list[Condition]]
    """What must hold of the document so that every computed value stays in its bounds, by field."""
    parents: Parents


def compile_changes(changes: Sequence[Change], level: Level) -> Changes:
    """Compile the changes of one write."""
    ranges: dict[str, list[Condition]] = {}
    parents = tuple(_parents(changes))
    classic: dict[str, dict[str, Any]] = {}
    for change in changes:
        operator = _classic(change, level, ranges.setdefault(change.field.name, []))
        if operator is None:
            break
        classic.setdefault(operator[0], {})[key_of(change.field)] = operator[1]
    else:
        return Changes(classic, _kept(ranges), parents)
    if level.codec.is_mongomock:
        raise Unsupported(
            "this change needs 'computed_changes', which mongomock does not have: no update pipelines, so a number "
            "plus a constant is all",
            hint="use a MongoDB server, or memory:// in tests",
        )
    ranges = {change.field.name: [] for change in changes}
    stage = {key_of(change.field): _staged(change, level, ranges[change.field.name]) for change in changes}
    return Changes([{"$set": stage}], _kept(ranges), parents)


def _kept(ranges: dict[str, list[Condition]]) -> dict[str, list[Condition]]:
    return {name: conditions for name, conditions in ranges.items() if conditions}


def _parents(changes: Sequence[Change]) -> list[tuple[FieldSpec, int]]:
    found: list[tuple[FieldSpec, int]] = []
    for change in changes:
        reference = change.field.reference
        if reference is None or not reference.check or not isinstance(change, Assign):
            continue
        assert isinstance(change.expression, Constant)
        slot = change.expression.value
        assert isinstance(slot, Slot)
        found.append((change.field, slot.index))
    return found


def _nullable(slot: Any, type: ValueType, codec: Codec) -> Hole:
    assert isinstance(slot, Slot)
    return Hole(slot.index, encode=codec.encoder(type), nullable=True)


def _classic(change: Change, level: Level, ranges: list[Condition]) -> tuple[str, Any] | None:
    """Return the operator and its operand that make the change, or None where no operator does."""
    type, codec = change.field.type, level.codec
    if isinstance(change, Remove):
        element = type.element
        assert element is not None
        # On null it fails, and it takes 1 for 1.0.
        if type.nullable or element.kind is Kind.JSON:
            return None
        return "$pull", hole(change.value, codec.encoder(element))
    if isinstance(change, Append):
        assert type.element is not None
        if type.nullable:
            return None
        _keep_length(change, ranges)
        return "$push", _nullable(change.value, type.element, codec)
    assert isinstance(change, Assign)
    expression = change.expression
    if isinstance(expression, Constant):
        return "$set", _nullable(expression.value, expression.type, codec)
    return _increment(change, codec, ranges)


class Step(NamedTuple):
    """A number that becomes itself plus or minus a constant."""

    slot: Slot
    sign: int
    encode: Callable[[Any], Any]


def _step(change: Assign, codec: Codec) -> Step | None:
    expression, field = change.expression, change.field
    if not isinstance(expression, Arithmetic) or field.type.nullable or field.type.kind is Kind.FLOAT:
        return None
    left, right, op = expression.left, expression.right, expression.op
    if op == "add" and isinstance(left, Constant):
        left, right = right, left
    is_own = isinstance(left, FieldValue) and left.path.is_own_field and left.path.field is field
    if not is_own or not isinstance(right, Constant) or op == "mul":
        return None
    assert isinstance(right.value, Slot)
    encode = codec.encoder(field.type)
    assert encode is not None
    return Step(right.value, -1 if op == "sub" else 1, encode)


def _step_range(change: Assign, step: Step) -> Condition:
    """Return the range of the field as it is: none of the server's arithmetic, which an index could not serve."""
    low, high = change.field.type.bounds
    sign, bound = step.sign, _int_bound if change.field.type.kind is Kind.INT else step.encode

    def least(amount: Any) -> Any:
        return bound(low - sign * amount)

    def most(amount: Any) -> Any:
        return bound(high - sign * amount)

    index = step.slot.index
    return {key_of(change.field): {"$gte": Hole(index, encode=least), "$lte": Hole(index, encode=most)}}


def _increment(change: Assign, codec: Codec, ranges: list[Condition]) -> tuple[str, Any] | None:
    """Return `$inc` where the field becomes itself plus a constant."""
    step = _step(change, codec)
    if step is None:
        return None
    sign, encode = step.sign, step.encode
    if sign < 0 and change.field.type.kind is Kind.INT and not codec.is_mongomock:
        return None  # minus the least int is no int

    def added(amount: Any) -> Any:
        return encode(sign * amount)

    ranges.append(_step_range(change, step))
    return "$inc", Hole(step.slot.index, encode=added)


def _int_bound(value: int) -> Int64 | float:
    # Beyond 64 bits a double does: what is compared with it lies on one side anyway.
    return Int64(value) if INT_MIN <= value <= INT_MAX else float(value)


def _keep_length(change: Append, ranges: list[Condition]) -> None:
    longest = change.field.type.max_length
    if longest is not None:
        ranges.append({f"{key_of(change.field)}.{max(0, longest - 1)}": {"$exists": False}})


def _staged(change: Change, level: Level, ranges: list[Condition]) -> Any:
    """Return the expression of the field's new value, for a `$set` stage."""
    type, place, codec = change.field.type, f"${key_of(change.field)}", level.codec
    if isinstance(change, Remove):
        assert type.element is not None
        equal: Any = {"$eq": ["$$this", {"$literal": hole(change.value, codec.encoder(type.element))}]}
        if type.element.kind is Kind.JSON:
            assert isinstance(change.value, Slot)
            kinds = hole(change.value, bson_types)
            equal = {"$and": [equal, {"$in": [{"$type": "$$this"}, kinds]}]}
        return {"$filter": {"input": place, "cond": {"$not": [equal]}}}
    if isinstance(change, Append):
        assert type.element is not None
        _keep_length(change, ranges)
        added = [_nullable(change.value, type.element, codec)]
        nothing: list[Any] = []
        return {"$concatArrays": [{"$ifNull": [place, nothing]}, {"$literal": added}]}
    assert isinstance(change, Assign)
    expression = change.expression
    if isinstance(expression, Constant):
        return {"$literal": _nullable(expression.value, expression.type, codec)}
    step = _step(change, codec)
    if step is not None:
        ranges.append(_step_range(change, step))
        operator = "$subtract" if step.sign < 0 else "$add"
        return {operator: [place, Hole(step.slot.index, encode=step.encode)]}
    checks: list[tuple[Any, Any, Any]] = []
    value = _number(expression, level, checks, is_result=True)
    low, high = type.bounds
    checks.append((value, low, high))
    for tree, least, most in checks:
        inside = {"$and": [{"$gte": [tree, _bound(least)]}, {"$lte": [tree, _bound(most)]}]}
        # Null operands give null, which is stored; null, or nothing, is not above null.
        null = {"$lte": [tree, None]}
        ranges.append({"$expr": {"$or": [null, inside]} if expression.type.nullable else inside})
    if type.kind is Kind.INT:
        return {"$toLong": value}
    # −0 + 0 is 0.
    return {"$add": [value, Fixed(_bound(0.0 if type.kind is Kind.FLOAT else Decimal(0)))]}


def _bound(value: Any) -> Any:
    return value if isinstance(value, float) else Decimal128(Decimal(value))


def _number(
    expression: Expression, level: Level, checks: list[tuple[Any, Any, Any]], *, is_result: bool = False
) -> Any:
    """Return the expression for the server, ints as Decimal128: exact where a long would become a double.

    Every result on the way must fit into 64 bits, a decimal as its scaled int. Decimal128 has 34 digits: of what is
    within the bounds none is lost, and what is outside stays outside.
    """
    type = expression.type
    if isinstance(expression, Constant):
        assert isinstance(expression.value, Slot)
        return Hole(expression.value.index, encode=_operand(type), nullable=True)
    if isinstance(expression, FieldValue):
        place = f"${level.place(expression.path)}"
        return {"$toDecimal": place} if type.kind is Kind.INT else place
    assert isinstance(expression, Arithmetic)
    sides = [_number(side, level, checks) for side in (expression.left, expression.right)]
    tree = {_ARITHMETIC[expression.op]: sides}
    if type.kind is not Kind.FLOAT and not is_result:
        scale = Decimal(type.scale)
        checks.append((tree, Decimal(INT_MIN) / scale, Decimal(INT_MAX) / scale))
    return tree


_ARITHMETIC = {"add": "$add", "sub": "$subtract", "mul": "$multiply"}


def _operand(type: ValueType) -> Callable[[Any], Any]:
    if type.kind is Kind.FLOAT:
        return float
    return lambda value: Decimal128(Decimal(value))


COMPUTED = object()
"""What a key is set to where only the server knows the value."""


def assigned(update: Any) -> dict[str, Any]:
    """Return the keys that an update sets in a document that is there, with their values."""
    if isinstance(update, list):
        stage: dict[str, Any] = cast("Any", update)[0]["$set"]
        return {
            key: value["$literal"] if isinstance(value, dict) and "$literal" in value else COMPUTED
            for key, value in stage.items()
        }
    made: dict[str, Any] = {}
    for operator, fields in update.items():
        if operator == "$set":
            made |= fields
        elif operator != "$setOnInsert":
            made |= dict.fromkeys(fields, COMPUTED)
    return made
