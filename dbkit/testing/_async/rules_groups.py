"""SEMANTICS, "Groups": exact figures, computed by the store."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from dbkit import InvalidInput, TooLarge

from ..entities import FAMILY, Author, Book, Colour, Country, Level, Sale, Zoo
from ..kit import rule
from ..samples import assert_same, every_kind, shuffled
from ..shapes import (
    BooksByAuthor,
    ReturnsByMonth,
    SalesByDay,
    SalesByMonth,
    SalesByRegion,
    SalesByRegionAndProduct,
    SalesByYear,
    SalesTotal,
    SalesWeight,
    ZooByEverything,
    ZooExtremes,
)
from ..watch import raises
from .case import AsyncCase
from .checks import fill

NEEDS = ("groups",)


@rule("groups", needs=NEEDS)
async def groups_over_nothing(case: AsyncCase) -> None:
    """Without keys there is exactly one row, even over nothing: count and sums are 0, avg, min and max None; with keys none."""
    async with case.database(Sale) as db:
        store = db.store(Sale)
        for where in ((), (Sale.units > 7,), (Sale.units.in_([]),)):
            (total,) = await store.group(SalesTotal, *where)
            nothing = SalesTotal(
                rows=0, products=0, units=0, amount=Decimal("0.0000"), mean_units=None, mean_amount=None, least=None,
                most=None, first=None, last_region=None,
            )  # fmt: skip
            assert_same(total, nothing)
            assert await store.group(SalesByRegion, *where) == []
            await store.create(Sale(units=7))
        (weight,) = await store.group(SalesWeight)
        assert_same(weight, SalesWeight(total=0.0, mean=None, least=None))


@rule("groups", needs=NEEDS)
async def figures_leave_nulls_out(case: AsyncCase) -> None:
    """sum, avg, min, max and count_distinct leave nulls out; over nulls alone they are as over nothing; count counts rows."""
    async with case.database(Sale) as db:
        await fill(
            db.store(Sale),
            [
                Sale(region="n", product=1, units=3, amount=Decimal("1.5")),
                Sale(region="n", product=1, units=None, amount=None),
                Sale(region="n", product=2, units=4, amount=Decimal("-0.25")),
                Sale(region="n", product=None, units=None),
                Sale(region="null"),
                Sale(region="null"),
            ],
        )
        n, null = await db.store(Sale).group(SalesByRegion)
        assert_same(
            n, SalesByRegion(region="n", rows=4, units=7, amount=Decimal("1.2500"), products=2, most=4)
        )
        assert_same(
            null,
            SalesByRegion(region="null", rows=2, units=0, amount=Decimal("0.0000"), products=0, most=None),
        )
        (total,) = await db.store(Sale).group(SalesTotal, Sale.region == "n")
        assert_same(total.mean_units, Decimal("3.500000"))
        assert_same(total.mean_amount, Decimal("0.6250000000"))
        assert_same(total.least, Decimal("-0.2500"))


@rule("groups", needs=NEEDS)
async def int_sums_are_exact_at_any_size(case: AsyncCase) -> None:
    """Sums of ints are exact beyond 64 bits, both ways, and where large ones cancel."""
    async with case.database(Sale) as db:
        store = db.store(Sale)
        most, least = 2**63 - 1, -(2**63)
        await fill(store, [Sale(region="up", units=most) for _ in range(11)])
        await fill(store, [Sale(region="down", units=least) for _ in range(7)])
        await fill(
            store, [Sale(region="cancel", units=units) for units in (most, 3, least, most, least, 2**53 + 1)]
        )
        await fill(store, [Sale(region="small", units=units) for units in (-1, -1, 1, -(2**32), 2**32 - 1)])
        found = {g.region: g.units for g in await store.group(SalesByRegion)}
        assert_same(found, {"up": 11 * most, "down": 7 * least, "cancel": 2**53 + 2, "small": -2})
        (total,) = await store.group(SalesTotal)
        assert_same(total.units, 11 * most + 7 * least + 2**53)
        assert_same(total.mean_units, _average(11 * most + 7 * least + 2**53, 29, 6))


def _average(total: int, count: int, places: int) -> Decimal:
    """Return total / count, half-even at *places*, by ints alone."""
    quotient, rest = divmod(total * 10**places, count)
    if 2 * rest > count or (2 * rest == count and quotient % 2):
        quotient += 1
    return Decimal(quotient).scaleb(-places)


@rule("groups", needs=NEEDS)
async def decimal_sums_are_exact_at_any_size(case: AsyncCase) -> None:
    """Sums of Decimals are exact: two hundred 0.1s are 20, and those of 18 digits go beyond 18."""
    async with case.database(Sale) as db:
        store = db.store(Sale)
        most = Decimal("99999999999999.9999")
        await fill(store, [Sale(region="tenth", amount=Decimal("0.1")) for _ in range(200)])
        await fill(store, [Sale(region="up", amount=most) for _ in range(12)])
        await fill(store, [Sale(region="zero", amount=amount) for amount in (most, Decimal("0.0001"), -most)])
        found = {g.region: g.amount for g in await store.group(SalesByRegion)}
        assert_same(
            found,
            {"tenth": Decimal("20.0000"), "up": Decimal("1199999999999999.9988"), "zero": Decimal("0.0001")},
        )
        (total,) = await store.group(SalesTotal)
        assert_same(total.amount, Decimal("1200000000000019.9989"))


@rule("groups", needs=NEEDS)
async def averages_are_half_even(case: AsyncCase) -> None:
    """Averages of ints and Decimals are Decimals of 6 more places, rounded half-even once, from the exact sum."""
    cases: list[tuple[list[int], str]] = [
        ([1, 2], "1.500000"),
        ([1, 0, 0], "0.333333"),
        ([2, 0, 0], "0.666667"),
        ([-2, 0, 0], "-0.666667"),
        ([1] + [0] * 127, "0.007812"),  # 0.0078125: half, to even
        ([3] + [0] * 127, "0.023438"),  # 0.0234375: half, to even
        ([-1] + [0] * 127, "-0.007812"),
        ([2**63 - 1, 2**63 - 1], "9223372036854775807.000000"),
        ([2**63 - 1, 2**63 - 2], "9223372036854775806.500000"),
    ]
    async with case.database(Sale) as db:
        store = db.store(Sale)
        for place, (units, _) in enumerate(cases):
            await fill(store, [Sale(product=place, units=n) for n in units])
        for place, (_, expected) in enumerate(cases):
            (total,) = await store.group(SalesTotal, Sale.product == place)
            assert_same(total.mean_units, Decimal(expected), str(cases[place][0][:3]))
        await fill(
            store,
            [
                Sale(product=-1, amount=amount)
                for amount in (Decimal("0.0001"), Decimal("0.0002"), Decimal("0.0002"))
            ],
        )
        (total,) = await store.group(SalesTotal, Sale.product == -1)
        assert_same(total.mean_amount, Decimal("0.0001666667"))


@rule("groups", needs=NEEDS)
async def float_sums_hold_within_their_bound(case: AsyncCase) -> None:
    """Float sums and averages hold within 1e-12 of the sum of magnitudes, and come back as floats."""
    weights = [0.1] * 200 + [1e15, -1e15, 3.25, -0.1]
    async with case.database(Sale) as db:
        await fill(db.store(Sale), [Sale(weight=w) for w in [*weights, None]])
        (found,) = await db.store(Sale).group(SalesWeight)
        bound = 1e-12 * math.fsum(map(abs, weights))
        assert isinstance(found.total, float)
        assert isinstance(found.mean, float)
        assert abs(found.total - math.fsum(weights)) <= bound
        assert abs(found.mean - math.fsum(weights) / len(weights)) <= bound
        assert_same(found.least, -1e15)


@rule("groups", needs=NEEDS)
async def null_keys_are_one_group(case: AsyncCase) -> None:
    """Null keys are one group; without order_by groups stand by all keys, ascending, nulls first."""
    pairs = [
        (None, None),
        (None, 2),
        ("", 1),
        ("", None),
        ("A", 1),
        ("a", 1),
        ("a", 10),
        ("a", 9),
        ("\u00e4", 0),
    ]
    async with case.database(Sale) as db:
        rows = [Sale(region=region, product=product) for region, product in pairs for _ in range(2)]
        await fill(db.store(Sale), shuffled(rows))
        found = [(g.region, g.product, g.rows) for g in await db.store(Sale).group(SalesByRegionAndProduct)]
        expected = [
            (None, None, 2), (None, 2, 2), ("", None, 2), ("", 1, 2), ("A", 1, 2), ("a", 1, 2), ("a", 9, 2), ("a", 10, 2),
            ("\u00e4", 0, 2),
        ]  # fmt: skip
        assert found == expected


@rule("groups", needs=NEEDS)
async def groups_are_ordered_totally(case: AsyncCase) -> None:
    """order_by takes keys, counts, exact sums, min and max; ties stand by all keys, ascending, nulls first; limit cuts."""
    async with case.database(Sale) as db:
        store = db.store(Sale)
        for region, units in (
            ("a", [1, 5]),
            ("b", [6]),
            (None, [3, 3]),
            ("c", [None]),
            ("d", [2**63 - 1, 2**63 - 1]),
        ):
            await fill(store, [Sale(region=region, units=n) for n in units])

        async def regions(**options: Any) -> list[Any]:
            return [g.region for g in await store.group(SalesByRegion, **options)]

        assert await regions() == [None, "a", "b", "c", "d"]
        assert await regions(order_by=SalesByRegion.region.desc()) == ["d", "c", "b", "a", None]
        assert await regions(order_by=SalesByRegion.rows.desc()) == [None, "a", "d", "b", "c"]
        assert await regions(order_by=SalesByRegion.units) == ["c", None, "a", "b", "d"]
        assert await regions(order_by=SalesByRegion.units.desc()) == ["d", None, "a", "b", "c"]
        assert await regions(order_by=SalesByRegion.most) == ["c", None, "a", "b", "d"]
        assert await regions(order_by=(SalesByRegion.rows, SalesByRegion.region.desc())) == [
            "c",
            "b",
            "d",
            "a",
            None,
        ]
        assert await regions(order_by=SalesByRegion.units.desc(), limit=2) == ["d", None]
        assert await regions(limit=0) == []
        assert await regions(limit=10_000) == [None, "a", "b", "c", "d"]


@rule("groups", needs=NEEDS)
async def having_filters_groups(case: AsyncCase) -> None:
    """Having filters groups by keys, counts, exact sums, min and max, two-valued, with ~; where filters rows before."""
    async with case.database(Sale) as db:
        store = db.store(Sale)
        most = 2**63 - 1
        for region, units in (("a", [1, 5]), ("b", [6]), (None, [3, 3]), ("c", [None]), ("d", [most, most])):
            await fill(
                store,
                [Sale(region=region, units=n, amount=Decimal(n) if n and n < 9 else None) for n in units],
            )

        async def regions(having: Any, *where: Any) -> list[Any]:
            return [g.region for g in await store.group(SalesByRegion, *where, having=having)]

        by = SalesByRegion
        assert await regions(by.rows > 1) == [None, "a", "d"]
        assert await regions(~(by.rows > 1)) == ["b", "c"]
        assert await regions(by.units == 6) == [None, "a", "b"]
        assert await regions(by.units > most) == ["d"]
        assert await regions(by.units == 2 * most) == ["d"]
        assert await regions(by.amount >= Decimal("6.0")) == [None, "a", "b"]
        assert await regions(by.most.is_null()) == ["c"]
        assert await regions(by.most < 6) == [None, "a"]
        assert await regions(~(by.most < 6)) == ["b", "c", "d"]
        assert await regions(by.most.in_([6, None])) == ["b", "c"]
        assert await regions(by.region.is_null() | (by.rows == 1)) == [None, "b", "c"]
        assert await regions(by.region != "a") == [None, "b", "c", "d"]
        assert await regions(by.region.starts_with("") & (by.products == 0)) == ["a", "b", "c", "d"]
        assert await regions(by.rows == 1, Sale.units > 1) == ["a", "b"]
        assert await regions(by.rows > 5) == []


@rule("groups", needs=NEEDS)
async def averages_and_float_sums_are_no_sort_keys(case: AsyncCase) -> None:
    """Averages and float sums in order_by or having are InvalidInput, on every store."""
    async with case.database(Sale) as db:
        store = db.store(Sale)
        with raises(InvalidInput):
            await store.group(SalesTotal, order_by=SalesTotal.mean_units.desc())
        with raises(InvalidInput):
            await store.group(SalesTotal, having=SalesTotal.mean_amount > 1)
        with raises(InvalidInput):
            await store.group(SalesWeight, order_by=SalesWeight.total)
        with raises(InvalidInput):
            await store.group(SalesWeight, having=SalesWeight.mean.is_null())
        assert len(await store.group(SalesWeight, having=SalesWeight.least.is_null())) == 1


@rule("groups", needs=NEEDS)
async def groups_are_not_cut_off_silently(case: AsyncCase) -> None:
    """Group without a limit gives 1,000 groups, and raises TooLarge beyond; a limit gives more."""
    async with case.database(Sale) as db:
        store = db.store(Sale)
        await fill(store, [Sale(product=n) for n in range(1_001)])
        with raises(TooLarge):
            await store.group(SalesByRegionAndProduct)
        assert len(await store.group(SalesByRegionAndProduct, Sale.product > 0)) == 1_000
        assert [g.product for g in await store.group(SalesByRegionAndProduct, limit=10_000)] == list(
            range(1_001)
        )


@rule("groups", needs=NEEDS)
async def calendar_keys_are_utc_dates(case: AsyncCase) -> None:
    """day, month and year are the UTC date at which the period starts, at every edge, also before 1970 and in leap years."""
    moments = {
        "0001-01-01T00:00:00+00:00": (date(1, 1, 1), date(1, 1, 1), date(1, 1, 1)),
        "1899-12-31T23:59:59.999+00:00": (date(1899, 12, 31), date(1899, 12, 1), date(1899, 1, 1)),
        "1900-02-28T12:00:00+00:00": (date(1900, 2, 28), date(1900, 2, 1), date(1900, 1, 1)),
        "1969-12-31T23:59:59.999+00:00": (date(1969, 12, 31), date(1969, 12, 1), date(1969, 1, 1)),
        "1970-01-01T00:00:00+00:00": (date(1970, 1, 1), date(1970, 1, 1), date(1970, 1, 1)),
        "2000-02-29T23:59:59.999+00:00": (date(2000, 2, 29), date(2000, 2, 1), date(2000, 1, 1)),
        "2026-01-01T01:00:00+02:00": (date(2025, 12, 31), date(2025, 12, 1), date(2025, 1, 1)),
        "2026-12-31T23:30:00-01:00": (date(2027, 1, 1), date(2027, 1, 1), date(2027, 1, 1)),
        "9999-12-31T23:59:59.999+00:00": (date(9999, 12, 31), date(9999, 12, 1), date(9999, 1, 1)),
    }
    async with case.database(Sale) as db:
        store = db.store(Sale)
        for text, expected in moments.items():
            sale = await store.create(Sale(sold_at=datetime.fromisoformat(text)))
            groups: tuple[Any, ...] = (SalesByDay, SalesByMonth, SalesByYear)
            for group, on in zip(groups, expected, strict=True):
                (found,) = await store.group(group, Sale.id == sale.id)
                assert_same(found.on, on, text)
        by_year = [(g.on.year, g.rows) for g in await store.group(SalesByYear)]
        assert by_year == [
            (1, 1),
            (1899, 1),
            (1900, 1),
            (1969, 1),
            (1970, 1),
            (2000, 1),
            (2025, 1),
            (2027, 1),
            (9999, 1),
        ]


@rule("groups", needs=NEEDS)
async def calendar_keys_group_order_and_filter(case: AsyncCase) -> None:
    """Moments of one period are one group, a null moment's key is None, and calendar keys sort and stand in having."""
    moments = [
        "2026-03-01T00:00Z",
        "2026-03-31T23:59:59.999Z",
        "2026-04-01T00:00Z",
        "1968-02-29T10:00Z",
        None,
        None,
    ]
    async with case.database(Sale) as db:
        store = db.store(Sale)
        made = [datetime.fromisoformat(m) if m else None for m in moments]
        await fill(
            store,
            [Sale(returned_at=m, sold_at=m or datetime(2026, 3, 2, tzinfo=UTC)) for m in shuffled(made)],
        )
        found = [(g.on, g.rows) for g in await store.group(ReturnsByMonth)]
        assert found == [(None, 2), (date(1968, 2, 1), 1), (date(2026, 3, 1), 2), (date(2026, 4, 1), 1)]
        latest = await store.group(ReturnsByMonth, order_by=ReturnsByMonth.on.desc(), limit=1)
        assert [(g.on, g.rows) for g in latest] == [(date(2026, 4, 1), 1)]
        since = await store.group(ReturnsByMonth, having=ReturnsByMonth.on >= date(2026, 3, 2))
        assert [g.on for g in since] == [date(2026, 4, 1)]
        assert [g.rows for g in await store.group(ReturnsByMonth, having=ReturnsByMonth.on.is_null())] == [2]
        assert [(g.on, g.rows) for g in await store.group(SalesByMonth, having=SalesByMonth.rows > 1)] == [
            (date(2026, 3, 1), 4)
        ]


