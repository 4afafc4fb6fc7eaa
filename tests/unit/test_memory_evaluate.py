"""What filters, orders, changes and groups mean, row by row, without a store."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbkit import (
    Embedded,
    Filter,
    Group,
    Mapped,
    OutOfRange,
    Record,
    any_of,
    any_related,
    avg,
    count,
    count_distinct,
    day,
    field,
    key,
    max_,
    min_,
    month,
    sum_,
    via,
    year,
)
from dbkit.entity import spec_of
from dbkit.fields import total_order
from dbkit.query import And, seek
from dbkit.values import INT_MAX
from dbkit.views import group_of
from dbkit_memory.evaluate import (
    Row,
    changed,
    condition,
    copied,
    encode,
    grouped,
    in_order,
    is_after,
    same,
    value_of,
)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Home(Embedded):
    city: Mapped[str | None] = field(default=None, stored_as="town")


class Owner(Record[int], name="memory_owners"):
    id: Mapped[int]
    name: Mapped[str | None] = field(default=None)
    home: Mapped[Home | None] = field(default=None)


class Thing(Record[int], name="memory_things"):
    id: Mapped[int]
    owner: Mapped[int | None] = field(default=None, references=lambda: Owner)
    n: Mapped[int | None] = field(default=None, stored_as="number")
    s: Mapped[str | None] = field(default=None)
    money: Mapped[Decimal | None] = field(default=None, max_digits=18, decimal_places=2)
    small: Mapped[int] = field(default=0, ge=-10, le=10)
    real: Mapped[float | None] = field(default=None)
    colour: Mapped[Colour | None] = field(default=None)
    extra: Mapped[dict[str, Any] | None] = field(default=None)
    tags: Mapped[list[Any] | None] = field(default=None)
    words: Mapped[list[str] | None] = field(default=None, max_length=3)
    at: Mapped[datetime | None] = field(default=None)


class Related:
    """The other rows, in lists."""

    def __init__(self, **tables: list[Row]) -> None:
        self.tables = tables

    def row(self, table: str, id: Any) -> Row | None:
        return next((row for row in self.tables.get(table, []) if row["id"] == id), None)

    def referring(self, table: str, column: str, id: Any) -> Iterable[Row]:
        return [row for row in self.tables.get(table, []) if row[column] == id]


def row(entity: Any) -> Row:
    spec = spec_of(type(entity))
    return {f.stored: encode(getattr(entity, f.name), f.type) for f in spec.fields}


def thing(**values: Any) -> Row:
    return row(Thing(id=values.pop("id", 1), **values))


def holds(where: Filter, of: Row, *, rows: Related | None = None) -> bool:
    meets, beyond = condition(where), condition(~where)
    answer = meets(of, rows or Related())
    assert beyond(of, rows or Related()) is not answer, "~ is the exact complement"
    return answer


# -- filters -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "null", "three", "four"),
    [
        (Thing.n == 3, False, True, False),
        (Thing.n != 3, True, False, True),
        (Thing.n < 4, False, True, False),
        (Thing.n <= 3, False, True, False),
        (Thing.n > 3, False, False, True),
        (Thing.n >= 4, False, False, True),
        (Thing.n.between(3, 3), False, True, False),
        (Thing.n == None, True, False, False),  # noqa: E711
        (Thing.n != None, False, True, True),  # noqa: E711
        (Thing.n.is_null(), True, False, False),
        (Thing.n.in_([3, 5]), False, True, False),
        (Thing.n.in_([3, None]), True, True, False),
        (Thing.n.in_([]), False, False, False),
        (Thing.n.not_in([3]), True, False, True),
        (Thing.n.not_in([3, None]), False, False, True),
        (Thing.n.not_in([]), True, True, True),
        (~(Thing.n > 3), True, True, False),
        (any_of(Thing.n > 3, Thing.n.is_null()), True, False, True),
        ((Thing.n > 2) & ~(Thing.n == 4), False, True, False),
    ],
)
def test_filters_are_two_valued(where: Filter, null: bool, three: bool, four: bool) -> None:
    assert [holds(where, thing(n=n)) for n in (None, 3, 4)] == [null, three, four]


def test_text_is_compared_by_code_point() -> None:
    assert holds(Thing.s.contains(""), thing(s=""))
    assert not holds(Thing.s.contains(""), thing(s=None))
    assert holds(Thing.s.contains("%"), thing(s="50%"))
    assert not holds(Thing.s.contains("A"), thing(s="a"))
    assert not holds(Thing.s.starts_with("e"), thing(s="é"))
    assert holds(Thing.s > "\uffff", thing(s="\U00010000"))


def test_an_element_is_of_exactly_the_type() -> None:
    of = thing(tags=[True, "1", [1], {"a": 1}, None])
    assert holds(Thing.tags.has(True), of)
    assert holds(Thing.tags.has("1"), of)
    assert not holds(Thing.tags.has(1), of)
    assert not holds(Thing.tags.has(1), thing(tags=None))


def test_what_is_behind_a_key_is_typed_and_may_be_missing() -> None:
    key_ = Thing.extra["k"]
    for extra in (None, {}, {"k": None}):
        assert holds(key_ == None, thing(extra=extra))  # noqa: E711
        assert holds(key_ != 1, thing(extra=extra))
        assert not holds(key_ < 1, thing(extra=extra))
    assert holds(key_ == 1, thing(extra={"k": 1.0}))
    assert not holds(key_ == 1, thing(extra={"k": True}))
    assert not holds(key_ == 1, thing(extra={"k": "1"}))
    assert not holds(key_ == None, thing(extra={"k": []}))  # noqa: E711
    assert not holds(key_ < 2, thing(extra={"k": "1"}))
    assert holds(key_.in_([True, "x"]), thing(extra={"k": True}))
    assert not holds(key_.in_([1, "x"]), thing(extra={"k": True}))


def test_an_enum_is_compared_by_its_value() -> None:
    assert holds(Thing.colour == Colour.RED, thing(colour=Colour.RED))
    assert holds(Thing.colour.in_([Colour.RED]), thing(colour=Colour.RED))
    assert thing(colour=Colour.RED)["colour"] == "red"


def test_a_missing_parent_reads_as_none() -> None:
    name, city = via(Thing.owner, Owner.name), via(Thing.owner, via(Owner.home, Home.city))
    rows = Related(memory_owners=[row(Owner(id=1, name="a", home=Home(city="X"))), row(Owner(id=2))])
    for owner, found_name, found_city in (
        (1, "a", "X"),
        (2, None, None),
        (3, None, None),
        (None, None, None),
    ):
        of = thing(owner=owner)
        assert value_of(name.path)(of, rows) == found_name
        assert value_of(city.path)(of, rows) == found_city
        assert holds(name.is_null(), of, rows=rows) is (found_name is None)
        assert holds(name != "a", of, rows=rows) is (found_name != "a")


def test_any_related_is_about_at_least_one_child() -> None:
    rows = Related(memory_things=[thing(id=1, owner=1, n=5), thing(id=2, owner=1, n=1), thing(id=3, owner=2)])
    of = row(Owner(id=1))
    assert holds(any_related(Thing.owner), of, rows=rows)
    assert holds(any_related(Thing.owner, Thing.n > 4), of, rows=rows)
    assert not holds(any_related(Thing.owner, Thing.n > 4, Thing.n < 5), of, rows=rows)
    assert not holds(any_related(Thing.owner), row(Owner(id=9)), rows=rows)


def test_equality_goes_all_the_way_down() -> None:
    assert same({"a": [1, None]}, {"a": [1.0, None]})
    assert not same({"a": [1]}, {"a": [True]})
    assert not same({"a": None}, {})
    assert not same([1], [1, 1])


def test_copies_share_no_container() -> None:
    data = {"a": [{"b": [1]}]}
    made = copied(data)
    made["a"][0]["b"].append(2)
    assert data == {"a": [{"b": [1]}]}


# -- orders ------------------------------------------------------------------------------------------------------------

small = st.none() | st.integers(0, 3)
things = st.lists(st.tuples(small, st.sampled_from([None, "", "a", "b"])), max_size=12).map(
    lambda pairs: [thing(id=id, n=n, s=s) for id, (n, s) in enumerate(pairs)]
)
orders = st.lists(
    st.sampled_from(
        [Thing.n.asc(), Thing.n.desc(), Thing.s.asc(), Thing.s.desc(), Thing.id.asc(), Thing.id.desc()]
    ),
    max_size=3,
).map(lambda keys: total_order(spec_of(Thing), keys))


def test_null_is_first_ascending_and_last_descending() -> None:
    rows = [thing(id=i, n=n) for i, n in enumerate((2, None, 1, None))]
    up = in_order(rows, total_order(spec_of(Thing), Thing.n), Related())
    down = in_order(rows, total_order(spec_of(Thing), Thing.n.desc()), Related())
    assert [r["id"] for r in up] == [1, 3, 2, 0]
    assert [r["id"] for r in down] == [0, 2, 3, 1]


@given(things, orders)
def test_what_is_after_a_row_is_what_stands_behind_it(rows: list[Row], order: Any) -> None:
    """And `query.seek`, which the servers' backends compile, takes the same rows, each by one branch, in order."""
    related = Related()
    done = in_order(rows, order, related)
    values = [value_of(o.path) for o in order]
    for place, last in enumerate(done):
        after = [value(last, related) for value in values]
        behind = [r for r in done if is_after([value(r, related) for value in values], after, order)]
        assert behind == done[place + 1 :]
        branches = [condition(And(tuple(branch))) for branch in seek(order, after)]
        assert [r for branch in branches for r in done if branch(r, related)] == behind


