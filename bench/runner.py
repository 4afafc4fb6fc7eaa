"""Runs the contenders of one store: short batches, in an order that is shuffled anew in each repeat.

Each contender has a process of its own, all on one core; the servers have the other. What is compared are ratios within
one repeat, where the machine is as busy for the one as for the other.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from .data import Case
from .registry import Entry
from .workloads import WORKLOADS, Workload

__all__ = ["Cores", "Failed", "Measured", "Process", "measure"]


_VERIFIED_S, _RUN_S = 600, 300
"""How long a contender may take to be verified, and for one batch."""


_SLOW_S = 0.01
"""A call that takes longer is of a workload without arguments, and not run so often before it is measured."""


class Failed(RuntimeError):
    """A contender could not do it."""


class Ended(Failed):
    """A contender's process is no more."""


@dataclass(frozen=True)
class Cores:
    """Which core the contenders run on and which the servers; None where there is only one."""

    client: int | None
    server: int | None

    @classmethod
    def find(cls) -> Cores:
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        return cls(cores[-1], cores[0]) if len(cores) > 1 else cls(None, None)

    def pin_server(self, pid: int) -> None:
        """Put a server and all its children on the servers' core."""
        if self.server is not None:
            for each in _tree(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(each, {self.server})


def _tree(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(OSError):
        for path in Path(f"/proc/{pid}/task").iterdir():
            if int(path.name) != pid:
                yield int(path.name)
            for child in (path / "children").read_text().split():
                yield from _tree(int(child))


class Process:
    """A contender's process."""

    def __init__(
        self, store: str, entry: Entry, urls: tuple[str, str], case: Case, core: int | None, log: IO[bytes]
    ) -> None:
        self.entry = entry
        self._child = subprocess.Popen(
            [sys.executable, "-m", "bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            text=True,
        )
        begin = {"store": store, "name": entry.name, "case": asdict(case), "core": core}
        begin["direct_url"], begin["url"] = urls
        # Where it has ended already, its first answer says so.
        with contextlib.suppress(Ended):
            self._say(begin)

    def _say(self, value: Any) -> None:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(value) + "\n")
            self._child.stdin.flush()
        except OSError as error:
            raise Ended("its process ended") from error

    def answer(self, within_s: float) -> dict[str, Any]:
        """Wait for its answer.

        Raises:
            Failed: the contender raised.
            Ended: its process ended, or was ended as it took too long.
        """
        assert self._child.stdout is not None
        # A line is one answer, and none is asked for before the last one came: nothing waits in the text's buffer.
        if not select.select([self._child.stdout], [], [], within_s)[0]:
            self._child.kill()
            raise Ended(f"took longer than {within_s:g} s")
        line = self._child.stdout.readline()
        if not line:
            raise Ended("its process ended")
        found: dict[str, Any] = json.loads(line)
        if "failed" in found:
            raise Failed(found["failed"])
        return found

    def verify(self) -> dict[str, str]:
        """Open it, and return what is wrong with its results, by workload."""
        self._say({})
        return self.answer(_VERIFIED_S)

    def run(self, workload: str, number: int) -> dict[str, float]:
        """Run a batch."""
        self._say({"workload": workload, "n": number})
        return self.answer(_RUN_S)

    def close(self) -> None:
        """Let it end."""
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):
            self._child.stdin.close()
        try:
            self._child.wait(10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        assert self._child.stdout is not None
        self._child.stdout.close()


@dataclass
class Measured:
    """What was measured on one store."""

    cpu: dict[str, dict[str, list[float | None]]] = field(
        default_factory=dict[str, dict[str, list[float | None]]]
    )
    """Seconds of client CPU a call, by workload and contender: one for each repeat."""
    wall: dict[str, dict[str, list[float | None]]] = field(
        default_factory=dict[str, dict[str, list[float | None]]]
    )
    calls: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    failed: dict[str, str] = field(default_factory=dict[str, str])
    """Contenders, and "contender.workload", that raised or returned what the data do not say."""


def _silent(_: str) -> None:
    return


def measure(
    store: str,
    entries: Sequence[Entry],
    urls_of: Callable[[Entry], tuple[str, str]],
    case: Case,
    *,
    repeats: int,
    target_s: float,
    long_repeats: int | None = None,
    cores: Cores,
    clean: Callable[[], None],
    log: IO[bytes],
    seed: int = 1,
    workloads: Iterable[Workload] = WORKLOADS,
    tell: Callable[[str], None] = _silent,
) -> Measured:
    """Verify and measure; *clean* removes what the workloads wrote, *tell* says how far it is.

    Workloads of which a batch is one call are measured in the first *long_repeats* repeats only.
    """
    run = _Run(store, entries, list(workloads), cores, clean, log, tell)
    try:
        run.verify(urls_of, case)
        run.size(target_s)
        run.measure(repeats, repeats if long_repeats is None else long_repeats, random.Random(seed))
    finally:
        run.close()
    return run.result


class _Run:
    """The contenders of one store, as they are run: one that fails is reported, and the others go on."""

    def __init__(
        self,
        store: str,
        entries: Sequence[Entry],
        workloads: Sequence[Workload],
        cores: Cores,
        clean: Callable[[], None],
        log: IO[bytes],
        tell: Callable[[str], None],
    ) -> None:
        self.result = Measured()
        self._store, self._entries, self._workloads = store, entries, workloads
        self._cores, self._clean, self._log, self._tell = cores, clean, log, tell
        self._processes: list[Process] = []
        self._able: dict[str, list[Process]] = {}
        self._is_replayed = False

    def close(self) -> None:
        for process in self._processes:
            process.close()

    def verify(self, urls_of: Callable[[Entry], tuple[str, str]], case: Case) -> None:
        """Open all, and find out who does what as the data say."""
        # They import side by side, and are verified one after the other.
        for entry in self._entries:
            urls = urls_of(entry)
            self._is_replayed = urls[0] != urls[1]
            self._processes.append(Process(self._store, entry, urls, case, self._cores.client, self._log))
        able = list(self._processes)
        for process in self._processes:
            name = process.entry.name
            self._tell(f"{self._store}: {process.entry.label}: verifying")
            try:
                wrong = process.verify()
            except Failed as error:
                self.result.failed[name] = str(error)
                able.remove(process)
                process.close()
                continue
            self.result.failed.update({f"{name}.{each}": why for each, why in wrong.items()})
            self._clean()
        out = self.result.failed.keys()
        self._able = {
            w.name: [p for p in able if f"{p.entry.name}.{w.name}" not in out] for w in self._workloads
        }

    def _run(self, process: Process, workload: str, number: int) -> dict[str, float] | None:
        """Run a batch; None, and the contender is out, where it fails."""
        try:
            return process.run(workload, number)
        except Ended as error:
            self.result.failed[process.entry.name] = f"{workload}: {error}"
            for able in self._able.values():
                if process in able:
                    able.remove(process)
        except Failed as error:
            self.result.failed[f"{process.entry.name}.{workload}"] = str(error)
            self._able[workload].remove(process)
        return None

    def size(self, target_s: float) -> None:
        """Find how many calls a batch of each contender has, so that it takes about *target_s*; warms it up, too."""
        for workload in self._workloads:
            self._tell(f"{self._store}: {workload.title}: warming up")
            sizes = self.result.calls[workload.name] = dict[str, int]()
            for process in list(self._able[workload.name]):
                name = process.entry.name
                if workload.one_call:
                    sizes[name] = 1
                    # Verifying has warmed it up; what is replayed must be recorded.
                    if self._is_replayed and workload.writes:
                        self._run(process, workload.name, 1)
                        self._clean()
                    continue
                # Once round the arguments: what is prepared after some uses is prepared, what is replayed recorded.
                found = self._run(process, workload.name, 8)
                if found is not None and (self._is_replayed or found["wall"] < _SLOW_S):
                    found = self._run(process, workload.name, 40) and self._run(process, workload.name, 8)
                if found is not None:
                    sizes[name] = max(4, min(2_000, round(target_s / max(found["cpu"], 1e-6))))
            self._clean()

    def measure(self, repeats: int, long_repeats: int, rng: random.Random) -> None:
        """Run all in *repeats* shuffled orders."""
        for repeat in range(repeats):
            order = [w for w in self._workloads if not w.one_call or repeat < long_repeats]
            rng.shuffle(order)
            started = time.monotonic()
            for workload in order:
                turn = list(self._able[workload.name])
                rng.shuffle(turn)
                for process in turn:
                    name = process.entry.name
                    found = self._run(process, workload.name, self.result.calls[workload.name][name])
                    if found is not None:
                        _put(self.result, workload.name, name, repeat, repeats, found)
                    if workload.writes and workload.one_call:
                        self._clean()
            self._clean()
            self._tell(
                f"{self._store}: repeat {repeat + 1} of {repeats} ({time.monotonic() - started:.0f} s)"
            )


def _put(
    result: Measured, workload: str, name: str, repeat: int, repeats: int, found: dict[str, float]
) -> None:
    for kind in ("cpu", "wall"):
        table: dict[str, dict[str, list[float | None]]] = getattr(result, kind)
        row = table.setdefault(workload, {}).setdefault(name, [None] * repeats)
        row[repeat] = float(f"{found[kind]:.4g}")
