"""One contender in a process of its own, pinned to one core, told by its parent what to run.

A line of JSON in, a line of JSON out. CPU is that of the whole process, all threads and the kernel's part: the client's.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import itertools
import json
import os
import sys
import time
import traceback
from datetime import datetime
from typing import Any
from uuid import UUID

from .data import Case
from .registry import CONTENDERS
from .workloads import BY_NAME, WORKLOADS, Arguments, shown

__all__ = ["Worker", "main"]

_VERIFIED_BULK = 200


class Worker:
    """A contender that is open."""

    def __init__(self, store: str, name: str, case: Case) -> None:
        self._store = store
        self._entry = next(entry for entry in CONTENDERS if entry.name == name)
        self._runner = asyncio.Runner()
        self._case = case
        self._arguments = Arguments(case, name)

    def load(self) -> None:
        """Import the contender; it is told of when it is opened where that fails."""
        with contextlib.suppress(ImportError):
            self._entry.load(self._store)

    def open(self, url: str) -> None:
        """Open the contender."""
        self._contender: Any = self._result(self._entry.open(self._store, url))
        # What a library makes of its data at the first use is made, and what a cursor page starts after is known.
        name, id = self._case.deep
        self._arguments.position = self._call("position", name, UUID(hex=id))

    def _result(self, made: Any) -> Any:
        async def awaited() -> Any:
            return await made

        return self._runner.run(awaited()) if inspect.isawaitable(made) else made

    def _call(self, verb: str, *arguments: Any) -> Any:
        return self._result(getattr(self._contender, verb)(*arguments))

    def verify(self, *, writes: bool) -> dict[str, str]:
        """Compare what the workloads that write, or those that do not, return with what the data say.

        Returns:
            By the workload's name what is wrong.
        """
        wrong: dict[str, str] = {}
        for name in [w.name for w in WORKLOADS if w.writes == writes]:
            try:
                if not (self._reads if name in self._case.expected else self._writes)(name):
                    wrong[name] = "not what the data say"
            except Exception as error:  # noqa: BLE001
                # Whatever a contender raises is a finding about it.
                wrong[name] = f"{type(error).__name__}: {error}"
                traceback.print_exc()
        return wrong

    def _reads(self, name: str) -> bool:
        expected = self._case.expected[name]
        per_call = name in {"get", "by_email", "posts"}
        calls = BY_NAME[name].calls(self._arguments, len(expected) if per_call else 1)
        results = [self._call(name, *call) for call in calls]
        found = [json.loads(json.dumps(shown(name, result))) for result in results]
        is_equal = bool((found if per_call else found[0]) == expected)
        return is_equal and (self._entry.name.startswith("raw") or all(_is_checked(name, r) for r in results))

    def _writes(self, name: str) -> bool:
        arguments = self._arguments
        if name == "bulk":
            users = arguments.new(_VERIFIED_BULK)
            return self._call("bulk", users) == len(users) and self._stored(users[-1])
        if name == "create":
            (user,) = arguments.new(1)
            self._call("create", user)
            return self._stored(user)
        user = arguments.kept[0]
        self._call("upsert", user)
        if name == "update":
            found = shown("get", self._call("update", user.id, "another bio"))
            return bool(found[-1] == "another bio") and found == shown("get", self._call("get", user.id))
        found = shown("get", self._call("upsert", user.evolve(bio="a third bio")))
        return bool(found[-1] == "a third bio") and found == shown("get", self._call("get", user.id))

    def _stored(self, user: Any) -> bool:
        return bool(shown("get", self._call("by_email", user.email)) == shown("get", user))

    def run(self, name: str, number: int) -> dict[str, float]:
        """Run a workload *number* times, and return the seconds of client CPU and of the wall's clock, per call."""
        workload = BY_NAME[name]
        if workload.needs_kept:
            for user in self._arguments.kept:
                self._call("upsert", user)
        # Another process ran on this core before: the first calls find its caches, and are not timed.
        untimed = 0 if workload.one_call else max(2, number // 8)
        calls = workload.calls(self._arguments, untimed + number)
        verb = getattr(self._contender, name)
        gc.collect()
        gc.freeze()
        if self._entry.is_async:
            cpu, wall = self._runner.run(_timed_async(verb, calls, untimed))
        else:
            for call in calls[:untimed]:
                verb(*call)
            timed = calls[untimed:]
            started_wall, started = time.perf_counter(), time.process_time()
            for call in timed:
                verb(*call)
            cpu, wall = time.process_time() - started, time.perf_counter() - started_wall
        gc.unfreeze()
        return {"n": number, "cpu": cpu / number, "wall": wall / number}

    def close(self) -> None:
        """Close the contender."""
        self._call("close")

    def end(self) -> None:
        """Close what the contender ran on."""
        self._runner.close()


def _is_checked(name: str, result: Any) -> bool:
    """Whether the rows are instances with UUIDs and datetimes: what pydantic makes of bytes and numbers."""
    if name == "stats":
        return True
    items = [result] if name in {"get", "by_email"} else [result[1]] if name == "iterate" else result
    return all(isinstance(i.id, UUID) and isinstance(i.created_at, datetime) for i in items)


async def _timed_async(verb: Any, calls: list[tuple[Any, ...]], untimed: int) -> tuple[float, float]:
    for call in calls[:untimed]:
        await verb(*call)
    timed = calls[untimed:]
    started_wall, started = time.perf_counter(), time.process_time()
    for call in timed:
        await verb(*call)
    return time.process_time() - started, time.perf_counter() - started_wall


def main() -> None:
    """Answer the parent until it says no more."""
    # What a library prints shall not stand among the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(value: Any) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    begin: dict[str, Any] = json.loads(sys.stdin.readline())
    case = Case(**begin["case"])
    worker = Worker(begin["store"], begin["name"], case)

    def prepare() -> dict[str, Any]:
        if begin["core"] is not None:
            os.sched_setaffinity(0, {begin["core"]})
        direct, url = begin["direct_url"], begin["url"]
        worker.open(url)
        # The reads first: the writes change what there is to count.
        wrong = worker.verify(writes=False)
        if direct != url:
            # What is replayed shows no write.
            worker.close()
            worker.open(direct)
        wrong |= worker.verify(writes=True)
        if direct != url:
            worker.close()
            worker.open(url)
        return wrong

    for line in itertools.chain(["null"], sys.stdin):
        asked = json.loads(line)
        try:
            if asked is None:
                worker.load()
            else:
                answer(worker.run(asked["workload"], asked["n"]) if "workload" in asked else prepare())
        except Exception as error:  # noqa: BLE001
            # Whatever a contender raises is told of in the table.
            traceback.print_exc()
            answer({"failed": f"{type(error).__name__}: {error}"})
    worker.close()
    worker.end()


if __name__ == "__main__":
    main()
