# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false
# mypy: ignore-errors
"""Peewee + pydantic, asynchronous: as `peewee_peer`, by `playhouse.pwasyncio`, on aiosqlite and asyncpg.

Its documentation has two ways to send a query: the awaitable helpers (`await db.list(query)`), each of
which is `db.run` of one call, and `await db.run(fn)` around synchronous code, beside which the loop goes on
while it waits for the driver. The second is taken: a verb enters the bridge once, however many queries it
sends. `db.iterate` enters it once a row, which costs twice what reading on by key does.

A connection belongs to the task that took it until the task ends: a batch, which is one task, holds one.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from playhouse.pwasyncio import AsyncPostgresqlDatabase, AsyncSqliteDatabase

from dbkit.blog import User

from ..data import sqlite_path
from .base import Stats
from .peers import Dialect
from .peewee_peer import PeeweeContender

__all__ = ["AsyncPeeweeContender", "make"]


def database(dialect: Dialect) -> Any:
    """Return the database; it connects when a task first asks it."""
    if dialect.is_sqlite:
        return AsyncSqliteDatabase(sqlite_path(dialect.url), pool_size=1, pragmas={"foreign_keys": 1})
    parts = urlsplit(dialect.url)
    return AsyncPostgresqlDatabase(
        parts.path[1:], pool_size=1, host=parts.hostname, port=parts.port, user=parts.username
    )


class AsyncPeeweeContender:
    """The synchronous verbs, each run by the database's bridge."""

    def __init__(self, db: Any, dialect: Dialect) -> None:
        self._db = db
        self._verbs = PeeweeContender(db, dialect)

    async def get(self, id: UUID) -> Any:
        return await self._db.run(self._verbs.get, id)

    async def by_email(self, email: str) -> Any:
        return await self._db.run(self._verbs.by_email, email)

    async def page(self) -> Sequence[Any]:
        return await self._db.run(self._verbs.page)

    async def position(self, username: str, id: UUID) -> Any:
        return username

    async def deep_page(self, position: Any) -> Sequence[Any]:
        return await self._db.run(self._verbs.deep_page, position)

    async def posts(self, user_id: UUID) -> Sequence[Any]:
        return await self._db.run(self._verbs.posts, user_id)

    async def create(self, user: User) -> None:
        await self._db.run(self._verbs.create, user)

    async def stats(self) -> Stats:
        return await self._db.run(self._verbs.stats)

    async def bulk(self, users: Sequence[User]) -> int:
        return await self._db.run(self._verbs.bulk, users)

    async def update(self, id: UUID, bio: str) -> Any:
        return await self._db.run(self._verbs.update, id, bio)

    async def view(self) -> Sequence[Any]:
        return await self._db.run(self._verbs.view)

    async def upsert(self, user: User) -> Any:
        return await self._db.run(self._verbs.upsert, user)

    async def iterate(self) -> tuple[int, Any]:
        return await self._db.run(self._verbs.iterate)

    async def close(self) -> None:
        await self._db.close_pool()


async def make(url: str) -> AsyncPeeweeContender:
    """Open it."""
    dialect = Dialect(url)
    db = database(dialect)
    # The pool connects; the task that opens it holds nothing when it ends.
    await db.aconnect()
    await db.aclose()
    return AsyncPeeweeContender(db, dialect)
