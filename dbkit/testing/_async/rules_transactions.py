"""SEMANTICS, "Transactions": all or nothing, one snapshot, doomed by any error of the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from dbkit import everything
from dbkit._async.database import AsyncDatabase
from dbkit._async.transaction import AsyncTransaction
from dbkit.errors import (
    ConfigurationError,
    DuplicateKey,
    InvalidInput,
    NotFound,
    OutOfRange,
    PreconditionFailed,
    ReferenceViolation,
    StaleVersion,
    TooLarge,
    TransactionAborted,
    TransactionError,
    Unsupported,
)

from ..entities import FAMILY, Account, Author, Book, Job, Plain
from ..kit import rule
from ..limits import shortened
from ..watch import Watch, raises
from .case import AsyncCase

Wrong = Callable[[AsyncTransaction], Any]
NOBODY = UUID("018f0000-0000-7000-8000-000000000000")


class Stop(Exception):
    """What a program raises to leave a transaction."""


def _stop(error: Exception) -> None:
    raise error


def _not_reached() -> None:
    raise AssertionError("not reached")


@rule("transactions", needs=("transactions",))
async def a_transaction_commits_as_a_whole(case: AsyncCase) -> None:
    """What is done through `tx` is seen through `tx` at once, by others after its end, all of it."""
    async with case.database(Plain, Account) as db, case.connect(Plain, Account) as other:
        async with db.transaction() as tx:
            plain, accounts = tx.store(Plain), tx.store(Account)
            one = await plain.create(Plain(name="one", n=1))
            assert await plain.get(one.id) == one
            await plain.create_many([Plain(name="two", n=2), Plain(name="three", n=3)])
            changed = await plain.update(one.id, Plain.n.set(Plain.n + 10))
            assert (changed.n, await plain.count(Plain.n == 11)) == (11, 1)
            assert await plain.update_many(Plain.n < 10, changes=Plain.n.set(0)) == 2
            assert await plain.delete_many(Plain.name == "two") == 1
            stored = await accounts.upsert(Account(owner="a"), on=Account.owner)
            replaced = await accounts.replace(stored.evolve(points=5))
            assert [p.name for p in await plain.find(order_by=Plain.n)] == ["three", "one"]
            page = await plain.page(order_by=Plain.n, limit=1, total=True)
            assert ([p.name for p in page.items], page.total) == (["three"], 2)
            assert [p.name async for p in plain.iterate(order_by=Plain.n, batch=1)] == ["three", "one"]
            assert await plain.exists(Plain.n == 11)
            assert await tx.counts(Plain, Account) == [2, 1]
        assert await other.counts(Plain, Account) == [2, 1]
        assert (await other.store(Plain).require(one.id)).n == 11
        assert await other.store(Account).find() == [replaced]


@rule("transactions", needs=("transactions",))
async def an_exception_rolls_back(case: AsyncCase) -> None:
    """An exception that leaves the block rolls all back, and reaches the caller as it was."""
    async with case.database(Plain) as db:
        kept = await db.store(Plain).create(Plain(name="kept", n=1))
        stop = Stop()
        with raises(Stop) as raised:
            async with db.transaction() as tx:
                store = tx.store(Plain)
                await store.create_many([Plain(), Plain()])
                await store.update(kept.id, Plain.n.set(9))
                await store.delete_many(everything())
                _stop(stop)
        assert raised.error is stop
        assert await db.store(Plain).find() == [kept]
        # The connection is clean again.
        async with db.transaction() as tx:
            assert await tx.store(Plain).find() == [kept]


@rule("transactions", needs=("transactions",), real_mongod=True)
async def a_transaction_sees_one_snapshot(case: AsyncCase) -> None:
    """From its first operation on a transaction sees one instant; what others commit meanwhile appears after its end."""
    async with case.database(Plain) as db, case.connect(Plain) as other:
        await db.store(Plain).create_many(Plain(name=str(n), n=n) for n in range(10))
        async with db.transaction(read_only=True) as tx:
            store = tx.store(Plain)
            before = await store.find(order_by=Plain.n)
            assert len(before) == 10
            await other.store(Plain).create(Plain(n=100))
            await other.store(Plain).delete(before[0].id)
            await other.store(Plain).update_many(everything(), changes=Plain.name.set("changed"))
            assert await store.find(order_by=Plain.n) == before
            assert await store.get(before[0].id) == before[0]
            assert await store.count() == 10
            assert await tx.counts(Plain) == [10]
            assert not await store.exists(Plain.name == "changed")
            assert [p async for p in store.iterate(order_by=Plain.n, batch=3)] == before
            page = await store.page(order_by=Plain.n, limit=4, total=True)
            assert (page.items, page.total) == (before[:4], 10)
        assert await db.store(Plain).count(Plain.name == "changed") == 10


@rule("transactions", needs=("transactions", "concurrent_writers"), real_mongod=True)
async def a_writing_transaction_sees_its_snapshot_and_its_own_writes(case: AsyncCase) -> None:
    """A transaction that writes goes on to see its snapshot, with its own writes in it and nobody else's."""
    async with case.database(Plain) as db, case.connect(Plain) as other:
        rows = [Plain(name=str(n), n=n) for n in range(3)]
        await db.store(Plain).create_many(rows)
        async with db.transaction() as tx:
            store = tx.store(Plain)
            assert await store.count() == 3
            await other.store(Plain).update(rows[0].id, Plain.n.set(50))
            await other.store(Plain).create(Plain(name="theirs"))
            await store.update(rows[1].id, Plain.n.set(60))
            mine = await store.create(Plain(name="mine", n=70))
            assert [p.n for p in await store.find(order_by=Plain.n)] == [0, 2, 60, 70]
            assert await other.store(Plain).count() == 4
            assert await other.store(Plain).get(mine.id) is None
        assert [p.n for p in await db.store(Plain).find(order_by=Plain.n)] == [None, 2, 50, 60, 70]


