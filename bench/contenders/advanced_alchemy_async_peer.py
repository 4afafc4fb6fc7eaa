# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false
# mypy: ignore-errors
"""Advanced Alchemy, asynchronous: as `advanced_alchemy_peer`, with its asynchronous repository."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from advanced_alchemy.filters import CollectionFilter, LimitOffset, OrderBy
from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from dbkit.blog import User
from dbkit.values import casefold_key

from ..models import COUNTS, POSTS, USERS, VIEWS
from .advanced_alchemy_peer import repositories
from .base import Stats
from .checking import now
from .peers import Dialect, grouped
from .sqlalchemy_core import Statements, dicts, of_single_statements, prepared

__all__ = ["AsyncAdvancedAlchemyContender", "make"]


class AsyncAdvancedAlchemyContender:
    """The verbs on its repositories."""

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
        made = repositories(self._dialect, SQLAlchemyAsyncRepository)
        self._user, self._post, self._users, self._posts = made
        self._sql = Statements(self._dialect)

    async def get(self, id: UUID) -> Any:
        async with self._single() as session:
            found = await self._users(session=session).get_one_or_none(self._user.id == self._dialect.id(id))
            return None if found is None else USERS.validate_python([found])[0]

    async def by_email(self, email: str) -> Any:
        async with self._single() as session:
            found = await self._users(session=session).get_one_or_none(email__casefold=casefold_key(email))
            return None if found is None else USERS.validate_python([found])[0]

    async def page(self) -> Sequence[Any]:
        async with self._single() as session:
            found = await self._users(session=session).list(OrderBy("username"), LimitOffset(51, 0))
            return USERS.validate_python(found[:50])

    async def position(self, username: str, id: UUID) -> Any:
        return username

    async def deep_page(self, position: Any) -> Sequence[Any]:
        async with self._single() as session:
            after = self._user.username > position
            found = await self._users(session=session).list(after, OrderBy("username"), LimitOffset(51, 0))
            return USERS.validate_python(found[:50])

    async def posts(self, user_id: UUID) -> Sequence[Any]:
        async with self._single() as session:
            found = await self._posts(session=session).list(
                CollectionFilter("user_id", [self._dialect.id(user_id)]),
                OrderBy("created_at", "desc"),
                OrderBy("id", "desc"),
                LimitOffset(101, 0),
            )
            return POSTS.validate_python(found[:100])

    async def create(self, user: User) -> None:
        async with self._single() as session:
            await self._users(session=session).add(
                self._user(**self._dialect.values(user)), auto_commit=True, auto_refresh=False
            )

    async def stats(self) -> Stats:
        async with self._single() as session:
            users, posts = (await session.execute(self._sql.totals)).one()
            return (
                users,
                posts,
                COUNTS.validate_python((await session.execute(self._sql.most)).mappings().all()),
            )

    async def bulk(self, users: Sequence[User]) -> int:
        async with self._session() as session:
            rows = [self._user(**self._dialect.values(user)) for user in users]
            await self._users(session=session).add_many(rows, auto_commit=True)
        return len(users)

    async def update(self, id: UUID, bio: str) -> Any:
        async with self._session() as session:
            row = self._user(id=self._dialect.id(id), bio=bio, updated_at=self._dialect.moment(now()))
            found = await self._users(session=session).update(
                row, attribute_names=["bio", "updated_at"], auto_commit=True, auto_refresh=False
            )
            return USERS.validate_python([found])[0]

    async def view(self) -> Sequence[Any]:
        async with self._session() as session:
            parents = dicts(await session.execute(self._sql.parents))
            ids = [parent["id"] for parent in parents]
            children = await session.execute(self._sql.children, {"ids": ids})
            return VIEWS.validate_python(grouped(parents, dicts(children)))

    async def upsert(self, user: User) -> Any:
        async with self._session() as session:
            row = self._user(**self._dialect.values(user))
            found = await self._users(session=session).upsert(
                row, match_fields=["email__casefold"], auto_commit=True, auto_refresh=False
            )
            return USERS.validate_python([found])[0]

    async def iterate(self) -> tuple[int, Any]:
        done, last = 0, None
        async with self._session() as session:
            posts = self._posts(session=session)
            rows = await posts.list(OrderBy("id"), LimitOffset(1000, 0))
            while rows:
                for item in POSTS.validate_python(rows):
                    done, last = done + 1, item
                after = self._post.id > rows[-1].id
                session.expunge_all()
                rows = await posts.list(after, OrderBy("id"), LimitOffset(1000, 0))
        return done, last

    async def close(self) -> None:
        await self._autocommit.dispose()
        await self._engine.dispose()


async def make(url: str) -> AsyncAdvancedAlchemyContender:
    """Open it."""
    return AsyncAdvancedAlchemyContender(url)
