"""The store behind `memory://`: each verb is one call of `reading` or `writing` under the lock."""

from __future__ import annotations

import platform
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar, cast

from dbkit.answers import Closed
from dbkit.errors import InvalidInput
from dbkit.options import Isolation
from dbkit.page import PageRows
from dbkit.query import (
    Claim,
    Compare,
    Count,
    DeleteMany,
    DeleteOne,
    Exists,
    Find,
    Get,
    GroupBy,
    Insert,
    Path,
    Reading,
    UpdateMany,
    UpdateOne,
    Upsert,
)
from dbkit.spec import EntitySpec, FieldSpec, ReadSpec, Schema
from dbkit.statement import Hook, Plan, ServerInfo, Statement

from .. import describe, reading, writing
from ..features import MEMORY
from ..tables import Tables, Work
from ..turns import AsyncTurn

if TYPE_CHECKING:
    from dbkit.checking import Finding

__all__ = ["AsyncMemoryBackend", "AsyncMemoryTransaction"]

R = TypeVar("R")


class AsyncMemoryOperations(ABC):
    """The verbs. A subclass says in which transaction they run."""

    tables: Tables
    make: reading.Maker

    @abstractmethod
    async def _run(self, what: describe.What, action: Callable[[Work], R], *, writes: bool = False) -> R: ...

    async def get(self, read: ReadSpec, id: Any) -> Any | None:
        return await self._run(read, lambda work: reading.get(work, self.make, read, id))

    async def find(self, query: Find) -> list[Any]:
        return await self._run(query, lambda work: reading.find(work, self.make, query))

    async def page(self, query: Find) -> PageRows:
        return await self._run(query, lambda work: reading.page(work, self.make, query))

    async def count(self, query: Count) -> int:
        return await self._run(query, lambda work: reading.count(work, query))

    async def exists(self, query: Exists) -> bool:
        return await self._run(query, lambda work: reading.exists(work, query))

    async def counts(self, entities: Sequence[EntitySpec]) -> list[int]:
        names = [entity.stored for entity in entities]
        return await self._run(
            f"count {', '.join(names)}", lambda work: [sum(1 for _ in work.rows(name)) for name in names]
        )

    async def group(self, query: GroupBy) -> list[Any]:
        return await self._run(query, lambda work: reading.group(work, query))

    async def insert(self, query: Insert) -> None:
        text = f"insert {query.entity.stored}"
        await self._run(text, lambda work: writing.insert(work, query), writes=True)

    async def insert_many(self, entity: EntitySpec, rows: Sequence[tuple[Any, ...]]) -> int:
        text = f"insert {entity.stored}"
        return await self._run(text, lambda work: writing.insert_many(work, entity, rows), writes=True)

    async def update(self, query: UpdateOne) -> Any:
        text = f"update {query.entity.stored}"
        return await self._run(text, lambda work: writing.update(work, self.make, query), writes=True)

    async def update_many(self, query: UpdateMany) -> int:
        text = f"update {query.entity.stored}"
        return await self._run(text, lambda work: writing.update_many(work, query), writes=True)

    async def upsert(self, query: Upsert) -> Any:
        text = f"upsert {query.entity.stored}"
        return await self._run(text, lambda work: writing.upsert(work, self.make, query), writes=True)

    async def delete(self, query: DeleteOne) -> bool:
        text = f"delete {query.entity.stored}"
        return await self._run(text, lambda work: writing.delete(work, query), writes=True)

    async def delete_many(self, query: DeleteMany) -> int:
        text = f"delete {query.entity.stored}"
        return await self._run(text, lambda work: writing.delete_many(work, query), writes=True)

    async def explain(self, query: Reading) -> Plan:
        return await self._run(f"explain {query.entity.stored}", lambda work: _plan(work, query))

    @asynccontextmanager
    async def native(self) -> AsyncGenerator[Tables]:
        """Lend the tables themselves."""
        yield self.tables


