"""raw and floor on PostgreSQL, asynchronous: psycopg 3, one held connection in autocommit, rows as dicts."""

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
from .postgres_driver import SQL
from .sqlite_driver import children_of

__all__ = ["AsyncPostgresDriver", "make"]


class AsyncPostgresDriver:
    """The verbs on psycopg."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], *, checked: bool) -> None:
        self._check = Check(checked=checked)
        self._connection = connection

    async def _rows(self, text: Any, params: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
        return await (await self._connection.execute(text, params)).fetchall()

    async def get(self, id: UUID) -> Any:
        found = self._check.users(await self._rows(SQL["get"], (id,)))
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
        return self._check.posts((await self._rows(SQL["posts"], (user_id,)))[:100])

    async def create(self, user: User) -> None:
        (checked,) = self._check.written((user,))
        await self._connection.execute(SQL["create"], values_of(checked))

    async def stats(self) -> Stats:
        (totals,) = await self._rows(SQL["totals"])
        return totals["users"], totals["posts"], self._check.counts(await self._rows(SQL["most"]))

    async def bulk(self, users: Sequence[User]) -> int:
        rows = map(values_of, self._check.written(users))
        async with self._connection.transaction(), self._connection.cursor() as cursor:
            await cursor.executemany(SQL["create"], rows)
            return cursor.rowcount

    async def update(self, id: UUID, bio: str) -> Any:
        return self._check.users(await self._rows(SQL["update"], (bio, now(), id)))[0]

    async def view(self) -> Sequence[Any]:
        async with self._connection.transaction():
            await self._connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            parents = await self._rows(SQL["parents"])
            children = await self._rows(SQL["children"], ([parent["id"] for parent in parents],))
        return self._check.views(children_of(parents, children))

    async def upsert(self, user: User) -> Any:
        (checked,) = self._check.written((user,))
        return self._check.users(await self._rows(SQL["upsert"], values_of(checked)))[0]

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


async def make(url: str, *, checked: bool) -> AsyncPostgresDriver:
    """Open it."""
    connection = await psycopg.AsyncConnection.connect(
        url, autocommit=True, row_factory=cast("Any", dict_row)
    )
    return AsyncPostgresDriver(connection, checked=checked)
