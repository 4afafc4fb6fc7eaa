"""Run random programs on stores and compare: `python -m dbkit.testing differential`.

Exit codes: 0 all the same (or, with `--control`, the broken rule was caught), 1 a difference (or it was not caught),
2 a named store could not be started.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from unittest import mock
from uuid import UUID

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings

from dbkit import Database, ObjectId, Page, Store, any_related, connect, everything, via
from dbkit.testing.servers import missing_is_failure
from dbkit.testing.stores import DEFAULT_STORES, NotRun, Shelf, labels

from . import outcomes, world
from .programs import Block, Program, programs, show

__all__ = ["CONTROLS", "Difference", "Report", "broken_rule", "main", "run_program", "run_programs"]

IDS = [UUID(int=(7 << 76) | (2 << 62) | n) for n in range(1, 5)]
_START = datetime(2024, 6, 1, tzinfo=UTC)


class Stop(Exception):
    """The program's own exception that leaves a transaction."""


class Difference(Exception):
    """Stores that gave different outcomes; its text is the program to paste and what each store gave."""

    def __init__(self, program: Program, steps: list[str], results: dict[str, list[str]]) -> None:
        self.program = program
        self.results = results
        position = next(n for n in range(len(steps)) if len({r[n] for r in results.values()}) > 1)
        lines = [show(program), "", f"differs at: {steps[position]}"]
        lines += [f"    {name:>12}: {result[position]}" for name, result in results.items()]
        super().__init__("\n".join(lines))


@dataclass
class Report:
    """What a run of programs showed."""

    stores: list[str]
    programs: int = 0
    statements: int = 0
    outcomes: dict[str, int] = field(default_factory=dict[str, int])
    """How often statements ended in which way: "returned", or the error's class."""
    difference: Difference | None = None


def walk(store: Store[Any], *where: Any, **options: Any) -> list[Any]:
    """Read all pages, by cursor, and return their items and totals."""
    pages: list[Any] = []
    after: str | None = None
    while True:
        page: Page[Any] = store.page(*where, after=after, **options)
        pages.append([page.items, page.total])
        after = page.next_cursor
        if after is None:
            return pages


class _Clock:
    """The client's clock, the same on every store: a millisecond a look."""

    def __init__(self) -> None:
        self._looks = 0

    def __call__(self) -> datetime:
        self._looks += 1
        return _START + timedelta(milliseconds=self._looks)


_NAMES: dict[str, Any] = {
    **{name: value for name, value in vars(world).items() if isinstance(value, type)},
    **{t.__name__: t for t in (Decimal, datetime, date, time, timedelta, UUID, ObjectId)},
    **{f.__name__: f for f in (walk, via, any_related, everything)},
    "UTC": UTC,
    "ID": IDS,
    "Stop": Stop,
}


def steps_of(program: Program) -> list[str]:
    """Return a label for each outcome that the program has."""
    steps: list[str] = []
    for step in program:
        if isinstance(step, str):
            steps.append(step)
        else:
            steps += [f"in the transaction: {s}" for s in step.statements]
            steps.append("the transaction's end")
    return [*steps, *(f"what {e.__name__} holds in the end" for e in world.ENTITIES)]


def run_program(db: Database, program: Program) -> list[str]:
    """Run *program* on an empty database and return its outcomes, those of `steps_of`; the database is empty again."""
    done: list[str] = []
    clock = _Clock()
    with (
        mock.patch("dbkit.building.utc_now", clock),
        mock.patch("dbkit._sync.store.utc_now", clock),
        mock.patch("dbkit.entity.utc_now", clock),
    ):
        for step in program:
            if isinstance(step, str):
                done.append(_evaluate(step, {"db": db}))
            else:
                done += _run_block(db, step)
        done += [outcomes.of_value(db.store(entity).find()) for entity in world.ENTITIES]
    empty(db)
    return done


def empty(db: Database) -> None:
    """Delete everything, children first."""
    for entity, rows in zip(reversed(world.ENTITIES), db.counts(*reversed(world.ENTITIES)), strict=True):
        if rows:
            db.store(entity).delete_many(everything())


def _evaluate(statement: str, names: Mapping[str, Any]) -> str:
    try:
        return outcomes.of_value(eval(statement, {**_NAMES, **names}))
    except Exception as error:  # noqa: BLE001  # whatever it raises is the outcome that is compared
        return outcomes.of_error(error, statement)


def _run_block(db: Database, block: Block) -> list[str]:
    done: list[str] = []
    try:
        with db.transaction(read_only=block.read_only) as tx:
            done += [_evaluate(s, {"tx": tx, "db": db}) for s in block.statements]
            if block.fails:
                raise Stop
        done.append("committed")
    except Exception as error:  # noqa: BLE001  # as above
        done.append(outcomes.of_error(error, "transaction"))
    return done


# -- controls ----------------------------------------------------------------------------------------------------------


def _null_after(value: Any) -> tuple[Any, ...]:
    return (1,) if value is None else (0, value)


