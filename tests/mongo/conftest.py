"""Databases for the MongoDB backend's own tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dbkit import Database, connect
from dbkit.testing.servers import Server, drop_database, fresh_database
from tests.mongo.entities import ENTITIES


@pytest.fixture
def mongo_url(mongo_server: Server) -> Iterator[str]:
    """Return the URL of a database of one's own."""
    url = fresh_database(mongo_server)
    yield url
    drop_database(mongo_server, url)


@pytest.fixture
def db(mongo_url: str) -> Iterator[Database]:
    """Return an open database, its schema made."""
    with connect(mongo_url, entities=ENTITIES) as db:
        db.create_schema()
        yield db
