"""One migrator of a SQLite file at a time, also between the statements of a step that is no transaction.

The database's own write lock ends with each transaction. So a migrator holds SQLite's lock of a second, empty file beside
the database, `shop.db-migrating`: the operating system frees it when its process ends, however that comes about, and it
works wherever SQLite's locks work (https://www.sqlite.org/lockingv3.html). The file stays: who removed it while another
one opens it would let two in.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from time import monotonic

from dbkit.errors import Locked
from dbkit.options import LOCK_WAIT_S

from ..drivers import sqlite_failure
from ..errors import BUSY

__all__ = ["is_busy", "turn"]


def is_busy(error: sqlite3.OperationalError) -> bool:
    """Whether somebody else holds the lock."""
    failure = sqlite_failure(error)
    return failure is not None and failure.code is not None and int(failure.code) & 0xFF == BUSY


@contextmanager
def turn(path: str, timeout_s: float) -> Generator[None]:
    """Be the only migrator of the database file *path* inside the block; wait for another one at most *timeout_s*.

    Raises:
        Locked: another one ran all the time.
    """
    deadline = monotonic() + timeout_s
    with closing(sqlite3.connect(f"{path}-migrating", isolation_level=None)) as held:
        while True:
            # In small portions: no signal is heard meanwhile.
            left = max(0.0, min(deadline - monotonic(), LOCK_WAIT_S))
            held.execute(f"PRAGMA busy_timeout = {round(left * 1000)}")
            try:
                held.execute("BEGIN EXCLUSIVE")
                break
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                if monotonic() >= deadline:
                    raise Locked(
                        f"another migrator ran for {timeout_s:g} s", hint="wait for its end, and try again"
                    ) from error
        yield
