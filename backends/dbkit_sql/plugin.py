"""The entry point: `sqlite://` and `postgresql://`."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from dbkit.errors import MissingDriver
from dbkit.features import Features
from dbkit.options import Options
from dbkit.url import URL

from .features import FEATURES as DECLARED
from .settings import POSTGRES_KEYS, SQLITE_KEYS

if TYPE_CHECKING:
    from dbkit._async.backend import AsyncBackend
    from dbkit._sync.backend import Backend
    from dbkit.migrations.store import MigrationStore

__all__ = ["EXTRA", "FEATURES", "QUERY_KEYS", "async_backend", "backend", "migration_store"]

QUERY_KEYS: frozenset[str] = SQLITE_KEYS | POSTGRES_KEYS
FEATURES: dict[str, Features] = DECLARED
EXTRA: str | None = "postgresql"


def backend(url: URL, options: Options) -> Backend:
    """Make a backend, without I/O."""
    if url.backend == "sqlite":
        from ._sync.sqlite import SqliteBackend

        return SqliteBackend(url, options)
    _need_psycopg()
    from ._sync.postgres import PostgresBackend

    return PostgresBackend(url, options)


def async_backend(url: URL, options: Options) -> AsyncBackend:
    """Make an asynchronous backend, without I/O."""
    if url.backend == "sqlite":
        from ._async.sqlite import AsyncSqliteBackend

        return AsyncSqliteBackend(url, options)
    _need_psycopg()
    from ._async.postgres import AsyncPostgresBackend

    return AsyncPostgresBackend(url, options)


def migration_store(url: URL, options: Options) -> MigrationStore:
    """Make what migrations need of a database, without I/O."""
    if url.backend == "sqlite":
        from .migrating.sqlite import SqliteMigrationStore

        return SqliteMigrationStore(url, options)
    _need_psycopg()
    if importlib.util.find_spec("alembic") is None:
        raise MissingDriver(
            "migrations of PostgreSQL need alembic, which is not installed",
            backend="postgresql",
            hint="pip install 'dbkit-stores[migrations]'",
        )
    from .migrating.postgres import PostgresMigrationStore

    return PostgresMigrationStore(url, options)


def _need_psycopg() -> None:
    if importlib.util.find_spec("psycopg") is None:
        raise MissingDriver(
            "PostgreSQL needs psycopg, which is not installed",
            backend="postgresql",
            hint="pip install 'dbkit-stores[postgresql]'",
        )
