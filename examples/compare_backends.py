"""The same program on memory, SQLite, PostgreSQL and MongoDB, side by side: `make demo`.

    python examples/compare_backends.py [--stores memory,sqlite] [--quick] [--json PATH]

Seeded rows and a git repository's real history (this one's; DEMO_REPO=path names another) are written to every store,
and the same questions are put to each. PostgreSQL and MongoDB are started for it and stopped again, see
`dbkit.testing.servers`. The figures are written to build/demo/demo.json, or PATH, and to a PNG beside it.

Exit codes: 0 all the same, 1 something differs, 2 a server could not be started.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Run as a file, this has its own folder on the path, and not the one above.
sys.path.insert(0, str(ROOT))
STORES = ("memory", "sqlite", "postgresql", "mongodb")


def main() -> int:
    """Compare, and say what came of it."""
    started = time.monotonic()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stores", default=",".join(STORES), help=f"some of {', '.join(STORES)}")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows and programs")
    parser.add_argument("--json", type=Path, metavar="PATH", default=ROOT / "build" / "demo" / "demo.json")
    told = parser.parse_args()
    names: str = told.stores
    asked = list(dict.fromkeys(filter(None, names.split(","))))
    if unknown := set(asked) - set(STORES):
        parser.error(f"{', '.join(sorted(unknown))}: no store; known: {', '.join(STORES)}")
    print("dbkit: one program on several stores; nothing but the URL changes\n", flush=True)

    # Imported only now, so that something is on the screen at once.
    try:
        from examples.comparison import run
        from examples.comparison.figure import draw
        from examples.comparison.report import Report
    except ModuleNotFoundError as error:
        parser.exit(1, f"{error.name} is not installed; make demo installs all that this needs\n")

    report = Report()
    with ExitStack() as stack:
        repository = Path(os.environ.get("DEMO_REPO") or ROOT)
        outcome = run.run(asked, repository, quick=told.quick, report=report, stack=stack)
    outcome.seconds = time.monotonic() - started
    report.outcome(outcome)
    data: Path = told.json
    figure = data.with_suffix(".png")
    outcome.write_json(data)
    draw(outcome, figure)
    report.closing(outcome, f"the figures: {_short(figure)}, {_short(data)}")
    return outcome.exit_code


def _short(path: Path) -> Path:
    return path.resolve().relative_to(Path.cwd()) if path.resolve().is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit("interrupted; the servers are stopped") from None
