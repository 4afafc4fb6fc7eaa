"""What a dialect must answer. Everything that one spells differently from another is here, and nowhere else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import Dialect as SaDialect
from sqlalchemy.sql.elements import ColumnElement

from dbkit.query import Slot
from dbkit.spec import FieldSpec
from dbkit.values import Kind, ValueType

from ..binds import Binds
from ..codecs import Codec

__all__ = ["Dialect", "Expr", "JsonClass", "Place", "literal"]

Expr = ColumnElement[Any]
JsonClass = Literal["bool", "number", "text"]


@dataclass(frozen=True, slots=True)
class Place:
    """A value that can be compared and sorted by, and how a value that is compared with it is encoded."""

    expr: Expr
    encode: Codec
    nullable: bool
    cast: str = ""
    """The name of its type, where the dialect needs it for arrays."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number on the way to a field's new value; *guards* hold where it has left its range."""

    expr: Expr
    guards: tuple[Expr, ...] = ()


def literal(text: str) -> Expr:
    """Return SQL text as an expression; of our own making, or names from the declaration, never a value."""
    return sa.literal_column(text)


class Dialect(ABC):
    """One dialect of SQL, as one server speaks it.

    Attributes:
        core: SQLAlchemy's dialect; only its compiler is used.
        insertion: SQLAlchemy's INSERT that knows ON CONFLICT.
        max_name_bytes: the longest name of a constraint or index.
        updates_in_cte: whether WITH may hold an UPDATE or a DELETE.
        scaled_sums: whether a column's Decimals are summed as scaled ints.
        has_lateral: whether a FROM may depend on what stands before it, and arrays are a table.
        limits_branches: whether each branch of a UNION ALL is sorted and cut off by itself, to be read lazily.
        has_schemas: whether a table's name may have a schema's before it; else the dot is part of the name.
        alters_constraints: whether a table's references can be added once all tables are there.
    """

    name: ClassVar[str]
    core: SaDialect
    insertion: ClassVar[Any]
    max_name_bytes: ClassVar[int]
    updates_in_cte: ClassVar[bool]
    scaled_sums: ClassVar[bool]
    has_lateral: ClassVar[bool]
    limits_branches: ClassVar[bool]
    has_schemas: ClassVar[bool]
    alters_constraints: ClassVar[bool]

    # -- storing -------------------------------------------------------------------------------------------------------

    @abstractmethod
    def column_type(self, type: ValueType) -> str:
        """Return the column's type."""

    @abstractmethod
    def checks(self, column: str, type: ValueType) -> list[str]:
        """Return what a stored value must meet, null aside; *column* is its quoted name."""

    def copy_type(self, type: ValueType) -> str:
        """Return the name of the column's type for COPY."""
        return self.array_type(type)

    @abstractmethod
    def octets(self, column: str, type: ValueType) -> str:
        """Return the expression for the size in bytes of a value without a declared length."""

    @abstractmethod
    def encoder(self, type: ValueType) -> Codec:
        """Return what makes a canonical value (never None) one for the column."""

    @abstractmethod
    def decoder(self, type: ValueType) -> Codec:
        """Return what makes a column's value (never None) one that the read schema takes."""

    @abstractmethod
    def canonical(self, type: ValueType) -> Codec:
        """Return what makes a column's value (never None) the canonical value, for cursors."""

    # -- comparing -----------------------------------------------------------------------------------------------------

    def column(self, column: Expr, type: ValueType, *, nullable: bool) -> Place:
        """Return the place of a whole column."""
        return Place(column, self.encoder(type), nullable, self.array_type(type))

    @abstractmethod
    def array_type(self, type: ValueType) -> str:
        """Return the name of the column's type in an array cast."""

    @abstractmethod
    def leaf(self, column: Expr, keys: Sequence[str], type: ValueType) -> Place:
        """Return the place of a scalar inside a JSON column, compared as its type is."""

    @abstractmethod
    def dict_value(self, column: Expr, keys: Sequence[str], json_class: JsonClass) -> Place:
        """Return the place of a dict's value; it is null where the value is of another class."""

    @abstractmethod
    def json_is_null(self, column: Expr, keys: Sequence[str]) -> Expr:
        """Return the condition that nothing, or null, is at the place inside a JSON column."""

    @abstractmethod
    def json_output(self, column: Expr, keys: Sequence[str], type: ValueType) -> Expr:
        """Return the expression for a container inside a JSON column, or for a dict's value."""

    @abstractmethod
    def json_output_decoder(self, type: ValueType) -> Codec:
        """Return the decoder of what `json_output` selects."""

    @abstractmethod
    def among(self, binds: Binds, place: Place, slot: Slot, *, negated: bool) -> Expr:
        """Return the condition that the value is one of the slot's values, or is none of them."""

    @abstractmethod
    def contains(self, text: Expr, needle: Expr) -> Expr:
        """Return the condition that *text* has *needle* in it, by code point."""

    @abstractmethod
    def has(self, binds: Binds, column: Expr, keys: Sequence[str], element: ValueType, slot: Slot) -> Expr:
        """Return the condition that the list has an element equal to the slot's value; null or false without a list."""

    def sort_key(self, expr: Expr, *, descending: bool, nullable: bool) -> Expr:
        """Return the sort key: null first ascending, last descending."""
        del nullable
        return expr.desc() if descending else expr

    # -- groups --------------------------------------------------------------------------------------------------------

    @abstractmethod
    def sum_places(self, expr: Expr, type: ValueType, *, is_leaf: bool) -> list[Place]:
        """Return the places that together are the exact sum of ints or Decimals, the most significant first.

        With *is_leaf* a Decimal is a scaled int, as inside JSON.
        """

    @abstractmethod
    def sum_value(self, raw: Sequence[Any]) -> Any:
        """Return the sum as an int (for Decimals as scaled) or a Decimal, from the values of its places."""

    def extreme(self, function: Literal["min", "max"], expr: Expr, type: ValueType) -> Expr:
        """Return the least or the greatest value of a group."""
        del type
        return sa.func.min(expr) if function == "min" else sa.func.max(expr)

    @abstractmethod
    def moment(self, milliseconds: Expr) -> Expr:
        """Return a datetime inside JSON, which is milliseconds, as a column would hold it."""

    @abstractmethod
    def period(self, expr: Expr, period: Literal["day", "month", "year"]) -> Expr:
        """Return the UTC date at which the period of a datetime starts."""

    # -- changes -------------------------------------------------------------------------------------------------------

    @abstractmethod
    def operand(self, column: Expr, type: ValueType) -> Number:
        """Return a number column as an operand."""

    @abstractmethod
    def as_float(self, number: Number) -> Number:
        """Return an int operand as a float one."""

    @abstractmethod
    def compute(self, op: Literal["add", "sub", "mul"], left: Number, right: Number, kind: Kind) -> Number:
        """Return the result of an operation on operands of one kind (a Decimal may be multiplied by an int)."""

    @abstractmethod
    def result(self, number: Number, type: ValueType) -> Expr:
        """Return what is assigned to a column of *type*: the statement fails where a guard holds."""

    @abstractmethod
    def bound(self, type: ValueType, value: Any) -> str:
        """Return a declared bound as it stands in SQL."""

    @abstractmethod
    def refused(self, expr: Expr, bad: Expr, type: ValueType) -> Expr:
        """Return *expr*; the statement fails where *bad* holds. For tables whose own CHECKs are not dbkit's."""

    def outside(self, expr: Expr, type: ValueType) -> Expr | None:
        """Return the condition that a computed value has left the declared bounds, None where there are none."""
        if type.choices is not None:
            return None
        if type.kind.is_number:
            low, high = (literal(self.bound(type, value)) for value in type.bounds)
            return sa.or_(expr < low, expr > high)
        if type.max_length is None:
            return None
        return self.length(expr, type) > literal(str(type.max_length))

    @abstractmethod
    def length(self, expr: Expr, type: ValueType) -> Expr:
        """Return the length of a text, of bytes or of a list."""

    def number_encoder(self, type: ValueType) -> Codec:
        """Return the encoder of a constant operand."""
        return self.encoder(type)

    @abstractmethod
    def number_type(self, type: ValueType) -> str:
        """Return the name of the type in which arithmetic is done on numbers of *type*."""

    @abstractmethod
    def appended(self, binds: Binds, column: Expr, element: ValueType, slot: Slot) -> Expr:
        """Return the list with one more element; a null list becomes a list of it."""

    @abstractmethod
    def removed(self, binds: Binds, column: Expr, element: ValueType, slot: Slot) -> Expr:
        """Return the list without the elements that equal the slot's value; a null list stays null."""

    # -- schema --------------------------------------------------------------------------------------------------------

    @abstractmethod
    def index_column(self, column: sa.Column[Any], field: FieldSpec) -> Any:
        """Return a column of an index, such that the index has the order of `sort_key`."""

    @abstractmethod
    def noted(self, statements: list[str], table: str, column: str, note: str) -> list[str]:
        """Return a table's statements with a note about a column, both names quoted, that stays in the database."""

    def table_options(self) -> dict[str, Any]:
        """Return what SQLAlchemy's Table is told for this dialect alone: an option of another one would load that one."""
        return {}

    def unique_options(self) -> dict[str, Any]:
        """Return what SQLAlchemy's Index is told for this dialect alone, of a unique one."""
        return {}


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
}
