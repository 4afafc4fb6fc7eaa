"""SEMANTICS, "Writes", of one row: what is stored, what is changed, and which answer is no."""

from __future__ import annotations

from uuid import UUID

from dbkit import any_related, via
from dbkit.errors import (
    DuplicateKey,
    NotFound,
    PreconditionFailed,
    ReferenceViolation,
    StaleVersion,
)
from dbkit.values import utc_now

from ..entities import FAMILY, Account, Author, Country, Loose, Number, Plain, Sheet
from ..kit import rule
from ..watch import raises
from .case import AsyncCase
from .checks import fill

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


# -- update, replace ---------------------------------------------------------------------------------------------------


@rule("writes", needs=("computed_changes", "atomic_many"))
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
        await fill(accounts, [Account(owner=str(n)) for n in range(3)])
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
