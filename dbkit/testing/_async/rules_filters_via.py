"""SEMANTICS, "Filters": through references, up to parents (`via`) and down to children (`any_related`)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from dbkit import any_related, via

from ..entities import FAMILY, Address, Author, Book, Chapter, Country, Loose, Number, Plain
from ..kit import rule
from .case import AsyncCase
from .checks import AsyncLabelled, fill

NOWHERE = UUID("00000000-0000-7000-8000-00000000dead")


async def _loose(db: Any) -> AsyncLabelled:
    """Make children whose parent is null, missing, null in the field, low, middle and high."""
    parents = {
        label: Plain(name=label, n=n) for label, n in (("null", None), ("low", 1), ("mid", 3), ("high", 5))
    }
    await fill(db.store(Plain), parents.values())
    return await AsyncLabelled.make(
        db.store(Loose),
        none=Loose(),
        gone=Loose(parent=NOWHERE),
        null=Loose(parent=parents["null"].id),
        low=Loose(parent=parents["low"].id),
        mid=Loose(parent=parents["mid"].id),
        high=Loose(parent=parents["high"].id),
    )


@rule("filters", needs=("views",))
async def via_a_missing_parent_is_null(case: AsyncCase) -> None:
    """Through a reference that is null, or whose parent is missing, every field is None, and filters say so."""
    n, name = via(Loose.parent, Plain.n), via(Loose.parent, Plain.name)
    async with case.database(Loose, Plain) as db:
        rows = await _loose(db)
        await rows.takes(n == 3, "mid")
        await rows.takes(n != 3, "none gone null low high")
        await rows.takes(n < 3, "low")
        await rows.takes(n <= 3, "low mid")
        await rows.takes(n > 3, "high")
        await rows.takes(n >= 3, "mid high")
        await rows.takes(n.is_null(), "none gone null")
        await rows.takes(n != None, "low mid high")  # noqa: E711
        await rows.takes(n.in_([1, None]), "none gone null low")
        await rows.takes(n.in_([1, 5]), "low high")
        await rows.takes(n.not_in([1]), "none gone null mid high")
        await rows.takes(n.not_in([1, None]), "mid high")
        await rows.takes(n.between(1, 3), "low mid")
        await rows.takes(name.is_null(), "none gone")
        await rows.takes(name.starts_with("l"), "low")
        await rows.takes(name.contains("i"), "mid high")
        await rows.takes(name.contains(""), "null low mid high")
        await rows.takes(via(Loose.parent, Plain.id).is_null(), "none gone")
        await rows.takes(Loose.parent.is_null(), "none")


@rule("filters", needs=("views",))
async def via_orders_missing_parents_first(case: AsyncCase) -> None:
    """An order through a reference has null, and missing parents, first; descending last."""
    n = via(Loose.parent, Plain.n)
    async with case.database(Loose, Plain) as db:
        rows = await _loose(db)
        assert await rows.found(order_by=n) == "none gone null low mid high"
        assert await rows.found(order_by=n.desc()) == "high mid low null gone none"
        assert (
            await rows.found(order_by=(via(Loose.parent, Plain.name), Loose.id.desc()))
            == "gone none high low mid null"
        )
        assert await rows.found(n > 1, order_by=n.desc()) == "high mid"


@rule("filters", needs=("views",))
async def any_related_asks_for_a_child(case: AsyncCase) -> None:
    """any_related takes entities with at least one child that meets all its filters; ~ those without one."""
    async with case.database(Loose, Plain) as db:
        rows = await AsyncLabelled.make(
            db.store(Plain), none=Plain(), one=Plain(n=1), two=Plain(n=2), null=Plain(n=3)
        )
        one, two, null = (rows.entities[label].id for label in ("one", "two", "null"))
        await fill(
            db.store(Loose),
            [
                Loose(parent=one, label="x", n=1),
                Loose(parent=two, label="x", n=2),
                Loose(parent=two, label="y", n=1),
                Loose(parent=two, label="y", n=1),
                Loose(parent=null, label="z", n=None),
                Loose(parent=None, label="x", n=1),
                Loose(parent=NOWHERE, label="x", n=1),
            ],
        )
        await rows.takes(any_related(Loose.parent), "one two null")
        await rows.takes(any_related(Loose.parent, Loose.label == "x"), "one two")
        await rows.takes(any_related(Loose.parent, Loose.label == "x", Loose.n == 1), "one")
        await rows.takes(
            any_related(Loose.parent, Loose.label == "x") & any_related(Loose.parent, Loose.n == 1), "one two"
        )
        await rows.takes(any_related(Loose.parent, Loose.n != 1), "two null")
        await rows.takes(any_related(Loose.parent, ~(Loose.n == 1)), "two null")
        await rows.takes(any_related(Loose.parent, Loose.n.is_null()), "null")
        await rows.takes(any_related(Loose.parent, (Loose.label == "z") | (Loose.n == 2)), "two null")
        await rows.takes(any_related(Loose.parent, Loose.label == "nothing"), "")
        await rows.takes(any_related(Loose.parent, Loose.n.in_([])), "")
        await rows.takes(~any_related(Loose.parent, Loose.n == 1) & (Plain.n > 1), "null")
        await rows.takes(any_related(Loose.parent, via(Loose.parent, Plain.n) > 1), "two null")


@rule("filters", needs=("views", "checked_references"))
async def via_nests(case: AsyncCase) -> None:
    """Via goes through several references, into a parent's nested model, and back to the same entity."""
    async with case.database(*FAMILY) as db:
        await fill(
            db.store(Country), [Country(id="DE", name="Germany", people=80), Country(id="FR", name="France")]
        )
        ada = Author(name="Ada", country="DE", address=Address(city="Bonn", floor=2))
        bob = Author(name="Bob", country="FR", mentor=ada.id)
        cyd = Author(name="Cyd", mentor=bob.id, address=Address(city="Lyon"))
        await fill(db.store(Author), [ada, bob, cyd])
        rows = await AsyncLabelled.make(
            db.store(Book),
            a=Book(author=ada.id, title="A"),
            b=Book(author=bob.id, editor=ada.id, title="B"),
            c=Book(author=cyd.id, editor=cyd.id, title="C"),
        )
        country = via(Book.author, via(Author.country, Country.name))
        await rows.takes(country == "Germany", "a")
        await rows.takes(country != "Germany", "b c")
        await rows.takes(country.is_null(), "c")
        await rows.takes(via(Book.author, via(Author.country, Country.people)).is_null(), "b c")
        await rows.takes(via(Book.author, via(Author.mentor, Author.name)) == "Ada", "b")
        await rows.takes(via(Book.author, via(Author.mentor, via(Author.mentor, Author.name))) == "Ada", "c")
        await rows.takes(
            via(Book.author, via(Author.mentor, via(Author.country, Country.id))).in_(["FR", None]), "a c"
        )
        await rows.takes(via(Book.author, via(Author.address, Address.city)) == "Bonn", "a")
        await rows.takes(via(Book.author, via(Author.address, Address.floor)).is_null(), "b c")
        await rows.takes(via(Book.editor, Author.name) == "Ada", "b")
        await rows.takes(
            (via(Book.editor, Author.name) != "Ada") & (via(Book.author, Author.name) != "Cyd"), "a"
        )
        assert await rows.found(order_by=(country.desc(), Book.title)) == "a b c"


