"""Workers transfer money at once, and some are killed in the middle of a transfer: the total is kept.

    python examples/transfer_money.py [URL] [--workers 8] [--transfers 25]        a temporary SQLite file by default

On a server or a file the workers are processes, and every second one ends by kill -9 between the two statements of a
transfer. A store that lives in one process has threads as workers, which end there by an exception.

Where a client dies, PostgreSQL and SQLite roll back what it had begun at once. MongoDB keeps its transaction, and the
locks, for up to a minute, unless somebody ends the dead client's session: what starts workers should do so, as it does here.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from decimal import Decimal
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, NamedTuple, cast
from uuid import UUID

from dbkit import (
    Conflict,
    Database,
    Entity,
    Group,
    Mapped,
    PreconditionFailed,
    Transaction,
    connect,
    field,
    min_,
    sum_,
)

ACCOUNTS, START = 20, Decimal("1000.00")
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows ends a process as hard by SIGTERM


class Account(Entity, name="example_transfer_accounts"):
    """An account that is never overdrawn."""

    owner: Mapped[str] = field(unique=True)
    balance: Mapped[Decimal] = field(max_digits=14, decimal_places=2, ge=Decimal(0))


class Total(Group[Account]):
    """What all accounts hold."""

    amount: Mapped[Decimal] = sum_(Account.balance)
    least: Mapped[Decimal | None] = min_(Account.balance)


class Plan(NamedTuple):
    """What one worker is to do."""

    seed: int
    transfers: int
    dies_at: int | None
    """The number of the transfer in whose middle it dies."""


class Outcome(NamedTuple):
    """What one run shows."""

    before: Decimal
    after: Decimal
    least: Decimal
    finished: int
    killed: int
    failed: int
    """How many workers ended in another way: none, when all is well."""

    @property
    def is_kept(self) -> bool:
        """Whether no money came or went, no account is overdrawn, and no worker failed."""
        return self.before == self.after and self.least >= 0 and self.failed == 0


Midway = Callable[[Transaction], None]
"""What happens between the two statements of a transfer."""


class Killed(Exception):
    """The end of a worker that is a thread."""


def transfer(db: Database, source: UUID, target: UUID, amount: Decimal, midway: Midway) -> bool:
    """Move *amount*, and return whether it was moved: there may be too little on the account."""

    def both(tx: Transaction) -> None:
        accounts = tx.store(Account)
        accounts.update(
            source, Account.balance.set(Account.balance - amount), where=Account.balance >= amount
        )
        midway(tx)
        accounts.update(target, Account.balance.set(Account.balance + amount))

    try:
        db.run_in_transaction(both, timeout_s=5)
    except PreconditionFailed:
        return False
    except Conflict:
        return False  # others were first, again and again; nothing was moved
    return True


def work(db: Database, plan: Plan, die: Midway) -> int:
    """Transfer between random accounts, until the end or until *die* is called; return how often it went through."""
    chance = random.Random(plan.seed)
    ids = [account.id for account in db.store(Account).find(limit=ACCOUNTS)]
    done = 0
    for number in range(plan.transfers):
        source, target = chance.sample(ids, 2)
        amount = Decimal(chance.randrange(1, 5_000)) / 100
        done += transfer(db, source, target, amount, die if number == plan.dies_at else _go_on)
    return done


def _go_on(_: Transaction) -> None:
    pass


def run(url: str, *, workers: int = 8, transfers: int = 25) -> Outcome:
    """Let all workers loose on *url*; every second one is killed half-way."""
    with ExitStack() as stack:
        if url == "sqlite://":
            # This URL is a file of its own for each who connects.
            url = f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory())}/bank.db"
        db = stack.enter_context(connect(url, entities=[Account], pool_size=workers + 1))
        db.drop_schema()
        db.create_schema()
        stack.callback(db.drop_schema)
        db.store(Account).create_many(Account(owner=f"owner {n}", balance=START) for n in range(ACCOUNTS))
        before = db.store(Account).group(Total)[0].amount
        plans = [Plan(seed, transfers, transfers // 2 if seed % 2 else None) for seed in range(workers)]
        ends = run_processes(db, url, plans) if db.features.shared else run_threads(db, plans)
        total = db.store(Account).group(Total)[0]
    assert total.least is not None
    finished, killed = ends.count("finished"), ends.count("killed")
    return Outcome(before, total.amount, total.least, finished, killed, len(ends) - finished - killed)


def run_processes(db: Database, url: str, plans: list[Plan]) -> list[str]:
    """Return how each worker ended: finished, killed, or failed."""
    context = multiprocessing.get_context("spawn")
    last_words: dict[int, Any] = {}  # connections; on Windows of another class, with the same methods
    processes: list[SpawnProcess] = []
    for plan in plans:
        mine, its = context.Pipe(duplex=False)
        process = context.Process(target=_process, args=(url, plan, its))
        process.start()
        its.close()
        last_words[process.sentinel] = mine
        processes.append(process)
    while last_words:
        for ended in wait(list(last_words)):
            with last_words.pop(cast("int", ended)) as words, suppress(EOFError):
                _end_session(db, words.recv())
    for process in processes:
        process.join()
    ends = {0: "finished", -KILL: "killed"}
    return [ends.get(cast("int", process.exitcode), "failed") for process in processes]


def _process(url: str, plan: Plan, last_words: Connection) -> None:
    def die(tx: Transaction) -> None:
        if db.url.backend == "mongodb":
            with tx.native() as (_, session):
                last_words.send(session.session_id)
        os.kill(os.getpid(), KILL)

    with connect(url, entities=[Account], pool_size=1) as db:
        work(db, plan, die)


def _end_session(db: Database, session: object) -> None:
    # https://www.mongodb.com/docs/manual/reference/command/killSessions/
    with db.native() as (database, _):
        database.client.admin.command("killSessions", [session])


def run_threads(db: Database, plans: list[Plan]) -> list[str]:
    """Return how each worker ended: finished, killed, or failed."""

    def die(_: Transaction) -> None:
        raise Killed

    with ThreadPoolExecutor(len(plans)) as pool:
        errors = [run.exception() for run in [pool.submit(work, db, plan, die) for plan in plans]]
    return ["finished" if e is None else "killed" if isinstance(e, Killed) else "failed" for e in errors]


def main() -> None:
    """Say what happened."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url", nargs="?", default="sqlite://")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--transfers", type=int, default=25)
    told = parser.parse_args()
    outcome = run(told.url, workers=told.workers, transfers=told.transfers)
    print(f"{outcome.finished} workers finished, {outcome.killed} were killed in the middle of a transfer")
    if outcome.failed:
        print(f"{outcome.failed} failed, which none should")
    print(
        f"total before {outcome.before}, after {outcome.after}: {'kept' if outcome.is_kept else 'NOT KEPT'}"
    )
    raise SystemExit(not outcome.is_kept)


if __name__ == "__main__":
    main()
