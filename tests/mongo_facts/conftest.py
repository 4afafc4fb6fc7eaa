"""Fixtures of the probes: the server, who it says it is, and an empty database for each test.

A probe marked `real_mongod` shows what a surrogate cannot; on one it is skipped and counted, never passed.
"""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymongo import MongoClient, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.read_concern import ReadConcern

from dbkit.testing.servers import Missing, Server, missing_is_failure, start_mongodb

Doc = dict[str, Any]
Begin = Callable[[], ClientSession]


@pytest.fixture(scope="session")
def mongo_server() -> Iterator[Server]:
    server = start_mongodb()
    if isinstance(server, Missing):
        if missing_is_failure():
            pytest.fail(server.describe())
        pytest.skip(server.describe())
    with server:
        yield server


@pytest.fixture(autouse=True)
def _real_mongod_only(request: pytest.FixtureRequest, mongo_server: Server) -> None:
    if request.node.get_closest_marker("real_mongod") and mongo_server.is_surrogate:
        pytest.skip(f"real_mongod: {mongo_server.name} cannot show this")


@pytest.fixture(scope="session")
def client(mongo_server: Server) -> Iterator[MongoClient[Doc]]:
    # The codec that a backend reads with: aware datetimes, and uuids left as 16 bytes of subtype 4.
    with MongoClient[Doc](
        mongo_server.url, heartbeatFrequencyMS=500, serverSelectionTimeoutMS=5000, tz_aware=True, w="majority"
    ) as client:
        yield client


@pytest.fixture
def db(client: MongoClient[Doc]) -> Iterator[Database[Doc]]:
    name = f"facts_{secrets.token_hex(6)}"
    yield client[name]
    client.drop_database(name)


@pytest.fixture
def begin(client: MongoClient[Doc]) -> Iterator[Begin]:
    """Return a function that opens a session with a snapshot transaction; what is still open is rolled back."""
    sessions: list[ClientSession] = []

    def begin() -> ClientSession:
        session = client.start_session()
        sessions.append(session)
        session.start_transaction(
            read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority")
        )
        return session

    yield begin
    for session in sessions:
        session.end_session()
