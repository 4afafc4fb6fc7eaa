"""What all tests share: the servers, started once a session and only where a test needs one.

Coroutine tests run by pytest-asyncio, each on a loop of its own (`asyncio_mode = auto`); warnings are errors, so a
connection or task that is left open fails the test that left it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Before they are imported: a rule that fails shows what it compared.
pytest.register_assert_rewrite("dbkit.testing._async", "dbkit.testing._sync", "dbkit.testing.samples")

from dbkit.testing import plugin  # noqa: E402
from dbkit.testing.servers import Kind, Server, missing_is_failure  # noqa: E402
from dbkit.testing.stores import Shelf  # noqa: E402

# How long an example takes says how busy the machine is, and nothing of dbkit.
settings.register_profile("dbkit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("dbkit")

SERVERS: dict[str, Kind] = {"postgresql": "postgresql", "mongodb": "mongodb"}
FIXTURES: dict[str, Kind] = {"postgres_server": "postgresql", "mongo_server": "mongodb"}


def pytest_configure(config: pytest.Config) -> None:
    """Overlook sockets that never connected: AsyncMongoClient leaves them when it is closed while it looks for a server.

    https://jira.mongodb.org/browse/PYTHON-5867. A socket that did connect has a `raddr`, and is still an error.
    """
    never_connected = r"unclosed <socket\.socket fd=\d+, family=\d+, type=1, proto=6, laddr=[^)]*\)>$"
    config.addinivalue_line("filterwarnings", f"ignore:{never_connected}:ResourceWarning")


@pytest.fixture(scope="session")
def shelf(request: pytest.FixtureRequest) -> Shelf:
    """The session's stores and servers, those of `db`, `adb` and of the conformance rules."""
    return plugin.shelf(request.config)


def _server(shelf: Shelf, kind: Kind) -> Server:
    found = shelf.server(kind)
    if not found:
        (pytest.fail if missing_is_failure() else pytest.skip)(found.describe())
    return found


@pytest.fixture(scope="session")
def postgres_server(shelf: Shelf) -> Server:
    """The session's PostgreSQL; `fresh_database(postgres_server)` is a database of one's own. Do not kill it."""
    return _server(shelf, "postgresql")


@pytest.fixture(scope="session")
def mongo_server(shelf: Shelf) -> Server:
    """The session's MongoDB or its surrogate; `mongo_server.is_surrogate` says which. Do not kill it."""
    return _server(shelf, "mongodb")


def _kinds(item: pytest.Item) -> Iterator[Kind]:
    names = getattr(item, "fixturenames", ())
    for name, kind in FIXTURES.items():
        if name in names:
            yield kind
    callspec: Any = getattr(item, "callspec", None)
    stores: list[Any] = (
        [callspec.params.get(name) for name in ("kit_store", "dbkit_store")] if callspec else []
    )
    for _, asked in filter(None, stores):
        if asked in SERVERS:
            yield SERVERS[asked]


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    """Start the servers that the collected tests need, and say in the heading which they are, or why not."""
    if config.option.collectonly:
        return []
    kinds: dict[Kind, None] = dict.fromkeys(kind for item in items for kind in _kinds(item))
    return [f"server: {plugin.shelf(config).server(kind).describe()}" for kind in kinds]
