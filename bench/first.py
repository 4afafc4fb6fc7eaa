"""What the first call costs: a program of its own for each library, which imports, opens, and gets one user.

Nothing of dbkit is imported here but by dbkit's own program, and nothing of this project's by the others: what a process
pays from the interpreter's start to its first row. `python -m bench.first NAME STORE URL ID` prints the seconds of CPU of the three steps.
"""

# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false, reportOptionalSubscript=false
# pyright: reportGeneralTypeIssues=false, reportCallIssue=false
# mypy: ignore-errors
# ruff: noqa: ARG001, RUF012

import itertools
import json
import sys
import time
from collections.abc import Callable, Generator
from typing import Any

__all__ = ["LABELS", "PROGRAMS", "main"]

Program = Callable[[str, str, str], Generator[None]]


def driver(store: str, url: str, id: str) -> Generator[None]:
    """The bare driver and a pydantic model, with the plainest statement."""
    from datetime import datetime
    from uuid import UUID

    from pydantic import BaseModel

    class User(BaseModel):
        id: UUID
        created_at: datetime
        username: str

    if store == "sqlite":
        import sqlite3

        yield
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        yield
        row = connection.execute(
            "SELECT id, created_at, username FROM users WHERE id = ?", (UUID(id).bytes,)
        ).fetchone()
    elif store == "postgresql":
        import psycopg

        yield
        connection = psycopg.connect(url, autocommit=True)
        yield
        row = connection.execute(
            "SELECT id, created_at, username FROM users WHERE id = %s", (UUID(id),)
        ).fetchone()
    else:
        import pymongo

        yield
        client = pymongo.MongoClient(url, tz_aware=True, uuidRepresentation="standard")
        client.admin.command("ping")
        yield
        found = client.get_default_database()["users"].find_one({"_id": UUID(id)})
        row = found["_id"], found["created_at"], found["username"]
    User(id=row[0], created_at=row[1], username=row[2])
    yield


def dbkit(store: str, url: str, id: str) -> Generator[None]:
    """dbkit, with one entity."""
    from uuid import UUID

    from dbkit import Entity, Mapped, connect, field

    class User(Entity, name="users"):
        username: Mapped[str] = field(unique=True, max_length=100)
        email: Mapped[str] = field(unique="casefold", max_length=254)
        bio: Mapped[str | None] = field(default=None)

    yield
    db = connect(url, entities=[User])
    db.ping()
    yield
    assert db.store(User).get(UUID(id)) is not None
    yield
    db.close()


def _sqlalchemy_url(url: str) -> str:
    return url.replace("postgresql:", "postgresql+psycopg:", 1)


def _key(store: str, id: str) -> Any:
    from uuid import UUID

    return UUID(id).bytes if store == "sqlite" else UUID(id)


def core(store: str, url: str, id: str) -> Generator[None]:
    """SQLAlchemy Core, with one table."""
    import sqlalchemy as sa
    from pydantic import BaseModel

    class UserRead(BaseModel):
        username: str

    kind = sa.LargeBinary if store == "sqlite" else sa.Uuid
    users = sa.Table(
        "users", sa.MetaData(), sa.Column("id", kind, primary_key=True), sa.Column("username", sa.Text)
    )
    yield
    connection = sa.create_engine(_sqlalchemy_url(url)).connect()
    yield
    row = connection.execute(sa.select(users).where(users.c.id == _key(store, id))).mappings().one()
    UserRead.model_validate(dict(row))
    yield


def orm(store: str, url: str, id: str) -> Generator[None]:
    """SQLAlchemy's ORM, with one class."""
    import sqlalchemy as sa
    from pydantic import BaseModel, ConfigDict
    from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

    class UserRead(BaseModel):
        model_config = ConfigDict(from_attributes=True)
        username: str

    class Base(DeclarativeBase):
        pass

    class User(Base):
        __tablename__ = "users"
        id: Mapped[Any] = mapped_column(sa.LargeBinary if store == "sqlite" else sa.Uuid, primary_key=True)
        username: Mapped[str]

    yield
    session = Session(sa.create_engine(_sqlalchemy_url(url)))
    session.connection()
    yield
    UserRead.model_validate(session.get(User, _key(store, id)))
    yield


def sqlmodel(store: str, url: str, id: str) -> Generator[None]:
    """SQLModel, with one class."""
    import sqlalchemy as sa
    from sqlmodel import Field, Session, SQLModel, create_engine

    class User(SQLModel, table=True):
        __tablename__ = "users"
        id: Any = Field(primary_key=True, sa_type=sa.LargeBinary if store == "sqlite" else sa.Uuid)
        username: str

    yield
    session = Session(create_engine(_sqlalchemy_url(url)))
    session.connection()
    yield
    assert session.get(User, _key(store, id)) is not None
    yield


