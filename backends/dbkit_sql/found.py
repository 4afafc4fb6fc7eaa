"""What type a column that is there holds, in dbkit's terms: read from its SQL type and its CHECK."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from dbkit.spec import EntitySpec, FieldSpec
from dbkit.values import INT_MAX, INT_MIN, MAX_DECIMAL_DIGITS, Kind, ValueType

from .schema import Tables

__all__ = ["StoredColumn", "found_form", "found_type"]

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", re.IGNORECASE)
_LAST_MICROSECOND = 86_399_999_999
_ELEMENTS = (
    Kind.TEXT, Kind.INT, Kind.FLOAT, Kind.BOOL, Kind.UUID, Kind.OBJECT_ID, Kind.DATETIME, Kind.DATE, Kind.TIME,
    Kind.TIMEDELTA, Kind.BYTES,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoredColumn:
    """A column as the server's catalogue, or the stored statement, has it."""

    name: str
    type: str
    """In lower case, without collation and NOT NULL."""
    nullable: bool
    checks: tuple[tuple[str, str], ...] = ()
    """The name and the text of each CHECK that is about this column alone."""
    is_sized: bool | None = None
    """Whether the CHECK of a row's size has it; None where that says nothing, as in a table that is not dbkit's."""


def found_type(tables: Tables, entity: EntitySpec, column: StoredColumn) -> ValueType | None:
    """Return the type whose values the column holds; None where its declaration cannot be told from what is there.

    Several types share one SQL type. dbkit's checks tell them apart: a check's name has a digest of the whole declaration,
    so the right candidate is the one that would have been given this name.
    """
    names = {name for name, _ in column.checks}
    own = any(name.startswith("ck_") for name in names)
    candidates = list(_candidates(tables, column))
    for candidate in candidates:
        check = tables.check(entity, FieldSpec(column.name, column.name, candidate))
        if not own if check is None else check[0] in names:
            return candidate
    # A check of dbkit's that no candidate explains is about what a catalogue does not show, such as a nested model.
    return None if own or not candidates or column.is_sized is False else candidates[-1]


def found_form(tables: Tables, column: StoredColumn) -> ValueType | None:
    """Return whether a column holds lists or dicts (nested models among them), where more cannot be told."""
    forms = [c for c in _candidates(tables, column) if c.kind in (Kind.LIST, Kind.DICT)]
    return forms[-1] if forms else None


def _candidates(tables: Tables, column: StoredColumn) -> Iterator[ValueType]:
    texts = [_without_casts(text) for _, text in column.checks]
    numbers = [n for text in texts for n in _NUMBER.findall(_behind_name(text, column.name))]
    make = _POSTGRES if tables.dialect.alters_constraints else _SQLITE
    base = column.type.partition("(")[0].strip()
    if base == "timestamp" and "with time zone" not in column.type:
        return
    for kind in make.get(base, ()):
        yield from _of_kind(kind, column, texts, numbers)


_POSTGRES: dict[str, tuple[Kind, ...]] = {
    "uuid": (Kind.UUID,),
    "text": (Kind.TEXT,),
    "bigint": (Kind.TIME, Kind.TIMEDELTA, Kind.INT),
    "double precision": (Kind.FLOAT,),
    "boolean": (Kind.BOOL,),
    "timestamp": (Kind.DATETIME,),
    "date": (Kind.DATE,),
    "bytea": (Kind.OBJECT_ID, Kind.BYTES),
    "jsonb": (Kind.LIST, Kind.DICT),
    "numeric": (Kind.DECIMAL,),
}
_SQLITE: dict[str, tuple[Kind, ...]] = {
    "blob": (Kind.UUID, Kind.OBJECT_ID, Kind.BYTES),
    "text": (Kind.DATE, Kind.LIST, Kind.DICT, Kind.TEXT),
    "integer": (Kind.BOOL, Kind.DATETIME, Kind.TIME, Kind.TIMEDELTA, Kind.DECIMAL, Kind.INT),
    "real": (Kind.FLOAT,),
}


