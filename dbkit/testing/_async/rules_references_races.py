"""SEMANTICS, "References", in races: no orphan in any history, and no needless conflict."""

from __future__ import annotations

import random
import time
from typing import Any

from dbkit import everything
from dbkit._async.database import AsyncDatabase
from dbkit.errors import Conflict, NotFound, ReferenceViolation

from ..entities import FAMILY, Author, Book, Country
from ..kit import rule
from .case import AsyncCase
from .rules_references import Node, orphans

ALLOWED = (ReferenceViolation, Conflict)


def _errors(results: list[Any], *kinds: type[Exception]) -> int:
    """Return how many of the results are errors, each of exactly one of *kinds*."""
    errors = [result for result in results if isinstance(result, BaseException)]
    for error in errors:
        if type(error) not in kinds:
            raise error
    return len(errors)


@rule("references", needs=("checked_references", "transactions"), real_mongod=True)
async def a_child_and_the_end_of_its_parent(case: AsyncCase) -> None:
    """Inserting a child and deleting its parent at once, in transactions: one of them fails, by ReferenceViolation or Conflict."""
    async with case.database(*FAMILY) as db:
        for round_ in range(6):
            parent = await db.store(Country).create(Country(id=f"C{round_}"))
            barrier = case.barrier(2)

            async def insert(parent: Country = parent, barrier: Any = barrier) -> str:
                await barrier.wait()
                async with db.transaction() as tx:
                    await tx.store(Author).create(Author(name=f"of {parent.id}", country=parent.id))
                return "inserted"

            async def delete(parent: Country = parent, barrier: Any = barrier) -> str:
                await barrier.wait()
                async with db.transaction() as tx:
                    await tx.store(Country).delete(parent.id)
                return "deleted"

            results = await case.gather(insert, delete)
            assert _errors(results, *ALLOWED) in (1, 2), results
            assert await orphans(db) == []


@rule("references", needs=("checked_references", "concurrent_writers", "transactions"), real_mongod=True)
async def a_child_is_checked_against_what_others_committed(case: AsyncCase) -> None:
    """A parent that was deleted after the transaction's snapshot is no parent; one that has got a child is not deleted."""
    async with case.database(*FAMILY) as db, case.connect(*FAMILY) as other:

        async def insert_late() -> None:
            async with db.transaction() as tx:
                assert await tx.store(Country).count() == 2
                assert await other.store(Country).delete("A")
                await tx.store(Author).create(Author(name="late", country="A"))

        async def delete_late() -> None:
            async with db.transaction() as tx:
                assert await tx.store(Author).count() == 0
                await other.store(Author).create(Author(name="early", country="B"))
                await tx.store(Country).delete("B")

        await db.store(Country).create_many([Country(id="A"), Country(id="B")])
        assert _errors(await case.gather(insert_late), *ALLOWED) == 1
        assert await db.store(Author).count() == 0
        await db.store(Country).create(Country(id="A"))
        assert _errors(await case.gather(delete_late), *ALLOWED) == 1
        assert await orphans(db) == []
        assert await db.counts(Country, Author) == [2, 1]


async def _storm(case: AsyncCase, db: AsyncDatabase, seed: int) -> int:
    """Let workers insert, move and delete parents and children at random; return how many verbs succeeded."""
    names = [f"n{n}" for n in range(5)]

    async def work(number: int) -> int:
        chance = random.Random(seed * 100 + number)
        done = 0
        authors, books = db.store(Author), db.store(Book)
        for _ in range(12):
            try:
                present = await authors.find()
                some = chance.choice(present).id if present else None
                match chance.randrange(6):
                    case 0:
                        await authors.upsert(Author(name=chance.choice(names), mentor=some), on=Author.name)
                    case 1 | 2 if some is not None:
                        editor = chance.choice(present).id
                        owner = chance.choice([None, None, chance.choice(present).id])
                        await books.create(Book(author=some, editor=editor, owner=owner, title=f"{number}"))
                    case 3 if some is not None:
                        await authors.delete(some)
                    case 4:
                        await books.update_many(Book.title == f"{number}", changes=Book.owner.set(None))
                    case _:
                        await authors.delete_many(Author.name == chance.choice(names))
                done += 1
            except (ReferenceViolation, Conflict, NotFound):
                continue
        return done

    results = await case.run_workers(5, work)
    _errors(results)
    return sum(results)