def advanced_alchemy(store: str, url: str, id: str) -> Generator[None]:
    """Advanced Alchemy, with one repository."""
    import sqlalchemy as sa
    from advanced_alchemy.base import DefaultBase
    from advanced_alchemy.repository import SQLAlchemySyncRepository
    from sqlalchemy.orm import Mapped, Session, mapped_column

    class User(DefaultBase):
        __tablename__ = "users"
        id: Mapped[Any] = mapped_column(sa.LargeBinary if store == "sqlite" else sa.Uuid, primary_key=True)
        username: Mapped[str] = mapped_column(sa.Text)

    class Users(SQLAlchemySyncRepository[User]):
        model_type = User

    yield
    session = Session(sa.create_engine(_sqlalchemy_url(url)))
    session.connection()
    yield
    assert Users(session=session).get(_key(store, id)) is not None
    yield


def peewee(store: str, url: str, id: str) -> Generator[None]:
    """Peewee, with one model."""
    from urllib.parse import urlsplit

    import peewee as pw

    if store == "sqlite":
        db = pw.SqliteDatabase(url.removeprefix("sqlite:///"))
    else:
        parts = urlsplit(url)
        db = pw.PostgresqlDatabase(
            parts.path[1:], host=parts.hostname, port=parts.port, user=parts.username, prefer_psycopg3=True
        )

    class User(pw.Model):
        class Meta:
            database = db
            table_name = "users"

        id = pw.BlobField(primary_key=True) if store == "sqlite" else pw.UUIDField(primary_key=True)
        username = pw.TextField()

    yield
    db.connect()
    yield
    assert User.get_or_none(User.id == _key(store, id)) is not None
    yield


def mongoengine(store: str, url: str, id: str) -> Generator[None]:
    """MongoEngine, with one document."""
    from uuid import UUID

    import mongoengine as me

    class User(me.Document):
        meta = {"collection": "users", "auto_create_index": False, "strict": False}
        id = me.UUIDField(primary_key=True)
        username = me.StringField()

    yield
    client = me.connect(host=url, uuidRepresentation="standard")
    client.admin.command("ping")
    yield
    assert User.objects(id=UUID(id)).first() is not None
    yield


def beanie(store: str, url: str, id: str) -> Generator[None]:
    """Beanie, with one document."""
    import asyncio
    from uuid import UUID

    import beanie as b
    from pydantic import Field
    from pymongo import AsyncMongoClient

    class User(b.Document):
        id: UUID = Field(alias="_id")
        username: str

        class Settings:
            name = "users"

    yield
    with asyncio.Runner() as runner:
        client = AsyncMongoClient(url, uuidRepresentation="standard")

        async def opened() -> None:
            await client.admin.command("ping")
            await b.init_beanie(client.get_default_database(), document_models=[User], skip_indexes=True)

        runner.run(opened())
        yield

        async def got() -> Any:
            return await User.get(UUID(id))

        assert runner.run(got()) is not None
        yield
        runner.run(client.close())


def odmantic(store: str, url: str, id: str) -> Generator[None]:
    """ODMantic, with one model."""
    import asyncio
    from uuid import UUID

    from motor.motor_asyncio import AsyncIOMotorClient
    from odmantic import AIOEngine, Field, Model

    class User(Model):
        model_config = {"collection": "users"}
        id: UUID = Field(primary_field=True)
        username: str

    yield
    with asyncio.Runner() as runner:

        async def opened() -> AIOEngine:
            client = AsyncIOMotorClient(url, uuidRepresentation="standard")
            await client.admin.command("ping")
            return AIOEngine(client=client, database=client.get_default_database().name)

        engine = runner.run(opened())
        yield

        async def got() -> Any:
            return await engine.find_one(User, User.id == UUID(id))

        assert runner.run(got()) is not None
        yield


_SQL: dict[str, Program] = {
    "driver": driver,
    "dbkit": dbkit,
    "core": core,
    "orm": orm,
    "sqlmodel": sqlmodel,
    "advanced_alchemy": advanced_alchemy,
    "peewee": peewee,
}
PROGRAMS: dict[str, dict[str, Program]] = {
    "sqlite": _SQL,
    "postgresql": _SQL,
    "mongodb": {
        "driver": driver,
        "dbkit": dbkit,
        "mongoengine": mongoengine,
        "beanie": beanie,
        "odmantic": odmantic,
    },
}
LABELS = {
    "driver": "the driver and pydantic",
    "dbkit": "dbkit",
    "core": "SQLAlchemy Core and pydantic",
    "orm": "SQLAlchemy ORM and pydantic",
    "sqlmodel": "SQLModel",
    "advanced_alchemy": "Advanced Alchemy",
    "peewee": "Peewee",
    "mongoengine": "MongoEngine",
    "beanie": "Beanie",
    "odmantic": "ODMantic",
}


def main() -> None:
    """Run one program."""
    name, store, url, id = sys.argv[1:]
    marks = [time.process_time()]
    steps = PROGRAMS[store][name](store, url, id)
    for _ in range(3):
        next(steps)
        marks.append(time.process_time())
    print(json.dumps([after - before for before, after in itertools.pairwise(marks)]))


if __name__ == "__main__":
    main()
