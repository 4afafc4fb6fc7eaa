"""SEMANTICS, "Order, pages, cursors": total order with nulls, pages to the end, limits."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from dbkit import InvalidInput, TooLarge, everything, via

from ..entities import Account, Address, Country, Number, Plain, Sheet, Zoo
from ..kit import rule
from ..samples import KINDS, every_kind, in_order, shuffled
from ..watch import Watch, raises
from .case import AsyncCase
from .checks import AsyncLabelled, AsyncPager, fill

NONE_LOW_HIGH = (None, 1, 2)


def sheets() -> list[Sheet]:
    """Return rows with every combination of null, low and high in three keys, two of each, in no order."""
    combinations = itertools.product(NONE_LOW_HIGH, NONE_LOW_HIGH, ("", "a"), range(2))
    return shuffled([Sheet(site=site, rank=rank, title=title) for site, rank, title, _ in combinations])


@rule("pages")
async def null_is_first_and_descending_last(case: AsyncCase) -> None:
    """Ascending puts null first, descending puts it last."""
    async with case.database(Plain) as db:
        rows = await AsyncLabelled.make(db.store(Plain), two=Plain(n=2), null=Plain(), one=Plain(n=1))
        assert await rows.found(order_by=Plain.n) == "null one two"
        assert await rows.found(order_by=Plain.n.asc()) == "null one two"
        assert await rows.found(order_by=Plain.n.desc()) == "two one null"
        assert await rows.found(Plain.n != 2, order_by=Plain.n.desc()) == "one null"
        assert await db.store(Plain).find_one(order_by=Plain.n) == rows.entities["null"]
        assert await db.store(Plain).find_one(order_by=Plain.n.desc()) == rows.entities["two"]
        assert await db.store(Plain).find_one(Plain.n > 2) is None


@rule("pages")
async def id_is_the_order_and_breaks_ties(case: AsyncCase) -> None:
    """Without order_by the order is by id; with it id breaks ties, in the last key's direction."""
    async with case.database(Plain) as db:
        rows = await AsyncLabelled.make(
            db.store(Plain), a=Plain(n=1), b=Plain(), c=Plain(n=1), d=Plain(), e=Plain(n=1)
        )
        store = db.store(Plain)
        ids = [entity.id for entity in rows.entities.values()]
        assert [e.id for e in await store.find()] == ids
        assert [e.id for e in await store.find(Plain.n == 1)] == ids[0::2]
        assert await rows.found(order_by=Plain.n) == "b d a c e"
        assert await rows.found(order_by=Plain.n.desc()) == "e c a d b"
        assert await rows.found(order_by=(Plain.name, Plain.n.desc())) == "e c a d b"
        assert await rows.found(order_by=(Plain.name.desc(), Plain.n)) == "b d a c e"
        assert await rows.found(order_by=Plain.id.desc()) == "e d c b a"
        assert await rows.found(order_by=(Plain.n, Plain.id.desc())) == "d b e c a"
        assert await rows.found(order_by=(Plain.n, Plain.n.desc())) == "b d a c e"
        assert await store.find_one() == rows.entities["a"]


@rule("pages")
async def pages_reach_the_end_in_every_order(case: AsyncCase) -> None:
    """Pages of any size give every row exactly once, in the order of find and iterate: one, two nullable keys, each way."""
    orders: dict[tuple[str, ...], Any] = {
        (): None,
        ("rank",): Sheet.rank,
        ("-rank",): Sheet.rank.desc(),
        ("title",): Sheet.title,
        ("-title",): Sheet.title.desc(),
        ("site", "rank"): (Sheet.site, Sheet.rank),
        ("site", "-rank"): (Sheet.site, Sheet.rank.desc()),
        ("-site", "rank"): (Sheet.site.desc(), Sheet.rank),
        ("-site", "-rank"): (Sheet.site.desc(), Sheet.rank.desc()),
        ("-id",): Sheet.id.desc(),
    }
    async with case.database(Sheet) as db:
        rows = sheets()
        await fill(db.store(Sheet), rows)
        for keys, order in orders.items():
            await AsyncPager(db.store(Sheet)).check(
                in_order(rows, *keys), order_by=order, limits=(1, 7, 36, 50)
            )


