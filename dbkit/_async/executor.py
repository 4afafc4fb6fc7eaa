"""How a verb's operation is run: in autocommit, or inside a transaction.

Both say where an error came from (operation, entity). Autocommit refuses writes beside the worker's own open transaction
and retries write conflicts for a while; a transaction watches its deadline and is doomed by the first error.
"""

from __future__ import annotations

from time import monotonic
from typing import ParamSpec, Protocol, TypeVar

from ..async_concurrency import AsyncLock, asleep, async_worker
from ..errors import (
    Conflict,
    DbkitError,
    DeadlineExceeded,
    InvalidInput,
    NotFound,
    PreconditionFailed,
    StoredDataInvalid,
    TooLarge,
    TransactionAborted,
    TransactionError,
)
from ..options import LOCK_WAIT_S, TRANSACTION_S
from ..retry import pauses
from .backend import AsyncBackend, AsyncBackendTransaction

__all__ = ["AsyncAutocommit", "AsyncExecutor", "AsyncInTransaction"]

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")


class AsyncCall(Protocol[P, R_co]):
    """A backend's operation."""

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


class AsyncExecutor(Protocol):
    """Runs a backend's operations for a store."""

    in_transaction: bool

    async def read(
        self, operation: str, entity: str | None, call: AsyncCall[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run an operation that changes nothing."""
        ...

    async def write(
        self, operation: str, entity: str | None, call: AsyncCall[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run an operation that changes something."""
        ...

    async def refuse(self, operation: str, entity: str | None, error: InvalidInput) -> None:
        """Take note of a write that was refused before it was sent."""
        ...


def locate(error: DbkitError, backend: str, operation: str, entity: str | None) -> None:
    """Say where *error* came from, where that is not yet said."""
    error.backend = error.backend or backend
    error.operation = error.operation or operation
    error.entity = error.entity or entity


class AsyncAutocommit:
    """Runs each operation by itself."""

    in_transaction = False

    def __init__(self, backend: AsyncBackend) -> None:
        self._backend = backend
        self.open_by_worker: set[int] = set()
        """The workers (tasks or threads) that have a transaction open on this database."""

    async def read(
        self, operation: str, entity: str | None, call: AsyncCall[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        try:
            return await call(*args, **kwargs)
        except DbkitError as error:
            locate(error, self._backend.name, operation, entity)
            raise

    async def write(
        self, operation: str, entity: str | None, call: AsyncCall[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        if self.open_by_worker and async_worker() in self.open_by_worker:
            raise TransactionError(
                f"{operation} was called on the database inside this task's own open transaction",
                backend=self._backend.name,
                operation=operation,
                entity=entity,
                hint="write through the transaction: tx.store(…), or after its end",
            )
        started = monotonic()
        try:
            return await call(*args, **kwargs)
        except Conflict as error:
            conflict = error
        except DbkitError as error:
            locate(error, self._backend.name, operation, entity)
            raise
        # Outside a transaction nobody else can run the whole again (SEMANTICS §5). A lock that was waited for
        # for 5 s has used up the time.
        for pause in pauses(started + LOCK_WAIT_S - monotonic()):
            if not conflict.retryable:
                break
            await asleep(pause)
            try:
                return await call(*args, **kwargs)
            except Conflict as error:
                conflict = error
            except DbkitError as error:
                locate(error, self._backend.name, operation, entity)
                raise
        locate(conflict, self._backend.name, operation, entity)
        raise conflict

    async def refuse(self, operation: str, entity: str | None, error: InvalidInput) -> None:
        locate(error, self._backend.name, operation, entity)


_HARMLESS = (NotFound, PreconditionFailed, StoredDataInvalid)
"""Answers that do not doom a transaction: the store did what it was asked."""


class AsyncInTransaction:
    """Runs operations inside one transaction, one at a time."""

    in_transaction = True

    def __init__(
        self, backend: AsyncBackend, transaction: AsyncBackendTransaction, *, read_only: bool
    ) -> None:
        self._backend = backend
        self._transaction = transaction
        self._read_only = read_only
        self._lock = AsyncLock()
        self._deadline = monotonic() + TRANSACTION_S
        self._doomed_by: BaseException | None = None
        self._over = False

    @property
    def is_open(self) -> bool:
        return not self._over

    async def read(
        self, operation: str, entity: str | None, call: AsyncCall[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        return await self._run(False, operation, entity, call, *args, **kwargs)

    async def write(
        self, operation: str, entity: str | None, call: AsyncCall[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        if self._read_only:
            raise InvalidInput(
                f"{operation} in a transaction that was begun with read_only=True",
                backend=self._backend.name,
                operation=operation,
                entity=entity,
            )
        return await self._run(True, operation, entity, call, *args, **kwargs)

    async def refuse(self, operation: str, entity: str | None, error: InvalidInput) -> None:
        locate(error, self._backend.name, operation, entity)
        # Whether the client or the server finds that a write is too large is no difference that a program should see.
        if isinstance(error, TooLarge):
            async with self._lock:
                if not self._over:
                    await self.doom(error)

    async def _run(
        self,
        writes: bool,
        operation: str,
        entity: str | None,
        call: AsyncCall[P, R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        async with self._lock:
            await self.check(operation, entity)
            try:
                return await call(*args, **kwargs)
            except DbkitError as error:
                locate(error, self._backend.name, operation, entity)
                if isinstance(error, _HARMLESS) or (isinstance(error, TooLarge) and not writes):
                    raise
                await self.doom(error)
                raise
            except BaseException as error:
                await self.doom(error)
                raise

    async def check(self, operation: str, entity: str | None = None) -> None:
        """Raise unless the transaction can go on."""
        if self._doomed_by is not None:
            raise TransactionAborted(
                f"an earlier error ended this transaction; {operation} was not run, all of it is rolled back",
                backend=self._backend.name,
                operation=operation,
                entity=entity,
                hint="let the error leave the transaction's block, then run the whole again",
            ) from self._doomed_by
        if self._over:
            raise TransactionError(
                f"{operation} on a transaction that is over",
                backend=self._backend.name,
                operation=operation,
                entity=entity,
                hint="stores made by tx.store(…) live as long as the transaction",
            )
        if monotonic() > self._deadline:
            late = DeadlineExceeded(
                f"the transaction was open for more than {TRANSACTION_S:g} s and is rolled back",
                backend=self._backend.name,
                operation=operation,
                entity=entity,
                hint="do slow work before or after a transaction, not inside it",
            )
            await self.doom(late)
            raise late

    async def doom(self, error: BaseException) -> None:
        """Roll back now, so that locks are free, and refuse all that follows."""
        self._doomed_by = error
        await self._end(commit=False)

    async def finish(self) -> None:
        """Commit, at the normal end of the block."""
        async with self._lock:
            await self.check("commit")
            try:
                await self._end(commit=True)
            except DbkitError as error:
                locate(error, self._backend.name, "commit", None)
                raise

    async def give_up(self) -> None:
        """Roll back, as an exception leaves the block."""
        async with self._lock:
            await self._end(commit=False)

    async def _end(self, *, commit: bool) -> None:
        if self._over:
            return
        self._over = True
        if commit:
            await self._transaction.commit()
        else:
            await self._transaction.rollback()
