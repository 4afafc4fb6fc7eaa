"""What was measured, as a table on the terminal, as JSON, and as the docs' page."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .registry import CONTENDERS, Entry
from .runner import Cores, Measured
from .titles import STORE_TITLES
from .workloads import BARS, BY_NAME, WORKLOADS

__all__ = [
    "Ratio",
    "machine",
    "page",
    "ratio",
    "ratios",
    "show",
    "show_growth",
    "store_result",
    "with_table",
    "write",
]

_VERSIONS = ("dbkit-stores", "pydantic", "sqlalchemy", "psycopg", "asyncpg", "aiosqlite", "pymongo")

Result = dict[str, Any]


class Ratio:
    """Ratios of several repeats: their median, and the middle half of them."""

    def __init__(self, values: Iterable[float]) -> None:
        self.values = sorted(values)
        self.median = statistics.median(self.values)
        if len(self.values) >= 3:
            quarters = statistics.quantiles(self.values, n=4, method="inclusive")
            self.low, self.high = quarters[0], quarters[2]
        else:
            self.low, self.high = self.values[0], self.values[-1]

    def holds(self, bar: float) -> bool:
        """Whether the median, as it is shown, is not over the bar."""
        return round(self.median, 2) <= bar

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}–{self.high:.2f})"


def ratio(times: Mapping[str, list[float | None]], name: str, floor: str) -> Ratio | None:
    """Return the ratios of two contenders within each repeat."""
    pairs = zip(times.get(name, []), times.get(floor, []), strict=False)
    values = [a / b for a, b in pairs if a is not None and b]
    return Ratio(values) if values else None


def store_result(measured: Measured, server: str, stand_in: str | None, replayed: Any) -> Result:
    """Return what was measured on one store, as JSON has it."""
    return {
        "server": server,
        "stand_in": stand_in,
        "replayed": replayed,
        "calls": measured.calls,
        "cpu_s": measured.cpu,
        "wall_s": measured.wall,
        "failed": measured.failed,
    }


def machine(cores: Cores, settings: Mapping[str, Any]) -> Result:
    """Return what the figures belong to."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.partition(":")[2].strip()
            for line in cpuinfo.read_text().splitlines()
            if "model name" in line
        ]
        model = names[0] if names else model
    peers = sorted({entry.package for entry in CONTENDERS if entry.package})
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": model,
        "cores": os.cpu_count(),
        "pinned": cores.client is not None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": {name: _version(name) for name in dict.fromkeys((*_VERSIONS, *peers))},
        "settings": dict(settings),
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _took_part(result: Result) -> list[Entry]:
    names = {name for row in result["cpu_s"].values() for name in row}
    return [entry for entry in CONTENDERS if entry.name in names]


def ratios(result: Result, kind: str = "cpu_s") -> dict[str, dict[str, Ratio]]:
    """Return, by workload and contender, the time divided by that of the floor of the contender's colour."""
    found: dict[str, dict[str, Ratio]] = {}
    for workload in WORKLOADS:
        times = result[kind].get(workload.name)
        if times:
            each = {entry.name: ratio(times, entry.name, entry.floor) for entry in _took_part(result)}
            found[workload.name] = {name: value for name, value in each.items() if value is not None}
    return found


# -- the terminal ----------------------------------------------------------------------------------------------------------


def show(result: Result, store: str, console: Console) -> None:
    """Print one store's ratios: of client CPU, and, where the server is no stand-in, of the wall's clock."""
    for kind, title in _KINDS.items():
        if kind == "cpu_s" or not result["stand_in"]:
            console.print(_shown_table(result, store, kind, title))
    if result["stand_in"]:
        console.print(result["stand_in"], style="yellow")
    for name, why in result["failed"].items():
        console.print(f"failed: {name}: {why.splitlines()[0]}", style="red")


_KINDS = {"cpu_s": "client CPU", "wall_s": "wall time"}


def _shown_table(result: Result, store: str, kind: str, title: str) -> Table:
    table = Table(
        title=f"{STORE_TITLES[store]}: {title} ÷ the floor's (asynchronous: ÷ the asynchronous floor's), the median; of dbkit half the distance between the quarters",
        caption=result["server"],
    )
    found = ratios(result, kind)
    table.add_column("", no_wrap=True)
    for workload in found:
        table.add_column(workload.replace("_", " "), justify="right")
    for entry in _took_part(result):
        is_ours = entry.name.startswith("dbkit")
        cells: list[str] = []
        for workload, row in found.items():
            value = row.get(entry.name)
            bar = BARS.get((store, entry.is_async), {}).get(workload) if kind == "cpu_s" else None
            text = "–" if value is None else f"{value.median:.2f}"
            if value is not None and is_ours:
                text = f"{text}\n±{(value.high - value.low) / 2:.2f}"
            if value is not None and is_ours and bar is not None:
                text = f"[{'green' if value.holds(bar) else 'red'}]{text}[/]"
            cells.append(text)
        table.add_row(entry.name.replace("_", " "), *cells, style="bold" if is_ours else "")
    return table


