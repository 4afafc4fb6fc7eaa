"""Runs commands in process, as typer's runner does, in a folder with a program of its own."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from dbkit.cli.app import app
from dbkit.testing.servers import drop_database, fresh_database

_numbers = itertools.count(1)
MODELS = """
from typing import Any

from dbkit import Embedded, Entity, Mapped, field
from dbkit.blog import Post, User


class Address(Embedded):
    city: Mapped[str]


class Shop(Entity, name="shops"):
    address: Mapped[Address]
    extra: Mapped[dict[str, Any]] = field(default_factory=dict)
    open_on: Mapped[int] = field(default=1)


ENTITIES = [User, Post]
WITH_SHOP = (User, Post, Shop)
NOTHING: list[type] = []
"""


class Command:
    """`dbkit` in the test's folder."""

    def __init__(self, models: str) -> None:
        self.models = models
        self.entities = f"{models}:ENTITIES"

    def __call__(self, *arguments: str, typed: str | None = None, **environment: str | None) -> Result:
        variables = {"DBKIT_URL": None, "NO_COLOR": "1", "COLUMNS": "200", **environment}
        return CliRunner(env=variables).invoke(app, arguments, input=typed)

    def done(self, *arguments: str, code: int = 0, **environment: str | None) -> str:
        """Run it, and return what it wrote to the standard output."""
        result = self(*arguments, **environment)
        assert result.exit_code == code, result.output
        return result.stdout

    def json(self, *arguments: str, code: int = 0, **environment: str | None) -> Any:
        """Run it with --json, and return the document."""
        result = self(*arguments, "--json", **environment)
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which can be imported from by no other test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    return tmp_path


@pytest.fixture
def dbkit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    # Reading all distributions takes half a second.
    monkeypatch.setattr("dbkit.cli.doctor.owners", lambda: ["dbkit-stores"])
    models = f"cli_models_{next(_numbers)}"
    (folder / f"{models}.py").write_text(MODELS, encoding="utf-8")
    yield Command(models)
    sys.modules.pop(models, None)


STORES = [
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.server),
    pytest.param("mongodb", marks=pytest.mark.server),
]


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """An empty database of each store that lasts."""
    if request.param == "sqlite":
        (folder / "test.db").touch()
        yield "sqlite:///test.db"
        return
    server = request.getfixturevalue("postgres_server" if request.param == "postgresql" else "mongo_server")
    made = fresh_database(server)
    yield made
    drop_database(server, made)
