"""Numbers that the store computes from the row as it is: `Account.balance - amount`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Generic, Literal, NoReturn, TypeVar, overload

from . import query
from .errors import InvalidInput
from .spec import EntitySpec
from .values import Kind, ValueType, check_value

__all__ = ["Computed", "Operand", "type_name"]

T_co = TypeVar("T_co", covariant=True)
N = TypeVar("N", int, float, Decimal)
"""A number."""
B = TypeVar("B", int, float)
"""A number whose product keeps its type."""


class Operand(Generic[T_co]):
    """What an expression is made of: a field, or another expression."""

    __slots__ = ()

    def __dbkit_terms__(self) -> tuple[EntitySpec, query.Expression]:
        """Return the entity whose row it is about, and the expression."""
        raise NotImplementedError  # FieldRef and Computed say it; here it stands for the checker

    # What is never None first: covariance lets the last overload take the others too.
    @overload
    def __add__(self: Operand[int], other: int | Operand[int], /) -> Computed[int]: ...
    @overload
    def __add__(self: Operand[float], other: float | Operand[float], /) -> Computed[float]: ...
    @overload
    def __add__(self: Operand[Decimal], other: Decimal | int | Operand[Decimal], /) -> Computed[Decimal]: ...
    @overload
    def __add__(self: Operand[N | None], other: N | int | Operand[N | None], /) -> Computed[N | None]: ...
    def __add__(self, other: Any, /) -> Computed[Any]:
        return _combine("add", self, other)

    @overload
    def __radd__(self: Operand[int], other: int, /) -> Computed[int]: ...
    @overload
    def __radd__(self: Operand[float], other: float, /) -> Computed[float]: ...
    @overload
    def __radd__(self: Operand[Decimal], other: Decimal | int, /) -> Computed[Decimal]: ...
    @overload
    def __radd__(self: Operand[N | None], other: N | int, /) -> Computed[N | None]: ...
    def __radd__(self, other: Any, /) -> Computed[Any]:
        return _combine("add", other, self)

    @overload
    def __sub__(self: Operand[int], other: int | Operand[int], /) -> Computed[int]: ...
    @overload
    def __sub__(self: Operand[float], other: float | Operand[float], /) -> Computed[float]: ...
    @overload
    def __sub__(self: Operand[Decimal], other: Decimal | int | Operand[Decimal], /) -> Computed[Decimal]: ...
    @overload
    def __sub__(self: Operand[N | None], other: N | int | Operand[N | None], /) -> Computed[N | None]: ...
    def __sub__(self, other: Any, /) -> Computed[Any]:
        return _combine("sub", self, other)

    @overload
    def __rsub__(self: Operand[int], other: int, /) -> Computed[int]: ...
    @overload
    def __rsub__(self: Operand[float], other: float, /) -> Computed[float]: ...
    @overload
    def __rsub__(self: Operand[Decimal], other: Decimal | int, /) -> Computed[Decimal]: ...
    @overload
    def __rsub__(self: Operand[N | None], other: N | int, /) -> Computed[N | None]: ...
    def __rsub__(self, other: Any, /) -> Computed[Any]:
        return _combine("sub", other, self)

    @overload
    def __mul__(self: Operand[int], other: int | Operand[int], /) -> Computed[int]: ...
    @overload
    def __mul__(self: Operand[float], other: float | Operand[float], /) -> Computed[float]: ...
    @overload
    def __mul__(self: Operand[Decimal], other: int | Operand[int], /) -> Computed[Decimal]: ...
    @overload
    def __mul__(self: Operand[int], other: Operand[Decimal], /) -> Computed[Decimal]: ...
    @overload
    # What both take is always None.
    def __mul__(  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
        self: Operand[B | None], other: B | int | Operand[B | None], /
    ) -> Computed[B | None]: ...
    @overload
    def __mul__(
        self: Operand[Decimal | None], other: int | Operand[int | None], /
    ) -> Computed[Decimal | None]: ...
    def __mul__(self, other: Any, /) -> Computed[Any]:
        return _combine("mul", self, other)

    @overload
    def __rmul__(self: Operand[int], other: int, /) -> Computed[int]: ...
    @overload
    def __rmul__(self: Operand[float], other: float, /) -> Computed[float]: ...
    @overload
    def __rmul__(self: Operand[Decimal], other: int, /) -> Computed[Decimal]: ...
    @overload
    # What both take is always None.
    def __rmul__(  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
        self: Operand[B | None], other: B | int, /
    ) -> Computed[B | None]: ...
    @overload
    def __rmul__(self: Operand[Decimal | None], other: int, /) -> Computed[Decimal | None]: ...
    def __rmul__(self, other: Any, /) -> Computed[Any]:
        return _combine("mul", other, self)


class Computed(Operand[T_co]):
    """A number that the store computes from the row as it is: `Account.balance - amount`."""

    __slots__ = ("expression", "root")

    def __init__(self, root: EntitySpec, expression: query.Expression) -> None:
        self.root, self.expression = root, expression

    def __dbkit_terms__(self) -> tuple[EntitySpec, query.Expression]:
        return self.root, self.expression

    def __eq__(self, other: object) -> NoReturn:
        raise InvalidInput(
            "an expression cannot be compared", hint="it is for .set(…); compare the field itself"
        )

    __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __eq__
    __hash__ = object.__hash__


_NUMBERS: dict[tuple[Kind, int, bool], ValueType] = {}


def _number(kind: Kind, places: int = 0, nullable: bool = False) -> ValueType:
    """Return the type of a number on the way, without bounds."""
    found = _NUMBERS.get((kind, places, nullable))
    if found is None:
        found = _NUMBERS[kind, places, nullable] = ValueType(kind, nullable=nullable, decimal_places=places)
    return found


def type_name(type: ValueType) -> str:
    """Return what a message calls a number's type."""
    return (
        f"a Decimal with {type.decimal_places} places"
        if type.kind is Kind.DECIMAL
        else f"type {type.kind.value}"
    )


