"""raw and floor on PostgreSQL: psycopg 3, one held connection in autocommit, rows as dicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from dbkit.blog import User
from dbkit.values import casefold_key

from .base import Stats
from .checking import Check, now, values_of
from .sql import BATCH, statements
from .sqlite_driver import children_of

__all__ = ["SQL", "PostgresDriver", "make"]

SQL: Any = statements("postgresql")


class PostgresDriver:
    """The verbs on psycopg."""

    def __init__(self, url: str, *, checked: bool, own: bool = False) -> None:
        self._check = Check(checked=checked, own=own)
        # psycopg's overloads do not say what a row factory makes of the rows.
        self._connection: Any = psycopg.connect(url, autocommit=True, row_factory=cast("Any", dict_row))

    def _rows(self, text: Any, params: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._connection.execute(text, params).fetchall()
        return found

    def get(self, id: UUID) -> Any:
        found = self._check.users(self._rows(SQL["get"], (id,)))
        return found[0] if found else None

    def by_email(self, email: str) -> Any:
        found = self._check.users(self._rows(SQL["by_email"], (casefold_key(email),)))
        return found[0] if found else None

    def page(self) -> Sequence[Any]:
        return self._check.users(self._rows(SQL["page"])[:50])

    def position(self, username: str, id: UUID) -> Any:
        return username

    def deep_page(self, position: Any) -> Sequence[Any]:
        return self._check.users(self._rows(SQL["deep_page"], (position,))[:50])

    def posts(self, user_id: UUID) -> Sequence[Any]:
        return self._check.posts(self._rows(SQL["posts"], (user_id,))[:100])

    def create(self, user: User) -> None:
        (checked,) = self._check.written((user,))
        self._connection.execute(SQL["create"], values_of(checked))

    def stats(self) -> Stats:
        (totals,) = self._rows(SQL["totals"])
        return totals["users"], totals["posts"], self._check.counts(self._rows(SQL["most"]))

    def bulk(self, users: Sequence[User]) -> int:
        rows = map(values_of, self._check.written(users))
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(SQL["create"], rows)
            return int(cursor.rowcount)

    def update(self, id: UUID, bio: str) -> Any:
        return self._check.users(self._rows(SQL["update"], (bio, now(), id)))[0]

    def view(self) -> Sequence[Any]:
        with self._connection.transaction():
            self._connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            parents = self._rows(SQL["parents"])
            children = self._rows(SQL["children"], ([parent["id"] for parent in parents],))
        return self._check.views(children_of(parents, children))

    def upsert(self, user: User) -> Any:
        (checked,) = self._check.written((user,))
        return self._check.users(self._rows(SQL["upsert"], values_of(checked)))[0]

    def iterate(self, most: int | None = None) -> tuple[int, Any]:
        size = BATCH if most is None else min(most, BATCH)
        first, following = (
            SQL[name].replace(f"LIMIT {BATCH}", f"LIMIT {size}") for name in ("first", "next")
        )
        rows = self._rows(first)
        done, last = 0, None
        while rows:
            for item in self._check.posts(rows):
                done, last = done + 1, item
            if done == most:
                break
            rows = self._rows(following, (rows[-1]["id"],))
        return done, last

    def close(self) -> None:
        self._connection.close()


def make(url: str, *, checked: bool, own: bool = False) -> PostgresDriver:
    """Open it."""
    return PostgresDriver(url, checked=checked, own=own)
