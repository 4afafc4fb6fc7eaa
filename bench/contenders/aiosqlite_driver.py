"""raw and floor on SQLite, asynchronous: aiosqlite, one held connection, rows as dicts."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import aiosqlite

from dbkit.blog import User
from dbkit.values import casefold_key

from ..data import sqlite_path, to_ms
from .base import Stats
from .checking import Check, now
from .sqlite_driver import SQL, children_of, lite_values

__all__ = ["AiosqliteDriver", "make"]


class AiosqliteDriver:
    """The verbs on aiosqlite."""

    def __init__(self, connection: aiosqlite.Connection, *, checked: bool) -> None:
        self._check = Check(checked=checked)
        self._connection = connection

    async def _rows(self, text: str, params: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
        # One way to the thread and back, which does not tell the columns' names: so by sqlite3.Row.
        return [dict(row) for row in await self._connection.execute_fetchall(text, params)]

    async def get(self, id: UUID) -> Any:
        found = self._check.users(await self._rows(SQL["get"], (id.bytes,)))
        return found[0] if found else None

    async def by_email(self, email: str) -> Any:
        found = self._check.users(await self._rows(SQL["by_email"], (casefold_key(email),)))
        return found[0] if found else None

    async def page(self) -> Sequence[Any]:
        return self._check.users((await self._rows(SQL["page"]))[:50])

    async def position(self, username: str, id: UUID) -> Any:
        return username

    async def deep_page(self, position: Any) -> Sequence[Any]:
        return self._check.users((await self._rows(SQL["deep_page"], (position,)))[:50])

    async def posts(self, user_id: UUID) -> Sequence[Any]:
        return self._check.posts((await self._rows(SQL["posts"], (user_id.bytes,)))[:100])

    async def create(self, user: User) -> None:
        (checked,) = self._check.written((user,))
        await self._connection.execute_insert(SQL["create"], lite_values(checked))

    async def stats(self) -> Stats:
        (totals,) = await self._rows(SQL["totals"])
        return totals["users"], totals["posts"], self._check.counts(await self._rows(SQL["most"]))

    async def bulk(self, users: Sequence[User]) -> int:
        rows = list(map(lite_values, self._check.written(users)))
        await self._connection.execute("BEGIN IMMEDIATE")
        cursor = await self._connection.executemany(SQL["create"], rows)
        await self._connection.commit()
        return cursor.rowcount

    async def update(self, id: UUID, bio: str) -> Any:
        return self._check.users(await self._rows(SQL["update"], (bio, to_ms(now()), id.bytes)))[0]

    async def view(self) -> Sequence[Any]:
        await self._connection.execute("BEGIN")
        parents = await self._rows(SQL["parents"])
        children = await self._rows(SQL["children"], tuple(parent["id"] for parent in parents))
        await self._connection.commit()
        return self._check.views(children_of(parents, children))

    async def upsert(self, user: User) -> Any:
        (checked,) = self._check.written((user,))
        return self._check.users(await self._rows(SQL["upsert"], lite_values(checked)))[0]

    async def iterate(self) -> tuple[int, Any]:
        rows = await self._rows(SQL["first"])
        done, last = 0, None
        while rows:
            for item in self._check.posts(rows):
                done, last = done + 1, item
            rows = await self._rows(SQL["next"], (rows[-1]["id"],))
        return done, last

    async def close(self) -> None:
        await self._connection.close()


async def make(url: str, *, checked: bool) -> AiosqliteDriver:
    """Open it."""
    connection = await aiosqlite.connect(sqlite_path(url), isolation_level=None, cached_statements=512)
    connection.row_factory = sqlite3.Row
    await connection.execute("PRAGMA foreign_keys = ON")
    return AiosqliteDriver(connection, checked=checked)
