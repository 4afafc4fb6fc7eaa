"""SEMANTICS, "Writes", claim: rows for one worker at once, no row twice, no waiting behind another."""

from __future__ import annotations

import time
from typing import Any

from dbkit import everything, via
from dbkit.errors import InvalidInput, OutOfRange, TransactionError

from ..entities import Account, Job, Loose, Plain
from ..kit import rule
from ..watch import Watch, raises
from .case import AsyncCase

WAITING = Job.state == "waiting"


@rule("writes", needs=("claim",))
async def claim_takes_the_first_in_order(case: AsyncCase) -> None:
    """`claim` changes the first rows in order, at most `limit`, and returns them in that order, as they are then."""
    async with case.database(Job) as db:
        store = db.store(Job)
        jobs = [Job(rank=rank) for rank in (5, 3, 4, 1, 2, 3)]
        await store.create_many(jobs)
        first = await store.claim(WAITING, changes=Job.state.set("taken"), order_by=Job.rank)
        assert [(j.id, j.state, j.rank) for j in first] == [(jobs[3].id, "taken", 1)]
        assert await store.get(first[0].id) == first[0]
        assert first[0].updated_at >= first[0].created_at
        more = await store.claim(
            WAITING, changes=(Job.state.set("taken"), Job.worker.set(7)), order_by=Job.rank, limit=3
        )
        # Ties are broken by id, as everywhere.
        assert [j.id for j in more] == [jobs[4].id, *sorted([jobs[1].id, jobs[5].id])]
        assert {j.worker for j in more} == {7}
        rest = await store.claim(WAITING, changes=Job.state.set("done"), order_by=Job.rank.desc(), limit=50)
        assert [j.rank for j in rest] == [5, 4]
        assert await store.claim(WAITING, changes=Job.state.set("taken")) == []
        assert await store.count() == 6


@rule("writes", needs=("claim",))
async def claim_is_refused_where_it_cannot_be_one_step(case: AsyncCase) -> None:
    """`claim` filters and orders by the entity's own fields, outside transactions; its limit is 1 to 1,000. Unsent."""
    async with case.database(Loose, Plain) as db:
        store = db.store(Loose)
        await store.create(Loose())
        change = Loose.label.set("x")
        watch = Watch(db)
        with raises(InvalidInput) as raised:
            await store.claim(via(Loose.parent, Plain.n) == 1, changes=change)
        assert (raised.error.operation, raised.error.entity) == ("claim", "Loose")
        with raises(InvalidInput):
            await store.claim((Loose.n == 1) | ~(via(Loose.parent, Plain.n) == 1), changes=change)
        with raises(InvalidInput):
            await store.claim(everything(), changes=change, order_by=via(Loose.parent, Plain.n))
        wrong: list[Any] = [0, -1, 1_001, True, 1.0, "1", None]
        for limit in wrong:
            with raises(InvalidInput):
                await store.claim(everything(), changes=change, limit=limit)
        with raises(InvalidInput):
            await store.claim(everything(), changes=())
        assert watch.texts == []
        if db.features.transactions:
            async with db.transaction() as tx:
                with raises(TransactionError):
                    await tx.store(Loose).claim(everything(), changes=change)
                assert await tx.store(Loose).count() == 1
        assert await store.count(Loose.label == "x") == 0


@rule("writes", needs=("claim",))
async def claim_keeps_bounds(case: AsyncCase) -> None:
    """A claimed row's computed value that leaves its bounds is OutOfRange; the row is unchanged."""
    async with case.database(Account) as db:
        store = db.store(Account)
        row = await store.create(Account(owner="a", points=1000))
        with raises(OutOfRange):
            await store.claim(everything(), changes=Account.points.set(Account.points + 1))
        assert await store.get(row.id) == row
        (claimed,) = await store.claim(everything(), changes=Account.points.set(Account.points - 1))
        assert (claimed.points, claimed.version) == (999, 2)


@rule("races", needs=("claim",))
async def each_job_goes_to_one_worker(case: AsyncCase) -> None:
    """8 workers claim 120 jobs, one or a few at a time: each is claimed exactly once, none is left."""
    async with case.database(Job) as db:
        store = db.store(Job)
        await store.create_many(Job(rank=n % 7) for n in range(120))

        async def work(number: int) -> list[Any]:
            mine: list[Any] = []
            while True:
                got = await store.claim(
                    WAITING,
                    changes=[Job.state.set("taken"), Job.worker.set(number)],
                    order_by=Job.rank,
                    limit=1 + number % 3,
                )
                mine += got
                # Others may hold what is left; nothing is left when nothing waits.
                if not got and not await store.exists(WAITING):
                    return mine

        results = await case.run_workers(8, work)
        for result in results:
            assert isinstance(result, list), repr(result)
        claimed = [job.id for mine in results for job in mine]
        assert len(claimed) == len(set(claimed)) == 120
        for number, mine in enumerate(results):
            assert {job.worker for job in mine} <= {number}
            assert await store.count(Job.worker == number) == len(mine)
        assert await store.count(Job.state == "taken") == 120


@rule("races", needs=("claim", "transactions", "concurrent_writers"))
async def claim_passes_over_what_another_holds(case: AsyncCase) -> None:
    """A row that an open transaction has changed is passed over, without waiting for its end."""
    async with case.database(Job) as db, case.connect(Job) as other:
        store = db.store(Job)
        jobs = [Job(rank=n) for n in range(3)]
        await store.create_many(jobs)
        async with db.transaction() as tx:
            await tx.store(Job).update(jobs[0].id, Job.worker.set(1))
            started = time.monotonic()
            claimed = await other.store(Job).claim(
                WAITING, changes=Job.state.set("taken"), order_by=Job.rank, limit=5
            )
            assert time.monotonic() - started < 2
            assert [j.id for j in claimed] == [jobs[1].id, jobs[2].id]
        claimed = await store.claim(WAITING, changes=Job.state.set("taken"))
        assert [(j.id, j.worker) for j in claimed] == [(jobs[0].id, 1)]
