"""SEMANTICS, "Transactions", races: which outcomes there may be, and never more."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from dbkit import everything
from dbkit._async.store import AsyncStore
from dbkit._async.transaction import AsyncTransaction
from dbkit.errors import Conflict, DuplicateKey, OutOfRange, PreconditionFailed, StaleVersion

from ..entities import Account, Job, Plain
from ..kit import rule
from .case import AsyncCase


def _among(results: list[Any], *kinds: type[Exception]) -> list[Any]:
    """Return the results that are no errors; the errors must be of exactly *kinds*."""
    for result in results:
        if isinstance(result, BaseException) and type(result) not in kinds:
            raise result
    return [result for result in results if not isinstance(result, BaseException)]


@rule("races", needs=("transactions", "concurrent_writers"), real_mongod=True)
async def no_update_is_lost(case: AsyncCase) -> None:
    """A transaction that changes a row which another changed after its snapshot is Conflict, also if it never read it."""
    async with case.database(Plain) as db, case.connect(Plain) as other:
        rows = [Plain(name=str(n), n=n) for n in range(4)]
        await db.store(Plain).create_many(rows)

        async def attempt(change: Any) -> Any:
            async with db.transaction() as tx:
                await tx.store(Plain).get(rows[3].id)
                await other.store(Plain).update(rows[0].id, Plain.n.set(Plain.n + 100))
                await change(tx.store(Plain))

        changes: list[Callable[[AsyncStore[Plain]], Any]] = [
            lambda store: store.update(rows[0].id, Plain.n.set(-1)),
            lambda store: store.update(rows[0].id, Plain.n.set(Plain.n + 1)),
            lambda store: store.update_many(everything(), changes=Plain.name.set("x")),
            lambda store: store.replace(rows[0]),
            lambda store: store.delete(rows[0].id),
            lambda store: store.delete_many(Plain.name == "0"),
            lambda store: store.upsert(rows[0], on=Plain.id),
        ]
        for change in changes:

            async def one(change: Any = change) -> Any:
                return await attempt(change)

            assert _among(await case.gather(one), Conflict) == [], "an update was lost"
        found = await db.store(Plain).find(order_by=Plain.name)
        assert [(p.name, p.n) for p in found] == [("0", 700), ("1", 1), ("2", 2), ("3", 3)]


@rule("races", needs=("transactions",))
async def increments_at_once_are_all_kept(case: AsyncCase) -> None:
    """Workers that read, then write what they computed, in transactions: each succeeds or is Conflict, none is lost."""
    async with case.database(Plain) as db:
        row = await db.store(Plain).create(Plain(n=0))
        barrier = case.barrier(4)

        async def work(_: int) -> str:
            await barrier.wait()
            async with db.transaction() as tx:
                store = tx.store(Plain)
                seen = (await store.require(row.id)).n
                assert seen is not None
                await store.update(row.id, Plain.n.set(seen + 1))
            return "done"

        done = 0
        for _round in range(3):
            results = await case.run_workers(4, work)
            done += len(_among(results, Conflict))
        assert done >= 3, "nobody got through"
        assert (await db.store(Plain).require(row.id)).n == done


@rule("races")
async def updates_alone_at_once_are_all_kept(case: AsyncCase) -> None:
    """Single updates of one row at once: dbkit runs conflicts again for 5 s, so all succeed, and none is lost."""
    async with case.database(Account) as db:
        row = await db.store(Account).create(Account(owner="a"))

        async def work(number: int) -> int:
            for _ in range(5):
                await db.store(Account).update(row.id, Account.big.set(Account.big + 10**number))
            return 5

        results = await case.run_workers(6, work)
        assert _among(results) == [5] * 6
        found = await db.store(Account).require(row.id)
        assert (found.big, found.version) == (555_555, 31)


@rule("races")
async def conditions_hold_at_once(case: AsyncCase) -> None:
    """Of workers that take from one stock with `where`, as many succeed as there is; the others get the answer no."""
    async with case.database(Account) as db:
        row = await db.store(Account).create(Account(owner="a", balance=Decimal(5)))
        take = Account.balance.set(Account.balance - 1)

        async def careful(_: int) -> str:
            await db.store(Account).update(row.id, take, where=Account.balance >= 1)
            return "taken"

        results = await case.run_workers(9, careful)
        assert _among(results, PreconditionFailed) == ["taken"] * 5
        await db.store(Account).update(row.id, Account.balance.set(3))

        async def bold(_: int) -> str:
            await db.store(Account).update(row.id, take)
            return "taken"

        results = await case.run_workers(9, bold)
        assert _among(results, OutOfRange) == ["taken"] * 3
        assert (await db.store(Account).require(row.id)).balance == 0


@rule("races")
async def replaces_at_once_are_stale_but_one(case: AsyncCase) -> None:
    """Of workers that replace one version, one succeeds; the others are StaleVersion."""
    async with case.database(Account) as db:
        row = await db.store(Account).create(Account(owner="a"))

        async def work(number: int) -> int:
            return (await db.store(Account).replace(row.evolve(points=number))).points

        (won,) = _among(await case.run_workers(6, work), StaleVersion)
        found = await db.store(Account).require(row.id)
        assert (found.points, found.version) == (won, 2)


@rule("races")
async def of_duplicates_at_once_one_is_stored(case: AsyncCase) -> None:
    """Of workers that create one key at once, one succeeds; the others are DuplicateKey (or Conflict)."""
    async with case.database(Account) as db:

        async def work(number: int) -> Any:
            # The case differs: the casefold key decides.
            email = "Ada@Example.org" if number % 2 else "ADA@example.ORG"
            return await db.store(Account).create(Account(owner=str(number), email=email))

        for _round in range(3):
            results = await case.run_workers(6, work)
            (made,) = _among(results, DuplicateKey, Conflict)
            for result in results:
                assert not isinstance(result, DuplicateKey) or result.field == "email"
            assert await db.store(Account).find() == [made]
            await db.store(Account).delete(made.id)


@rule("races", needs=("transactions",))
async def of_duplicates_in_transactions_one_is_stored(case: AsyncCase) -> None:
    """The same in transactions, which are doomed by it: nothing of those that lose is stored."""
    async with case.database(Account, Plain) as db:

        async def work(number: int) -> int:
            async with db.transaction() as tx:
                await tx.store(Plain).create(Plain(n=number))
                await tx.store(Account).create(Account(owner="same"))
            return number

        for _round in range(3):
            (won,) = _among(await case.run_workers(5, work), DuplicateKey, Conflict)
            assert [p.n for p in await db.store(Plain).find()] == [won]
            assert await db.store(Account).count() == 1
            await db.store(Account).delete_many(everything())
            await db.store(Plain).delete_many(everything())


@rule("races", needs=("transactions",))
async def transfers_at_once_keep_the_total(case: AsyncCase) -> None:
    """Workers that move money in `run_in_transaction`, some failing between two statements: the total is kept."""
    async with case.database(Account) as db:
        rows = [Account(owner=str(n), balance=Decimal(100)) for n in range(4)]
        await db.store(Account).create_many(rows)
        ids = [row.id for row in rows]

        async def work(number: int) -> int:
            chance = random.Random(number)
            moved = 0
            for step in range(8):
                source, target = chance.sample(ids, 2)
                amount = Decimal(chance.randint(1, 6_000)) / 100
                fails = step % 4 == 3

                async def transfer(
                    tx: AsyncTransaction,
                    source: Any = source,
                    target: Any = target,
                    amount: Decimal = amount,
                    fails: bool = fails,
                ) -> None:
                    store = tx.store(Account)
                    await store.update(
                        source, Account.balance.set(Account.balance - amount), where=Account.balance >= amount
                    )
                    if fails:
                        raise KeyError("killed between two statements")
                    await store.update(target, Account.balance.set(Account.balance + amount))

                try:
                    await db.run_in_transaction(transfer, attempts=1_000)
                    moved += 1
                except (PreconditionFailed, KeyError):
                    continue
            return moved

        results = await case.run_workers(5, work)
        assert sum(_among(results)) > 5
        balances = [account.balance for account in await db.store(Account).find()]
        assert sum(balances) == 400
        assert min(balances) >= 0
        versions = [account.version for account in await db.store(Account).find()]
        assert sum(versions) - 4 == 2 * sum(_among(results))


@rule("races", needs=("snapshot_reads",), real_mongod=True)
async def readers_see_whole_writes(case: AsyncCase) -> None:
    """While rows are changed all together, a read sees all of them before or all of them after."""
    async with case.database(Plain) as db:
        await db.store(Plain).create_many(Plain(n=0) for _ in range(40))
        done: list[bool] = []

        async def write() -> None:
            for number in range(1, 12):
                await db.store(Plain).update_many(everything(), changes=Plain.n.set(number))
            done.append(True)

        async def read() -> int:
            reads = 0
            while not done:
                seen = {p.n for p in await db.store(Plain).find()}
                assert len(seen) == 1, seen
                page = await db.store(Plain).page(limit=7, total=True)
                assert (len({p.n for p in page.items}), page.total) == (1, 40)
                reads += 1
            return reads

        results = await case.gather(write, read, read)
        _among(results)


@rule("races", needs=("transactions",))
async def many_at_once_share_few_connections(case: AsyncCase) -> None:
    """More workers than connections: they take turns, reads, writes and transactions, and none is left out."""
    async with case.database(Job, pool_size=2) as db:

        async def work(number: int) -> int:
            store = db.store(Job)
            made = await store.create(Job(rank=number))
            async with db.transaction() as tx:
                await tx.store(Job).update(made.id, Job.worker.set(number))
            assert (await store.require(made.id)).worker == number
            return await store.count(Job.worker == number)

        assert await case.run_workers(12, work) == [1] * 12
