"""A process that migrates in children of its own, which kill themselves after any statement.

`python -m tests.migrations.worker` reads lines of JSON, {"url": …, "path": …, "verb": "up", "kill_after": 3}, and answers each
with {"status": 0 or -9, "statements": …, "error": …}. A fork costs milliseconds, an interpreter half a second.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["Worker"]

HANGS_S = 60


class Worker:
    """The parent's side of one such process.

    With *lease_s* others respect its lease on MongoDB for so long after it was killed.
    """

    def __init__(self, lease_s: float | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.migrations.worker", *([] if lease_s is None else [str(lease_s)])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(2 * HANGS_S)

    def begin(self, url: str, path: Path, verb: str = "up", kill_after: int | None = None) -> None:
        """Let it migrate, and come back at once."""
        assert self._process.stdin is not None
        order = {"url": url, "path": str(path), "verb": verb, "kill_after": kill_after}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def end(self) -> dict[str, Any]:
        """Return how it went."""
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def run(self, url: str, path: Path, verb: str = "up", kill_after: int | None = None) -> dict[str, Any]:
        """Let it migrate, and return how it went."""
        self.begin(url, path, verb, kill_after)
        return self.end()


def _child(order: dict[str, Any], answers: int) -> None:
    from dbkit import DbkitError, Statement
    from dbkit.migrations import Migrator

    seen = 0
    # Who hangs says where, and ends.
    faulthandler.dump_traceback_later(HANGS_S, exit=True)

    def count(_statement: Statement) -> None:
        nonlocal seen
        seen += 1
        if seen == order["kill_after"]:
            os.kill(os.getpid(), signal.SIGKILL)

    error = None
    ran: list[int] = []
    with Migrator(order["url"], order["path"]) as migrator:
        migrator.on_statement(count)
        try:
            ran = [r.version for r in getattr(migrator, order["verb"])()]
        except DbkitError as caught:
            error = f"{type(caught).__name__}: {caught}"
    os.write(answers, json.dumps({"statements": seen, "ran": ran, "error": error}).encode())


def _main() -> None:
    # What children shall not import one by one; nothing of it starts a thread.
    for module in ("dbkit.migrations", "dbkit_sql.migrating.sqlite", "dbkit_sql.migrating.postgres"):
        importlib.import_module(module)
    lease = importlib.import_module("dbkit_mongo.migrating.lease")
    importlib.import_module("dbkit_mongo.migrating.store")
    if len(sys.argv) > 1:
        lease.LEASE_S = float(sys.argv[1])  # type: ignore[attr-defined]
    for line in sys.stdin:
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            _child(json.loads(line), write)
            sys.stdout.flush()
            os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            text = pipe.read()
        _, status = os.waitpid(pid, 0)
        answer: dict[str, Any] = json.loads(text) if text else {}
        sys.stdout.write(json.dumps({"status": os.waitstatus_to_exitcode(status), **answer}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
