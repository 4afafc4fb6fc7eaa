"""The database that the settings name, and a store's migration side without a migrator, for what only looks."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import Unsupported

if TYPE_CHECKING:
    from .._sync.database import Database
    from ..migrations.store import MigrationStore
    from ..spec import Schema
    from ..url import URL
    from .settings import Settings

__all__ = ["begins_empty", "migration_store", "opened", "refuse_existing"]


@contextmanager
def opened(settings: Settings) -> Generator[Database]:
    """Open the database for the entities; one that begins empty with this process gets its schema, to be tried on."""
    from ..connect import connect

    url = settings.parsed_url
    with connect(settings.url, entities=settings.entities) as db:
        if begins_empty(url):
            db.create_schema()
        yield db


def begins_empty(url: URL) -> bool:
    """Whether there is nothing in the database before this process opens it."""
    return url.backend in {"memory", "mongomock"} or (url.backend == "sqlite" and not url.database)


def migration_store(url: str, entities: Iterable[type[Any]]) -> tuple[MigrationStore, Schema]:
    """Return the store's migration side, not opened, and the entities' description."""
    from ..connect import _prepare

    prepared = _prepare(url, entities, (), None, None, None, {})
    make: Any = getattr(prepared.plugin, "migration_store", None)
    if make is None:
        raise Unsupported(
            f"{prepared.url.backend}:// has no schema that a statement makes",
            backend=prepared.url.backend,
            hint="db.create_schema() makes it",
        )
    store: MigrationStore = make(prepared.url, prepared.options)
    return store, prepared.schema


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
