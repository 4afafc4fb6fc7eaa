"""SEMANTICS, "Writes", of many rows: all or nothing, counted, and kept within limits."""

from __future__ import annotations

from uuid import UUID

from dbkit import everything
from dbkit.errors import (
    DuplicateKey,
    InvalidInput,
    OutOfRange,
    ReferenceViolation,
    TooLarge,
)

from ..entities import FAMILY, Account, Author, Book, Chapter, Plain, Sheet
from ..kit import rule
from ..limits import shortened
from ..watch import Watch, raises
from .case import AsyncCase

NOBODY = UUID("018f0000-0000-7000-8000-000000000000")


@rule("writes", needs=("atomic_many",))
async def create_many_counts(case: AsyncCase) -> None:
    """`create_many` takes any iterable and returns how many it stored; of nothing, 0."""
    async with case.database(Plain) as db:
        store = db.store(Plain)
        assert await store.create_many([]) == 0
        assert await store.create_many(Plain(n=n) for n in range(1_500)) == 1_500
        assert await store.create_many((Plain(n=-1),)) == 1
        assert await store.count() == 1_501
        assert await store.count(Plain.n >= 0) == 1_500


@rule("writes", needs=("atomic_many",))
async def create_many_is_all_or_nothing(case: AsyncCase) -> None:
    """One row that clashes, with a stored one or with one of its own batch, and nothing is stored; the field is named."""
    async with case.database(Account) as db:
        store = db.store(Account)
        await store.create(Account(owner="taken", email="taken@example.org"))
        many = [Account(owner=f"o{n}", email=f"e{n}@example.org") for n in range(1_200)]
        clashes = [
            (Account(owner="taken"), "owner"),
            (Account(owner="o1"), "owner"),
            (Account(owner="free", email="TAKEN@example.org"), "email"),
            (Account(owner="free", email="E7@EXAMPLE.ORG"), "email"),
            (Account(owner="free").evolve(id=many[5].id), "id"),
        ]
        for number, (clash, field) in enumerate(clashes):
            good = many[: 40 if number else 1_200]
            for place in (0, len(good) // 2, len(good)):
                with raises(DuplicateKey) as raised:
                    await store.create_many([*good[:place], clash, *good[place:]])
                error = raised.error
                assert (error.field, error.entity, error.operation) == (field, "Account", "create_many")
                assert await store.count() == 1
        assert await store.create_many(many) == 1_200


@rule("writes", needs=("atomic_many", "checked_references"))
async def create_many_checks_references_of_all(case: AsyncCase) -> None:
    """One row whose parent is missing, and none is stored; rows of one batch may refer to each other."""
    async with case.database(*FAMILY) as db:
        authors, books = db.store(Author), db.store(Book)
        ada = await authors.create(Author(name="ada"))
        rows = [Book(author=ada.id, title=str(n)) for n in range(50)]
        with raises(ReferenceViolation) as raised:
            await books.create_many([*rows[:25], Book(author=NOBODY), *rows[25:]])
        assert (raised.error.field, raised.error.entity) == ("author", "Book")
        assert await books.count() == 0
        teacher, pupil = Author(name="teacher"), Author(name="pupil")
        first, last = Author(name="first"), Author(name="last")
        assert await authors.create_many(
            [pupil.evolve(mentor=teacher.id), teacher, first.evolve(mentor=last.id), last.evolve(mentor=first.id)]
        ) == 4  # fmt: skip


@rule("writes", needs=("atomic_many",))
async def more_rows_than_the_limit_are_refused_unsent(case: AsyncCase) -> None:
    """`create_many` of more than 10,000 rows is TooLarge and sends nothing; `batched=True` writes them in steps."""
    async with case.database(Plain) as db:
        store = db.store(Plain)
        watch = Watch(db)
        rows = [Plain(n=n) for n in range(10_001)]
        with raises(TooLarge) as raised:
            await store.create_many(rows)
        assert "batched=True" in str(raised.error)
        assert watch.texts == []
        with shortened(MAX_ROWS_TOUCHED=40):
            with raises(TooLarge):
                await store.create_many(rows[:41])
            assert await store.create_many(rows[:40]) == 40
            assert await store.create_many(rows[40:130], batched=True) == 90
        assert await store.count() == 130


@rule("writes", needs=("atomic_many", "computed_changes"), real_mongod=True)
async def ten_thousand_rows_can_be_written_at_once(case: AsyncCase) -> None:
    """10,000 rows are created, changed and deleted at once; one more, and it is TooLarge and nothing is changed."""
    async with case.database(Plain) as db:
        store = db.store(Plain)
        assert await store.create_many(Plain(n=n) for n in range(10_000)) == 10_000
        extra = await store.create(Plain(n=10_000))
        with raises(TooLarge):
            await store.update_many(everything(), changes=Plain.n.set(-1))
        with raises(TooLarge):
            await store.delete_many(Plain.n >= 0)
        assert await store.count(Plain.n >= 0) == 10_001
        assert await store.update_many(Plain.id != extra.id, changes=Plain.n.set(Plain.n + 1)) == 10_000
        assert await store.count(Plain.n == 10_000) == 2
        assert await store.delete_many(Plain.id != extra.id) == 10_000
        assert await store.find() == [extra]


# -- update_many, delete_many ------------------------------------------------------------------------------------------


@rule("writes", needs=("atomic_many", "computed_changes"))
async def update_many_counts_what_matched(case: AsyncCase) -> None:
    """`update_many` returns how many rows the filter took, changed by it or not; nothing taken is 0."""
    async with case.database(Plain) as db:
        store = db.store(Plain)
        await store.create_many(
            Plain(name=name, n=n) for name, n in (("a", 1), ("b", 1), ("c", 2), ("d", None))
        )
        assert await store.update_many(Plain.n == 1, changes=Plain.n.set(1)) == 2
        assert await store.update_many(Plain.n == 7, changes=Plain.n.set(8)) == 0
        assert await store.update_many(Plain.n != 1, changes=[Plain.n.set(5), Plain.name.set("z")]) == 2
        assert await store.update_many(everything(), changes=(Plain.n.set(Plain.n * 2),)) == 4
        found = await store.find(order_by=[Plain.n, Plain.name])
        assert [(e.name, e.n) for e in found] == [("a", 2), ("b", 2), ("z", 10), ("z", 10)]


@rule("writes", needs=("atomic_many", "computed_changes"))
async def update_many_is_all_or_nothing(case: AsyncCase) -> None:
    """One row whose new value would leave its bounds, and no row is changed, nor its `updated_at` or `version`."""
    async with case.database(Account) as db:
        store = db.store(Account)
        await store.create_many(Account(owner=f"o{n:03}", points=n) for n in range(0, 1_000, 10))
        before = await store.find(order_by=Account.owner)
        with raises(OutOfRange) as raised:
            await store.update_many(everything(), changes=Account.points.set(Account.points + 20))
        assert (raised.error.entity, raised.error.operation) == ("Account", "update_many")
        assert await store.find(order_by=Account.owner) == before
        assert await store.update_many(everything(), changes=Account.points.set(Account.points + 10)) == 100
        after = await store.find(order_by=Account.owner)
        assert [a.points for a in after] == [a.points + 10 for a in before]
        assert {a.version for a in after} == {2}


@rule("writes")
async def update_many_of_a_unique_field_is_refused(case: AsyncCase) -> None:
    """`update_many` of a field in a unique key is InvalidInput, unsent: whether it fails would depend on rows' order."""
    async with case.database(Account, Sheet) as db:
        watch = Watch(db)
        for store, change, field in (
            (db.store(Account), Account.owner.set("x"), "owner"),
            (db.store(Account), Account.email.set(None), "email"),
            (db.store(Sheet), Sheet.site.set(Sheet.site + 1), "site"),
            (db.store(Sheet), Sheet.slug.set("x"), "slug"),
        ):
            with raises(InvalidInput) as raised:
                await store.update_many(everything(), changes=change)
            assert raised.error.field == field
        assert watch.texts == []


@rule("writes", needs=("atomic_many",))
async def delete_many_counts_what_matched(case: AsyncCase) -> None:
    """`delete_many` returns how many rows the filter took; `delete` returns whether the row was there."""
    async with case.database(Plain) as db:
        store = db.store(Plain)
        rows = [Plain(name=name, n=n) for name, n in (("a", 1), ("b", 1), ("c", 2), ("d", None))]
        await store.create_many(rows)
        assert await store.delete_many(Plain.n == 9) == 0
        assert await store.delete_many(Plain.n == 1) == 2
        assert await store.delete(rows[2].id, where=Plain.n > 5) is False
        assert await store.delete(rows[2].id, where=Plain.n == 2) is True
        assert await store.delete(rows[2].id) is False
        assert await store.find() == [rows[3]]
        assert await store.delete_many(everything()) == 1


@rule("writes")
async def writes_of_many_need_a_filter(case: AsyncCase) -> None:
    """`update_many`, `delete_many` and `claim` without a filter are InvalidInput; `everything()` says all."""
    async with case.database(Plain) as db:
        store = db.store(Plain)
        await store.create(Plain())
        watch = Watch(db)
        with raises(InvalidInput) as raised:
            await store.delete_many()
        assert "everything()" in str(raised.error)
        with raises(InvalidInput):
            await store.update_many(changes=Plain.n.set(1))
        with raises(InvalidInput):
            await store.claim(changes=Plain.n.set(1))
        assert watch.texts == []
        assert await store.count() == 1


@rule("writes", needs=("atomic_many", "checked_references"))
async def delete_many_is_all_or_nothing(case: AsyncCase) -> None:
    """One row that is still referred to by `restrict`, and no row is deleted, nor what would have cascaded."""
    async with case.database(*FAMILY) as db:
        authors, books = db.store(Author), db.store(Book)
        people = [Author(name=f"a{n}") for n in range(20)]
        await authors.create_many(people)
        await books.create_many(Book(author=p.id) for p in people)
        await books.create(Book(author=people[3].id, owner=people[7].id, editor=people[9].id))
        with raises(ReferenceViolation):
            await authors.delete_many(Author.name != "a3")
        assert (await authors.count(), await books.count(), await books.count(Book.editor.is_null())) == (
            20,
            21,
            20,
        )
        assert await authors.delete_many(everything()) == 20
        assert await books.count() == 0


@rule("writes", needs=("atomic_many", "checked_references"))
async def rows_that_cascade_are_counted_against_the_limit(case: AsyncCase) -> None:
    """More rows than the limit, cascades included: `delete` and `delete_many` are TooLarge, and nothing is deleted."""
    with shortened(MAX_ROWS_TOUCHED=12):
        async with case.database(*FAMILY) as db:
            authors, books, chapters = db.store(Author), db.store(Book), db.store(Chapter)
            ada = await authors.create(Author(name="ada"))
            book = await books.create(Book(author=ada.id))
            await chapters.create_many(Chapter(book=book.id) for _ in range(11))
            with raises(TooLarge) as raised:
                await authors.delete(ada.id)
            assert (raised.error.operation, raised.error.entity) == ("delete", "Author")
            with raises(TooLarge):
                await authors.delete_many(everything())
            assert await db.counts(Author, Book, Chapter) == [1, 1, 11]
            assert await books.delete(book.id)
            book = await books.create(Book(author=ada.id))
            await chapters.create_many(Chapter(book=book.id) for _ in range(10))
            assert await authors.delete_many(everything()) == 1
            assert await db.counts(Author, Book, Chapter) == [0, 0, 0]


@rule("writes", needs=("atomic_many", "computed_changes"))
async def batched_writes_have_no_limit(case: AsyncCase) -> None:
    """`batched=True` changes or deletes any number of rows, each once, and returns how many."""
    with shortened(MAX_ROWS_TOUCHED=200, MAX_ROWS_UNASKED=60):
        async with case.database(Plain) as db:
            store = db.store(Plain)
            assert await store.create_many((Plain(n=n % 3) for n in range(250)), batched=True) == 250
            with raises(TooLarge):
                await store.update_many(everything(), changes=Plain.n.set(0))
            assert (
                await store.update_many(Plain.n <= 1, changes=Plain.n.set(Plain.n + 10), batched=True) == 167
            )
            assert [await store.count(Plain.n == n) for n in (0, 1, 2, 10, 11, 20)] == [0, 0, 83, 84, 83, 0]
            # The filter holds after the change too: no row is changed twice.
            assert (
                await store.update_many(Plain.n >= 2, changes=Plain.n.set(Plain.n + 1), batched=True) == 250
            )
            assert await store.count(Plain.n.in_([3, 11, 12])) == 250
            with raises(TooLarge):
                await store.delete_many(Plain.n > 0)
            assert await store.delete_many(Plain.n != 3, batched=True) == 167
            assert await store.delete_many(everything(), batched=True) == 83
            assert await store.count() == 0