def _nulls_last() -> Any:
    return mock.patch("dbkit_memory.evaluate._rank", _null_after)


def _three_valued() -> Any:
    from dbkit_memory import evaluate

    honest = evaluate._leaf

    def leaf(path: Any, holds: Any, *, null: bool = False) -> Any:
        del null
        return honest(path, holds)

    return mock.patch.object(evaluate, "_leaf", leaf)


def _lower_case() -> Any:
    from dbkit_memory import evaluate

    honest = evaluate.encode

    def encode(value: Any, type: Any) -> Any:
        made = honest(value, type)
        return made.lower() if isinstance(made, str) else made

    return mock.patch.object(evaluate, "encode", encode)


CONTROLS: dict[str, Callable[[], Any]] = {
    "nulls-last": _nulls_last,
    "three-valued": _three_valued,
    "lower-case": _lower_case,
}
"""Rules that can be broken in a memory store, each as a context manager: a comparison that does not notice is none."""


@contextlib.contextmanager
def broken_rule(name: str) -> Generator[None]:
    """Break a rule of `CONTROLS` in every memory store while the block runs."""
    with CONTROLS[name]():
        yield


# -- runs --------------------------------------------------------------------------------------------------------------


def run_programs(
    databases: Mapping[str, Database],
    n: int,
    number: int,
    *,
    step: Callable[[], None] = lambda: None,
    control: str | None = None,
    max_size: int = 8,
) -> Report:
    """Run *n* programs, made from the seed *number*, on all *databases* (label: open database of `world.ENTITIES`).

    Stops at the first difference, shrunk to a small program.

    Args:
        step: called after each program.
        control: a rule of `CONTROLS` that is broken in the database labelled "control" (a memory store).
    """
    report = Report(list(databases))

    def on(label: str, db: Database, program: Program) -> list[str]:
        if control is not None and label == "control":
            with broken_rule(control):
                return run_program(db, program)
        return run_program(db, program)

    @seed(number)
    @settings(
        max_examples=n,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.large_base_example,
        ],
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=Verbosity.quiet,
    )
    @given(programs(max_size))
    def agree(program: Program) -> None:
        steps = steps_of(program)
        results = {label: on(label, db, program) for label, db in databases.items()}
        if report.difference is None:
            _count(report, steps, next(iter(results.values())))
            step()
        if len({tuple(r) for r in results.values()}) > 1:
            report.difference = Difference(program, steps, results)
            raise report.difference

    for db in databases.values():
        db.create_schema()
        empty(db)
    try:
        agree()
    except Difference as difference:
        report.difference = difference
    return report


def _count(report: Report, steps: list[str], results: list[str]) -> None:
    report.programs += 1
    report.statements += len(steps)
    for result in results:
        kind = result.split(" (")[0] if result.startswith("raised ") else "returned"
        report.outcomes[kind] = report.outcomes.get(kind, 0) + 1


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m dbkit.testing differential", description=__doc__)
    parser.add_argument("--n", type=int, default=500, help="how many programs (default: 500)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument(
        "--stores", help=f"names or URLs, separated by commas (default: {','.join(DEFAULT_STORES)})"
    )
    parser.add_argument("--control", choices=sorted(CONTROLS), help="break a rule; the run must notice")
    return parser.parse_args(list(arguments))


def main(arguments: Sequence[str]) -> int:
    """Run what the command line asks for."""
    told = _arguments(arguments)
    asked = labels(told.stores or ("memory" if told.control else DEFAULT_STORES))
    with Shelf() as shelf, contextlib.ExitStack() as stack:
        databases: dict[str, Database] = {}
        for label, name in asked.items():
            store = shelf.store(label, name)
            if isinstance(store, NotRun):
                print(f"{label}: not run, {store.reason}", file=sys.stderr)
                if told.stores or missing_is_failure():
                    return 2
                continue
            databases[label] = stack.enter_context(connect(store.url, entities=world.ENTITIES))
        if told.control:
            databases["control"] = stack.enter_context(connect("memory://", entities=world.ENTITIES))
        print("stores: " + ", ".join(f"{label} ({db.server})" for label, db in databases.items()))
        with _progress(told.n) as step:
            report = run_programs(databases, told.n, told.seed, step=step, control=told.control)
        print(f"{report.programs:,} programs, {report.statements:,} outcomes compared, seed {told.seed}")
        for kind, times in sorted(report.outcomes.items(), key=lambda item: -item[1]):
            print(f"    {times:>9,}  {kind}")
        if report.difference is None:
            print("no difference" if not told.control else f"the broken rule {told.control} was NOT caught")
            return 1 if told.control else 0
        print(f"\n{report.difference}")
        print(f"\nthe broken rule {told.control} was caught" if told.control else "\nthe stores differ")
        return 0 if told.control else 1


@contextlib.contextmanager
def _progress(n: int) -> Generator[Callable[[], None]]:
    """Show a bar on a terminal; rich is a development dependency."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn
    except ImportError:
        yield lambda: None
        return
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("programs", total=n)
        yield lambda: progress.advance(task)
