"""What a value may be: the kinds, their canonical form, and the schemas that check them.

Every value is made canonical before it is compared or stored (SEMANTICS, "Values"): datetimes in UTC and cut to
milliseconds, decimals quantized, no negative zero. So what comes back is what was stored, on every store.

One `ValueType` gives three pydantic-core schemas:

* *write*: strict, with the declared bounds; for rows and for literals in changes;
* *operand*: strict, canonical, without the bounds; for values in filters (`balance >= -5` is a fair question);
* *read*: lax, no user code; for rows that come from the driver.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import ValidationError
from pydantic_core import CoreConfig, CoreSchema, PydanticCustomError, SchemaValidator, core_schema

from .errors import InvalidInput
from .objectid import ObjectId

if TYPE_CHECKING:
    from .spec import ModelSpec

__all__ = [
    "DEFAULT_TEXT_LENGTH",
    "INT_MAX",
    "INT_MIN",
    "MAX_DECIMAL_DIGITS",
    "MAX_JSON_DEPTH",
    "Kind",
    "ValueType",
    "canonical_datetime",
    "canonical_decimal",
    "canonical_float",
    "canonical_text",
    "casefold_key",
    "check_json",
    "check_value",
    "exact_average",
    "explain_validation",
    "own_validator",
    "utc_now",
]

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
MAX_DECIMAL_DIGITS = 18
MAX_JSON_DEPTH = 64
DEFAULT_TEXT_LENGTH = 255
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)


class Kind(StrEnum):
    """How a value is compared and stored."""

    UUID = "uuid"
    OBJECT_ID = "objectid"
    """MongoDB's 12-byte id, `dbkit.ObjectId`."""
    TEXT = "text"
    INT = "int"
    FLOAT = "float"
    DECIMAL = "decimal"
    BOOL = "bool"
    DATETIME = "datetime"
    DATE = "date"
    TIME = "time"
    TIMEDELTA = "timedelta"
    BYTES = "bytes"
    MODEL = "model"
    """A nested `Embedded` model."""
    DICT = "dict"
    LIST = "list"
    JSON = "json"
    """Anything that JSON holds: the value behind a dict's key, an element of `list[Any]`."""

    @property
    def is_scalar(self) -> bool:
        return self not in _CONTAINERS

    @property
    def is_ordered(self) -> bool:
        """Whether `<` and sorting mean the same on every store (bytes do not: MongoDB orders by length first)."""
        return self not in _UNORDERED

    @property
    def is_number(self) -> bool:
        return self in _NUMBERS


_CONTAINERS = frozenset({Kind.MODEL, Kind.DICT, Kind.LIST, Kind.JSON})
_UNORDERED = frozenset({Kind.BYTES, *_CONTAINERS})
_NUMBERS = frozenset({Kind.INT, Kind.FLOAT, Kind.DECIMAL})


# -- canonical forms ---------------------------------------------------------------------------------------------------


