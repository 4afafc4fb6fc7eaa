"""What the fault tests store, and where: one database for each server, emptied by each test."""

from __future__ import annotations

from dbkit import Entity, Mapped, field
from dbkit.testing.servers import Server, fresh_database

_databases: dict[Server, str] = {}


def database_of(server: Server) -> str:
    """Return the URL of the tests' own database on *server*."""
    found = _databases.get(server)
    if found is None:
        found = _databases[server] = fresh_database(server)
    return found


class Item(Entity, name="fault_items"):
    name: Mapped[str] = field(unique=True)
    n: Mapped[int] = field(default=0)


class Pair(Entity, name="fault_pairs"):
    """Written in twos, in one transaction: a lone one is half of a write."""

    number: Mapped[int] = field(index=True)
    side: Mapped[str] = field(default="")
