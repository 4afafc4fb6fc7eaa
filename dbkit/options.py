"""What `connect` is told, in one value that backends read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["LOCK_WAIT_S", "MAX_ROWS_TOUCHED", "MAX_ROWS_UNASKED", "TRANSACTION_S", "Isolation", "Options"]

Isolation = Literal["snapshot", "serializable"]

LOCK_WAIT_S = 5.0
"""Waiting for another's lock ends after this with `Conflict`; outside transactions dbkit retries for as long."""
TRANSACTION_S = 30.0
"""The first call or exit after this rolls a transaction back and raises `DeadlineExceeded`."""
MAX_ROWS_TOUCHED = 10_000
"""The most rows that one write may touch, cascades included."""
MAX_ROWS_UNASKED = 1_000
"""The most rows that a read without a limit, or a relation, returns."""


@dataclass(frozen=True, slots=True)
class Options:
    """What `connect` was told beside the URL; what stood in the URL's query is merged in."""

    pool_size: int = 10
    """The most connections that are open at once."""
    timeout_s: float = 30.0
    """The longest that one statement, or waiting for a connection, may take."""
    allow: frozenset[str] = frozenset()
    """Extras beyond SEMANTICS that the program named, e.g. `"serializable"`."""
    driver: tuple[tuple[str, str], ...] = ()
    """The driver's own keys that stood in the URL's query, unchanged."""
