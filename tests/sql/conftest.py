"""Databases for the SQL backends' own tests."""

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


@pytest.fixture(params=["sqlite", "postgresql"])
def sql_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a database of one's own on each of the two."""
    if request.param == "sqlite":
        return "sqlite://"
    url: str = request.getfixturevalue("postgres_url")
    return url
