"""The stores that a run is on: by name or by URL, each made when it is first asked for, all put away at the end.

`memory` and `sqlite` are always there; `postgresql` and `mongodb` are servers that `dbkit.testing.servers` finds or
starts; `mongomock` needs its package. What cannot be had is a `NotRun` that says why: a report shows it, nothing falls
back in silence. A run's databases are its own, except where a URL names one: there, tables are made and dropped.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from dbkit.testing.servers import (
    Kind,
    Missing,
    Server,
    drop_database,
    fresh_database,
    start_mongodb,
    start_postgres,
)
from dbkit.url import parse_url

__all__ = ["DEFAULT_STORES", "KNOWN_STORES", "NotRun", "Shelf", "Store", "labels"]

DEFAULT_STORES = ("memory", "sqlite", "postgresql", "mongodb")
KNOWN_STORES = (*DEFAULT_STORES, "mongomock")
_SERVERS: dict[str, tuple[Kind, Callable[[], Server | Missing]]] = {
    "postgresql": ("postgresql", start_postgres),
    "mongodb": ("mongodb", start_mongodb),
}
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Store:
    """A store that can be connected to."""

    label: str
    """Its name in reports and test ids."""
    url: str = field(repr=False)
    origin: str
    """Where it comes from, without secrets."""


@dataclass(frozen=True)
class NotRun:
    """A store that cannot be had here, and why. It is false, so that `if store:` reads well."""

    label: str
    reason: str

    def __bool__(self) -> Literal[False]:
        return False


def labels(asked: str | Iterable[str]) -> dict[str, str]:
    """Map labels to the names and URLs that *asked* lists (a text is split at its commas).

    A URL's label is its backend and driver, numbered where it comes twice; it never holds the URL.

    Raises:
        ValueError: a name is unknown, or nothing is asked for.
    """
    items = [item.strip() for item in (asked.split(",") if isinstance(asked, str) else asked)]
    made: dict[str, str] = {}
    for item in _rejoined(items):
        if "://" in item:
            url = parse_url(item)
            label = url.backend if url.driver is None else f"{url.backend}+{url.driver}"
        elif item in KNOWN_STORES:
            label = item
        else:
            raise ValueError(f"{item!r} is no store; known: {', '.join(KNOWN_STORES)}, or a URL")
        unique, number = label, 1
        while unique in made:
            number += 1
            unique = f"{label}-{number}"
        made[unique] = item
    if not made:
        raise ValueError(f"no store is named; known: {', '.join(KNOWN_STORES)}, or a URL")
    return made


def _rejoined(items: Iterable[str]) -> list[str]:
    """Put `mongodb://h1:1,h2:2/name` together again: what is no name behind a URL belongs to it."""
    made: list[str] = []
    for item in filter(None, items):
        if made and "://" in made[-1] and "://" not in item and item not in KNOWN_STORES:
            made[-1] += f",{item}"
        else:
            made.append(item)
    return made


class Shelf:
    """Stores by what they were asked for: servers start once, databases are made once, `close` puts all away.

    A server that is handed in by *servers* is not stopped.
    """

    def __init__(self, servers: Iterable[Server | Missing] = ()) -> None:
        self._servers: dict[str, Server | Missing] = {server.kind: server for server in servers}
        self._given = set(self._servers)
        self._stores: dict[str, Store | NotRun] = {}
        self._databases: list[tuple[Server, str]] = []
        self._folder: Path | None = None

    def server(self, kind: Kind) -> Server | Missing:
        """Return the server of this kind, found or started at the first call."""
        found = self._servers.get(kind)
        if found is None:
            found = self._servers[kind] = _SERVERS[kind][1]()
        return found

    def servers(self) -> list[Server | Missing]:
        """Return the servers that were asked for so far."""
        return list(self._servers.values())

    def store(self, label: str, asked: str) -> Store | NotRun:
        """Return the store that *asked* (a name or a URL) means: the same one for the same label."""
        found = self._stores.get(label)
        if found is None:
            found = self._stores[label] = self._make(label, asked)
        return found

    def _make(self, label: str, asked: str) -> Store | NotRun:
        if "://" in asked:
            return Store(label, asked, "named by its URL")
        if asked in _SERVERS:
            server = self.server(_SERVERS[asked][0])
            if isinstance(server, Missing):
                return NotRun(label, server.reason + (f" ({server.hint})" if server.hint else ""))
            url = fresh_database(server)
            self._databases.append((server, url))
            return Store(label, url, server.origin)
        name = f"dbkit_kit_{os.getpid()}_{next(_numbers)}"
        if asked == "memory":
            return Store(label, f"memory://{name}", "in this process")
        if asked == "mongomock":
            if importlib.util.find_spec("mongomock") is None:
                return NotRun(label, "mongomock is not installed (pip install 'dbkit-stores[mongomock]')")
            return Store(label, f"mongomock://localhost/{name}", "in this process")
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="dbkit-kit-"))
        return Store(label, f"sqlite:///{self._folder / name}.db", "a temporary file")

    def close(self) -> None:
        """Drop the databases that were made, stop the servers that were started; a second call does nothing."""
        for server, url in self._databases:
            # A server that a test killed takes its databases along.
            if server.is_running and not server.is_private:
                with contextlib.suppress(OSError):
                    drop_database(server, url)
        for kind, found in self._servers.items():
            if isinstance(found, Server) and kind not in self._given:
                found.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._databases, self._servers, self._stores, self._folder = [], {}, {}, None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
