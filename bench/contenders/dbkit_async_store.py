"""dbkit, asynchronous, with its pool, on any store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import dbkit
from dbkit.blog import AsyncBlog, Post, User, UserWithPosts

from .base import Stats

__all__ = ["AsyncDbkitStore", "make"]


class AsyncDbkitStore:
    """The verbs by `dbkit.blog` where it has them, else by the generic store."""

    def __init__(self, db: dbkit.AsyncDatabase) -> None:
        self._db = db
        self._blog = AsyncBlog(self._db)
        self._users = self._db.store(User)
        self._posts = self._db.store(Post)

    async def get(self, id: UUID) -> Any:
        return await self._blog.users.get(id)

    async def by_email(self, email: str) -> Any:
        return await self._blog.users.by_email(email)

    async def page(self) -> Sequence[Any]:
        return (await self._blog.users.page()).items

    async def position(self, username: str, id: UUID) -> Any:
        found = await self._blog.users.page()
        while found.items[-1].id != id:
            found = await self._blog.users.page(after=found.next_cursor)
        return found.next_cursor

    async def deep_page(self, position: Any) -> Sequence[Any]:
        return (await self._blog.users.page(after=position)).items

    async def posts(self, user_id: UUID) -> Sequence[Any]:
        return (await self._blog.posts.by_user(user_id, limit=100)).items

    async def create(self, user: User) -> None:
        await self._blog.users.create(user)

    async def stats(self) -> Stats:
        users, posts = await self._blog.stats.totals()
        return users, posts, await self._blog.stats.posts_per_user(limit=10)

    async def bulk(self, users: Sequence[User]) -> int:
        return await self._users.create_many(users)

    async def update(self, id: UUID, bio: str) -> Any:
        return await self._users.update(id, User.bio.set(bio))

    async def view(self) -> Sequence[Any]:
        return await self._users.find(order_by=User.username, limit=20, into=UserWithPosts)

    async def upsert(self, user: User) -> Any:
        return await self._users.upsert(user, on=User.email)

    async def iterate(self) -> tuple[int, Any]:
        done, last = 0, None
        async for item in self._posts.iterate():
            done, last = done + 1, item
        return done, last

    async def close(self) -> None:
        await self._db.close()


async def make(url: str) -> AsyncDbkitStore:
    """Open it."""
    return AsyncDbkitStore(await dbkit.aconnect(url, entities=[User, Post]).open())