def utc_now() -> datetime:
    """Return the client's time, in UTC, cut to milliseconds."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def canonical_text(value: str) -> str:
    """Return *value*; text is Unicode without NUL (PostgreSQL) and without lone surrogates (no UTF-8 for them)."""
    if value.isascii():
        if "\0" not in value:
            return value
    elif "\0" not in value:
        try:
            value.encode()
        except UnicodeEncodeError:
            raise PydanticCustomError(
                "dbkit_surrogate",
                "text holds a lone surrogate, which no store can keep; decode the input properly",
            ) from None
        return value
    raise PydanticCustomError(
        "dbkit_nul", "text holds a NUL character, which no store can keep; remove it first"
    )


def canonical_datetime(value: datetime) -> datetime:
    """Return *value* in UTC, cut (not rounded) to milliseconds."""
    if value.tzinfo is UTC and not value.microsecond % 1000 and type(value) is datetime:
        return value
    if value.tzinfo is None or value.utcoffset() is None:
        raise PydanticCustomError(
            "dbkit_naive",
            "a datetime must have a time zone; say datetime.now(UTC) or value.replace(tzinfo=UTC)",
        )
    try:
        value = value.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError(
            "dbkit_datetime_range", "a datetime must lie within years 1 to 9999 in UTC"
        ) from None
    return value.replace(microsecond=value.microsecond // 1000 * 1000, fold=0)


def canonical_time(value: time) -> time:
    """Return *value*; times are naive."""
    if value.tzinfo is not None:
        raise PydanticCustomError(
            "dbkit_aware_time", "a time has no time zone; use a datetime, or value.replace(tzinfo=None)"
        )
    return value.replace(fold=0)


def canonical_timedelta(value: timedelta) -> timedelta:
    """Return *value* as a plain timedelta whose microseconds fit into 64 bits."""
    if not INT_MIN <= value // timedelta(microseconds=1) <= INT_MAX:
        raise PydanticCustomError(
            "dbkit_timedelta_range", "a timedelta must fit into 64 bits of microseconds"
        )
    return value


def canonical_float(value: float) -> float:
    """Return *value* without negative zero; it must be finite."""
    if not math.isfinite(value):
        raise PydanticCustomError("finite_number", "a float must be finite, not NaN or infinity")
    return value + 0.0


def canonical_decimal(value: Decimal | int, places: int, digits: int = MAX_DECIMAL_DIGITS) -> Decimal:
    """Return *value* with exactly *places* decimal places and no negative zero.

    Too many places, more than *digits* digits, NaN and infinity are refused: nothing is rounded.
    """
    number = Decimal(value) if isinstance(value, int) else value
    if not number.is_finite():
        raise PydanticCustomError("finite_number", "a Decimal must be finite, not NaN or infinity")
    if number.adjusted() > MAX_DECIMAL_DIGITS + 1:
        exact = None
    else:
        exact = number.quantize(Decimal(1).scaleb(-places), context=_EXACT)
        if exact != number:
            raise PydanticCustomError(
                "decimal_max_places",
                "a Decimal may have at most {decimal_places} decimal places here; quantize it first",
                {"decimal_places": places},
            )
    if exact is None or len(exact.as_tuple().digits) > digits:
        raise PydanticCustomError(
            "decimal_max_digits",
            "a Decimal may have at most {max_digits} digits in all here",
            {"max_digits": digits},
        )
    return exact or abs(exact)


def casefold_key(value: str) -> str:
    """Return the key by which two texts are equal without case: canonical caseless matching of the Unicode standard."""
    if value.isascii():
        return value.lower()
    normal = unicodedata.normalize
    return normal("NFD", normal("NFD", value).casefold())


def check_json(value: Any, depth: int = 1) -> Any:
    """Return *value* as plain JSON data in canonical form: str, int, float, bool, None, list and dict only."""
    kind = value.__class__
    if value is None or kind is bool:
        return value
    if kind is str:
        return canonical_text(value)
    if kind is int:
        return _int64(value)
    if kind is float:
        return canonical_float(value)
    if kind is dict or kind is list:
        if depth > MAX_JSON_DEPTH:
            raise PydanticCustomError(
                "dbkit_depth", "nested deeper than {levels} levels", {"levels": MAX_JSON_DEPTH}
            )
        if kind is list:
            return [check_json(item, depth + 1) for item in value]
        return {_json_key(key): check_json(item, depth + 1) for key, item in value.items()}
    raise PydanticCustomError(
        "dbkit_json",
        "a {kind} is not JSON data (str, int, float, bool, None, list, dict with str keys); convert it first",
        {"kind": kind.__name__},
    )


def _json_key(key: Any) -> str:
    if type(key) is not str:
        raise PydanticCustomError("dbkit_json_key", "a dict's keys must be str")
    return canonical_text(key)


def _int64(value: int) -> int:
    if not INT_MIN <= value <= INT_MAX:
        raise PydanticCustomError("dbkit_int_range", "an int must fit into signed 64 bits")
    return value


# -- types -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ValueType:
    """The type of a field, of an element of a list, of a filter's operand or of a group's result."""

    kind: Kind
    nullable: bool = False
    enum: type[Enum] | None = None
    """The Enum class of a TEXT or INT field, whose members are stored by value."""
    choices: tuple[str, ...] | tuple[int, ...] | None = None
    """The values of a `Literal`, or of the Enum."""
    max_length: int | None = None
    """Characters of TEXT, bytes of BYTES, elements of LIST."""
    max_digits: int = MAX_DECIMAL_DIGITS
    decimal_places: int = 0
    ge: Any = None
    gt: Any = None
    le: Any = None
    lt: Any = None
    element: ValueType | None = None
    """A LIST's elements, a DICT's values."""
    model: ModelSpec | None = None
    operand: SchemaValidator = field(init=False, repr=False, compare=False)
    """Checks one value of a filter; None is never passed."""
    literal: SchemaValidator = field(init=False, repr=False, compare=False)
    """Checks one value to be stored."""
    _twin: ValueType | None = field(init=False, repr=False, compare=False, default=None)
    """What `optional` returned: making it builds two validators."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "operand", own_validator(self.schema("operand")))
        schema = self.schema("write")
        literal = core_schema.nullable_schema(schema) if self.nullable else schema
        object.__setattr__(self, "literal", own_validator(literal))

    def optional(self) -> ValueType:
        """Return the same type, nullable."""
        if self.nullable:
            return self
        if self._twin is None:
            object.__setattr__(self, "_twin", replace(self, nullable=True))
        return cast("ValueType", self._twin)

    @property
    def scale(self) -> int:
        """By what a DECIMAL is multiplied to be an int."""
        return cast("int", 10**self.decimal_places)

    @property
    def bounds(self) -> tuple[Any, Any]:
        """The least and the greatest value, inclusive, that a computed INT, DECIMAL or FLOAT may have.

        For FLOAT an exclusive bound is the neighbouring float.
        """
        low: Any
        high: Any
        step: Any = 1
        if self.kind is Kind.INT:
            low, high = INT_MIN, INT_MAX
        elif self.kind is Kind.DECIMAL:
            step = Decimal(1).scaleb(-self.decimal_places)
            high = Decimal(10**self.max_digits - 1).scaleb(-self.decimal_places)
            low = -high
        else:
            high = float.fromhex("0x1.fffffffffffffp+1023")
            low = -high
        if self.ge is not None:
            low = max(low, self.ge)
        if self.le is not None:
            high = min(high, self.le)
        if self.gt is not None:
            low = max(low, math.nextafter(self.gt, math.inf) if self.kind is Kind.FLOAT else self.gt + step)
        if self.lt is not None:
            high = min(
                high, math.nextafter(self.lt, -math.inf) if self.kind is Kind.FLOAT else self.lt - step
            )
        return low, high

    def schema(self, mode: Literal["operand", "write"]) -> CoreSchema:
        """Return the strict schema that checks and canonicalizes one value that is not None."""
        if self.enum is not None:
            return core_schema.is_instance_schema(self.enum)
        if self.choices is not None:
            choices = core_schema.literal_schema(list(self.choices))
            # Python has True == 1, and so has the literal schema.
            is_int = self.kind is Kind.INT
            return (
                core_schema.chain_schema([core_schema.int_schema(strict=True), choices])
                if is_int
                else choices
            )
        return _STRICT[self.kind](self, mode == "write")

    def read_schema(self, override: Mapping[Kind, Callable[[ValueType], CoreSchema]]) -> CoreSchema:
        """Return the lax schema that turns what a driver gave into the field's value.

        *override* holds a store's own schemas for the kinds that its driver gives in another form.
        """
        if self.enum is not None:
            members = list(self.enum.__members__.values())
            schema: CoreSchema = core_schema.enum_schema(self.enum, members)
        elif self.choices is not None:
            schema = core_schema.literal_schema(list(self.choices))
        elif self.kind in override:
            schema = override[self.kind](self)
        elif self.kind is Kind.MODEL:
            assert self.model is not None
            schema = self.model.read_schema(override)
        elif self.kind is Kind.LIST:
            assert self.element is not None
            schema = core_schema.list_schema(self.element.read_schema(override))
        elif self.kind is Kind.DICT:
            assert self.element is not None
            schema = core_schema.dict_schema(core_schema.str_schema(), self.element.read_schema(override))
        else:
            schema = _LAX[self.kind]
        return core_schema.nullable_schema(schema) if self.nullable else schema


