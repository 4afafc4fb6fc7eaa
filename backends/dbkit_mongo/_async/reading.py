"""The verbs that change nothing, in autocommit or with a session of a transaction or a snapshot."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from bson.codec_options import CodecOptions

from dbkit.page import PageRows
from dbkit.query import Count, Exists, Find, Get, GroupBy, Reading
from dbkit.spec import EntitySpec, ReadSpec
from dbkit.statement import Plan

from ..errors import IN_STEPS, Doing
from ..explaining import command_of, plan_of
from ..groups import GroupPlan, compile_group
from ..reads import (
    ALL_AT_ONCE,
    FindPlan,
    PipelinePlan,
    compile_count,
    compile_exists,
    compile_find,
    compile_get,
    find_options,
)
from ..rows import CODEC_OPTIONS
from .link import AsyncLink
from .sessions import begin_transaction, rollback, start_snapshot

__all__ = ["AsyncMongoReads"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Document = dict[str, Any]

SNAPSHOT = {"level": "snapshot"}


class AsyncReadWork(Protocol[T_co]):
    """What is read by several commands, on operations that are bound to one session."""

    async def __call__(self, on: AsyncMongoReads, /) -> T_co: ...


class AsyncMongoReads:
    """The verbs that change nothing, on one link.

    Args:
        session: of a transaction, or of a snapshot; None in autocommit.
        in_transaction: whether the session's transaction is open.
    """

    def __init__(self, link: AsyncLink, session: Any = None, *, in_transaction: bool = False) -> None:
        self.link = link
        self.session = session
        self.in_transaction = in_transaction

    # -- several commands as one ---------------------------------------------------------------------------------------

    async def at_one_instant(self, operation: str, work: AsyncReadWork[T]) -> T:
        """Run *work*, which reads by several commands, on one snapshot."""
        if self.session is not None:
            return await work(self)
        link = self.link
        link.features.require("snapshot_reads", backend=link.name, operation=operation)
        if link.quirks.snapshots_need_transactions:
            session = await begin_transaction(link)
            try:
                return await work(AsyncMongoReads(link, session, in_transaction=True))
            finally:
                await rollback(link, session)
        session = await start_snapshot(link)
        try:
            return await work(AsyncMongoReads(link, session))
        finally:
            await session.end_session()

    # -- reads ---------------------------------------------------------------------------------------------------------

    async def get(self, read: ReadSpec, id: Any) -> Any | None:
        link = self.link
        plan = link.gets.get(read.token)
        if plan is None:
            plan = await self._get_plan(read)
        found = await self._documents(plan, (id,))
        return plan.shape.instances(found)[0] if found else None

    async def _get_plan(self, read: ReadSpec) -> FindPlan:
        link = self.link
        plan = compile_get(read, link.codec, link.shapes)
        link.compilations += 1
        await link.ensure(*plan.collections)
        link.gets[read.token] = plan
        return plan

    async def find(self, query: Find) -> list[Any]:
        plan: FindPlan = self.link.plans.get(query.shape) or await self._find_plan(query)
        return plan.shape.instances(await self._documents(plan, query.binds))

    async def page(self, query: Find) -> PageRows:
        plan: FindPlan = self.link.plans.get(query.shape) or await self._find_plan(query)
        total: int | None = None
        if not query.total:
            documents = await self._documents(plan, query.binds)
        else:
            documents, total = await self.at_one_instant("page", lambda on: on._with_total(plan, query))
        assert plan.page is not None
        limit, last = query.binds[plan.page], None
        if len(documents) > limit:
            documents = documents[:limit]
            last = tuple([get(documents[-1]) for get in plan.last])
        return PageRows(plan.shape.instances(documents), last, total)

    async def _with_total(self, plan: FindPlan, query: Find) -> tuple[list[Document], int]:
        documents = await self._documents(plan, query.binds)
        return documents, await self.count(Count(query.entity, query.where))

    async def _find_plan(self, query: Find) -> FindPlan:
        return await self.link.compile(query, compile_find, _collections, self.link.shapes)

    async def _documents(self, plan: FindPlan, binds: tuple[Any, ...]) -> list[Document]:
        link = self.link
        if plan.is_pipeline:
            joined = len(plan.collections) > 1
            return await self._aggregate(
                plan.doing, plan.fill(binds), is_joined=joined, codec=plan.shape.codec_options
            )
        command = plan.command(binds)
        if self.session is None:
            found = await link.read(plan.doing, command, plan.shape.codec_options)
            if found is not None:
                return found
        on = link.collection(plan.entity.stored, plan.shape.codec_options)
        return await link.call(
            plan.doing, link.driver.find, on, **find_options(command), session=self.session
        )

    async def _aggregate(
        self,
        doing: Doing,
        pipeline: list[Document],
        *,
        is_joined: bool,
        codec: CodecOptions[Any] = CODEC_OPTIONS,
    ) -> list[Document]:
        link, entity = self.link, doing.entity
        assert entity is not None
        if is_joined and self.session is None and not link.joins_at_one_instant:
            link.features.require("views", backend=link.name, operation="find", entity=entity.name)
            link.features.require("snapshot_reads", backend=link.name, operation="find", entity=entity.name)
            if link.quirks.snapshots_need_transactions:
                return await self.at_one_instant(
                    "find", lambda on: on._aggregate(doing, pipeline, is_joined=True, codec=codec)
                )
        if self.session is None:
            command: Document = {"aggregate": entity.stored, "pipeline": pipeline, "cursor": ALL_AT_ONCE}
            if link.features.snapshot_reads:
                command["readConcern"] = SNAPSHOT
            found = await link.read(doing, command, codec)
            if found is not None:
                return found
        on = link.snapshot(entity.stored) if self.session is None else link.collection(entity.stored, codec)
        return await link.call(doing, link.driver.aggregate, on, pipeline, session=self.session)

    async def count(self, query: Count) -> int:
        found = await self._pipeline(query, compile_count)
        return found[0]["n"] if found else 0

    async def exists(self, query: Exists) -> bool:
        return bool(await self._pipeline(query, compile_exists))

    async def _pipeline(self, query: Count | Exists, make: Callable[..., PipelinePlan]) -> list[Document]:
        plan: PipelinePlan | None = self.link.plan(query)
        if plan is None:
            plan = await self.link.compile(query, make, _collections)
        joined = len(plan.collections) > 1
        return await self._aggregate(plan.doing, plan.fill(query.binds), is_joined=joined)

    async def counts(self, entities: Sequence[EntitySpec]) -> list[int]:
        link = self.link
        await link.ensure(*(e.stored for e in entities))
        if self.session is not None or not link.features.snapshot_reads:
            # $unionWith is refused in a transaction, which is one snapshot anyway.
            # https://www.mongodb.com/docs/manual/core/transactions-operations/
            return [await self.count(Count(e, None)) for e in entities]
        stages: list[Document] = []
        for position, entity in enumerate(entities):
            counting: list[Document] = [
                {"$group": {"_id": None, "n": {"$sum": 1}}},
                {"$set": {"_id": {"$literal": position}}},
            ]
            stages += (
                [{"$unionWith": {"coll": entity.stored, "pipeline": counting}}] if position else counting
            )
        text = f'{{"aggregate": "{entities[0].stored}", "pipeline": [count, $unionWith …]}}'
        doing = Doing(text, entities[0], within_s=IN_STEPS)
        found = await self._aggregate(doing, stages, is_joined=len(entities) > 1)
        counted = {row["_id"]: row["n"] for row in found}
        return [counted.get(position, 0) for position in range(len(entities))]

    async def group(self, query: GroupBy) -> list[Any]:
        link = self.link
        plan: GroupPlan | None = link.plan(query)
        if plan is None:
            link.features.require("groups", backend=link.name, operation="group", entity=query.entity.name)
            plan = await link.compile(query, compile_group, _collections)
        joined = len(plan.collections) > 1
        rows = await self._aggregate(plan.doing, plan.fill(query.binds), is_joined=joined)
        return plan.instances(rows)

    async def _first(self, entity: EntitySpec, filter: Document) -> Document | None:
        found: Document | None = await self.link.call(
            Doing(f'{{"find": "{entity.stored}", "limit": 1}}', entity),
            self.link.collection(entity.stored).find_one,
            filter,
            {"_id": 1},
            session=self.session,
        )
        return found

    # -- the rest ------------------------------------------------------------------------------------------------------

    async def explain(self, query: Reading) -> Plan:
        link = self.link
        link.features.require("query_plans", backend=link.name, operation="explain", entity=query.entity.name)
        plan: Any
        if isinstance(query, Get):
            plan = link.gets.get(query.read.token) or await self._get_plan(query.read)
        elif isinstance(query, Find):
            plan = link.plan(query) or await self._find_plan(query)
        elif isinstance(query, GroupBy):
            plan = link.plan(query) or await link.compile(query, compile_group, _collections)
        else:
            make = compile_count if isinstance(query, Count) else compile_exists
            plan = link.plan(query) or await link.compile(query, make, _collections)
        command = {"explain": command_of(plan, query.binds), "verbosity": "executionStats"}
        doing = Doing(f'{{"explain": {plan.text}, "verbosity": "executionStats"}}', query.entity)
        # Not in the session: a transaction refuses to explain.
        made = plan_of(plan, await link.call(doing, link.driver.command, link.database, command))
        if isinstance(query, Find) and query.total:
            return replace(made, further=(await self.explain(Count(query.entity, query.where)),))
        return made

    @asynccontextmanager
    async def native(self) -> AsyncGenerator[Any]:
        """Lend PyMongo's database and the transaction's session, or None."""
        yield self.link.database, self.session


def _collections(plan: FindPlan | PipelinePlan | GroupPlan) -> tuple[str, ...]:
    return plan.collections
