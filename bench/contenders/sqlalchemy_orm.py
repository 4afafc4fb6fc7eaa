# pyright: basic
"""SQLAlchemy ORM + pydantic: a session a call, no expiry on commit, children by `selectinload`.

The latest three of each: the documented way is a relationship to a ranked alias of the children
(https://docs.sqlalchemy.org/en/21/orm/join_conditions.html#row-limited-relationships-with-window-functions).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import aliased, registry, relationship, selectinload, sessionmaker

from dbkit.blog import User
from dbkit.values import casefold_key

from ..models import COUNTS, POSTS, USERS, VIEWS
from .base import Stats
from .checking import now
from .peers import Dialect
from .sqlalchemy_core import Statements, prepared

__all__ = ["OrmContender", "make", "mapped"]


def mapped(dialect: Dialect) -> tuple[Any, Any]:
    """Return the mapped classes of users (with the latest three posts) and of posts."""
    sql = Statements(dialect)
    users, posts = sql.users, sql.users.metadata.tables["posts"]
    mappers = registry()

    class PostRow:
        """A post."""

    class UserRow:
        """A user."""

    mappers.map_imperatively(PostRow, posts)
    ranked = (
        sa.select(
            posts,
            sa.func.row_number()
            .over(partition_by=posts.c.user_id, order_by=(posts.c.created_at.desc(), posts.c.id.desc()))
            .label("place"),
        )
    ).subquery()
    latest = aliased(PostRow, ranked)
    relation = relationship(
        latest,
        primaryjoin=sa.and_(users.c.id == ranked.c.user_id, ranked.c.place <= 3),
        order_by=(ranked.c.created_at.desc(), ranked.c.id.desc()),
        viewonly=True,
    )
    mappers.map_imperatively(UserRow, users, properties={"posts": relation})
    mappers.configure()
    return UserRow, PostRow


class OrmContender:
    """The verbs on the ORM."""

    def __init__(self, url: str) -> None:
        self._dialect = Dialect(url)
        self._engine = sa.create_engine(self._dialect.sqlalchemy_url())
        prepared(self._engine, self._dialect)
        self._session = sessionmaker(self._engine, expire_on_commit=False)
        self._user, self._post = user, post = mapped(self._dialect)
        self._sql = Statements(self._dialect)
        key = sa.bindparam("key")
        self._by_email = sa.select(user).where(user.email__casefold == key)
        self._page = sa.select(user).order_by(user.username).limit(51)
        self._deep = sa.select(user).where(user.username > key).order_by(user.username).limit(51)
        latest = (post.created_at.desc(), post.id.desc())
        self._posts = sa.select(post).where(post.user_id == key).order_by(*latest).limit(101)
        self._view = sa.select(user).order_by(user.username).limit(20).options(selectinload(user.posts))
        self._first = sa.select(post).order_by(post.id).limit(1000)
        self._next = sa.select(post).where(post.id > key).order_by(post.id).limit(1000)

    def get(self, id: UUID) -> Any:
        with self._session() as session:
            found = session.get(self._user, self._dialect.id(id))
            return None if found is None else USERS.validate_python([found])[0]

    def by_email(self, email: str) -> Any:
        with self._session() as session:
            found = session.scalars(self._by_email, {"key": casefold_key(email)}).one_or_none()
            return None if found is None else USERS.validate_python([found])[0]

    def page(self) -> Sequence[Any]:
        with self._session() as session:
            return USERS.validate_python(session.scalars(self._page).all()[:50])

    def position(self, username: str, id: UUID) -> Any:
        return username

    def deep_page(self, position: Any) -> Sequence[Any]:
        with self._session() as session:
            return USERS.validate_python(session.scalars(self._deep, {"key": position}).all()[:50])

    def posts(self, user_id: UUID) -> Sequence[Any]:
        with self._session() as session:
            found = session.scalars(self._posts, {"key": self._dialect.id(user_id)}).all()
            return POSTS.validate_python(found[:100])

    def _new(self, user: User) -> Any:
        made = self._user()
        for name, value in self._dialect.values(user).items():
            setattr(made, name, value)
        return made

    def create(self, user: User) -> None:
        with self._session.begin() as session:
            session.add(self._new(user))

    def stats(self) -> Stats:
        with self._session() as session:
            users, posts = session.execute(self._sql.totals).one()
            return users, posts, COUNTS.validate_python(session.execute(self._sql.most).mappings().all())

    def bulk(self, users: Sequence[User]) -> int:
        # The ORM's own bulk insert: https://docs.sqlalchemy.org/en/21/orm/queryguide/dml.html#orm-bulk-insert-statements
        with self._session.begin() as session:
            session.execute(sa.insert(self._user), [self._dialect.values(user) for user in users])
        return len(users)

    def update(self, id: UUID, bio: str) -> Any:
        with self._session.begin() as session:
            found = session.get_one(self._user, self._dialect.id(id))
            found.bio, found.updated_at = bio, self._dialect.moment(now())
            session.flush()
            return USERS.validate_python([found])[0]

    def view(self) -> Sequence[Any]:
        with self._session() as session:
            return VIEWS.validate_python(session.scalars(self._view).all())

    def upsert(self, user: User) -> Any:
        with self._session.begin() as session:
            rows = session.execute(self._sql.upsert, self._dialect.values(user)).mappings().all()
            return USERS.validate_python(rows)[0]

    def iterate(self) -> tuple[int, Any]:
        done, last = 0, None
        with self._session() as session:
            rows = session.scalars(self._first).all()
            while rows:
                for item in POSTS.validate_python(rows):
                    done, last = done + 1, item
                after = rows[-1].id
                session.expunge_all()
                rows = session.scalars(self._next, {"key": after}).all()
        return done, last

    def close(self) -> None:
        self._engine.dispose()


def make(url: str) -> OrmContender:
    """Open it."""
    return OrmContender(url)
