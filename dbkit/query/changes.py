"""What happens to a row: assignments, expressions, elements of lists."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from ..spec import EntitySpec, FieldSpec
from ..values import ValueType
from .paths import Path, Shape, Take


class Expression:
    """The new value of a field, computed by the store from the row as it is."""

    __slots__ = ("binds", "shape", "type")

    shape: Shape
    binds: tuple[Any, ...]
    type: ValueType

    def slotted(self, take: Take) -> Expression:
        raise AssertionError(type(self))


class Constant(Expression):
    """A literal, checked and canonical; None is bound like any other (it is no part of the shape)."""

    __slots__ = ("value",)

    def __init__(self, value: Any, type: ValueType) -> None:
        self.value, self.type = value, type
        # Decimals of another scale than the field's (an int factor) are bound by another codec.
        self.shape, self.binds = ("const", type.kind.value, type.decimal_places), (value,)

    def slotted(self, take: Take) -> Expression:
        made = Constant(take(self.value), self.type)
        made.binds = ()
        return made


class FieldValue(Expression):
    """The row's own number, before the change."""

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        self.path, self.type = path, path.type
        self.shape, self.binds = ("value", path.shape), ()

    def slotted(self, take: Take) -> Expression:
        return self


class Arithmetic(Expression):
    """`left op right`, exact for int and Decimal; null where either side is null.

    Every result on the way, not the last alone, must fit: 64 bits for an int, 64 bits of the scaled int for a Decimal.
    """

    __slots__ = ("left", "op", "right")
    Op = Literal["add", "sub", "mul"]

    def __init__(self, op: Op, left: Expression, right: Expression, type: ValueType) -> None:
        self.op: Arithmetic.Op = op
        self.left, self.right, self.type = left, right, type
        self.shape, self.binds = (op, left.shape, right.shape), left.binds + right.binds

    def slotted(self, take: Take) -> Expression:
        return Arithmetic(self.op, self.left.slotted(take), self.right.slotted(take), self.type)


class Change:
    """What happens to one field."""

    __slots__ = ("binds", "field", "root", "shape")

    field: FieldSpec
    root: EntitySpec
    shape: Shape
    binds: tuple[Any, ...]

    def slotted(self, take: Take) -> Change:
        raise AssertionError(type(self))


class Assign(Change):
    """The field becomes the expression's value; a computed one outside the field's bounds is `OutOfRange`."""

    __slots__ = ("expression",)

    def __init__(self, root: EntitySpec, field: FieldSpec, expression: Expression) -> None:
        self.root, self.field, self.expression = root, field, expression
        self.shape, self.binds = ("set", field.token, expression.shape), expression.binds

    def slotted(self, take: Take) -> Change:
        return Assign(self.root, self.field, self.expression.slotted(take))


class Append(Change):
    """The list gets one more element at its end; a null list becomes a list of it."""

    __slots__ = ("value",)
    name: ClassVar[str] = "append"

    def __init__(self, root: EntitySpec, field: FieldSpec, value: Any) -> None:
        self.root, self.field, self.value = root, field, value
        self.shape, self.binds = (self.name, field.token), (value,)

    def slotted(self, take: Take) -> Change:
        made = type(self)(self.root, self.field, take(self.value))
        made.binds = ()
        return made


class Remove(Append):
    """The list loses every element that equals the value; a null list stays null."""

    __slots__ = ()
    name = "remove"
