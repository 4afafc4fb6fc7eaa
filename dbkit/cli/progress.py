"""Shows how far long work came: on a terminal only, on the standard error, so that what is piped on stays clean."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..migrations import Event

__all__ = ["Counting", "bar", "counting", "watching"]

Counting = Callable[[str, int], None]
"""Told what is being done, and how many rows or documents of it are done."""


@contextmanager
def counting(is_quiet: bool) -> Generator[Counting | None]:
    """Give what shows the work, or None where nobody would see it."""
    if is_quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.fields[done]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        task = progress.add_task("waiting", total=None, done="")

        def show(words: str, rows: int) -> None:
            progress.update(task, description=words, done=f"{rows:,} rows" if rows else "")

        yield show


@contextmanager
def bar(is_quiet: bool, words: str) -> Generator[Callable[[int, int], None] | None]:
    """Give what shows how many of how many are done, or None where nobody would see it."""
    if is_quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        task = progress.add_task(words, total=None)

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield show


@contextmanager
def watching(is_quiet: bool) -> Generator[Callable[[Event], None] | None]:
    """Give what shows a migrator's events, or None where nobody would see it."""
    with counting(is_quiet) as show:
        if show is None:
            yield None
            return

        def tell(event: Event) -> None:
            step = f"{event.stem} {event.direction}"
            show(step if event.words == step else f"{step}: {event.words}", event.rows)

        yield tell
