"""The way to the server: one client, its collections, every call with its errors translated and its statement told.

And what is compiled, as it belongs to one database: plans by shape.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from time import perf_counter
from typing import Any, Protocol, TypeVar

from bson.codec_options import CodecOptions
from bson.errors import BSONError
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from dbkit.answers import no_table
from dbkit.errors import DbkitError
from dbkit.features import Features
from dbkit.options import LOCK_WAIT_S
from dbkit.query import Query
from dbkit.spec import EntitySpec, Schema
from dbkit.statement import Hook, Statement

from ..drivers import AsyncDriver
from ..errors import IN_STEPS, Doing, is_read_again, translate
from ..identity import Quirks
from ..reads import FindPlan, Shape
from ..rows import CODEC_OPTIONS, Codec
from ..writes import InsertPlan, compile_insert

__all__ = ["AsyncLink"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
P = TypeVar("P")
Document = dict[str, Any]

PLANS_KEPT = 1_000
DRIVER_ERRORS = (PyMongoError, BSONError, TimeoutError, NotImplementedError)


class Owner(Protocol):
    """The backend: what its users see and set."""

    name: str
    features: Features
    hook: Hook | None


class AsyncCall(Protocol[T_co]):
    """A call of the driver's."""

    async def __call__(self, *args: Any, **kwargs: Any) -> T_co: ...