@rule("transactions", needs=("transactions",), real_mongod=True)
async def nothing_is_seen_of_a_transaction_before_its_end(case: AsyncCase) -> None:
    """Readers beside an open transaction neither see its writes nor wait for it."""
    async with case.database(Plain) as db, case.connect(Plain) as other:
        kept = await db.store(Plain).create(Plain(n=1))
        async with db.transaction() as tx:
            await tx.store(Plain).update(kept.id, Plain.n.set(2))
            await tx.store(Plain).create(Plain())
            assert await other.store(Plain).find() == [kept]
            assert await other.counts(Plain) == [1]
            assert await db.store(Plain).get(kept.id) == kept
        assert await other.store(Plain).count() == 2


# -- doomed ------------------------------------------------------------------------------------------------------------


async def _refuses_all(tx: AsyncTransaction, row: Any) -> None:
    """Assert that a doomed transaction refuses every verb."""
    store = tx.store(Plain)
    with raises(TransactionAborted) as raised:
        await store.get(row.id)
    assert (raised.error.operation, raised.error.entity, raised.error.retryable) == ("get", "Plain", False)
    for call in (
        store.find,
        store.page,
        store.count,
        lambda: store.create(Plain()),
        lambda: store.create_many([Plain()]),
        lambda: store.update(row.id, Plain.n.set(5)),
        lambda: store.update_many(everything(), changes=Plain.n.set(5)),
        lambda: store.replace(row),
        lambda: store.upsert(Plain(), on=Plain.id),
        lambda: store.delete(row.id),
        lambda: store.delete_many(everything()),
        lambda: tx.counts(Plain),
    ):
        with raises(TransactionAborted) as raised:
            await call()
        assert raised.error.__cause__ is not None


@rule("transactions", needs=("transactions",))
async def a_caught_duplicate_dooms(case: AsyncCase) -> None:
    """After a DuplicateKey that was caught, later calls and a normal exit raise TransactionAborted; nothing is stored."""
    async with case.database(Plain, Account) as db, case.connect(Plain, Account) as other:
        row = await db.store(Plain).create(Plain(n=1))
        await db.store(Account).create(Account(owner="taken"))
        with raises(TransactionAborted) as raised:
            async with db.transaction() as tx:
                await tx.store(Plain).create(Plain(n=2))
                with raises(DuplicateKey) as duplicate:
                    await tx.store(Account).create(Account(owner="taken"))
                await _refuses_all(tx, row)
                # It is rolled back at once: its locks hold up nobody.
                await other.store(Account).create(Account(owner="free"))
        assert raised.error.operation == "commit"
        assert raised.error.__cause__ is duplicate.error
        assert await db.store(Plain).find() == [row]
        assert await db.store(Account).count() == 2


