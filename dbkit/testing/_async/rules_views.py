"""DESIGN, "Views": what a read returns beside the entity itself, and in how many statements."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from dbkit import InvalidInput, TooLarge, via

from ..entities import FAMILY, Address, Author, Book, Chapter, Country, Loose, Number, Place, Plain, Zoo
from ..kit import rule
from ..samples import assert_same
from ..shapes import (
    AuthorName,
    AuthorWithAllBooks,
    AuthorWithBooks,
    BookLine,
    BookWithAuthorName,
    BookWithChapters,
    BookWithParents,
    LooseLine,
    PlainWithLoose,
    ZooLine,
)
from ..watch import Watch, raises
from .case import AsyncCase
from .checks import AsyncPager, fill

NEEDS = ("views", "checked_references")
NOWHERE = UUID("00000000-0000-7000-8000-00000000dead")


class Family:
    """Two authors with books, one without; parents that are there, null, and missing."""

    def __init__(self) -> None:
        self.germany = Country(id="DE", name="Germany")
        self.shop = Number(id=7, word="seven")
        self.ada = Author(name="Ada", country="DE", address=Address(city="Bonn", place=Place(latitude=1.5)))
        self.bob = Author(name="Bob")
        self.cyd = Author(name="Cyd", country="DE", mentor=self.ada.id)
        self.books = [
            Book(author=self.ada.id, title="a", price=Decimal("9.99"), sold=5, shop=7),
            Book(author=self.ada.id, editor=self.bob.id, title="b", price=Decimal("10.00"), sold=9, shop=8),
            Book(author=self.ada.id, editor=self.bob.id, title="c", price=Decimal("1.00"), sold=5),
            Book(author=self.ada.id, title="c", price=None, sold=0),
            Book(author=self.ada.id, title="c", price=Decimal("2.00"), sold=1),
            Book(author=self.bob.id, editor=self.cyd.id, title="d", sold=5),
        ]

    async def create(self, db: Any) -> None:
        """Create them all."""
        await db.store(Country).create(self.germany)
        await db.store(Number).create(self.shop)
        await fill(db.store(Author), [self.ada, self.bob, self.cyd])
        await fill(db.store(Book), self.books)


@rule("views", needs=("views",))
async def views_select_fields_of_the_row(case: AsyncCase) -> None:
    """A view's fields come from the row itself, from inside its nested models and dicts, with their types."""
    async with case.database(Zoo) as db:
        store = db.store(Zoo)
        full = await store.create(
            Zoo(
                text="x",
                address=Address(city="Bonn"),
                address_n=Address(city="Köln", place=Place(latitude=0.5)),
                extra={"source": {"a": [1, None]}, "other": 1},
            )
        )
        bare = await store.create(Zoo(text="y", extra={}))
        expected = [
            ZooLine(text="x", city="Bonn", latitude=0.5, source={"a": [1, None]}, whole=full.address_n),
            ZooLine(text="y", city="", latitude=None, source=None, whole=None),
        ]
        found = await store.find(into=ZooLine, order_by=Zoo.text)
        assert [type(line) for line in found] == [ZooLine, ZooLine]
        assert found == expected
        assert await store.get(full.id, into=ZooLine) == expected[0]
        assert await store.get(NOWHERE, into=ZooLine) is None
        assert await store.require(bare.id, into=ZooLine) == expected[1]
        assert await store.find_one(Zoo.text == "y", into=ZooLine) == expected[1]
        page = await store.page(order_by=Zoo.integer_n, limit=1, into=ZooLine)
        assert page.items == expected[:1]
        assert (
            await store.page(order_by=Zoo.integer_n, limit=1, into=ZooLine, after=page.next_cursor)
        ).items == expected[1:]
        assert [line async for line in store.iterate(order_by=Zoo.text.desc(), into=ZooLine)] == expected[
            ::-1
        ]


@rule("views", needs=NEEDS)
async def views_reach_parents_fields(case: AsyncCase) -> None:
    """Via reaches fields of parents and of their parents; where one is null or missing the field is None."""
    async with case.database(*FAMILY) as db:
        family = Family()
        await family.create(db)
        found = await db.store(Book).find(into=BookLine, order_by=(Book.title, Book.sold))
        told = [(line.title, line.author, line.editor, line.country, line.shop) for line in found]
        assert told == [
            ("a", "Ada", None, "Germany", "seven"),
            ("b", "Ada", "Bob", "Germany", None),
            ("c", "Ada", None, "Germany", None),
            ("c", "Ada", None, "Germany", None),
            ("c", "Ada", "Bob", "Germany", None),
            ("d", "Bob", "Cyd", None, None),
        ]
        lines = await db.store(Book).find(
            BookLine.editor == "Bob", order_by=BookLine.title.desc(), into=BookLine
        )
        assert [line.title for line in lines] == ["c", "b"]
        by_id = await db.store(Book).get_many([e.id for e in family.books[:2]], into=BookLine)
        assert [line.title for line in by_id.values()] == ["a", "b"]