# -- changes -----------------------------------------------------------------------------------------------------------


def change(of: Row, *changes: Any) -> Row:
    return changed(of, changes, Related())


def test_changes_are_computed_from_the_row_as_it_was() -> None:
    after = change(thing(n=1, small=2), Thing.n.set(Thing.small), Thing.small.set(Thing.small + Thing.small))
    assert (after["number"], after["small"]) == (2, 4)


def test_null_makes_null() -> None:
    assert change(thing(n=None), Thing.n.set(Thing.n + 1))["number"] is None


@pytest.mark.parametrize(
    ("of", "made"),
    [
        ({"small": 10}, Thing.small.set(Thing.small + 1)),
        ({"n": INT_MAX}, Thing.n.set(Thing.n + 1)),
        ({"n": INT_MAX}, Thing.n.set(Thing.n + 1 - 1)),
        ({"money": Decimal("9999999999999999.99")}, Thing.money.set(Thing.money + Decimal("0.01"))),
        ({"money": Decimal("9999999999999999.99")}, Thing.money.set(Thing.money * 100 - Thing.money * 99)),
        ({"real": 1e308}, Thing.real.set(Thing.real * 10.0)),
        ({"words": ["a", "b", "c"]}, Thing.words.append("d")),
    ],
)
def test_out_of_range_also_on_the_way(of: dict[str, Any], made: Any) -> None:
    with pytest.raises(OutOfRange) as caught:
        change(thing(**of), made)
    assert caught.value.field == made.field.name


