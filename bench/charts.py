"""The pictures: for each store the contenders against the workloads, the floor as a line; and cost as work grows."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, NullFormatter

from .registry import CONTENDERS
from .report import ratios
from .titles import STORE_TITLES
from .workloads import BY_NAME

__all__ = ["growth_chart", "store_chart"]

_OURS = "#c2410c"
_GREYS = ("#1e3a5f", "#3b6ea5", "#7aa6cf", "#5b8a72", "#93b7a3", "#8d7aa8", "#b9aacd", "#777777")


def _plain(value: float, _: int) -> str:
    return f"{value:g}"


def store_chart(store: str, result: dict[str, Any], path: Path) -> None:
    """Draw one store: a panel for each colour, a group of bars for each workload, on a logarithmic scale."""
    found = ratios(result)
    names = {name for row in found.values() for name in row}
    plot: Any = plt
    figure, panels = plot.subplots(2, 1, figsize=(13, 9), layout="constrained")
    for panel, is_async in zip(panels, (False, True), strict=True):
        entries = [
            e
            for e in CONTENDERS
            if e.is_async == is_async and e.name in names and (e.is_peer or e.name.startswith("dbkit"))
        ]
        width = 0.8 / max(1, len(entries))
        greys = iter(_GREYS)
        for position, entry in enumerate(entries):
            is_ours = entry.name.startswith("dbkit")
            at = [
                n - 0.4 + (position + 0.5) * width
                for n, row in enumerate(found.values())
                if entry.name in row
            ]
            values = [row[entry.name] for row in found.values() if entry.name in row]
            heights = [value.median for value in values]
            spread = [[v.median - v.low for v in values], [v.high - v.median for v in values]]
            panel.bar(
                at,
                [height - 1 for height in heights],
                width,
                bottom=1,
                yerr=spread,
                label=entry.label.removesuffix(" (async)"),
                color=_OURS if is_ours else next(greys),
                error_kw={"elinewidth": 0.7, "ecolor": "#333333"},
            )
        panel.axhline(1, color="black", linewidth=1.2)
        panel.annotate("the floor", (0.005, 1.05), xycoords=("axes fraction", "data"), fontsize=8)
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter(FuncFormatter(_plain))
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.set_yticks([0.1, 0.2, 0.5, 1, 2, 5, 10, 20])
        titles = ["\n".join(textwrap.wrap(BY_NAME[name].title, 12)) for name in found]
        panel.set_xticks(range(len(found)), titles, fontsize=9)
        panel.set_xlim(-1.1, len(found) - 0.4)
        panel.set_ylabel("client CPU ÷ floor")
        panel.set_title("asynchronous" if is_async else "synchronous", loc="left", fontsize=10)
        panel.grid(axis="y", alpha=0.3)
        if entries:
            panel.legend(fontsize=8, ncols=4, loc="upper left")
        low, high = panel.get_ylim()
        panel.set_ylim(low, high * 3)
    note = " (MongoDB wire protocol, surrogate server, replies replayed)" if result["stand_in"] else ""
    figure.suptitle(f"{STORE_TITLES[store]}: client CPU beside the floor's, less is better{note}")
    figure.savefig(path, dpi=110)
    plot.close(figure)


def _thousands(value: float, _: int) -> str:
    return f"{value:,.0f}"


_COLOURS = {"SQLite": "#c2410c", "PostgreSQL": "#1e5a8a", "MongoDB": "#3f7d4f"}
_STEPS = (("import", "#9db8d2"), ("open", "#3b6ea5"), ("first get", "#c2410c"))


def growth_chart(growth: dict[str, Any], path: Path) -> None:
    """Draw the lines of `bench.growth`, a panel for each question, and the first calls as bars."""
    plot: Any = plt
    panels = growth["panels"]
    number = len(panels) + ("first" in growth)
    rows = -(-number // 3)
    figure, axes = plot.subplots(rows, 3, figsize=(16, 4.6 * rows), layout="constrained", squeeze=False)
    places = iter(axes.flat)
    for about, panel in zip(panels, places, strict=False):
        _lines(panel, about)
    if "first" in growth:
        _first_calls(next(places), growth["first"])
    for panel in places:
        panel.axis("off")
    figure.suptitle("As work grows")
    figure.savefig(path, dpi=100)
    plot.close(figure)


def _lines(panel: Any, about: dict[str, Any]) -> None:
    for label, points in about["lines"].items():
        is_second = any(word in label for word in ("floor", "offset", "tasks"))
        panel.plot(
            [x for x, _ in points],
            [y for _, y in points],
            "--" if is_second else "-",
            color=_COLOURS.get(label.rpartition(", ")[2]),
            marker="o",
            markersize=4,
            label=label,
        )
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter(FuncFormatter(_thousands))
    if about["log"]:
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter(FuncFormatter(_plain))
        panel.yaxis.set_minor_formatter(FuncFormatter(_plain))
        panel.tick_params(axis="y", which="minor", labelsize=6)
    else:
        panel.yaxis.set_major_formatter(FuncFormatter(_thousands))
        highest = max(y for points in about["lines"].values() for _, y in points)
        panel.set_ylim(0, max(10, highest * 1.25))
    panel.set_xlabel(about["x"])
    panel.set_ylabel(about["y"])
    panel.set_title(about["title"], fontsize=10)
    panel.grid(alpha=0.3)
    panel.legend(fontsize=7)


def _first_calls(panel: Any, first: dict[str, list[tuple[str, list[float]]]]) -> None:
    bars = [
        (f"{label}, {STORE_TITLES[store]}", steps) for store, found in first.items() for label, steps in found
    ]
    bars.reverse()
    left = [0.0] * len(bars)
    for place, (step, colour) in enumerate(_STEPS):
        widths = [steps[place] for _, steps in bars]
        panel.barh(range(len(bars)), widths, left=left, color=colour, label=step)
        left = [before + width for before, width in zip(left, widths, strict=True)]
    panel.set_yticks(range(len(bars)), [label for label, _ in bars], fontsize=6)
    panel.set_xlabel("ms (CPU)")
    panel.set_title("First call of a program, the interpreter being up", fontsize=10)
    panel.grid(axis="x", alpha=0.3)
    panel.legend(fontsize=7)