@rule("views", needs=NEEDS)
async def views_hold_whole_parents(case: AsyncCase) -> None:
    """via(reference, Parent) gives the whole parent, as an entity or a view of it; None where it is null or missing."""
    async with case.database(*FAMILY) as db:
        family = Family()
        await family.create(db)
        found = await db.store(Book).find(Book.title < "c", into=BookWithParents, order_by=Book.title)
        for book, expected in zip(found, family.books, strict=False):
            assert_same({k: v for k, v in book.__dict__.items() if k in Book.model_fields}, expected.__dict__)
        a, b = found
        assert_same((a.writer, a.editing, a.selling), (family.ada, None, family.shop))
        assert_same((b.writer, b.editing, b.selling), (family.ada, family.bob, None))
        (named,) = await db.store(Book).find(Book.title == "d", into=BookWithAuthorName)
        assert named == BookWithAuthorName(title="d", writer=AuthorName(id=family.bob.id, name="Bob"))


@rule("views", needs=("views",))
async def missing_parents_are_none(case: AsyncCase) -> None:
    """Behind an unchecked reference whose parent is missing, fields and whole parents are None."""
    async with case.database(Loose, Plain) as db:
        parent = await db.store(Plain).create(Plain(name="p"))
        await fill(
            db.store(Loose),
            [
                Loose(label="a", parent=parent.id),
                Loose(label="b", parent=NOWHERE),
                Loose(label="c", parent=None),
            ],
        )
        found = await db.store(Loose).find(into=LooseLine, order_by=Loose.label)
        assert found == [
            LooseLine(label="a", name="p", whole=parent),
            LooseLine(label="b", name=None, whole=None),
            LooseLine(label="c", name=None, whole=None),
        ]


@rule("views", needs=NEEDS)
async def related_children_have_order_and_limit(case: AsyncCase) -> None:
    """Related gives each row's children, filtered, in their own total order, at most limit a row; [] where there are none."""
    async with case.database(*FAMILY) as db:
        family = Family()
        await family.create(db)
        ids = {book.id: place for place, book in enumerate(family.books)}
        found = await db.store(Author).find(into=AuthorWithBooks, order_by=Author.name)
        assert [type(author) for author in found] == [AuthorWithBooks] * 3
        # Ties in sold stand by id, descending as the key; in title and sold by id, ascending.
        assert [[ids[b.id] for b in author.best] for author in found] == [[1, 2, 0], [5], []]
        assert [[ids[line.id] for line in author.cheap] for author in found] == [[4, 2, 0], [], []]
        assert [[ids[b.id] for b in author.edited] for author in found] == [[], [1, 2], [5]]
        assert_same(found[0].best[0], family.books[1])
        assert [line.country for line in found[0].cheap] == ["Germany"] * 3
        assert_same(
            {k: v for k, v in found[0].__dict__.items() if k in Author.model_fields}, family.ada.__dict__
        )
        one = await db.store(Author).get(family.bob.id, into=AuthorWithBooks)
        assert one == found[1]
        paged = await AsyncPager(db.store(Author)).read(limit=1, order_by=Author.name, into=AuthorWithBooks)
        assert paged == found
        assert [
            a async for a in db.store(Author).iterate(order_by=Author.name, batch=2, into=AuthorWithBooks)
        ] == found
        many = await db.store(Author).get_many([family.cyd.id, family.ada.id], into=AuthorWithBooks)
        assert list(many.values()) == [found[2], found[0]]


@rule("views", needs=NEEDS)
async def views_mix_parents_and_children(case: AsyncCase) -> None:
    """A view can hold a parent's field, the whole parent and children at once."""
    async with case.database(*FAMILY) as db:
        family = Family()
        await family.create(db)
        first, second, *_ = family.books
        chapters = [
            Chapter(book=first.id, title="two", pages=2),
            Chapter(book=first.id, title="one", pages=1),
        ]
        await fill(db.store(Chapter), chapters)
        found = await db.store(Book).find(Book.title < "c", into=BookWithChapters, order_by=Book.title)
        assert found == [
            BookWithChapters(id=first.id, author="Ada", writer=family.ada, chapters=chapters[::-1]),
            BookWithChapters(id=second.id, author="Ada", writer=family.ada, chapters=[]),
        ]


@rule("views", needs=("views",))
async def related_follows_unchecked_references(case: AsyncCase) -> None:
    """Related works over references that are not checked, and over many rows at once."""
    async with case.database(Plain, Loose) as db:
        parents = [Plain(n=n) for n in range(120)]
        await fill(db.store(Plain), parents)
        await fill(
            db.store(Loose),
            [
                Loose(parent=parent.id, label=label)
                for place, parent in enumerate(parents)
                for label in "cab"[: place % 4]
            ],
        )
        found = await db.store(Plain).find(into=PlainWithLoose, order_by=Plain.n)
        labels = ["".join(child.label for child in parent.children) for parent in found]
        assert labels == ["", "c", "ac", "abc"] * 30


