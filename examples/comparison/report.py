"""The terminal: a bar while it works, then the table and what else there is to say."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TypeAlias

from rich import box
from rich.console import Console, Group
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.rule import Rule
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from .outcome import Outcome
from .plans import CALL, Asked
from .questions import Progress as Told

__all__ = ["Report"]

WIDTH = 100
Json: TypeAlias = "dict[str, Json] | list[Json] | str | float | bool | None"
_STYLES = {"same": "green", "DIFFERS": "bold red", "not run": "yellow"}


class Report:
    """Prints a run, piece by piece."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        if not self._console.is_terminal or self._console.width > WIDTH:
            self._console = Console(highlight=False, width=WIDTH)

    def say(self, text: str) -> None:
        """Print one line."""
        self._console.print(Text(f"  {text}"))

    @contextmanager
    def progress(self, total: float) -> Generator[Told, None, None]:
        """Show a bar on a terminal; elsewhere a line for each new subject."""
        if not self._console.is_terminal:
            yield _lines(self._console)
            return
        shown = (
            TextColumn("  {task.description:<54.54}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*shown, console=self._console, transient=True) as bar:
            task = bar.add_task("", total=total)

            def told(now: str, done: float = 0, /) -> None:
                bar.update(task, description=now.replace("[", "\\["), advance=done)

            yield told

    def outcome(self, outcome: Outcome) -> None:
        """Print the table and all that follows it."""
        self._table(outcome)
        self._differences(outcome)
        self._control(outcome)
        self._refusals(outcome)
        self._call(outcome)
        self._costs(outcome)

    def _heading(self, text: str) -> None:
        self._console.print()
        self._console.print(Rule(Text(text, style="bold"), align="left", style="dim"))

    # -- the table -----------------------------------------------------------------------------------------------------

    def _table(self, outcome: Outcome) -> None:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, expand=True)
        table.add_column("the same question to each store", ratio=1)
        columns = {column.label: column for column in outcome.columns}
        missing = {missing.label: missing for missing in outcome.missing}
        for label in outcome.asked:
            if label in columns:
                found = columns[label]
                version = found.version.removeprefix("on ") + ("\nsurrogate*" if found.is_surrogate else "")
                heading = Text(found.name).append(f"\n{version}", style="dim")
            else:
                heading = Text(missing[label].name).append("\nnot run", style="yellow")
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("", justify="right", no_wrap=True)
        for line in outcome.lines:
            cells = [Text(line.title).append(f"\n  {line.remark}", style="dim")]
            for label in outcome.asked:
                answer = line.answers.get(label)
                if answer is None:
                    cells.append(Text("not run", style="yellow"))
                    continue
                cell = Text(answer.shown, style="bold red" if line.is_other(label) else "")
                cells.append(cell.append(f"\n{answer.sign}", style="dim"))
            table.add_row(*cells, Text(line.verdict, style=_STYLES[line.verdict]))
        self._console.print(table)
        notes = [
            "#1a2b3 stands for all rows of an answer, their values, types and order: the same sign, the same rows."
        ]
        notes += [
            f"* {column.name} speaks MongoDB's protocol and is not MongoDB: it shows what dbkit does with the driver, not "
            "what MongoDB would answer. DBKIT_MONGOD=path names a real mongod."
            for column in outcome.columns
            if column.is_surrogate
        ]
        notes.append(
            "A worker is a process and dies by kill -9; in memory it is a thread and dies by an exception."
        )
        notes += [f"{m.name} was not run: {m.reason}" for m in outcome.missing]
        for note in notes:
            self._console.print(Text(note, style="dim"))

    def _differences(self, outcome: Outcome) -> None:
        for line in outcome.differing:
            self._heading(f"differs: {line.title}")
            if line.expected is not None:
                self._console.print(Text(f"plain Python: {line.expected.shown}"))
            told: set[str] = set()
            for label, answer in line.answers.items():
                self._console.print(Text(f"{label}: {answer.shown}"))
                if answer.details and answer.details not in told:
                    told.add(answer.details)
                    self._console.print(Text("\n".join(answer.details.splitlines()[-30:]), style="dim"))

    # -- what else -----------------------------------------------------------------------------------------------------

    def _control(self, outcome: Outcome) -> None:
        self._heading("the control: would a wrong answer be noticed?")
        for control in outcome.control:
            text = Text("caught  ", style="green") if control.by else Text("NOT CAUGHT  ", style="bold red")
            self._console.print(text.append(f"{control.rule}", style="default"))
            for by in control.by:
                self._console.print(Text(f"        {by}", style="dim"))

    def _refusals(self, outcome: Outcome) -> None:
        self._heading("refused, with how to mend it, rather than done by halves")
        for refusal in outcome.refusals:
            table = Table.grid(padding=(0, 1))
            table.add_column(width=7)
            table.add_column(ratio=1)
            state = Text("refused", style="green") if refusal.error else Text("NOT", style="bold red")
            table.add_row(state, Text(refusal.tried, style="bold").append(f"  {refusal.by}", style="dim"))
            table.add_row("", Text(f"{refusal.error}: {refusal.message}".removeprefix(": ")))
            if refusal.hint:
                table.add_row("", Text(f"→ {refusal.hint}", style="cyan"))
            self._console.print(table)

    def _call(self, outcome: Outcome) -> None:
        if not outcome.call:
            return
        self._heading("one call, as SQL and as a pipeline, and both plans")
        self._console.print(Syntax(CALL, "python", background_color="default", word_wrap=True))
        sql = [asked for asked in outcome.call if asked.label != "mongodb"]
        pipelines = [asked for asked in outcome.call if asked.label == "mongodb"]
        sides = [side for side in (sql, pipelines) if side]
        width = self._console.width // len(sides)
        grid = Table.grid()
        grid.add_row(*(Group(*(_panel(asked, width) for asked in side)) for side in sides))
        self._console.print(grid)

    def _costs(self, outcome: Outcome) -> None:
        if not outcome.costs:
            return
        self._heading("what dbkit costs: the client's CPU per call, beside the bare driver's")
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        table.add_column("driver")
        table.add_column("call")
        for heading in ("the driver", "and pydantic", "dbkit", "dbkit ÷ driver"):
            table.add_column(heading, justify="right")
        table.add_column("")
        most = max(cost.ratio for cost in outcome.costs)
        for cost in outcome.costs:
            times = (f"{us:,.0f} µs" for us in (cost.bare_us, cost.validated_us, cost.dbkit_us))
            bar = Text("█" * max(1, round(14 * cost.ratio / most)), style="blue")
            table.add_row(cost.driver, f"{cost.call} × {cost.calls}", *times, f"{cost.ratio:.2f}", bar)
        self._console.print(table)
        note = (
            "The driver gives dicts; with pydantic they become the same validated entities that dbkit returns. Time in the "
            "server is in none of the figures. A small sample: make bench measures properly."
        )
        self._console.print(Text(note, style="dim"))

    def closing(self, outcome: Outcome, written: str) -> None:
        """Say in two lines what came of it."""
        self._console.print()
        stores, questions = len(outcome.columns), sum(line.verdict != "not run" for line in outcome.lines)
        if outcome.exit_code == 1:
            text = Text(f"{len(outcome.differing)} of {questions} questions differ", style="bold red")
            if not outcome.differing:
                text = Text("what should have been noticed or refused was not", style="bold red")
        elif stores > 1:
            text = Text(f"{questions} questions, {stores} stores: the same answers", style="bold green")
        else:
            text = Text(f"{questions} questions, one store: what plain Python says", style="bold green")
        if outcome.missing:
            names = " and ".join(missing.name for missing in outcome.missing)
            text.append(f"; {names} not run", style="bold yellow")
        self._console.print(text.append(f"  ({outcome.seconds:.0f} s)", style="dim"))
        self._console.print(Text(written, style="dim"))


def _lines(console: Console) -> Told:
    started, last = time.monotonic(), ""

    def told(now: str, _done: float = 0, /) -> None:
        nonlocal last
        if now != last:
            last = now
            console.print(Text(f"  {time.monotonic() - started:5.1f} s  {now}"))

    return told


def _panel(asked: Asked, width: int) -> Panel:
    is_json = asked.label == "mongodb"
    text = _pipeline(asked.statement, width - 4) if is_json else _sql(asked.statement)
    code = Syntax(text, "json" if is_json else "sql", background_color="default", word_wrap=True)
    plan = Table.grid(padding=(0, 1))
    for what, found in asked.plan.items():
        plan.add_row(Text(what, style="dim"), Text(found))
    return Panel(Group(code, Rule(style="dim"), plan), title=asked.store.partition(",")[0], width=width)


def _sql(statement: str) -> str:
    text = " ".join(statement.split())
    return re.sub(r" ((?:LEFT OUTER )?JOIN|FROM|WHERE|GROUP BY|HAVING|ORDER BY|LIMIT) ", r"\n\1 ", text)


def _pipeline(statement: str, width: int) -> str:
    try:
        return _fitted(json.loads(statement), width, "")
    except ValueError:  # it was cut, or is no JSON: as it came
        return statement


def _fitted(value: Json, width: int, indent: str, before: int = 0) -> str:
    """Return *value* as JSON that is broken only where a line, with *before* characters on it, would be too long."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + before + len(line) <= width or not isinstance(value, dict | list):
        return line
    deeper = indent + " "
    if isinstance(value, list):
        return _broken("[]", [_fitted(element, width, deeper, 1) for element in value], indent)
    if len(value) == 1:
        ((name, member),) = value.items()
        return f"{{{json.dumps(name)}: {_fitted(member, width, indent, before + len(name) + 6)}}}"
    items = [f"{json.dumps(n)}: {_fitted(m, width, deeper, len(n) + 5)}" for n, m in value.items()]
    return _broken("{}", items, indent)


def _broken(brackets: str, items: list[str], indent: str) -> str:
    return f"{brackets[0]}\n{indent} " + f",\n{indent} ".join(items) + f"\n{indent}{brackets[1]}"