@rule("groups", needs=NEEDS)
async def every_kind_can_be_a_key(case: AsyncCase) -> None:
    """Every kind of value can be a key, null too, and comes back with its type; min, max and count_distinct also."""
    low, again, high, none = every_kind(0), every_kind(0), every_kind(2), Zoo()
    async with case.database(Zoo) as db:
        store = db.store(Zoo)
        await fill(store, [high, low, none, again])
        found = await store.group(ZooByEverything)
        assert [g.rows for g in found] == [1, 2, 1]
        for group, row in zip(found, (none, low, high), strict=True):
            for name in ZooByEverything.model_fields:
                if name not in {"city", "rows"}:
                    assert_same(
                        getattr(group, name),
                        getattr(row, f"{'integer' if name == 'integer' else name}_n"),
                        name,
                    )
            assert group.city == (row.address_n.city if row.address_n else None)
        assert [
            g.colour for g in await store.group(ZooByEverything, having=ZooByEverything.colour == Colour.RED)
        ] == [Colour.RED]
        assert [
            g.level
            for g in await store.group(ZooByEverything, order_by=ZooByEverything.level.desc(), limit=1)
        ] == [Level.HIGH]
        (extremes,) = await store.group(ZooExtremes)
        assert_same(
            extremes,
            ZooExtremes(
                text=low.text_n, text_most=high.text_n, integer=low.integer_n, real=high.real_n, money=low.money_n,
                moment=high.moment_n, on_day=low.on_day_n, clock=high.clock_n, span=low.span_n, legacies=2, texts=2, flags=2, blobs=2,
            ),
        )  # fmt: skip