@rule("pages")
async def pages_reach_the_end_in_mixed_directions(case: AsyncCase) -> None:
    """The same with three keys, nullable and not, in mixed directions, and with an id in the middle."""
    async with case.database(Sheet) as db:
        rows = sheets()
        pager = AsyncPager(db.store(Sheet))
        await fill(db.store(Sheet), rows)
        for signs in ("+++", "++-", "+-+", "-+-", "--+"):
            names = ("title", "site", "rank")
            keys = [name if sign == "+" else f"-{name}" for sign, name in zip(signs, names, strict=True)]
            order = tuple(
                getattr(Sheet, name).asc() if sign == "+" else getattr(Sheet, name).desc()
                for sign, name in zip(signs, names, strict=True)
            )
            await pager.check(in_order(rows, *keys), order_by=order, limits=(5, 17))
        await pager.check(
            in_order(rows, "rank", "-id"), order_by=(Sheet.rank, Sheet.id.desc(), Sheet.title), limits=(5,)
        )


@rule("pages")
async def pages_keep_their_filters(case: AsyncCase) -> None:
    """Pages of a filtered query hold every row that it takes, exactly once, also where the filter has or in it."""
    async with case.database(Sheet) as db:
        rows = sheets()
        pager = AsyncPager(db.store(Sheet))
        await fill(db.store(Sheet), rows)
        order = (Sheet.rank.desc(), Sheet.title)
        some = [e for e in rows if e.site != 1 or e.title == "a"]
        await pager.check(
            in_order(some, "-rank", "title"),
            (Sheet.site != 1) | (Sheet.title == "a"),
            order_by=order,
            limits=(4,),
        )
        some = [e for e in rows if e.rank is None or e.rank > 1]
        await pager.check(
            in_order(some, "-rank", "title"), Sheet.rank.in_([2, None]), order_by=order, limits=(4,)
        )
        await pager.check([], Sheet.rank > 2, order_by=order)


@rule("pages")
async def pages_go_over_every_kind_of_key(case: AsyncCase) -> None:
    """Cursors hold every kind of sort key exactly: extremes, null, values inside nested models."""
    async with case.database(Zoo) as db:
        store, pager = db.store(Zoo), AsyncPager(db.store(Zoo))
        made: list[Zoo] = [Zoo(), every_kind(0), every_kind(1), every_kind(2)]
        for kind in KINDS.values():
            made += [
                Zoo(**{kind.nullable: value}) for value in (kind.values[0], kind.values[1], kind.values[-1])
            ]
        await fill(store, made)
        for kind in KINDS.values():
            if not kind.is_ordered:
                continue
            field = getattr(Zoo, kind.nullable)
            for order in (field, field.desc()):
                expected = [e.id for e in await store.find(order_by=order)]
                paged = [e.id for e in await pager.read(limit=6, order_by=order)]
                assert paged == expected, f"pages in the order {order}"
                assert len(set(paged)) == len(made)
        inside = via(Zoo.address_n, Address.floor)
        expected = [e.id for e in await store.find(order_by=inside.desc())]
        assert [e.id for e in await pager.read(limit=2, order_by=inside.desc())] == expected


@rule("pages")
async def pages_over_natural_keys(case: AsyncCase) -> None:
    """Records are ordered and paged by their own ids: text by code point, ints by size."""
    keys = ["", "A", "Z", "a", "a\u0308", "b", "\u00e4", "\ufffd", "\U00010000"]
    numbers = [-(2**63), -10, -9, 0, 9, 10, 2**53, 2**53 + 1, 2**63 - 1]
    async with case.database(Country, Number) as db:
        await fill(db.store(Country), [Country(id=key) for key in shuffled(keys)])
        await fill(db.store(Number), [Number(id=key) for key in shuffled(numbers)])
        await AsyncPager(db.store(Country)).check(keys, limits=(2,))
        await AsyncPager(db.store(Number)).check(numbers, limits=(2,))
        await AsyncPager(db.store(Number)).check(numbers[::-1], limits=(2,), order_by=Number.word.desc())