@rule("filters", needs=("views", "checked_references"))
async def any_related_nests(case: AsyncCase) -> None:
    """any_related nests, stands beside via, and works for an entity that refers to itself."""
    async with case.database(*FAMILY) as db:
        rows = await AsyncLabelled.make(
            db.store(Author), ada=Author(name="Ada"), bob=Author(name="Bob"), cyd=Author(name="Cyd")
        )
        ada, bob, cyd = (entity.id for entity in rows.entities.values())
        await db.store(Author).update(bob, Author.mentor.set(ada))
        long, short = (
            Book(author=ada, title="long"),
            Book(author=bob, editor=cyd, title="short", price=Decimal("9.50")),
        )
        await fill(db.store(Book), [long, short])
        await fill(db.store(Chapter), [Chapter(book=long.id, pages=90), Chapter(book=short.id, pages=5)])
        await rows.takes(any_related(Book.author, any_related(Chapter.book, Chapter.pages > 50)), "ada")
        await rows.takes(any_related(Book.author, any_related(Chapter.book)), "ada bob")
        await rows.takes(any_related(Book.author, via(Book.editor, Author.name) == "Cyd"), "bob")
        await rows.takes(any_related(Book.editor), "cyd")
        await rows.takes(any_related(Author.mentor, Author.name == "Bob"), "ada")
        await rows.takes(any_related(Author.mentor, any_related(Book.author, Book.title == "short")), "ada")
        await rows.takes(via(Author.mentor, Author.name) == "Ada", "bob")
        await rows.takes(any_related(Book.author, Book.price.is_null()), "ada")
        await rows.takes(
            any_related(Book.author, Book.price < 10) | any_related(Book.editor, Book.price < 10), "bob cyd"
        )


@rule("filters", needs=("views", "checked_references"))
async def references_hold_natural_keys(case: AsyncCase) -> None:
    """Via and any_related work over keys of text and of int, equal to the last code point and bit."""
    async with case.database(*FAMILY) as db:
        await fill(
            db.store(Country), [Country(id=key, name=key) for key in ("a", "A", "a ", "\u00e4", "a\u0308")]
        )
        await fill(
            db.store(Number),
            [Number(id=key, word=str(key)) for key in (0, -1, 2**53, 2**53 + 1, -(2**63), 2**63 - 1)],
        )
        for key in ("a", "A", "a ", "\u00e4", "a\u0308"):
            await db.store(Author).create(Author(name=f"by {key}", country=key))
        author = (await db.store(Author).find())[0]
        for number in (0, -1, 2**53, 2**53 + 1, -(2**63), 2**63 - 1):
            await db.store(Book).create(Book(author=author.id, shop=number, title=str(number)))
        for key in ("a", "A", "a ", "\u00e4", "a\u0308"):
            authors = await db.store(Author).find(via(Author.country, Country.name) == key)
            assert [e.country for e in authors] == [key], ascii(key)
            countries = await db.store(Country).find(any_related(Author.country, Author.name == f"by {key}"))
            assert [e.id for e in countries] == [key], ascii(key)
        for number in (0, -1, 2**53, 2**53 + 1, -(2**63), 2**63 - 1):
            books = await db.store(Book).find(via(Book.shop, Number.word) == str(number))
            assert [e.shop for e in books] == [number], number
            assert [
                e.id for e in await db.store(Number).find(any_related(Book.shop, Book.title == str(number)))
            ] == [number]
