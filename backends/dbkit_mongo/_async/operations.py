"""The verbs, in autocommit or with a transaction's session. What decides is in the pure modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from dbkit.answers import condition_failed, no_row, out_of_range, too_many_rows
from dbkit.errors import Conflict, DbkitError, DuplicateKey
from dbkit.options import MAX_ROWS_TOUCHED
from dbkit.query import DeleteMany, DeleteOne, Insert, UpdateMany, UpdateOne, Upsert
from dbkit.spec import EntitySpec

from ..changes import assigned
from ..errors import IN_STEPS, Doing, declared_names
from ..writes import (
    Choice,
    DeletePlan,
    UpdatePlan,
    UpsertPlan,
    compile_delete,
    compile_update,
    compile_upsert,
)
from .duplicates import committed, settled
from .reading import AsyncMongoReads
from .references import delete_rows, refer
from .sessions import begin_transaction, commit, rollback

__all__ = ["AsyncMongoOperations", "AsyncWork"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Document = dict[str, Any]

INSERT_CHUNK = 1_000
UPSERT_ATTEMPTS = 4


class AsyncWork(Protocol[T_co]):
    """What is done by several commands, on operations that are bound to one session."""

    async def __call__(self, on: AsyncMongoOperations, /) -> T_co: ...


class AsyncMongoOperations(AsyncMongoReads):
    """All verbs on one link."""

    def writing(self, text: str, entity: EntitySpec | None, *, waits: bool = False) -> Doing:
        """Say what is written; *waits*: by a command that `lock_wait` ends, if it is no part of a transaction."""
        within_s = IN_STEPS if waits and not self.in_transaction else None
        return Doing(text, entity, True, self.in_transaction, within_s)

    def lock_wait(self) -> Document:
        """Return the options that end a write's wait for another's transaction after 5 s.

        In a transaction a clash is an error at once; outside, the server would wait without limit. The driver's own
        limit is longer, so that it is the server that says so: then nothing was written, and it is a conflict.
        https://www.mongodb.com/docs/manual/core/transactions-production-consideration/#in-progress-transactions-and-write-conflicts
        """
        return {} if self.in_transaction else self.link.driver.time_limit(self.link.lock_wait_ms)

    async def atomically(self, operation: str, work: AsyncWork[T]) -> T:
        """Run *work* in this transaction, or else in one of its own."""
        if self.in_transaction:
            return await work(self)
        flag = "atomic_many" if operation.endswith("_many") else "checked_references"
        self.link.features.require(flag, backend=self.link.name, operation=operation)
        session = await begin_transaction(self.link)
        try:
            result = await work(AsyncMongoOperations(self.link, session, in_transaction=True))
        except BaseException:
            await rollback(self.link, session)
            raise
        await commit(self.link, session)
        return result

    # -- inserts -------------------------------------------------------------------------------------------------------

    async def insert(self, query: Insert) -> None:
        plan = self.link.inserts.get(query.entity.token) or await self.link.insertion(query.entity)
        row = query.row
        if (
            plan.parents
            and not self.in_transaction
            and any(row[bind] is not None for _, bind in plan.parents)
        ):
            await self.atomically("create", lambda on: on.insert(query))
            return
        document = plan.fill(row)
        try:
            if self.in_transaction:
                await self.link.call(
                    Doing(plan.text, plan.entity, True, True),
                    self.link.collection(plan.entity.stored).insert_one,
                    document,
                    session=self.session,
                )
            else:
                link = self.link
                await link.call(
                    plan.alone,
                    link.driver.insert,
                    link.database,
                    plan.entity.stored,
                    document,
                    link.lock_wait_ms,
                )
        except DuplicateKey as error:
            raise await settled(self, error, plan.entity, document, None) from error.__cause__
        if plan.parents:
            await refer(self, plan.entity, plan.parents, (row,))

    async def insert_many(self, entity: EntitySpec, rows: Sequence[tuple[Any, ...]]) -> int:
        if not rows:
            return 0
        created: int = await self.atomically("create_many", lambda on: on._insert_all(entity, rows))
        return created

    async def _insert_all(self, entity: EntitySpec, rows: Sequence[tuple[Any, ...]]) -> int:
        plan = self.link.inserts.get(entity.token) or await self.link.insertion(entity)
        doing = self.writing(plan.text, entity)
        insert, fill = self.link.collection(entity.stored).insert_many, plan.fill
        for start in range(0, len(rows), INSERT_CHUNK):
            documents = [fill(row) for row in rows[start : start + INSERT_CHUNK]]
            await self.link.call(doing, insert, documents, session=self.session)
        await refer(self, plan.entity, plan.parents, rows)
        return len(rows)

    # -- updates -------------------------------------------------------------------------------------------------------

    async def update(self, query: UpdateOne) -> Any:
        plan = await self._update_plan(query)
        binds = query.binds
        if not self.in_transaction and (
            plan.choice.joined is not None or any(binds[bind] is not None for _, bind in plan.parents)
        ):
            return await self.atomically("update", lambda on: on.update(query))
        if plan.choice.joined is not None and not await self._joined_ids(plan.choice, binds):
            raise await self._why_not(plan, query, is_joined=True)
        update = plan.update(binds)
        try:
            document = await self.link.call(
                self.writing(plan.text, plan.entity, waits=True),
                self.link.collection(plan.entity.stored).find_one_and_update,
                plan.within(binds),
                update,
                return_document=True,
                session=self.session,
                **self.lock_wait(),
            )
        except DuplicateKey as error:
            own = {"_id": self.link.codec.encode(plan.entity.id.type, binds[0])}
            raise await settled(self, error, plan.entity, assigned(update), own) from error.__cause__
        if document is None:
            raise await self._why_not(plan, query, is_joined=False)
        await refer(self, plan.entity, plan.parents, (binds,))
        return plan.shape.instances([document])[0]

    async def _update_plan(self, query: UpdateOne | UpdateMany) -> UpdatePlan:
        plan: UpdatePlan | None = self.link.plan(query)
        if plan is not None:
            return plan
        return await self.link.compile(
            query, compile_update, lambda made: made.choice.collections, self.link.shapes
        )

    async def _why_not(self, plan: UpdatePlan, query: UpdateOne, *, is_joined: bool) -> Exception:
        """Find out why nothing was updated: one more read, on failure only."""
        entity, binds = plan.entity, query.binds
        by_id = {"_id": self.link.codec.encode(entity.id.type, binds[0])}
        if await self._first(entity, by_id) is None:
            return no_row(entity.name)
        if is_joined or await self._first(entity, plan.choice.own(binds)) is None:
            return condition_failed(entity.name)
        for name, within in plan.ranges.items():
            if await self._first(entity, within(binds)) is None:
                return out_of_range(entity.name, name)
        return Conflict(f"this {entity.name} was changed meanwhile")

    async def _joined_ids(self, choice: Choice, binds: tuple[Any, ...]) -> list[Any]:
        """Return the stored ids that a filter over several collections takes; over 10,000 is `TooLarge`."""
        assert choice.joined is not None
        found = await self._aggregate(choice.joining, choice.joined(binds), is_joined=True)
        _check_touched(len(found))
        return [row["_id"] for row in found]

    async def update_many(self, query: UpdateMany) -> int:
        changed: int = await self.atomically("update_many", lambda on: on._update_all(query))
        return changed

    async def _update_all(self, query: UpdateMany) -> int:
        plan = await self._update_plan(query)
        entity, binds = plan.entity, query.binds
        collection = self.link.collection(entity.stored)
        within = plan.within(binds)
        if plan.choice.joined is not None:
            ids = await self._joined_ids(plan.choice, binds)
            wanted, within = len(ids), {"$and": [{"_id": {"$in": ids}}, within]}
        else:
            wanted = await self._count_touched(entity, plan.choice, plan.choice.own(binds))
        if not wanted:
            return 0
        update = plan.update(binds)
        try:
            result = await self.link.call(
                self.writing(plan.text, entity), collection.update_many, within, update, session=self.session
            )
        except DuplicateKey as error:
            raise await settled(self, error, entity, assigned(update), None) from error.__cause__
        if result.matched_count != wanted:
            raise (
                out_of_range(entity.name, plan.suspect)
                if plan.ranges
                else Conflict("rows were changed meanwhile")
            )
        await refer(self, plan.entity, plan.parents, (binds,))
        return wanted

    async def _count_touched(self, entity: EntitySpec, choice: Choice, filter: Document) -> int:
        touched: int = await self.link.call(
            choice.counting,
            self.link.collection(entity.stored).count_documents,
            filter,
            limit=MAX_ROWS_TOUCHED + 1,
            session=self.session,
        )
        _check_touched(touched)
        return touched

    async def upsert(self, query: Upsert) -> Any:
        link = self.link
        plan: UpsertPlan | None = link.plan(query)
        if plan is None:
            plan = await link.compile(query, compile_upsert, lambda made: (made.entity.stored,), link.shapes)
        names = declared_names(plan.entity, plan.key)
        clash: DbkitError | None = None
        for _ in range(1 if self.in_transaction else UPSERT_ATTEMPTS):
            try:
                return await self._upsert(plan, query)
            except DuplicateKey as error:
                clash = error if error.field == names else await self._clash(error, plan, query.row)
                if not isinstance(clash, DuplicateKey) or clash.field != names:
                    raise clash from error.__cause__
                # Another one inserted the same key between our search and our insertion: now it is there.
                # https://www.mongodb.com/docs/manual/reference/method/db.collection.findOneAndUpdate/#upsert-with-unique-index
        raise Conflict(f"another {plan.entity.name} with the same {names} came first") from clash

    async def _clash(self, error: DuplicateKey, plan: UpsertPlan, row: tuple[Any, ...]) -> DbkitError:
        """Find out which key another document has, of those that are not upserted by."""
        own, update = plan.filter(row), plan.update(row)
        if await committed(self, plan.entity, own) is not None:
            return await settled(self, error, plan.entity, assigned(update), own)
        inserted = {**assigned(update), **update.get("$setOnInsert", {})}
        return await settled(self, error, plan.entity, inserted, None)

    async def _upsert(self, plan: UpsertPlan, query: Upsert) -> Any:
        row = query.row
        if not self.in_transaction and any(row[bind] is not None for _, bind in plan.parents):
            return await self.atomically("upsert", lambda on: on._upsert(plan, query))
        update = plan.update
        if plan.version is not None and row[plan.version] != 1:
            if self.link.codec.is_mongomock and await self._first(plan.entity, plan.filter(row)) is None:
                # It has no update pipelines; within one process nobody comes between the search and this.
                await self.insert(Insert(plan.entity, row))
                return await self.get(plan.entity.read, row[plan.entity.columns.index(plan.entity.id)])
            assert plan.update_version is not None
            update = plan.update if self.link.codec.is_mongomock else plan.update_version
        collection = self.link.collection(plan.entity.stored)
        document = await self.link.call(
            self.writing(plan.text, plan.entity, waits=True),
            collection.find_one_and_update,
            plan.filter(row),
            update(row),
            upsert=True,
            return_document=True,
            session=self.session,
            **self.lock_wait(),
        )
        if document is None:
            # MongoDB always gives the document here. SecantusDB has written it, and gives none when several upsert the
            # same key at once.
            finding = Doing(f'{{"find": "{plan.entity.stored}", "limit": 1}}', plan.entity)
            document = await self.link.call(
                finding, collection.find_one, plan.filter(row), session=self.session
            )
        if document is None:
            raise Conflict(f"this {plan.entity.name} was deleted meanwhile")
        await refer(self, plan.entity, plan.parents, (row,))
        return plan.shape.instances([document])[0]

    # -- deletes -------------------------------------------------------------------------------------------------------

    async def delete(self, query: DeleteOne) -> bool:
        plan = await self._delete_plan(query)
        link, entity = self.link, plan.entity
        if plan.choice.joined is None and not link.schema.children(entity):
            gone = await link.call(
                self.writing(plan.text, entity, waits=True),
                link.collection(entity.stored).find_one_and_delete,
                plan.choice.own(query.binds),
                {"_id": 1},
                session=self.session,
                **self.lock_wait(),
            )
            return gone is not None
        if not self.in_transaction:
            was_there: bool = await self.atomically("delete", lambda on: on.delete(query))
            return was_there
        if plan.choice.joined is not None:
            ids = await self._joined_ids(plan.choice, query.binds)
        else:
            found = await self._first(entity, plan.choice.own(query.binds))
            ids = [] if found is None else [found["_id"]]
        if ids:
            await delete_rows(self, entity, ids)
        return bool(ids)

    async def delete_many(self, query: DeleteMany) -> int:
        deleted: int = await self.atomically("delete_many", lambda on: on._delete_all(query))
        return deleted

    async def _delete_all(self, query: DeleteMany) -> int:
        plan = await self._delete_plan(query)
        link, entity = self.link, plan.entity
        if plan.choice.joined is not None:
            ids = await self._joined_ids(plan.choice, query.binds)
        elif link.schema.children(entity):
            found = await link.call(
                Doing(f'{{"find": "{entity.stored}", "projection": {{"_id": 1}}}}', entity),
                link.driver.find,
                link.collection(entity.stored),
                plan.choice.own(query.binds),
                {"_id": 1},
                limit=MAX_ROWS_TOUCHED + 1,
                batch_size=MAX_ROWS_TOUCHED + 2,
                session=self.session,
            )
            _check_touched(len(found))
            ids = [row["_id"] for row in found]
        else:
            filter = plan.choice.own(query.binds)
            touched = await self._count_touched(entity, plan.choice, filter)
            if touched:
                await link.call(
                    self.writing(plan.text, entity),
                    link.collection(entity.stored).delete_many,
                    filter,
                    session=self.session,
                )
            return touched
        if ids:
            await delete_rows(self, entity, ids)
        return len(ids)

    async def _delete_plan(self, query: DeleteOne | DeleteMany) -> DeletePlan:
        plan: DeletePlan | None = self.link.plan(query)
        if plan is not None:
            return plan
        return await self.link.compile(query, compile_delete, lambda made: made.choice.collections)


def _check_touched(count: int) -> None:
    if count > MAX_ROWS_TOUCHED:
        raise too_many_rows()
