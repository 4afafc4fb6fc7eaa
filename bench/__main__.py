"""`python -m bench`: measures, prints the tables, and writes JSON, pictures and the docs' page."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from . import report
from .data import Data
from .registry import STORES, of_store
from .runner import Cores, measure
from .stores import NotRun, opened
from .workloads import WORKLOADS

__all__ = ["main"]

_ROOT = Path(__file__).parent.parent


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="dbkit beside the bare driver and its peers"
    )
    parser.add_argument("--quick", action="store_true", help="fewer rows and repeats: under two minutes")
    parser.add_argument("--stores", default=",".join(STORES), help="of: %(default)s")
    parser.add_argument("--contenders", help="their names, with commas between; default: all")
    parser.add_argument("--workloads", help="their names, with commas between; default: all")
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--no-growth", action="store_true", help="leave out how cost grows with work")
    parser.add_argument(
        "--json", type=Path, default=Path("bench-output/performance.json"), help="default: %(default)s"
    )
    parser.add_argument("--charts", type=Path, help="the folder of the pictures; default: that of the JSON")
    parser.add_argument(
        "--docs", action="store_true", help="write the docs' page, its JSON and its pictures as well"
    )
    parser.add_argument("--page", type=Path, help="measure nothing: make the docs' page of this JSON")
    return parser.parse_args()


def main() -> int:
    """Run it; 1 where a contender returned what the data do not say, 2 where a server could not be started."""
    asked = _arguments()
    console = Console()
    if not console.is_terminal:
        console = Console(width=130)
    if asked.page:
        _publish(json.loads(asked.page.read_text()), _ROOT / "docs")
        return 0
    if asked.docs:
        asked.json = _ROOT / "docs" / "performance.json"
    results = _measured(asked, console)
    folder: Path = asked.charts or asked.json.parent
    report.write(asked.json, results)
    _pictures(results, folder)
    if asked.docs:
        _publish(results, _ROOT / "docs")
    console.print(f"written: {asked.json}, and the pictures in {folder}")
    wrong = [
        line
        for each in results["stores"].values()
        for line in each["left_out"].values()
        if "data say" in line
    ]
    return 1 if wrong else 2 if results["not_run"] else 0


@contextmanager
def _telling(console: Console, line: str) -> Generator[Callable[[str], None]]:
    """Say how far it is: in one line that changes on a terminal, else once a repeat."""
    if not console.is_terminal:
        yield lambda line: console.print(line) if "repeat" in line or line.startswith("growth") else None
        return
    with console.status(line) as status:
        yield status.update


def _measured(asked: argparse.Namespace, console: Console) -> dict[str, Any]:
    quick: bool = asked.quick
    repeats: int = asked.repeats or (3 if quick else 7)
    settings: dict[str, Any] = {
        "quick": quick,
        "repeats": repeats,
        "users": 2_000,
        "posts": 10_000 if quick else 100_000,
        "batch_s": 0.01 if quick else 0.04,
    }
    cores = Cores.find()
    started = time.monotonic()
    data = Data(settings["users"], settings["posts"])
    case = data.case()
    results: dict[str, Any] = {
        "machine": report.machine(cores, settings),
        "stores": {},
        "not_run": {},
        "growth": None,
    }
    wanted = asked.contenders.split(",") if asked.contenders else None
    workloads = [w for w in WORKLOADS if not asked.workloads or w.name in asked.workloads.split(",")]
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    log_path = Path("bench-output") / "bench.log"
    log_path.parent.mkdir(exist_ok=True)
    with log_path.open("wb") as log:
        for store in asked.stores.split(","):
            entries = [entry for entry in of_store(store) if not wanted or entry.name in wanted]
            with _telling(console, f"{store}: starting and filling it") as tell:
                try:
                    with opened(store, data, cores) as target:
                        measured = measure(
                            store,
                            entries,
                            target.urls_of,
                            case,
                            repeats=repeats,
                            target_s=settings["batch_s"],
                            long_repeats=1 if quick else 4,
                            cores=cores,
                            clean=target.clean,
                            log=log,
                            workloads=workloads,
                            tell=tell,
                        )
                        replayed = target.replay.hits() if target.replay else None
                        results["stores"][store] = report.store_result(
                            measured, target.server, target.stand_in, replayed
                        )
                except NotRun as error:
                    results["not_run"][store] = str(error)
            if store in results["stores"]:
                report.show(results["stores"][store], store, console)
            else:
                console.print(f"not run: {store}: {results['not_run'][store]}", style="red")
        if not asked.no_growth:
            from .growth import grown

            with _telling(console, "as work grows") as tell:
                results["growth"] = grown(quick=quick, cores=cores, tell=tell)
    console.print(f"{time.monotonic() - started:.0f} s; what the contenders printed is in {log_path}")
    return results


def _pictures(results: dict[str, Any], folder: Path) -> None:
    from .charts import growth_chart, store_chart

    folder.mkdir(parents=True, exist_ok=True)
    for store, result in results["stores"].items():
        store_chart(store, result, folder / f"performance-{store}.png")
    if results["growth"]:
        growth_chart(results["growth"], folder / "performance-growth.png")


def _publish(results: dict[str, Any], folder: Path) -> None:
    _pictures(results, folder)
    (folder / "performance.md").write_text(report.page(results, results["growth"]))


if __name__ == "__main__":
    sys.exit(main())
