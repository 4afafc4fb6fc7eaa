"""Values in documents: what is written comes back, in its canonical form and with Python's own types."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import bson
import pytest
from bson.binary import Binary
from bson.decimal128 import Decimal128
from bson.int64 import Int64

from dbkit.entity import row_of, spec_of
from dbkit.errors import StoredDataInvalid
from dbkit.values import INT_MAX, INT_MIN, Kind, ValueType
from dbkit_mongo.reads import Shape
from dbkit_mongo.rows import CODEC_OPTIONS, MONGODB, MONGOMOCK, Codec, row_template
from dbkit_mongo.templates import compile_template
from tests.mongo.entities import Address, Colour, User

SPEC = spec_of(User)
FULL = User(
    id=UUID(int=2**127),
    created_at=datetime(2024, 2, 29, 1, 2, 3, 456_000, tzinfo=UTC),
    updated_at=datetime(1, 1, 1, tzinfo=UTC),
    name="Ada \U0001f600",
    email="Ada@x.org",
    age=INT_MIN,
    points=1_000,
    balance=Decimal("-999999999999.99"),
    rate=-1e-300,
    colour=Colour.BLUE,
    born=date(1, 1, 1),
    at=time(23, 59, 59, 999_999),
    took=timedelta(days=-3, microseconds=1),
    seen=datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
    raw=b"\0\xff",
    tags=["a", ""],
    marks=[1, 1.5, True, None, "x", [2**60], {"$ref": "#/a", "$id": 5}],
    extra={"a.b": 1, "$x": {"": [2**62]}, "$ref": "#/b", "$id": "c", "plain": {"$ref": 5}},
    address=Address(city="Rome", floor=-1),
)


def _round_trip(user: User, codec: Codec = MONGODB) -> User:
    document = compile_template(row_template(SPEC, codec))(row_of(SPEC, user))
    decoded = bson.decode(bson.encode(document), codec_options=CODEC_OPTIONS)
    made: User = Shape(SPEC.read, codec).instances([decoded])[0]
    return made


@pytest.mark.parametrize("codec", [MONGODB, MONGOMOCK], ids=["mongodb", "mongomock"])
@pytest.mark.parametrize("user", [FULL, User(name="a")], ids=["full", "nulls"])
def test_what_is_written_comes_back(user: User, codec: Codec) -> None:
    made = _round_trip(user, codec)
    assert made == user
    assert _types(made.model_dump()) == _types(user.model_dump())
    assert made.created_at.tzinfo is UTC


def _types(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _types(item) for key, item in cast("dict[str, Any]", value).items()}
    if value.__class__ is list:
        return [_types(item) for item in value]
    return value.__class__


def test_documents_have_the_declared_bson_types() -> None:
    document = compile_template(row_template(SPEC, MONGODB))(row_of(SPEC, FULL))
    assert [type(document[k]) for k in ("_id", "age", "balance", "born", "at", "took")] == [
        Binary,
        Int64,
        Decimal128,
        Int64,
        Int64,
        Int64,
    ]
    assert document["_id"].subtype == 4
    assert document["r"] == FULL.rate
    assert document["address"] == {"city": "Rome", "level": -1}
    assert document["email__casefold"] == "ada@x.org"


@pytest.mark.parametrize(
    ("stored", "places", "expected"),
    [
        ("1.50", 2, "1.50"),
        ("15E-1", 2, "1.50"),
        ("1E+1", 2, "10.00"),
        ("-0.00", 2, "0.00"),
        ("-0", 0, "0"),
        ("9999999999999999.99", 2, "9999999999999999.99"),
        ("-1", 0, "-1"),
    ],
)
def test_decimals_come_back_with_their_places(stored: str, places: int, expected: str) -> None:
    decoded = MONGODB.decode(ValueType(Kind.DECIMAL, decimal_places=places), Decimal128(stored))
    assert str(decoded) == expected


@pytest.mark.parametrize(
    "stored", [Decimal128("1.234"), Decimal128("NaN"), Decimal128("Infinity"), 1.5, True, "1"]
)
def test_what_is_no_such_decimal_is_refused(stored: Any) -> None:
    document = compile_template(row_template(SPEC, MONGODB))(row_of(SPEC, FULL)) | {"balance": stored}
    with pytest.raises(StoredDataInvalid) as caught:
        Shape(SPEC.read, MONGODB).instances([document])
    assert caught.value.field == "balance"
    assert "1.234" not in str(caught.value)


def test_a_missing_field_reads_as_none_where_the_type_allows() -> None:
    document = compile_template(row_template(SPEC, MONGODB))(row_of(SPEC, FULL))
    del document["age"], document["address"]
    (made,) = Shape(SPEC.read, MONGODB).instances([document])
    assert (made.age, made.address) == (None, None)
    del document["name"]
    with pytest.raises(StoredDataInvalid) as caught:
        Shape(SPEC.read, MONGODB).instances([document])
    assert caught.value.field == "name"


def test_ints_of_64_bits_survive() -> None:
    user = User(name="a", extra={"low": INT_MIN, "high": INT_MAX})
    made = _round_trip(user)
    assert made.extra == {"low": INT_MIN, "high": INT_MAX}
    assert type(made.extra["low"]) is int
