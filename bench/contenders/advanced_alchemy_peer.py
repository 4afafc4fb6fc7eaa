# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false
# mypy: ignore-errors
"""Advanced Alchemy: its repository over SQLAlchemy's ORM, and pydantic for what comes back.

Single statements are in autocommit, as Core's; its `update` and `upsert` read first, and are a transaction. A view with
children and the statistics, which a repository does not have, are Core's statements.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from advanced_alchemy.base import DefaultBase
from advanced_alchemy.filters import CollectionFilter, LimitOffset, OrderBy
from advanced_alchemy.repository import SQLAlchemySyncRepository
from sqlalchemy.orm import Mapped, mapped_column, sessionmaker

from dbkit.blog import User
from dbkit.values import casefold_key

from ..models import COUNTS, POSTS, USERS, VIEWS
from .base import Stats
from .checking import now
from .peers import Dialect, grouped
from .sqlalchemy_core import Statements, dicts, of_single_statements, prepared

__all__ = ["AdvancedAlchemyContender", "make", "repositories"]


def repositories(dialect: Dialect, base: Any = SQLAlchemySyncRepository) -> tuple[Any, Any, Any, Any]:
    """Return the mapped classes and their repositories."""
    column = sa.LargeBinary if dialect.is_sqlite else sa.Uuid
    moments = sa.Integer if dialect.is_sqlite else sa.DateTime(timezone=True)

    class UserRow(DefaultBase):
        __tablename__ = "users"
        id: Mapped[Any] = mapped_column(column, primary_key=True)
        created_at: Mapped[Any] = mapped_column(moments)
        updated_at: Mapped[Any] = mapped_column(moments)
        username: Mapped[str] = mapped_column(sa.Text)
        email: Mapped[str] = mapped_column(sa.Text)
        bio: Mapped[str | None] = mapped_column(sa.Text)
        email__casefold: Mapped[str] = mapped_column(sa.Text)

    class PostRow(DefaultBase):
        __tablename__ = "posts"
        id: Mapped[Any] = mapped_column(column, primary_key=True)
        created_at: Mapped[Any] = mapped_column(moments)
        updated_at: Mapped[Any] = mapped_column(moments)
        user_id: Mapped[Any] = mapped_column(column)
        title: Mapped[str] = mapped_column(sa.Text)
        body: Mapped[str] = mapped_column(sa.Text)

    class Users(base[UserRow]):
        model_type = UserRow

    class Posts(base[PostRow]):
        model_type = PostRow

    return UserRow, PostRow, Users, Posts


class AdvancedAlchemyContender:
    """The verbs on its repositories."""

    def __init__(self, url: str) -> None:
        self._dialect = Dialect(url)
        self._engine = sa.create_engine(self._dialect.sqlalchemy_url())
        prepared(self._engine, self._dialect)
        self._session = sessionmaker(self._engine, expire_on_commit=False)
        self._autocommit = of_single_statements(sa.create_engine, self._dialect.sqlalchemy_url())
        prepared(self._autocommit, self._dialect)
        self._single = sessionmaker(self._autocommit, expire_on_commit=False)
        self._user, self._post, self._users, self._posts = repositories(self._dialect)
        self._sql = Statements(self._dialect)

    def get(self, id: UUID) -> Any:
        with self._single() as session:
            found = self._users(session=session).get_one_or_none(self._user.id == self._dialect.id(id))
            return None if found is None else USERS.validate_python([found])[0]

    def by_email(self, email: str) -> Any:
        with self._single() as session:
            found = self._users(session=session).get_one_or_none(email__casefold=casefold_key(email))
            return None if found is None else USERS.validate_python([found])[0]

    def page(self) -> Sequence[Any]:
        with self._single() as session:
            found = self._users(session=session).list(OrderBy("username"), LimitOffset(51, 0))
            return USERS.validate_python(found[:50])

    def position(self, username: str, id: UUID) -> Any:
        return username

    def deep_page(self, position: Any) -> Sequence[Any]:
        with self._single() as session:
            after = self._user.username > position
            found = self._users(session=session).list(after, OrderBy("username"), LimitOffset(51, 0))
            return USERS.validate_python(found[:50])

    def posts(self, user_id: UUID) -> Sequence[Any]:
        with self._single() as session:
            found = self._posts(session=session).list(
                CollectionFilter("user_id", [self._dialect.id(user_id)]),
                OrderBy("created_at", "desc"),
                OrderBy("id", "desc"),
                LimitOffset(101, 0),
            )
            return POSTS.validate_python(found[:100])

    def create(self, user: User) -> None:
        with self._single() as session:
            self._users(session=session).add(
                self._user(**self._dialect.values(user)), auto_commit=True, auto_refresh=False
            )

    def stats(self) -> Stats:
        with self._single() as session:
            users, posts = session.execute(self._sql.totals).one()
            return users, posts, COUNTS.validate_python(session.execute(self._sql.most).mappings().all())

    def bulk(self, users: Sequence[User]) -> int:
        with self._session() as session:
            rows = [self._user(**self._dialect.values(user)) for user in users]
            self._users(session=session).add_many(rows, auto_commit=True)
        return len(users)

    def update(self, id: UUID, bio: str) -> Any:
        with self._session() as session:
            row = self._user(id=self._dialect.id(id), bio=bio, updated_at=self._dialect.moment(now()))
            found = self._users(session=session).update(
                row, attribute_names=["bio", "updated_at"], auto_commit=True, auto_refresh=False
            )
            return USERS.validate_python([found])[0]

    def view(self) -> Sequence[Any]:
        with self._session() as session:
            parents = dicts(session.execute(self._sql.parents))
            ids = [parent["id"] for parent in parents]
            children = session.execute(self._sql.children, {"ids": ids})
            return VIEWS.validate_python(grouped(parents, dicts(children)))

    def upsert(self, user: User) -> Any:
        with self._session() as session:
            row = self._user(**self._dialect.values(user))
            found = self._users(session=session).upsert(
                row, match_fields=["email__casefold"], auto_commit=True, auto_refresh=False
            )
            return USERS.validate_python([found])[0]

    def iterate(self) -> tuple[int, Any]:
        done, last = 0, None
        with self._session() as session:
            posts = self._posts(session=session)
            rows = posts.list(OrderBy("id"), LimitOffset(1000, 0))
            while rows:
                for item in POSTS.validate_python(rows):
                    done, last = done + 1, item
                after = self._post.id > rows[-1].id
                session.expunge_all()
                rows = posts.list(after, OrderBy("id"), LimitOffset(1000, 0))
        return done, last

    def close(self) -> None:
        self._autocommit.dispose()
        self._engine.dispose()


def make(url: str) -> AdvancedAlchemyContender:
    """Open it."""
    return AdvancedAlchemyContender(url)