@rule("pages")
async def the_last_page_has_no_cursor(case: AsyncCase) -> None:
    """Only the last page's next_cursor is None, also when it is exactly full; an empty result is one empty page."""
    async with case.database(Plain) as db:
        store = db.store(Plain)
        empty = await store.page()
        assert (empty.items, empty.next_cursor, empty.total) == ([], None, None)
        await fill(store, [Plain(n=n) for n in range(6)])
        first = await store.page(limit=3, order_by=Plain.n)
        assert [e.n for e in first.items] == [0, 1, 2]
        assert first.next_cursor is not None
        last = await store.page(limit=3, order_by=Plain.n, after=first.next_cursor)
        assert [e.n for e in last.items] == [3, 4, 5]
        assert last.next_cursor is None
        longer = await store.page(limit=2, order_by=Plain.n, after=first.next_cursor)
        assert [e.n for e in longer.items] == [3, 4]
        whole = await store.page(limit=6)
        assert (len(whole.items), whole.next_cursor) == (6, None)


@rule("pages", needs=("snapshot_reads",))
async def pages_count_when_asked(case: AsyncCase) -> None:
    """total=True counts all that the filters take, on every page; without it total is None."""
    async with case.database(Plain) as db:
        store = db.store(Plain)
        await fill(store, [Plain(n=n) for n in range(7)])
        first = await store.page(Plain.n >= 2, limit=2, order_by=Plain.n, total=True)
        assert (first.total, [e.n for e in first.items]) == (5, [2, 3])
        second = await store.page(
            Plain.n >= 2, limit=2, order_by=Plain.n, total=True, after=first.next_cursor
        )
        assert (second.total, [e.n for e in second.items]) == (5, [4, 5])
        assert (await store.page(Plain.n > 9, total=True)).total == 0
        assert (await store.page(limit=2)).total is None


@rule("pages")
async def rows_that_come_and_go_do_not_move_pages(case: AsyncCase) -> None:
    """A page starts after its cursor's row, even where that row is gone and others came before it."""
    async with case.database(Plain) as db:
        store = db.store(Plain)
        rows = [Plain(n=n) for n in range(10)]
        await fill(store, rows)
        first = await store.page(limit=4, order_by=Plain.n)
        await store.delete(rows[3].id)
        await store.delete(rows[4].id)
        await fill(store, [Plain(n=1), Plain(n=None), Plain(n=7)])
        rest = await store.page(limit=50, order_by=Plain.n, after=first.next_cursor)
        assert [e.n for e in rest.items] == [5, 6, 7, 7, 8, 9]


@rule("pages")
async def limit_and_offset_cut_the_order(case: AsyncCase) -> None:
    """Find cuts offset and limit out of the total order; limit=0 is [] without a statement."""
    async with case.database(Plain) as db:
        store = db.store(Plain)
        await fill(store, shuffled([Plain(n=n) for n in range(10)]))

        async def found(**options: Any) -> list[int | None]:
            return [e.n for e in await store.find(order_by=Plain.n, **options)]

        assert await found(limit=3) == [0, 1, 2]
        assert await found(limit=3, offset=2) == [2, 3, 4]
        assert await found(offset=8) == [8, 9]
        assert await found(limit=5, offset=8) == [8, 9]
        assert await found(limit=5, offset=10) == []
        assert await found(offset=0, limit=1) == [0]
        assert await found(offset=2**40) == []
        assert await found(limit=10_000) == list(range(10))
        watch = Watch(db)
        assert await found(limit=0) == []
        assert watch.statements == []


@rule("pages")
async def limits_outside_the_range_are_refused(case: AsyncCase) -> None:
    """Negative, too large and strange limits and offsets are InvalidInput, before a statement is sent."""
    async with case.database(Plain) as db:
        store = db.store(Plain)
        watch = Watch(db)
        strange: list[Any] = [-1, 10_001, 2**63, True, 1.0, "1"]
        for limit in strange:
            with raises(InvalidInput):
                await store.find(limit=limit)
            with raises(InvalidInput):
                await store.page(limit=limit)
            with raises(InvalidInput):
                async for _ in store.iterate(batch=limit):
                    pass
        for limit in (0, None):
            with raises(InvalidInput):
                await store.page(limit=limit)  # type: ignore[arg-type]
        for offset in (-1, True, 1.5, "0", 2**63):
            with raises(InvalidInput):
                await store.find(offset=offset)  # type: ignore[arg-type]
        assert watch.statements == []


