"""The three stores that are measured on: started, filled, and named by what they are."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from dbkit.testing.servers import (
    Missing,
    Server,
    drop_database,
    fresh_database,
    start_mongodb,
    start_postgres,
)

from .data import Data, fill, remove_new
from .registry import Entry
from .replay import Replay
from .runner import Cores

__all__ = ["NotRun", "Target", "opened"]


class NotRun(RuntimeError):
    """A store's server could not be started; says why."""


@dataclass
class Target:
    """A store that is filled."""

    name: str
    url: str
    server: str
    """What it is, as the report shows it."""
    stand_in: str | None
    """What the figures do not show, where the server is not the real one or its replies are replayed."""
    empty_url: str
    """A database beside it, with nothing in it."""
    replay: Replay | None = None

    def urls_of(self, entry: Entry) -> tuple[str, str]:
        """Return where a contender is verified and where it is measured: on MongoDB its own port of the proxy."""
        if self.replay is None:
            return self.url, self.url
        return self.url, _mongo_url(self.url, self.replay.port_of(entry.name))

    def clean(self) -> None:
        """Remove what the workloads wrote, where it reached the store."""
        remove_new(self.url)


@contextmanager
def opened(name: str, data: Data, cores: Cores) -> Generator[Target]:
    """Start a store, fill it, and stop it at the end.

    Raises:
        NotRun: its server cannot be had here.
    """
    with contextlib.ExitStack() as stack:
        target = {"sqlite": _sqlite, "postgresql": _postgres, "mongodb": _mongo}[name](stack, cores)
        fill(target.url, data)
        yield target


def _sqlite(stack: contextlib.ExitStack, _: Cores) -> Target:
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="dbkit-bench-"))
    url = f"sqlite:///{Path(folder) / 'bench.db'}"
    return Target("sqlite", url, f"SQLite {sqlite3.sqlite_version}, a file, WAL", None, "sqlite://")


def _started(stack: contextlib.ExitStack, found: Server | Missing, cores: Cores) -> Server:
    if isinstance(found, Missing):
        raise NotRun(found.describe())
    stack.callback(found.stop)
    child = found._child
    if child is not None and child.pid is not None:
        cores.pin_server(child.pid)
    return found


def _database(stack: contextlib.ExitStack, server: Server) -> str:
    """Return a database of its own, which is removed at the end where the server stays."""
    url = fresh_database(server)
    if server._child is None:
        stack.callback(drop_database, server, url)
    return url


def _postgres(stack: contextlib.ExitStack, cores: Cores) -> Target:
    server = _started(stack, start_postgres(), cores)
    return Target("postgresql", _database(stack, server), server.describe(), None, _database(stack, server))


def _mongo(stack: contextlib.ExitStack, cores: Cores) -> Target:
    server = _started(stack, start_mongodb(), cores)
    url = _database(stack, server)
    address = urlsplit(url)
    replay = stack.enter_context(Replay(address.hostname or "127.0.0.1", address.port or 27017))
    replay.pin(cores)
    kind = "which speaks the protocol and is not MongoDB" if server.is_surrogate else "MongoDB"
    stand_in = (
        f"MongoDB wire protocol, surrogate server: the replies are those of {server.name} {server.version}, {kind}, recorded "
        "once and replayed by a proxy on loopback. The figures are the client's cost alone; they say nothing of a server's "
        "time, and are not measured on MongoDB. The proxy leaves the surrogate's name out of its replies, so that dbkit "
        'goes the way that it goes on MongoDB (read concern "snapshot" where several collections are read, and no '
        "transaction), and it cuts the batches of `iterate` itself out of documents that it read once."
        if server.is_surrogate
        else f"The replies are those of {server.name} {server.version}, {kind}, recorded once and replayed by a proxy on "
        "loopback: the figures are the client's cost alone, and say nothing of the server's time."
    )
    return Target("mongodb", url, server.describe(), stand_in, _database(stack, server), replay)


def _mongo_url(url: str, port: int) -> str:
    parts = urlsplit(url)
    # One connection for the calls and one that looks after the server, seldom: its replies cost the client time, too.
    query = {
        **dict(parse_qsl(parts.query)),
        "directConnection": "true",
        "serverMonitoringMode": "poll",
        "heartbeatFrequencyMS": "600000",
    }
    query.pop("replicaSet", None)
    return urlunsplit((parts.scheme, f"127.0.0.1:{port}", parts.path, urlencode(query), ""))