_CONFIG = CoreConfig(hide_input_in_errors=True)


def own_validator(schema: CoreSchema) -> SchemaValidator:
    """Return the validator of exactly *schema*.

    Left to itself pydantic-core takes, for a model's class that has a validator, that one in the place of the schema given:
    the user's own code would run on reads, and a store's decoders would not.
    """
    return SchemaValidator(schema, _CONFIG, _use_prebuilt=False)


def _after(function: Callable[[Any], Any], schema: CoreSchema) -> CoreSchema:
    return core_schema.no_info_after_validator_function(function, schema)


def _strict_text(t: ValueType, bounded: bool) -> CoreSchema:
    return core_schema.str_schema(
        strict=True,
        max_length=t.max_length if bounded else None,
        pattern=r"^[^\x00]*\z",
        regex_engine="rust-regex",
    )


def _strict_int(t: ValueType, bounded: bool) -> CoreSchema:
    if not bounded:
        return core_schema.int_schema(strict=True, ge=INT_MIN, le=INT_MAX)
    low, high = t.bounds
    return core_schema.int_schema(strict=True, ge=low, le=high)


def _strict_float(t: ValueType, bounded: bool) -> CoreSchema:
    if not bounded:
        return _after(canonical_float, core_schema.float_schema(strict=True))
    return _after(canonical_float, core_schema.float_schema(strict=True, ge=t.ge, gt=t.gt, le=t.le, lt=t.lt))


