"""The run: read, start, fill, ask, break, refuse, explain, measure."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from dbkit.testing.stores import Shelf

from .control import BROKEN, control
from .data import Sizes, blog, repository, sales
from .outcome import Line, Outcome
from .plans import asked as how_asked
from .questions import PROGRAMS_WEIGHT, Progress, fill, questions
from .refusals import refusals
from .report import Report
from .stores import open_columns
from .timing import costs

__all__ = ["run"]


def run(asked: list[str], path: Path, *, quick: bool, report: Report, stack: ExitStack) -> Outcome:
    """Compare the stores *asked*, on seeded rows and on the repository at *path*; *stack* puts all away."""
    sizes = Sizes.quick() if quick else Sizes()
    shelf = stack.enter_context(Shelf())
    columns, missing = open_columns(asked, shelf, stack, report.say)
    outcome = Outcome(asked, columns, missing)
    if not columns:
        return outcome
    found = repository(path)
    report.say(f"git history of {found.name}/: {found.reason or f'{len(found.posts):,} commits'}")
    rows = sales(sizes.sales)
    users, posts = blog(sizes.users, sizes.posts)
    put = questions(sizes, rows, users, posts, found)
    total = len(columns) * (len(put) + PROGRAMS_WEIGHT + 2) + len(BROKEN) + 1
    with report.progress(total) as progress:
        for column in columns:
            progress(f"writing {sizes.sales:,} rows to {column.name}")
            fill(column.db, rows, users, posts)
            progress(f"writing {sizes.sales:,} rows to {column.name}", 1)
        for question in put:
            answers = question.ask(columns, _about(question.title, progress))
            outcome.lines.append(Line.of(question, answers))
        outcome.control = control(put, [line.answers for line in outcome.lines], rows, progress)
        progress("what must be refused")
        outcome.refusals = refusals(columns, sizes.sales)
        progress("the plan of one call", 1)
        outcome.call = how_asked(columns)
        for column in columns:
            progress(f"CPU per call on {column.name}")
            outcome.costs += costs(column, posts, sizes)
            progress(f"CPU per call on {column.name}", 1)
    return outcome


def _about(title: str, progress: Progress) -> Progress:
    def told(now: str, done: float = 0, /) -> None:
        progress(f"{title}: {now}" if now else title, done)

    return told