@rule("references", needs=("checked_references",), real_mongod=True)
async def no_orphan_in_any_history(case: AsyncCase) -> None:
    """Workers that insert, move and delete parents and children at random leave no orphan, whatever succeeds."""
    async with case.database(*FAMILY) as db:
        done = 0
        for seed in range(3):
            done += await _storm(case, db, seed)
            assert await orphans(db) == []
        assert done > 30, "next to nothing got through"


@rule("references", needs=("checked_references",), real_mongod=True)
async def no_orphan_in_any_tree(case: AsyncCase) -> None:
    """The same in a tree that refers to itself by cascade, restrict and set null."""
    async with case.database(Node) as db:
        store = db.store(Node)

        async def work(number: int) -> int:
            chance = random.Random(number)
            done = 0
            for _ in range(12):
                nodes = await store.find(limit=60)
                ids: list[Any] = [None, *(n.id for n in nodes)]
                try:
                    if chance.random() < 0.6 or not nodes:
                        await store.create(
                            Node(
                                parent=chance.choice(ids), needs=chance.choice(ids), likes=chance.choice(ids)
                            )
                        )
                    elif chance.random() < 0.7:
                        await store.delete(chance.choice(nodes).id)
                    else:
                        await store.update(chance.choice(nodes).id, Node.parent.set(chance.choice(ids)))
                    done += 1
                except (ReferenceViolation, Conflict, NotFound):
                    continue
            return done

        results = await case.run_workers(4, work)
        _errors(results)
        assert sum(results) > 10
        nodes = {n.id: n for n in await store.find(limit=10_000)}
        for node in nodes.values():
            for name in ("parent", "needs", "likes"):
                parent = getattr(node, name)
                assert parent is None or parent in nodes, f"{name} of {node.id}"


@rule("references", needs=("checked_references", "concurrent_writers", "transactions"), real_mongod=True)
async def an_unrelated_change_of_a_parent_is_no_conflict(case: AsyncCase) -> None:
    """A parent's fields, unique ones too, can be changed while a child is inserted, and the other way round, unwaited."""
    async with case.database(*FAMILY) as db, case.connect(*FAMILY) as other:
        ada = await db.store(Author).create(Author(name="ada"))
        started = time.monotonic()
        async with db.transaction() as tx:
            await tx.store(Book).create(Book(author=ada.id, owner=ada.id))
            await other.store(Author).update(ada.id, Author.name.set("Ada"), Author.age.set(36))
        async with db.transaction() as tx:
            await tx.store(Author).update(ada.id, Author.name.set("A."))
            await other.store(Book).create(Book(author=ada.id, editor=ada.id))
        assert time.monotonic() - started < 3
        assert await db.counts(Author, Book) == [1, 2]
        assert (await db.store(Author).require(ada.id)).name == "A."


@rule("references", needs=("checked_references",))
async def children_of_one_parent_are_inserted_at_once(case: AsyncCase) -> None:
    """Workers that insert children of one parent all succeed: siblings do not end in Conflict."""
    async with case.database(*FAMILY) as db:
        ada = await db.store(Author).create(Author(name="ada"))

        async def work(number: int) -> int:
            for n in range(5):
                await db.store(Book).create(Book(author=ada.id, editor=ada.id, title=f"{number}.{n}"))
            await db.store(Book).create_many(Book(author=ada.id) for _ in range(5))
            return 10

        assert await case.run_workers(6, work) == [10] * 6
        assert await db.store(Book).count(Book.author == ada.id) == 60


@rule("references", needs=("checked_references",))
async def parents_are_deleted_at_once(case: AsyncCase) -> None:
    """Workers that delete the same parents, whose children cascade and are set null: each goes once, all succeed."""
    async with case.database(*FAMILY) as db:
        people = [Author(name=str(n)) for n in range(6)]
        await db.store(Author).create_many(people)
        await db.store(Book).create_many(
            Book(author=person.id, editor=people[n - 1].id)
            for n, person in enumerate(people)
            for _ in range(3)
        )

        async def work(number: int) -> int:
            order = random.Random(number).sample(people, len(people))
            return sum([await db.store(Author).delete(person.id) for person in order])

        results = await case.run_workers(4, work)
        _errors(results)
        assert sum(results) == 6
        assert await db.counts(Author, Book) == [0, 0]
        assert await db.store(Author).delete_many(everything()) == 0