def _strict_decimal(t: ValueType, bounded: bool) -> CoreSchema:
    digits = t.max_digits if bounded else MAX_DECIMAL_DIGITS
    places = t.decimal_places
    low, high = t.bounds

    def check(value: Any) -> Decimal:
        if not isinstance(value, Decimal) and type(value) is not int:
            raise PydanticCustomError(
                "dbkit_decimal_type",
                "must be a Decimal or an int, not a {kind}",
                {"kind": type(value).__name__},
            )
        exact = canonical_decimal(value, places, digits)
        if bounded and not low <= exact <= high:
            raise PydanticCustomError(
                "dbkit_decimal_bounds",
                "must be between {low} and {high}, as the field declares",
                {"low": low, "high": high},
            )
        return exact

    return core_schema.no_info_plain_validator_function(check)


def _strict_list(t: ValueType, bounded: bool) -> CoreSchema:
    assert t.element is not None
    element = t.element.schema("write")
    if t.element.nullable:
        element = core_schema.nullable_schema(element)
    return core_schema.list_schema(element, strict=True, max_length=t.max_length if bounded else None)


def _strict_dict(t: ValueType, _bounded: bool) -> CoreSchema:
    assert t.element is not None
    if t.element.kind is Kind.JSON:
        return _after(check_json, core_schema.dict_schema(strict=True))
    element = t.element.schema("write")
    if t.element.nullable:
        element = core_schema.nullable_schema(element)
    key = core_schema.str_schema(strict=True, pattern=r"^[^\x00]*\z")
    return core_schema.dict_schema(key, element, strict=True)


def _strict_model(t: ValueType, _bounded: bool) -> CoreSchema:
    assert t.model is not None
    return t.model.write_schema()


_STRICT: dict[Kind, Callable[[ValueType, bool], CoreSchema]] = {
    Kind.UUID: lambda _t, _b: core_schema.uuid_schema(strict=True),
    Kind.OBJECT_ID: lambda _t, _b: core_schema.is_instance_schema(ObjectId),
    Kind.TEXT: _strict_text,
    Kind.INT: _strict_int,
    Kind.FLOAT: _strict_float,
    Kind.DECIMAL: _strict_decimal,
    Kind.BOOL: lambda _t, _b: core_schema.bool_schema(strict=True),
    Kind.DATETIME: lambda _t, _b: _after(canonical_datetime, core_schema.is_instance_schema(datetime)),
    Kind.DATE: lambda _t, _b: core_schema.date_schema(strict=True),
    Kind.TIME: lambda _t, _b: _after(canonical_time, core_schema.is_instance_schema(time)),
    Kind.TIMEDELTA: lambda _t, _b: _after(canonical_timedelta, core_schema.is_instance_schema(timedelta)),
    Kind.BYTES: lambda t, b: core_schema.bytes_schema(strict=True, max_length=t.max_length if b else None),
    Kind.MODEL: _strict_model,
    Kind.LIST: _strict_list,
    Kind.DICT: _strict_dict,
    Kind.JSON: lambda _t, _b: core_schema.no_info_plain_validator_function(check_json),
}


