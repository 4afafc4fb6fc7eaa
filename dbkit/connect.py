"""`connect` and `aconnect`: from a URL to a database."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

from ._sync.database import Database
from .entity import spec_of
from .errors import BadURL, ConfigurationError
from .options import Options
from .registry import Plugin, plugin
from .spec import Schema
from .url import URL, parse_url, unknown_key

if TYPE_CHECKING:
    from ._async.database import AsyncDatabase

__all__ = ["aconnect", "connect", "options_of"]

_DEFAULTS = Options()
EXTRAS = frozenset({"serializable"})
"""What `allow` can name."""


class _Prepared(NamedTuple):
    url: URL
    plugin: Plugin
    schema: Schema
    options: Options
    cursor_key: bytes | None


def connect(
    url: str,
    *,
    entities: Iterable[type[Any]],
    allow: Iterable[str] = (),
    pool_size: int | None = None,
    timeout_s: float | None = None,
    cursor_key: str | bytes | None = None,
) -> Database:
    """Open the database at *url* for *entities*.

    Use it as a context manager, or call `close()`.

    Args:
        url: `memory://`, `sqlite:///file.db`, `sqlite://` (a temporary file), `postgresql://user:password@host/name`,
            `mongodb://h1,h2/name?replicaSet=rs0`. Its query may hold `pool_size`, `timeout_s`, `allow`, and the driver's
            own documented keys.
        entities: the classes that are stored; those that they refer to must be among them.
        allow: extras that not every store has and that the program wants all the same: `{"serializable"}`.
        pool_size: the most connections at once, 10 unless given here or in the URL.
        timeout_s: the longest that one statement, or waiting for a connection, may take; 30 unless given.
        cursor_key: signs pages' cursors, so that a client cannot forge one.

    Raises:
        BadURL: the URL cannot be read, or has a key that nobody knows.
        MissingDriver: the store's driver is not installed.
        Unavailable: the server cannot be reached.
        Unsupported: it cannot keep what the entities declare.
    """
    p = _prepare(url, entities, allow, pool_size, timeout_s, cursor_key, sys._getframe(1).f_locals)
    database = Database(p.url, p.plugin.backend(p.url, p.options), p.schema, p.options, p.cursor_key)
    return database.open()


def aconnect(
    url: str,
    *,
    entities: Iterable[type[Any]],
    allow: Iterable[str] = (),
    pool_size: int | None = None,
    timeout_s: float | None = None,
    cursor_key: str | bytes | None = None,
) -> AsyncDatabase:
    """Return the database at *url* for *entities*, opened by `async with` (or `await db.open()`).

    Arguments and errors are those of `connect`; what needs the server is raised when it is opened.
    """
    from ._async.database import AsyncDatabase

    p = _prepare(url, entities, allow, pool_size, timeout_s, cursor_key, sys._getframe(1).f_locals)
    return AsyncDatabase(p.url, p.plugin.async_backend(p.url, p.options), p.schema, p.options, p.cursor_key)


def _prepare(
    text: str,
    entities: Iterable[type[Any]],
    allow: Iterable[str],
    pool_size: int | None,
    timeout_s: float | None,
    cursor_key: str | bytes | None,
    namespace: Mapping[str, Any],
) -> _Prepared:
    url = parse_url(text)
    chosen = plugin(url.backend)
    options = options_of(url, chosen, allow, pool_size, timeout_s)
    secret = cursor_key.encode() if isinstance(cursor_key, str) else cursor_key
    if secret is not None and len(secret) < 16:
        raise ConfigurationError(
            "cursor_key is too short", hint="at least 16 bytes, e.g. secrets.token_bytes(32)"
        )
    if isinstance(entities, type):
        raise ConfigurationError("entities= takes a list of classes", hint=f"entities=[{entities.__name__}]")
    classes = list(entities)
    specs = [spec_of(entity, namespace) for entity in classes]
    if not specs:
        raise ConfigurationError("connect needs entities", hint="connect(url, entities=[User, Post])")
    return _Prepared(url, chosen, Schema(dict.fromkeys(specs)), options, secret)


def options_of(
    url: URL,
    chosen: Plugin,
    allow: Iterable[str] = (),
    pool_size: int | None = None,
    timeout_s: float | None = None,
) -> Options:
    """Return what the URL's query and the arguments of `connect` say; what dbkit does not know is the driver's."""
    own = {f.name for f in fields(Options)} - {"driver"}
    mine = {key: value for key, value in url.query if key in own}
    driver = tuple((key, value) for key, value in url.query if key not in own)
    refused: Mapping[str, str] = getattr(chosen, "REFUSED_KEYS", {})
    for key, _ in driver:
        if key in refused:
            raise BadURL(f"{key} cannot stand in the URL", backend=url.backend, hint=refused[key])
        if key not in chosen.QUERY_KEYS:
            raise unknown_key(key, own | chosen.QUERY_KEYS)
    allowed = {allow} if isinstance(allow, str) else set(allow)
    allowed |= set(filter(None, mine.get("allow", "").split(",")))
    if not allowed <= EXTRAS:
        raise ConfigurationError(
            "allow names an extra that does not exist", hint=f"valid: {', '.join(sorted(EXTRAS))}"
        )
    return Options(
        pool_size=_number("pool_size", int, pool_size, mine.get("pool_size"), _DEFAULTS.pool_size, 1, 10_000),
        timeout_s=_number(
            "timeout_s", float, timeout_s, mine.get("timeout_s"), _DEFAULTS.timeout_s, 0.001, 86_400
        ),
        allow=frozenset(allowed),
        driver=driver,
    )


def _number(
    name: str,
    kind: type[Any],
    given: float | None,
    in_url: str | None,
    default: float,
    least: float,
    most: float,
) -> Any:
    if given is not None and in_url is not None:
        raise ConfigurationError(f"{name} is given twice: in the URL and to connect")
    if given is None and in_url is None:
        return default
    try:
        value = kind(in_url) if given is None else given
    except (TypeError, ValueError):
        raise BadURL(f"{name} in the URL is no {kind.__name__}") from None
    fits = isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
    if not fits or (kind is int and not isinstance(value, int)):
        raise ConfigurationError(
            f"{name} must be {'an int' if kind is int else 'a number'} from {least:g} to {most:g}"
        )
    return value
