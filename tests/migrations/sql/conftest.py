"""A database of one's own on SQLite and PostgreSQL, and one or two migration stores on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dbkit.migrations.store import MigrationStore
from dbkit.testing.servers import Server, drop_database, fresh_database
from tests.migrations.sql.tables import (
    opened,
)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the URL of an empty database of one's own."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/db.sqlite"
        return
    server: Server = request.getfixturevalue("postgres_server")
    made = fresh_database(server)
    yield made
    drop_database(server, made)


@pytest.fixture
def store(url: str) -> Iterator[MigrationStore]:
    made = opened(url)
    yield made
    made.close()
    made.close()


@pytest.fixture
def other(url: str) -> Iterator[MigrationStore]:
    """Another migrator on the same database."""
    made = opened(url)
    yield made
    made.close()
