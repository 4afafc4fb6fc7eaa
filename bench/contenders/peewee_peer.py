# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false
# mypy: ignore-errors
"""Peewee + pydantic: rows as dicts (`.dicts()`, which its documentation recommends for speed), one held connection."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import peewee
from peewee import SQL, fn

from dbkit.blog import User
from dbkit.values import casefold_key

from ..data import sqlite_path
from ..models import COUNTS, POSTS, USERS, VIEWS
from .base import Stats
from .checking import now
from .peers import Dialect, grouped

__all__ = ["PeeweeContender", "make"]


class Moment(peewee.Field):
    """A datetime with its zone, left as the driver gives it."""

    field_type = "TIMESTAMPTZ"


class Bytes(peewee.Field):
    """Bytes, left as the driver gives them."""

    field_type = "BLOB"


class Id(peewee.Field):
    """A UUID, left as the driver gives it."""

    field_type = "UUID"


def database(dialect: Dialect) -> Any:
    """Return the database, connected."""
    if dialect.is_sqlite:
        made = peewee.SqliteDatabase(sqlite_path(dialect.url), pragmas={"foreign_keys": 1})
    else:
        parts = urlsplit(dialect.url)
        made = peewee.PostgresqlDatabase(
            parts.path[1:], host=parts.hostname, port=parts.port, user=parts.username, prefer_psycopg3=True
        )
    made.connect()
    return made


def tables(db: Any, dialect: Dialect) -> tuple[Any, Any]:
    """Return the models."""
    id_field = Bytes if dialect.is_sqlite else Id
    moment = peewee.BigIntegerField if dialect.is_sqlite else Moment

    class UserTable(peewee.Model):
        class Meta:
            database = db
            table_name = "users"

        id = id_field(primary_key=True)
        created_at = moment()
        updated_at = moment()
        username = peewee.TextField()
        email = peewee.TextField()
        bio = peewee.TextField(null=True)
        email__casefold = peewee.TextField()

    class PostTable(peewee.Model):
        class Meta:
            database = db
            table_name = "posts"

        id = id_field(primary_key=True)
        created_at = moment()
        updated_at = moment()
        user_id = id_field()
        title = peewee.TextField()
        body = peewee.TextField()

    return UserTable, PostTable


class PeeweeContender:
    """The verbs on Peewee."""

    def __init__(self, db: Any, dialect: Dialect) -> None:
        self._dialect = dialect
        self._db = db
        self._user, self._post = tables(self._db, self._dialect)
        u = self._user
        self._columns = (u.id, u.created_at, u.updated_at, u.username, u.email, u.bio)

    def _read(self) -> Any:
        return self._user.select(*self._columns)

    def get(self, id: UUID) -> Any:
        found = list(self._read().where(self._user.id == self._dialect.id(id)).dicts())
        return USERS.validate_python(found)[0] if found else None

    def by_email(self, email: str) -> Any:
        found = list(self._read().where(self._user.email__casefold == casefold_key(email)).dicts())
        return USERS.validate_python(found)[0] if found else None

    def page(self) -> Sequence[Any]:
        return USERS.validate_python(list(self._read().order_by(self._user.username).limit(51).dicts())[:50])

    def position(self, username: str, id: UUID) -> Any:
        return username

    def deep_page(self, position: Any) -> Sequence[Any]:
        query = self._read().where(self._user.username > position).order_by(self._user.username).limit(51)
        return USERS.validate_python(list(query.dicts())[:50])

    def posts(self, user_id: UUID) -> Sequence[Any]:
        p = self._post
        query = (
            p.select()
            .where(p.user_id == self._dialect.id(user_id))
            .order_by(p.created_at.desc(), p.id.desc())
        )
        return POSTS.validate_python(list(query.limit(101).dicts())[:100])

    def create(self, user: User) -> None:
        self._user.insert(self._dialect.values(user)).execute()

    def stats(self) -> Stats:
        u, p = self._user, self._post
        number = fn.COUNT(SQL("*"))
        top = (
            p.select(p.user_id, number.alias("post_count"))
            .group_by(p.user_id)
            .order_by(SQL("post_count").desc(), p.user_id)
            .limit(10)
            .alias("top")
        )
        most = (
            u.select(top.c.user_id, u.username, top.c.post_count)
            .join(top, on=(u.id == top.c.user_id))
            .order_by(top.c.post_count.desc(), top.c.user_id)
        )
        return u.select().count(), p.select().count(), COUNTS.validate_python(list(most.dicts()))

    def bulk(self, users: Sequence[User]) -> int:
        with self._db.atomic():
            # Both stores limit the parameters of one statement.
            for batch in peewee.chunked(map(self._dialect.values, users), 1000):
                self._user.insert_many(batch).execute()
        return len(users)

    def update(self, id: UUID, bio: str) -> Any:
        query = self._user.update(bio=bio, updated_at=self._dialect.moment(now()))
        found = query.where(self._user.id == self._dialect.id(id)).returning(*self._columns).dicts().execute()
        return USERS.validate_python(list(found))[0]

    def view(self) -> Sequence[Any]:
        p, one = self._post, self._post.alias("one")
        parents = list(self._read().order_by(self._user.username).limit(20).dicts())
        u = self._user
        latest = (
            one.select(one.id)
            .where(one.user_id == u.id)
            .order_by(one.created_at.desc(), one.id.desc())
            .limit(3)
        )
        children = (
            u.select(p.id, p.created_at, p.updated_at, p.user_id, p.title, p.body)
            .join(p, on=p.id.in_(latest))
            .where(u.id.in_([parent["id"] for parent in parents]))
            .order_by(p.created_at.desc(), p.id.desc())
        )
        return VIEWS.validate_python(grouped(parents, children.dicts()))

    def upsert(self, user: User) -> Any:
        u = self._user
        query = u.insert(self._dialect.values(user)).on_conflict(
            conflict_target=(u.email__casefold,),
            conflict_where=None if self._dialect.is_sqlite else SQL("1 = 1"),
            preserve=(u.updated_at, u.username, u.email, u.bio),
        )
        return USERS.validate_python(list(query.returning(*self._columns).dicts().execute()))[0]

    def iterate(self) -> tuple[int, Any]:
        p = self._post
        done, last = 0, None
        rows = list(p.select().order_by(p.id).limit(1000).dicts())
        while rows:
            for item in POSTS.validate_python(rows):
                done, last = done + 1, item
            rows = list(p.select().where(p.id > rows[-1]["id"]).order_by(p.id).limit(1000).dicts())
        return done, last

    def close(self) -> None:
        self._db.close()


def make(url: str) -> PeeweeContender:
    """Open it."""
    dialect = Dialect(url)
    return PeeweeContender(database(dialect), dialect)
