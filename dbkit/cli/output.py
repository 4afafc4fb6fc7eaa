"""What a command says: lines for people, or one JSON document with stable keys."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import typer

__all__ = ["bad", "columns", "emit", "faint", "good", "is_terminal", "shown", "to_json"]


def emit(as_json: bool, answer: Mapping[str, Any], lines: Iterable[str]) -> None:
    """Print *answer* as JSON, or *lines*."""
    if as_json:
        typer.echo(to_json(answer))
        return
    for line in lines:
        typer.echo(line)


def to_json(answer: Mapping[str, Any]) -> str:
    """Return the document's text: in the order of its keys, non-ASCII as it is."""
    return json.dumps(answer, indent=2, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Path):
        return value.as_posix()
    # A server's own answer may hold its driver's types.
    return str(value)


def columns(rows: Iterable[Sequence[str]], indent: str = "") -> list[str]:
    """Return the rows as lines with aligned columns; the last one is as long as it is."""
    kept = [list(row) for row in rows]
    if not kept:
        return []
    widths = [max(len(row[i]) for row in kept) for i in range(len(kept[0]) - 1)]
    return [
        (
            indent
            + "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        ).rstrip()
        for row in kept
    ]


def shown(path: Path) -> str:
    """Return the path as seen from the current folder, where it is below."""
    here = Path.cwd()
    return (path.relative_to(here) if path.is_relative_to(here) else path).as_posix()


def good(text: str) -> str:
    """Return *text* green, on a terminal."""
    return typer.style(text, fg="green")


def bad(text: str) -> str:
    """Return *text* red, on a terminal."""
    return typer.style(text, fg="red")


def faint(text: str) -> str:
    """Return *text* dim, on a terminal."""
    return typer.style(text, dim=True)


def is_terminal() -> bool:
    """Return whether somebody sits there who can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()
