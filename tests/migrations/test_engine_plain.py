"""Functions that a migration hands over: what is asynchronous, or gives something else, is refused before it is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dbkit import DbkitError, Entity, Mapped, MigrationFailed, connect, field
from dbkit.migrations import Migrator
from dbkit.testing.servers import drop_database, fresh_database

BEFORE = """
from dbkit import Entity, Mapped, field
from dbkit.migrations import Migration


class Note(Entity, name="notes"):
    text: Mapped[str]
    size: Mapped[int] = field(default=0)


async def later(note):
    return note


def changed(note: Note) -> dict[str, str]:
    return {"text": "-"}


def down(m: Migration) -> None: ...
"""


class Note(Entity, name="notes"):
    text: Mapped[str]
    size: Mapped[int] = field(default=0)


@pytest.fixture(params=["sqlite", pytest.param("mongodb", marks=pytest.mark.server)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/a.db"
        return
    server = request.getfixturevalue("mongo_server")
    made = fresh_database(server)
    yield made
    drop_database(server, made)


@pytest.mark.parametrize(
    ("up", "said"),
    [
        ("up = lambda m: later(m)", "up gave an awaitable, which nobody awaits"),
        ("def up(m): m.update_each(Note, later)", "update_each's function is a coroutine or a generator"),
        (
            "def up(m): m.update_each(Note, lambda n: later(n))",
            "update_each's function gave an awaitable, which nobody awaits",
        ),
        ("def up(m): m.update_each(Note, changed)", "update_each's function gives a dict"),
        ("def up(m): m.once(later)", "once's function is a coroutine or a generator"),
        ("def up(m): m.add_field((Note, 'size'), fill=later)", "add_field's function is a coroutine"),
        (
            "def up(m): m.retype_field(Note.size, was=str, using=later)",
            "retype_field's function is a coroutine",
        ),
    ],
)
def test_what_would_run_nothing_is_refused_and_nothing_is_dirty(
    up: str, said: str, url: str, tmp_path: Path
) -> None:
    with connect(url, entities=[Note]) as db:
        db.create_schema()
        db.store(Note).create(Note(text="kept"))
    (tmp_path / "0001_a.py").write_text(f"{BEFORE}\n\n{up}\n", encoding="utf-8")
    with Migrator(url, tmp_path) as migrator:
        with pytest.raises(MigrationFailed, match=said) as caught:
            migrator.up()
        assert isinstance(caught.value.__cause__, DbkitError)
        assert (migrator.version().number, migrator.version().dirty) == (0, False)
    with connect(url, entities=[Note]) as db:
        assert [note.text for note in db.store(Note).find()] == ["kept"]
