"""dbkit's ratios beside the bars, of one run or of several beside each other: what scatters from run to run is seen.

`python -m bench.bars bench-output/performance.json [another.json …]` prints a Markdown table.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from .report import ratios
from .titles import STORE_TITLES
from .workloads import BARS, BY_NAME

__all__ = ["main", "table"]


def table(runs: list[dict[str, Any]]) -> list[str]:
    """Return the table's lines: a row for each store, colour and workload."""
    found = [{store: ratios(result) for store, result in run["stores"].items()} for run in runs]
    heads = [f"run of {run['machine']['date']}" for run in runs]
    lines = ["| store | workload | bar | " + " | ".join(heads) + " |", "|---|---|---:|" + "---:|" * len(runs)]
    for store in found[0]:
        for name, is_async in (("dbkit", False), ("dbkit_async", True)):
            bars = BARS.get((store, is_async), {})
            for workload in found[0][store]:
                cells: list[str] = []
                bar = bars.get(workload)
                for run in found:
                    value = run.get(store, {}).get(workload, {}).get(name)
                    is_over = value is not None and bar is not None and not value.holds(bar)
                    cells.append("–" if value is None else f"**{value}**" if is_over else str(value))
                title = STORE_TITLES[store] + (", async" if is_async else "")
                shown = "" if bar is None else f"{bar:g}"
                lines.append(f"| {title} | {BY_NAME[workload].title} | {shown} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Print it."""
    print("\n".join(table([json.loads(Path(path).read_text()) for path in sys.argv[1:]])))


if __name__ == "__main__":
    main()
