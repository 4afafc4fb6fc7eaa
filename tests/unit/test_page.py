"""Cursors: whole, of this query, and nothing else; the same in every process and on every store."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbkit import any_of, any_related, via
from dbkit.building import filter_of, sort_keys
from dbkit.entity import Entity, spec_of
from dbkit.errors import InvalidCursor
from dbkit.fields import Mapped, field
from dbkit.page import Cursors
from dbkit.query import Filter, Order


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 10


class Row(Entity, name="page_rows"):
    text: Mapped[str] = field(default="")
    text_n: Mapped[str | None] = field(default=None)
    number: Mapped[int] = field(default=0)
    number_n: Mapped[int | None] = field(default=None)
    real: Mapped[float] = field(default=0.0)
    money: Mapped[Decimal] = field(default=Decimal(0), max_digits=18, decimal_places=4)
    flag: Mapped[bool] = field(default=False)
    moment: Mapped[datetime | None] = field(default=None)
    on_day: Mapped[date | None] = field(default=None)
    clock: Mapped[time | None] = field(default=None)
    span: Mapped[timedelta | None] = field(default=None)
    colour: Mapped[Colour] = field(default=Colour.RED)
    level: Mapped[Level | None] = field(default=None)
    parent: Mapped[UUID | None] = field(default=None, references=lambda: Row)


ROW = spec_of(Row)
ID = UUID("0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee")
FIELDS = [f for f in ROW.by_name.values() if f.name not in {"created_at", "updated_at", "parent"}]

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
moments = st.datetimes(timezones=st.just(UTC)).map(
    lambda d: d.replace(microsecond=d.microsecond // 1000 * 1000, fold=0)
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "id": st.uuids(),
    "text": texts,
    "text_n": st.none() | texts,
    "number": st.integers(-(2**63), 2**63 - 1),
    "number_n": st.none() | st.integers(-(2**63), 2**63 - 1),
    "real": st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0),
    "money": st.integers(-(10**18) + 1, 10**18 - 1).map(lambda n: Decimal(n).scaleb(-4)),
    "flag": st.booleans(),
    "moment": st.none() | moments,
    "on_day": st.none() | st.dates(),
    "clock": st.none() | st.times().map(lambda t: t.replace(fold=0)),
    "span": st.none() | st.timedeltas(timedelta(days=-100_000), timedelta(days=100_000)),
    "colour": st.sampled_from(Colour),
    "level": st.none() | st.sampled_from(Level),
}


def order_by(*names: str) -> tuple[Order, ...]:
    keys = [getattr(Row, n.lstrip("-")) for n in names]
    return sort_keys(ROW, [k.desc() if n[0] == "-" else k for k, n in zip(keys, names, strict=True)], "page")


def where(*filters: Any) -> Filter | None:
    return filter_of(ROW, filters, "page")


@st.composite
def positions(draw: st.DrawFn) -> tuple[tuple[Order, ...], tuple[Any, ...]]:
    names = draw(st.lists(st.sampled_from(sorted(VALUES.keys() - {"id"})), unique=True, max_size=4))
    order = order_by(*(draw(st.sampled_from(["", "-"])) + n for n in names))
    return order, tuple(draw(VALUES[o.path.field.name]) for o in order)


@given(positions(), st.sampled_from([None, b"0123456789abcdef"]))
def test_a_cursor_gives_back_what_it_was_made_of(
    position: tuple[tuple[Order, ...], tuple[Any, ...]], key: bytes | None
) -> None:
    order, values = position
    token = Cursors(key).encode(ROW, None, order, values)
    read = Cursors(key).decode(token, ROW, None, order)
    assert read == values
    assert [type(v) for v in read] == [type(v) for v in values]
    assert repr(read) == repr(values)


@given(positions())
def test_a_cursor_passes_through_urls(position: tuple[tuple[Order, ...], tuple[Any, ...]]) -> None:
    order, values = position
    assert set(Cursors().encode(ROW, None, order, values)) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    )


ORDER = order_by("-number", "text_n")
FILTER = where(Row.number > 3, Row.text == "x")
TOKEN = Cursors().encode(ROW, FILTER, ORDER, (5, "y", ID))
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def refused(token: Any, cursors: Cursors | None = None, order: tuple[Order, ...] = ORDER) -> InvalidCursor:
    with pytest.raises(InvalidCursor) as caught:
        (cursors or Cursors()).decode(token, ROW, FILTER, order)
    assert caught.value.entity == "Row"
    return caught.value


def test_every_other_character_in_every_place_is_noticed() -> None:
    for place, right in enumerate(TOKEN):
        for other in {ALPHABET[(ALPHABET.index(right) + step) % 64] for step in (1, 2, 4, 8, 16, 32)}:
            refused(TOKEN[:place] + other + TOKEN[place + 1 :])


def test_every_truncation_and_every_addition_is_noticed() -> None:
    for end in range(len(TOKEN)):
        refused(TOKEN[:end])
        refused(TOKEN[end + 1 :])
        refused(TOKEN[:end] + TOKEN[end + 1 :])
    for added in ("A", "AA", "=", "==", " ", "\n", "%3D"):
        refused(TOKEN + added)
        refused(added + TOKEN)


@given(st.text() | st.binary() | st.none() | st.integers() | st.text(ALPHABET))
def test_anything_else_is_no_cursor(token: Any) -> None:
    refused(token)


@given(st.lists(st.tuples(st.integers(0, len(TOKEN) - 1), st.sampled_from(ALPHABET)), min_size=1))
def test_any_change_is_noticed(changes: list[tuple[int, str]]) -> None:
    letters = list(TOKEN)
    for place, letter in changes:
        letters[place] = letter
    changed = "".join(letters)
    if changed != TOKEN:
        refused(changed)


def test_another_querys_cursor_is_refused() -> None:
    others: list[tuple[Filter | None, tuple[Order, ...]]] = [
        (None, ORDER),
        (where(Row.number > 4, Row.text == "x"), ORDER),
        (where(Row.number >= 3, Row.text == "x"), ORDER),
        (where(Row.number > 3, Row.text == "y"), ORDER),
        (where(Row.number > 3, Row.text != "x"), ORDER),
        (where(Row.text == "x", Row.number > 3), ORDER),
        (where(Row.number_n > 3, Row.text == "x"), ORDER),
        (where(any_of(Row.number > 3, Row.text == "x")), ORDER),
        (where(~(Row.number > 3), Row.text == "x"), ORDER),
        (FILTER, order_by("number", "text_n")),
        (FILTER, order_by("-number", "-text_n")),
        (FILTER, order_by("-number", "text")),
        (FILTER, order_by("-number")),
        (FILTER, order_by("text_n", "-number")),
    ]
    for condition, order in others:
        with pytest.raises(InvalidCursor, match="another query"):
            Cursors().decode(TOKEN, ROW, condition, order)


def test_filters_that_differ_in_their_kind_only_are_told_apart() -> None:
    filters = [
        Row.text == "a", Row.text != "a", Row.text < "a", Row.text.contains("a"), Row.text.starts_with("a"),
        Row.text.in_(["a"]), Row.text.in_(["a", "b"]), Row.text.in_(["b", "a"]), Row.text_n == "a", Row.text_n.is_null(),
        ~Row.text_n.is_null(), via(Row.parent, Row.text) == "a", via(Row.parent, Row.text_n) == "a",
        via(Row.parent, via(Row.parent, Row.text)) == "a", any_related(Row.parent), any_related(Row.parent, Row.text == "a"),
        any_related(Row.parent, Row.text == "b"), (Row.text == "a") & (Row.text == "b"),
        (Row.text == "a") | (Row.text == "b"), ~((Row.text == "a") | (Row.text == "b")),
    ]  # fmt: skip
    order = order_by("text")
    tokens = {Cursors().encode(ROW, where(f), order, ("x", ID)) for f in filters}
    assert len(tokens) == len(filters)


def test_another_entitys_cursor_is_refused() -> None:
    class Other(Entity, name="page_other"):
        number: Mapped[int] = field(default=0)
        text_n: Mapped[str | None] = field(default=None)
        text: Mapped[str] = field(default="")

    other = spec_of(Other)
    token = Cursors().encode(other, None, sort_keys(other, None, "page"), (ID,))
    with pytest.raises(InvalidCursor, match="another query"):
        Cursors().decode(token, ROW, None, order_by())


def test_a_signed_cursor_needs_its_key() -> None:
    signed = Cursors(b"k" * 16)
    token = signed.encode(ROW, FILTER, ORDER, (5, "y", ID))
    assert signed.decode(token, ROW, FILTER, ORDER) == (5, "y", ID)
    refused(token)
    refused(token, Cursors(b"l" * 16))
    refused(TOKEN, signed)


# -- forged: the checksum is right, as anybody can compute it ------------------------------------------------------------


def forged(body: bytes, version: int = 1) -> str:
    raw = base64.urlsafe_b64decode(TOKEN + "=" * (-len(TOKEN) % 4))
    payload = bytes([version]) + raw[17:26] + body
    tag = hashlib.blake2b(payload, digest_size=16, person=b"dbkit cursor").digest()
    return base64.urlsafe_b64encode(tag + payload).rstrip(b"=").decode()


def test_forging_is_possible_without_a_key_so_the_next_tests_mean_something() -> None:
    body = json.dumps([5, "y", ID.hex]).encode()
    assert Cursors().decode(forged(body), ROW, FILTER, ORDER) == (5, "y", ID)


FORGED = [
    b"", b"{", b"{}", b"null", b"[]", b"[1]", b'[5,"y"]', b'[5,"y","zz"]', b'[5,"y",null]', b'[null,"y",null]',
    b'["5","y","%s"]', b'[5.0,"y","%s"]', b'[true,"y","%s"]', b'[5,5,"%s"]', b'[5,["y"],"%s"]', b'[5,{"$ne":1},"%s"]',
    b'[5,"\\u0000","%s"]', b'[5,"\\ud800","%s"]', b'[9223372036854775808,"y","%s"]', b'[1e999,"y","%s"]',
    b'[NaN,"y","%s"]', b'[5,"y",5]', b'[5,"y","%s",1]', b"\xff\xfe", b"[" * 100_000, b'{"a":' * 50_000,
    b"[" + b"1" * 5_000 + b"]", b'[5,"y","%s"] ,',
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(FORGED)))
def test_a_forged_cursor_of_wrong_values_is_refused(number: int) -> None:
    refused(forged(FORGED[number].replace(b"%s", ID.hex.encode())))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(VALUES)), JSON)
def test_a_forged_value_is_of_its_fields_type_or_refused(name: str, value: Any) -> None:
    order = order_by(name)
    token = Cursors().encode(
        ROW, None, order, tuple(None if o.path.type.nullable else _SAMPLE[o.path.field.name] for o in order)
    )
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    values = [value] if name == "id" else [value, ID.hex]
    payload = raw[16:26] + json.dumps(values).encode()
    tag = hashlib.blake2b(payload, digest_size=16, person=b"dbkit cursor").digest()
    made = base64.urlsafe_b64encode(tag + payload).rstrip(b"=").decode()
    try:
        read = Cursors().decode(made, ROW, None, order)
    except InvalidCursor:
        return
    found = ROW.by_name[name].type
    assert (
        read[0] is None
        if found.nullable and read[0] is None
        else found.operand.validate_python(read[0]) == read[0]
    )


_SAMPLE: dict[str, Any] = {
    "id": ID, "text": "", "number": 0, "real": 0.0, "money": Decimal("0.0000"), "flag": False, "colour": Colour.RED,
}  # fmt: skip


def test_another_versions_cursor_is_told_apart() -> None:
    with pytest.raises(InvalidCursor, match="another version"):
        Cursors().decode(forged(b"[]", version=2), ROW, FILTER, ORDER)


SCRIPT = """
from dbkit import Entity, Mapped, any_related, field, via
from uuid import UUID
from dbkit.building import filter_of, sort_keys
from dbkit.entity import spec_of
from dbkit.page import Cursors

