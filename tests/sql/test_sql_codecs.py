"""What values become in JSON, and what fills a statement."""

from __future__ import annotations

import decimal
import random
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from dbkit.query import Slot
from dbkit.values import INT_MAX, INT_MIN, Kind, ValueType
from dbkit_sql import codecs
from dbkit_sql.binds import Binds, uuid_bytes
from dbkit_sql.dialects.postgresql import PostgresDialect
from dbkit_sql.dialects.sqlite import SqliteDialect, remove_equal

VALUES: list[tuple[ValueType, Any]] = [
    (ValueType(Kind.DATETIME), datetime(1, 1, 1, tzinfo=UTC)),
    (ValueType(Kind.DATETIME), datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)),
    (ValueType(Kind.DATETIME), datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)),
    (ValueType(Kind.DATE), date(1, 1, 1)),
    (ValueType(Kind.TIME), time(23, 59, 59, 999_999)),
    (ValueType(Kind.TIMEDELTA), timedelta(microseconds=INT_MIN)),
    (ValueType(Kind.DECIMAL, max_digits=18, decimal_places=4), Decimal("-99999999999999.9999")),
    (ValueType(Kind.DECIMAL, max_digits=18, decimal_places=0), Decimal(10**18 - 1)),
    (ValueType(Kind.UUID), UUID(int=2**128 - 1)),
    (ValueType(Kind.BYTES), bytes(range(256))),
    (ValueType(Kind.BOOL), True),
    (ValueType(Kind.INT), INT_MAX),
    (ValueType(Kind.FLOAT), 0.1 + 0.2),
    (ValueType(Kind.TEXT), 'é\u2028"\\😀'),
]


def _through(codec: codecs.Codec, value: Any) -> Any:
    return value if codec is None else codec(value)


@pytest.mark.parametrize(("type", "value"), VALUES, ids=[f"{n}-{t.kind}" for n, (t, _) in enumerate(VALUES)])
def test_a_leaf_of_json_comes_back(type: ValueType, value: Any) -> None:
    text = codecs.json_text_encoder(type)(value)
    found = _through(codecs.leaf_value(type), codecs.json_loads(text))
    assert (found, found.__class__) == (value, value.__class__)


@pytest.mark.parametrize("dialect", [SqliteDialect(), PostgresDialect()], ids=lambda d: d.name)
@pytest.mark.parametrize(("type", "value"), VALUES, ids=[f"{n}-{t.kind}" for n, (t, _) in enumerate(VALUES)])
def test_a_column_comes_back(dialect: Any, type: ValueType, value: Any) -> None:
    found = _through(dialect.canonical(type), _through(dialect.encoder(type), value))
    assert (found, found.__class__) == (value, value.__class__)


def test_scaling_ignores_the_programs_own_context() -> None:
    with decimal.localcontext() as context:
        context.prec = 3
        scaled = codecs.to_scaled(2)(Decimal("1234567890.12"))
        assert scaled == 123456789012
        assert codecs.from_scaled(2)(scaled) == Decimal("1234567890.12")


@pytest.mark.parametrize("number", [1e16, 2.0**60, -(2.0**63), 9.3e18 - 1e17])
def test_whole_floats_are_written_by_their_digits(number: float) -> None:
    text = codecs.json_text({"a": [number]})
    assert text == f'{{"a":[{int(number)}]}}'
    assert codecs.json_loads(text) == {"a": [number]}


@pytest.mark.parametrize("number", [1e19, 1e300, 0.1, 1e-7, 5e-324, 2.0**63])
def test_other_floats_are_not(number: float) -> None:
    assert codecs.json_loads(codecs.json_text([number])) == [number]
    assert isinstance(codecs.json_loads(codecs.json_text([number]))[0], float)


def test_what_postgres_prints_by_its_digits_is_a_float_again() -> None:
    assert codecs.json_loads(b'{"a": 1%s, "b": 9223372036854775807}' % (b"0" * 300)) == {
        "a": 1e300,
        "b": INT_MAX,
    }


def test_remove_compares_by_type() -> None:
    items = '[1,1.0,true,"1",null,[1],{"a":1},{"a":true},0.30000000000000004]'
    assert remove_equal(items, "1") == '[true,"1",null,[1],{"a":1},{"a":true},0.30000000000000004]'
    assert remove_equal(items, "true") == '[1,1.0,"1",null,[1],{"a":1},{"a":true},0.30000000000000004]'
    assert remove_equal(items, '{"a":1.0}') == '[1,1.0,true,"1",null,[1],{"a":true},0.30000000000000004]'
    assert remove_equal(items, "null") == '[1,1.0,true,"1",[1],{"a":1},{"a":true},0.30000000000000004]'


def test_a_fill_encodes_repeats_and_pads() -> None:
    import sqlalchemy as sa

    binds = Binds()
    column: sa.ColumnElement[Any] = sa.column("x")
    statement = (
        sa.select(column)
        .where(
            column == binds.one(Slot(0), uuid_bytes),
            column.in_(binds.each(Slot(1, 4), None)),
            column != binds.one(Slot(2), str.upper, nullable=True),
            column > binds.one(Slot(0)),
        )
        .limit(binds.plus(Slot(3), 1))
    )
    text = binds.compile(statement, SqliteDialect().core)
    id = UUID(int=7)
    assert text.text.count("?") == 9
    assert text.fill((id, (1, 2, 3), None, 50)) == (id.bytes, 1, 2, 3, 3, None, id, 51, 0)
    assert text.fill((id, (1,), "a", 1)) == (id.bytes, 1, 1, 1, 1, "A", id, 2, 0)


def test_halves_of_a_sum_order_as_the_sum_does() -> None:
    places = SqliteDialect().sum_places(
        __import__("sqlalchemy").column("x"), ValueType(Kind.INT), is_leaf=False
    )
    high, low = (place.encode for place in places)
    assert high is not None
    assert low is not None
    draw = random.Random(3)
    numbers = [0, 1, -1, 2**32, -(2**32), INT_MAX, INT_MIN, 2**94, -(2**94)]
    numbers += [draw.randint(-(2**70), 2**70) for _ in range(200)]
    pairs = {n: (high(n), low(n)) for n in numbers}
    for a in numbers:
        assert all((a < b) == (pairs[a] < pairs[b]) for b in numbers)
    # Beyond every sum that there can be: greater than the greatest pair, less than the least.
    assert (high(10**38), low(10**38)) > (INT_MAX, 2**32 - 1)
    assert (high(-(10**38)), low(-(10**38))) < (INT_MIN, 0)
