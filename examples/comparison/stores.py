"""The stores that are compared: found or started, and opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

from dbkit import Database, DbkitError, connect
from dbkit.testing.stores import Shelf, Store

from .data import ENTITIES

__all__ = ["NAMES", "Column", "Missing", "open_columns"]

NAMES = {"memory": "memory", "sqlite": "SQLite", "postgresql": "PostgreSQL", "mongodb": "MongoDB"}
"""What can be asked for, and what it is called until it tells its own name."""


@dataclass(frozen=True)
class Missing:
    """A store that was asked for and cannot be had here."""

    label: str
    name: str
    reason: str


@dataclass(frozen=True)
class Column:
    """One store in the table, under its own name and version."""

    label: str
    name: str
    version: str
    is_surrogate: bool
    url: str = field(repr=False)
    db: Database
    history: Database
    """A database of its own for the repository's history."""

    def __str__(self) -> str:
        surrogate = (
            ", a surrogate: it speaks MongoDB's protocol and is not MongoDB" if self.is_surrogate else ""
        )
        return f"{self.name} {self.version}{surrogate}"


def open_columns(
    asked: Iterable[str], shelf: Shelf, stack: ExitStack, told: Callable[[str], None]
) -> tuple[list[Column], list[Missing]]:
    """Open the stores, in the order of *asked*; also return those that could not be had.

    *told* hears of each as soon as it is known.
    """
    # Servers start side by side.
    with ThreadPoolExecutor() as pool:
        opening = [pool.submit(_open, label, shelf, stack, told) for label in asked]
    found = [each.result() for each in opening]
    return [c for c in found if isinstance(c, Column)], [m for m in found if isinstance(m, Missing)]


def _open(label: str, shelf: Shelf, stack: ExitStack, told: Callable[[str], None]) -> Column | Missing:
    try:
        url = _url(shelf, label, "main")
        db = stack.enter_context(connect(url, entities=ENTITIES))
        history = stack.enter_context(connect(_url(shelf, label, "history"), entities=ENTITIES))
    except (LookupError, DbkitError) as error:
        told(f"{NAMES[label]}: not run: {error}")
        return Missing(label, NAMES[label], str(error))
    server = db.server
    column = Column(label, server.name, server.version, server.is_surrogate, url, db, history)
    told(str(column))
    return column


def _url(shelf: Shelf, label: str, purpose: str) -> str:
    store = shelf.store(f"{label} {purpose}", label)
    if isinstance(store, Store):
        return store.url
    raise LookupError(store.reason)
