"""The figure: who agrees with whom, and what it costs, as one PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .outcome import Line, Outcome

__all__ = ["draw"]

_COLOURS = {"same": "#d8f0dd", "DIFFERS": "#f8c9c4", "not run": "#f3efd9"}
_INK, _DIM = "#222222", "#777777"


def draw(outcome: Outcome, path: Path) -> None:
    """Write the figure to *path*."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    heights = [0.42 * (len(outcome.lines) + 1.6), 0.34 * len(outcome.costs) + 1.1 if outcome.costs else 0.01]
    figure, (table, bars) = plt.subplots(
        2, 1, figsize=(11, sum(heights) + 1.5), height_ratios=heights, layout="constrained"
    )
    figure.suptitle(f"\n{_title(outcome)}", fontsize=14, fontweight="bold", color=_INK)
    _draw_table(table, outcome)
    if outcome.costs:
        _draw_costs(bars, outcome)
    else:
        bars.axis("off")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, facecolor="white")
    plt.close(figure)


def _title(outcome: Outcome) -> str:
    count = len(outcome.columns)
    said = "the same answers" if not outcome.differing else f"{len(outcome.differing)} answers differ"
    return f"One program, {count} store{'s' if count != 1 else ''}: {said}"


def _draw_table(axes: Any, outcome: Outcome) -> None:
    rows, columns = len(outcome.lines), len(outcome.asked)
    left = 2.6
    axes.set_xlim(0, left + columns)
    axes.set_ylim(rows + 0.3, -1.4)
    axes.axis("off")
    named = {column.label: column for column in outcome.columns}
    missing = {missing.label: missing for missing in outcome.missing}
    for place, label in enumerate(outcome.asked):
        middle = left + place + 0.5
        found = named.get(label)
        name = found.name if found else missing[label].name
        below = found.version.removeprefix("on ") if found else "not run"
        if found and found.is_surrogate:
            below += ", a surrogate:\nit is not MongoDB"
        axes.text(middle, -0.95, name, ha="center", va="center", fontsize=11, fontweight="bold", color=_INK)
        axes.text(middle, -0.68, below, ha="center", va="top", fontsize=8, color=_DIM)
    for row, line in enumerate(outcome.lines):
        axes.text(0, row + 0.35, line.title, ha="left", va="center", fontsize=10, color=_INK)
        axes.text(0, row + 0.7, line.remark, ha="left", va="center", fontsize=7.5, color=_DIM)
        for place, label in enumerate(outcome.asked):
            _draw_cell(axes, line, label, left + place, row)


def _draw_cell(axes: Any, line: Line, label: str, x: float, y: float) -> None:
    from matplotlib.patches import Rectangle

    answer = line.answers.get(label)
    state = "not run" if answer is None else "DIFFERS" if line.is_other(label) else "same"
    axes.add_patch(Rectangle((x + 0.03, y + 0.08), 0.94, 0.84, color=_COLOURS[state]))
    shown, sign = (answer.shown, answer.sign) if answer else ("not run", "")
    axes.text(x + 0.5, y + (0.36 if sign else 0.5), shown, ha="center", va="center", fontsize=9.5, color=_INK)
    axes.text(x + 0.5, y + 0.7, sign, ha="center", va="center", fontsize=7.5, family="monospace", color=_DIM)


def _draw_costs(axes: Any, outcome: Outcome) -> None:
    labels = [f"{cost.driver}\n{cost.call}, {cost.calls} calls" for cost in outcome.costs]
    ratios = [cost.ratio for cost in outcome.costs]
    places = range(len(ratios))
    floors = [cost.validated_us / cost.bare_us for cost in outcome.costs]
    axes.barh(places, floors, color="#d5deee", height=0.78, label="the driver and pydantic")
    axes.barh(places, ratios, color="#6b8fc9", height=0.42, label="dbkit")
    axes.axvline(1, color=_INK, linewidth=1, label="the bare driver")
    axes.set_yticks(places, labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, max([*ratios, *floors, 1]) * 1.3)
    for place, cost in enumerate(outcome.costs):
        text = f"{cost.ratio:.2f} ×  ({cost.dbkit_us:,.0f} µs; the driver {cost.bare_us:,.0f} µs)"
        axes.text(max(cost.ratio, floors[place]), place, f"  {text}", va="center", fontsize=8, color=_INK)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    axes.set_xlabel(
        "CPU of the client per call, the bare driver = 1; a small sample, the server's time is in none",
        fontsize=8,
        color=_DIM,
    )
    axes.tick_params(axis="x", labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