def test_decimals_are_exact_and_have_no_negative_zero() -> None:
    after = change(thing(money=Decimal("0.10")), Thing.money.set(Thing.money * -3 + Decimal("0.30")))["money"]
    assert str(after) == "0.00"
    assert str(change(thing(real=1.0), Thing.real.set(Thing.real * -0.0))["real"]) == "0.0"


def test_lists() -> None:
    assert change(thing(tags=None), Thing.tags.append(1))["tags"] == [1]
    assert change(thing(tags=None), Thing.tags.remove(1))["tags"] is None
    assert change(thing(tags=[1, True, 1.0, "1"]), Thing.tags.remove(1))["tags"] == [True, "1"]
    before = thing(tags=[1])
    change(before, Thing.tags.append(2))
    assert before["tags"] == [1]


# -- groups ------------------------------------------------------------------------------------------------------------


class Figures(Group[Thing]):
    n: Mapped[int] = count()
    different: Mapped[int] = count_distinct(Thing.s)
    total: Mapped[int] = sum_(Thing.n)
    money: Mapped[Decimal] = sum_(Thing.money)
    real: Mapped[float] = sum_(Thing.real)
    mean: Mapped[Decimal | None] = avg(Thing.n)
    mean_money: Mapped[Decimal | None] = avg(Thing.money)
    least: Mapped[str | None] = min_(Thing.s)
    most: Mapped[str | None] = max_(Thing.s)


