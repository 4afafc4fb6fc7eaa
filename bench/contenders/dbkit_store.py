"""dbkit, with its pool, on any store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import dbkit
from dbkit.blog import Blog, Post, User, UserWithPosts

from .base import Stats
from .sql import BATCH

__all__ = ["DbkitStore", "make"]


class DbkitStore:
    """The verbs by `dbkit.blog` where it has them, else by the generic store."""

    def __init__(self, url: str) -> None:
        self._db = dbkit.connect(url, entities=[User, Post])
        self._blog = Blog(self._db)
        self._users = self._db.store(User)
        self._posts = self._db.store(Post)

    def get(self, id: UUID) -> Any:
        return self._blog.users.get(id)

    def by_email(self, email: str) -> Any:
        return self._blog.users.by_email(email)

    def page(self) -> Sequence[Any]:
        return self._blog.users.page().items

    def position(self, username: str, id: UUID) -> Any:
        found = self._blog.users.page()
        while found.items[-1].id != id:
            found = self._blog.users.page(after=found.next_cursor)
        return found.next_cursor

    def deep_page(self, position: Any) -> Sequence[Any]:
        return self._blog.users.page(after=position).items

    def posts(self, user_id: UUID) -> Sequence[Any]:
        return self._blog.posts.by_user(user_id, limit=100).items

    def create(self, user: User) -> None:
        self._blog.users.create(user)

    def stats(self) -> Stats:
        users, posts = self._blog.stats.totals()
        return users, posts, self._blog.stats.posts_per_user(limit=10)

    def bulk(self, users: Sequence[User]) -> int:
        return self._users.create_many(users)

    def update(self, id: UUID, bio: str) -> Any:
        return self._users.update(id, User.bio.set(bio))

    def view(self) -> Sequence[Any]:
        return self._users.find(order_by=User.username, limit=20, into=UserWithPosts)

    def upsert(self, user: User) -> Any:
        return self._users.upsert(user, on=User.email)

    def iterate(self, most: int | None = None) -> tuple[int, Any]:
        done, last = 0, None
        for item in self._posts.iterate(batch=BATCH if most is None else min(most, BATCH)):
            done, last = done + 1, item
            if done == most:
                break
        return done, last

    def close(self) -> None:
        self._db.close()


def make(url: str) -> DbkitStore:
    """Open it."""
    return DbkitStore(url)
