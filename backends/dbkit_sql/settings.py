"""From a URL to what a driver's `connect` takes. Pure; checks what can be checked before anything is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dbkit.errors import BadURL
from dbkit.options import LOCK_WAIT_S, Options
from dbkit.url import URL, unknown_key

__all__ = [
    "POSTGRES_KEYS",
    "SQLITE_KEYS",
    "PostgresSettings",
    "SqliteSettings",
    "postgres_settings",
    "sqlite_settings",
]

# Pragmas that a connection may set (https://www.sqlite.org/pragma.html).
_SYNCHRONOUS = frozenset({"off", "normal", "full", "extra"})
_NUMBERS = frozenset({"cache_size", "mmap_size", "wal_autocheckpoint"})
SQLITE_KEYS = frozenset({"synchronous", *_NUMBERS})
# libpq's parameters (PostgreSQL's manual, 34.1.2), without those that the URL or dbkit itself says.
POSTGRES_KEYS = frozenset({
    "application_name", "channel_binding", "connect_timeout", "gssencmode", "gsslib", "hostaddr",
    "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval", "krbsrvname", "load_balance_hosts",
    "options", "passfile", "require_auth", "requirepeer", "service", "sslcert", "sslcertmode", "sslcrl", "sslcrldir",
    "sslkey", "ssl_max_protocol_version", "ssl_min_protocol_version", "sslmode", "sslnegotiation", "sslpassword",
    "sslrootcert", "sslsni", "target_session_attrs", "tcp_user_timeout",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class SqliteSettings:
    """How connections to a file are opened; an empty path is a temporary file that is yet to be made."""

    path: str
    timeout_s: float
    pragmas: Mapping[str, str] = field(default_factory=dict[str, str])

    def at(self, path: str) -> SqliteSettings:
        """Return the settings for a temporary file: nobody will look for it after a power cut."""
        return replace(self, path=path, pragmas={**self.pragmas, "synchronous": "OFF"})

    @property
    def arguments(self) -> dict[str, Any]:
        """What both drivers' `connect` take."""
        return {"timeout": LOCK_WAIT_S, "isolation_level": None, "cached_statements": 512}


def sqlite_settings(url: URL, options: Options) -> SqliteSettings:
    """Return the settings of a SQLite URL.

    Raises:
        BadURL: it names a host, a user or a driver, or a key's value makes no sense.
    """
    if url.hosts or url.username is not None or url.driver is not None:
        raise BadURL(
            "a SQLite URL names a file and nothing else",
            hint="sqlite:///relative.db, sqlite:////absolute/path.db, or sqlite:// for a temporary file",
        )
    if url.database == ":memory:":
        raise BadURL(
            "SQLite's :memory: belongs to one connection alone",
            hint="sqlite:// is a temporary file, memory:// needs no SQLite",
        )
    pragmas: dict[str, str] = {"foreign_keys": "ON"}
    for key, value in options.driver:
        if key not in SQLITE_KEYS:
            raise unknown_key(key, SQLITE_KEYS)
        if key in _NUMBERS and not value.removeprefix("-").isdecimal():
            raise BadURL(f"{key} in the URL must be a whole number")
        if key == "synchronous" and value.lower() not in _SYNCHRONOUS:
            raise BadURL("synchronous in the URL must be one of off, normal, full, extra")
        pragmas[key] = value
    return SqliteSettings(url.database, options.timeout_s, pragmas)


@dataclass(frozen=True, slots=True)
class PostgresSettings:
    """How connections to a server are opened."""

    parameters: Mapping[str, Any] = field(repr=False)
    session: str
    """What is said first on each connection."""
    patience_s: float
    """How long the client waits for an answer: a little longer than the server may take for one."""


def postgres_settings(url: URL, options: Options) -> PostgresSettings:
    """Return the settings of a PostgreSQL URL.

    Raises:
        BadURL: it names another driver, or a key that libpq does not know.
    """
    if url.driver not in (None, "psycopg"):
        raise BadURL("PostgreSQL is reached by psycopg", hint="postgresql://… or postgresql+psycopg://…")
    parameters: dict[str, Any] = {}
    for key, value in options.driver:
        if key not in POSTGRES_KEYS:
            raise unknown_key(key, POSTGRES_KEYS)
        parameters[key] = value
    if url.hosts:
        parameters["host"] = ",".join(host for host, _ in url.hosts)
        parameters["port"] = ",".join("" if port is None else str(port) for _, port in url.hosts)
    if url.username is not None:
        parameters["user"] = url.username
    if url.password is not None:
        parameters["password"] = url.password
    if url.database:
        parameters["dbname"] = url.database
    parameters["client_encoding"] = "UTF8"  # whatever PGCLIENTENCODING says
    parameters.setdefault("application_name", "dbkit")
    parameters.setdefault("connect_timeout", max(2, round(options.timeout_s)))
    session = (
        "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET standard_conforming_strings = on; "
        "SET default_transaction_isolation = 'read committed'; "
        f"SET statement_timeout = {max(1, round(options.timeout_s * 1000))}; "
        f"SET lock_timeout = {round(LOCK_WAIT_S * 1000)}"
    )
    return PostgresSettings(parameters, session, options.timeout_s + min(LOCK_WAIT_S, options.timeout_s))
