"""Canonical forms, and the schemas that check values."""

from __future__ import annotations

import math
import sys
import unicodedata
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from dbkit.errors import InvalidInput
from dbkit.values import (
    INT_MAX,
    INT_MIN,
    MAX_JSON_DEPTH,
    Kind,
    ValueType,
    canonical_datetime,
    canonical_decimal,
    canonical_float,
    canonical_text,
    canonical_time,
    canonical_timedelta,
    casefold_key,
    check_json,
    check_value,
    exact_average,
    explain_validation,
    utc_now,
)


class Color(Enum):
    RED = "red"
    BLUE = "blue"


zones = st.integers(-23 * 60, 23 * 60).map(lambda m: timezone(timedelta(minutes=m)))
datetimes = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=zones)  # noqa: DTZ001
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
floats = st.floats(allow_nan=False, allow_infinity=False)
ints = st.integers(INT_MIN, INT_MAX)
json_values = st.recursive(
    st.none() | st.booleans() | ints | floats | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


def decimals(places: int, digits: int) -> st.SearchStrategy[Decimal]:
    most = 10**digits - 1
    return st.integers(-most, most).map(lambda n: Decimal(n).scaleb(-places))


# -- canonical forms ---------------------------------------------------------------------------------------------------


@given(datetimes)
def test_a_datetime_becomes_utc_and_is_cut_to_milliseconds(value: datetime) -> None:
    made = canonical_datetime(value)
    assert made.tzinfo is UTC
    assert timedelta(0) <= value - made < timedelta(milliseconds=1)
    assert made.microsecond % 1000 == 0
    assert canonical_datetime(made) is made


def test_a_datetime_of_another_class_becomes_a_plain_one_of_the_same_instant() -> None:
    made = canonical_datetime(datetime(2024, 10, 27, 1, 30, fold=1, tzinfo=UTC))
    assert made == datetime(2024, 10, 27, 1, 30, tzinfo=UTC)
    now = utc_now()
    assert canonical_datetime(now) is now


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (datetime(2024, 1, 1), "dbkit_naive"),  # noqa: DTZ001
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))), "dbkit_datetime_range"),
        (datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=2))), "dbkit_datetime_range"),
    ],
    ids=["naive", "before", "after"],
)
def test_datetimes_that_cannot_be(value: datetime, kind: str) -> None:
    with pytest.raises(PydanticCustomError) as caught:
        canonical_datetime(value)
    assert caught.value.type == kind


def test_times() -> None:
    assert canonical_time(time(1, 2, 3, 4, fold=1)) == time(1, 2, 3, 4)
    assert canonical_time(time(1, fold=1)).fold == 0
    with pytest.raises(PydanticCustomError):
        canonical_time(time(1, tzinfo=UTC))
    limit = timedelta(microseconds=INT_MAX)
    assert canonical_timedelta(limit) == limit
    for value in (limit + timedelta(microseconds=1), timedelta.max, timedelta.min):
        with pytest.raises(PydanticCustomError):
            canonical_timedelta(value)


@given(floats)
def test_a_float_keeps_its_value_and_loses_a_negative_zero(value: float) -> None:
    made = canonical_float(value)
    assert made == value
    assert made != 0 or math.copysign(1, made) == 1


@given(st.integers(0, 6).flatmap(lambda places: st.tuples(st.just(places), decimals(places, 18))))
def test_a_decimal_has_exactly_its_places(given_: tuple[int, Decimal]) -> None:
    places, value = given_
    for same in (value, value.normalize(), value + Decimal(0).scaleb(-places)):
        made = canonical_decimal(same, places)
        assert made == value
        assert made.as_tuple().exponent == -places
        assert made != 0 or not made.is_signed()
        assert canonical_decimal(made, places) == made


@given(decimals(9, 12), st.integers(0, 8))
def test_a_decimal_is_never_rounded(value: Decimal, places: int) -> None:
    exact = value == round(value, places)
    if exact:
        assert canonical_decimal(value, places) == value
    else:
        with pytest.raises(PydanticCustomError, match="decimal places"):
            canonical_decimal(value, places)


@pytest.mark.parametrize(
    "text", ["NaN", "sNaN", "Infinity", "-Infinity", "1E+5", "123456", "1E+999999", "0.001"]
)
def test_decimals_that_cannot_be(text: str) -> None:
    with pytest.raises(PydanticCustomError):
        canonical_decimal(Decimal(text), 2, 5)


def test_the_scale_of_a_decimal_does_not_follow_the_programs_context() -> None:
    from decimal import localcontext

    with localcontext() as context:
        context.prec = 3
        assert canonical_decimal(Decimal("123456789012.34"), 2) == Decimal("123456789012.34")


