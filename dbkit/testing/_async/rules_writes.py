"""SEMANTICS, "Writes": what is written is written as a whole, counted, and kept within bounds."""

from __future__ import annotations

from uuid import UUID

from dbkit import any_related, everything, via
from dbkit.errors import (
    DuplicateKey,
    InvalidInput,
    NotFound,
    OutOfRange,
    PreconditionFailed,
    ReferenceViolation,
    StaleVersion,
    TooLarge,
)
from dbkit.values import utc_now

from ..entities import Account, Author, Book, Chapter, Country, Loose, Number, Plain, Sheet
from ..kit import rule
from ..limits import shortened
from ..watch import Watch, raises
from .case import AsyncCase

FAMILY = (Country, Number, Author, Book, Chapter)
NOBODY = UUID("018f0000-0000-7000-8000-000000000000")


# -- create ------------------------------------------------------------------------------------------------------------


@rule("writes")
async def create_returns_what_is_stored(case: AsyncCase) -> None:
    """`create` returns the entity as it is stored; its id is taken from then on."""
    async with case.database(Account, Country, Number) as db:
        accounts = db.store(Account)
        ada = Account(owner="ada", email="Ada@example.org")
        made = await accounts.create(ada)
        assert made == ada == await accounts.get(ada.id)
        assert (made.version, made.created_at, made.updated_at) == (1, ada.created_at, ada.updated_at)
        with raises(DuplicateKey) as raised:
            await accounts.create(ada.evolve(owner="other", email=None))
        assert (raised.error.entity, raised.error.field, raised.error.operation) == (
            "Account",
            "id",
            "create",
        )
        assert await accounts.find() == [ada]
        await db.store(Country).create(Country(id="SE", name="Sweden"))
        with raises(DuplicateKey) as raised:
            await db.store(Country).create(Country(id="SE"))
        assert raised.error.field == "id"
        await db.store(Number).create(Number(id=-7))
        with raises(DuplicateKey):
            await db.store(Number).create(Number(id=-7, word="x"))


@rule("writes")
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


@rule("writes")
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


@rule("writes", needs=("atomic_many",), real_mongod=True)
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


@rule("writes")
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


@rule("writes", needs=("atomic_many",))
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


@rule("writes")
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


@rule("writes")
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


# -- update, replace ---------------------------------------------------------------------------------------------------


@rule("writes")
async def update_returns_the_row_as_it_is_then(case: AsyncCase) -> None:
    """`update` changes the named fields alone, sets `updated_at` by the client's clock, and raises `version` by one."""
    async with case.database(Account) as db:
        store = db.store(Account)
        ada = await store.create(Account(owner="ada", points=3, tags=["x"], note="n"))
        start = utc_now()
        changed = await store.update(ada.id, Account.points.set(Account.points * 2), Account.note.set(None))
        assert start <= changed.updated_at <= utc_now()
        assert changed == ada.evolve(points=6, note=None, version=2, updated_at=changed.updated_at)
        assert await store.get(ada.id) == changed
        assert changed.created_at == ada.created_at
        again = await store.update(ada.id, Account.note.set(None))
        assert again.version == 3
        await store.update_many(Account.owner == "ada", changes=Account.points.set(1))
        assert (await store.require(ada.id)).version == 4


@rule("writes")
async def only_changed_fields_are_written(case: AsyncCase) -> None:
    """A change made by somebody else since the entity was read stays, if it is about another field."""
    async with case.database(Plain) as db:
        store = db.store(Plain)
        made = await store.create(Plain(name="a", n=1))
        await store.update(made.id, Plain.n.set(2))
        await store.update(made.id, Plain.name.set("b"))
        found = await store.require(made.id)
        assert (found.name, found.n) == ("b", 2)


@rule("writes")
async def an_absent_row_is_not_found(case: AsyncCase) -> None:
    """`update` and `replace` of a row that is not there raise NotFound, whatever `where` says; nothing is created."""
    async with case.database(Account, Plain) as db:
        accounts, plain = db.store(Account), db.store(Plain)
        with raises(NotFound) as raised:
            await accounts.update(NOBODY, Account.note.set("x"))
        assert (raised.error.entity, raised.error.operation) == ("Account", "update")
        with raises(NotFound):
            await accounts.update(NOBODY, Account.note.set("x"), where=Account.points > 3)
        with raises(NotFound) as raised:
            await accounts.replace(Account(owner="x"))
        assert raised.error.operation == "replace"
        with raises(NotFound):
            await plain.replace(Plain())
        assert await db.counts(Account, Plain) == [0, 0]


