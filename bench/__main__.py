"""`python -m bench`: measures, prints the tables, and writes JSON, pictures and the docs' page."""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from rich.console import Console

from . import report
from .data import Data
from .growth import Growth
from .registry import STORES, of_store
from .runner import Cores, measure
from .stores import NotRun, Target, opened
from .workloads import WORKLOADS

__all__ = ["main"]

_ROOT = Path(__file__).parent.parent


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="dbkit beside the bare driver and its peers"
    )
    parser.add_argument("--quick", action="store_true", help="fewer rows and repeats: some minutes")
    parser.add_argument("--stores", default=",".join(STORES), help="of: %(default)s")
    parser.add_argument("--contenders", help="their names, with commas between; default: all")
    parser.add_argument("--workloads", help="their names, with commas between; default: all")
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--no-growth", action="store_true", help="leave out how cost grows with work")
    parser.add_argument("--only-growth", action="store_true", help="leave out the contenders")
    parser.add_argument(
        "--json", type=Path, default=Path("bench-output/performance.json"), help="default: %(default)s"
    )
    parser.add_argument("--charts", type=Path, help="the folder of the pictures; default: that of the JSON")
    parser.add_argument(
        "--docs",
        action="store_true",
        help="write the docs' page, its JSON, its pictures and the README's table as well",
    )
    parser.add_argument("--page", type=Path, help="measure nothing: make all that of this JSON")
    asked = parser.parse_args()
    is_part = asked.contenders or asked.workloads or asked.no_growth or asked.only_growth
    if asked.docs and (is_part or asked.stores != parser.get_default("stores")):
        parser.error("--docs writes the whole page: leave out what measures a part of it")
    return asked


def main() -> int:
    """Run it; 1 where a contender failed or returned what the data do not say, 2 where a server could not be started."""
    asked = _arguments()
    console = Console()
    if not console.is_terminal:
        console = Console(width=150)
    if asked.page:
        _publish(json.loads(asked.page.read_text()))
        return 0
    results = _measured(asked, console)
    folder: Path = asked.charts or asked.json.parent
    _pictures(results, folder)
    if asked.docs:
        _publish(results)
    console.print(f"written: {asked.json}, and the pictures in {folder}")
    for name, why in results["failed"].items():
        console.print(f"failed: {name}: {why.splitlines()[0]}", style="bold red")
    for store, why in results["not_run"].items():
        console.print(f"not run: {store}: {why}", style="bold red")
    return 1 if results["failed"] else 2 if results["not_run"] else 0


@contextmanager
def _telling(console: Console, line: str) -> Generator[Callable[[str], None]]:
    """Say how far it is: in one line that changes on a terminal, else once a repeat."""
    if not console.is_terminal:
        started = time.monotonic()

        def tell(line: str) -> None:
            if "repeat" in line or "starting" in line or line.startswith("growth"):
                console.print(f"{time.monotonic() - started:6.0f} s  {line}")

        yield tell
        return
    with console.status(line) as status:
        yield status.update


def _measured(asked: argparse.Namespace, console: Console) -> dict[str, Any]:
    quick: bool = asked.quick
    settings: dict[str, Any] = {
        "quick": quick,
        "repeats": asked.repeats or (3 if quick else 7),
        "long_repeats": 1 if quick else 4,
        "users": 2_000,
        "posts": 10_000 if quick else 100_000,
        "batch_s": 0.01 if quick else 0.04,
    }
    cores = Cores.find()
    started = time.monotonic()
    data = Data(settings["users"], settings["posts"])
    results: dict[str, Any] = {
        "machine": report.machine(cores, settings),
        "stores": {},
        "not_run": {},
        "failed": {},
        "growth": None,
    }
    log_path = Path("bench-output") / "bench.log"
    log_path.parent.mkdir(exist_ok=True)
    with log_path.open("wb") as log, _telling(console, "starting") as tell:
        growth = Growth(quick=quick, cores=cores, tell=tell, failed=results["failed"])
        for store in asked.stores.split(","):
            tell(f"{store}: starting and filling it")
            try:
                with opened(store, data, cores) as target:
                    if not asked.only_growth:
                        _compared(asked, target, data, cores, log, settings, results, tell)
                        report.show(results["stores"][store], store, console)
                    if not asked.no_growth:
                        growth.add(target, [user.id for user in data.users], settings["posts"])
                        results["growth"] = growth.result()
            except NotRun as error:
                results["not_run"][store] = str(error)
            except Exception as error:  # noqa: BLE001
                # Whatever goes wrong with one store is told, and the next one is measured.
                traceback.print_exc()
                results["failed"][store] = f"{type(error).__name__}: {error}"
            # After each store, so that nothing is lost where a later one is broken off.
            report.write(asked.json, results)
    results["machine"]["took_s"] = round(time.monotonic() - started)
    report.write(asked.json, results)
    if results["growth"]:
        report.show_growth(results["growth"], console)
    console.print(f"{results['machine']['took_s']} s; what the contenders printed is in {log_path}")
    return results


def _compared(
    asked: argparse.Namespace,
    target: Target,
    data: Data,
    cores: Cores,
    log: IO[bytes],
    settings: dict[str, Any],
    results: dict[str, Any],
    tell: Callable[[str], None],
) -> None:
    """Measure all contenders on one store."""
    store = target.name
    wanted = asked.contenders.split(",") if asked.contenders else None
    measured = measure(
        store,
        [entry for entry in of_store(store) if not wanted or entry.name in wanted],
        target.urls_of,
        data.case(),
        repeats=settings["repeats"],
        target_s=settings["batch_s"],
        long_repeats=settings["long_repeats"],
        cores=cores,
        clean=target.clean,
        log=log,
        workloads=[w for w in WORKLOADS if not asked.workloads or w.name in asked.workloads.split(",")],
        tell=tell,
    )
    results["failed"].update({f"{store}: {name}": why for name, why in measured.failed.items()})
    replayed = target.replay.hits() if target.replay else None
    results["stores"][store] = report.store_result(measured, target.server, target.stand_in, replayed)


def _pictures(results: dict[str, Any], folder: Path) -> None:
    from .charts import growth_chart, store_chart

    folder.mkdir(parents=True, exist_ok=True)
    for store, result in results["stores"].items():
        store_chart(store, result, folder / f"performance-{store}.png")
    if results["growth"]:
        growth_chart(results["growth"], folder / "performance-growth.png")


def _publish(results: dict[str, Any]) -> None:
    """Write the docs' page, its JSON and pictures, and the README's table."""
    _pictures(results, _ROOT / "docs" / "img")
    report.write(_ROOT / "docs" / "performance.json", results)
    (_ROOT / "docs" / "performance.md").write_text(report.page(results))
    readme = _ROOT / "README.md"
    readme.write_text(report.with_table(readme.read_text(), results))


if __name__ == "__main__":
    sys.exit(main())
