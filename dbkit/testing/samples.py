"""Values of every kind, in the order that they must have, and comparison with types."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from dbkit.objectid import ObjectId
from dbkit.testing.entities import Address, Colour, Level, Place, Zoo

__all__ = ["KINDS", "ODD_KEYS", "Kind", "assert_same", "every_kind", "in_order", "same_json", "shuffled"]


@dataclass(frozen=True, slots=True)
class Kind:
    """Two fields of `Zoo` of one kind, and values ascending."""

    field: str
    """The one that is never null."""
    nullable: str
    values: tuple[Any, ...]
    is_compared: bool = True
    """`<` and its like are allowed: not for bool and bytes."""
    is_ordered: bool = True
    """Can be sorted by: not bytes."""


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


# fmt: off
KINDS: dict[str, Kind] = {
    # U+FFFD before U+10000: by code point, where UTF-16 (and so Java's and JavaScript's order) has it after.
    "text": Kind(
        "text",
        "text_n",
        (
            "", "\t", "\n", " ", "  ", "!", "%", "0", "10", "9", "A", "A ", "Z", "\\", "_", "a", "a ", "aa", "a\u0308",
            "b", "z", "\x7f", "ß", "ä", "é", "ÿ", "Ā", "ǅ", "а", "مرحبا", "中", "\ufb01", "\ufffd",
            "\U00010000", "😀", "\U0010ffff",
        ),
    ),
    "int": Kind(
        "integer",
        "integer_n",
        (-(2**63), -(2**53) - 1, -(2**53), -(2**31) - 1, -1, 0, 1, 2**31, 2**53, 2**53 + 1, 2**63 - 1),
    ),
    "float": Kind(
        "real",
        "real_n",
        (
            -1.7976931348623157e308, -9007199254740993.0, -1.5, -2.2250738585072014e-308, -5e-324, 0.0, 5e-324, 0.1,
            0.30000000000000004, 1.0, 1.0000000000000002, 9007199254740992.0, 1.7976931348623157e308,
        ),
    ),
    "decimal": Kind(
        "money",
        "money_n",
        (
            Decimal("-999999999999.99"), Decimal("-10.00"), Decimal("-9.99"), Decimal("-0.01"), Decimal("0.00"),
            Decimal("0.01"), Decimal("1.10"), Decimal("9.99"), Decimal("10.00"), Decimal("999999999999.99"),
        ),
    ),
    "bool": Kind("flag", "flag_n", (False, True), is_compared=False),
    "datetime": Kind(
        "moment",
        "moment_n",
        (
            _moment("0001-01-01T00:00:00+00:00"), _moment("1582-10-04T12:00:00+00:00"),
            _moment("1969-12-31T23:59:59.999+00:00"), _moment("1970-01-01T00:00:00+00:00"),
            _moment("2026-02-28T23:59:59.999+00:00"), _moment("2026-03-01T00:00:00+00:00"),
            _moment("9999-12-31T23:59:59.999+00:00"),
        ),
    ),
    "date": Kind("on_day", "on_day_n", (date.min, date(1969, 12, 31), date(1970, 1, 1), date(2024, 2, 29), date.max)),
    "time": Kind("clock", "clock_n", (time(0), time(0, 0, 0, 1), time(9), time(10), time(23, 59, 59, 999_999))),
    "timedelta": Kind(
        "span",
        "span_n",
        (
            timedelta(microseconds=-(2**63)), timedelta(days=-1), timedelta(microseconds=-1), timedelta(0),
            timedelta(microseconds=1), timedelta(seconds=1), timedelta(days=400, microseconds=7),
            timedelta(microseconds=2**63 - 1),
        ),
    ),
    "bytes": Kind(
        "blob", "blob_n", (b"", b"\x00", b"\x00\x00", b"a'b\"c", bytes(range(256)), b"\xff"), is_compared=False, is_ordered=False
    ),
    "uuid": Kind(
        "ref",
        "ref_n",
        (
            UUID(int=0), UUID("00000000-0000-7000-8000-0000000000ff"), UUID("7fffffff-ffff-4fff-bfff-ffffffffffff"),
            UUID("80000000-0000-4000-8000-000000000000"), UUID(int=2**128 - 1),
        ),
    ),
    "objectid": Kind(
        "legacy",
        "legacy_n",
        (
            ObjectId(bytes(12)), ObjectId("00000000000000000000007f"), ObjectId("5f43a1b2c3d4e5f607182930"),
            ObjectId("80c3a1b2c3d4e5f607182930"), ObjectId(b"\xff" * 12),
        ),
    ),
    "enum of str": Kind("colour", "colour_n", (Colour.BLUE, Colour.GREEN, Colour.RED)),
    "enum of int": Kind("level", "level_n", (Level.LOW, Level.HIGH)),
    "literal": Kind("word", "word_n", ("no", "yes")),
}
"""By what a report calls them."""
# fmt: on

ODD_KEYS: tuple[str, ...] = (
    "", " ", ".", "a.b", "a.b.c", ".a", "a.", "$", "$set", "$ne", "a$b", "_id", "id", "0", "-1", "key with spaces", "ключ", "😀",
    "'", '"', "\\", "`", "--", "%s", "%(x)s", "?", ":name", "{}", "[0]", "\n", "null", "__proto__", "constructor", "a\u0308", "ä",
    "A", "a", "x" * 1_000,
)  # fmt: skip
"""Keys of a dict that some store would take for something else."""


def every_kind(position: int) -> Zoo:
    """Return an entity whose nullable fields hold a low (0), a middle (1) or a high (2) value, each of its kind."""
    places = [Place(latitude=float(position), longitude=position / 4)]
    return Zoo(
        text_n=("B", "a", "é")[position],
        integer_n=(-5, 0, 2**40)[position],
        real_n=(-0.5, 0.1, 1e300)[position],
        money_n=(Decimal("-1.500000"), Decimal("0.000001"), Decimal("7.250000"))[position],
        flag_n=(False, True, True)[position],
        moment_n=(
            _moment("1960-05-05T05:05:05.005Z"),
            _moment("2000-01-01T00:00Z"),
            _moment("2038-01-19T03:14:08Z"),
        )[position],
        on_day_n=(date(1900, 1, 1), date(2000, 1, 1), date(2100, 1, 1))[position],
        clock_n=(time(1), time(12, 30), time(23, 59, 59, 5))[position],
        span_n=(timedelta(seconds=-1), timedelta(0), timedelta(days=3))[position],
        blob_n=(b"\x00", b"a", b"\xff\xfe")[position],
        ref_n=(UUID(int=1), UUID(int=2), UUID(int=2**127))[position],
        legacy_n=(ObjectId(bytes(12)), ObjectId(b"a" * 12), ObjectId(b"\xff" * 12))[position],
        colour_n=(Colour.BLUE, Colour.GREEN, Colour.RED)[position],
        level_n=(Level.LOW, Level.HIGH, Level.HIGH)[position],
        word_n=("no", "yes", "yes")[position],
        address_n=Address(city=("Aachen", "Bonn", "Celle")[position], floor=position, place=places[0]),
        extra_n={
            "n": (-1, 0, 2.5)[position],
            "s": ("B", "a", "é")[position],
            "b": (False, True, True)[position],
        },
        tags_n=["x", ("B", "a", "é")[position]],
    )


def assert_same(found: Any, expected: Any, where: str = "") -> None:
    """Assert that both are equal *with their types*: in Python `True == 1 == 1.0` and `Decimal("1.1") == Decimal("1.10")`."""
    # Not isinstance: it would narrow Any to containers of unknown things.
    kind = expected.__class__
    assert type(found) is kind, f"{where}: {type(found).__name__}, not {kind.__name__}"
    if issubclass(kind, dict):
        assert found.keys() == expected.keys(), f"{where}: other keys: {found.keys() ^ expected.keys()}"
        for name, value in expected.items():
            assert_same(found[name], value, f"{where}[{name!r}]")
    elif issubclass(kind, list | tuple):
        assert len(found) == len(expected), f"{where}: {len(found)} elements, not {len(expected)}"
        for place, value in enumerate(expected):
            assert_same(found[place], value, f"{where}[{place}]")
    elif issubclass(kind, BaseModel):
        assert_same(found.__dict__, expected.__dict__, where or kind.__name__)
    else:
        assert found == expected, f"{where}: {found!r}, not {expected!r}"
        if kind is Decimal:
            assert found.as_tuple() == expected.as_tuple(), f"{where}: {found!r}, not {expected!r}"
        if kind is float:
            assert math.copysign(1, found) == math.copysign(1, expected), f"{where}: the sign of zero"
        if kind is datetime:
            assert found.utcoffset() == expected.utcoffset(), f"{where}: another time zone"


def same_json(found: Any, expected: Any) -> bool:
    """Whether two JSON values are equal where int or float is not promised, but bool is no number."""
    kinds: set[Any] = {type(found), type(expected)}
    if kinds <= {int, float}:
        return bool(found == expected)
    if len(kinds) > 1:
        return False
    if kinds == {dict}:
        return bool(found.keys() == expected.keys()) and all(
            same_json(found[k], v) for k, v in expected.items()
        )
    if kinds == {list}:
        return len(found) == len(expected) and all(map(same_json, found, expected))
    return bool(found == expected)


def shuffled(values: Sequence[Any]) -> list[Any]:
    """Return the values in an order that is neither theirs nor its reverse, and always the same."""
    return [*values[1::3], *reversed(values[2::3]), *values[0::3]]


def in_order(entities: Iterable[Any], *keys: str) -> list[Any]:
    """Return the ids in the order of *keys* (`"-rank"` descends): null first, descending last; ties by id, as the last key."""
    rows = list(entities)
    for key in reversed([*keys, "-id" if keys and keys[-1].startswith("-") else "id"]):
        name = key.removeprefix("-")
        rows.sort(key=lambda e: ((v := getattr(e, name)) is not None, v), reverse=key.startswith("-"))
    return [e.id for e in rows]
