"""The process whose instructions are counted: a contender's hot calls between marks that valgrind sees.

`getppid` is the mark: nothing else calls it, and its name is visible in any build of Python.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path
from uuid import UUID

from .data import Case
from .registry import CONTENDERS
from .workloads import BY_NAME, Arguments

__all__ = ["COUNTED", "main"]

COUNTED = {"get": 50, "by_email": 50, "page": 10, "posts": 10, "create": 30}
"""The workloads that are counted, and how many calls of each."""
_WARM_UP = 64


def main() -> None:
    """Run the calls: STORE CONTENDER URL CASE."""
    store, name, url, path = sys.argv[1:]
    case = Case(**json.loads(Path(path).read_text()))
    contender = next(entry for entry in CONTENDERS if entry.name == name).open(store, url)
    arguments = Arguments(case, name)
    arguments.position = contender.position(case.deep[0], UUID(hex=case.deep[1]))
    for workload, number in COUNTED.items():
        verb = getattr(contender, workload)
        calls = BY_NAME[workload].calls(arguments, _WARM_UP + number)
        for call in calls[:_WARM_UP]:
            verb(*call)
        calls = calls[_WARM_UP:]
        # The collector runs by counts of objects, at another place each time that anything before it changes.
        gc.collect()
        gc.disable()
        os.getppid()
        for call in calls:
            verb(*call)
        os.getppid()
        gc.enable()
    contender.close()


if __name__ == "__main__":
    main()