def _object_id(value: Any) -> ObjectId:
    return value if isinstance(value, ObjectId) else ObjectId(value)


# Lax where a driver's form differs (16 bytes for a UUID, 0 and 1 for a bool). A datetime and what is built of integers
# must come decoded: pydantic reads an integer as seconds.
_LAX: dict[Kind, CoreSchema] = {
    Kind.UUID: core_schema.uuid_schema(),
    Kind.OBJECT_ID: core_schema.no_info_plain_validator_function(_object_id),
    Kind.TEXT: core_schema.str_schema(),
    Kind.INT: core_schema.int_schema(strict=True),
    Kind.FLOAT: core_schema.float_schema(),
    Kind.DECIMAL: core_schema.is_instance_schema(Decimal),
    Kind.BOOL: core_schema.bool_schema(),
    Kind.DATETIME: core_schema.is_instance_schema(datetime),
    Kind.DATE: core_schema.is_instance_schema(date),
    Kind.TIME: core_schema.is_instance_schema(time),
    Kind.TIMEDELTA: core_schema.is_instance_schema(timedelta),
    Kind.BYTES: core_schema.bytes_schema(),
    Kind.JSON: core_schema.any_schema(),
}


# -- messages ----------------------------------------------------------------------------------------------------------

_MESSAGES: dict[str, str] = {
    "string_type": "must be a str",
    "string_unicode": "text holds a lone surrogate, which no store can keep; decode the input properly",
    "string_pattern_mismatch": "text holds a NUL character, which no store can keep; remove it first",
    "string_too_long": "text is longer than the declared {max_length} characters",
    "bytes_type": "must be bytes",
    "bytes_too_long": "longer than the declared {max_length} bytes",
    "too_long": "has more than the declared {max_length} elements",
    "int_type": "must be an int (a bool is not one)",
    "int_parsing_size": "an int must fit into signed 64 bits",
    "float_type": "must be a float",
    "bool_type": "must be a bool",
    "uuid_type": "must be a UUID",
    "date_type": "must be a date (a datetime is not one)",
    "is_instance_of": "must be an instance of {class}",
    "literal_error": "must be one of the declared values",
    "list_type": "must be a list",
    "dict_type": "must be a dict",
    "none_required": "must be None",
    "model_type": "must be an instance of {class_name}",
    "missing": "is missing",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "greater than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}


def explain_validation(error: ValidationError) -> tuple[tuple[str | int, ...], str]:
    """Return where the first problem is and what it is, in dbkit's words, without the value."""
    detail = error.errors(include_url=False, include_input=False)[0]
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        bound = context[key]
        message = (
            "an int must fit into signed 64 bits"
            if bound in (INT_MIN, INT_MAX)
            else f"must be {words} {bound}, as the field declares"
        )
    else:
        message = _MESSAGES[kind].format(**context) if kind in _MESSAGES else detail["msg"]
    return detail["loc"], message


def check_value(
    validator: SchemaValidator, value: Any, *, entity: str, field: str, operation: str | None = None
) -> Any:
    """Return *value* in canonical form, or raise `InvalidInput` that names the field."""
    try:
        return validator.validate_python(value)
    except ValidationError as error:
        where, message = explain_validation(error)
        path = ".".join(str(part) for part in (field, *where))
        raise InvalidInput(
            f"{entity}.{path}: {message}", entity=entity, field=field, operation=operation
        ) from None


def exact_average(total: Decimal, divisor: int, places: int) -> Decimal:
    """Return *total* ÷ *divisor* at *places* decimal places, rounded once, half-even, exactly at any size.

    *total* has at most *places* places itself.
    """
    # By ints: a division of Decimals rounds, and a quantize after it would round again.
    with localcontext() as context:
        context.prec = max(60, total.adjusted() + places + 30)
        quotient, rest = divmod(int(total.scaleb(places)), divisor)
        if 2 * rest > divisor or (2 * rest == divisor and quotient % 2):
            quotient += 1
        return Decimal(quotient).scaleb(-places)
