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

USE = """
from dbkit import Entity, Mapped, connect

class Note(Entity, name="notes"):
    text: Mapped[str]

with connect({url!r}, entities=[Note]) as db:
    notes = db.store(Note)
    {more}
"""
READ_AND_WRITE = """
    db.create_schema()
    note = notes.create(Note(text="a"))
    assert notes.get(note.id) == note
    assert notes.page(Note.text == "a").items == [note]
"""


def loaded(program: str) -> set[str]:
    """Return which of `HEAVY` a program has loaded at its end."""
    told = f"{program}\nimport sys\nprint(*sorted({HEAVY!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_it_loads_no_driver_no_backend_and_no_asyncio() -> None:
    assert loaded("import dbkit") == set()


def test_memory_loads_nothing_heavy() -> None:
    assert loaded(USE.format(url="memory://", more=READ_AND_WRITE)) <= {"dbkit.checking"}


@pytest.mark.parametrize("name", sorted(dbkit._LATER))
def test_what_is_loaded_later_is_there(name: str) -> None:
    assert name in dir(dbkit)
    assert getattr(dbkit, name).__name__ == name
    assert loaded(f"from dbkit import {name}") >= {
        "dbkit.checking" if name in {"Finding", "Report"} else "asyncio"
    }


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Databse'"):
        dbkit.Databse  # type: ignore[attr-defined]  # noqa: B018
