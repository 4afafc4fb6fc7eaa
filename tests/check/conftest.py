"""Databases of one's own for the tests of `check`, `backfill` and of what dbkit did not make."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dbkit.testing.servers import Server, drop_database, fresh_database


@pytest.fixture
def postgres_url(postgres_server: Server) -> Iterator[str]:
    """Return the URL of a database of one's own on PostgreSQL."""
    url = fresh_database(postgres_server)
    yield url
    drop_database(postgres_server, url)


@pytest.fixture
def mongo_url(mongo_server: Server) -> Iterator[str]:
    """Return the URL of a database of one's own on MongoDB."""
    url = fresh_database(mongo_server)
    yield url
    drop_database(mongo_server, url)


@pytest.fixture(params=["memory", "sqlite", "postgresql", "mongodb"])
def store_url(request: pytest.FixtureRequest, tmp_path: object) -> str:
    """Return the URL of a database of one's own on each store, which several connections share."""
    name: str = request.param
    if name == "memory":
        return f"memory://check-{request.node.name}".replace("[", "-").replace("]", "")
    if name == "sqlite":
        return f"sqlite:///{tmp_path}/check.sqlite"
    url: str = request.getfixturevalue("postgres_url" if name == "postgresql" else "mongo_url")
    return url