@given(texts)
def test_text_is_kept_as_it_is(value: str) -> None:
    assert canonical_text(value) is value


@pytest.mark.parametrize("value", ["a\0", "\ud800", "é\udfff", "é\0"])
def test_text_that_no_store_keeps(value: str) -> None:
    with pytest.raises(PydanticCustomError):
        canonical_text(value)


# -- without case ------------------------------------------------------------------------------------------------------


def test_casefold_keys() -> None:
    same = [
        ("Ada", "aDA"),
        ("Straße", "STRASSE"),
        ("é", "É"),
        ("é", "é"),
        ("Å", "å"),
        ("ﬁ", "FI"),
        ("Σ", "ς"),
        ("ᾳ", "ΑΙ"),
    ]
    for one, other in same:
        assert casefold_key(one) == casefold_key(other)
    assert casefold_key("i") != casefold_key("ı")


@given(texts)
def test_a_casefold_key_is_its_own(value: str) -> None:
    made = casefold_key(value)
    assert casefold_key(made) == made
    assert casefold_key(unicodedata.normalize("NFD", value)) == made
    assert len(made) <= 4 * len(value)


@pytest.mark.slow
def test_a_casefold_key_has_at_most_four_characters_for_one() -> None:
    longest = max(len(casefold_key(chr(point))) for point in range(sys.maxunicode + 1))
    assert longest == 4


# -- JSON --------------------------------------------------------------------------------------------------------------


@given(json_values)
def test_json_data_is_copied_as_it_is(value: Any) -> None:
    made = check_json(value)
    assert made == value
    assert type(made) is type(value)
    if isinstance(value, dict | list):
        assert made is not value
    assert check_json(made) == made


@given(json_values)
def test_a_bool_stays_a_bool_and_an_int_an_int(value: Any) -> None:
    def kinds(item: Any) -> Any:
        if item.__class__ is dict:
            return {k: kinds(v) for k, v in item.items()}
        if item.__class__ is list:
            return [kinds(v) for v in item]
        return item.__class__

    assert kinds(check_json(value)) == kinds(value)


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "value",
    [
        object(),
        (1, 2),
        {1, 2},
        b"x",
        Decimal(1),
        {1: 2},
        {"a\0": 1},
        ["\ud800"],
        [math.nan],
        2**63,
        Text("x"),
        {Text("x"): 1},
    ],
    ids=[
        "object",
        "tuple",
        "set",
        "bytes",
        "decimal",
        "key",
        "nul",
        "surrogate",
        "nan",
        "int",
        "text",
        "text_key",
    ],
)
def test_what_is_no_json(value: Any) -> None:
    with pytest.raises(PydanticCustomError):
        check_json(value)


def test_json_has_at_most_64_levels() -> None:
    def nested(levels: int) -> Any:
        value: Any = 1
        for _ in range(levels):
            value = {"a": value}
        return value

    check_json(nested(MAX_JSON_DEPTH))
    with pytest.raises(PydanticCustomError, match="64 levels"):
        check_json(nested(MAX_JSON_DEPTH + 1))


# -- types -------------------------------------------------------------------------------------------------------------


def test_kinds() -> None:
    assert {k for k in Kind if not k.is_scalar} == {Kind.MODEL, Kind.DICT, Kind.LIST, Kind.JSON}
    assert {k for k in Kind if not k.is_ordered} == {Kind.MODEL, Kind.DICT, Kind.LIST, Kind.JSON, Kind.BYTES}
    assert {k for k in Kind if k.is_number} == {Kind.INT, Kind.FLOAT, Kind.DECIMAL}


@pytest.mark.parametrize(
    ("type_", "bounds"),
    [
        (ValueType(Kind.INT), (INT_MIN, INT_MAX)),
        (ValueType(Kind.INT, ge=3, lt=10), (3, 9)),
        (ValueType(Kind.INT, gt=3, le=10), (4, 10)),
        (
            ValueType(Kind.DECIMAL, max_digits=4, decimal_places=2),
            (Decimal("-99.99"), Decimal("99.99")),
        ),
        (
            ValueType(Kind.DECIMAL, max_digits=4, decimal_places=2, gt=Decimal(0), lt=Decimal(1)),
            (Decimal("0.01"), Decimal("0.99")),
        ),
        (ValueType(Kind.FLOAT), (-sys.float_info.max, sys.float_info.max)),
        (ValueType(Kind.FLOAT, gt=0.0, le=1.0), (5e-324, 1.0)),
    ],
    ids=["int", "ge_lt", "gt_le", "decimal", "decimal_open", "float", "float_open"],
)
def test_bounds(type_: ValueType, bounds: tuple[Any, Any]) -> None:
    assert type_.bounds == bounds
    for inside in bounds:
        assert type_.literal.validate_python(inside) == inside


