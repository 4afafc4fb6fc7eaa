"""The entities, views and groups that the other files use."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from dbkit.entity import Embedded, Entity, Record, Versioned
from dbkit.fields import Mapped, field, via
from dbkit.objectid import ObjectId
from dbkit.views import Group, View, avg, count, count_distinct, day, key, max_, min_, related, sum_


class Status(StrEnum):
    DRAFT = "draft"
    PUBLISHED = "published"


class Address(Embedded):
    city: Mapped[str]
    zip: Mapped[str | None] = field(default=None)


class Org(Record[str], name="orgs"):
    id: Mapped[str] = field(max_length=20)
    title: Mapped[str]


class Old(Record[ObjectId], name="old", managed=False):
    id: Mapped[ObjectId] = field(default_factory=ObjectId)
    before: Mapped[ObjectId | None] = field(default=None, references=lambda: Old)


class User(Entity, name="users"):
    email: Mapped[str] = field(unique="casefold", max_length=254)
    username: Mapped[str] = field(unique=True)
    age: Mapped[int] = field(default=0, ge=0)
    score: Mapped[float] = field(default=0)
    balance: Mapped[Decimal] = field(default=Decimal(0), max_digits=12, decimal_places=2)
    note: Mapped[str | None] = field(default=None)
    limit: Mapped[int | None] = field(default=None)
    address: Mapped[Address | None] = field(default=None)
    extra: Mapped[dict[str, Any]] = field(default_factory=dict)
    tags: Mapped[list[str]] = field(default_factory=list)
    org_id: Mapped[str | None] = field(default=None, references=lambda: Org, on_delete="set_null")


class Post(Entity, Versioned, name="posts", indexes=[("status", "created_at")]):
    user_id: Mapped[UUID] = field(references=lambda: User, on_delete="cascade")
    title: Mapped[str]
    status: Mapped[Status] = field(default=Status.DRAFT)
    kind: Mapped[Literal["long", "short"]] = field(default="short")
    score: Mapped[int] = field(default=0)


class UserWithPosts(User, View[User]):
    posts: Mapped[list[Post]] = related(
        Post, Post.user_id, Post.status == Status.PUBLISHED, order_by=Post.created_at.desc(), limit=3
    )


class PostLine(View[Post]):
    title: Mapped[str] = via(Post.title)
    author: Mapped[str] = via(Post.user_id, User.username)
    city: Mapped[str | None] = via(Post.user_id, via(User.address, Address.city))
    org: Mapped[str | None] = via(Post.user_id, via(User.org_id, Org.title))
    user: Mapped[User] = via(Post.user_id, User)
    maybe: Mapped[str | None] = via(Post.title)


class UserLine(View[User]):
    org: Mapped[Org | None] = via(User.org_id, Org)


class PostStats(Group[Post]):
    user_id: Mapped[UUID] = key(Post.user_id)
    username: Mapped[str] = key(via(Post.user_id, User.username))
    posted: Mapped[date] = key(day(Post.created_at))
    post_count: Mapped[int] = count()
    statuses: Mapped[int] = count_distinct(Post.status)
    total: Mapped[int] = sum_(Post.score)
    mean: Mapped[Decimal | None] = avg(Post.score)
    first: Mapped[datetime | None] = min_(Post.created_at)
    last: Mapped[datetime | None] = max_(Post.created_at)
