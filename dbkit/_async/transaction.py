"""A transaction as the program sees it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ..async_concurrency import async_worker
from ..errors import TransactionError
from ..options import Isolation
from .backend import AsyncBackendTransaction
from .executor import AsyncInTransaction
from .store import AsyncStore

if TYPE_CHECKING:
    from ..entity import Record
    from .database import AsyncDatabase

__all__ = ["AsyncTransaction"]

E = TypeVar("E", bound="Record[Any]")


class AsyncTransaction:
    """What is done through it is in it, and nothing else is.

    It sees one snapshot from its first operation on, and its own writes. It ends with the `with` block: commit on a
    normal exit, rollback on an exception. **Any error from the store dooms it**: later calls and a normal exit raise
    `TransactionAborted`, and everything is rolled back. `NotFound`, `PreconditionFailed` and input errors that are
    raised before anything was sent do not.
    """

    def __init__(self, database: AsyncDatabase, *, read_only: bool, isolation: Isolation) -> None:
        self._database = database
        self._read_only = read_only
        self._isolation: Isolation = isolation
        self._executor: AsyncInTransaction | None = None
        self._operations: AsyncBackendTransaction | None = None
        self._worker = 0

    async def __aenter__(self) -> Self:
        if self._executor is not None:
            raise TransactionError(
                "a transaction can be entered once", hint="db.transaction() makes a new one"
            )
        database = self._database
        self._worker = async_worker()
        if self._worker in database.autocommit.open_by_worker:
            raise TransactionError(
                "a transaction inside this task's own open transaction",
                backend=database.backend.name,
                operation="transaction",
                hint="transactions do not nest: pass tx on to what should be in it",
            )
        self._operations = await database.backend.begin(read_only=self._read_only, isolation=self._isolation)
        self._executor = AsyncInTransaction(database.backend, self._operations, read_only=self._read_only)
        database.autocommit.open_by_worker.add(self._worker)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._executor is not None
        self._database.autocommit.open_by_worker.discard(self._worker)
        if error is None:
            await self._executor.finish()
        else:
            await self._executor.give_up()

    def store(self, entity: type[E]) -> AsyncStore[E]:
        """Return the store of *entity* inside this transaction."""
        executor, operations = self._begun()
        return AsyncStore(self._database.spec(entity), operations, executor, self._database.cursors)

    async def counts(self, *entities: type[Any]) -> list[int]:
        """Return how many rows each of *entities* has, as this transaction sees them, in one round trip."""
        executor, operations = self._begun()
        specs = [self._database.spec(entity) for entity in entities]
        return await executor.read("counts", None, operations.counts, specs) if specs else []

    @asynccontextmanager
    async def native(self) -> AsyncGenerator[Any]:
        """Lend the driver's own connection, inside this transaction; an error in the block dooms it.

        For MongoDB it is a pair: the database and the session, which each call must be given.
        """
        executor, operations = self._begun()
        await executor.check("native")
        try:
            async with operations.native() as connection:
                yield connection
        except BaseException as error:
            await executor.doom(error)
            raise

    def _begun(self) -> tuple[AsyncInTransaction, AsyncBackendTransaction]:
        if self._executor is None or self._operations is None:
            raise TransactionError("the transaction has not begun", hint="with db.transaction() as tx: …")
        return self._executor, self._operations
