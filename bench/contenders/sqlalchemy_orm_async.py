# pyright: basic
"""SQLAlchemy ORM + pydantic, asynchronous: as `sqlalchemy_orm`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from dbkit.blog import User
from dbkit.values import casefold_key

from ..models import COUNTS, POSTS, USERS, VIEWS
from .base import Stats
from .checking import now
from .peers import Dialect
from .sqlalchemy_core import of_single_statements, prepared
from .sqlalchemy_orm import Queries

__all__ = ["AsyncOrmContender", "make"]


class AsyncOrmContender:
    """The verbs on the ORM."""

    def __init__(self, url: str) -> None:
        self._dialect = Dialect(url)
        self._engine = create_async_engine(self._dialect.sqlalchemy_url(is_async=True))
        prepared(self._engine.sync_engine, self._dialect)
        self._session = async_sessionmaker(self._engine, expire_on_commit=False)
        self._autocommit = of_single_statements(
            create_async_engine, self._dialect.sqlalchemy_url(is_async=True)
        )
        prepared(self._autocommit.sync_engine, self._dialect)
        self._single = async_sessionmaker(self._autocommit, expire_on_commit=False)
        self._q = Queries(self._dialect)

    async def get(self, id: UUID) -> Any:
        async with self._single() as session:
            found = await session.get(self._q.user, self._dialect.id(id))
            return None if found is None else USERS.validate_python([found])[0]

    async def by_email(self, email: str) -> Any:
        async with self._single() as session:
            found = (await session.scalars(self._q.by_email, {"key": casefold_key(email)})).one_or_none()
            return None if found is None else USERS.validate_python([found])[0]

    async def page(self) -> Sequence[Any]:
        async with self._single() as session:
            return USERS.validate_python((await session.scalars(self._q.page)).all()[:50])

    async def position(self, username: str, id: UUID) -> Any:
        return username

    async def deep_page(self, position: Any) -> Sequence[Any]:
        async with self._single() as session:
            return USERS.validate_python((await session.scalars(self._q.deep, {"key": position})).all()[:50])

    async def posts(self, user_id: UUID) -> Sequence[Any]:
        async with self._single() as session:
            found = await session.scalars(self._q.posts, {"key": self._dialect.id(user_id)})
            return POSTS.validate_python(found.all()[:100])

    async def create(self, user: User) -> None:
        async with self._single() as session:
            session.add(self._q.new(user))
            await session.commit()

    async def stats(self) -> Stats:
        async with self._single() as session:
            users, posts = (await session.execute(self._q.sql.totals)).one()
            most = (await session.execute(self._q.sql.most)).mappings().all()
            return users, posts, COUNTS.validate_python(most)

    async def bulk(self, users: Sequence[User]) -> int:
        async with self._session.begin() as session:
            await session.execute(sa.insert(self._q.user), [self._dialect.values(user) for user in users])
        return len(users)

    async def update(self, id: UUID, bio: str) -> Any:
        async with self._single() as session:
            values = {"key": self._dialect.id(id), "new_bio": bio, "new_moment": self._dialect.moment(now())}
            return USERS.validate_python((await session.scalars(self._q.update, values)).all())[0]

    async def view(self) -> Sequence[Any]:
        async with self._session() as session:
            parents = (await session.scalars(self._q.parents)).all()
            children: dict[Any, list[Any]] = {parent.id: [] for parent in parents}
            for child in await session.scalars(self._q.children, {"ids": list(children)}):
                children[child.user_id].append(child)
            for parent in parents:
                parent.posts = children[parent.id]
            return VIEWS.validate_python(parents)

    async def upsert(self, user: User) -> Any:
        async with self._single() as session:
            rows = await session.scalars(self._q.upsert, self._dialect.values(user))
            return USERS.validate_python(rows.all())[0]

    async def iterate(self) -> tuple[int, Any]:
        done, last = 0, None
        async with self._session() as session:
            rows = (await session.scalars(self._q.first)).all()
            while rows:
                for item in POSTS.validate_python(rows):
                    done, last = done + 1, item
                after = rows[-1].id
                session.expunge_all()
                rows = (await session.scalars(self._q.next, {"key": after})).all()
        return done, last

    async def close(self) -> None:
        await self._autocommit.dispose()
        await self._engine.dispose()


async def make(url: str) -> AsyncOrmContender:
    """Open it."""
    return AsyncOrmContender(url)
