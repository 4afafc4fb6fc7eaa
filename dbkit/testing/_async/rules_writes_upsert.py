"""SEMANTICS, "Writes", upsert: create, or replace the row with the same unique key."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from dbkit.errors import Conflict, DuplicateKey, InvalidInput, ReferenceViolation
from dbkit.values import utc_now

from ..entities import FAMILY, Account, Author, Book, Country, Number, Plain, Sheet
from ..kit import rule
from ..watch import Watch, raises
from .case import AsyncCase

NOBODY = UUID("018f0000-0000-7000-8000-000000000000")


@rule("writes")
async def upsert_creates_what_is_not_there(case: AsyncCase) -> None:
    """Where no row has the key, `upsert` stores the entity; `updated_at` is now; what is stored is returned."""
    async with case.database(Account) as db:
        store = db.store(Account)
        entity = Account(owner="ada", points=3, tags=["x"])
        start = utc_now()
        made = await store.upsert(entity, on=Account.owner)
        assert start <= made.updated_at <= utc_now()
        assert made == entity.evolve(updated_at=made.updated_at)
        assert await store.find() == [made]


@rule("writes")
async def upsert_replaces_what_is_there(case: AsyncCase) -> None:
    """On a match the stored `id` and `created_at` stay, all else is replaced, `version` is the stored one + 1."""
    async with case.database(Account) as db:
        store = db.store(Account)
        first = await store.create(Account(owner="ada", email="a@x", points=3, tags=["x"], note="n"))
        changed = await store.update(first.id, Account.points.set(4))
        start = utc_now()
        entity = Account(owner="ada", email="b@x", points=9).evolve(version=40)
        stored = await store.upsert(entity, on=Account.owner)
        assert start <= stored.updated_at <= utc_now()
        assert stored == entity.evolve(
            id=first.id,
            created_at=first.created_at,
            updated_at=stored.updated_at,
            version=changed.version + 1,
        )
        assert await store.find() == [stored]
        # Its own other keys are no duplicates.
        again = await store.upsert(stored, on=Account.owner)
        assert (again.id, again.version, again.email) == (first.id, 4, "b@x")


@rule("writes")
async def upsert_by_a_key_without_case(case: AsyncCase) -> None:
    """By a casefold key the row is found without case, and gets the new spelling."""
    async with case.database(Account) as db:
        store = db.store(Account)
        first = await store.create(Account(owner="a", email="Ada@Example.org"))
        stored = await store.upsert(Account(owner="b", email="ADA@example.ORG"), on=Account.email)
        assert (stored.id, stored.email, stored.owner) == (first.id, "ADA@example.ORG", "b")
        assert await store.count(Account.email.equals_casefold("ada@example.org")) == 1
        other = await store.upsert(Account(owner="c", email="ada@example.com"), on=Account.email)
        assert await store.count() == 2
        assert other.id != first.id


@rule("writes")
async def upsert_by_a_compound_key(case: AsyncCase) -> None:
    """By a compound key, named in any order; a part that is null is InvalidInput, as null never matches."""
    async with case.database(Sheet) as db:
        store = db.store(Sheet)
        first = await store.upsert(Sheet(site=1, slug="a", title="x"), on=(Sheet.site, Sheet.slug))
        await store.upsert(Sheet(site=1, slug="b", title="y"), on=(Sheet.slug, Sheet.site))
        stored = await store.upsert(Sheet(site=1, slug="a", title="z"), on=[Sheet.slug, Sheet.site])
        assert (stored.id, stored.title) == (first.id, "z")
        assert await store.count() == 2
        watch = Watch(db)
        for sheet in (Sheet(site=1), Sheet(slug="a"), Sheet()):
            with raises(InvalidInput) as raised:
                await store.upsert(sheet, on=(Sheet.site, Sheet.slug))
            assert raised.error.field in ("site", "slug")
        assert watch.texts == []


@rule("writes")
async def upsert_by_id(case: AsyncCase) -> None:
    """`on=` may be the id: of an entity with a natural key, too."""
    async with case.database(Country, Plain, Number) as db:
        countries, plain = db.store(Country), db.store(Plain)
        assert await countries.upsert(Country(id="SE", name="x", people=1), on=Country.id) == Country(
            id="SE", name="x", people=1
        )
        assert await countries.upsert(Country(id="SE", name="Sweden"), on=Country.id) == Country(
            id="SE", name="Sweden"
        )
        assert await countries.count() == 1
        made = await plain.create(Plain(name="a", n=1))
        stored = await plain.upsert(made.evolve(n=2, created_at=utc_now()), on=Plain.id)
        assert (stored.n, stored.created_at) == (2, made.created_at)
        await db.store(Number).upsert(Number(id=-1, word="a"), on=[Number.id])
        await db.store(Number).upsert(Number(id=-1), on=[Number.id])
        assert await db.store(Number).find() == [Number(id=-1)]


@rule("writes")
async def upsert_needs_one_declared_key(case: AsyncCase) -> None:
    """`on=` that is no declared unique key of the entity is InvalidInput, unsent, and lists those that are."""
    async with case.database(Account, Sheet) as db:
        accounts, sheets = db.store(Account), db.store(Sheet)
        watch = Watch(db)
        wrong: list[Any] = [
            Account.points, (Account.owner, Account.email), (), "owner", Sheet.slug, None, Account.owner == "x",
            Account.owner.desc(), ["owner"],
        ]  # fmt: skip
        for on in wrong:
            with raises(InvalidInput) as raised:
                await accounts.upsert(Account(owner="a"), on=on)
            assert "Account.owner" in str(raised.error)
        with raises(InvalidInput) as raised:
            await sheets.upsert(Sheet(site=1, slug="a"), on=Sheet.site)
        assert "(Sheet.site, Sheet.slug)" in str(raised.error)
        assert watch.texts == []


@rule("writes")
async def upsert_that_clashes_with_another_key(case: AsyncCase) -> None:
    """A clash on another unique key, or on the id, is DuplicateKey, which names it; nothing is changed."""
    async with case.database(Account) as db:
        store = db.store(Account)
        ada = await store.create(Account(owner="ada", email="ada@x"))
        bob = await store.create(Account(owner="bob", email="bob@x"))
        # As a new row, and as a change of one that matches.
        for entity in (Account(owner="new", email="BOB@x"), Account(owner="ada", email="BOB@x")):
            with raises(DuplicateKey) as raised:
                await store.upsert(entity, on=Account.owner)
            assert (raised.error.field, raised.error.operation) == ("email", "upsert")
        with raises(DuplicateKey) as raised:
            await store.upsert(Account(owner="new").evolve(id=ada.id), on=Account.owner)
        assert raised.error.field == "id"
        assert await store.find() == [ada, bob]
        # The id of an entity that matches by its key does not matter, though another row has it.
        stored = await store.upsert(Account(owner="ada").evolve(id=bob.id), on=Account.owner)
        assert stored.id == ada.id
        assert await store.get(bob.id) == bob


@rule("writes", needs=("checked_references",))
async def upsert_checks_references(case: AsyncCase) -> None:
    """An `upsert` that refers to a missing parent is ReferenceViolation, whether it creates or replaces."""
    async with case.database(*FAMILY) as db:
        store = db.store(Author)
        ada = await store.create(Author(name="ada"))
        for name in ("ada", "new"):
            with raises(ReferenceViolation) as raised:
                await store.upsert(Author(name=name, mentor=NOBODY), on=Author.name)
            assert raised.error.field == "mentor"
        with raises(ReferenceViolation):
            await store.upsert(Author(name="new", country="nowhere"), on=Author.name)
        assert await store.find() == [ada]
        # Children stay with a parent that is replaced.
        book = await db.store(Book).create(Book(author=ada.id))
        stored = await store.upsert(Author(name="ada", mentor=ada.id), on=Author.name)
        assert (stored.id, stored.mentor) == (ada.id, ada.id)
        assert await db.store(Book).get(book.id) == book


@rule("writes")
async def upserts_at_once_make_one_row(case: AsyncCase) -> None:
    """Workers that upsert one key at once: each succeeds or is a Conflict, and there is one row with each key."""
    async with case.database(Account) as db:
        store = db.store(Account)

        async def work(number: int) -> Any:
            return [
                await store.upsert(Account(owner=f"o{n}", points=number), on=Account.owner) for n in range(4)
            ]

        results = await case.run_workers(6, work)
        done = [rows for rows in results if not isinstance(rows, Conflict)]
        for result in done:
            assert isinstance(result, list), repr(result)
        assert done
        found = await store.find(order_by=Account.owner)
        assert [a.owner for a in found] == ["o0", "o1", "o2", "o3"]
        if len(done) == len(results):
            assert [a.version for a in found] == [6] * 4
            assert len({rows[0].id for rows in done}) == 1