def test_an_operand_may_lie_outside_the_bounds_and_a_literal_may_not() -> None:
    for type_, value in (
        (ValueType(Kind.INT, ge=0), -5),
        (ValueType(Kind.FLOAT, ge=0), -5.0),
        (ValueType(Kind.DECIMAL, max_digits=4, decimal_places=2), Decimal("1000.00")),
        (ValueType(Kind.DECIMAL, max_digits=4, decimal_places=2, ge=Decimal(0)), Decimal("-1.00")),
        (ValueType(Kind.TEXT, max_length=2), "xxx"),
        (ValueType(Kind.BYTES, max_length=2), b"xxx"),
        (ValueType(Kind.LIST, element=ValueType(Kind.INT), max_length=1), [1, 2]),
    ):
        assert type_.operand.validate_python(value) == value
        with pytest.raises(ValidationError):
            type_.literal.validate_python(value)


def test_optional_is_made_once() -> None:
    type_ = ValueType(Kind.INT, ge=3)
    assert type_.optional() is type_.optional()
    assert type_.optional().optional() is type_.optional()
    assert type_.optional() == ValueType(Kind.INT, ge=3, nullable=True)
    assert type_.optional().literal.validate_python(None) is None
    with pytest.raises(ValidationError):
        type_.literal.validate_python(None)


