"""Counts the instructions of dbkit's hot calls with valgrind, and compares them with what was committed.

Seconds scatter by a fifth from run to run; instructions by a thousandth, whatever else the machine is doing. They are those of
the client alone, outside the kernel. A baseline belongs to one Python, platform and lock file; where there is none yet,
`--update` writes it, and where there is one, a count that left it by more than 2 % fails: better ones are to be committed, too.
So does a lock file that has no baseline yet, where the one before it had.

    python -m bench.instructions [--stores …] [--update] [--floor] [--all] [--json PATH]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .counting import COUNTED, OTHERS
from .data import Case, Data
from .registry import CONTENDERS, STORES
from .runner import Cores, Failed
from .stores import NotRun, Target, opened

__all__ = ["TOLERANCE", "baseline_path", "compared", "count", "main"]

TOLERANCE = 0.02
BASELINES = Path(__file__).parent / "baselines"
_ROOT = Path(__file__).parent.parent
_TOTAL = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)
_LOCKED_S = 900

Counts = dict[str, int]


def baseline_path() -> Path:
    """Return the file of this Python, platform and lock file."""
    python = f"{platform.python_implementation().lower()}{platform.python_version()}"
    lock = hashlib.sha256((_ROOT / "requirements-bench.lock").read_bytes()).hexdigest()[:8]
    return BASELINES / f"{python}-{platform.system().lower()}-{platform.machine()}-{lock}.json"


def count(store: str, contender: str, url: str, case: Case, calls: dict[str, int]) -> Counts:
    """Return the instructions of one call of each counted workload.

    Raises:
        Failed: the contender raised, or valgrind could not run it.
    """
    with tempfile.TemporaryDirectory(prefix="dbkit-count-") as folder:
        arguments = Path(folder) / "case.json"
        arguments.write_text(json.dumps(asdict(case)))
        out = Path(folder) / "out"
        command = ["valgrind", "--tool=callgrind", "--dump-before=getppid", f"--callgrind-out-file={out}"]
        command += [
            sys.executable,
            "-m",
            "bench.counting",
            store,
            contender,
            url,
            str(arguments),
            ",".join(calls),
        ]
        environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(_ROOT)}
        try:
            ended = subprocess.run(
                command,
                capture_output=True,
                text=True,
                env=environment,
                cwd=_ROOT,
                timeout=_LOCKED_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{store}: {contender}: valgrind took longer than {_LOCKED_S} s") from error
        if ended.returncode:
            raise Failed(f"{store}: {contender}: {ended.stderr[-2000:]}")
        # The first part ends at the first mark; then each workload is a part, and what is between two is one.
        parts = [_total(Path(f"{out}.{2 * position + 2}")) for position in range(len(calls))]
    return {name: round(total / calls[name]) for name, total in zip(calls, parts, strict=True)}


def _total(path: Path) -> int:
    found = _TOTAL.search(path.read_text())
    if found is None:
        raise Failed(f"valgrind wrote no total into {path.name}")
    return int(found[1])


def counted(target: Target, case: Case, names: Sequence[str], calls: dict[str, int]) -> dict[str, Counts]:
    """Return the counts of several contenders on one store."""
    found: dict[str, Counts] = {}
    for name in names:
        entry = next(entry for entry in CONTENDERS if entry.name == name)
        found[name] = count(target.name, name, target.urls_of(entry)[1], case, calls)
        target.clean()
    return found


def compared(counts: dict[str, Counts], baseline: dict[str, Counts]) -> list[str]:
    """Return what left the baseline by more than the tolerance, a line each."""
    lines: list[str] = []
    for store, found in counts.items():
        for workload, instructions in found.items():
            before = baseline.get(store, {}).get(workload)
            if before is None:
                lines.append(f"{store} {workload}: not in the baseline")
            elif abs(instructions - before) > TOLERANCE * before:
                lines.append(
                    f"{store} {workload}: {instructions:,} instructions, {instructions / before - 1:+.1%}"
                )
    return lines


def _of_another_lock(path: Path) -> Path | None:
    """Return the baseline of the same Python and platform that another lock file had."""
    return next(path.parent.glob(path.name.rpartition("-")[0] + "-*.json"), None)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.instructions", description="Count the instructions of dbkit's hot calls"
    )
    parser.add_argument("--stores", default=",".join(STORES))
    parser.add_argument(
        "--update", action="store_true", help="write the baseline of this Python, platform and lock file"
    )
    parser.add_argument("--floor", action="store_true", help="count the floor as well, and show the ratio")
    parser.add_argument(
        "--all",
        action="store_true",
        help="count the asynchronous side and the other workloads as well, which no baseline holds; with --floor",
    )
    parser.add_argument("--workloads", help="with --all: only these, with commas between")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    asked.floor = asked.floor or asked.all
    if asked.all and asked.update:
        parser.error("--update writes what the baseline holds, which --all goes beyond")
    return asked


def main() -> int:
    """Count, show, and compare; 1 where something left the baseline, 2 where it could not be counted."""
    asked = _arguments()
    if shutil.which("valgrind") is None:
        print("not counted: valgrind is not installed (on Debian and Ubuntu: apt install valgrind)")
        return 2
    path = baseline_path()
    data = Data(posts=10_000)
    case = data.case()
    # dbkit's first: what another left behind (free pages, a log) would change what an insertion has to do.
    names = ["dbkit", "floor"] if asked.floor else ["dbkit"]
    calls = COUNTED
    if asked.all:
        names, calls = [*names, "dbkit_async", "floor_async"], {**COUNTED, **OTHERS}
        if asked.workloads:
            calls = {name: calls[name] for name in asked.workloads.split(",")}

    def of_store(store: str) -> dict[str, Counts] | str:
        try:
            with opened(store, data, Cores(None, None)) as target:
                return counted(target, case, names, calls)
        except (NotRun, Failed) as error:
            return str(error)

    stores: list[str] = asked.stores.split(",")
    # Counts do not depend on what else runs.
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        results = dict(zip(stores, threads.map(of_store, stores), strict=True))
    missing = [f"{store}: {found}" for store, found in results.items() if isinstance(found, str)]
    found = {store: each for store, each in results.items() if not isinstance(each, str)}
    _show(found)
    for line in missing:
        print("not counted:", line)
    counts = {store: each["dbkit"] for store, each in found.items()}
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))
    if asked.update:
        BASELINES.mkdir(exist_ok=True)
        kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**kept, **counts}, indent=1, sort_keys=True) + "\n")
        print(f"written: bench/baselines/{path.name}")
        return 2 if missing else 0
    if not path.exists():
        print(f"nothing to compare with: no bench/baselines/{path.name} (--update writes it)")
        if older := _of_another_lock(path):
            # Else a change of the lock file would be where the comparison ends, and nobody would see it.
            print(
                f"the lock file changed since {older.name}: write the new baseline, and look at what it changes"
            )
            return 1
        return 2 if missing else 0
    counts = {
        store: {name: number for name, number in each.items() if name in COUNTED}
        for store, each in counts.items()
    }
    left = compared(counts, json.loads(path.read_text()))
    for line in left:
        print("left the baseline:", line)
    if counts and not left:
        print(f"all within {TOLERANCE:.0%} of bench/baselines/{path.name}")
    return 1 if left else 2 if missing else 0


def _show(found: dict[str, dict[str, Counts]]) -> None:
    for store, each in found.items():
        for name in [name for name in each if name.startswith("dbkit")]:
            floor = each.get(name.replace("dbkit", "floor"))
            for workload, instructions in each[name].items():
                line = f"{store:12}{name:13}{workload:10}{instructions:>12,} instructions a call"
                if floor is not None:
                    line += f", floor {floor[workload]:>12,}, ratio {instructions / floor[workload]:.3f}"
                print(line)


if __name__ == "__main__":
    sys.exit(main())
