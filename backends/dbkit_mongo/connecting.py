"""From dbkit's URL and options to PyMongo's. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dbkit.errors import BadURL
from dbkit.options import Options
from dbkit.url import URL

__all__ = ["client_options", "client_url", "database_of"]

_ONLY = {"w": "majority", "readPreference": "primary"}
"""Keys that connection strings often hold, and the value that dbkit's promises need."""


def database_of(url: URL) -> str:
    """Return the database's name, which the path gives.

    Raises:
        BadURL: there is none, or it cannot be one.
    """
    name = url.database
    if not name and url.backend == "mongomock":
        return "dbkit"
    if not name:
        raise BadURL(
            "the URL names no database", backend=url.backend, hint="its path does: mongodb://host:27017/app"
        )
    if any(c in '/\\. "$*<>:|?' for c in name) or len(name.encode()) > 63:
        raise BadURL(
            "the URL's path is no name of a MongoDB database",
            backend=url.backend,
            hint='at most 63 bytes, without / \\ . " $ * < > : | ? and spaces',
        )
    return name


def client_url(url: URL, options: Options) -> str:
    """Return the URL for PyMongo, the password in it: to be passed on and never shown."""
    for key, value in options.driver:
        if value != _ONLY.get(key, value):
            raise BadURL(
                f"{key} in the URL can only be {_ONLY[key]}",
                backend=url.backend,
                hint="what dbkit promises of reads and writes rests on it",
            )
    driver = "srv" if url.driver and "srv" in url.driver.split("+") else None
    return replace(url, backend="mongodb", driver=driver, query=()).render(show_password=True)


def client_options(options: Options, *, ends_calls: bool = False) -> dict[str, Any]:
    """Return the client's options; what the URL's query says of them is the user's choice.

    With *ends_calls* the sockets have no time limit, as each call has one.

    They are given apart from the URL: there PyMongo would warn of a wrong one and go on without it.
    """
    timeout_ms = max(1, round(options.timeout_s * 1_000))
    said = {key.lower() for key, _ in options.driver if key not in _ONLY}
    given = {
        "maxPoolSize": options.pool_size,
        # These bound the steps of reads and single writes, which the server ends sooner; other calls are bounded as a whole.
        "connectTimeoutMS": min(timeout_ms, 20_000),
        "waitQueueTimeoutMS": timeout_ms,
        "serverSelectionTimeoutMS": timeout_ms,
        # Snapshots outside transactions show what a majority has: so must every write be that has returned.
        "w": "majority",
        "appName": "dbkit",
        "tz_aware": True,
    }
    if not ends_calls:
        given["socketTimeoutMS"] = timeout_ms + 1_000
    ours = {key: value for key, value in given.items() if key.lower() not in said}
    return ours | {key: value for key, value in options.driver if key not in _ONLY}