@rule("views", needs=NEEDS)
async def children_are_not_cut_off_silently(case: AsyncCase) -> None:
    """Related without a limit gives 1,000 children a row, and raises TooLarge beyond."""
    async with case.database(*FAMILY) as db:
        ada, bob = Author(name="Ada"), Author(name="Bob")
        await fill(db.store(Author), [ada, bob])
        await fill(db.store(Book), [Book(author=ada.id, sold=n) for n in range(1_000)])
        await fill(db.store(Book), [Book(author=bob.id, sold=n) for n in range(3)])
        found = await db.store(Author).find(into=AuthorWithAllBooks, order_by=Author.name)
        assert [len(author.books) for author in found] == [1_000, 3]
        assert [book.sold for book in found[0].books] == list(range(1_000))
        await db.store(Book).create(Book(author=ada.id))
        with raises(TooLarge):
            await db.store(Author).find(into=AuthorWithAllBooks)
        with raises(TooLarge):
            await db.store(Author).get(ada.id, into=AuthorWithAllBooks)
        assert len((await db.store(Author).require(bob.id, into=AuthorWithAllBooks)).books) == 3
        assert len((await db.store(Author).require(ada.id, into=AuthorWithBooks)).best) == 3


@rule("views", needs=NEEDS)
async def one_statement_a_relation(case: AsyncCase) -> None:
    """A read sends at most one further statement for each relation, never one a row; parents need none."""
    async with case.database(*FAMILY) as db:
        family = Family()
        await family.create(db)
        watch = Watch(db)
        budgets: list[tuple[Any, Any, int]] = [
            (Book, BookLine, 1),
            (Book, BookWithParents, 1),
            (Book, BookWithChapters, 2),
            (Author, AuthorWithAllBooks, 2),
            (Author, AuthorWithBooks, 4),
        ]
        for entity, view, budget in budgets:
            watch.clear()
            rows = await db.store(entity).find(into=view)
            assert len(rows) > 1
            assert 1 <= len(watch.texts) <= budget, f"find into {view.__name__}: {watch.texts}"
            watch.clear()
            await db.store(entity).page(into=view, limit=2)
            assert 1 <= len(watch.texts) <= budget, f"page into {view.__name__}: {watch.texts}"
            watch.clear()
            await db.store(entity).get(family.ada.id if entity is Author else family.books[0].id, into=view)
            assert 1 <= len(watch.texts) <= budget, f"get into {view.__name__}: {watch.texts}"
        for verb in ("count", "exists", "find_one", "find"):
            watch.clear()
            await getattr(db.store(Book), verb)(
                via(Book.author, via(Author.country, Country.name)) == "Germany"
            )
            assert len(watch.texts) == 1, f"{verb}: {watch.texts}"


@rule("views", needs=(*NEEDS, "snapshot_reads", "transactions"), real_mongod=True)
async def relations_are_of_one_instant(case: AsyncCase) -> None:
    """A read with its relations sees one committed instant: never a parent of one transaction with children of another."""
    async with case.database(*FAMILY) as db:
        author = Author(name="Ada", age=0)
        await db.store(Author).create(author)
        await fill(db.store(Book), [Book(author=author.id, sold=0) for _ in range(5)])
        done: list[bool] = []

        async def write() -> None:
            try:
                for number in range(1, 25):
                    async with db.transaction() as tx:
                        await tx.store(Author).update(author.id, Author.age.set(number))
                        await tx.store(Book).update_many(
                            Book.author == author.id, changes=Book.sold.set(number)
                        )
            finally:
                done.append(True)

        async def read() -> int:
            reads = 0
            while not done or reads == 0:
                seen = await db.store(Author).require(author.id, into=AuthorWithBooks)
                assert [book.sold for book in seen.best] == [seen.age] * 3
                (seen,) = await db.store(Author).find(into=AuthorWithBooks)
                assert [book.sold for book in seen.best] == [seen.age] * 3
                reads += 1
            return reads

        for result in await case.gather(write, read):
            if isinstance(result, BaseException):
                raise result


@rule("views", needs=NEEDS)
async def views_belong_to_their_entity(case: AsyncCase) -> None:
    """A view of another entity, an instance or a plain class as into= is InvalidInput, before a statement is sent."""
    async with case.database(*FAMILY) as db:
        watch = Watch(db)
        strange: list[Any] = [BookLine, Book, dict, Author(name="x"), "AuthorWithBooks"]
        for into in strange:
            with raises(InvalidInput):
                await db.store(Author).find(into=into)
        with raises(InvalidInput):
            await db.store(Book).get_many([NOWHERE], into=BookWithAuthorName)
        assert watch.statements == []
