"""What dbkit adds to the driver: the client's CPU time per call, a few hundred calls each.

Both sides do the same on the same data, in turns; the driver's rows stay dicts, dbkit's become validated entities. It is
this thread's time alone, so a server's slowness is in neither figure. A small sample: `make bench` measures properly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any
from uuid import UUID

from dbkit.blog import Blog, Post

from .data import Sizes
from .stores import Column

__all__ = ["Cost", "costs"]

ROUNDS = 10
PAGE = 50


@dataclass(frozen=True)
class Cost:
    """One call's price."""

    store: str
    driver: str
    call: str
    calls: int
    """How many there were of each."""
    bare_us: float
    """Microseconds of CPU by the bare driver."""
    dbkit_us: float

    @property
    def ratio(self) -> float:
        """How many times the bare driver's."""
        return self.dbkit_us / self.bare_us


Call = Callable[[], object]


def costs(columns: Sequence[Column], posts: Sequence[Post], sizes: Sizes) -> list[Cost]:
    """Measure `get` and a page of 50 wherever there is a driver to measure against."""
    found: list[Cost] = []
    busiest = max({post.user_id for post in posts}, key=[post.user_id for post in posts].count)
    for column in columns:
        if column.label in _BARE:
            found += _of(column, posts[len(posts) // 2].id, busiest, sizes)
    return found


def _of(column: Column, one: UUID, author: UUID, sizes: Sizes) -> list[Cost]:
    blog = Blog(column.db)
    with column.db.native() as connection:
        driver, get, page = _BARE[column.label](connection, one, author)
        in_turns = {
            ("get", sizes.gets): _in_turns(get, lambda: blog.posts.get(one), sizes.gets),
            (f"page of {PAGE}", sizes.pages): _in_turns(
                page, lambda: blog.posts.by_user(author, limit=PAGE), sizes.pages
            ),
        }
    return [Cost(str(column), driver, call, calls, *both) for (call, calls), both in in_turns.items()]


def _in_turns(bare: Call, ours: Call, calls: int) -> tuple[float, float]:
    """Return the median of the rounds' means, in microseconds."""
    for _ in range(10):  # what is compiled, cached or prepared once is not what is measured
        bare()
        ours()
    size = calls // ROUNDS
    rounds = [(_mean_us(bare, size), _mean_us(ours, size)) for _ in range(ROUNDS)]
    return median(b for b, _ in rounds), median(o for _, o in rounds)


def _mean_us(call: Call, times: int) -> float:
    started = time.thread_time_ns()
    for _ in range(times):
        call()
    return (time.thread_time_ns() - started) / times / 1_000


# -- the bare drivers, asked for the same rows by the statements that one would write --------------------------------------

_ONE = "SELECT * FROM posts WHERE id = {0}"
_PAGE = "SELECT * FROM posts WHERE user_id = {0} ORDER BY created_at DESC, id DESC LIMIT 51"


def _sqlite(connection: Any, one: UUID, author: UUID) -> tuple[str, Call, Call]:
    import sqlite3

    def rows(text: str, value: bytes) -> list[dict[str, Any]]:
        cursor = connection.execute(text, (value,))
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    get, page = _ONE.format("?"), _PAGE.format("?")
    name = f"sqlite3 of Python, {sqlite3.sqlite_version}"
    return name, lambda: rows(get, one.bytes), lambda: rows(page, author.bytes)


def _postgresql(connection: Any, one: UUID, author: UUID) -> tuple[str, Call, Call]:
    import psycopg
    from psycopg.rows import dict_row

    cursor = connection.cursor(row_factory=dict_row)
    get, page = _ONE.format("%s"), _PAGE.format("%s")
    name = f"psycopg {psycopg.__version__}"
    return (
        name,
        lambda: cursor.execute(get, (one,)).fetchall(),
        lambda: cursor.execute(page, (author,)).fetchall(),
    )


def _mongodb(lent: Any, one: UUID, author: UUID) -> tuple[str, Call, Call]:
    import pymongo
    from bson import Binary

    posts = lent[0]["posts"]
    get, page = {"_id": Binary(one.bytes, 4)}, {"user_id": Binary(author.bytes, 4)}
    order = [("created_at", -1), ("_id", -1)]
    name = f"pymongo {pymongo.version}"
    return (
        name,
        lambda: posts.find_one(get),
        lambda: list(posts.find(page).sort(order).limit(PAGE + 1)),
    )


_BARE: dict[str, Callable[[Any, UUID, UUID], tuple[str, Call, Call]]] = {
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "mongodb": _mongodb,
}
