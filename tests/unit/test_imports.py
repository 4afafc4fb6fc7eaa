"""What a program loads: nothing of another store, of the other colour, or of the command, until it asks for it.

Each in a process of its own, as what this one has loaded hides it.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

import dbkit

HEAVY = {
    "aiosqlite",
    "alembic",
    "asyncio",
    "bson",
    "difflib",
    "mongomock",
    "motor",
    "psycopg",
    "pymongo",
    "rich",
    "sqlalchemy",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.dialects.sqlite",
    "sqlalchemy.ext.asyncio",
    "sqlalchemy.orm",
    "sqlite3",
    "typer",
    "dbkit.blog",
    "dbkit.checking",
    "dbkit.cli",
    "dbkit.migrations",
    "dbkit.testing",
    "dbkit._async",
    "dbkit_memory._async",
    "dbkit_mongo",
    "dbkit_sql",
    "dbkit_sql._async",
    "dbkit_sql._sync.postgres",
    "dbkit_sql.checking",
    "dbkit_sql.drift",
    "dbkit_sql.migrating",
}
"""What takes long to load, or should not be there: more than a millisecond each, some a hundred."""

DECLARED = """
from dbkit import Entity, Mapped, Unavailable, connect, field

class Author(Entity, name="authors"):
    name: Mapped[str] = field(unique=True)

class Note(Entity, name="notes", indexes=[("author", "text")]):
    text: Mapped[str] = field(max_length=100)
    author: Mapped[str | None] = field(default=None)
"""
OPENED = """
with connect({url!r}, entities=[Author, Note]) as db:
    db.ping()
"""
USED = """
    db.create_schema()
    notes = db.store(Note)
    note = notes.create(Note(text="a"))
    assert notes.get(note.id) == note
    assert notes.page(Note.text == "a").items == [note]
"""
ABSENT = """
try:
    connect({url!r}, entities=[Author, Note])
except Unavailable:
    pass
else:
    raise AssertionError("somebody answers there")
"""


def loaded(program: str) -> set[str]:
    """Return which of `HEAVY` a program has loaded at its end."""
    told = f"{program}\nimport sys\nprint(*sorted({HEAVY!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_it_and_declaring_entities_loads_nothing_heavy() -> None:
    assert loaded(DECLARED) == set()


def test_memory_loads_nothing_heavy() -> None:
    assert loaded(DECLARED + OPENED.format(url="memory://") + USED) == set()


def test_sqlite_loads_its_own_dialect_alone() -> None:
    # asyncio is SQLAlchemy's, which loads it whatever is asked of it.
    own = {"asyncio", "dbkit_sql", "sqlalchemy", "sqlalchemy.dialects.sqlite", "sqlite3"}
    opened = DECLARED + OPENED.format(url="sqlite://")
    assert loaded(opened) == own
    # The parts of a definition are read where there is one already.
    assert loaded(opened + USED) - {"dbkit_sql.drift", "dbkit_sql.migrating"} == own


# The description of the tables is made, and the driver loaded, before the server is asked for.
def test_postgresql_loads_its_own_dialect_alone() -> None:
    pytest.importorskip("psycopg")
    assert loaded(DECLARED + ABSENT.format(url="postgresql://u:p@127.0.0.1:1/none")) == {
        "asyncio",
        "dbkit_sql",
        "dbkit_sql._sync.postgres",
        "psycopg",
        "sqlalchemy",
        "sqlalchemy.dialects.postgresql",
    }


def test_mongodb_loads_no_sql() -> None:
    pytest.importorskip("pymongo")
    url = "mongodb://127.0.0.1:1/none?timeout_s=0.1"
    assert loaded(DECLARED + ABSENT.format(url=url)) == {
        "asyncio",
        "bson",
        "dbkit_mongo",
        "difflib",
        "pymongo",
    }


@pytest.mark.parametrize("name", sorted(dbkit._LATER))
def test_what_is_loaded_later_is_there(name: str) -> None:
    assert name in dir(dbkit)
    assert getattr(dbkit, name).__name__ == name


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Databse'"):
        dbkit.Databse  # type: ignore[attr-defined]  # noqa: B018
