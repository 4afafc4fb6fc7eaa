"""SEMANTICS, "Transactions": how long they last, how long locks are waited for, and what is run again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from dbkit import everything
from dbkit._async.transaction import AsyncTransaction
from dbkit.errors import (
    Conflict,
    DeadlineExceeded,
    DuplicateKey,
    NotFound,
    OutcomeUnknown,
    PreconditionFailed,
    TransactionAborted,
)

from ..entities import Account, Plain
from ..kit import rule
from ..limits import fast_clock, shortened
from ..watch import Watch, raises
from .case import AsyncCase


@rule("transactions", needs=("transactions",))
async def a_transaction_lasts_thirty_seconds(case: AsyncCase) -> None:
    """The first call after 30 s raises DeadlineExceeded, unsent, and rolls back; then all is TransactionAborted."""
    async with case.database(Plain) as db, case.connect(Plain) as other:
        row = await db.store(Plain).create(Plain(n=1))
        with fast_clock() as clock, raises(TransactionAborted) as raised:
            async with db.transaction() as tx:
                store = tx.store(Plain)
                await store.update(row.id, Plain.n.set(2))
                clock.ahead_s += 29.0
                await store.create(Plain())
                clock.ahead_s += 2.0
                watch = Watch(db)
                with raises(DeadlineExceeded) as late:
                    await store.get(row.id)
                assert (late.error.operation, late.error.entity) == ("get", "Plain")
                assert "30 s" in str(late.error)
                assert watch.texts == []
                # Rolled back at once: its locks hold up nobody.
                await other.store(Plain).update(row.id, Plain.n.set(3))
                with raises(TransactionAborted):
                    await store.count()
        assert raised.error.__cause__ is late.error
        found = await db.store(Plain).find()
        assert [(p.id, p.n) for p in found] == [(row.id, 3)]


@rule("transactions", needs=("transactions",))
async def a_late_exit_rolls_back(case: AsyncCase) -> None:
    """A normal exit after 30 s raises DeadlineExceeded, and nothing is stored."""
    async with case.database(Plain) as db:
        with fast_clock() as clock:
            with raises(DeadlineExceeded) as late:
                async with db.transaction() as tx:
                    await tx.store(Plain).create(Plain())
                    clock.ahead_s += 31.0
            assert late.error.operation == "commit"
            with raises(DeadlineExceeded):
                async with db.transaction(read_only=True) as tx:
                    await tx.store(Plain).count()
                    clock.ahead_s += 31.0
            async with db.transaction() as tx:
                await tx.store(Plain).create(Plain())
        assert await db.store(Plain).count() == 1


@rule("races", needs=("transactions",))
async def a_lock_is_waited_for_in_vain_for_a_while(case: AsyncCase) -> None:
    """A write that waits for another's open transaction ends in Conflict after 5 s (here: 0.8), unchanged."""
    with shortened(LOCK_WAIT_S=0.8):
        async with case.database(Plain) as db, case.connect(Plain) as other:
            row = await db.store(Plain).create(Plain(n=1))
            async with db.transaction() as tx:
                await tx.store(Plain).update(row.id, Plain.n.set(2))
                started = time.monotonic()
                with raises(Conflict) as raised:
                    await other.store(Plain).update(row.id, Plain.n.set(3))
                assert 0.2 < time.monotonic() - started < 4
                assert raised.error.retryable
                assert (raised.error.operation, raised.error.entity) == ("update", "Plain")
                with raises(Conflict):
                    await other.store(Plain).delete(row.id)
            assert (await other.store(Plain).require(row.id)).n == 2
            assert (await other.store(Plain).update(row.id, Plain.n.set(3))).n == 3


@rule("races", needs=("transactions",))
async def a_transaction_that_waits_in_vain_is_doomed(case: AsyncCase) -> None:
    """Two transactions that change one row: the one that comes second ends in Conflict and is rolled back whole."""
    with shortened(LOCK_WAIT_S=0.4):
        async with case.database(Plain) as db, case.connect(Plain) as other:
            row = await db.store(Plain).create(Plain(n=1))

            async def second() -> None:
                async with other.transaction() as tx:
                    await tx.store(Plain).create(Plain(n=50))
                    await tx.store(Plain).update(row.id, Plain.n.set(3))

            async with db.transaction() as tx:
                await tx.store(Plain).update(row.id, Plain.n.set(2))
                (result,) = await case.gather(second)
                assert type(result) is Conflict, repr(result)
            assert [p.n for p in await db.store(Plain).find()] == [2]


@rule("races", needs=("transactions",))
async def a_lock_that_is_released_in_time_is_no_error(case: AsyncCase) -> None:
    """A write alone that meets an open transaction waits, and succeeds when that one ends in time."""
    async with case.database(Plain) as db, case.connect(Plain) as other:
        row = await db.store(Plain).create(Plain(n=1))
        barrier = case.barrier(2)

        async def holder() -> None:
            async with db.transaction() as tx:
                await tx.store(Plain).update(row.id, Plain.n.set(Plain.n + 1))
                await barrier.wait()
                for _ in range(5):
                    await tx.store(Plain).get(row.id)

        async def waiter() -> Any:
            await barrier.wait()
            return await other.store(Plain).update(row.id, Plain.n.set(Plain.n + 10))

        first, second = await case.gather(holder, waiter)
        assert first is None, repr(first)
        assert getattr(second, "n", second) == 12
        assert (await db.store(Plain).require(row.id)).n == 12


