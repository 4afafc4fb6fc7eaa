# pyright: basic
"""SQLAlchemy Core + pydantic, asynchronous: as `sqlalchemy_core`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import create_async_engine

from dbkit.blog import User
from dbkit.values import casefold_key

from ..models import COUNTS, POSTS, USERS, VIEWS
from .base import Stats
from .checking import now
from .peers import Dialect, grouped
from .sqlalchemy_core import Statements, dicts

__all__ = ["AsyncCoreContender", "make"]


class AsyncCoreContender:
    """The verbs on Core."""

    def __init__(self, engine: Any, connection: Any, dialect: Dialect) -> None:
        self._engine = engine
        self._connection = connection
        self._dialect = dialect
        self._sql = Statements(dialect)

    async def _rows(self, statement: Any, **values: Any) -> list[dict[str, Any]]:
        return dicts(await self._connection.execute(statement, values))

    async def get(self, id: UUID) -> Any:
        found = USERS.validate_python(await self._rows(self._sql.get, key=self._dialect.id(id)))
        return found[0] if found else None

    async def by_email(self, email: str) -> Any:
        found = USERS.validate_python(await self._rows(self._sql.by_email, key=casefold_key(email)))
        return found[0] if found else None

    async def page(self) -> Sequence[Any]:
        return USERS.validate_python((await self._rows(self._sql.page))[:50])

    async def position(self, username: str, id: UUID) -> Any:
        return username

    async def deep_page(self, position: Any) -> Sequence[Any]:
        return USERS.validate_python((await self._rows(self._sql.deep_page, key=position))[:50])

    async def posts(self, user_id: UUID) -> Sequence[Any]:
        return POSTS.validate_python((await self._rows(self._sql.posts, key=self._dialect.id(user_id)))[:100])

    async def create(self, user: User) -> None:
        await self._connection.execute(self._sql.create, self._dialect.values(user))

    async def stats(self) -> Stats:
        users, posts = (await self._connection.execute(self._sql.totals)).one()
        return users, posts, COUNTS.validate_python(await self._rows(self._sql.most))

    async def bulk(self, users: Sequence[User]) -> int:
        async with self._engine.begin() as connection:
            await connection.execute(self._sql.create, [self._dialect.values(user) for user in users])
        return len(users)

    async def update(self, id: UUID, bio: str) -> Any:
        moment = self._dialect.moment(now())
        rows = await self._rows(self._sql.update, key=self._dialect.id(id), new_bio=bio, new_moment=moment)
        return USERS.validate_python(rows)[0]

    async def view(self) -> Sequence[Any]:
        parents = await self._rows(self._sql.parents)
        children = await self._rows(self._sql.children, ids=[parent["id"] for parent in parents])
        return VIEWS.validate_python(grouped(parents, children))

    async def upsert(self, user: User) -> Any:
        return USERS.validate_python(await self._rows(self._sql.upsert, **self._dialect.values(user)))[0]

    async def iterate(self) -> tuple[int, Any]:
        rows = await self._rows(self._sql.first)
        done, last = 0, None
        while rows:
            for item in POSTS.validate_python(rows):
                done, last = done + 1, item
            rows = await self._rows(self._sql.next, key=rows[-1]["id"])
        return done, last

    async def close(self) -> None:
        await self._connection.close()
        await self._engine.dispose()


async def make(url: str) -> AsyncCoreContender:
    """Open it."""
    dialect = Dialect(url)
    engine = create_async_engine(dialect.sqlalchemy_url(is_async=True))
    connection = await (await engine.connect()).execution_options(isolation_level="AUTOCOMMIT")
    if dialect.is_sqlite:
        await connection.exec_driver_sql("PRAGMA foreign_keys = ON")
    return AsyncCoreContender(engine, connection, dialect)
