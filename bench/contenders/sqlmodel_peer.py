# pyright: basic, reportMissingImports=false, reportGeneralTypeIssues=false, reportCallIssue=false, reportInvalidTypeForm=false
# mypy: ignore-errors
"""SQLModel: table models, and response models of the same fields, as its tutorial has it for FastAPI.

(https://sqlmodel.tiangolo.com/tutorial/fastapi/multiple-models/: a table model is not validated, the response model is.)
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from pydantic import ConfigDict, TypeAdapter
from sqlmodel import Field, Session, SQLModel, create_engine, select

from dbkit.blog import User
from dbkit.values import casefold_key

from ..models import COUNTS
from .base import Stats
from .checking import now
from .peers import Dialect, grouped
from .sqlalchemy_core import Statements, dicts, of_single_statements, prepared

__all__ = ["POSTS", "USERS", "VIEWS", "Queries", "SqlModelContender", "UserRead", "make"]


class UserRead(SQLModel):
    model_config = ConfigDict(val_temporal_unit="milliseconds")

    id: UUID
    created_at: datetime
    updated_at: datetime
    username: str = Field(max_length=100)
    email: str = Field(max_length=254)
    bio: str | None = None


class PostRead(SQLModel):
    model_config = ConfigDict(val_temporal_unit="milliseconds")

    id: UUID
    created_at: datetime
    updated_at: datetime
    user_id: UUID
    title: str = Field(max_length=300)
    body: str = ""


class UserWithPostsRead(UserRead):
    posts: list[PostRead]


USERS = TypeAdapter(list[UserRead])
POSTS = TypeAdapter(list[PostRead])
VIEWS = TypeAdapter(list[UserWithPostsRead])


def tables(dialect: Dialect) -> tuple[Any, Any]:
    """Return the table models."""
    id_type, moment = (bytes, int) if dialect.is_sqlite else (UUID, datetime)
    column = sa.LargeBinary if dialect.is_sqlite else sa.Uuid
    moments = sa.Integer if dialect.is_sqlite else sa.DateTime(timezone=True)

    class UserTable(SQLModel, table=True):
        __tablename__ = "users"
        id: id_type = Field(primary_key=True, sa_type=column)
        created_at: moment = Field(sa_type=moments)
        updated_at: moment = Field(sa_type=moments)
        username: str
        email: str
        bio: str | None = None
        email__casefold: str

    class PostTable(SQLModel, table=True):
        __tablename__ = "posts"
        id: id_type = Field(primary_key=True, sa_type=column)
        created_at: moment = Field(sa_type=moments)
        updated_at: moment = Field(sa_type=moments)
        user_id: id_type = Field(sa_type=column, foreign_key="users.id")
        title: str
        body: str

    return UserTable, PostTable


class Queries:
    """The table models, and the statements, built once."""

    def __init__(self, dialect: Dialect) -> None:
        self.user, self.post = user, post = tables(dialect)
        self.sql = Statements(dialect)
        key = sa.bindparam("key")
        self.by_email = select(user).where(user.email__casefold == key)
        self.page = select(user).order_by(user.username).limit(51)
        self.deep = select(user).where(user.username > key).order_by(user.username).limit(51)
        latest = (post.created_at.desc(), post.id.desc())
        self.posts = select(post).where(post.user_id == key).order_by(*latest).limit(101)
        self.update = sa.select(user).from_statement(self.sql.update)
        self.upsert = sa.select(user).from_statement(self.sql.upsert)
        self.first = select(post).order_by(post.id).limit(1000)
        self.next = select(post).where(post.id > key).order_by(post.id).limit(1000)


class SqlModelContender:
    """The verbs on SQLModel."""

    def __init__(self, url: str) -> None:
        self._dialect = Dialect(url)
        self._engine = create_engine(self._dialect.sqlalchemy_url())
        prepared(self._engine, self._dialect)
        self._autocommit = of_single_statements(create_engine, self._dialect.sqlalchemy_url())
        prepared(self._autocommit, self._dialect)
        self._q = Queries(self._dialect)

    def _session(self) -> Session:
        return Session(self._engine, expire_on_commit=False)

    def _single(self) -> Session:
        return Session(self._autocommit, expire_on_commit=False)

    def _all(self, statement: Any, **values: Any) -> Sequence[Any]:
        with self._single() as session:
            return session.exec(statement, params=values).all()

    def get(self, id: UUID) -> Any:
        with self._single() as session:
            found = session.get(self._q.user, self._dialect.id(id))
            return None if found is None else UserRead.model_validate(found, from_attributes=True)

    def by_email(self, email: str) -> Any:
        found = self._all(self._q.by_email, key=casefold_key(email))
        return UserRead.model_validate(found[0], from_attributes=True) if found else None

    def page(self) -> Sequence[Any]:
        return USERS.validate_python(self._all(self._q.page)[:50], from_attributes=True)

    def position(self, username: str, id: UUID) -> Any:
        return username

    def deep_page(self, position: Any) -> Sequence[Any]:
        return USERS.validate_python(self._all(self._q.deep, key=position)[:50], from_attributes=True)

    def posts(self, user_id: UUID) -> Sequence[Any]:
        found = self._all(self._q.posts, key=self._dialect.id(user_id))
        return POSTS.validate_python(found[:100], from_attributes=True)

    def create(self, user: User) -> None:
        with self._single() as session:
            session.add(self._q.user(**self._dialect.values(user)))
            session.commit()

    def stats(self) -> Stats:
        with self._single() as session:
            users, posts = session.exec(self._q.sql.totals).one()
            return users, posts, COUNTS.validate_python(session.exec(self._q.sql.most).mappings().all())

    def bulk(self, users: Sequence[User]) -> int:
        with self._session() as session:
            session.exec(sa.insert(self._q.user), params=[self._dialect.values(user) for user in users])
            session.commit()
        return len(users)

    def update(self, id: UUID, bio: str) -> Any:
        with self._single() as session:
            values = {"key": self._dialect.id(id), "new_bio": bio, "new_moment": self._dialect.moment(now())}
            found = session.exec(self._q.update, params=values).scalars().one()
            return UserRead.model_validate(found, from_attributes=True)

    def view(self) -> Sequence[Any]:
        with self._session() as session:
            parents = dicts(session.exec(self._q.sql.parents))
            ids = [parent["id"] for parent in parents]
            children = session.exec(self._q.sql.children, params={"ids": ids})
            return VIEWS.validate_python(grouped(parents, dicts(children)))

    def upsert(self, user: User) -> Any:
        with self._single() as session:
            found = session.exec(self._q.upsert, params=self._dialect.values(user)).scalars().one()
            return UserRead.model_validate(found, from_attributes=True)

    def iterate(self) -> tuple[int, Any]:
        done, last = 0, None
        rows = self._all(self._q.first)
        while rows:
            for item in POSTS.validate_python(rows, from_attributes=True):
                done, last = done + 1, item
            rows = self._all(self._q.next, key=rows[-1].id)
        return done, last

    def close(self) -> None:
        self._autocommit.dispose()
        self._engine.dispose()


def make(url: str) -> SqlModelContender:
    """Open it."""
    return SqlModelContender(url)
