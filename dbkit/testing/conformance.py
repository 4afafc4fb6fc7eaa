"""`python -m dbkit.testing conformance`: every rule on every store in both colours, as one table.

Exit codes: 0 all that ran passed, 1 a rule failed, 2 a store that was named could not be started.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import sys
import time
from collections.abc import Callable, Generator, Sequence
from importlib.util import find_spec
from pathlib import Path

from dbkit.errors import DbkitError
from dbkit.testing.kit import COLOURS, Colour, Rule, all_rules
from dbkit.testing.report import Column, Report
from dbkit.testing.running import Outcome, probe, run
from dbkit.testing.servers import missing_is_failure
from dbkit.testing.stores import DEFAULT_STORES, Shelf, labels

__all__ = ["conformance", "main"]

HANGS_AFTER_S = 240.0
Step = Callable[[str, Outcome], None]


def conformance(
    shelf: Shelf, stores: dict[str, str], colours: Sequence[Colour], rules: list[Rule], step: Step
) -> Report:
    """Run *rules* on *stores* (label: name or URL), one store after the other, and return the report.

    *step* is called after each run.
    """
    columns: list[Column] = []
    outcomes: dict[tuple[str, str, Colour], Outcome] = {}
    for label, asked in stores.items():
        store = shelf.store(label, asked)
        column = Column(label, {colour: probe(store, colour) for colour in colours})
        columns.append(column)
        for colour, info in column.infos.items():
            for rule in rules:
                # A rule that hangs shows where, instead of nothing.
                faulthandler.dump_traceback_later(HANGS_AFTER_S)
                outcome = outcomes[rule.name, label, colour] = run(rule, info)
                faulthandler.cancel_dump_traceback_later()
                step(f"{label} {colour}: {rule.name}", outcome)
    return Report(columns, rules, outcomes)


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m dbkit.testing conformance", description=__doc__)
    parser.add_argument(
        "--stores",
        help="names or URLs, separated by commas; named ones must be there "
        f"(default: what can be had of {', '.join(DEFAULT_STORES)})",
    )
    parser.add_argument("--colour", choices=[*COLOURS, "both"], default="both")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="also write the table there, for the docs"
    )
    parser.add_argument("--rule", default="", metavar="SUBSTRING", help="only rules whose name has it")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Run what the command line asks for, print the table, and return the exit code."""
    given = _arguments(arguments)
    try:
        stores = labels(given.stores or DEFAULT_STORES)
    except (ValueError, DbkitError) as error:
        print(error, file=sys.stderr)
        return 2
    colours: tuple[Colour, ...] = COLOURS if given.colour == "both" else (given.colour,)
    rules = [rule for rule in all_rules() if given.rule in rule.name]
    if not rules:
        print(f"no rule has {given.rule!r} in its name", file=sys.stderr)
        return 2
    started = time.monotonic()
    with Shelf() as shelf, _progress(len(rules) * len(stores) * len(colours)) as step:
        report = conformance(shelf, stores, colours, rules, step)
    if sys.stdout.isatty() and find_spec("rich") is not None:
        from rich.console import Console

        report.print_rich(Console())
    else:
        print(report.as_text())
    print(f"{time.monotonic() - started:.0f} s")
    if given.markdown is not None:
        given.markdown.parent.mkdir(parents=True, exist_ok=True)
        given.markdown.write_text(report.as_markdown(), encoding="utf-8")
    if report.counts()["FAILED"]:
        print(report.failures(), file=sys.stderr)
        return 1
    missing = any(column.missing for column in report.columns)
    return 2 if missing and (given.stores or missing_is_failure()) else 0


@contextlib.contextmanager
def _progress(total: int) -> Generator[Step]:
    """Show how far the run is, on standard error: a bar by rich on a terminal, a line now and then elsewhere."""
    if sys.stderr.isatty() and find_spec("rich") is not None:
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("conformance", total=total)

            def advance(what: str, outcome: Outcome) -> None:
                bar.update(task, advance=1, description=what[:70])
                if outcome.status == "FAILED":
                    bar.console.print(f"FAILED {what} ({outcome.why})", style="red", highlight=False)

            yield advance
        return
    done = 0

    def line(what: str, outcome: Outcome) -> None:
        nonlocal done
        done += 1
        if outcome.status == "FAILED":
            print(f"FAILED {what} ({outcome.why})", file=sys.stderr, flush=True)
        elif done * 20 // total != (done - 1) * 20 // total:
            print(f"{done * 100 // total:3} % {what}", file=sys.stderr, flush=True)

    yield line
