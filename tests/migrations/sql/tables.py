"""Three tables that refer to one another, for the migration stores of SQLite and PostgreSQL."""

from __future__ import annotations

from typing import Any

from dbkit import Mapped, Record, connect, field
from dbkit.entity import spec_of
from dbkit.migrations.store import MigrationStore
from dbkit.options import Options
from dbkit.spec import Schema
from dbkit.url import parse_url
from dbkit_sql.plugin import migration_store

__all__ = [
    "MEMBER",
    "ORG",
    "SCHEMA",
    "TASK",
    "AppUser",
    "Member",
    "Org",
    "Task",
    "begun",
    "counts",
    "field_of",
    "native",
    "opened",
]


class Org(Record[str], name="orgs"):
    id: Mapped[str] = field(max_length=40)


class Member(Record[int], name="members"):
    id: Mapped[int]
    org: Mapped[str] = field(references=lambda: Org, on_delete="cascade", max_length=40)
    boss: Mapped[int | None] = field(default=None, references=lambda: Member, on_delete="set_null")
    name: Mapped[str] = field(max_length=20)


class Task(Record[int], name="tasks"):
    id: Mapped[int]
    member: Mapped[int] = field(references=lambda: Member, on_delete="cascade")


class AppUser(Record[int], name="app.users"):
    id: Mapped[int]
    name: Mapped[str] = field(index=True)


ORG, MEMBER, TASK = (spec_of(entity) for entity in (Org, Member, Task))
SCHEMA = Schema([ORG, MEMBER, TASK])


def opened(url: str) -> MigrationStore:
    """Return an open migration store."""
    store = migration_store(parse_url(url), Options(timeout_s=5))
    store.open()
    return store


def begun(url: str) -> None:
    """Make the tables and a few rows."""
    with connect(url, entities=[Org, Member, Task]) as db:
        db.create_schema()
        db.store(Org).create_many([Org(id="a"), Org(id="b")])
        db.store(Member).create_many(
            [Member(id=1, org="a", name="Ada"), Member(id=2, org="b", boss=1, name="ada")]
        )
        db.store(Task).create_many([Task(id=1, member=1), Task(id=2, member=2)])


def counts(url: str) -> list[int]:
    """Return how many rows each table has."""
    with connect(url, entities=[Org, Member, Task]) as db:
        return db.counts(Org, Member, Task)


def native(url: str, text: str) -> list[Any]:
    """Run SQL past dbkit, and return its rows."""
    with connect(url, entities=[Org]) as db, db.native() as connection:
        cursor = connection.execute(text)
        return cursor.fetchall() if cursor.description else []


def field_of(entity: Any, name: str) -> Any:
    """Return a field's description."""
    return spec_of(entity).by_name[name]
