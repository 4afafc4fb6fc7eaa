# pyright: basic
"""SQLAlchemy Core + pydantic: statements built once, single statements in autocommit, one held connection.

That is the fastest documented way (https://docs.sqlalchemy.org/en/21/core/connections.html#dbapi-autocommit); as in the
tutorial, with `engine.begin()` around each statement, it costs two to ten times as much.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite

from dbkit.blog import User
from dbkit.values import casefold_key

from ..models import COUNTS, POSTS, USERS, VIEWS
from .base import Stats
from .checking import now
from .peers import COLUMNS, Dialect, grouped

__all__ = ["CoreContender", "Statements", "dicts", "make", "of_single_statements", "prepared"]


class Statements:
    """The statements, built once."""

    def __init__(self, dialect: Dialect) -> None:
        metadata = sa.MetaData()
        id_type: Any = sa.LargeBinary if dialect.is_sqlite else sa.Uuid
        moment: Any = sa.Integer if dialect.is_sqlite else sa.DateTime(timezone=True)
        self.users = users = sa.Table(
            "users",
            metadata,
            sa.Column("id", id_type, primary_key=True),
            sa.Column("created_at", moment),
            sa.Column("updated_at", moment),
            *(sa.Column(name, sa.Text) for name in COLUMNS[3:]),
        )
        posts = sa.Table(
            "posts",
            metadata,
            sa.Column("id", id_type, primary_key=True),
            sa.Column("created_at", moment),
            sa.Column("updated_at", moment),
            sa.Column("user_id", id_type, sa.ForeignKey("users.id")),
            sa.Column("title", sa.Text),
            sa.Column("body", sa.Text),
        )
        user = [users.c[name] for name in COLUMNS[:6]]
        by_name = sa.select(*user).order_by(users.c.username)
        latest = (posts.c.created_at.desc(), posts.c.id.desc())
        self.get = sa.select(*user).where(users.c.id == sa.bindparam("key"))
        self.by_email = sa.select(*user).where(users.c.email__casefold == sa.bindparam("key"))
        self.page = by_name.limit(51)
        self.deep_page = by_name.where(users.c.username > sa.bindparam("key")).limit(51)
        self.posts = (
            sa.select(posts).where(posts.c.user_id == sa.bindparam("key")).order_by(*latest).limit(101)
        )
        self.create = sa.insert(users)
        self.totals = sa.select(
            sa.select(sa.func.count()).select_from(users).scalar_subquery(),
            sa.select(sa.func.count()).select_from(posts).scalar_subquery(),
        )
        number = sa.func.count().label("post_count")
        top = (
            sa.select(posts.c.user_id, number)
            .group_by(posts.c.user_id)
            .order_by(number.desc(), posts.c.user_id)
            .limit(10)
            .subquery()
        )
        self.most = (
            sa.select(top.c.user_id, users.c.username, top.c.post_count)
            .join_from(top, users, users.c.id == top.c.user_id)
            .order_by(top.c.post_count.desc(), top.c.user_id)
        )
        self.update = (
            sa.update(users)
            .where(users.c.id == sa.bindparam("key"))
            .values(bio=sa.bindparam("new_bio"), updated_at=sa.bindparam("new_moment"))
            .returning(*user)
        )
        insert: Any = (sqlite.insert if dialect.is_sqlite else postgresql.insert)(users)
        self.upsert = insert.on_conflict_do_update(
            index_elements=["email__casefold"],
            index_where=None if dialect.is_sqlite else sa.text("1 = 1"),
            set_={name: insert.excluded[name] for name in ("updated_at", "username", "email", "bio")},
        ).returning(*user)
        self.parents = by_name.limit(20)
        one = posts.alias("one")
        newest = (
            sa.select(one.c.id)
            .where(one.c.user_id == users.c.id)
            .order_by(one.c.created_at.desc(), one.c.id.desc())
            .limit(3)
        )
        ids: Any = sa.bindparam("ids", expanding=True)
        if dialect.is_sqlite:
            children = sa.select(posts).join_from(users, posts, posts.c.id.in_(newest.correlate(users)))
            self.children = children.where(users.c.id.in_(ids)).order_by(*latest)
        else:
            last = sa.select(posts).where(posts.c.user_id == users.c.id).order_by(*latest).limit(3).lateral()
            self.children = (
                sa.select(last)
                .join_from(users, last, sa.true())
                .where(users.c.id.in_(ids))
                .order_by(last.c.created_at.desc(), last.c.id.desc())
            )
        self.first = sa.select(posts).order_by(posts.c.id).limit(1000)
        self.next = sa.select(posts).where(posts.c.id > sa.bindparam("key")).order_by(posts.c.id).limit(1000)


def dicts(result: Any) -> list[dict[str, Any]]:
    """Return the rows as dicts: in half the time of `dict(row)` for each of `mappings()`."""
    names = result.keys()
    return [dict(zip(names, row, strict=True)) for row in result]


def of_single_statements(create_engine: Any, url: str) -> Any:
    """Return an engine whose sessions send no BEGIN and no ROLLBACK around their one statement.

    (https://docs.sqlalchemy.org/en/21/orm/session_transaction.html#setting-isolation-for-a-sessionmaker-engine-wide)
    """
    return create_engine(url, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True)


def prepared(engine: Any, dialect: Dialect) -> None:
    """Have SQLite look at references, as the others do."""
    if dialect.is_sqlite:
        event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys = ON"))


class CoreContender:
    """The verbs on Core."""

    def __init__(self, url: str) -> None:
        self._dialect = Dialect(url)
        self._engine = sa.create_engine(self._dialect.sqlalchemy_url())
        prepared(self._engine, self._dialect)
        self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._sql = Statements(self._dialect)

    def _rows(self, statement: Any, **values: Any) -> list[dict[str, Any]]:
        return dicts(self._connection.execute(statement, values))

    def get(self, id: UUID) -> Any:
        found = USERS.validate_python(self._rows(self._sql.get, key=self._dialect.id(id)))
        return found[0] if found else None

    def by_email(self, email: str) -> Any:
        found = USERS.validate_python(self._rows(self._sql.by_email, key=casefold_key(email)))
        return found[0] if found else None

    def page(self) -> Sequence[Any]:
        return USERS.validate_python(self._rows(self._sql.page)[:50])

    def position(self, username: str, id: UUID) -> Any:
        return username

    def deep_page(self, position: Any) -> Sequence[Any]:
        return USERS.validate_python(self._rows(self._sql.deep_page, key=position)[:50])

    def posts(self, user_id: UUID) -> Sequence[Any]:
        return POSTS.validate_python(self._rows(self._sql.posts, key=self._dialect.id(user_id))[:100])

    def create(self, user: User) -> None:
        self._connection.execute(self._sql.create, self._dialect.values(user))

    def stats(self) -> Stats:
        users, posts = self._connection.execute(self._sql.totals).one()
        return users, posts, COUNTS.validate_python(self._rows(self._sql.most))

    def bulk(self, users: Sequence[User]) -> int:
        with self._engine.begin() as connection:
            connection.execute(self._sql.create, [self._dialect.values(user) for user in users])
        return len(users)

    def update(self, id: UUID, bio: str) -> Any:
        moment = self._dialect.moment(now())
        rows = self._rows(self._sql.update, key=self._dialect.id(id), new_bio=bio, new_moment=moment)
        return USERS.validate_python(rows)[0]

    def view(self) -> Sequence[Any]:
        parents = self._rows(self._sql.parents)
        children = self._rows(self._sql.children, ids=[parent["id"] for parent in parents])
        return VIEWS.validate_python(grouped(parents, children))

    def upsert(self, user: User) -> Any:
        return USERS.validate_python(self._rows(self._sql.upsert, **self._dialect.values(user)))[0]

    def iterate(self) -> tuple[int, Any]:
        rows = self._rows(self._sql.first)
        done, last = 0, None
        while rows:
            for item in POSTS.validate_python(rows):
                done, last = done + 1, item
            rows = self._rows(self._sql.next, key=rows[-1]["id"])
        return done, last

    def close(self) -> None:
        self._connection.close()
        self._engine.dispose()


def make(url: str) -> CoreContender:
    """Open it."""
    return CoreContender(url)
