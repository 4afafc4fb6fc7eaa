"""What a backend implements: a few operations on query values, in autocommit and in a transaction.

The generic store checks input and builds the query values; a backend compiles, runs, and makes instances. To write one,
implement `AsyncBackend` (its synchronous twin `Backend` is generated), register it under the entry point
`dbkit.backends`, and run the conformance suite of `dbkit.testing` on it.

Errors: every method raises only `DbkitError`s, translated from the driver's in one table, the driver's as `__cause__`.
A backend sets `backend`, and `field` where it knows it; the store adds operation and entity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol

from ..features import Features
from ..options import Isolation
from ..page import PageRows
from ..query import (
    Claim,
    Count,
    DeleteMany,
    DeleteOne,
    Exists,
    Find,
    GroupBy,
    Insert,
    Reading,
    UpdateMany,
    UpdateOne,
    Upsert,
)
from ..spec import EntitySpec, FieldSpec, ReadSpec, Schema
from ..statement import Hook, Plan, ServerInfo

if TYPE_CHECKING:
    from ..checking import Finding

__all__ = ["AsyncBackend", "AsyncBackendTransaction", "AsyncOperations"]


class AsyncOperations(Protocol):
    """The verbs, on query values. The backend itself runs them in autocommit, a transaction inside itself."""

    async def get(self, read: ReadSpec, id: Any) -> Any | None:
        """Return the instance with this id, or None. The hottest path: prebuilt by *read*."""
        ...

    async def find(self, query: Find) -> list[Any]:
        """Return the instances, in order (any order when `query.order` is empty), relations filled."""
        ...

    async def page(self, query: Find) -> PageRows:
        """Return at most `query.limit` instances and whether more follow (read one more than the limit)."""
        ...

    async def count(self, query: Count) -> int:
        """Return how many rows the filter takes."""
        ...

    async def exists(self, query: Exists) -> bool:
        """Return whether the filter takes any row."""
        ...

    async def counts(self, entities: Sequence[EntitySpec]) -> list[int]:
        """Return how many rows each entity has, of one instant, in one round trip."""
        ...

    async def group(self, query: GroupBy) -> list[Any]:
        """Return the groups in order, as instances of the group's model."""
        ...

    async def insert(self, query: Insert) -> None:
        """Create one row."""
        ...

    async def insert_many(self, entity: EntitySpec, rows: Sequence[tuple[Any, ...]]) -> int:
        """Create the rows, all or none; each has a value for each of `entity.columns`."""
        ...

    async def update(self, query: UpdateOne) -> Any:
        """Change one row and return it as it is then; `NotFound`, or `PreconditionFailed` where *where* is false."""
        ...

    async def update_many(self, query: UpdateMany) -> int:
        """Change the rows, all or none, and return how many matched; over 10,000 is `TooLarge`, nothing written."""
        ...

    async def upsert(self, query: Upsert) -> Any:
        """Create or replace by the unique key `query.on`, and return what is stored."""
        ...

    async def delete(self, query: DeleteOne) -> bool:
        """Delete one row and what cascades from it, and return whether it was there and *where* held."""
        ...

    async def delete_many(self, query: DeleteMany) -> int:
        """Delete the rows and what cascades from them, all or none, and return how many rows of the entity matched.

        Over 10,000 rows touched, cascades included, is `TooLarge`: nothing is written.
        """
        ...

    async def explain(self, query: Reading) -> Plan:
        """Return the statement that the read becomes, and the server's plan for it."""
        ...

    def native(self) -> AbstractAsyncContextManager[Any]:
        """Lend the driver's own connection."""
        ...


class AsyncBackendTransaction(AsyncOperations, Protocol):
    """An open transaction: one snapshot from its first operation on. Ends by one `commit` or `rollback`."""

    async def commit(self) -> None:
        """Commit; `Conflict` and `OutcomeUnknown` are possible, and it is over either way."""
        ...

    async def rollback(self) -> None:
        """Roll back and give the connection back; never raises for a broken connection."""
        ...


class AsyncBackend(AsyncOperations, Protocol):
    """A store. Made by the plugin without I/O; `open` connects and probes."""

    name: str
    """`"memory"`, `"sqlite"`, `"postgresql"`, `"mongodb"`, …"""
    features: Features
    """Declared before `open`, probed after it."""
    server: ServerInfo
    """Known after `open`."""
    hook: Hook | None
    """Called after each statement; None costs nothing."""

    async def open(self, schema: Schema) -> None:
        """Connect and probe; `Unavailable`, or `Unsupported` where the schema needs what the server has not."""
        ...

    async def close(self) -> None:
        """Close all connections; the second call does nothing."""
        ...

    async def ping(self) -> None:
        """Make one round trip."""
        ...

    async def create_schema(self) -> None:
        """Make what is missing; `SchemaDrift` on what differs. Safe in two processes at once."""
        ...

    async def check(self, entities: Sequence[EntitySpec], sample: int | None) -> list[Finding]:
        """Say where what is there does not fit the entities, reading only; at most *sample* rows of each are looked at."""
        ...

    async def backfill(
        self,
        entity: EntitySpec,
        values: Sequence[tuple[FieldSpec, Any]],
        batch: int,
        told: Callable[[int, int], object],
    ) -> int:
        """Write *values* into each row that lacks the first of them, in batches, and return how many there were.

        *told* hears after each batch how many are done, of how many. Where a row lacks nothing (SQL) it does nothing.
        """
        ...

    async def drop_schema(self) -> None:
        """Remove the schema's tables or collections with all that is in them; missing ones are no error.

        Where one that stays refers to one of them, as far as the store records it: `answers.depended_on`, nothing dropped.
        """
        ...

    async def claim(self, query: Claim) -> list[Any]:
        """Change and return rows that no other worker is changing, without waiting; in order."""
        ...

    async def begin(self, *, read_only: bool, isolation: Isolation) -> AsyncBackendTransaction:
        """Begin a transaction; the snapshot may be taken at its first operation."""
        ...
