"""Where the command begins: it needs typer and rich, which an application that only stores does not."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> int:
    """Run the command and return its exit code; without its extra, say how to install it."""
    try:
        from .app import run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in {"typer", "rich"}:
            raise
        sys.stderr.write(f"the dbkit command needs {error.name}: pip install 'dbkit-stores[cli]'\n")
        return 2
    return run()
