"""Servers of the fault tests' own: they are killed, and nobody else shall notice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dbkit.testing import servers
from dbkit.testing.servers import Server

START = {"postgresql": servers.start_postgres, "mongodb": servers.start_mongodb}


@pytest.fixture(scope="session")
def _own_servers() -> Iterator[dict[str, Server]]:
    started: dict[str, Server] = {}
    yield started
    for server in started.values():
        server.stop()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "own_server" not in metafunc.fixturenames:
        return
    kinds = ["postgresql", "mongodb"]
    # PyMongo waits for servers that are gone, so its tests take long, and its two clients are one source: one colour each.
    folder, module = metafunc.definition.path.parent.name, metafunc.definition.path.stem
    if folder != ("_sync" if "killed" in module else "_async"):
        kinds.remove("mongodb")
    metafunc.parametrize("own_server", kinds, indirect=True)


@pytest.fixture
def own_server(
    request: pytest.FixtureRequest, _own_servers: dict[str, Server], monkeypatch: pytest.MonkeyPatch
) -> Server:
    """A private server, started once for all fault tests, and running."""
    kind: str = request.param
    for name in ("DBKIT_TEST_POSTGRES_URL", "DBKIT_TEST_MONGODB_URL"):
        monkeypatch.delenv(name, raising=False)
    if kind not in _own_servers:
        found = START[kind]()
        if not found:
            (pytest.fail if servers.missing_is_failure() else pytest.skip)(found.describe())
        _own_servers[kind] = found
    server = _own_servers[kind]
    if not server.is_running:
        server.restart()
    return server
