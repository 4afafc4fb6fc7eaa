"""What a failed migration says on every store: which part failed, and a way out that is one inside a migration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dbkit import Dirty, MigrationError, MigrationFailed
from dbkit.migrations import Migrator
from tests.migrations.test_engine_stores import STORES, Databases

UNMADE = """
from dbkit import Entity, Mapped, field

class Thing(Entity, name="things"):
    label: Mapped[str] = field(default="")

def up(m):
    m.store(Thing).create(Thing())

def down(m):
    pass
"""


@pytest.fixture(params=STORES)
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Databases]:
    made = Databases(request, request.param, tmp_path)
    yield made
    made.close()


def _failure(url: str, path: Path) -> str:
    with Migrator(url, path) as migrator, pytest.raises(MigrationError) as raised:
        migrator.up()
    assert isinstance(raised.value, MigrationFailed | Dirty)
    return str(raised.value)


def test_a_failed_statement_or_command_is_named(databases: Databases, tmp_path: Path) -> None:
    path = tmp_path / "migrations"
    path.mkdir()
    up = '-- the first\nCREATE TABLE a (b integer);\n\n-- the second\nINSERT INTO "nope"\nVALUES (7733);\n'
    (path / "0001_raw.up.sql").write_text(up, encoding="utf-8")
    (path / "0001_raw.down.sql").write_text("DROP TABLE a;", encoding="utf-8")
    up = '[{"create": "a"}, {"crate": "s3cret"}]'
    (path / "0001_raw.mongodb.up.json").write_text(up, encoding="utf-8")
    (path / "0001_raw.mongodb.down.json").write_text('[{"drop": "a"}]', encoding="utf-8")
    said = _failure(databases(), path)
    place = "command 2, 'crate'" if databases.kind == "mongodb" else "the statement in line 5"
    assert f" up: {place}: " in said
    assert "s3cret" not in said
    assert "7733" not in said
    assert "create_schema" not in said


def test_no_migration_is_told_to_create_the_schema(databases: Databases, tmp_path: Path) -> None:
    path = tmp_path / "migrations"
    path.mkdir()
    (path / "0001_unmade.py").write_text(UNMADE, encoding="utf-8")
    said = _failure(databases(), path)
    assert (
        "'things' does not exist (a migration makes it: this one, by an earlier step, or one before it)"
        in said
    )
    assert "create_schema" not in said
