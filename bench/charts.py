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
from .report import STORE_TITLES, ratios
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
        floor = "floor_async" if is_async else "floor"
        entries = [
            e
            for e in CONTENDERS
            if e.is_async == is_async and e.name in names and e.name != floor and not e.name.startswith("raw")
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
        panel.legend(fontsize=8, ncols=4, loc="upper left")
        low, high = panel.get_ylim()
        panel.set_ylim(low, high * 3)
    note = " (replies of a stand-in, replayed)" if result["stand_in"] else ""
    figure.suptitle(f"{STORE_TITLES[store]}: client CPU beside the floor's, less is better{note}")
    figure.savefig(path, dpi=110)
    plot.close(figure)


def growth_chart(growth: dict[str, Any], path: Path) -> None:
    """Draw the lines of `bench.growth`, a panel for each question."""
    plot: Any = plt
    panels = growth["panels"]
    figure, axes = plot.subplots(1, len(panels), figsize=(5 * len(panels), 4.5), layout="constrained")
    for panel, about in zip(axes, panels, strict=True):
        for label, points in about["lines"].items():
            style = "-" if label.startswith("dbkit") else "--"
            panel.plot(
                [x for x, _ in points], [y for _, y in points], style, marker="o", markersize=4, label=label
            )
        panel.set_xscale("log")
        if about.get("log", True):
            panel.set_yscale("log")
        else:
            panel.set_ylim(bottom=0)
        panel.set_xlabel(about["x"])
        panel.set_ylabel(about["y"])
        panel.set_title(about["title"], fontsize=10)
        panel.grid(alpha=0.3)
        panel.legend(fontsize=7)
    figure.savefig(path, dpi=110)
    plot.close(figure)