class AsyncLink:
    """What a backend and its transactions share.

    Attributes:
        plans: what is compiled, by shape.
        compilations: how many plans were compiled so far; a second call of the same shape adds none.
    """

    def __init__(self, owner: Owner, driver: AsyncDriver, codec: Codec, timeout_s: float) -> None:
        self.owner = owner
        self.name = owner.name
        self.timeout_s = timeout_s
        """The most that one call of the driver takes: as a whole, or in each of its steps (`limits_s`)."""
        self.lock_wait_ms = round(min(timeout_s, LOCK_WAIT_S) * 1_000)
        self.driver = driver
        self.limits_s: dict[float | None, float | None] = {
            None: timeout_s,
            # A limit of PyMongo's around a call sets its socket's anew, a system call: a tenth of a `get`.
            IN_STEPS: timeout_s if driver.ends_calls else None,
        }
        self.read_limit = {} if driver.ends_calls else driver.time_limit(round(timeout_s * 1_000))
        """What tells the server how long a read may take, where nothing ends the call around it."""
        self.codec = codec
        self.schema = Schema(())
        self.client: Any = None
        self.database: Any = None
        self.compilations = 0
        self.quirks = Quirks()
        self.gets: dict[int, FindPlan] = {}
        self.inserts: dict[int, InsertPlan] = {}
        self.shapes: dict[int, Shape] = {}
        self.plans: dict[Any, Any] = {}
        self._known: set[str] = set()
        self._collections: dict[str, Any] = {}
        self._without_zone: dict[str, Any] = {}
        self._snapshots: dict[str, Any] = {}

    @property
    def features(self) -> Features:
        return self.owner.features

    # -- calls ---------------------------------------------------------------------------------------------------------

    async def call(self, doing: Doing, function: AsyncCall[T], *args: Any, **kwargs: Any) -> T:
        """Call the driver; every error is dbkit's."""
        hook = self.owner.hook
        limit_s = self.limits_s.get(doing.within_s, doing.within_s)
        if hook is not None:
            return await self._told(hook, doing, limit_s, function, *args, **kwargs)
        try:
            if limit_s is None:
                return await function(*args, **kwargs)
            with self.driver.within(limit_s):
                return await function(*args, **kwargs)
        except DRIVER_ERRORS as error:
            raise translate(error, doing) from error

    async def read(self, doing: Doing, command: Document, codec: CodecOptions[Any]) -> list[Document] | None:
        """Send a `find` or an `aggregate` outside sessions; None where one reply does not hold all documents.

        By the bare command: PyMongo's cursor objects cost a sixth of a call.
        """
        command.update(self.read_limit)
        cursor = (await self.call(doing, self._reply, command, codec))["cursor"]
        found: list[Document] = cursor["firstBatch"]
        if not cursor["id"]:
            return found
        name: str = next(iter(command.values()))
        killing = Doing(f'{{"killCursors": "{name}", "cursors": ["?"]}}', doing.entity)
        kill = {"killCursors": name, "cursors": [cursor["id"]]}
        # Where another of several routers is asked, which does not know it, the server ends it after ten minutes.
        with suppress(DbkitError):
            await self.call(killing, self.driver.command, self.database, kill)
        return None

    async def _reply(self, command: Document, codec: CodecOptions[Any]) -> Document:
        """Send a read; where it breaks again, for what it may take as a whole."""
        send, database = self.driver.command, self.database
        try:
            return await send(database, command, codec)
        except PyMongoError as error:
            if not is_read_again(error) or not self.client.options.retry_reads:
                raise
        with self.driver.within(self.timeout_s):
            # A pool may hold several connections that broke with the server.
            for _ in range(2):
                try:
                    return await send(database, command, codec)
                except PyMongoError as error:
                    if not is_read_again(error):
                        raise
            return await send(database, command, codec)

    async def _told(
        self,
        hook: Hook,
        doing: Doing,
        limit_s: float | None,
        function: AsyncCall[T],
        *args: Any,
        **kwargs: Any,
    ) -> T:
        failed: str | None = None
        started = perf_counter()
        try:
            if limit_s is None:
                return await function(*args, **kwargs)
            with self.driver.within(limit_s):
                return await function(*args, **kwargs)
        except DRIVER_ERRORS as error:
            failed = type(error).__name__
            raise translate(error, doing) from error
        except BaseException as error:
            # A task that is cancelled: nobody waits for the answer, and the log is for just such calls.
            failed = type(error).__name__
            raise
        finally:
            if doing.text:
                hook(Statement(self.name, doing.text, perf_counter() - started, failed))

    def collection(self, name: str, codec: CodecOptions[Any] = CODEC_OPTIONS) -> Any:
        """Return the collection *name*, whose documents are decoded by *codec*."""
        known = self._collections if codec is CODEC_OPTIONS else self._without_zone
        found = known.get(name)
        if found is None:
            found = known[name] = self.driver.collection(self.database, name, codec_options=codec)
        return found

    def snapshot(self, name: str) -> Any:
        """Return the collection *name* for one command that sees one committed instant, as far as the server can.

        https://www.mongodb.com/docs/manual/reference/read-concern-snapshot/#read-concern-and-atclustertime
        """
        found = self._snapshots.get(name)
        if found is None:
            if not self.features.snapshot_reads:
                return self.collection(name)
            concern = ReadConcern("snapshot")
            found = self.driver.collection(
                self.database, name, codec_options=CODEC_OPTIONS, read_concern=concern
            )
            self._snapshots[name] = found
        return found

    @cached_property
    def joins_at_one_instant(self) -> bool:
        """Whether one command that reads several collections sees one committed instant by itself."""
        features = self.features
        return (
            bool(features.views and features.snapshot_reads) and not self.quirks.snapshots_need_transactions
        )

    # -- plans ---------------------------------------------------------------------------------------------------------

    def plan(self, query: Query) -> Any:
        """Return the kept plan of the query's shape, or None."""
        return self.plans.get(query.shape)

    async def compile(
        self, query: Query, make: Callable[..., P], collections: Callable[[P], tuple[str, ...]], *args: Any
    ) -> P:
        """Compile the query's shape and keep its plan.

        Raises:
            ConfigurationError: a collection that it needs is not there.
        """
        made = make(query.slotted(), self.codec, *args)
        self.compilations += 1
        await self.ensure(*collections(made))
        if len(self.plans) >= PLANS_KEPT:
            # Programs have fewer shapes; those that make new ones without end need no memory of them.
            self.plans.clear()
        self.plans[query.shape] = made
        return made

    async def insertion(self, entity: EntitySpec) -> InsertPlan:
        """Return the plan that inserts rows of *entity*."""
        plan = self.inserts.get(entity.token)
        if plan is None:
            plan = compile_insert(entity, self.codec)
            self.compilations += 1
            await self.ensure(entity.stored)
            self.inserts[entity.token] = plan
        return plan

    async def ensure(self, *names: str) -> None:
        """Raise unless the collections are there: a write would make them, without validators and indexes."""
        if self._known.issuperset(names):
            return
        doing = Doing(f'{{"listCollections": 1, "nameOnly": true}} of {len(names)}')
        self._known.update(await self.call(doing, self.driver.collections, self.database))
        missing = [name for name in names if name not in self._known]
        if missing:
            raise no_table(missing[0], self.schema)

    def forget(self, *known: str) -> None:
        """Forget what is compiled and known: the collections have changed, *known* are there."""
        self._known = set(known)
        self.plans.clear()
        self.gets.clear()
        self.inserts.clear()
