"""Eight workers claim a thousand jobs: none is done twice, none is lost.

python examples/job_queue.py [URL] [--workers 8] [--jobs 1000]
"""

from __future__ import annotations

import argparse
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from enum import Enum
from functools import partial
from typing import NamedTuple
from uuid import UUID

from dbkit import Database, Entity, Mapped, connect, field


class State(Enum):
    """Where a job stands."""

    WAITING = "waiting"
    TAKEN = "taken"


class Job(Entity, name="example_jobs", indexes=[("state", "priority")]):
    """Something to do; the highest priority first."""

    number: Mapped[int] = field(unique=True)
    priority: Mapped[int]
    state: Mapped[State] = field(default=State.WAITING)
    worker: Mapped[str | None] = field(default=None)


class Outcome(NamedTuple):
    """What the workers did."""

    jobs: int
    done: int
    twice: int
    by_worker: dict[str, int]

    @property
    def is_exact(self) -> bool:
        """Whether each job was done exactly once."""
        return self.done == self.jobs and self.twice == 0


def work(db: Database, name: str) -> list[UUID]:
    """Claim jobs, five at a time, until there are none; return what was claimed."""
    jobs = db.store(Job)
    mine: list[UUID] = []
    while True:
        claimed = jobs.claim(
            Job.state == State.WAITING,
            changes=[Job.state.set(State.TAKEN), Job.worker.set(name)],
            order_by=Job.priority.desc(),
            limit=5,
        )
        mine += [job.id for job in claimed]
        # Nothing claimed may mean that others hold what is left: only an empty queue is the end.
        if not claimed and not jobs.exists(Job.state == State.WAITING):
            return mine


def run(url: str, *, workers: int = 8, jobs: int = 1_000) -> Outcome:
    """Fill a queue on *url* and let the workers empty it."""
    with connect(url, entities=[Job], pool_size=workers + 1) as db, ExitStack() as stack:
        db.drop_schema()
        db.create_schema()
        stack.callback(db.drop_schema)
        db.store(Job).create_many(Job(number=n, priority=n % 7) for n in range(jobs))
        with ThreadPoolExecutor(workers) as pool:
            names = [f"worker {n}" for n in range(workers)]
            results = list(pool.map(partial(work, db), names))
        times = Counter(id for mine in results for id in mine)
        stored = db.store(Job).count(Job.state == State.TAKEN)
    return Outcome(
        jobs=jobs,
        done=min(len(times), stored),
        twice=sum(n - 1 for n in times.values()),
        by_worker={name: len(mine) for name, mine in zip(names, results, strict=True)},
    )


def main() -> None:
    """Say who did how much."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url", nargs="?", default="sqlite://")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=1_000)
    told = parser.parse_args()
    outcome = run(told.url, workers=told.workers, jobs=told.jobs)
    for name, count in outcome.by_worker.items():
        print(f"{name}: {count}")
    lost = outcome.jobs - outcome.done
    print(f"{outcome.done:,} of {outcome.jobs:,} jobs claimed, {outcome.twice} twice, {lost} lost")
    raise SystemExit(not outcome.is_exact)


if __name__ == "__main__":
    main()
