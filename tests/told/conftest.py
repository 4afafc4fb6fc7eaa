"""What the drivers themselves say that they send: the other witness beside `on_statement`."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import psycopg
import pymongo
import pytest
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from dbkit.statement import Statement
from dbkit.testing.servers import drop_database, fresh_database

UNTOLD = frozenset({"getMore", "endSessions"})
"""What PyMongo sends by itself; its handshakes and its monitoring are no commands to a listener."""


class Listener(CommandListener):
    """Writes down the commands that a client of PyMongo sends."""

    def __init__(self, sent: list[str]) -> None:
        self._sent = sent

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name not in UNTOLD:
            self._sent.append(event.command_name)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Nothing new."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Nothing new."""


class Witness:
    """What was told since the last look, beside what was sent."""

    def __init__(self, url: str, sent: list[str]) -> None:
        self.url = url
        self._sent = sent
        self._told: list[Statement] = []

    def listen(self, db: Any) -> None:
        """Hear from now on what a database tells."""
        db.on_statement(self._told.append)
        self._sent.clear()

    def forget(self) -> None:
        """Forget what was sent beside dbkit."""
        self._told.clear()
        self._sent.clear()

    def look(self, what: str) -> list[str]:
        """Assert that what was told is what was sent, and return it."""
        told, sent = [statement.text for statement in self._told], list(self._sent)
        self.forget()
        assert told or what == "an empty transaction", f"{what}: nothing was told"
        if self.url.startswith("mongodb"):
            assert [text.split('"')[1] for text in told] == sent, f"{what}: {told}"
        elif self.url.startswith("sqlite"):
            _same_sqlite(what, told, sent)
        else:
            assert told == sent, what
        return told


def _same_sqlite(what: str, told: list[str], sent: list[str]) -> None:
    """Compare with what SQLite traced: with values, a write once more for each row of a bulk and each foreign key's action."""
    left = [text for text in sent if not text.startswith("--")]  # what its pragma_… functions and triggers do
    told = [text for text in told if not text.startswith("EXPLAIN")]  # which SQLite does not trace
    for place, text in enumerate(told):
        pattern = re.compile(re.escape(text).replace(r"\?", ".*"), re.DOTALL)
        assert left, f"{what}: told and not sent: {text}"
        assert pattern.fullmatch(left[0]), f"{what}: told {text}, sent {left[0]}"
        del left[0]
        repeats = text.startswith(("INSERT", "DELETE")) and text not in told[place + 1 :]
        while repeats and left and pattern.fullmatch(left[0]):
            del left[0]
    assert not left, f"{what}: sent and not told: {left}"


def _traced(connect: Callable[..., sqlite3.Connection], sent: list[str]) -> Callable[..., sqlite3.Connection]:
    def traced(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        connection.set_trace_callback(sent.append)
        return connection

    return traced


def _noted(method: Callable[..., Any], sent: list[str]) -> Callable[..., Any]:
    def noted(cursor: Any, query: Any, *args: Any, **options: Any) -> Any:
        sent.append(query.decode() if isinstance(query, bytes) else query)
        return method(cursor, query, *args, **options)

    return noted


@pytest.fixture(params=["sqlite", "postgresql", "mongodb"])
def witness(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Witness]:
    """A store whose driver says what it sends."""
    sent: list[str] = []
    if request.param == "sqlite":
        monkeypatch.setattr(sqlite3, "connect", _traced(sqlite3.connect, sent))
        yield Witness("sqlite://", sent)
        return
    if request.param == "mongodb":
        for name in ("MongoClient", "AsyncMongoClient"):
            client = getattr(pymongo, name)
            monkeypatch.setattr(pymongo, name, partial(client, event_listeners=[Listener(sent)]))
    else:
        for cursor in (psycopg.Cursor, psycopg.AsyncCursor):
            for method in ("execute", "executemany", "copy"):
                monkeypatch.setattr(cursor, method, _noted(getattr(cursor, method), sent))
    kind = "postgres" if request.param == "postgresql" else "mongo"
    server = request.getfixturevalue(f"{kind}_server")
    url = fresh_database(server)
    yield Witness(url, sent)
    drop_database(server, url)
