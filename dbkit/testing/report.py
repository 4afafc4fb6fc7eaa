"""The conformance table: one line a rule, one column a store; as plain text, by rich, and as Markdown."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from dbkit.features import FLAGS
from dbkit.testing.kit import Colour, Rule, StoreInfo
from dbkit.testing.running import Outcome, Status
from dbkit.testing.stores import NotRun

__all__ = ["Column", "Report"]

# The worst first: what a cell shows when the colours differ.
_ORDER: tuple[Status, ...] = ("FAILED", "not run", "refused", "passed")
_STYLES: dict[Status, str] = {"FAILED": "bold red", "not run": "yellow", "refused": "cyan", "passed": "green"}

_INTRODUCTION = """\
Each rule says what an operation means, on every store. It is stated once, in `dbkit.testing`, and ran here in {colours} \
form on"""
_LEGEND = """\
*passed* in all colours; *refused* by the flag that the store answers no to (`Unsupported`, before anything is sent); *not \
run*, and why. What needs a real `mongod` is never counted as passed on a surrogate."""


@dataclass(frozen=True)
class Column:
    """One store in the colours that were run."""

    label: str
    infos: dict[Colour, StoreInfo | NotRun]

    @property
    def heading(self) -> str:
        """The server's own name and version; a surrogate says that it is one."""
        for info in self.infos.values():
            if isinstance(info, StoreInfo):
                return f"{self.label}: {info.server}"
        return f"{self.label}: not run: {self.missing}"

    @property
    def missing(self) -> str | None:
        """Why the store could not be had in one of the colours, or None."""
        return next((i.reason for i in self.infos.values() if isinstance(i, NotRun)), None)


@dataclass(frozen=True)
class Report:
    """What came of all rules on all stores."""

    columns: list[Column]
    rules: list[Rule]
    outcomes: dict[tuple[str, str, Colour], Outcome]
    """By rule's name, column's label and colour."""

    def cell(self, rule: Rule, column: Column) -> tuple[Status, str]:
        """Return the status of a rule on a store, and what stands in brackets behind it."""
        found = {colour: self.outcomes[rule.name, column.label, colour] for colour in column.infos}
        ended = {o.status for o in found.values()}
        worst: Status = next(status for status in _ORDER if status in ended)
        colours = [colour for colour, o in found.items() if o.status == worst]
        whys = dict.fromkeys(found[c].why for c in colours if found[c].why)
        notes = [] if worst == "passed" else list(whys)
        if len(colours) < len(found):
            notes.append(f"{' and '.join(colours)} only")
        return worst, ", ".join(notes)

    def counts(self) -> Counter[Status]:
        """Return how many runs (rule × store × colour) ended in which way."""
        return Counter(outcome.status for outcome in self.outcomes.values())

    def summary(self) -> str:
        """Return one line: how many rules, stores and runs, and how the runs ended."""
        counts = self.counts()
        ended = ", ".join(f"{counts[status]} {status}" for status in reversed(_ORDER))
        return f"{len(self.rules)} rules on {len(self.columns)} stores, {sum(counts.values())} runs: {ended}"

    def failures(self) -> str:
        """Return each failure's traceback under its rule, store and colour."""
        return "\n".join(
            f"{'-' * 110}\n{name} on {label}, {colour}\n{outcome.details}"
            for (name, label, colour), outcome in self.outcomes.items()
            if outcome.status == "FAILED"
        )

    def _sections(self) -> list[tuple[str, list[Rule]]]:
        return [(section, list(rules)) for section, rules in groupby(self.rules, key=lambda r: r.section)]

    def as_text(self) -> str:
        """Return the table in aligned columns."""
        lines = ["conformance on", *(f"  {column.heading}" for column in self.columns), ""]
        rows: list[list[str]] = [["", *(column.label for column in self.columns)]]
        for section, rules in self._sections():
            rows.append([section.upper(), *("" for _ in self.columns)])
            rows.extend([f"  {r.name}", *(_shown(*self.cell(r, c)) for c in self.columns)] for r in rules)
        widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
        lines += ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        return "\n".join([*lines, "", self.summary()])

    def print_rich(self, console: Any) -> None:
        """Print the table by rich, to its *console*."""
        from rich.table import Table

        console.print("conformance on", *(f"  {c.heading}" for c in self.columns), sep="\n", highlight=False)
        table = Table(pad_edge=False, header_style="bold")
        for heading in ("rule", *(column.label for column in self.columns)):
            table.add_column(heading, overflow="fold")
        for section, rules in self._sections():
            table.add_section()
            table.add_row(f"[bold]{section}[/]")
            for rule in rules:
                cells = [self.cell(rule, column) for column in self.columns]
                shown = [f"[{_STYLES[status]}]{_shown(status, note)}[/]" for status, note in cells]
                table.add_row(rule.name.replace("_", " "), *shown)
        console.print(table)
        console.print(self.summary(), highlight=False)

    def as_markdown(self) -> str:
        """Return the page of the docs: the servers, the summary, and a table for each section."""
        colours = sorted({colour for column in self.columns for colour in column.infos})
        lines = [
            "# Conformance",
            "",
            "<!-- Written by `make conformance`; do not edit. -->",
            "",
            _INTRODUCTION.format(colours=" and ".join(colours)),
            "",
            *(f"- {column.heading}" for column in self.columns),
            "",
            f"{self.summary()}.",
            "",
            _LEGEND,
            "",
        ]
        head = "| rule | " + " | ".join(column.label for column in self.columns) + " |"
        for section, rules in self._sections():
            lines += [f"## {section.capitalize()}", "", head, "|---" * (len(self.columns) + 1) + "|"]
            for rule in rules:
                cells = " | ".join(_escaped(_shown(*self.cell(rule, column))) for column in self.columns)
                # The name is what other pages cite, and what `pytest -k` takes.
                lines.append(f"| {_escaped(rule.text)}<br>`{rule.name}` | {cells} |")
            lines.append("")
        refused = {o.why for o in self.outcomes.values() if o.status == "refused"}
        if refused:
            lines += ["## Flags that refused", ""]
            for flag in (f for name, f in FLAGS.items() if name in refused):
                lines.append(f"- `{flag.name}`: {flag.means}.")
                lines += [f"    - {line}" for line in self._answers(flag.name)]
            lines.append("")
        return "\n".join(lines)

    def _answers(self, flag: str) -> list[str]:
        said: list[str] = []
        for column in self.columns:
            info = next((i for i in column.infos.values() if isinstance(i, StoreInfo)), None)
            answer = None if info is None else getattr(info.features, flag)
            if answer is not None and not answer:
                said.append(f"{column.label}: {answer.why}" + (f" ({answer.hint})" if answer.hint else ""))
        return said


def _shown(status: Status, note: str) -> str:
    return f"{status} ({note})" if note else status


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
