"""How values of one type become values of another, as a drafted `using=` says it, and what is lost on the way. Pure."""

from __future__ import annotations

from typing import NamedTuple

from ..values import Kind, ValueType

__all__ = ["Conversion", "conversion"]

_TEXTS = frozenset(
    {
        Kind.UUID,
        Kind.OBJECT_ID,
        Kind.INT,
        Kind.FLOAT,
        Kind.DECIMAL,
        Kind.BOOL,
        Kind.DATE,
        Kind.TIME,
        Kind.DATETIME,
    }
)
"""Kinds whose `str()` is a form that others read."""
_PARSED: dict[Kind, str] = {
    Kind.UUID: "UUID",
    Kind.OBJECT_ID: "ObjectId",
    Kind.INT: "int",
    Kind.FLOAT: "float",
    Kind.DECIMAL: "Decimal",
    Kind.DATE: "date.fromisoformat",
    Kind.TIME: "time.fromisoformat",
    Kind.DATETIME: "datetime.fromisoformat",
}
_LOSSES: dict[tuple[Kind, Kind], tuple[str, str]] = {
    (Kind.FLOAT, Kind.INT): ("int", "what stands behind the point"),
    (Kind.DECIMAL, Kind.INT): ("int", "what stands behind the point"),
    (Kind.INT, Kind.FLOAT): ("float", "the last digits of ints beyond 2**53"),
    (Kind.DECIMAL, Kind.FLOAT): ("float", "digits beyond the fifteenth"),
    (Kind.INT, Kind.BOOL): ("bool", "which number it was"),
    (Kind.DATETIME, Kind.DATE): ("lambda value: value.date()", "the time of day"),
}


class Conversion(NamedTuple):
    """How a value is converted."""

    using: str | None
    """The function's source; None: the store's own lossless change."""
    loss: str | None = None
    """What it throws away."""
    note: str | None = None
    """Why a value may fail it."""


def conversion(found: ValueType, wanted: ValueType) -> Conversion | None:
    """Return how a value that is not None is converted; None: nobody but the author can tell."""
    there, here = found.kind, wanted.kind
    if there is here:
        return Conversion(None)
    if wanted.choices is not None:
        return None  # which value becomes which choice
    if (there, here) in _LOSSES:
        return Conversion(*_LOSSES[there, here])
    if (there, here) == (Kind.INT, Kind.DECIMAL):
        return Conversion(None)
    if (there, here) == (Kind.BOOL, Kind.INT):
        return Conversion("int")
    if (there, here) == (Kind.FLOAT, Kind.DECIMAL):
        using = f"lambda value: round(Decimal(repr(value)), {wanted.decimal_places})"
        return Conversion(using, f"what stands behind {wanted.decimal_places} places")
    if here is Kind.TEXT and there in _TEXTS:
        return Conversion("str")
    if there is Kind.TEXT and here in _PARSED:
        return Conversion(_PARSED[here], note=f"a text that is no {here.value} fails it")
    return None