def _combine(op: Literal["add", "sub", "mul"], left: Any, right: Any) -> Computed[Any]:
    known = [side.__dbkit_terms__() if isinstance(side, Operand) else None for side in (left, right)]
    roots = {found[0].token: found[0] for found in known if found is not None}
    if len(roots) > 1:
        names = " and ".join(root.name for root in roots.values())
        raise InvalidInput(f"an expression cannot join fields of {names}", hint="only fields of the same row")
    (root,) = roots.values()
    sides: list[query.Expression] = []
    for value, found, other in zip((left, right), known, reversed(known), strict=True):
        if found is not None:
            sides.append(found[1])
        else:
            assert other is not None
            sides.append(_literal(op, value, other[1], root))
    a, b = sides[0].type, sides[1].type
    nullable = a.nullable or b.nullable
    kinds = {a.kind, b.kind}
    made: ValueType | None = None
    if kinds == {Kind.INT}:
        made = _number(Kind.INT, nullable=nullable)
    elif Kind.FLOAT in kinds and Kind.DECIMAL not in kinds:
        made = _number(Kind.FLOAT, nullable=nullable)
    elif kinds == {Kind.DECIMAL} and op != "mul" and a.decimal_places == b.decimal_places:
        made = _number(Kind.DECIMAL, a.decimal_places, nullable)
    elif kinds == {Kind.DECIMAL, Kind.INT} and op == "mul":
        made = _number(Kind.DECIMAL, max(a.decimal_places, b.decimal_places), nullable)
    if made is None:
        raise InvalidInput(
            f"{root.name}: {type_name(a)} and {type_name(b)} do not go together here",
            entity=root.name,
            hint="int with int, float with int or float, Decimal + and - of the same places, Decimal times int",
        )
    return Computed(root, query.Arithmetic(op, sides[0], sides[1], made))


def _literal(op: str, value: Any, beside: query.Expression, root: EntitySpec) -> query.Constant:
    """Return the constant beside an operand."""
    kind = beside.type.kind
    if kind is Kind.DECIMAL and op == "mul":
        kind = Kind.INT
    type_ = _number(kind, beside.type.decimal_places if kind is Kind.DECIMAL else 0)
    if kind is Kind.INT and type(value) is float and beside.type.kind is Kind.INT:
        type_ = _number(Kind.FLOAT)
    checked = check_value(type_.operand, value, entity=root.name, field=_first_field(beside) or "expression")
    return query.Constant(checked, type_)


def _first_field(expression: query.Expression) -> str | None:
    """Return the name of the first field in it: what an error about a constant beside it names."""
    if isinstance(expression, query.Arithmetic):
        return _first_field(expression.left) or _first_field(expression.right)
    return expression.path.field.name if isinstance(expression, query.FieldValue) else None