def show_growth(growth: Result, console: Console) -> None:
    """Print how cost grows."""
    for title, _, head, rows in growth["tables"]:
        table = Table(title=title)
        table.add_column(head[0], no_wrap=True)
        for name in head[1:]:
            table.add_column(name, justify="right")
        for row in rows:
            table.add_row(*row)
        console.print(table)


# -- the docs' page --------------------------------------------------------------------------------------------------------

_HEAD = """# Performance

Made by `{command}` from [`performance.json`](performance.json): not edited by hand. `make bench` makes the same
tables and pictures on any machine, in {took} or so on this one.

**Measured** {date} on {processor} ({cores} cores), {system}, {python}. {pinning} Versions: {versions}.

## What is compared

The processor time of the *client*, the program that uses the store: what a library costs beside the driver that it stands
on. *The floor* is the driver with one held connection, statements written by hand, rows as dicts, and one pydantic validation
of plain models for all rows of a call, read or written; *raw* is the same without the validation. dbkit has its pool, and does all that it
promises. The peers are used as their documentation has it for speed: statements built once, bulk calls, nothing expired on
commit, single statements in autocommit, dicts where they offer them.

All read the same tables with the same indexes ({users:,} users, {posts:,} posts), and what each returned was compared with
what the data say before anything was timed. Each contender is a process of its own; short batches run in an order that is
shuffled anew in each of {repeats} repeats (those of 10,000 rows and more in the first {long_repeats}). A figure is the median
of the ratios within one repeat, in brackets the middle half of them: 1 is the floor, less is better. Asynchronous contenders
are divided by the asynchronous floor.

The floor's models are plain ones, made for reading. dbkit's own entities also check what they are given (no naive datetime,
whole milliseconds, no NUL), which a floor that validated by them would pay for each row: the line *the driver + dbkit's
entities* shows that floor, and dbkit is not compared with it.

Where a `≤` stands behind dbkit's figure, it is the bar that the project set itself; **bold** is over it, in the digits shown.
"""


def page(results: Result) -> str:
    """Return the page."""
    about = results["machine"]
    settings = about["settings"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items() if version)
    pinning = (
        "The contenders had one core, the servers the other."
        if about["pinned"]
        else "Nothing was pinned to a core."
    )
    minutes = max(1, round(about.get("took_s", 60) / 60))
    command = "make bench BENCH_ARGS='--docs" + (" --quick'" if settings["quick"] else "'")
    values = {**about, **settings, "versions": versions, "pinning": pinning, "command": command}
    parts = [_HEAD.format(**values, took=f"{minutes} minute{'s' if minutes > 1 else ''}")]
    if settings["quick"]:
        parts.append("!!! note\n    These are the figures of a quick run: fewer rows and repeats.\n")
    # Where parts of the JSON were measured apart.
    parts += [f"!!! note\n    {note}\n" for note in about.get("notes", ())]
    for store, result in results["stores"].items():
        parts.append(_store(store, result))
    for store, why in results["not_run"].items():
        parts.append(f"## {STORE_TITLES[store]}\n\nNot run: {why}\n")
    if results["growth"]:
        mongodb = results["stores"].get("mongodb", {"stand_in": True})
        parts.append(_growth(results["growth"], is_stand_in=bool(mongodb["stand_in"])))
    # What failed of one contender stands under its store.
    failed = {
        name: why
        for name, why in results["failed"].items()
        if name in STORE_TITLES or name.startswith("growth")
    }
    if failed:
        parts.append(
            "\n".join([f"- failed: {name}: {why.splitlines()[0]}" for name, why in failed.items()]) + "\n"
        )
    return "\n".join(parts)


def _store(store: str, result: Result) -> str:
    lines = [f"## {STORE_TITLES[store]}", "", f"{result['server']}.", ""]
    if result["stand_in"]:
        lines += [f"**A stand-in.** {result['stand_in']}", ""]
    title = STORE_TITLES[store]
    lines += [f"![Client CPU of each contender on {title}](img/performance-{store}.png)", ""]
    entries = _took_part(result)
    for is_async in (False, True):
        each = [entry for entry in entries if entry.is_async == is_async]
        if each:
            lines += [
                f"### {'Asynchronous' if is_async else 'Synchronous'}",
                "",
                *_table(store, result, each, is_async),
                "",
            ]
            if not result["stand_in"]:
                lines += ["By the wall's clock, the server's work and the way to it included:", ""]
                lines += [*_table(store, result, each, is_async, "wall_s"), ""]
            for entry in each:
                if store in entry.notes:
                    lines += [f"{entry.label} {entry.notes[store]}", ""]
    if result["failed"]:
        lines += ["What failed, and why:", ""]
        lines += [f"- {_titled(name)}: {why.splitlines()[0]}" for name, why in result["failed"].items()]
        lines.append("")
    return "\n".join(lines)


