"""SEMANTICS, "References": no orphan, and what becomes of children when their parent goes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from dbkit import Entity, Mapped, everything, field
from dbkit._async.database import AsyncDatabase
from dbkit.errors import ReferenceViolation

from ..entities import FAMILY, Author, Book, Chapter, Country, Loose, Plain
from ..kit import rule
from ..watch import raises
from .case import AsyncCase
from .checks import fill

NOBODY = UUID("018f0000-0000-7000-8000-000000000000")


class Node(Entity, name="kit_nodes"):
    """A tree that cascades, whose nodes may point at another one that must stay."""

    parent: Mapped[UUID | None] = field(default=None, references=lambda: Node, on_delete="cascade")
    needs: Mapped[UUID | None] = field(default=None, references=lambda: Node)
    likes: Mapped[UUID | None] = field(default=None, references=lambda: Node, on_delete="set_null")
    label: Mapped[str] = field(default="")


async def orphans(db: AsyncDatabase) -> list[str]:
    """Return what refers to nothing, in the family."""
    authors = {a.id: a for a in await db.store(Author).find(limit=10_000)}
    countries = {c.id for c in await db.store(Country).find(limit=10_000)}
    books = {b.id: b for b in await db.store(Book).find(limit=10_000)}
    found = [f"author {a.name}" for a in authors.values() if a.mentor and a.mentor not in authors]
    found += [
        f"author {a.name} of {a.country}"
        for a in authors.values()
        if a.country and a.country not in countries
    ]
    for book in books.values():
        for name in ("author", "editor", "owner"):
            parent = getattr(book, name)
            if parent is not None and parent not in authors:
                found.append(f"book {book.title}: {name}")
    found += [f"chapter {c.title}" for c in await db.store(Chapter).find(limit=10_000) if c.book not in books]
    return found


def _wrong_children(db: AsyncDatabase, ada: Any, book: Any) -> list[tuple[Any, str, str]]:
    """Return writes that refer to a row that is not there: (call, field, operation)."""
    authors, books = db.store(Author), db.store(Book)
    return [
        (lambda: books.create(Book(author=NOBODY)), "author", "create"),
        (lambda: books.create(Book(author=ada.id, editor=NOBODY)), "editor", "create"),
        (lambda: books.create_many([Book(author=ada.id), Book(author=ada.id, owner=NOBODY)]), "owner", "create_many"),
        (lambda: books.update(book.id, Book.editor.set(NOBODY)), "editor", "update"),
        (lambda: books.update_many(everything(), changes=Book.author.set(NOBODY)), "author", "update_many"),
        (lambda: books.replace(book.evolve(owner=NOBODY)), "owner", "replace"),
        (lambda: authors.update(ada.id, Author.country.set("NO")), "country", "update"),
        (lambda: authors.create(Author(name="bob", country="se")), "country", "create"),
    ]  # fmt: skip


# -- one at a time -----------------------------------------------------------------------------------------------------


@rule("references", needs=("checked_references",))
async def a_child_needs_its_parent(case: AsyncCase) -> None:
    """Every write that refers to a row that is not there is ReferenceViolation, which names the field; null refers to none."""
    async with case.database(*FAMILY) as db:
        authors, books = db.store(Author), db.store(Book)
        await db.store(Country).create(Country(id="SE"))
        ada = await authors.create(Author(name="ada", country="SE"))
        book = await books.create(Book(author=ada.id))
        for call, name, operation in _wrong_children(db, ada, book):
            with raises(ReferenceViolation) as raised:
                await call()
            error = raised.error
            assert (error.field, error.operation, error.retryable) == (name, operation, False)
            assert str(NOBODY) not in str(error)
        assert await books.find() == [book]
        assert await authors.find() == [ada]
        changed = await books.update(book.id, Book.editor.set(ada.id), Book.owner.set(None))
        assert changed.editor == ada.id
        await authors.update(ada.id, Author.country.set(None))
        assert await db.store(Country).delete("SE")


@rule("references", needs=("checked_references",))
async def restrict_keeps_a_parent_with_children(case: AsyncCase) -> None:
    """`restrict`, the default: deleting a parent that is still referred to is ReferenceViolation, and nothing changes."""
    async with case.database(*FAMILY) as db:
        countries, authors, books = db.store(Country), db.store(Author), db.store(Book)
        await countries.create_many([Country(id="SE"), Country(id="NO")])
        ada, bob = Author(name="ada", country="SE"), Author(name="bob")
        await authors.create_many([ada, bob])
        book = await books.create(Book(author=ada.id, owner=bob.id))
        with raises(ReferenceViolation) as raised:
            await countries.delete("SE")
        assert (raised.error.operation, raised.error.entity) == ("delete", "Country")
        with raises(ReferenceViolation):
            await countries.delete_many(everything())
        with raises(ReferenceViolation):
            await authors.delete(bob.id)
        assert await db.counts(Country, Author, Book) == [2, 2, 1]
        assert await countries.delete("NO")
        await books.update(book.id, Book.owner.set(None))
        assert await authors.delete(bob.id)
        assert await authors.delete(ada.id)
        assert await countries.delete("SE")
        assert await db.counts(Country, Author, Book) == [0, 0, 0]


@rule("references", needs=("checked_references",))
async def cascade_deletes_children_and_theirs(case: AsyncCase) -> None:
    """`cascade`: children go with their parent, and their children with them; others stay."""
    async with case.database(*FAMILY) as db:
        authors, books, chapters = db.store(Author), db.store(Book), db.store(Chapter)
        ada, bob = Author(name="ada"), Author(name="bob")
        await authors.create_many([ada, bob])
        rows = [Book(author=(ada if n % 2 else bob).id, title=str(n)) for n in range(6)]
        await books.create_many(rows)
        await chapters.create_many(Chapter(book=book.id, pages=n) for book in rows for n in range(3))
        assert await authors.delete(ada.id) is True
        assert [b.title for b in await books.find(order_by=Book.title)] == ["0", "2", "4"]
        assert await chapters.count() == 9
        assert await orphans(db) == []
        assert await books.delete_many(Book.title == "0") == 1
        assert await chapters.count() == 6
        assert await authors.delete_many(everything()) == 1
        assert await db.counts(Author, Book, Chapter) == [0, 0, 0]


@rule("references", needs=("checked_references",))
async def set_null_leaves_the_children(case: AsyncCase) -> None:
    """`set_null`: the children's field becomes null, and nothing else of them changes: `updated_at` and `version` stay."""
    async with case.database(*FAMILY) as db:
        authors, books = db.store(Author), db.store(Book)
        ada, bob = Author(name="ada"), Author(name="bob")
        await authors.create_many([ada, bob])
        pupil = await authors.create(Author(name="pupil", mentor=bob.id, age=3))
        edited = await books.create(Book(author=ada.id, editor=bob.id, title="x"))
        edited = await books.update(edited.id, Book.sold.set(1))
        other = await books.create(Book(author=ada.id, editor=ada.id))
        assert await authors.delete(bob.id) is True
        assert await books.require(edited.id) == edited.evolve(editor=None)
        assert await books.require(other.id) == other
        assert await authors.require(pupil.id) == pupil.evolve(mentor=None)
        assert (await books.require(edited.id)).version == 2


