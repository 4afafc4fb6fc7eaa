"""Who takes part: each contender, on which stores, in which colour, and how it is opened."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CONTENDERS", "STORES", "Entry", "of_store"]

STORES = ("sqlite", "postgresql", "mongodb")


@dataclass(frozen=True)
class Entry:
    """A contender."""

    name: str
    label: str
    modules: Mapping[str, str]
    """The module for each store that it runs on."""
    is_async: bool = False
    is_peer: bool = False
    factory: str = "make"
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    package: str | None = None
    """The distribution that a peer comes from."""
    notes: Mapping[str, str] = field(default_factory=dict[str, str])
    """What the docs' page has to say of its figures, by store."""

    @property
    def floor(self) -> str:
        """The contender that its figures are divided by: the floor of its colour."""
        return "floor_async" if self.is_async else "floor"

    def open(self, store: str, url: str) -> Any:
        """Open it, or return the coroutine that does."""
        make: Callable[..., Any] = getattr(self.load(store), self.factory)
        return make(url, **self.options)

    def load(self, store: str) -> Any:
        """Import its module."""
        return importlib.import_module(f"bench.contenders.{self.modules[store]}")


_SYNC = {"sqlite": "sqlite_driver", "postgresql": "postgres_driver", "mongodb": "mongo_driver"}
_ASYNC = {
    "sqlite": "aiosqlite_driver",
    "postgresql": "postgres_async_driver",
    "mongodb": "mongo_async_driver",
}
_RAW, _FLOOR, _OWN = {"checked": False}, {"checked": True}, {"checked": True, "own": True}


def _sql(module: str) -> dict[str, str]:
    return dict.fromkeys(("sqlite", "postgresql"), module)


def _sql_notes(text: str) -> dict[str, str]:
    return dict.fromkeys(("sqlite", "postgresql"), text)


CONTENDERS: tuple[Entry, ...] = (
    Entry("raw", "the driver, dict rows", _SYNC, options=_RAW),
    Entry("floor", "the driver + pydantic", _SYNC, options=_FLOOR),
    Entry("floor_own", "the driver + dbkit's entities", _SYNC, options=_OWN),
    Entry("dbkit", "dbkit", dict.fromkeys(STORES, "dbkit_store")),
    Entry(
        "sqlalchemy_core",
        "SQLAlchemy Core + pydantic",
        _sql("sqlalchemy_core"),
        is_peer=True,
        package="sqlalchemy",
    ),
    Entry(
        "sqlalchemy_orm",
        "SQLAlchemy ORM + pydantic",
        _sql("sqlalchemy_orm"),
        is_peer=True,
        notes=_sql_notes(
            "(and SQLModel): views, statistics and upserts run the statements of SQLAlchemy Core, as both have none of their own for them that are as fast; "
            "a session for each call, in autocommit where the call is one statement."
        ),
        package="sqlalchemy",
    ),
    Entry("sqlmodel", "SQLModel", _sql("sqlmodel_peer"), is_peer=True, package="sqlmodel"),
    Entry(
        "advanced_alchemy",
        "Advanced Alchemy + pydantic",
        _sql("advanced_alchemy_peer"),
        is_peer=True,
        notes=_sql_notes(
            "has no statistics and no view of a few children: they run the statements of SQLAlchemy Core. Its `update` and `upsert` read first."
        ),
        package="advanced-alchemy",
    ),
    Entry("peewee", "Peewee + pydantic", _sql("peewee_peer"), is_peer=True, package="peewee"),
    Entry(
        "mongoengine",
        "MongoEngine + pydantic",
        {"mongodb": "mongoengine_peer"},
        is_peer=True,
        notes={"mongodb": "has no transactions: its 10,000 rows are not all or nothing; all others' are."},
        package="mongoengine",
    ),
    Entry("raw_async", "the driver, dict rows (async)", _ASYNC, is_async=True, options=_RAW),
    Entry("floor_async", "the driver + pydantic (async)", _ASYNC, is_async=True, options=_FLOOR),
    Entry("dbkit_async", "dbkit (async)", dict.fromkeys(STORES, "dbkit_async_store"), is_async=True),
    Entry(
        "sqlalchemy_core_async",
        "SQLAlchemy Core + pydantic (async)",
        _sql("sqlalchemy_core_async"),
        is_async=True,
        is_peer=True,
        package="sqlalchemy",
    ),
    Entry(
        "sqlalchemy_orm_async",
        "SQLAlchemy ORM + pydantic (async)",
        _sql("sqlalchemy_orm_async"),
        is_async=True,
        is_peer=True,
        package="sqlalchemy",
    ),
    Entry(
        "sqlmodel_async",
        "SQLModel (async)",
        _sql("sqlmodel_async_peer"),
        is_async=True,
        is_peer=True,
        package="sqlmodel",
    ),
    Entry(
        "advanced_alchemy_async",
        "Advanced Alchemy + pydantic (async)",
        _sql("advanced_alchemy_async_peer"),
        is_async=True,
        is_peer=True,
        package="advanced-alchemy",
    ),
    Entry(
        "peewee_async",
        "Peewee + pydantic (async)",
        _sql("peewee_async_peer"),
        is_async=True,
        is_peer=True,
        package="peewee",
        notes={
            "postgresql": "runs on asyncpg, the one driver that it has for this; all others, the floor among them, on psycopg."
        },
    ),
    Entry(
        "beanie", "Beanie (async)", {"mongodb": "beanie_peer"}, is_async=True, is_peer=True, package="beanie"
    ),
    Entry(
        "odmantic",
        "ODMantic (async)",
        {"mongodb": "odmantic_peer"},
        notes={"mongodb": "reads datetimes without their zone."},
        is_async=True,
        is_peer=True,
        package="odmantic",
    ),
    Entry(
        "motor",
        "Motor + pydantic (async)",
        {"mongodb": "mongo_async_driver"},
        is_async=True,
        is_peer=True,
        factory="make_motor",
        package="motor",
    ),
)


def of_store(store: str) -> list[Entry]:
    """Return who runs on *store*."""
    return [entry for entry in CONTENDERS if store in entry.modules]
