"""The process whose instructions are counted: a contender's hot calls between marks that valgrind sees.

`getppid` is the mark: nothing else calls it, and its name is visible in any build of Python.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import os
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

from .data import Case
from .registry import CONTENDERS
from .workloads import BY_NAME, Arguments

__all__ = ["COUNTED", "OTHERS", "main"]

COUNTED = {"get": 50, "by_email": 50, "page": 10, "posts": 10, "create": 30}
"""The workloads that are counted and held to the baseline, and how many calls of each."""
OTHERS = {"deep_page": 10, "view": 5, "update": 30, "upsert": 30, "stats": 10, "bulk": 1}
"""What is counted where all are asked for."""
_WARM_UP = 64


async def _all(verb: Any, calls: list[tuple[Any, ...]]) -> None:
    for call in calls:
        await verb(*call)


def main() -> None:
    """Run the calls: STORE CONTENDER URL CASE WORKLOADS."""
    store, name, url, path, names = sys.argv[1:]
    case = Case(**json.loads(Path(path).read_text()))
    entry = next(entry for entry in CONTENDERS if entry.name == name)
    with asyncio.Runner() as runner:

        def result(made: Any) -> Any:
            async def awaited() -> Any:
                return await made

            return runner.run(awaited()) if inspect.isawaitable(made) else made

        def run(verb: Any, calls: list[tuple[Any, ...]]) -> None:
            if entry.is_async:
                runner.run(_all(verb, calls))
            else:
                for call in calls:
                    verb(*call)

        contender = result(entry.open(store, url))
        arguments = Arguments(case, name)
        arguments.position = result(contender.position(case.deep[0], UUID(hex=case.deep[1])))
        for workload in names.split(","):
            about, number = BY_NAME[workload], {**COUNTED, **OTHERS}[workload]
            if about.needs_kept:
                run(contender.upsert, [(user,) for user in arguments.kept])
            warm_up = 1 if about.one_call else _WARM_UP
            verb, calls = getattr(contender, workload), about.calls(arguments, warm_up + number)
            run(verb, calls[:warm_up])
            # The collector runs by counts of objects, at another place each time that anything before it changes.
            gc.collect()
            gc.disable()
            os.getppid()
            run(verb, calls[warm_up:])
            os.getppid()
            gc.enable()
        result(contender.close())


if __name__ == "__main__":
    main()
