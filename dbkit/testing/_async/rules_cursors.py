"""SEMANTICS, "Order, pages, cursors": what a cursor is, where it is valid, and what is no cursor."""

from __future__ import annotations

import base64
import re
from typing import Any

from dbkit import InvalidCursor, aconnect, via
from dbkit._async.database import AsyncDatabase

from ..entities import Address, Plain, Sheet, Zoo
from ..kit import rule
from ..samples import KINDS, every_kind
from ..watch import Watch, raises
from .case import AsyncCase
from .checks import fill


@rule("pages")
async def cursors_are_valid_on_every_store(case: AsyncCase) -> None:
    """A token that one store made goes on on another with the same data: every kind of sort key, both ways."""
    rows = [Zoo(), every_kind(0), every_kind(1), every_kind(2), Zoo()]
    async with case.database(Zoo) as db, aconnect("memory://", entities=[Zoo]) as other:
        await other.create_schema()
        here, there = db.store(Zoo), other.store(Zoo)
        await fill(here, rows)
        await fill(there, rows)
        orders: list[Any] = [None, via(Zoo.address_n, Address.floor).desc()]
        for kind in KINDS.values():
            if kind.is_ordered:
                field, second = getattr(Zoo, kind.field), getattr(Zoo, kind.nullable)
                orders += [second, (field.desc(), second.desc()), (second.desc(), field)]
        for order in orders:
            expected = [e.id for e in await there.find(order_by=order)]
            first = await here.page(order_by=order, limit=2)
            assert [e.id for e in first.items] == expected[:2], f"{order}"
            same = await there.page(order_by=order, limit=2)
            assert first.next_cursor == same.next_cursor, f"{order}"
            second = await there.page(order_by=order, limit=2, after=first.next_cursor)
            assert [e.id for e in second.items] == expected[2:4], f"{order}"
            third = await here.page(order_by=order, limit=2, after=second.next_cursor)
            assert [e.id for e in third.items] == expected[4:], f"{order}"


@rule("pages")
async def cursors_fit_filters_of_other_stores(case: AsyncCase) -> None:
    """A token of a filtered query is valid on another store for the same filter, values included."""
    async with case.database(Sheet) as db, aconnect("memory://", entities=[Sheet]) as other:
        await other.create_schema()
        rows = [Sheet(site=n % 3, rank=n, title="x" * (n % 2)) for n in range(12)]
        await fill(db.store(Sheet), rows)
        await fill(other.store(Sheet), rows)
        where = (Sheet.site.in_([1, 2, None]) | Sheet.title.starts_with("x")) & ~(Sheet.rank == 4)
        first = await other.store(Sheet).page(where, order_by=Sheet.rank.desc(), limit=3)
        rest = await db.store(Sheet).page(
            where, order_by=Sheet.rank.desc(), limit=50, after=first.next_cursor
        )
        ranks = [e.rank for e in [*first.items, *rest.items]]
        assert ranks == [11, 10, 9, 8, 7, 5, 3, 2, 1]


@rule("pages")
async def cursors_belong_to_their_query(case: AsyncCase) -> None:
    """A token of another entity, filter, value, order or direction is InvalidCursor, before a statement is sent."""
    async with case.database(Sheet, Plain) as db:
        store = db.store(Sheet)
        await fill(store, [Sheet(rank=n, site=n % 2, title="t") for n in range(4)])
        await fill(db.store(Plain), [Plain(n=n) for n in range(4)])
        token = (await store.page(Sheet.title == "t", order_by=Sheet.rank, limit=2)).next_cursor
        foreign = (await db.store(Plain).page(limit=2)).next_cursor
        watch = Watch(db)
        attempts: list[tuple[tuple[Any, ...], Any]] = [
            ((), Sheet.rank),
            ((Sheet.title == "u",), Sheet.rank),
            ((Sheet.title != "t",), Sheet.rank),
            ((Sheet.slug == "t",), Sheet.rank),
            ((Sheet.title == "t", Sheet.rank > 0), Sheet.rank),
            ((Sheet.title == "t",), Sheet.rank.desc()),
            ((Sheet.title == "t",), Sheet.site),
            ((Sheet.title == "t",), None),
            ((Sheet.title == "t",), (Sheet.rank, Sheet.site)),
        ]
        for where, order in attempts:
            with raises(InvalidCursor):
                await store.page(*where, order_by=order, after=token)
        with raises(InvalidCursor):
            await store.page(after=foreign)
        assert watch.statements == []
        rest = await store.page(Sheet.title == "t", order_by=Sheet.rank, after=token, limit=7)
        assert [e.rank for e in rest.items] == [2, 3]


