"""The commands."""

from __future__ import annotations

import sys

import typer

__all__ = ["app", "run"]

app = typer.Typer(no_args_is_help=True, help="One typed persistence interface over SQL and MongoDB.")


def run() -> int:
    """Run the command that `sys.argv` asks for, and return its exit code."""
    result = app(args=sys.argv[1:], standalone_mode=False)
    return result if isinstance(result, int) else 0