def _plan(work: Work, query: Reading) -> Plan:
    entity = query.entity
    where = Compare(Path.of(entity, entity.id), "eq", query.id) if isinstance(query, Get) else query.where
    way, examined = reading.way_to(work, entity, where)
    return Plan(
        statement=describe.reading(query),
        indexes=(way,) if way is not None else (),
        examined=examined,
        sorted_in_memory=isinstance(query, Find | GroupBy) and bool(query.order),
        scans=() if way is not None else (query.entity.stored,),
    )


class AsyncMemoryTransaction(AsyncMemoryOperations):
    """An open transaction; its snapshot is taken at its first operation."""

    def __init__(self, backend: AsyncMemoryBackend, *, read_only: bool) -> None:
        self.tables = backend.tables
        self.make = backend.make
        self._backend = backend
        self._work = Work(backend.tables, read_only=read_only)

    async def _run(self, what: describe.What, action: Callable[[Work], R], *, writes: bool = False) -> R:
        if writes and self._work.read_only:
            raise InvalidInput(f"{what} in a transaction that was begun with read_only=True")
        return await self._backend.statement(
            what, lambda: self.tables.inside(self._work, action, writes=writes)
        )

    async def commit(self) -> None:
        # Nothing is awaited, here and below: a task that is cancelled at this point must leave no transaction open.
        self._backend.told("commit", lambda: self.tables.commit(self._work))

    async def rollback(self) -> None:
        self._backend.told("rollback", lambda: self.tables.rollback(self._work))


class AsyncMemoryBackend(AsyncMemoryOperations):
    """The store; outside a transaction each verb is a transaction of its own."""

    def __init__(self, tables: Tables) -> None:
        self.name = "memory"
        self.features = MEMORY
        self.server = ServerInfo("memory", f"on Python {platform.python_version()}")
        self.hook: Hook | None = None
        self.tables = tables
        self.make = reading.Maker()
        self._schema = Schema(())

    async def open(self, schema: Schema) -> None:
        self._schema = schema

    async def close(self) -> None:
        """Let go of the rows: a private database goes when nobody refers to it any more."""
        self.tables = cast("Tables", Closed())

    async def ping(self) -> None:
        await self.statement("ping", lambda: None)

    async def create_schema(self) -> None:
        # Those with managed=False too: nobody else could make them here.
        await self.statement("create schema", lambda: self.tables.create(self._schema))

    async def check(self, entities: Sequence[EntitySpec], sample: int | None) -> list[Finding]:
        # What is stored was checked when it came in, and nobody else writes here.
        return await self.statement("check", lambda: self.tables.check(entities))

    async def backfill(
        self,
        entity: EntitySpec,
        values: Sequence[tuple[FieldSpec, Any]],
        batch: int,
        told: Callable[[int, int], object],
    ) -> int:
        # A row has every field of its table.
        return 0

    async def drop_schema(self) -> None:
        await self.statement("drop schema", lambda: self.tables.drop(self._schema.managed))

    async def claim(self, query: Claim) -> list[Any]:
        text = f"claim {query.entity.stored}"
        return await self._run(text, lambda work: writing.claim(work, self.make, query), writes=True)

    async def begin(self, *, read_only: bool, isolation: Isolation) -> AsyncMemoryTransaction:
        if isolation == "serializable":
            self.features.require("serializable", backend=self.name, operation="transaction")
        return AsyncMemoryTransaction(self, read_only=read_only)

    async def _run(self, what: describe.What, action: Callable[[Work], R], *, writes: bool = False) -> R:
        return await self.statement(what, lambda: self.tables.autocommit(action))

    async def statement(self, what: describe.What, run: Callable[[], R]) -> R:
        """Run one verb when the other tasks had their turn, as they have while a server works."""
        await AsyncTurn.give()
        return self.told(what, run)

    def told(self, what: describe.What, run: Callable[[], R]) -> R:
        """Run one verb and tell the hook."""
        if self.hook is None:
            return run()
        started, error = perf_counter(), None
        try:
            return run()
        except Exception as failed:
            error = type(failed).__name__
            raise
        finally:
            self.hook(Statement(self.name, describe.words(what), perf_counter() - started, error))