@rule("writes")
async def a_condition_that_fails_is_an_answer(case: AsyncCase) -> None:
    """`update` whose `where` is false raises PreconditionFailed, which is not retryable, and the row is unchanged."""
    async with case.database(Account) as db:
        store = db.store(Account)
        ada = await store.create(Account(owner="ada", points=3))
        for where in (Account.points > 3, Account.note == "x", ~(Account.points == 3)):
            with raises(PreconditionFailed) as raised:
                await store.update(ada.id, Account.points.set(9), where=where)
            assert not raised.error.retryable
            assert (raised.error.entity, raised.error.operation) == ("Account", "update")
        assert await store.get(ada.id) == ada
        changed = await store.update(
            ada.id, Account.points.set(9), where=(Account.points >= 3) & Account.note.is_null()
        )
        assert changed.points == 9


@rule("writes", needs=("views",))
async def a_condition_may_reach_other_entities(case: AsyncCase) -> None:
    """The filters of `update`, `update_many`, `delete` and `delete_many` may use `via` and `any_related`."""
    async with case.database(Plain, Loose) as db:
        plain, loose = db.store(Plain), db.store(Loose)
        one, two = Plain(name="one", n=1), Plain(name="two", n=2)
        await plain.create_many([one, two])
        rows = [Loose(parent=one.id, n=1), Loose(parent=two.id, n=2), Loose(parent=NOBODY, n=3), Loose(n=4)]
        await loose.create_many(rows)
        assert (
            await loose.update_many(via(Loose.parent, Plain.name) == "two", changes=Loose.label.set("t")) == 1
        )
        assert (
            await loose.update_many(via(Loose.parent, Plain.name).is_null(), changes=Loose.label.set("n"))
            == 2
        )
        found = await loose.find(order_by=Loose.n)
        assert [e.label for e in found] == ["", "t", "n", "n"]
        assert await plain.update_many(any_related(Loose.parent, Loose.n > 1), changes=Plain.n.set(9)) == 1
        with raises(PreconditionFailed):
            await loose.update(rows[0].id, Loose.n.set(5), where=via(Loose.parent, Plain.n) == 9)
        assert (await loose.update(rows[1].id, Loose.n.set(5), where=via(Loose.parent, Plain.n) == 9)).n == 5
        assert await loose.delete(rows[0].id, where=via(Loose.parent, Plain.name) == "two") is False
        assert await loose.delete_many(via(Loose.parent, Plain.name).in_(["one", None])) == 3
        assert await plain.delete_many(~any_related(Loose.parent)) == 1
        assert [e.name for e in await plain.find()] == ["two"]


@rule("writes")
async def replace_keeps_created_at(case: AsyncCase) -> None:
    """`replace` writes all fields but `id` and `created_at`, sets `updated_at`, raises `version`, returns what is stored."""
    async with case.database(Account, Plain, Country) as db:
        accounts = db.store(Account)
        ada = await accounts.create(Account(owner="ada", points=3, tags=["a"]))
        other = Account(owner="Ada", email="x@y", big=7).evolve(id=ada.id, version=1)
        start = utc_now()
        replaced = await accounts.replace(other)
        assert start <= replaced.updated_at <= utc_now()
        assert replaced == other.evolve(created_at=ada.created_at, updated_at=replaced.updated_at, version=2)
        assert await accounts.get(ada.id) == replaced
        plain = await db.store(Plain).create(Plain(name="a", n=1))
        replaced_plain = await db.store(Plain).replace(plain.evolve(name="b", n=None))
        assert (replaced_plain.name, replaced_plain.n, replaced_plain.created_at) == (
            "b",
            None,
            plain.created_at,
        )
        await db.store(Country).create(Country(id="SE", name="x", people=1))
        assert await db.store(Country).replace(Country(id="SE", name="Sweden")) == Country(
            id="SE", name="Sweden"
        )


@rule("writes")
async def replace_of_a_changed_row_is_stale(case: AsyncCase) -> None:
    """`replace` of a versioned row that was changed since it was read raises StaleVersion; the row is unchanged."""
    async with case.database(Account) as db:
        store = db.store(Account)
        read = await store.create(Account(owner="ada"))
        changed = await store.update(read.id, Account.points.set(5))
        with raises(StaleVersion) as raised:
            await store.replace(read.evolve(note="mine"))
        error = raised.error
        assert (error.entity, error.field, error.operation, error.retryable) == (
            "Account",
            "version",
            "replace",
            False,
        )
        assert await store.get(read.id) == changed
        replaced = await store.replace(changed.evolve(note="mine"))
        assert (replaced.version, replaced.note, replaced.points) == (3, "mine", 5)
        # A version that was never there is stale too.
        with raises(StaleVersion):
            await store.replace(replaced.evolve(version=99))


