"""Each example runs on every store that can be had: `url` is a fresh database of each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dbkit.testing.servers import drop_database, fresh_database

STORES = [
    "memory",
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.server),
    pytest.param("mongodb", marks=pytest.mark.server),
]


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "memory":
        yield "memory://"
    elif request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'example.db'}"
    else:
        server = request.getfixturevalue(
            "postgres_server" if request.param == "postgresql" else "mongo_server"
        )
        made = fresh_database(server)
        yield made
        drop_database(server, made)
