"""Runs the contenders of one store: short batches, in an order that is shuffled anew in each repeat.

Each contender has a process of its own, all on one core; the servers have the other. What is compared are ratios within
one repeat, where the machine is as busy for the one as for the other.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
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


class Failed(RuntimeError):
    """A contender could not do it."""


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
        self._say(begin)

    def _say(self, value: Any) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(value) + "\n")
        self._child.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Wait for its answer.

        Raises:
            Failed: the contender raised, or its process ended.
        """
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise Failed(f"{self.entry.name}: its process ended")
        found: dict[str, Any] = json.loads(line)
        if "failed" in found:
            raise Failed(f"{self.entry.name}: {found['failed']}")
        return found

    def verify(self) -> list[str]:
        """Open it, and return what is wrong with its results."""
        self._say({})
        wrong: list[str] = self.answer()["wrong"]
        return wrong

    def run(self, workload: str, number: int) -> dict[str, float]:
        """Run a batch."""
        self._say({"workload": workload, "n": number})
        return self.answer()

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
    left_out: dict[str, str] = field(default_factory=dict[str, str])
    """Contenders that did not take part, and workloads that one could not do, each with why."""


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
    result = Measured()
    processes: list[Process] = []
    rng = random.Random(seed)
    try:
        # They import side by side, and are verified one after the other.
        for entry in entries:
            processes.append(Process(store, entry, urls_of(entry), case, cores.client, log))  # noqa: PERF401
        for process in list(processes):
            entry = process.entry
            tell(f"{store}: {entry.label}: verifying")
            try:
                wrong = process.verify()
            except Failed as error:
                result.left_out[entry.name] = str(error)
                processes.remove(process)
                process.close()
                continue
            for each in wrong:
                result.left_out[f"{entry.name}.{each.split(':')[0]}"] = each
            clean()
        able = {
            w.name: [p for p in processes if f"{p.entry.name}.{w.name}" not in result.left_out]
            for w in workloads
        }
        sizes = {w.name: _sizes(w, able[w.name], target_s, result, clean, tell, store) for w in workloads}
        for repeat in range(repeats):
            order = list(workloads)
            rng.shuffle(order)
            started = time.monotonic()
            for workload in order:
                if workload.one_call and long_repeats is not None and repeat >= long_repeats:
                    continue
                turn = [p for p in able[workload.name] if p.entry.name in sizes[workload.name]]
                rng.shuffle(turn)
                for process in turn:
                    name = process.entry.name
                    try:
                        found = process.run(workload.name, sizes[workload.name][name])
                    except Failed as error:
                        result.left_out[f"{name}.{workload.name}"] = str(error)
                        able[workload.name].remove(process)
                        continue
                    _put(result, workload.name, name, repeat, repeats, found)
                    if workload.writes and workload.one_call:
                        clean()
            clean()
            tell(f"{store}: repeat {repeat + 1} of {repeats} ({time.monotonic() - started:.0f} s)")
    finally:
        for process in processes:
            process.close()
    return result


def _sizes(
    workload: Workload,
    processes: Sequence[Process],
    target_s: float,
    result: Measured,
    clean: Callable[[], None],
    tell: Callable[[str], None],
    store: str,
) -> dict[str, int]:
    """Return how many calls a batch of each contender has, so that it takes about *target_s*; warms it up, too."""
    tell(f"{store}: {workload.title}: warming up")
    sizes: dict[str, int] = {}
    for process in processes:
        try:
            if workload.one_call:
                process.run(workload.name, 1)
                number = 1
            else:
                # Once round the arguments: what is prepared after some uses is prepared, what is replayed recorded.
                process.run(workload.name, 40)
                found = process.run(workload.name, 8)
                number = max(4, min(2_000, round(target_s / max(found["cpu"], 1e-6))))
        except Failed as error:
            result.left_out[f"{process.entry.name}.{workload.name}"] = str(error)
            continue
        sizes[process.entry.name] = number
        if workload.writes and workload.one_call:
            clean()
    clean()
    result.calls[workload.name] = sizes
    return sizes


def _put(
    result: Measured, workload: str, name: str, repeat: int, repeats: int, found: dict[str, float]
) -> None:
    for kind in ("cpu", "wall"):
        table: dict[str, dict[str, list[float | None]]] = getattr(result, kind)
        row = table.setdefault(workload, {}).setdefault(name, [None] * repeats)
        row[repeat] = found[kind]