def figures(rows: list[Row]) -> dict[str, Any]:
    (one,) = grouped(group_of(Figures), rows, Related())
    return one


def test_figures_over_nothing() -> None:
    assert figures([]) == {
        "n": 0,
        "different": 0,
        "total": 0,
        "money": Decimal("0.00"),
        "real": 0.0,
        "mean": None,
        "mean_money": None,
        "least": None,
        "most": None,
    }


def test_nulls_are_counted_as_rows_only() -> None:
    made = figures([thing(), thing(s="b", n=2), thing(s="a"), thing(s="b")])
    assert (made["n"], made["different"], made["total"], made["mean"]) == (4, 2, 2, Decimal("2.000000"))
    assert (made["least"], made["most"]) == ("a", "b")


@given(st.lists(st.decimals(-(10**16) + 1, 10**16 - 1, places=2), min_size=1))
def test_sums_and_averages_are_exact(values: list[Decimal]) -> None:
    made = figures([thing(money=v) for v in values])
    total = sum(map(Fraction, values))
    assert Fraction(made["money"]) == total
    assert Fraction(made["mean_money"]) == Fraction(round(total / len(values) * 10**8), 10**8)
    assert made["mean_money"].as_tuple().exponent == -8


@given(st.lists(st.integers(-(2**63), INT_MAX), min_size=1))
def test_int_sums_have_any_size(values: list[int]) -> None:
    made = figures([thing(n=v) for v in values])
    assert made["total"] == sum(values)
    assert Fraction(made["mean"]) == Fraction(round(Fraction(sum(values), len(values)) * 10**6), 10**6)


class Days(Group[Thing]):
    day: Mapped[date | None] = key(day(Thing.at))
    month: Mapped[date | None] = key(month(Thing.at))
    year: Mapped[date | None] = key(year(Thing.at))


@given(st.none() | st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)))  # noqa: DTZ001
def test_a_calendar_key_is_the_date_at_which_the_period_starts(at: datetime | None) -> None:
    moment = None if at is None else at.replace(tzinfo=UTC)
    (made,) = grouped(group_of(Days), [thing(at=moment)], Related())
    if at is None:
        assert made == {"day": None, "month": None, "year": None}
    else:
        start = at.date()
        assert made["day"] == start
        assert made["month"] == start - timedelta(days=start.day - 1)
        assert made["year"] == date(start.year, 1, 1)


class Both(Group[Thing]):
    n: Mapped[int | None] = key(Thing.n)
    s: Mapped[str | None] = key(Thing.s)
    rows: Mapped[int] = count()


def test_null_keys_are_one_group() -> None:
    rows = [thing(n=1, s="a"), thing(), thing(n=1), thing(), thing(n=1, s="a")]
    made = grouped(group_of(Both), rows, Related())
    found = [(r["n"], r["s"], r["rows"]) for r in made]
    assert sorted(found, key=repr) == sorted([(1, "a", 2), (None, None, 2), (1, None, 1)], key=repr)