@rule("references", needs=("checked_references",))
async def one_delete_follows_all_its_references(case: AsyncCase) -> None:
    """A child that is both cascaded and set null, or cascaded and restricting, goes with its parent."""
    async with case.database(*FAMILY) as db:
        authors, books = db.store(Author), db.store(Book)
        ada = await authors.create(Author(name="ada"))
        # Deleting ada deletes the book, so what it restricts and what it would set to null are gone by the verb's end.
        await books.create(Book(author=ada.id, editor=ada.id, owner=ada.id))
        assert await authors.delete(ada.id) is True
        assert await db.counts(Author, Book) == [0, 0]


@rule("references", needs=("checked_references",))
async def parent_and_child_go_together(case: AsyncCase) -> None:
    """References are checked at a verb's end: `delete_many` of a parent and of what restricts it succeeds."""
    async with case.database(Node) as db:
        store = db.store(Node)
        first = Node(label="first")
        second = Node(label="second", needs=first.id)
        third = Node(label="third", needs=second.id)
        await store.create_many([first, second, third])
        with raises(ReferenceViolation):
            await store.delete_many(Node.label.in_(["first", "third"]))
        assert await store.count() == 3
        assert await store.delete_many(Node.label.in_(["first", "second", "third"])) == 3
        # A row that restricts itself goes, too.
        own = Node(label="own")
        await store.create(own.evolve(needs=own.id))
        assert await store.delete(own.id) is True
        # Two that restrict each other go together, and not alone.
        one, two = Node(), Node()
        await store.create_many([one.evolve(needs=two.id), two.evolve(needs=one.id)])
        with raises(ReferenceViolation):
            await store.delete(one.id)
        assert await store.delete_many(everything()) == 2


