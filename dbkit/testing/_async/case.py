"""What a rule gets as its only argument: databases on the store that it runs on, and workers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Protocol

from dbkit import aconnect
from dbkit._async.database import AsyncDatabase

from ..concurrency import AsyncBarrier, AsyncTeam
from ..kit import StoreInfo

__all__ = ["AsyncCase"]


class AsyncWork(Protocol):
    """What one of several workers does."""

    async def __call__(self) -> Any: ...


class AsyncNumberedWork(Protocol):
    """What each of several workers does, told its number."""

    async def __call__(self, number: int, /) -> Any: ...


class AsyncCase:
    """One rule on one store.

    @rule("writes")
    async def created_is_found(case: AsyncCase) -> None:
        "What was created is found by its id."
        async with case.database(Plain) as db:
            made = await db.store(Plain).create(Plain(name="x"))
            assert await db.store(Plain).get(made.id) == made
    """

    def __init__(self, store: StoreInfo) -> None:
        self.store = store

    @asynccontextmanager
    async def database(self, *entities: type[Any], **options: Any) -> AsyncGenerator[AsyncDatabase]:
        """Open a database with a fresh, empty schema of *entities*, dropped at the end.

        *options* are those of `aconnect`.
        """
        async with aconnect(self.store.url, entities=entities, **options) as db:
            # What a run that was killed left behind, where a URL names a database that outlives us.
            await db.drop_schema()
            await db.create_schema()
            try:
                yield db
            finally:
                if self.store.server.name == "SecantusDB":
                    await self._empty(db, entities)
                await db.drop_schema()

    async def _empty(self, db: AsyncDatabase, entities: tuple[type[Any], ...]) -> None:
        """Delete all rows: SecantusDB 0.7 drops a collection at 3 ms a document, and deletes thirty times faster."""
        async with db.native() as (database, _):
            for entity in entities:
                await database[db.spec(entity).stored].delete_many({})

    @asynccontextmanager
    async def connect(self, *entities: type[Any], **options: Any) -> AsyncGenerator[AsyncDatabase]:
        """Open another database object on the same data: nothing is created, nothing dropped."""
        async with aconnect(self.store.url, entities=entities, **options) as db:
            yield db

    async def gather(self, *works: AsyncWork) -> list[Any]:
        """Run all *works* at once, each in a task (or thread); return results or exceptions, in order."""
        return await AsyncTeam.run(works)

    async def run_workers(self, n: int, work: AsyncNumberedWork) -> list[Any]:
        """Run `work(0)` … `work(n - 1)` at once; return results or exceptions, in order."""

        def bound(number: int) -> AsyncWork:
            async def run() -> Any:
                return await work(number)

            return run

        return await AsyncTeam.run([bound(number) for number in range(n)])

    def barrier(self, parties: int) -> AsyncBarrier:
        """Return what lets *parties* workers pass together: `await barrier.wait()`."""
        return AsyncBarrier(parties)
