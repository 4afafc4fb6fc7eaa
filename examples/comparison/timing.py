"""What dbkit adds to the driver: the client's CPU time per call, a few hundred calls each.

Three do the same on the same data, in turns: the bare driver, whose rows stay dicts; the driver and pydantic, which
makes them the same validated entities as dbkit does; and dbkit. It is this thread's time alone, so a server's slowness is
in none of them. It is a small sample: `make bench` measures properly.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import TypeAdapter

from dbkit.blog import Blog, Post

from .data import Sizes
from .stores import Column

__all__ = ["Cost", "costs"]

ROUNDS = 20
PAGE = 50
Rows = list[dict[str, Any]]
Read = Callable[[], Rows]
_POSTS = TypeAdapter(list[Post])


@dataclass(frozen=True)
class Cost:
    """One call's price, in microseconds of CPU."""

    store: str
    driver: str
    call: str
    calls: int
    """How many there were of each."""
    bare_us: float
    validated_us: float
    """The driver and pydantic."""
    dbkit_us: float

    @property
    def ratio(self) -> float:
        """How many times the bare driver's."""
        return self.dbkit_us / self.bare_us


class Bare(NamedTuple):
    """A driver without dbkit, asked by the statements that one would write."""

    driver: str
    get: Read
    page: Read


def costs(column: Column, posts: Sequence[Post], sizes: Sizes) -> list[Cost]:
    """Measure `get` and a page of 50; nothing where there is no driver to measure against."""
    if column.label not in _BARE:
        return []
    one = posts[len(posts) // 2].id
    (author, _), *_ = Counter(post.user_id for post in posts).most_common(1)
    blog = Blog(column.db)
    with column.db.native() as connection:
        bare = _BARE[column.label](connection, one, author)
        get = _in_turns(bare.get, lambda: blog.posts.get(one), sizes.gets)
        page = _in_turns(bare.page, lambda: blog.posts.by_user(author, limit=PAGE), sizes.pages)
    return [
        Cost(str(column), bare.driver, "get", sizes.gets, *get),
        Cost(str(column), bare.driver, f"page of {PAGE}", sizes.pages, *page),
    ]


def _in_turns(bare: Read, ours: Callable[[], object], calls: int) -> list[float]:
    """Return the best round of each: the bare driver, with pydantic, dbkit. Others on the machine only make one slower."""

    def validated() -> object:
        return _POSTS.validate_python(bare())

    each: list[Callable[[], object]] = [bare, validated, ours]
    for _ in range(10):  # what is compiled, cached or prepared once is not what is measured
        for call in each:
            call()
    rounds = [[_mean_us(call, calls // ROUNDS) for call in each] for _ in range(ROUNDS)]
    return [min(of_one) for of_one in zip(*rounds, strict=True)]


def _mean_us(call: Callable[[], object], times: int) -> float:
    started = time.thread_time_ns()
    for _ in range(times):
        call()
    return (time.thread_time_ns() - started) / times / 1_000


_ONE = "SELECT * FROM posts WHERE id = {0}"
_PAGE = "SELECT * FROM posts WHERE user_id = {0} ORDER BY created_at DESC, id DESC LIMIT 51"


def _sqlite(connection: Any, one: UUID, author: UUID) -> Bare:
    import sqlite3

    def rows(text: str, value: bytes) -> Rows:
        cursor = connection.execute(text, (value,))
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    get, page = _ONE.format("?"), _PAGE.format("?")
    return Bare(
        f"sqlite3 {sqlite3.sqlite_version}", lambda: rows(get, one.bytes), lambda: rows(page, author.bytes)
    )


def _postgresql(connection: Any, one: UUID, author: UUID) -> Bare:
    import psycopg
    from psycopg.rows import dict_row

    cursor = connection.cursor(row_factory=dict_row)

    def rows(text: str, value: UUID) -> Rows:
        found: Rows = cursor.execute(text, (value,)).fetchall()
        return found

    get, page = _ONE.format("%s"), _PAGE.format("%s")
    return Bare(f"psycopg {psycopg.__version__}", lambda: rows(get, one), lambda: rows(page, author))


def _mongodb(lent: Any, one: UUID, author: UUID) -> Bare:
    import pymongo
    from bson import Binary

    posts = lent[0]["posts"]
    by_id, by_author = {"_id": Binary(one.bytes, 4)}, {"user_id": Binary(author.bytes, 4)}
    order = [("created_at", -1), ("_id", -1)]

    def rows(filter: dict[str, Any], limit: int) -> Rows:
        found: Rows = list(posts.find(filter).sort(order).limit(limit))
        for document in found:
            document["id"] = document.pop("_id")
        return found

    return Bare(f"pymongo {pymongo.version}", lambda: rows(by_id, 1), lambda: rows(by_author, PAGE + 1))


_BARE: dict[str, Callable[[Any, UUID, UUID], Bare]] = {
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "mongodb": _mongodb,
}