@rule("transactions", needs=("transactions",))
async def an_error_after_a_doom_is_the_callers(case: AsyncCase) -> None:
    """When the error that doomed, or another one, leaves the block, it is that one that the caller gets."""
    async with case.database(Account) as db:
        await db.store(Account).create(Account(owner="taken"))
        with raises(DuplicateKey):
            async with db.transaction() as tx:
                await tx.store(Account).create(Account(owner="new"))
                await tx.store(Account).create(Account(owner="taken"))
        with raises(Stop):
            async with db.transaction() as tx:
                with raises(DuplicateKey):
                    await tx.store(Account).create(Account(owner="taken"))
                _stop(Stop())
        assert await db.store(Account).count() == 1


async def _dooms(db: AsyncDatabase, wrong: Wrong, kind: type[Exception]) -> None:
    """Assert that `wrong(tx)` raises *kind* and that nothing of its transaction is stored."""
    before = await db.store(Plain).count()
    with raises(TransactionAborted):
        async with db.transaction() as tx:
            await tx.store(Plain).create(Plain())
            with raises(kind):
                await wrong(tx)
    assert await db.store(Plain).count() == before


@rule("transactions", needs=("transactions",))
async def every_error_of_a_write_dooms(case: AsyncCase) -> None:
    """DuplicateKey in any verb, OutOfRange, and TooLarge of a write doom the transaction."""
    with shortened(MAX_ROWS_TOUCHED=8):
        async with case.database(Plain, Account) as db:
            rows = [Account(owner=f"o{n}", points=1000) for n in range(5)]
            await db.store(Account).create_many(rows)
            await db.store(Account).create_many(Account(owner=f"p{n}") for n in range(5))
            plus = Account.points.set(Account.points + 1)
            cases: list[tuple[type[Exception], Wrong]] = [
                (DuplicateKey, lambda tx: tx.store(Account).create_many([Account(owner="new"), Account(owner="o1")])),
                (DuplicateKey, lambda tx: tx.store(Account).update(rows[0].id, Account.owner.set("o1"))),
                (DuplicateKey, lambda tx: tx.store(Account).upsert(Account(owner="new").evolve(id=rows[0].id), on=Account.owner)),
                (OutOfRange, lambda tx: tx.store(Account).update(rows[0].id, plus)),
                (OutOfRange, lambda tx: tx.store(Account).update_many(everything() & (Account.points > 0), changes=plus)),
                (TooLarge, lambda tx: tx.store(Account).update_many(everything(), changes=Account.note.set("x"))),
                (TooLarge, lambda tx: tx.store(Account).delete_many(everything())),
                (TooLarge, lambda tx: tx.store(Account).create_many(Account(owner=f"q{n}") for n in range(9))),
            ]  # fmt: skip
            for kind, wrong in cases:
                await _dooms(db, wrong, kind)
            assert await db.store(Account).count(Account.version == 1) == 10


@rule("transactions", needs=("transactions", "checked_references"))
async def a_reference_violation_dooms(case: AsyncCase) -> None:
    """A missing parent, or deleting one that is still referred to, dooms the transaction."""
    async with case.database(*FAMILY, Plain) as db:
        ada = await db.store(Author).create(Author(name="ada"))
        await db.store(Book).create(Book(author=ada.id, owner=ada.id))
        bob = await db.store(Author).create(Author(name="bob"))
        await db.store(Book).create(Book(author=ada.id, owner=bob.id))
        await _dooms(db, lambda tx: tx.store(Book).create(Book(author=NOBODY)), ReferenceViolation)
        await _dooms(db, lambda tx: tx.store(Author).delete(bob.id), ReferenceViolation)
        await _dooms(
            db, lambda tx: tx.store(Author).update(ada.id, Author.mentor.set(NOBODY)), ReferenceViolation
        )
        assert await db.counts(Author, Book) == [2, 2]


