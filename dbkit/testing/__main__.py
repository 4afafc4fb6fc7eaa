"""`python -m dbkit.testing conformance|differential|servers`: what the test kit does by itself."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

_COMMANDS = {
    "conformance": "every rule on every store, as one table",
    "differential": "random programs on all stores, which must agree",
    "servers": "start PostgreSQL and MongoDB, and keep them until Ctrl-C",
}


def main(arguments: Sequence[str]) -> int:
    """Run the command that the first argument names; its own arguments follow."""
    if not arguments or arguments[0] not in _COMMANDS:
        print("usage: python -m dbkit.testing COMMAND …")
        for name, what in _COMMANDS.items():
            print(f"    {name:14}{what}")
        return 0 if arguments in ([], ["-h"], ["--help"]) else 2
    command, *rest = arguments
    module = importlib.import_module(f"dbkit.testing.{command}")
    return int(module.main() if command == "servers" else module.main(rest))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
