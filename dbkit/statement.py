"""What a store lets others see of its work: statements as they ran, plans as they would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Hook", "Plan", "ServerInfo", "Statement"]


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement that was sent to the store, never with its values.

    `text` is SQL with placeholders, or a MongoDB command with its values left out: its first key is the command's name.
    BEGIN, COMMIT and ROLLBACK are statements, too; MongoDB's `startTransaction` is part of the first command and so none,
    and of a transaction that sent nothing the end is not sent either. A bulk statement (`executemany`, COPY, an `insert`
    of many documents) is told once.

    Not told is what a driver does by itself: opening connections (with what is set on them), a cursor's further batches
    (`getMore`), what is sent again after a network error, the end of MongoDB's sessions at `close()`,
    and the lock of a file of their own by which migrators of SQLite wait for each other.
    """

    backend: str
    text: str
    duration_s: float
    error: str | None = None
    """The driver's error class, where it failed."""


Hook = Callable[[Statement], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How the store would answer a read: by one statement, or by several of one instant.

    Each statement has a plan of its own: this one is the first's, `further` has the others'. Where a read takes several
    is the store's matter: MongoDB reads children in the same pipeline, which has one plan.
    """

    statement: str
    """The SQL, or the filter or pipeline as JSON; values are placeholders."""
    indexes: tuple[str, ...]
    """The indexes that the planner chose, in the plan's order."""
    examined: int | None
    """Rows or documents that were looked at; PostgreSQL and MongoDB run the read to tell it. None where the store does not say."""
    sorted_in_memory: bool | None
    """Whether rows are sorted after they were read, as no index has the order; None where the store does not say."""
    scans: tuple[str, ...] = ()
    """The tables or collections that are read whole."""
    raw: Any = field(default=None, repr=False)
    """The server's own answer."""
    further: tuple[Plan, ...] = ()
    """The plans of the statements that follow, as they are sent: a view's children, then the total of a page."""

    @property
    def parts(self) -> tuple[Plan, ...]:
        """This plan and the further ones: all that the read sends, in order."""
        return (self, *self.further)


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Who answers."""

    name: str
    """`"PostgreSQL"`, `"SQLite"`, `"MongoDB"`, …; a stand-in has its own name."""
    version: str
    is_surrogate: bool = False
    """Whether it only speaks the product's protocol: nothing that it shows is said of the product."""

    def __str__(self) -> str:
        label = f"{self.name} {self.version}"
        return f"{label} (surrogate: MongoDB wire protocol)" if self.is_surrogate else label