@rule("transactions", needs=("transactions",))
async def answers_do_not_doom(case: AsyncCase) -> None:
    """NotFound, PreconditionFailed, StaleVersion, False, and InvalidInput that was not sent: the transaction goes on."""
    async with case.database(Plain, Account) as db:
        row = await db.store(Account).create(Account(owner="a"))
        async with db.transaction() as tx:
            accounts, plain = tx.store(Account), tx.store(Plain)
            no_id: Any = "no id"
            await plain.create(Plain(name="first"))
            with raises(NotFound):
                await accounts.require(NOBODY)
            with raises(NotFound):
                await accounts.update(NOBODY, Account.points.set(1))
            with raises(PreconditionFailed):
                await accounts.update(row.id, Account.points.set(1), where=Account.points == 5)
            await accounts.update(row.id, Account.points.set(2))
            with raises(StaleVersion):
                await accounts.replace(row)
            assert await accounts.delete(NOBODY) is False
            assert await accounts.delete(row.id, where=Account.points == 5) is False
            with raises(InvalidInput):
                await accounts.find(limit=-1)
            with raises(InvalidInput):
                await accounts.create(row.model_copy(update={"points": 5000}))
            with raises(InvalidInput):
                await accounts.get(no_id)
            with raises(InvalidInput):
                await accounts.update_many(changes=Account.points.set(1))
            with raises(InvalidInput):
                Account.points.set(5000)
            await plain.create(Plain(name="last"))
        assert await db.counts(Plain, Account) == [2, 1]
        assert (await db.store(Account).require(row.id)).points == 2


# -- misuse ------------------------------------------------------------------------------------------------------------


@rule("transactions", needs=("transactions",))
async def writes_through_the_database_inside_ones_own_transaction(case: AsyncCase) -> None:
    """Inside its own transaction a worker's write through `db` is TransactionError, unsent; a read is not."""
    async with case.database(Plain, Job) as db:
        row = await db.store(Plain).create(Plain(n=1))
        async with db.transaction() as tx:
            await tx.store(Plain).create(Plain(n=2))
            watch = Watch(db)
            store = db.store(Plain)
            for call in (
                lambda: store.create(Plain()),
                lambda: store.create_many([Plain()]),
                lambda: store.update(row.id, Plain.n.set(5)),
                lambda: store.update_many(everything(), changes=Plain.n.set(5)),
                lambda: store.replace(row),
                lambda: store.upsert(row, on=Plain.id),
                lambda: store.delete(row.id),
                lambda: store.delete_many(everything()),
                lambda: db.store(Job).claim(everything(), changes=Job.state.set("done")),
                db.create_schema,
                db.drop_schema,
            ):
                with raises(TransactionError) as raised:
                    await call()
                assert "tx.store" in str(raised.error)
            assert watch.texts == []
            assert await store.find() == [row]
            await tx.store(Plain).update(row.id, Plain.n.set(3))
        assert [p.n for p in await store.find(order_by=Plain.n)] == [2, 3]
        await store.create(Plain())


@rule("transactions", needs=("transactions",))
async def transactions_do_not_nest(case: AsyncCase) -> None:
    """A transaction inside a worker's own one, or one that is entered twice, is TransactionError; the outer goes on."""
    async with case.database(Plain) as db:
        async with db.transaction() as tx:
            await tx.store(Plain).create(Plain())
            with raises(TransactionError):
                async with db.transaction():
                    _not_reached()
            with raises(TransactionError):
                async with db.transaction(read_only=True):
                    _not_reached()

            async def work(_: AsyncTransaction) -> None:
                _not_reached()

            with raises(TransactionError):
                await db.run_in_transaction(work)
            with raises(TransactionError):
                async with tx:
                    _not_reached()
            await tx.store(Plain).create(Plain())
        assert await db.store(Plain).count() == 2
        with raises(TransactionError):
            async with tx:
                _not_reached()
        async with db.transaction() as tx:
            await tx.store(Plain).create(Plain())
        assert await db.store(Plain).count() == 3