# -- duplicates --------------------------------------------------------------------------------------------------------


@rule("writes")
async def a_duplicate_is_named_and_changes_nothing(case: AsyncCase) -> None:
    """Every verb that meets a taken key raises DuplicateKey, which names the declared field; the row is unchanged."""
    async with case.database(Account, Sheet) as db:
        accounts, sheets = db.store(Account), db.store(Sheet)
        ada = await accounts.create(Account(owner="ada", email="ada@x.org"))
        bob = await accounts.create(Account(owner="bob", email="bob@x.org"))
        one = await sheets.create(Sheet(site=1, slug="a"))
        two = await sheets.create(Sheet(site=1, slug="b"))
        with raises(DuplicateKey) as raised:
            await accounts.update(bob.id, Account.owner.set("ada"))
        assert (raised.error.field, raised.error.operation) == ("owner", "update")
        with raises(DuplicateKey) as raised:
            await accounts.update(bob.id, Account.points.set(5), Account.email.set("ADA@X.ORG"))
        assert raised.error.field == "email"
        with raises(DuplicateKey) as raised:
            await accounts.replace(bob.evolve(owner="ada"))
        assert (raised.error.field, raised.error.operation) == ("owner", "replace")
        with raises(DuplicateKey) as raised:
            await sheets.update(two.id, Sheet.slug.set("a"))
        assert raised.error.field == "site, slug"
        with raises(DuplicateKey) as raised:
            await sheets.create(Sheet(site=1, slug="a"))
        assert raised.error.field == "site, slug"
        for text in ("ada", "x.org"):
            assert text not in str(raised.error).lower()
        assert await accounts.get_many([ada.id, bob.id]) == {ada.id: ada, bob.id: bob}
        assert await sheets.get_many([one.id, two.id]) == {one.id: one, two.id: two}
        # A row's own value is no duplicate.
        assert (
            await accounts.update(ada.id, Account.owner.set("ada"), Account.email.set("Ada@X.org"))
        ).version == 2


@rule("writes")
async def null_in_a_unique_key_never_conflicts(case: AsyncCase) -> None:
    """Null in any part of a unique key never conflicts, however often."""
    async with case.database(Account, Sheet) as db:
        accounts, sheets = db.store(Account), db.store(Sheet)
        await accounts.create_many(Account(owner=str(n)) for n in range(3))
        rows = [
            (None, None),
            (None, None),
            (1, None),
            (1, None),
            (None, "a"),
            (None, "a"),
            (1, "a"),
            (2, "a"),
            (1, "b"),
        ]
        made = [await sheets.create(Sheet(site=site, slug=slug)) for site, slug in rows]
        with raises(DuplicateKey):
            await sheets.create(Sheet(site=1, slug="a"))
        with raises(DuplicateKey):
            await sheets.update(made[2].id, Sheet.slug.set("b"))
        assert (await sheets.update(made[6].id, Sheet.slug.set(None))).slug is None
        await sheets.create(Sheet(site=1, slug="a"))
        assert await sheets.count() == len(rows) + 1
        # An empty text and zero are values.
        await sheets.create(Sheet(site=0, slug=""))
        with raises(DuplicateKey):
            await sheets.create(Sheet(site=0, slug=""))


@rule("writes", needs=("checked_references",))
async def a_duplicate_comes_before_a_missing_parent(case: AsyncCase) -> None:
    """A row that has both is a DuplicateKey; of two duplicate keys either field is named."""
    async with case.database(*FAMILY, Account) as db:
        authors, accounts = db.store(Author), db.store(Account)
        await authors.create(Author(name="ada"))
        with raises(DuplicateKey) as raised:
            await authors.create(Author(name="ada", country="nowhere", mentor=NOBODY))
        assert raised.error.field == "name"
        with raises(ReferenceViolation) as violation:
            await authors.create(Author(name="bob", country="nowhere"))
        assert violation.error.field == "country"
        bob = await authors.create(Author(name="bob"))
        with raises(DuplicateKey):
            await authors.update(bob.id, Author.name.set("ada"), Author.mentor.set(NOBODY))
        with raises(DuplicateKey):
            await authors.replace(bob.evolve(name="ada", country="nowhere"))
        await accounts.create(Account(owner="o", email="e"))
        with raises(DuplicateKey) as raised:
            await accounts.create(Account(owner="o", email="E"))
        assert raised.error.field in ("owner", "email")
        assert await authors.find_one(Author.name == "bob") == bob