STRICT: list[tuple[ValueType, Any, Any]] = [
    (ValueType(Kind.UUID), uuid4(), "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
    (ValueType(Kind.TEXT), "x", 3),
    (ValueType(Kind.INT), 3, True),
    (ValueType(Kind.INT), 3, 3.0),
    (ValueType(Kind.FLOAT), 3.5, True),
    (ValueType(Kind.FLOAT), 3.5, "3.5"),
    (ValueType(Kind.DECIMAL, decimal_places=1), Decimal("3.5"), 3.5),
    (ValueType(Kind.DECIMAL, decimal_places=1), Decimal("3.5"), True),
    (ValueType(Kind.BOOL), True, 1),
    (ValueType(Kind.DATE), date(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC)),
    (ValueType(Kind.DATE), date(2024, 1, 1), "2024-01-01"),
    (ValueType(Kind.DATETIME), datetime(2024, 1, 1, tzinfo=UTC), date(2024, 1, 1)),
    (ValueType(Kind.TIME), time(1), "01:00"),
    (ValueType(Kind.TIMEDELTA), timedelta(1), 60),
    (ValueType(Kind.BYTES), b"x", "x"),
    (ValueType(Kind.TEXT, enum=Color, choices=("red", "blue")), Color.RED, "red"),
    (ValueType(Kind.TEXT, choices=("a", "b")), "a", "c"),
    (ValueType(Kind.INT, choices=(1, 2)), 1, True),
    (ValueType(Kind.LIST, element=ValueType(Kind.INT)), [1], (1,)),
    (ValueType(Kind.LIST, element=ValueType(Kind.INT)), [1], [True]),
    (ValueType(Kind.DICT, element=ValueType(Kind.INT)), {"a": 1}, {"a": "1"}),
    (ValueType(Kind.DICT, element=ValueType(Kind.JSON)), {"a": [1]}, {"a": object()}),
]


@pytest.mark.parametrize(
    ("type_", "good", "bad"), STRICT, ids=[f"{n}-{c[0].kind}" for n, c in enumerate(STRICT)]
)
def test_types_are_strict(type_: ValueType, good: Any, bad: Any) -> None:
    for validator in (type_.operand, type_.literal):
        made = validator.validate_python(good)
        assert made == good
        assert type(made) is type(good)
        with pytest.raises(ValidationError):
            validator.validate_python(bad)


CANONICAL: list[tuple[str, ValueType, st.SearchStrategy[Any]]] = [
    ("uuid", ValueType(Kind.UUID), st.uuids()),
    ("text", ValueType(Kind.TEXT), texts),
    ("int", ValueType(Kind.INT), ints),
    ("float", ValueType(Kind.FLOAT), floats),
    ("decimal", ValueType(Kind.DECIMAL, decimal_places=4), decimals(4, 18)),
    ("bool", ValueType(Kind.BOOL), st.booleans()),
    ("datetime", ValueType(Kind.DATETIME), datetimes),
    ("date", ValueType(Kind.DATE), st.dates()),
    ("time", ValueType(Kind.TIME), st.times()),
    (
        "timedelta",
        ValueType(Kind.TIMEDELTA),
        st.integers(-(10**15), 10**15).map(lambda n: timedelta(microseconds=n)),
    ),
    ("bytes", ValueType(Kind.BYTES), st.binary()),
    (
        "list",
        ValueType(Kind.LIST, element=ValueType(Kind.FLOAT, nullable=True)),
        st.lists(st.none() | floats),
    ),
    ("dict", ValueType(Kind.DICT, element=ValueType(Kind.INT)), st.dictionaries(texts, ints)),
    ("json", ValueType(Kind.DICT, element=ValueType(Kind.JSON)), st.dictionaries(texts, json_values)),
]


@pytest.mark.parametrize(("type_", "values"), [c[1:] for c in CANONICAL], ids=[c[0] for c in CANONICAL])
@given(data=st.data())
def test_what_is_canonical_stays_so_and_is_read_back(
    type_: ValueType, values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    value = data.draw(values)
    made = type_.literal.validate_python(value)
    assert type_.literal.validate_python(made) == made
    assert type_.operand.validate_python(value) == made
    from pydantic_core import SchemaValidator

    read = SchemaValidator(type_.read_schema({})).validate_python(made)
    assert read == made
    assert type(read) is type(made)


def test_a_stores_own_schema_reads_its_own_form() -> None:
    from pydantic_core import SchemaValidator, core_schema

    override: dict[Kind, Callable[[ValueType], Any]] = {
        Kind.DECIMAL: lambda t: core_schema.no_info_plain_validator_function(
            lambda n: Decimal(n).scaleb(-t.decimal_places)
        )
    }
    price = ValueType(Kind.DECIMAL, decimal_places=2, nullable=True)
    many = ValueType(Kind.LIST, element=price)
    assert SchemaValidator(price.read_schema(override)).validate_python(150) == Decimal("1.50")
    assert SchemaValidator(price.read_schema(override)).validate_python(None) is None
    assert SchemaValidator(many.read_schema(override)).validate_python([150, None]) == [Decimal("1.50"), None]


# -- messages ----------------------------------------------------------------------------------------------------------


def test_messages_name_the_field_and_hold_no_value() -> None:
    type_ = ValueType(Kind.LIST, element=ValueType(Kind.TEXT, max_length=3))
    with pytest.raises(InvalidInput) as caught:
        check_value(type_.literal, ["ab", "s3cret"], entity="User", field="tags", operation="update")
    assert str(caught.value) == "User.tags.1: text is longer than the declared 3 characters"
    assert (caught.value.entity, caught.value.field, caught.value.operation) == ("User", "tags", "update")
    assert caught.value.__cause__ is None


def test_bounds_are_named_in_dbkits_words() -> None:
    for type_, value, words in (
        (ValueType(Kind.INT), 2**63, "64 bits"),
        (ValueType(Kind.INT), 2**70, "64 bits"),
        (ValueType(Kind.INT, ge=3), 2, "3, as the field declares"),
        (ValueType(Kind.FLOAT, lt=3), 3.0, "3.0, as the field declares"),
        (ValueType(Kind.FLOAT), math.inf, "finite"),
        (ValueType(Kind.TEXT), "\ud800", "surrogate"),
        (ValueType(Kind.TEXT), "\0", "NUL"),
    ):
        with pytest.raises(ValidationError) as caught:
            type_.literal.validate_python(value)
        assert words in explain_validation(caught.value)[1]


# -- averages ----------------------------------------------------------------------------------------------------------


@given(st.integers(-(10**40), 10**40), st.integers(0, 4), st.integers(1, 10**6))
def test_an_average_is_rounded_once_half_to_even(total: int, scale: int, divisor: int) -> None:
    places = scale + 6
    made = exact_average(Decimal(f"{total}e-{scale}"), divisor, places)
    # Python's round() of a Fraction is half-even and exact.
    wanted = round(Fraction(total, 10**scale) / divisor * 10**places)
    assert made == Decimal(f"{wanted}e-{places}")
    assert made.as_tuple().exponent == -places


def test_ties_go_to_the_even_digit() -> None:
    # 1 ÷ 2,000,000 and 3 ÷ 2,000,000 lie half-way at six places.
    assert exact_average(Decimal(1), 2_000_000, 6) == 0
    assert exact_average(Decimal(3), 2_000_000, 6) == Decimal("0.000002")
    assert exact_average(Decimal(-3), 2_000_000, 6) == Decimal("-0.000002")
