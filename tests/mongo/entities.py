"""Entities with every kind of value, for the MongoDB backend's own tests."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from dbkit import (
    Embedded,
    Entity,
    Group,
    Mapped,
    Record,
    Versioned,
    View,
    avg,
    count,
    count_distinct,
    day,
    field,
    key,
    max_,
    related,
    sum_,
    via,
)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Address(Embedded):
    city: Mapped[str]
    floor: Mapped[int | None] = field(default=None, stored_as="level")


class User(Entity, Versioned, name="users"):
    name: Mapped[str] = field(unique=True, max_length=80)
    email: Mapped[str | None] = field(default=None, unique="casefold", max_length=100)
    age: Mapped[int | None] = field(default=None, index=True)
    points: Mapped[int] = field(default=0, ge=0, le=1_000)
    balance: Mapped[Decimal] = field(default=Decimal(0), max_digits=14, decimal_places=2)
    rate: Mapped[float] = field(default=0.0, stored_as="r")
    colour: Mapped[Colour] = field(default=Colour.RED)
    born: Mapped[date | None] = field(default=None)
    at: Mapped[time | None] = field(default=None)
    took: Mapped[timedelta | None] = field(default=None)
    seen: Mapped[datetime | None] = field(default=None)
    raw: Mapped[bytes] = field(default=b"")
    tags: Mapped[list[str]] = field(default_factory=list[str])
    marks: Mapped[list[Any] | None] = field(default=None)
    extra: Mapped[dict[str, Any]] = field(default_factory=dict[str, Any])
    address: Mapped[Address | None] = field(default=None)


class Post(Entity, name="posts", unique=[("user_id", "slug")]):
    user_id: Mapped[UUID] = field(references=lambda: User, on_delete="cascade")
    editor_id: Mapped[UUID | None] = field(default=None, references=lambda: User, on_delete="set_null")
    slug: Mapped[str | None] = field(default=None)
    title: Mapped[str]
    likes: Mapped[int] = field(default=0)


class Plain(Record[str], name="plain"):
    id: Mapped[str]
    n: Mapped[int] = field(default=0, ge=0)
    money: Mapped[Decimal] = field(default=Decimal(0), max_digits=9, decimal_places=2)
    word: Mapped[str | None] = field(default=None, unique=True)
    extra: Mapped[dict[str, Any]] = field(default_factory=dict[str, Any])


class UserWithPosts(User, View[User]):
    posts: Mapped[list[Post]] = related(Post, Post.user_id, order_by=Post.created_at.desc(), limit=3)
    liked: Mapped[list[Post]] = related(Post, Post.user_id, Post.likes > 0)


class PostLine(View[Post]):
    title: Mapped[str] = via(Post.title)
    author: Mapped[str] = via(Post.user_id, User.name)
    user: Mapped[User] = via(Post.user_id, User)


class UserName(View[User]):
    name: Mapped[str] = via(User.name)


class PostsByUser(Group[Post]):
    author: Mapped[str] = key(via(Post.user_id, User.name))
    on: Mapped[date] = key(day(Post.created_at))
    posts: Mapped[int] = count()
    likes: Mapped[int] = sum_(Post.likes)


class PostsOfUser(Group[Post]):
    author: Mapped[str] = key(via(Post.user_id, User.name))
    user_id: Mapped[UUID] = key(Post.user_id)
    posts: Mapped[int] = count()


class Figures(Group[User]):
    users: Mapped[int] = count()
    ages: Mapped[int] = count_distinct(User.age)
    oldest: Mapped[int | None] = max_(User.age)
    money: Mapped[Decimal] = sum_(User.balance)
    mean: Mapped[Decimal | None] = avg(User.age)


ENTITIES: list[type[Any]] = [User, Post]