# -- run_in_transaction ------------------------------------------------------------------------------------------------


@rule("transactions", needs=("transactions",))
async def run_in_transaction_runs_conflicts_again(case: AsyncCase) -> None:
    """On Conflict the whole function is run again, in a new transaction; its result is returned."""
    async with case.database(Plain) as db:
        attempts: list[int] = []

        async def work(tx: AsyncTransaction) -> str:
            attempts.append(await tx.store(Plain).count())
            await tx.store(Plain).create(Plain(n=len(attempts)))
            if len(attempts) < 3:
                raise Conflict("made by the program")
            return "done"

        assert await db.run_in_transaction(work) == "done"
        assert attempts == [0, 0, 0]
        assert [p.n for p in await db.store(Plain).find()] == [3]


@rule("transactions", needs=("transactions", "concurrent_writers"))
async def run_in_transaction_runs_a_caught_conflict_again(case: AsyncCase) -> None:
    """A Conflict that the function caught has doomed the transaction all the same, and is run again."""
    with shortened(LOCK_WAIT_S=0.2):
        async with case.database(Plain) as db, case.connect(Plain) as other:
            row = await db.store(Plain).create(Plain(n=1))
            attempts: list[str] = []

            async def work(tx: AsyncTransaction) -> None:
                attempts.append("begun")
                if len(attempts) > 2:
                    await holding.__aexit__(None, None, None)
                try:
                    await tx.store(Plain).update(row.id, Plain.n.set(5))
                except Conflict:
                    attempts.append("caught")

            holding = other.transaction()
            held = await holding.__aenter__()
            await held.store(Plain).update(row.id, Plain.n.set(2))

            # In a worker of its own: this one's transaction is open on the other database.
            async def run() -> None:
                await db.run_in_transaction(work)

            (result,) = await case.gather(run)
            assert result is None, repr(result)
            assert attempts == ["begun", "caught", "begun"]
            assert (await db.store(Plain).require(row.id)).n == 5


@rule("transactions", needs=("transactions",))
async def run_in_transaction_runs_nothing_else_again(case: AsyncCase) -> None:
    """Other errors, OutcomeUnknown among them, are raised at once; what the function did is rolled back."""
    async with case.database(Plain, Account) as db:
        await db.store(Account).create(Account(owner="taken"))
        cases: list[tuple[type[Exception], Callable[[AsyncTransaction], Any]]] = [
            (DuplicateKey, lambda tx: tx.store(Account).create(Account(owner="taken"))),
            (NotFound, lambda tx: tx.store(Account).update(Plain().id, Account.points.set(1))),
            (
                PreconditionFailed,
                lambda tx: tx.store(Account).upsert(Account(owner="taken"), on=Account.owner),
            ),
            (OutcomeUnknown, lambda tx: tx.store(Plain).count()),
            (ZeroDivisionError, lambda tx: tx.store(Plain).count()),
        ]
        for kind, wrong in cases:
            attempts: list[Any] = []

            async def work(
                tx: AsyncTransaction, kind: Any = kind, wrong: Any = wrong, attempts: Any = attempts
            ) -> None:
                attempts.append(tx)
                await tx.store(Plain).create(Plain())
                await wrong(tx)
                raise kind("made by the program")

            with raises(kind):
                await db.run_in_transaction(work)
            assert len(attempts) == 1
        assert await db.counts(Plain, Account) == [0, 1]


@rule("transactions", needs=("transactions",))
async def run_in_transaction_gives_up(case: AsyncCase) -> None:
    """After `attempts`, or `timeout_s`, the last Conflict is raised."""
    async with case.database(Plain) as db:
        attempts: list[int] = []

        async def work(tx: AsyncTransaction) -> None:
            attempts.append(1)
            await tx.store(Plain).create(Plain())
            raise Conflict(f"number {len(attempts)}")

        with raises(Conflict) as raised:
            await db.run_in_transaction(work, attempts=3)
        assert (len(attempts), raised.error.message) == (3, "number 3")
        attempts.clear()
        started = time.monotonic()
        with raises(Conflict):
            await db.run_in_transaction(work, attempts=1_000_000, timeout_s=0.05)
        assert 1 <= len(attempts) < 50
        assert time.monotonic() - started < 5
        assert await db.store(Plain).count() == 0


@rule("transactions", needs=("transactions",))
async def run_in_transaction_reads(case: AsyncCase) -> None:
    """With `read_only=True` it is a snapshot for reading, and returns what the function returns."""
    async with case.database(Plain) as db:
        await db.store(Plain).create_many(Plain(n=n) for n in range(3))

        async def work(tx: AsyncTransaction) -> list[int | None]:
            return [p.n for p in await tx.store(Plain).find(everything(), order_by=Plain.n)]

        assert await db.run_in_transaction(work, read_only=True) == [0, 1, 2]
