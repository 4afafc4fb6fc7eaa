"""The database that the settings name, and a store's migration side without a migrator, for what only looks."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError, Unsupported

if TYPE_CHECKING:
    from .._sync.database import Database
    from ..migrations.store import MigrationStore
    from ..spec import Schema
    from ..url import URL
    from .settings import Settings

__all__ = ["begins_empty", "migration_store", "must_exist", "opened", "refuse_existing"]


@contextmanager
def opened(settings: Settings) -> Generator[Database]:
    """Open the database for the entities; one that begins empty with this process gets its schema, to be tried on."""
    from ..connect import connect

    url = settings.parsed_url
    with connect(settings.url, entities=settings.entities) as db:
        if begins_empty(url):
            db.create_schema()
        yield db


def must_exist(url: URL) -> None:
    """Refuse a SQLite file that is not there, for commands that only look: opening would make one."""
    if url.backend == "sqlite" and url.database and not Path(url.database).exists():
        raise ConfigurationError(
            f"there is no file {url.database}",
            backend=url.backend,
            hint="`dbkit migrate up` or db.create_schema() makes it; sqlite:// is a new, temporary one",
        )


def begins_empty(url: URL) -> bool:
    """Whether there is nothing in the database before this process opens it."""
    return url.backend in {"memory", "mongomock"} or (url.backend == "sqlite" and not url.database)


def migration_store(url: str, entities: Iterable[type[Any]]) -> tuple[MigrationStore, Schema]:
    """Return the store's migration side, not opened, and the entities' description."""
    from ..connect import options_of
    from ..entity import spec_of
    from ..registry import plugin
    from ..spec import Schema
    from ..url import parse_url

    parsed = parse_url(url)
    chosen = plugin(parsed.backend)
    make: Any = getattr(chosen, "migration_store", None)
    if make is None:
        raise Unsupported(
            f"{parsed.backend}:// has no schema that a statement makes",
            backend=parsed.backend,
            hint="db.create_schema() makes it",
        )
    store: MigrationStore = make(parsed, options_of(parsed, chosen))
    return store, Schema(dict.fromkeys(spec_of(entity) for entity in entities))


def refuse_existing(url: str, entities: Iterable[type[Any]]) -> None:
    """Raise `Unsupported` where one of the entities' tables or collections is there already."""
    from ..url import parse_url

    if begins_empty(parse_url(url)):
        return
    store, schema = migration_store(url, entities)
    store.open()
    try:
        missing = {d.entity for d in store.differences(schema) if d.kind == "missing collection"}
    finally:
        store.close()
    there = [spec.stored for spec in schema if spec not in missing]
    if there:
        raise Unsupported(
            f"{' and '.join(there)} {'are' if len(there) > 1 else 'is'} in this database already",
            hint="use an empty one",
        )