def _titled(name: str) -> str:
    contender, _, workload = name.partition(".")
    label = next(entry.label for entry in CONTENDERS if entry.name == contender)
    return f"{label}, {BY_NAME[workload].title}" if workload in BY_NAME else label


def _table(
    store: str, result: Result, entries: list[Entry], is_async: bool, kind: str = "cpu_s"
) -> list[str]:
    found = ratios(result, kind)
    floor = "floor_async" if is_async else "floor"
    shown = [entry for entry in entries if entry.name != floor]
    labels = [entry.label.removesuffix(" (async)") for entry in shown]
    lines = [
        "| workload | the floor, µs a call | " + " | ".join(labels) + " |",
        "|---|" + "---:|" * (len(shown) + 1),
    ]
    for workload, row in found.items():
        times = [time for time in result[kind][workload].get(floor, []) if time is not None]
        bar = BARS.get((store, is_async), {}).get(workload) if kind == "cpu_s" else None
        cells = [f"{statistics.median(times) * 1e6:,.0f}" if times else "–"]
        for entry in shown:
            value = row.get(entry.name)
            if value is None:
                cells.append("–")
            elif entry.name.startswith("dbkit"):
                text = f"{value} ≤ {bar:g}" if bar is not None else str(value)
                cells.append(f"**{text}**" if bar is not None and not value.holds(bar) else text)
            else:
                cells.append(str(value))
        lines.append(f"| {BY_NAME[workload].title} | " + " | ".join(cells) + " |")
    return lines


_STAND_IN = (
    "**MongoDB here is a stand-in.** Its time a row is that of replayed replies, and the first calls and the memory of different "
    "queries are on the surrogate server itself: what they show is the client's. Pages, workers and memory of `iterate` are not "
    "measured on it: how far in a page is, and how many ask at once, is work of the server's, and the stand-in's says nothing of "
    "MongoDB's."
)


def _growth(growth: Result, *, is_stand_in: bool) -> str:
    lines = ["## As work grows", "", "![Cost as work grows](img/performance-growth.png)", ""]
    if is_stand_in and any("MongoDB" in label for panel in growth["panels"] for label in panel["lines"]):
        lines += [_STAND_IN, ""]
    for title, about, head, rows in growth["tables"]:
        lines += [f"### {title}", "", about, ""]
        lines += ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
        lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
        lines.append("")
    return "\n".join(lines)


# -- the README's table ----------------------------------------------------------------------------------------------------

_BEGIN, _END = "<!-- performance: begin (make bench BENCH_ARGS=--docs) -->", "<!-- performance: end -->"
_SHORT = ("get", "page", "posts", "create", "stats", "bulk")
_SHORT_OF = (
    "dbkit",
    "sqlalchemy_core",
    "sqlalchemy_orm",
    "sqlmodel",
    "peewee",
    "mongoengine",
    "beanie",
    "dbkit_async",
)


def with_table(text: str, results: Result) -> str:
    """Return *text*, the README's, with the short table between its marks as *results* have it."""
    before, _, rest = text.partition(_BEGIN)
    _, mark, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n\n{_short(results)}\n\n{_END}{after}" if mark else text


def _short(results: Result) -> str:
    lines = [
        "| client CPU ÷ the floor | " + " | ".join(BY_NAME[name].title for name in _SHORT) + " |",
        "|---|" + "---:|" * len(_SHORT),
    ]
    for store, result in results["stores"].items():
        found = ratios(result)
        for entry in _took_part(result):
            # MongoDB's best known peer is asynchronous: dbkit's figures stand beside it.
            if entry.name in _SHORT_OF and (entry.name != "dbkit_async" or store == "mongodb"):
                cells = [found.get(name, {}).get(entry.name) for name in _SHORT]
                shown = [f"{cell.median:.2f}" if cell else "–" for cell in cells]
                label = f"{entry.label}, {STORE_TITLES[store]}" + ("\\*" if result["stand_in"] else "")
                if entry.name.startswith("dbkit"):
                    label, shown = f"**{label}**", [f"**{cell}**" for cell in shown]
                lines.append(f"| {label} | " + " | ".join(shown) + " |")
    about = results["machine"]
    quick = " A quick run." if about["settings"]["quick"] else ""
    lines += [
        "",
        f"{about['date'][:10]}, {about['processor']}, {about['python']}.{quick} (async): ÷ the asynchronous floor.",
    ]
    if any(result["stand_in"] for result in results["stores"].values()):
        lines[-1] += (
            " \\* The client's cost alone: recorded replies of a surrogate server that speaks MongoDB's wire protocol, "
            "replayed by a proxy."
        )
    return "\n".join(lines)


def write(path: Path, results: Result) -> None:
    """Write the JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
