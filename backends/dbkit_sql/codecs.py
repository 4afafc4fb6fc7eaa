"""From canonical Python values to what JSON holds, and back: how nested models, dicts and lists are stored.

JSON has too few types, so each kind has one form in it whose own order and equality are those of the value: a UUID is 32
hexadecimal digits, a datetime its integer milliseconds, a Decimal its scaled integer, a date ISO text, times and
durations integer microseconds, bytes hexadecimal digits. A store can then compare what it extracts, without knowing
more than the leaf's kind.

A codec is a function, or None where the value is left as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal
from operator import attrgetter
from typing import Any, TypeGuard
from uuid import UUID

from pydantic_core import from_json

from dbkit.objectid import ObjectId
from dbkit.values import INT_MAX, INT_MIN, Kind, ValueType

__all__ = [
    "EPOCH",
    "MILLISECOND",
    "Codec",
    "chain",
    "from_milliseconds",
    "from_scaled",
    "from_time_microseconds",
    "is_dict",
    "is_list",
    "json_decoder",
    "json_encoder",
    "json_loads",
    "json_text",
    "json_text_decoder",
    "json_text_encoder",
    "leaf_value",
    "optional",
    "to_milliseconds",
    "to_scaled",
    "to_time_microseconds",
]

Codec = Callable[[Any], Any] | None

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
_MICROSECOND = timedelta(microseconds=1)
# Scaling is exact only when the context is: a program may have set its own to five digits.
_EXACT = Context(prec=60)


def chain(first: Codec, second: Codec) -> Codec:
    """Return the codec that does *first*, then *second*."""
    if first is None or second is None:
        return first or second
    return lambda value: second(first(value))


def optional(codec: Codec) -> Codec:
    """Return *codec* that leaves None alone."""
    return None if codec is None else lambda value: None if value is None else codec(value)


# -- scalars -----------------------------------------------------------------------------------------------------------


def to_milliseconds(value: datetime) -> int:
    """Return the milliseconds since 1970; canonical datetimes have no smaller part."""
    return (value - EPOCH) // MILLISECOND


def from_milliseconds(value: int) -> datetime:
    """Return the datetime, in UTC. By a timedelta: `fromtimestamp` takes a float, which is too coarse after 2242."""
    # Exact, and half the time of timedelta(milliseconds=value): each row of a page has two of them.
    return EPOCH + value * MILLISECOND


def to_time_microseconds(value: time) -> int:
    """Return the microseconds since midnight."""
    return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond


def from_time_microseconds(value: int) -> time:
    """Return the time of day."""
    seconds, microsecond = divmod(value, 1_000_000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return time(hour, minute, second, microsecond)


def to_microseconds(value: timedelta) -> int:
    """Return the duration in microseconds."""
    return value // _MICROSECOND


def from_microseconds(value: int) -> timedelta:
    """Return the duration."""
    return timedelta(microseconds=value)


def to_scaled(places: int) -> Callable[[Any], int]:
    """Return the function that makes a Decimal (or an int) of *places* decimal places an int."""
    if places == 0:
        return int
    return lambda value: int(Decimal(value).scaleb(places, _EXACT))


def from_scaled(places: int) -> Callable[[int], Decimal]:
    """Return the function that makes an int a Decimal with exactly *places* decimal places."""
    if places == 0:
        return Decimal
    return lambda value: Decimal(value).scaleb(-places, _EXACT)


def _enum_value(value: Any) -> Any:
    return value.value


# -- leaves of JSON ----------------------------------------------------------------------------------------------------

_ENCODE: dict[Kind, Callable[[Any], Any]] = {
    Kind.UUID: attrgetter("hex"),
    Kind.OBJECT_ID: str,
    Kind.DATETIME: to_milliseconds,
    Kind.DATE: date.isoformat,
    Kind.TIME: to_time_microseconds,
    Kind.TIMEDELTA: to_microseconds,
    Kind.BYTES: bytes.hex,
}
_DECODE: dict[Kind, Callable[[Any], Any]] = {
    Kind.DATETIME: from_milliseconds,
    Kind.DATE: date.fromisoformat,
    Kind.TIME: from_time_microseconds,
    Kind.TIMEDELTA: from_microseconds,
    Kind.BYTES: bytes.fromhex,
}


def json_encoder(type: ValueType) -> Codec:
    """Return what makes a canonical value (never None) JSON data."""
    if type.enum is not None:
        return _enum_value
    if type.kind is Kind.DECIMAL:
        return to_scaled(type.decimal_places)
    if type.kind is Kind.MODEL:
        return _model_encoder(type)
    if type.kind in (Kind.LIST, Kind.DICT):
        assert type.element is not None
        each = optional(json_encoder(type.element))
        if each is None:
            return None
        if type.kind is Kind.LIST:
            return lambda items: [each(item) for item in items]
        return lambda items: {key: each(item) for key, item in items.items()}
    return _ENCODE.get(type.kind)


def _model_encoder(type: ValueType) -> Callable[[Any], dict[str, Any]]:
    assert type.model is not None
    fields = [(f.name, f.stored, optional(json_encoder(f.type))) for f in type.model.fields]

    def encode(instance: Any) -> dict[str, Any]:
        values = instance.__dict__
        return {
            stored: values[name] if codec is None else codec(values[name]) for name, stored, codec in fields
        }

    return encode


def json_decoder(type: ValueType) -> Codec:
    """Return what makes JSON data (never None) a value that the read schema takes; may change the data in place."""
    if type.choices is not None:
        return None
    if type.kind is Kind.DECIMAL:
        return from_scaled(type.decimal_places)
    if type.kind is Kind.MODEL:
        assert type.model is not None
        fields = [(f.stored, codec) for f in type.model.fields if (codec := json_decoder(f.type)) is not None]
        return _in_place(fields) if fields else None
    if type.kind in (Kind.LIST, Kind.DICT):
        assert type.element is not None
        each = optional(json_decoder(type.element))
        if each is None:
            return None
        if type.kind is Kind.LIST:
            return lambda items: [each(item) for item in items]
        return lambda items: {key: each(item) for key, item in items.items()}
    return _DECODE.get(type.kind)


def _in_place(fields: list[tuple[str, Callable[[Any], Any]]]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def decode(values: dict[str, Any]) -> dict[str, Any]:
        for stored, codec in fields:
            value = values.get(stored)
            if value is not None:
                values[stored] = codec(value)
        return values

    return decode


def leaf_value(type: ValueType) -> Codec:
    """Return what makes an extracted JSON leaf (never None) the canonical value itself."""
    if type.kind is Kind.UUID:
        return UUID
    if type.kind is Kind.OBJECT_ID:
        return ObjectId
    if type.kind is Kind.BOOL:
        return bool
    return json_decoder(type)


# -- text --------------------------------------------------------------------------------------------------------------

_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_FLOAT_WITHOUT_DIGITS = re.compile(r"e\+1[678]")
_LONG_INT = re.compile(rb"[0-9]{19}")


def json_text(value: Any) -> str:
    """Return the JSON text of data.

    Floats that are whole and fit into 64 bits are written by their digits: PostgreSQL reads a number of JSON as decimal,
    and 1.152921504606847e+18 would not equal 1152921504606846976, which it is.
    """
    text = _dumps(value)
    return _dumps(_with_digits(value)) if _FLOAT_WITHOUT_DIGITS.search(text) else text


def is_dict(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether JSON data is a dict."""
    return isinstance(value, dict)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Whether JSON data is a list."""
    return isinstance(value, list)


def _with_digits(value: Any) -> Any:
    if type(value) is float and abs(value) >= 1e16 and INT_MIN <= value <= INT_MAX:
        return int(value)
    if is_list(value):
        return [_with_digits(item) for item in value]
    if is_dict(value):
        return {key: _with_digits(item) for key, item in value.items()}
    return value


def json_text_encoder(type: ValueType) -> Callable[[Any], str]:
    """Return what makes a value (never None) JSON text."""
    encode = json_encoder(type)
    return json_text if encode is None else lambda value: json_text(encode(value))


def json_loads(text: str | bytes) -> Any:
    """Return the data of JSON text; ints beyond 64 bits become floats.

    PostgreSQL gives 1e300 back by its digits; what dbkit stored as an int fits into 64 bits.
    """
    raw = text.encode() if isinstance(text, str) else text
    return json.loads(raw, parse_int=_int_or_float) if _LONG_INT.search(raw) else from_json(raw)


def _int_or_float(digits: str) -> int | float:
    value = int(digits)
    return value if INT_MIN <= value <= INT_MAX else float(digits)


def json_text_decoder(type: ValueType) -> Callable[[str], Any]:
    """Return what makes JSON text (never None) a value that the read schema takes."""
    decode = json_decoder(type)
    return json_loads if decode is None else lambda text: decode(json_loads(text))
