# pyright: basic
"""SQLAlchemy ORM + pydantic: a session a call, no expiry on commit; single statements in autocommit, as Core's.

The latest three children of each: the documented way is a relationship to a ranked alias of all children, which ranks the
whole table and is a hundred times slower on SQLite; so they are read by the same two statements as Core's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import registry, sessionmaker

from dbkit.blog import User
from dbkit.values import casefold_key

from ..models import COUNTS, POSTS, USERS, VIEWS
from .base import Stats
from .checking import now
from .peers import Dialect
from .sqlalchemy_core import Statements, of_single_statements, prepared

__all__ = ["OrmContender", "Queries", "make", "mapped"]


def mapped(sql: Statements) -> tuple[Any, Any]:
    """Return the mapped classes of users and of posts."""
    users, posts = sql.users, sql.users.metadata.tables["posts"]
    mappers = registry()

    class PostRow:
        """A post."""

    class UserRow:
        """A user."""

    mappers.map_imperatively(PostRow, posts)
    mappers.map_imperatively(UserRow, users)
    mappers.configure()
    return UserRow, PostRow


class Queries:
    """The mapped classes, and the statements, built once."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.sql = Statements(dialect)
        self.user, self.post = user, post = mapped(self.sql)
        key: Any = sa.bindparam("key")
        self.by_email = sa.select(user).where(user.email__casefold == key)
        self.page = sa.select(user).order_by(user.username).limit(51)
        self.deep = sa.select(user).where(user.username > key).order_by(user.username).limit(51)
        latest = (post.created_at.desc(), post.id.desc())
        self.posts = sa.select(post).where(post.user_id == key).order_by(*latest).limit(101)
        # https://docs.sqlalchemy.org/en/21/orm/queryguide/dml.html#using-insert-update-and-on-conflict-i-e-upsert-to-return-orm-objects
        self.update = sa.select(user).from_statement(self.sql.update)
        self.upsert = sa.select(user).from_statement(self.sql.upsert)
        self.parents = sa.select(user).order_by(user.username).limit(20)
        self.children = sa.select(post).from_statement(self.sql.children)
        self.first = sa.select(post).order_by(post.id).limit(1000)
        self.next = sa.select(post).where(post.id > key).order_by(post.id).limit(1000)

    def new(self, user: User) -> Any:
        """Return a mapped instance."""
        made = self.user()
        for name, value in self._dialect.values(user).items():
            setattr(made, name, value)
        return made


class OrmContender:
    """The verbs on the ORM."""

    def __init__(self, url: str) -> None:
        self._dialect = Dialect(url)
        self._engine = sa.create_engine(self._dialect.sqlalchemy_url())
        prepared(self._engine, self._dialect)
        self._session = sessionmaker(self._engine, expire_on_commit=False)
        self._autocommit = of_single_statements(sa.create_engine, self._dialect.sqlalchemy_url())
        prepared(self._autocommit, self._dialect)
        self._single = sessionmaker(self._autocommit, expire_on_commit=False)
        self._q = Queries(self._dialect)

    def get(self, id: UUID) -> Any:
        with self._single() as session:
            found = session.get(self._q.user, self._dialect.id(id))
            return None if found is None else USERS.validate_python([found])[0]

    def by_email(self, email: str) -> Any:
        with self._single() as session:
            found = session.scalars(self._q.by_email, {"key": casefold_key(email)}).one_or_none()
            return None if found is None else USERS.validate_python([found])[0]

    def page(self) -> Sequence[Any]:
        with self._single() as session:
            return USERS.validate_python(session.scalars(self._q.page).all()[:50])

    def position(self, username: str, id: UUID) -> Any:
        return username

    def deep_page(self, position: Any) -> Sequence[Any]:
        with self._single() as session:
            return USERS.validate_python(session.scalars(self._q.deep, {"key": position}).all()[:50])

    def posts(self, user_id: UUID) -> Sequence[Any]:
        with self._single() as session:
            found = session.scalars(self._q.posts, {"key": self._dialect.id(user_id)}).all()
            return POSTS.validate_python(found[:100])

    def create(self, user: User) -> None:
        with self._single() as session:
            session.add(self._q.new(user))
            session.commit()

    def stats(self) -> Stats:
        with self._single() as session:
            users, posts = session.execute(self._q.sql.totals).one()
            return users, posts, COUNTS.validate_python(session.execute(self._q.sql.most).mappings().all())

    def bulk(self, users: Sequence[User]) -> int:
        # The ORM's own bulk insert: https://docs.sqlalchemy.org/en/21/orm/queryguide/dml.html#orm-bulk-insert-statements
        with self._session.begin() as session:
            session.execute(sa.insert(self._q.user), [self._dialect.values(user) for user in users])
        return len(users)

    def update(self, id: UUID, bio: str) -> Any:
        with self._single() as session:
            values = {"key": self._dialect.id(id), "new_bio": bio, "new_moment": self._dialect.moment(now())}
            return USERS.validate_python(session.scalars(self._q.update, values).all())[0]

    def view(self) -> Sequence[Any]:
        with self._session() as session:
            parents = session.scalars(self._q.parents).all()
            children: dict[Any, list[Any]] = {parent.id: [] for parent in parents}
            for child in session.scalars(self._q.children, {"ids": list(children)}):
                children[child.user_id].append(child)
            for parent in parents:
                parent.posts = children[parent.id]
            return VIEWS.validate_python(parents)

    def upsert(self, user: User) -> Any:
        with self._single() as session:
            return USERS.validate_python(session.scalars(self._q.upsert, self._dialect.values(user)).all())[0]

    def iterate(self) -> tuple[int, Any]:
        done, last = 0, None
        with self._session() as session:
            rows = session.scalars(self._q.first).all()
            while rows:
                for item in POSTS.validate_python(rows):
                    done, last = done + 1, item
                after = rows[-1].id
                session.expunge_all()
                rows = session.scalars(self._q.next, {"key": after}).all()
        return done, last

    def close(self) -> None:
        self._autocommit.dispose()
        self._engine.dispose()


def make(url: str) -> OrmContender:
    """Open it."""
    return OrmContender(url)
