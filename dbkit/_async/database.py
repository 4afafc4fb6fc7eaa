"""A database: entities' stores, transactions, and what is true of the whole."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from ..answers import closed
from ..async_concurrency import asleep, async_worker, check_ran
from ..backfilling import Progress, filling
from ..entity import spec_of
from ..errors import (
    ConfigurationError,
    Conflict,
    DbkitError,
    InvalidInput,
    TransactionAborted,
    TransactionError,
)
from ..features import Features
from ..options import TRANSACTION_S, Isolation, Options
from ..page import Cursors
from ..retry import pauses
from ..spec import EntitySpec, Schema
from ..statement import Hook, ServerInfo, Statement
from ..url import URL
from .backend import AsyncBackend
from .executor import AsyncAutocommit, locate
from .store import AsyncStore
from .transaction import AsyncTransaction

if TYPE_CHECKING:
    from ..checking import Report
    from ..entity import Record
    from ..refs import FieldRef

__all__ = ["AsyncDatabase", "AsyncStores"]

E = TypeVar("E", bound="Record[Any]")
T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")


class AsyncStores(Protocol):
    """What a domain is built on: the database, or a transaction."""

    def store(self, entity: type[E]) -> AsyncStore[E]:
        """Return the store of *entity*."""
        ...

    async def counts(self, *entities: type[Any]) -> list[int]:
        """Return how many rows each of *entities* has, of one instant, in one round trip."""
        ...


class AsyncWork(Protocol[R_co]):
    """A function that does its work through the transaction that it is given."""

    async def __call__(self, tx: AsyncTransaction, /) -> R_co: ...


class AsyncDatabase:
    """An open database. Made by `aconnect`; safe to share between tasks; closed at the end of its `with` block.

    Attributes:
        url: where it is, passwords left out when it is shown.
        backend: the store's side; for backends' authors and tools.
    """

    def __init__(
        self, url: URL, backend: AsyncBackend, schema: Schema, options: Options, cursor_key: bytes | None
    ) -> None:
        self.url = url
        self.backend = backend
        self.cursors = Cursors(cursor_key)
        self.autocommit = AsyncAutocommit(backend)
        self._schema = schema
        self._options = options
        self._hooks: list[Hook] = []
        self._is_open = False
        self._was_open = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    async def open(self) -> Self:
        """Connect and probe the server; `with` does it by itself.

        Raises:
            Unavailable: the server cannot be reached.
            Unsupported: it cannot keep what the entities declare.
        """
        if self._was_open and not self._is_open:
            self._check_open()
        if not self._is_open:
            try:
                await self.backend.open(self._schema)
            except DbkitError as error:
                locate(error, self.backend.name, "connect", None)
                raise
            self._is_open = self._was_open = True
        return self

    async def close(self) -> None:
        """Close all connections. A second call does nothing.

        Raises:
            TransactionError: this task's own transaction is open; nothing was closed.
        """
        if self._is_open and async_worker() in self.autocommit.open_by_worker:
            raise TransactionError(
                "the database cannot be closed inside this task's own open transaction",
                backend=self.backend.name,
                operation="close",
                hint="let the transaction's with block end first",
            )
        if self._is_open:
            self._is_open = False
            await self.backend.close()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- stores and transactions ---------------------------------------------------------------------------------------

    def spec(self, entity: type[Any]) -> EntitySpec:
        """Return the description of *entity*, which must be among those that `connect` was given."""
        spec = spec_of(entity)
        if spec not in self._schema:
            raise ConfigurationError(
                f"{spec.name} is not among this database's entities",
                entity=spec.name,
                hint=f"connect(…, entities=[…, {spec.name}])",
            )
        return spec

    def store(self, entity: type[E]) -> AsyncStore[E]:
        """Return the store of *entity*, in autocommit."""
        self._check_open()
        return AsyncStore(self.spec(entity), self.backend, self.autocommit, self.cursors)

    def transaction(self, *, read_only: bool = False, isolation: Isolation = "snapshot") -> AsyncTransaction:
        """Return a transaction, to be entered by `with`: one snapshot, all or nothing.

        Args:
            read_only: refuse writes; cheaper, and on SQLite it waits for no writer.
            isolation: `"serializable"` where the store has it and `connect(…, allow={"serializable"})` named it.

        Raises:
            Unsupported: this store has no transactions as it is deployed, or not this isolation.
        """
        self._check_open()
        self.backend.features.require("transactions", backend=self.backend.name, operation="transaction")
        if isolation == "serializable":
            if "serializable" not in self._options.allow:
                raise ConfigurationError(
                    "isolation='serializable' is an extra that not every store has",
                    backend=self.backend.name,
                    operation="transaction",
                    hint='name it: connect(…, allow={"serializable"})',
                )
            self.backend.features.require("serializable", backend=self.backend.name, operation="transaction")
        elif isolation != "snapshot":
            raise InvalidInput("isolation must be 'snapshot' or 'serializable'", operation="transaction")
        return AsyncTransaction(self, read_only=read_only, isolation=isolation)

    async def run_in_transaction(
        self,
        work: AsyncWork[R],
        *,
        read_only: bool = False,
        isolation: Isolation = "snapshot",
        attempts: int = 20,
        timeout_s: float = TRANSACTION_S,
    ) -> R:
        """Run *work* in a transaction, again from its beginning as long as it ends in `Conflict`; return its result.

        *work* may run several times: it should do nothing that is not in the transaction. Between two attempts there is
        a pause, doubling, with jitter. Other errors, `OutcomeUnknown` among them, are never retried.

        Args:
            attempts: the most attempts.
            timeout_s: no new attempt is begun after this many seconds.
        """
        waits = pauses(timeout_s, attempts=attempts, first_s=0.005, most_s=0.5)
        while True:
            try:
                async with self.transaction(read_only=read_only, isolation=isolation) as tx:
                    result = await work(tx)
                    check_ran(result)
                    return result
            except (Conflict, TransactionAborted) as error:
                # A conflict that the work caught has doomed the transaction all the same.
                again = isinstance(error, Conflict) or isinstance(error.__cause__, Conflict)
                pause = next(waits, None) if again else None
                if pause is None:
                    raise
            await asleep(pause)

    # -- the whole -----------------------------------------------------------------------------------------------------

    @property
    def features(self) -> Features:
        """What this store can keep, with the evidence."""
        return self.backend.features

    @property
    def server(self) -> ServerInfo:
        """Who answers: the server's name and version."""
        return self.backend.server

    async def ping(self) -> None:
        """Make one round trip.

        Raises:
            Unavailable: the server does not answer.
        """
        self._check_open()
        await self.autocommit.read("ping", None, self.backend.ping)

    async def counts(self, *entities: type[Any]) -> list[int]:
        """Return how many rows each of *entities* has, of one instant, in one round trip."""
        self._check_open()
        specs = [self.spec(entity) for entity in entities]
        return await self.autocommit.read("counts", None, self.backend.counts, specs) if specs else []

    async def create_schema(self) -> None:
        """Make the tables or collections and indexes that are missing; never alter one. Safe in two processes at once.

        Those of entities with `managed=False` are neither made nor compared; on `memory://`, where nobody else could
        make them, they are.

        Raises:
            SchemaDrift: something is there, but not as the entities declare; the message says what.
        """
        self._check_open()
        await self.autocommit.write("create_schema", None, self.backend.create_schema)

    async def drop_schema(self) -> None:
        """Remove the entities' tables or collections **and all data in them**; missing ones are no error.

        Those of entities with `managed=False` stay. So does the history of migrations: `dbkit migrate force 0` begins it
        again.

        Raises:
            ReferenceViolation: another table or collection refers to one of them, by a checked reference; nothing was
                dropped. On MongoDB, where the database records no references, only those of this program's
                `managed=False` entities are seen: what another program declares is not.
        """
        self._check_open()
        await self.autocommit.write("drop_schema", None, self.backend.drop_schema)

    async def check(self, *entities: type[Any], sample: int | None = None) -> Report:
        """Say where the database does not fit *entities* (all that `connect` was given, unless some are named).

        For databases that dbkit did not make: types, nullability, unique keys that are enforced, indexes, references and
        collations. Where the server does not keep documents to a schema (MongoDB, SQLite without STRICT) the documents
        themselves are read: missing, null, wrong-typed and undeclared fields, duplicates and orphans are counted.
        Nothing is written.

        Args:
            sample: look at so many rows or documents of each at most; the counts then say that they are of a sample.

        Raises:
            DeadlineExceeded: a table is too large to be read within `timeout_s`: give a sample.
        """
        from ..checking import Report

        self._check_open()
        if sample is not None and (type(sample) is not int or sample < 1):
            raise InvalidInput("sample must be a positive int, or None for all", operation="check")
        specs = [self.spec(entity) for entity in entities] if entities else list(self._schema)
        found = await self.autocommit.read("check", None, self.backend.check, specs, sample)
        return Report(self.backend.name, tuple(s.name for s in specs), tuple(found), sample)

    async def backfill(
        self,
        entity: type[E],
        field: FieldRef[T],
        value: T,
        *,
        batch: int = 1_000,
        progress: Progress | None = None,
    ) -> int:
        """Write *value* into the documents that lack *field*, and return how many they were.

        For a field that was declared later, on MongoDB, where nothing adds it to the documents that are there. They are
        filled in the order of their ids; what has the field, null too, is left as it is, and so are `updated_at` and
        `version`. Each batch is written by itself: a run that was stopped is taken up by the next one. On a SQL store no
        row lacks a column (a migration adds it), so there it returns 0.

        Args:
            batch: how many documents one write fills, at most 10,000.
            progress: called after each batch with how many are done, and how many there are in all.

        Raises:
            InvalidInput: the value does not fit, or the field is unique or a checked reference and the value not None.
            OutcomeUnknown: the connection broke while a batch was written; run it again.
        """
        self._check_open()
        spec = self.spec(entity)
        values = filling(spec, field, value, batch)
        told = progress or _nobody
        return await self.autocommit.write(
            "backfill", spec.name, self.backend.backfill, spec, values, batch, told
        )

    @asynccontextmanager
    async def native(self) -> AsyncGenerator[Any]:
        """Lend the driver's own connection: for what dbkit does not do.

        sqlite3's or psycopg's connection, in autocommit; for MongoDB the pair (database, None). It goes back to the
        pool at the end of the block, and must be clean by then.
        """
        self._check_open()
        async with self.backend.native() as connection:
            yield connection

    def on_statement(self, hook: Hook) -> Hook:
        """Call *hook* after each statement with its text and time, never with its values; return *hook*.

        It runs on the caller's thread or task, before the verb returns: it should be quick. What it raises leaves the
        verb, although the statement has run.
        """
        self._hooks.append(hook)
        self.backend.hook = hook if len(self._hooks) == 1 else self._call_hooks
        return hook

    def _call_hooks(self, statement: Statement) -> None:
        for hook in self._hooks:
            hook(statement)

    def _check_open(self) -> None:
        if self._is_open:
            return
        if self._was_open:
            error = closed()
            error.backend = self.backend.name
            raise error
        raise ConfigurationError(
            "the database is not open",
            backend=self.backend.name,
            hint="use it inside its with block, or call open() first",
        )


def _nobody(_done: int, _total: int) -> None:
    """Hear of progress where nobody asked to."""