@rule("pages")
async def nothing_is_cut_off_silently(case: AsyncCase) -> None:
    """Find without a limit gives 1,000 rows, and raises TooLarge beyond; so does get_many; a limit gives more."""
    async with case.database(Plain) as db:
        store = db.store(Plain)
        rows = [Plain(n=n) for n in range(1_001)]
        await fill(store, rows[:1_000])
        assert len(await store.find()) == 1_000
        assert len(await store.get_many(e.id for e in rows[:1_000])) == 1_000
        await store.create(rows[1_000])
        with raises(TooLarge):
            await store.find()
        with raises(TooLarge):
            await store.find(everything(), order_by=Plain.n)
        with raises(TooLarge):
            await store.get_many(e.id for e in rows)
        assert len(await store.find(limit=10_000)) == 1_001
        assert len(await store.find(Plain.n < 1_000)) == 1_000
        assert len([e async for e in store.iterate()]) == 1_001
        assert [e.n for e in await AsyncPager(store).read(limit=500, order_by=Plain.n)] == list(range(1_001))


@rule("pages")
async def get_many_gives_rows_by_id(case: AsyncCase) -> None:
    """get_many gives a dict in the order of the ids asked for, without those that are not there, repeated ones once."""
    async with case.database(Plain, Country) as db:
        store = db.store(Plain)
        a, b, c, never = Plain(name="a"), Plain(name="b"), Plain(name="c"), Plain()
        await fill(store, [a, b, c])
        found = await store.get_many([c.id, never.id, a.id, c.id])
        assert list(found.items()) == [(c.id, c), (a.id, a)]
        assert await store.get_many([never.id]) == {}
        watch = Watch(db)
        assert await store.get_many([]) == {}
        assert watch.statements == []
        await fill(db.store(Country), [Country(id="a"), Country(id="A")])
        assert list(await db.store(Country).get_many(["A", "a", "ä"])) == ["A", "a"]


@rule("pages")
async def iterate_reads_everything_in_batches(case: AsyncCase) -> None:
    """Iterate gives every untouched row exactly once, in order, whatever is inserted, changed and deleted meanwhile."""
    async with case.database(Plain) as db:
        store = db.store(Plain)
        rows = [Plain(name="old", n=n % 5 if n % 3 else None) for n in range(50)]
        await fill(store, rows)
        seen: list[Plain] = []
        touched = {rows[40].id, rows[41].id}
        async for row in store.iterate(order_by=Plain.n.desc(), batch=7):
            if len(seen) == 10:
                for id in touched:
                    await store.delete(id)
                await fill(store, [Plain(name="new", n=4), Plain(name="new", n=None)])
            seen.append(row)
        old = [e.id for e in seen if e.name == "old" and e.id not in touched]
        assert old == in_order([e for e in rows if e.id not in touched], "-n")
        assert [e async for e in store.iterate(Plain.n > 9)] == []
        stopped = [e.n async for e in store.iterate(Plain.name == "old", order_by=Plain.n, batch=2)][:3]
        assert stopped == [None, None, None]


@rule("pages")
async def orders_stand_on_decimals_and_moments(case: AsyncCase) -> None:
    """Sort keys compare as their types do: 9.99 before 10.00, and moments of different years by time."""
    async with case.database(Account, Zoo) as db:
        await fill(
            db.store(Account),
            [
                Account(owner=text, balance=Decimal(text))
                for text in ("10.00", "9.99", "100", "0.5", "0.45", "0")
            ],
        )
        owners = [e.owner for e in await db.store(Account).find(order_by=Account.balance)]
        assert owners == ["0", "0.45", "0.5", "9.99", "10.00", "100"]
        moments = [datetime(year, 1, 1, tzinfo=UTC) for year in (9999, 1, 1969, 1970, 100, 2026)]
        await fill(db.store(Zoo), [Zoo(moment=moment) for moment in moments])
        found = await AsyncPager(db.store(Zoo)).read(limit=2, order_by=Zoo.moment.desc())
        assert [e.moment.year for e in found] == [9999, 2026, 1970, 1969, 100, 1]