class Before(Entity, name="page_before"):
    pass

class Row(Entity, name="page_rows"):
    other: Mapped[int] = field(default=0)
    number: Mapped[int] = field(default=0)
    text: Mapped[str] = field(default="")
    parent: Mapped[UUID | None] = field(default=None, references=lambda: Row)

spec = spec_of(Row)
where = filter_of(spec, (Row.number.in_([3, 1]), via(Row.parent, Row.text) == "é", any_related(Row.parent)), "page")
order = sort_keys(spec, [Row.number.desc(), via(Row.parent, Row.text)], "page")
print(Cursors().encode(spec, where, order, (1, "x", UUID(int=7))))
"""


def test_a_cursor_is_the_same_in_every_process() -> None:
    here = where(Row.number.in_([3, 1]), via(Row.parent, Row.text) == "é", any_related(Row.parent))
    order = sort_keys(ROW, [Row.number.desc(), via(Row.parent, Row.text)], "page")
    made = Cursors().encode(ROW, here, order, (1, "x", UUID(int=7)))
    for seed in ("0", "1"):
        run = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))},
        )
        assert run.stdout.strip() == made


def test_many_shapes_do_not_grow_without_end() -> None:
    cursors = Cursors()
    for size in range(1_200):
        condition = where(any_of(*(Row.number == n for n in range(size % 100 + 1)))) if size % 2 else None
        order = order_by(*(["number"] if size % 3 else ["-text"]))
        cursors.encode(ROW, condition, order, (1 if size % 3 else "x", ID))
    assert len(cursors._texts) <= 1_001