@cache
def _elements() -> list[ValueType]:
    """Return what a list or a dict may hold, as far as its check's digest can tell: no nested models."""
    made: list[ValueType] = []
    for nullable in (False, True):
        made += [ValueType(kind, nullable) for kind in _ELEMENTS]
        made += [
            ValueType(Kind.DECIMAL, nullable, decimal_places=places)
            for places in range(MAX_DECIMAL_DIGITS + 1)
        ]
    # The last one, as what anything is that nothing else explains.
    return [*made, ValueType(Kind.JSON, nullable=True)]


def _of_kind(kind: Kind, column: StoredColumn, texts: list[str], numbers: list[str]) -> Iterator[ValueType]:
    nullable = column.nullable
    if kind in (Kind.TEXT, Kind.BYTES):
        lengths = [int(n) for n in numbers if n.isdecimal()]
        if lengths:
            yield ValueType(kind, nullable, max_length=lengths[-1])
        # Without a bound of its own, and yet not among the unbounded ones: an Enum's or a Literal's values.
        if column.is_sized is not False:
            yield ValueType(kind, nullable)
    elif kind in (Kind.LIST, Kind.DICT):
        word = "array" if kind is Kind.LIST else "object"
        if any(f"'{word}'" in text for text in texts):
            length = int(numbers[-1]) if kind is Kind.LIST and numbers else None
            for element in _elements():
                yield ValueType(kind, nullable, element=element, max_length=length)
    elif kind is Kind.INT:
        if len(numbers) == 2 and all(n.lstrip("-").isdecimal() for n in numbers):
            low, high = (int(n) for n in numbers)
            yield ValueType(
                kind, nullable, ge=None if low == INT_MIN else low, le=None if high == INT_MAX else high
            )
        yield ValueType(kind, nullable)
    elif kind is Kind.FLOAT:
        yield ValueType(kind, nullable)
        if len(numbers) == 2:
            yield ValueType(kind, nullable, ge=float(numbers[0]), le=float(numbers[1]))
    elif kind is Kind.DECIMAL:
        yield from _decimals(column, numbers)
    elif kind is Kind.TIME:
        if numbers[-1:] == [str(_LAST_MICROSECOND)]:
            yield ValueType(kind, nullable)
    elif kind is Kind.TIMEDELTA:
        if numbers == [str(INT_MAX)]:
            yield ValueType(kind, nullable)
    elif kind in (Kind.BOOL, Kind.DATETIME, Kind.DATE, Kind.UUID, Kind.OBJECT_ID) and (
        numbers or texts or kind in (Kind.UUID, Kind.BOOL, Kind.DATETIME, Kind.DATE)
    ):
        yield ValueType(kind, nullable)


def _decimals(column: StoredColumn, numbers: list[str]) -> Iterator[ValueType]:
    arguments = re.search(r"\((\d+),\s*(\d+)\)", column.type)
    if arguments is not None:
        digits, places = int(arguments[1]), int(arguments[2])
        if digits > MAX_DECIMAL_DIGITS:
            return
        if len(numbers) == 2:
            least, most = Decimal(numbers[0]), Decimal(numbers[1])
            yield ValueType(
                Kind.DECIMAL, column.nullable, max_digits=digits, decimal_places=places, ge=least, le=most
            )
        yield ValueType(Kind.DECIMAL, column.nullable, max_digits=digits, decimal_places=places)
    elif len(numbers) == 2 and all(n.lstrip("-").isdecimal() for n in numbers):
        # Scaled: only the digest in the check's name says by how much.
        low, high = (int(n) for n in numbers)
        for places in range(MAX_DECIMAL_DIGITS + 1):
            if -low == high and str(high) == "9" * len(str(high)) and len(str(high)) >= places:
                yield ValueType(
                    Kind.DECIMAL, column.nullable, max_digits=len(str(high)), decimal_places=places
                )
            else:
                bounds = [Decimal(n).scaleb(-places) for n in (low, high)]
                yield ValueType(
                    Kind.DECIMAL, column.nullable, decimal_places=places, ge=bounds[0], le=bounds[1]
                )


def _without_casts(text: str) -> str:
    return re.sub(r"::[a-z0-9 ]+(?:\(\d+(?:,\d+)?\))?", "", text)


def _behind_name(text: str, column: str) -> str:
    """Return a CHECK's text without names in which digits stand."""
    _, _, condition = text.partition("CHECK")
    return re.sub(rf'"?\b{re.escape(column)}\b"?', "", condition or text)
