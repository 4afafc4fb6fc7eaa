"""`on_statement` tells what the driver sends, all of it and nothing else, for every verb."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

import pytest

from dbkit import AsyncDatabase, aconnect, any_related, everything, via
from dbkit.errors import DuplicateKey, NotFound, PreconditionFailed, ReferenceViolation
from dbkit.testing.entities import FAMILY, Author, Book, Job, Sale
from dbkit.testing.shapes import AuthorWithBooks, BookLine, SalesByRegion
from tests.told.conftest import Witness


async def test_reads_are_told_as_they_are_sent(witness: Witness) -> None:
    async with aconnect(witness.url, entities=[*FAMILY, Sale]) as db:
        await db.create_schema()
        authors, books = db.store(Author), db.store(Book)
        ada = await authors.create(Author(name="ada", age=36))
        await books.create_many(Book(author=ada.id, title=f"b{n}", price=Decimal(n)) for n in range(7))
        witness.listen(db)
        await authors.get(ada.id)
        witness.look("get")
        await authors.get(UUID(int=0))
        witness.look("get, nothing there")
        await authors.get(ada.id, into=AuthorWithBooks)
        witness.look("get, with children")
        await authors.get_many([ada.id])
        witness.look("get_many")
        await books.find_one(Book.title == "b1")
        witness.look("find_one")
        await books.find(via(Book.author, Author.name) == "ada", into=BookLine)
        witness.look("find, a parent's field")
        await authors.find(any_related(Book.author, Book.sold == 0), limit=3, into=AuthorWithBooks)
        witness.look("find, with children")
        page = await books.page(order_by=Book.price, limit=2)
        witness.look("page")
        await books.page(order_by=Book.price, limit=2, after=page.next_cursor)
        witness.look("page, the next")
        await books.page(Book.sold == 0, limit=2, total=True)
        witness.look("page, total")
        await authors.page(limit=2, total=True, into=AuthorWithBooks)
        witness.look("page, total, with children")
        assert len([book async for book in books.iterate(batch=3)]) == 7
        assert len(witness.look("iterate")) == 3
        await books.count(Book.price > 3)
        witness.look("count")
        await books.exists(via(Book.author, Author.name) == "ada")
        witness.look("exists")
        await db.store(Sale).group(SalesByRegion, Sale.units > 1)
        witness.look("group")
        await db.counts(Author, Book)
        witness.look("counts")
        await books.explain().page(Book.sold == 0, limit=2, total=True)
        assert len(witness.look("explain")) >= 2
        await authors.explain().find(limit=2, into=AuthorWithBooks)
        witness.look("explain, with children")
        await db.ping()
        witness.look("ping")


async def test_writes_are_told_as_they_are_sent(witness: Witness) -> None:
    async with aconnect(witness.url, entities=[*FAMILY, Job]) as db:
        await db.create_schema()
        authors, books, jobs = db.store(Author), db.store(Book), db.store(Job)
        witness.listen(db)
        ada = await authors.create(Author(name="ada"))
        witness.look("create")
        with pytest.raises(DuplicateKey):
            await authors.create(Author(name="ada"))
        witness.look("create, a duplicate")
        book = await books.create(Book(author=ada.id, title="one"))
        witness.look("create, a child")
        with pytest.raises(ReferenceViolation):
            await books.create(Book(author=UUID(int=0)))
        witness.look("create, an orphan")
        await books.create_many(Book(author=ada.id, title=f"b{n}") for n in range(5))
        witness.look("create_many")
        await books.update(book.id, Book.sold.set(Book.sold + 1), where=Book.sold < 5)
        witness.look("update")
        with pytest.raises(PreconditionFailed):
            await books.update(book.id, Book.sold.set(1), where=Book.sold == 5)
        witness.look("update, where it does not hold")
        with pytest.raises(NotFound):
            await books.update(UUID(int=0), Book.sold.set(1))
        witness.look("update, nothing there")
        await books.update(book.id, Book.sold.set(2), where=via(Book.author, Author.name) == "ada")
        witness.look("update, by a parent's field")
        await books.update(book.id, Book.editor.set(ada.id))
        witness.look("update, a reference")
        await books.replace(await books.require(book.id))
        witness.look("replace")
        await books.update_many(Book.title.starts_with("b"), changes=Book.sold.set(Book.sold + 1))
        witness.look("update_many")
        await books.update_many(Book.title == "nothing", changes=Book.sold.set(1))
        witness.look("update_many, nothing there")
        await books.update_many(via(Book.author, Author.name) == "ada", changes=Book.sold.set(3))
        witness.look("update_many, by a parent's field")
        for name in ("ada", "bob"):
            await authors.upsert(Author(name=name), on=Author.name)
            witness.look("upsert")
        await books.delete(book.id, where=Book.sold == 77)
        witness.look("delete, where it does not hold")
        await jobs.create_many(Job(rank=n) for n in range(6))
        witness.look("create_many")
        await jobs.delete((await jobs.find(limit=1))[0].id)
        witness.look("delete")
        await jobs.claim(Job.state == "waiting", changes=Job.state.set("taken"), order_by=Job.rank, limit=2)
        witness.look("claim")
        await jobs.claim(Job.state == "waiting", changes=Job.worker.set(Job.rank + 1), limit=1)
        witness.look("claim, computed")
        await books.claim(Book.sold == 3, changes=Book.editor.set(ada.id), limit=2)
        witness.look("claim, a reference")
        await jobs.delete_many(Job.state == "taken")
        witness.look("delete_many")
        await books.delete_many(via(Book.author, Author.name) == "bob")
        witness.look("delete_many, by a parent's field")
        await authors.delete(ada.id)
        witness.look("delete, a cascade")
        await authors.delete_many(everything())
        witness.look("delete_many, of parents")


async def _stopped(db: AsyncDatabase) -> None:
    async with db.transaction() as tx:
        await tx.store(Author).count()
        raise RuntimeError("stop")


async def test_transactions_and_the_schema_are_told_as_they_are_sent(witness: Witness) -> None:
    async with aconnect(witness.url, entities=[*FAMILY, Job]) as db:
        witness.listen(db)
        await db.create_schema()
        witness.look("create_schema")
        await db.create_schema()
        witness.look("create_schema, again")
        async with db.transaction() as tx:
            await tx.store(Author).create(Author(name="ada"))
            await tx.store(Author).find()
        witness.look("a transaction")
        async with db.transaction():
            pass
        witness.look("an empty transaction")
        async with db.transaction(read_only=True) as tx:
            await tx.store(Author).page(limit=1, total=True)
            await tx.counts(Author, Book)
        witness.look("a read-only transaction")
        with pytest.raises(RuntimeError, match="stop"):
            await _stopped(db)
        witness.look("a transaction that is left by an error")
        with pytest.raises(DuplicateKey):
            async with db.transaction() as tx:
                await tx.store(Author).create(Author(name="ada"))
        witness.look("a transaction that the server's answer ended")
        await db.check()
        witness.look("check")
        if witness.url.startswith("mongodb"):
            async with db.native() as (database, _):
                await database.kit_authors.update_one({}, {"$unset": {"age": 1}})
            witness.forget()
            assert await db.backfill(Author, Author.age, 3) == 1
            witness.look("backfill")
        await db.drop_schema()
        witness.look("drop_schema")
