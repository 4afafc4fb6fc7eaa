"""What migrations need of a store: one connection of one migrator, its lock, its state, its schema operations.

A plugin offers it as `migration_store(url, options)`; one that does not cannot be migrated. There is one colour: DDL is
no hot path, a migration's own functions are plain ones, and `AsyncMigrator` runs them in a thread.

Errors: every method raises only `DbkitError`s, as a backend does.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from .._sync.database import Stores
from ..spec import Schema
from ..statement import Hook, ServerInfo
from .differences import Difference
from .operations import Operation
from .state import State

__all__ = ["MigrationStore", "Rendered"]


@dataclass(frozen=True, slots=True)
class Rendered:
    """One statement that an operation becomes, as a person reads it; it holds no stored value."""

    text: str
    """SQL, or a MongoDB command as relaxed Extended JSON."""
    touches: int | None = None
    """How many rows or documents it rewrites, where that was counted; None where it only changes the schema, or where
    what it would count is not there yet."""


class MigrationStore(Protocol):
    """A store on one held connection. Made by the plugin without I/O."""

    name: str
    """The backend's name: `"sqlite"`, `"postgresql"`, `"mongodb"`; files' variants are chosen by it."""
    language: str
    """`"sql"` or `"mongodb"`: which of a migration's files without a variant are for it."""
    is_transactional: bool
    """Whether a step commits together with its state (SQL), or leaves `Dirty` when it fails (MongoDB)."""
    server: ServerInfo
    """Known after `open`."""
    hook: Hook | None
    """Told of each statement; None costs nothing."""

    def open(self) -> None:
        """Connect and probe. Makes nothing in the database."""
        ...

    def close(self) -> None:
        """Close the connection; the second call does nothing."""
        ...

    # -- one at a time -------------------------------------------------------------------------------------------------

    def lock(self, timeout_s: float) -> AbstractContextManager[None]:
        """Hold the migrators' lock inside the block; wait for another one at most *timeout_s*, then `Locked`.

        A killed owner's lock ends by itself. Where a store has no lock but its write transaction, the block holds nothing
        yet and `transaction` takes it.
        """
        ...

    def state(self) -> State | None:
        """Return the stored state; None where nothing was ever migrated. Makes nothing in the database."""
        ...

    def save(self, state: State) -> None:
        """Store *state* by compare-and-set: what is stored must have the revision `state.revision - 1` (0: nothing).

        In an open `transaction` it commits together with it.

        Raises:
            Locked: somebody else changed it meanwhile (a lease that was taken over, say); nothing was stored.
        """
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Run the block in one write transaction: committed at its end, rolled back by an exception.

        SQLite: foreign keys are off inside and checked before the commit; PostgreSQL: DDL included. Where
        `is_transactional` is False it does nothing.
        """
        ...

    # -- the work ------------------------------------------------------------------------------------------------------

    def apply(self, operation: Operation) -> int:
        """Do one schema operation and return how many rows it rewrote. Doing it again does nothing where it is not transactional."""
        ...

    def render(self, operation: Operation) -> list[Rendered]:
        """Return what `apply` would send, reading only."""
        ...

    def sql(self, text: str) -> int:
        """Run SQL, one or more statements; `Unsupported` on MongoDB. Returns how many rows the last one changed, or 0."""
        ...

    def statements(self, text: str) -> list[str]:
        """Split SQL text into its statements (comments, quotes, dollar quotes and trigger bodies kept whole)."""
        ...

    def command(self, command: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run one MongoDB command and return the reply; `Unsupported` on SQL."""
        ...

    def stores(self, schema: Schema) -> Stores:
        """Return dbkit's stores of *schema*'s entities on this connection: inside the open transaction, if there is one.

        Where it is not transactional they work in autocommit. Nothing is compared with the database.
        """
        ...

    def batch(self, schema: Schema) -> AbstractContextManager[Stores]:
        """Run the block in one transaction of its own where none is open (MongoDB, or a step without a transaction).

        `save` inside it commits together with what its stores write: a batch and the note of how far it came. Inside an
        open `transaction` it is that transaction's.
        """
        ...

    def differences(self, schema: Schema) -> list[Difference]:
        """Return how the database differs from what `create_schema()` would make for *schema*, reading only.

        Entities with `managed=False` are left out; further tables, collections and indexes are nobody's business but
        the database's owner's.
        """
        ...

    def ddl(self, schema: Schema) -> list[str]:
        """Return the statements that `create_schema()` would send into an empty database, without I/O."""
        ...