@rule("groups", needs=("groups", "views", "checked_references"))
async def keys_reach_parents(case: AsyncCase) -> None:
    """A key via a reference, and via its parent's, groups by the parent's value; a missing one is null."""
    async with case.database(*FAMILY) as db:
        await db.store(Country).create(Country(id="DE", name="Germany"))
        ada, bob, cyd = Author(name="Ada", country="DE"), Author(name="Bob", country="DE"), Author(name="Cyd")
        await fill(db.store(Author), [ada, bob, cyd])
        await fill(
            db.store(Book),
            [
                Book(author=author.id, sold=sold)
                for author, sold in ((ada, 3), (ada, 4), (bob, 0), (cyd, 7), (cyd, 1))
            ],
        )
        found = await db.store(Book).group(BooksByAuthor)
        assert [(g.author, g.country, g.books, g.sold) for g in found] == [
            ("Ada", "Germany", 2, 7),
            ("Bob", "Germany", 1, 0),
            ("Cyd", None, 2, 8),
        ]
        best = await db.store(Book).group(
            BooksByAuthor,
            Book.sold > 0,
            having=BooksByAuthor.books > 1,
            order_by=BooksByAuthor.sold.desc(),
            limit=1,
        )
        assert [g.author for g in best] == ["Cyd"]
        assert [
            g.author
            for g in await db.store(Book).group(BooksByAuthor, having=BooksByAuthor.country.is_null())
        ] == ["Cyd"]
