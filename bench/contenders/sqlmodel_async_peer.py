# pyright: basic, reportMissingImports=false, reportCallIssue=false, reportArgumentType=false
# mypy: ignore-errors
"""SQLModel, asynchronous: as `sqlmodel_peer`, with its own AsyncSession."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

from dbkit.blog import User
from dbkit.values import casefold_key

from ..models import COUNTS
from .base import Stats
from .checking import now
from .peers import Dialect, grouped
from .sqlalchemy_core import dicts, of_single_statements, prepared
from .sqlmodel_peer import POSTS, USERS, VIEWS, Queries, UserRead

__all__ = ["AsyncSqlModelContender", "make"]


class AsyncSqlModelContender:
    """The verbs on SQLModel."""

    def __init__(self, url: str) -> None:
        self._dialect = Dialect(url)
        self._engine = create_async_engine(self._dialect.sqlalchemy_url(is_async=True))
        prepared(self._engine.sync_engine, self._dialect)
        self._autocommit = of_single_statements(
            create_async_engine, self._dialect.sqlalchemy_url(is_async=True)
        )
        prepared(self._autocommit.sync_engine, self._dialect)
        self._q = Queries(self._dialect)

    def _session(self) -> AsyncSession:
        return AsyncSession(self._engine, expire_on_commit=False)

    def _single(self) -> AsyncSession:
        return AsyncSession(self._autocommit, expire_on_commit=False)

    async def _all(self, statement: Any, **values: Any) -> Sequence[Any]:
        async with self._single() as session:
            return (await session.exec(statement, params=values)).all()

    async def get(self, id: UUID) -> Any:
        async with self._single() as session:
            found = await session.get(self._q.user, self._dialect.id(id))
            return None if found is None else UserRead.model_validate(found, from_attributes=True)

    async def by_email(self, email: str) -> Any:
        found = await self._all(self._q.by_email, key=casefold_key(email))
        return UserRead.model_validate(found[0], from_attributes=True) if found else None

    async def page(self) -> Sequence[Any]:
        return USERS.validate_python((await self._all(self._q.page))[:50], from_attributes=True)

    async def position(self, username: str, id: UUID) -> Any:
        return username

    async def deep_page(self, position: Any) -> Sequence[Any]:
        return USERS.validate_python((await self._all(self._q.deep, key=position))[:50], from_attributes=True)

    async def posts(self, user_id: UUID) -> Sequence[Any]:
        found = await self._all(self._q.posts, key=self._dialect.id(user_id))
        return POSTS.validate_python(found[:100], from_attributes=True)

    async def create(self, user: User) -> None:
        async with self._single() as session:
            session.add(self._q.user(**self._dialect.values(user)))
            await session.commit()

    async def stats(self) -> Stats:
        async with self._single() as session:
            users, posts = (await session.exec(self._q.sql.totals)).one()
            return (
                users,
                posts,
                COUNTS.validate_python((await session.exec(self._q.sql.most)).mappings().all()),
            )

    async def bulk(self, users: Sequence[User]) -> int:
        async with self._session() as session:
            await session.exec(sa.insert(self._q.user), params=[self._dialect.values(user) for user in users])
            await session.commit()
        return len(users)

    async def update(self, id: UUID, bio: str) -> Any:
        async with self._single() as session:
            values = {"key": self._dialect.id(id), "new_bio": bio, "new_moment": self._dialect.moment(now())}
            found = (await session.exec(self._q.update, params=values)).scalars().one()
            return UserRead.model_validate(found, from_attributes=True)

    async def view(self) -> Sequence[Any]:
        async with self._session() as session:
            parents = dicts(await session.exec(self._q.sql.parents))
            ids = [parent["id"] for parent in parents]
            children = await session.exec(self._q.sql.children, params={"ids": ids})
            return VIEWS.validate_python(grouped(parents, dicts(children)))

    async def upsert(self, user: User) -> Any:
        async with self._single() as session:
            found = (await session.exec(self._q.upsert, params=self._dialect.values(user))).scalars().one()
            return UserRead.model_validate(found, from_attributes=True)

    async def iterate(self) -> tuple[int, Any]:
        done, last = 0, None
        rows = await self._all(self._q.first)
        while rows:
            for item in POSTS.validate_python(rows, from_attributes=True):
                done, last = done + 1, item
            rows = await self._all(self._q.next, key=rows[-1].id)
        return done, last

    async def close(self) -> None:
        await self._autocommit.dispose()
        await self._engine.dispose()


async def make(url: str) -> AsyncSqlModelContender:
    """Open it."""
    return AsyncSqlModelContender(url)