@rule("transactions", needs=("transactions",))
async def a_transaction_is_used_inside_its_block(case: AsyncCase) -> None:
    """Before its beginning and after its end every call is TransactionError, and nothing is sent."""
    async with case.database(Plain) as db:
        tx = db.transaction()
        with raises(TransactionError):
            tx.store(Plain)
        async with tx:
            store = tx.store(Plain)
            row = await store.create(Plain())
        watch = Watch(db)
        for call in (
            lambda: store.get(row.id),
            store.find,
            lambda: store.create(Plain()),
            lambda: store.delete(row.id),
            lambda: tx.store(Plain).count(),
            lambda: tx.counts(Plain),
        ):
            with raises(TransactionError):
                await call()
        with raises(TransactionError):
            async with tx.native():
                _not_reached()
        assert watch.texts == []
        assert await db.store(Plain).find() == [row]


@rule("transactions", needs=("transactions",))
async def a_read_only_transaction_refuses_writes(case: AsyncCase) -> None:
    """Every write in a transaction with `read_only=True` is InvalidInput, unsent; it does not doom."""
    async with case.database(Plain) as db:
        row = await db.store(Plain).create(Plain(n=1))
        async with db.transaction(read_only=True) as tx:
            store = tx.store(Plain)
            assert await store.count() == 1
            watch = Watch(db)
            for call in (
                lambda: store.create(Plain()),
                lambda: store.create_many([Plain()]),
                lambda: store.update(row.id, Plain.n.set(5)),
                lambda: store.update_many(everything(), changes=Plain.n.set(5)),
                lambda: store.replace(row),
                lambda: store.upsert(row, on=Plain.id),
                lambda: store.delete(row.id),
                lambda: store.delete_many(everything()),
            ):
                with raises(InvalidInput) as raised:
                    await call()
                assert "read_only" in str(raised.error)
            assert watch.texts == []
            assert await store.find() == [row]
        assert await db.store(Plain).find() == [row]


@rule("transactions", needs=("transactions",))
async def serializable_is_refused_unless_it_is_named(case: AsyncCase) -> None:
    """`isolation="serializable"` needs `allow={"serializable"}`, and a store that has it."""
    async with case.database(Plain) as db:
        watch = Watch(db)
        with raises(ConfigurationError) as raised:
            db.transaction(isolation="serializable")
        assert 'allow={"serializable"}' in str(raised.error)

        async def work(tx: AsyncTransaction) -> int:
            return await tx.store(Plain).count()

        with raises(ConfigurationError):
            await db.run_in_transaction(work, isolation="serializable")
        with raises(InvalidInput):
            db.transaction(isolation="read committed")  # type: ignore[arg-type]
        assert watch.texts == []
    async with case.database(Plain, allow={"serializable"}) as db:
        if not db.features.serializable:
            with raises(Unsupported):
                db.transaction(isolation="serializable")
            return
        async with db.transaction(isolation="serializable") as tx:
            await tx.store(Plain).create(Plain())
        assert await db.run_in_transaction(work, isolation="serializable") == 1


@rule("transactions", needs=("transactions",))
async def native_is_inside_the_transaction(case: AsyncCase) -> None:
    """`tx.native()` lends the connection of the transaction; an error in its block dooms."""
    async with case.database(Plain) as db:
        async with db.transaction() as tx:
            await tx.store(Plain).create(Plain())
            async with tx.native() as connection:
                assert connection is not None
            await tx.store(Plain).create(Plain())
        assert await db.store(Plain).count() == 2
        with raises(TransactionAborted):
            async with db.transaction() as tx:
                await tx.store(Plain).create(Plain())
                with raises(Stop):
                    async with tx.native():
                        _stop(Stop())
        assert await db.store(Plain).count() == 2


@rule("transactions")
async def without_transactions_they_are_refused(case: AsyncCase) -> None:
    """Where a store has no transactions, `transaction` and `run_in_transaction` are Unsupported, unsent, with a hint."""
    async with case.database(Plain) as db:
        if db.features.transactions:
            async with db.transaction():
                pass
            return
        watch = Watch(db)
        with raises(Unsupported) as raised:
            db.transaction()
        assert raised.error.hint

        async def work(_: AsyncTransaction) -> None:
            _not_reached()

        with raises(Unsupported):
            await db.run_in_transaction(work)
        assert watch.texts == []
