"""`dbkit check` and `dbkit backfill`: exit codes, JSON, lines."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from dbkit import connect
from dbkit.testing.servers import Server, drop_database, fresh_database

from .conftest import Command

NOTES = """
from dbkit import Entity, Mapped, field


class Note(Entity, name="notes"):
    text: Mapped[str] = field(default="")
{more}

ENTITIES = [Note]
"""


@pytest.fixture
def notes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Two versions of one entity; the first one's schema is made by `make`."""
    monkeypatch.syspath_prepend(str(folder))
    more = """\
    stars: Mapped[int] = field(default=3, ge=0)
    body: Mapped[str | None] = field(default=None)
    who: Mapped[str]
"""
    number = abs(hash(folder))
    (folder / f"before_{number}.py").write_text(NOTES.format(more=""), encoding="utf-8")
    (folder / f"after_{number}.py").write_text(NOTES.format(more=more), encoding="utf-8")
    return str(number)


def make(url: str, notes: str) -> None:
    before = importlib.import_module(f"before_{notes}")
    with connect(url, entities=before.ENTITIES) as db:
        db.create_schema()
        db.store(before.Note).create_many([before.Note(text=f"note {n}") for n in range(3)])


def test_check_exits_by_whether_the_database_fits(dbkit: Command, url: str, notes: str) -> None:
    make(url, notes)
    fits = dbkit.json("check", "--url", url, "--entities", f"before_{notes}:ENTITIES")
    assert fits["entities"] == ["Note"]
    assert not [finding for finding in fits["findings"] if finding["is_problem"]]
    assert dbkit.done("check", "Note", "--url", url, "--entities", f"before_{notes}:ENTITIES")

    drifted = dbkit.json("check", "--url", url, "--entities", f"after_{notes}:ENTITIES", code=4)
    assert "stars" in {finding["field"] for finding in drifted["findings"]}
    assert "stars" in dbkit.done("check", "--url", url, "--entities", f"after_{notes}:ENTITIES", code=4)


def test_check_of_what_is_not_an_entity(dbkit: Command) -> None:
    result = dbkit("check", "Usr", "--url", "sqlite://", "--entities", dbkit.entities)
    assert (result.exit_code, "did you mean 'User'?" in result.stderr) == (2, True)


@pytest.mark.server
def test_backfill_writes_the_default_where_it_is_missing(
    dbkit: Command, notes: str, mongo_server: Server
) -> None:
    url = fresh_database(mongo_server)
    make(url, notes)
    at = ["--url", url, "--entities", f"after_{notes}:ENTITIES"]
    refused = dbkit.json("backfill", "Note", "who", *at, code=2)
    assert refused["message"] == "Note.who declares no default"
    assert dbkit.json("backfill", "Note", "stars", "--batch", "2", *at)["filled"] == 3
    assert dbkit.json("backfill", "Note", "stars", *at)["filled"] == 0
    assert dbkit.json("backfill", "Note", "body", *at)["filled"] == 3
    assert dbkit.done("backfill", "notes", "who", "--value", "somebody", *at) == "filled 3\n"
    drop_database(mongo_server, url)
