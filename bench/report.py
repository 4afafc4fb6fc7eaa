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
from .workloads import BARS, BY_NAME, WORKLOADS

__all__ = ["Ratio", "machine", "page", "ratio", "ratios", "show", "store_result"]

STORE_TITLES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mongodb": "MongoDB"}
_VERSIONS = ("dbkit-stores", "pydantic", "sqlalchemy", "psycopg", "aiosqlite", "pymongo")

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
        "left_out": measured.left_out,
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
    """Print one store's ratios of client CPU."""
    table = Table(
        title=f"{STORE_TITLES[store]}: client CPU ÷ the floor's of the same colour", caption=result["server"]
    )
    found = ratios(result)
    table.add_column("", no_wrap=True)
    for workload in found:
        table.add_column(workload.replace("_", " "), justify="right")
    for entry in _took_part(result):
        is_ours = entry.name.startswith("dbkit")
        cells: list[str] = []
        for workload, row in found.items():
            value = row.get(entry.name)
            bar = BARS.get((store, entry.is_async), {}).get(workload)
            text = "–" if value is None else f"{value.median:.2f}"
            if value is not None and is_ours and bar is not None:
                text = f"[{'green' if value.median <= bar else 'red'}]{text}[/]"
            cells.append(text)
        table.add_row(entry.name.replace("_", " "), *cells, style="bold" if is_ours else "")
    console.print(table)
    if result["stand_in"]:
        console.print(result["stand_in"], style="yellow")
    for name, why in result["left_out"].items():
        console.print(f"left out: {name}: {why.splitlines()[0]}", style="yellow")


# -- the docs' page --------------------------------------------------------------------------------------------------------

_HEAD = """# Performance

Made by `make bench` from [`performance.json`](performance.json): do not edit by hand.

**Measured** {date} on {processor} ({cores} cores), {system}, {python}. {pinning} Versions: {versions}.

What is compared is the processor time of the *client*, the program that uses the store: what a library costs beside the driver
that it stands on. Each contender is a process of its own; short batches run in an order that is shuffled anew in each of
{repeats} repeats; a figure is the median over the repeats of the ratio within one repeat, in brackets the middle half of them.

*The floor* is the driver with one held connection, hand-written statements, rows as dicts, and one pydantic validation of plain
models for all rows of a call. *raw* is the same without the validation. dbkit has its pool, and does all that it
promises. Every contender reads the same tables and returns results that were compared with the data; each is used as
its documentation has it for speed: statements prepared, bulk calls, nothing expired on commit, dicts where it
offers them. Asynchronous contenders are divided by the asynchronous floor.

Where a `≤` stands behind dbkit's figure, it is the bar that the project set itself; **bold** is over it.
"""


def page(results: Result, growth: Result | None) -> str:
    """Return the page."""
    about = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items() if version)
    pinning = (
        "The contenders had one core, the servers the other."
        if about["pinned"]
        else "Nothing was pinned to a core."
    )
    values = {**about, "versions": versions, "pinning": pinning, "repeats": about["settings"]["repeats"]}
    parts = [_HEAD.format(**values)]
    if about["settings"].get("quick"):
        parts.append(
            "These are the figures of a quick run (`make bench BENCH_ARGS=--quick`): fewer rows and repeats.\n"
        )
    for store, result in results["stores"].items():
        parts.append(_store(store, result))
    for store, why in results["not_run"].items():
        parts.append(f"## {STORE_TITLES[store]}\n\nNot run: {why}\n")
    if growth is not None:
        parts.append(_growth(growth))
    return "\n".join(parts)


def _store(store: str, result: Result) -> str:
    lines = [f"## {STORE_TITLES[store]}", "", f"{result['server']}.", ""]
    if result["stand_in"]:
        lines += [f"**A stand-in.** {result['stand_in']}", ""]
    lines += [f"![Contenders on {STORE_TITLES[store]}](performance-{store}.png)", ""]
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
    if result["left_out"]:
        lines += ["What is missing, and why:", ""]
        lines += [f"- {_titled(name)}: {why.splitlines()[0]}" for name, why in result["left_out"].items()]
        lines.append("")
    return "\n".join(lines)


def _titled(name: str) -> str:
    contender, _, workload = name.partition(".")
    label = next(entry.label for entry in CONTENDERS if entry.name == contender)
    return f"{label}, {BY_NAME[workload].title}" if workload in BY_NAME else label


def _table(store: str, result: Result, entries: list[Entry], is_async: bool) -> list[str]:
    found = ratios(result)
    floor = "floor_async" if is_async else "floor"
    shown = [entry for entry in entries if entry.name != floor]
    labels = [entry.label.removesuffix(" (async)") for entry in shown]
    lines = [
        "| workload | the floor, µs a call | " + " | ".join(labels) + " |",
        "|---|" + "---:|" * (len(shown) + 1),
    ]
    for workload, row in found.items():
        times = [time for time in result["cpu_s"][workload].get(floor, []) if time is not None]
        bar = BARS.get((store, is_async), {}).get(workload)
        cells = [f"{statistics.median(times) * 1e6:,.0f}" if times else "–"]
        for entry in shown:
            value = row.get(entry.name)
            if value is None:
                cells.append("–")
            elif entry.name.startswith("dbkit"):
                text = f"{value} ≤ {bar:g}" if bar is not None else str(value)
                cells.append(f"**{text}**" if bar is not None and value.median > bar else text)
            else:
                cells.append(f"{value.median:.2f}")
        lines.append(f"| {BY_NAME[workload].title} | " + " | ".join(cells) + " |")
    return lines


def _growth(growth: Result) -> str:
    lines = ["## As work grows", "", "![Cost as work grows](performance-growth.png)", ""]
    for title, about, head, rows in growth["tables"]:
        lines += [f"### {title}", "", about, ""]
        lines += ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
        lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
        lines.append("")
    return "\n".join(lines)


def write(path: Path, results: Result) -> None:
    """Write the JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
