"""raw and floor on SQLite: the standard library's sqlite3, one held connection, rows as dicts."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from dbkit.blog import User
from dbkit.values import casefold_key

from ..data import sqlite_path, to_ms
from ..models import PlainUser
from .base import Stats
from .checking import Check, now
from .sql import BATCH, statements

__all__ = ["SqliteDriver", "children_of", "lite_values", "make"]

SQL = statements("sqlite")


def lite_values(user: User | PlainUser) -> tuple[Any, ...]:
    """Return the row of a user as SQLite keeps it."""
    return (
        user.id.bytes,
        to_ms(user.created_at),
        to_ms(user.updated_at),
        user.username,
        user.email,
        user.bio,
        casefold_key(user.email),
    )


def children_of(parents: list[dict[str, Any]], children: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put each child into its parent."""
    by_parent: dict[Any, list[dict[str, Any]]] = {}
    for parent in parents:
        parent["posts"] = by_parent[parent["id"]] = []
    for child in children:
        by_parent[child["user_id"]].append(child)
    return parents


class SqliteDriver:
    """The verbs on sqlite3."""

    def __init__(self, url: str, *, checked: bool, own: bool = False) -> None:
        self._check = Check(checked=checked, own=own, in_ms=True)
        self._connection = sqlite3.connect(sqlite_path(url), isolation_level=None, cached_statements=512)
        self._connection.execute("PRAGMA foreign_keys = ON")

    def _rows(self, text: str, params: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
        cursor = self._connection.execute(text, params)
        names = [column[0] for column in cursor.description]
        # For a page a seventh cheaper than sqlite3.Row, and as cheap for one row.
        return [dict(zip(names, row, strict=False)) for row in cursor.fetchall()]

    def get(self, id: UUID) -> Any:
        found = self._check.users(self._rows(SQL["get"], (id.bytes,)))
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
        return self._check.posts(self._rows(SQL["posts"], (user_id.bytes,))[:100])

    def create(self, user: User) -> None:
        (checked,) = self._check.written((user,))
        self._connection.execute(SQL["create"], lite_values(checked))

    def stats(self) -> Stats:
        (totals,) = self._rows(SQL["totals"])
        return totals["users"], totals["posts"], self._check.counts(self._rows(SQL["most"]))

    def bulk(self, users: Sequence[User]) -> int:
        rows = map(lite_values, self._check.written(users))
        self._connection.execute("BEGIN IMMEDIATE")
        with self._connection:
            return self._connection.executemany(SQL["create"], rows).rowcount

    def update(self, id: UUID, bio: str) -> Any:
        moment: datetime = now()
        return self._check.users(self._rows(SQL["update"], (bio, to_ms(moment), id.bytes)))[0]

    def view(self) -> Sequence[Any]:
        self._connection.execute("BEGIN")
        with self._connection:
            parents = self._rows(SQL["parents"])
            children = self._rows(SQL["children"], tuple(parent["id"] for parent in parents))
        return self._check.views(children_of(parents, children))

    def upsert(self, user: User) -> Any:
        (checked,) = self._check.written((user,))
        return self._check.users(self._rows(SQL["upsert"], lite_values(checked)))[0]

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


def make(url: str, *, checked: bool, own: bool = False) -> SqliteDriver:
    """Open it."""
    return SqliteDriver(url, checked=checked, own=own)