@rule("references", needs=("checked_references",))
async def trees_refer_to_themselves(case: AsyncCase) -> None:
    """A row may refer to itself, rows of one batch to each other; a tree cascades to any depth, a cycle ends."""
    async with case.database(Node) as db:
        store = db.store(Node)
        own = Node()
        assert (await store.create(own.evolve(parent=own.id))).parent == own.id
        assert await store.delete(own.id) is True
        chain = [Node(label=str(n)) for n in range(30)]
        chain = [chain[0], *(node.evolve(parent=chain[n].id) for n, node in enumerate(chain[1:]))]
        await store.create_many(reversed(chain))
        fan = await store.create(Node(label="fan", likes=chain[20].id))
        restricting = await store.create(Node(label="needs", needs=chain[29].id))
        with raises(ReferenceViolation):
            await store.delete(chain[5].id)
        assert await store.count() == 32
        await store.update(restricting.id, Node.needs.set(chain[2].id))
        assert await store.delete(chain[5].id) is True
        assert await store.count() == 7
        assert await store.require(fan.id) == fan.evolve(likes=None)
        ring = [Node(), Node(), Node()]
        await store.create_many(n.evolve(parent=ring[i - 1].id) for i, n in enumerate(ring))
        before = await store.count()
        assert await store.delete(ring[1].id) is True
        assert await store.count() == before - 3


@rule("references", needs=("checked_references",))
async def moving_a_child_frees_its_parent(case: AsyncCase) -> None:
    """After a child is moved to another parent, or deleted, the first one can be deleted, the other one cannot."""
    async with case.database(Node) as db:
        store = db.store(Node)
        one, two = Node(), Node()
        await store.create_many([one, two])
        child = await store.create(Node(needs=one.id))
        await store.update(child.id, Node.needs.set(two.id))
        assert await store.delete(one.id) is True
        with raises(ReferenceViolation):
            await store.delete(two.id)
        await store.delete(child.id)
        assert await store.delete(two.id) is True


@rule("references", needs=("checked_references",))
async def a_conditional_delete_that_fails_touches_nothing(case: AsyncCase) -> None:
    """`delete` whose `where` is false deletes no child either."""
    async with case.database(*FAMILY) as db:
        ada = await db.store(Author).create(Author(name="ada", age=30))
        book = await db.store(Book).create(Book(author=ada.id))
        assert await db.store(Author).delete(ada.id, where=Author.age > 30) is False
        assert await db.store(Author).delete_many(Author.age > 30) == 0
        assert await db.store(Book).find() == [book]


@rule("references")
async def unchecked_references_are_not_checked(case: AsyncCase) -> None:
    """`check=False`: a child may refer to nothing, and stays as it is when its parent goes."""
    async with case.database(Plain, Loose) as db:
        parent = await db.store(Plain).create(Plain())
        rows = [Loose(parent=parent.id), Loose(parent=NOBODY), Loose()]
        assert await fill(db.store(Loose), rows) == 3
        assert await db.store(Plain).delete(parent.id) is True
        assert await db.store(Loose).find() == rows
        changed = await db.store(Loose).update(rows[2].id, Loose.parent.set(NOBODY))
        assert changed.parent == NOBODY


@rule("references", needs=("checked_references", "transactions"))
async def a_family_is_made_and_deleted_in_one_transaction(case: AsyncCase) -> None:
    """Inside a transaction a child may refer to a parent of the same transaction; a parent may go after its children."""
    async with case.database(*FAMILY) as db:
        async with db.transaction() as tx:
            await tx.store(Country).create(Country(id="SE"))
            ada = await tx.store(Author).create(Author(name="ada", country="SE"))
            await tx.store(Book).create(Book(author=ada.id, owner=ada.id))
        assert await db.counts(Country, Author, Book) == [1, 1, 1]
        async with db.transaction() as tx:
            assert await tx.store(Book).delete_many(everything()) == 1
            assert await tx.store(Author).delete(ada.id) is True
            assert await tx.store(Country).delete("SE") is True
            bob = await tx.store(Author).create(Author(name="bob"))
            await tx.store(Book).create(Book(author=bob.id))
        assert await db.counts(Country, Author, Book) == [0, 1, 1]
        assert await orphans(db) == []
