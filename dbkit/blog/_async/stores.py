"""What an application depends on, and its one implementation on the generic store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from dbkit._async.database import AsyncDatabase, AsyncStores
from dbkit._async.transaction import AsyncTransaction
from dbkit.page import Page

from ..models import Post, PostLine, PostsPerDay, PostsPerMonth, Totals, User, UserPostCount, UserWithPosts

if TYPE_CHECKING:
    from dbkit.query import Change

__all__ = ["AsyncBlog", "AsyncPostStore", "AsyncStatsStore", "AsyncUserStore"]


class AsyncUserStore(Protocol):
    """Authors."""

    async def create(self, user: User) -> User:
        """Store a new author; `DuplicateKey` where the name or the address is taken."""
        ...

    async def get(self, id: UUID) -> User | None:
        """Return the author, or None."""
        ...

    async def get_with_posts(self, id: UUID) -> UserWithPosts | None:
        """Return the author with the latest three posts, of one instant, or None."""
        ...

    async def by_email(self, email: str) -> User | None:
        """Return the author with this address, in whatever case it is written, or None."""
        ...

    async def page(self, *, limit: int = 50, after: str | None = None) -> Page[User]:
        """Return authors by name."""
        ...

    async def update(self, id: UUID, *changes: Change) -> User:
        """Change an author; `NotFound` where there is none."""
        ...

    async def delete(self, id: UUID) -> bool:
        """Delete an author and all posts of theirs; return whether there was one."""
        ...


class AsyncPostStore(Protocol):
    """Posts."""

    async def create(self, post: Post) -> Post:
        """Store a new post; `ReferenceViolation` where there is no such author."""
        ...

    async def get(self, id: UUID) -> Post | None:
        """Return the post, or None."""
        ...

    async def by_user(self, user_id: UUID, *, limit: int = 50, after: str | None = None) -> Page[Post]:
        """Return an author's posts, the latest first."""
        ...

    async def lines(self, *, limit: int = 50, after: str | None = None) -> Page[PostLine]:
        """Return all posts as lines with their authors' names, the latest first."""
        ...

    async def update(self, id: UUID, *changes: Change) -> Post:
        """Change a post; `NotFound` where there is none."""
        ...

    async def delete(self, id: UUID) -> bool:
        """Delete a post; return whether there was one."""
        ...


class AsyncStatsStore(Protocol):
    """Figures, computed by the store."""

    async def totals(self) -> Totals:
        """Return how many authors and posts there are, in one round trip."""
        ...

    async def posts_per_user(self, *, limit: int = 10) -> list[UserPostCount]:
        """Return who wrote most, the most first; authors without a post are not among them."""
        ...

    async def posts_per_day(self) -> list[PostsPerDay]:
        """Return how much was written on each day (UTC) on which anything was, the earliest first."""
        ...

    async def posts_per_month(self) -> list[PostsPerMonth]:
        """Return how much was written in each month (UTC) in which anything was, the earliest first."""
        ...


class _Users:
    def __init__(self, stores: AsyncStores) -> None:
        self._users = stores.store(User)

    async def create(self, user: User) -> User:
        return await self._users.create(user)

    async def get(self, id: UUID) -> User | None:
        return await self._users.get(id)

    async def get_with_posts(self, id: UUID) -> UserWithPosts | None:
        return await self._users.get(id, into=UserWithPosts)

    async def by_email(self, email: str) -> User | None:
        return await self._users.find_one(User.email.equals_casefold(email))

    async def page(self, *, limit: int = 50, after: str | None = None) -> Page[User]:
        return await self._users.page(order_by=User.username, limit=limit, after=after)

    async def update(self, id: UUID, *changes: Change) -> User:
        return await self._users.update(id, *changes)

    async def delete(self, id: UUID) -> bool:
        return await self._users.delete(id)


class _Posts:
    def __init__(self, stores: AsyncStores) -> None:
        self._posts = stores.store(Post)

    async def create(self, post: Post) -> Post:
        return await self._posts.create(post)

    async def get(self, id: UUID) -> Post | None:
        return await self._posts.get(id)

    async def by_user(self, user_id: UUID, *, limit: int = 50, after: str | None = None) -> Page[Post]:
        return await self._posts.page(
            Post.user_id == user_id, order_by=Post.created_at.desc(), limit=limit, after=after
        )

    async def lines(self, *, limit: int = 50, after: str | None = None) -> Page[PostLine]:
        return await self._posts.page(
            order_by=Post.created_at.desc(), limit=limit, after=after, into=PostLine
        )

    async def update(self, id: UUID, *changes: Change) -> Post:
        return await self._posts.update(id, *changes)

    async def delete(self, id: UUID) -> bool:
        return await self._posts.delete(id)


class _Stats:
    def __init__(self, stores: AsyncStores) -> None:
        self._stores = stores
        self._posts = stores.store(Post)

    async def totals(self) -> Totals:
        users, posts = await self._stores.counts(User, Post)
        return Totals(users, posts)

    async def posts_per_user(self, *, limit: int = 10) -> list[UserPostCount]:
        return await self._posts.group(UserPostCount, order_by=UserPostCount.post_count.desc(), limit=limit)

    async def posts_per_day(self) -> list[PostsPerDay]:
        return await self._posts.group(PostsPerDay)

    async def posts_per_month(self) -> list[PostsPerMonth]:
        return await self._posts.group(PostsPerMonth)


class AsyncBlog:
    """The blog over any `Stores`: a database, or a transaction."""

    users: AsyncUserStore
    posts: AsyncPostStore
    stats: AsyncStatsStore

    def __init__(self, stores: AsyncStores) -> None:
        self._stores = stores
        self.users = _Users(stores)
        self.posts = _Posts(stores)
        self.stats = _Stats(stores)

    async def create_user_with_post(self, user: User, post: Post) -> tuple[User, Post]:
        """Store an author and a first post, both or neither.

        On a database this is a transaction of its own, tried again on a conflict; on a transaction it is part of that.
        """
        if isinstance(self._stores, AsyncDatabase):

            async def both(tx: AsyncTransaction) -> tuple[User, Post]:
                return await AsyncBlog(tx).create_user_with_post(user, post)

            return await self._stores.run_in_transaction(both)
        return await self.users.create(user), await self.posts.create(post)
