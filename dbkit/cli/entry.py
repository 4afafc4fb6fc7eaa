"""Where the command begins: it needs typer and rich, which an application that only stores does not."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> int:
    """Run the command and return its exit code; without its extra, say how to install it."""
    try:
        from .app import run
    except ImportError as error:
        print(
            f"the dbkit command needs {error.name}: pip install 'dbkit-stores[cli]'",
            file=sys.stderr,
        )
        return 2
    return run()
