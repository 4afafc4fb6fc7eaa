"""What the blog stores, and what it reads of it."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple
from uuid import UUID

from dbkit import Entity, Group, Mapped, View, count, day, field, key, month, related, via

__all__ = [
    "ENTITIES",
    "Post",
    "PostLine",
    "PostsPerDay",
    "PostsPerMonth",
    "Totals",
    "User",
    "UserPostCount",
    "UserWithPosts",
]


class User(Entity, name="users"):
    """An author. Names are unique as written, e-mail addresses without regard to case."""

    username: Mapped[str] = field(unique=True, max_length=100)
    email: Mapped[str] = field(unique="casefold", max_length=254)
    bio: Mapped[str | None] = field(default=None)


class Post(Entity, name="posts", indexes=[("user_id", "created_at")]):
    """What an author wrote. It goes when its author goes."""

    user_id: Mapped[UUID] = field(references=lambda: User, on_delete="cascade")
    title: Mapped[str] = field(max_length=300)
    body: Mapped[str] = field(default="")


ENTITIES: tuple[type[Entity], ...] = (User, Post)
"""What is stored: `connect(url, entities=ENTITIES)`, `dbkit check --entities dbkit.blog:ENTITIES`."""


class UserWithPosts(User, View[User]):
    """An author with the latest three posts."""

    posts: Mapped[list[Post]] = related(Post, Post.user_id, order_by=Post.created_at.desc(), limit=3)


class PostLine(View[Post]):
    """One line of a list of posts."""

    id: Mapped[UUID] = via(Post.id)
    title: Mapped[str] = via(Post.title)
    author: Mapped[str] = via(Post.user_id, User.username)


class UserPostCount(Group[Post]):
    """How much an author wrote."""

    user_id: Mapped[UUID] = key(Post.user_id)
    username: Mapped[str] = key(via(Post.user_id, User.username))
    post_count: Mapped[int] = count()


class PostsPerDay(Group[Post]):
    """How much was written on a day (UTC)."""

    posted: Mapped[date] = key(day(Post.created_at))
    post_count: Mapped[int] = count()


class PostsPerMonth(Group[Post]):
    """How much was written in a month (UTC); the date is its first day."""

    posted: Mapped[date] = key(month(Post.created_at))
    post_count: Mapped[int] = count()


class Totals(NamedTuple):
    """How many rows there are of each."""

    users: int
    posts: int
