"""What a contender does, and what several of them share.

A contender is given a store's URL and does the workloads' verbs; an asynchronous one has the same verbs as coroutines.
Reads return checked pydantic instances (*raw* returns what the driver gives); writes take a `User`, which is there
already; the floors check it once more, as dbkit does (`model_copy(update=…)` checks nothing), the peers as far as they do
by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol
from uuid import UUID

from dbkit.blog import User

__all__ = ["AsyncContender", "Contender", "Stats"]

Stats = tuple[int, int, Sequence[Any]]
"""Users, posts, and the ten who wrote most: (user_id, username, post_count) as attributes or keys."""


class Contender(Protocol):
    """The workloads' verbs."""

    def get(self, id: UUID) -> Any:
        """Return the user with this id."""
        ...

    def by_email(self, email: str) -> Any:
        """Return the user with this address, in whatever case."""
        ...

    def page(self) -> Sequence[Any]:
        """Return the first 50 users by name; whether more follow is known (51 are read)."""
        ...

    def position(self, username: str, id: UUID) -> Any:
        """Return what `deep_page` takes for "after this user"; not timed."""

    def deep_page(self, position: Any) -> Sequence[Any]:
        """Return the 50 users after *position*, by name."""
        ...

    def posts(self, user_id: UUID) -> Sequence[Any]:
        """Return a user's latest 100 posts, the latest first; whether more follow is known."""
        ...

    def create(self, user: User) -> None:
        """Store a new user."""
        ...

    def stats(self) -> Stats:
        """Return how many users and posts there are, and the ten users with the most posts."""
        ...

    def bulk(self, users: Sequence[User]) -> int:
        """Store new users, all or none."""
        ...

    def update(self, id: UUID, bio: str) -> Any:
        """Set a user's bio and updated_at, and return the user as it is then."""
        ...

    def view(self) -> Sequence[Any]:
        """Return the first 20 users by name, each with the latest three posts."""
        ...

    def upsert(self, user: User) -> Any:
        """Replace the user who has this address, or create it; return what is stored."""
        ...

    def iterate(self) -> tuple[int, Any]:
        """Read all posts by id, 1,000 at a time, and return how many, and the last one."""
        ...

    def close(self) -> None: ...


class AsyncContender(Protocol):
    """The same verbs as coroutines."""

    async def get(self, id: UUID) -> Any: ...
    async def by_email(self, email: str) -> Any: ...
    async def page(self) -> Sequence[Any]: ...
    async def position(self, username: str, id: UUID) -> Any: ...
    async def deep_page(self, position: Any) -> Sequence[Any]: ...
    async def posts(self, user_id: UUID) -> Sequence[Any]: ...
    async def create(self, user: User) -> None: ...
    async def stats(self) -> Stats: ...
    async def bulk(self, users: Sequence[User]) -> int: ...
    async def update(self, id: UUID, bio: str) -> Any: ...
    async def view(self) -> Sequence[Any]: ...
    async def upsert(self, user: User) -> Any: ...
    async def iterate(self) -> tuple[int, Any]: ...
    async def close(self) -> None: ...