@rule("pages")
async def damaged_cursors_are_refused(case: AsyncCase) -> None:
    """Truncated, changed, foreign and strange tokens are InvalidCursor, before a statement is sent."""
    async with case.database(Plain) as db:
        store = db.store(Plain)
        await fill(store, [Plain(n=n) for n in range(4)])
        token = (await store.page(order_by=Plain.n, limit=2)).next_cursor
        assert token is not None
        changed = [
            token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
            for place in range(len(token))
        ]
        truncated = [token[:length] for length in range(len(token))]
        strange: list[Any] = [
            "",
            " ",
            token + "A",
            token + "=",
            f" {token}",
            "null",
            "{}",
            "😀",
            "\0",
            7,
            b"x",
            [token],
            "A" * 100_000,
        ]
        recoded = base64.b64encode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))[::-1]).decode()
        watch = Watch(db)
        for wrong in [*changed, *truncated, *strange, recoded]:
            with raises(InvalidCursor):
                await store.page(order_by=Plain.n, limit=2, after=wrong)
        assert watch.statements == []
        assert [e.n for e in (await store.page(order_by=Plain.n, limit=2, after=token)).items] == [2, 3]


@rule("pages")
async def cursors_are_opaque_and_url_safe(case: AsyncCase) -> None:
    """A token holds URL-safe characters only, whatever the sort key holds."""
    async with case.database(Plain) as db:
        store = db.store(Plain)
        names = ["", "a/b+c=d&e?f", "äöü", "😀" * 20, "\n\t", "'\"\\", "x" * 255]
        await fill(store, [Plain(name=name, n=1) for name in names])
        after, seen = None, 0
        while True:
            page = await store.page(order_by=Plain.name, limit=1, after=after)
            seen += len(page.items)
            if page.next_cursor is None:
                break
            after = page.next_cursor
            assert re.fullmatch(r"[A-Za-z0-9_-]+", after), after
        assert seen == len(names)


@rule("pages")
async def cursors_can_be_signed(case: AsyncCase) -> None:
    """With cursor_key= a token that another key, or none, made is InvalidCursor; the same key's is valid on any store."""
    key, rows = "k" * 32, [Plain(n=n) for n in range(4)]

    async def token_of(db: AsyncDatabase) -> str | None:
        return (await db.store(Plain).page(order_by=Plain.n, limit=2)).next_cursor

    async with case.database(Plain, cursor_key=key) as db:
        await fill(db.store(Plain), rows)
        signed = await token_of(db)
        for other_key in (key.encode(), None, b"another key, 16+"):
            async with aconnect("memory://", entities=[Plain], cursor_key=other_key) as other:
                await other.create_schema()
                await fill(other.store(Plain), rows)
                token = await token_of(other)
                if other_key == key.encode():
                    assert token == signed
                    page = await other.store(Plain).page(order_by=Plain.n, limit=2, after=signed)
                    assert [e.n for e in page.items] == [2, 3]
                    continue
                assert token != signed
                with raises(InvalidCursor):
                    await db.store(Plain).page(order_by=Plain.n, limit=2, after=token)
                with raises(InvalidCursor):
                    await other.store(Plain).page(order_by=Plain.n, limit=2, after=signed)
