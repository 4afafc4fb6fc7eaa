"""Entities of the SQL backends' own tests, and what compiles queries about them without a server."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from dbkit import Embedded, Entity, Group, Mapped, Versioned, View, avg, count, field, key, related, sum_, via
from dbkit.entity import spec_of
from dbkit.fields import total_order
from dbkit.query import Filter, Find
from dbkit.spec import Schema
from dbkit.views import read_of
from dbkit_sql.compiler import Compiler
from dbkit_sql.dialects import Dialect
from dbkit_sql.dialects.postgresql import PostgresDialect
from dbkit_sql.dialects.sqlite import SqliteDialect
from dbkit_sql.schema import Tables


class Address(Embedded):
    """A nested model."""

    city: Mapped[str]
    floor: Mapped[int | None] = field(default=None)


class User(Entity, Versioned, name="users"):
    """A parent."""

    name: Mapped[str] = field(unique=True, max_length=80)
    email: Mapped[str | None] = field(default=None, unique="casefold", max_length=100)
    age: Mapped[int | None] = field(default=None, index=True, ge=0, le=200)
    balance: Mapped[Decimal] = field(default=Decimal(0), max_digits=14, decimal_places=2)
    rate: Mapped[float] = field(default=0.0)
    tags: Mapped[list[str]] = field(default_factory=list)
    extra: Mapped[dict[str, Any]] = field(default_factory=dict)
    address: Mapped[Address | None] = field(default=None)


class Post(Entity, name="posts"):
    """A child that goes with its parent."""

    user_id: Mapped[UUID] = field(references=lambda: User, on_delete="cascade")
    title: Mapped[str]
    likes: Mapped[int] = field(default=0)


class Note(Entity, name="notes", indexes=[("user_id", "rank")]):
    """A child that keeps its parent, or loses it."""

    user_id: Mapped[UUID] = field(references=lambda: User)
    post_id: Mapped[UUID | None] = field(default=None, references=lambda: Post, on_delete="set_null")
    rank: Mapped[int] = field(default=0)


class UserWithPosts(User, View[User]):
    """With the newest children."""

    posts: Mapped[list[Post]] = related(
        Post, Post.user_id, Post.likes > 3, order_by=Post.likes.desc(), limit=2
    )


class PostLine(View[Post]):
    """With a field of the parent."""

    title: Mapped[str] = via(Post.title)
    author: Mapped[str] = via(Post.user_id, User.name)


class PostsByUser(Group[Post]):
    """Figures of each parent."""

    name: Mapped[str] = key(via(Post.user_id, User.name))
    posts: Mapped[int] = count()
    likes: Mapped[int] = sum_(Post.likes)
    mean: Mapped[Decimal | None] = avg(Post.likes)


class PostsOfEach(Group[Post]):
    """The reference is a key itself: the parents are joined with the groups."""

    user_id: Mapped[UUID] = key(Post.user_id)
    name: Mapped[str] = key(via(Post.user_id, User.name))
    posts: Mapped[int] = count()


ENTITIES = [User, Post, Note]


def compiler(dialect: Dialect) -> Compiler:
    """Return a compiler for the entities, without a server."""
    return Compiler(Tables(dialect, Schema(spec_of(entity) for entity in ENTITIES)))


def sqlite() -> Compiler:
    """Return SQLite's."""
    return compiler(SqliteDialect())


def postgres() -> Compiler:
    """Return PostgreSQL's."""
    return compiler(PostgresDialect())


def find(into: Any, where: Filter | None = None, order_by: Any = None, **more: Any) -> Find:
    """Return the query of a find."""
    read = read_of(into)
    return Find(read, where, total_order(read.entity, order_by), **more)


def flat(text: str) -> str:
    """Return SQL with each run of white space as one space."""
    return " ".join(text.split())
