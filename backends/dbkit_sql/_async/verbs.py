"""The verbs, on any connection: in autocommit each takes one of the pool, in a transaction all use the transaction's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

from dbkit.answers import condition_failed, no_row, too_many_children, too_many_rows
from dbkit.errors import ReferenceViolation
from dbkit.options import MAX_ROWS_TOUCHED
from dbkit.page import PageRows
from dbkit.query import (
    Count,
    DeleteMany,
    DeleteOne,
    Exists,
    Find,
    Get,
    GroupBy,
    Insert,
    Query,
    Reading,
    UpdateMany,
    UpdateOne,
    Upsert,
    size_class,
)
from dbkit.spec import EntitySpec, ReadSpec, Relation
from dbkit.statement import Plan

from ..binds import Text
from ..compiler import Compiler
from ..deletes import DeletePlan
from ..errors import Verb
from ..errors import reference as reference_error
from ..reads import FindPlan
from ..rows import RowReader
from ..writes import BulkPlan, ParentCheck
from .connection import AsyncConnection, AsyncWork

__all__ = ["AsyncVerbs"]

C = TypeVar("C", bound=AsyncConnection)
T = TypeVar("T")
Rows = list[tuple[Any, ...]]

# Ids in one statement that reads children: SQLite takes 32,766 parameters (sqlite.org/limits.html).
_PARENTS_AT_ONCE = 16_384


class AsyncVerbs(ABC, Generic[C]):
    """What a backend and its transactions do alike."""

    compiler: Compiler

    @abstractmethod
    async def rows(self, text: str, params: Sequence[Any], query: Query | Verb | None) -> Rows:
        """Run one statement and return its rows."""

    @abstractmethod
    async def change(self, text: str, params: Sequence[Any], query: Query | Verb | None) -> int:
        """Run one statement and return how many rows it changed."""

    @abstractmethod
    async def inside(
        self, query: Query | Verb | None, work: AsyncWork[C, T], *, read_only: bool = False
    ) -> T:
        """Run *work* in a transaction: a new one in autocommit, else the one that is open."""

    @abstractmethod
    async def insert_rows(self, plan: BulkPlan, entity: EntitySpec, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert the rows, all or none."""

    @abstractmethod
    async def explained(self, connection: C, text: str, params: Sequence[Any]) -> Plan:
        """Ask the server how it would run a statement."""

    # -- reads ---------------------------------------------------------------------------------------------------------

    async def get(self, read: ReadSpec, id: Any) -> Any | None:
        plan = self.compiler.get(read)
        params = (id if plan.encode is None else plan.encode(id),)
        if plan.reader.relations:
            return await self._related_get(plan.text, params, plan.reader)
        rows = await self.rows(plan.text, params, None)
        return plan.reader.instances(rows)[0] if rows else None

    async def _related_get(self, text: str, params: tuple[Any, ...], reader: RowReader) -> Any | None:
        async def work(connection: C) -> list[Any]:
            rows = await connection.rows(text, params)
            return reader.instances(rows, await self._children(connection, reader, rows))

        found = await self.inside(None, work, read_only=True)
        return found[0] if found else None

    async def find(self, query: Find) -> list[Any]:
        plan = self.compiler.find(query)
        params = plan.text.fill(query.binds)
        if not plan.reader.relations:
            return plan.reader.instances(await self.rows(plan.text.text, params, query))

        async def work(connection: C) -> list[Any]:
            rows = await connection.rows(plan.text.text, params)
            return plan.reader.instances(rows, await self._children(connection, plan.reader, rows))

        return await self.inside(query, work, read_only=True)

    async def page(self, query: Find) -> PageRows:
        plan = self.compiler.find(query)
        params = plan.text.fill(query.binds)
        if not plan.reader.relations and plan.total is None:
            rows = await self.rows(plan.text.text, params, query)
            shown, last = _cut(plan, rows, query.limit)
            return PageRows(plan.reader.instances(shown), last, None)

        async def work(connection: C) -> PageRows:
            rows = await connection.rows(plan.text.text, params)
            shown, last = _cut(plan, rows, query.limit)
            items = plan.reader.instances(shown, await self._children(connection, plan.reader, shown))
            total: int | None = None
            if plan.total is not None:
                ((total,),) = await connection.rows(plan.total.text, plan.total.fill(query.binds))
            return PageRows(items, last, total)

        return await self.inside(query, work, read_only=True)

    async def _children(self, connection: C, reader: RowReader, rows: Rows) -> list[dict[Any, list[Any]]]:
        """Return the children of the rows by the parent's id, for each relation: one statement each."""
        found: list[dict[Any, list[Any]]] = []
        for relation, parents in _parents(reader, rows):
            groups: dict[Any, list[Any]] = {}
            for ids in parents:
                plan = self.compiler.children(relation, size_class(len(ids)))
                below = await connection.rows(plan.text.text, plan.text.fill((ids, *plan.binds)))
                for row, display in zip(below, plan.reader.displays(below), strict=True):
                    groups.setdefault(row[-1], []).append(display)
                if plan.most is not None and any(len(group) > plan.most for group in groups.values()):
                    raise too_many_children(reader.read.model.__name__, relation.name)
            found.append(groups)
        return found

    async def count(self, query: Count) -> int:
        text = self.compiler.count(query)
        ((found,),) = await self.rows(text.text, text.fill(query.binds), query)
        return int(found)

    async def exists(self, query: Exists) -> bool:
        text = self.compiler.exists(query)
        ((found,),) = await self.rows(text.text, text.fill(query.binds), query)
        return bool(found)

    async def counts(self, entities: Sequence[EntitySpec]) -> list[int]:
        text = self.compiler.counts(entities)
        (found,) = await self.rows(text.text, (), None)
        return list(found)

    async def group(self, query: GroupBy) -> list[Any]:
        plan = self.compiler.group(query)
        return plan.instances(await self.rows(plan.text.text, plan.text.fill(query.binds), query))

    async def explain(self, query: Reading) -> Plan:
        compiler = self.compiler
        text: Text
        reader: RowReader | None = None
        total: Text | None = None
        most: int | None = None
        match query:
            case Get():
                plan = compiler.get(query.read)
                id = query.id if plan.encode is None else plan.encode(query.id)
                return await self._explain(query, plan.text, (id,), plan.reader)
            case Find():
                found = compiler.find(query)
                text, reader, total = found.text, found.reader, found.total
                most = query.limit if query.page else None
            case Count():
                text = compiler.count(query)
            case Exists():
                text = compiler.exists(query)
            case GroupBy():
                text = compiler.group(query).text
        return await self._explain(query, text.text, text.fill(query.binds), reader, total, most)

    async def _explain(
        self,
        query: Reading,
        text: str,
        params: tuple[Any, ...],
        reader: RowReader | None,
        total: Text | None = None,
        most: int | None = None,
    ) -> Plan:
        async def work(connection: C) -> Plan:
            plan = await self.explained(connection, text, params)
            further: list[Plan] = []
            if reader is not None and reader.relations:
                rows = await connection.rows(text, params)
                further += await self._children_explained(connection, reader, rows[:most])
            if total is not None:
                further.append(await self.explained(connection, total.text, total.fill(query.binds)))
            return replace(plan, further=tuple(further)) if further else plan

        return await self.inside(query, work, read_only=True)

    async def _children_explained(self, connection: C, reader: RowReader, rows: Rows) -> list[Plan]:
        """Explain what `_children` would send for the rows; where there are none, as for one."""
        plans: list[Plan] = []
        for relation, parents in _parents(reader, rows):
            for ids in parents or [(None,)]:
                plan = self.compiler.children(relation, size_class(len(ids)))
                params = plan.text.fill((ids, *plan.binds))
                plans.append(await self.explained(connection, plan.text.text, params))
        return plans

    # -- writes --------------------------------------------------------------------------------------------------------

    async def insert(self, query: Insert) -> None:
        plan = self.compiler.insert(query)
        try:
            await self.change(plan.text.text, plan.text.fill(query.row), query)
        except ReferenceViolation as error:
            raise await self._missing_parent(error, plan.parents, [query.row]) from error.__cause__

    async def insert_many(self, entity: EntitySpec, rows: Sequence[tuple[Any, ...]]) -> int:
        if len(rows) > MAX_ROWS_TOUCHED:
            raise too_many_rows()
        if rows:
            plan = self.compiler.bulk(entity)
            try:
                await self.insert_rows(plan, entity, rows)
            except ReferenceViolation as error:
                raise await self._missing_parent(error, plan.insert.parents, rows) from error.__cause__
        return len(rows)

    async def update(self, query: UpdateOne) -> Any:
        plan = self.compiler.update_one(query)
        try:
            rows = await self.rows(plan.text.text, plan.text.fill(query.binds), query)
        except ReferenceViolation as error:
            raise await self._missing_parent(error, plan.parents, [query.binds]) from error.__cause__
        if not rows:
            assert plan.exists is not None
            there = await self.rows(plan.exists.text, plan.exists.fill(query.binds), None)
            name = query.entity.name
            if there:
                raise condition_failed(name)
            raise no_row(name)
        return plan.reader.instances(rows)[0]

    async def update_many(self, query: UpdateMany) -> int:
        plan = self.compiler.update_many(query)
        params = plan.text.fill(query.binds)
        try:
            if self.compiler.tables.dialect.updates_in_cte:
                return _within_limit(await self.rows(plan.text.text, params, query))

            async def work(connection: C) -> int:
                changed = await connection.change(plan.text.text, params)
                if changed > MAX_ROWS_TOUCHED:
                    raise too_many_rows()
                return changed

            return await self.inside(query, work)
        except ReferenceViolation as error:
            raise await self._missing_parent(error, plan.parents, [query.binds]) from error.__cause__

    async def upsert(self, query: Upsert) -> Any:
        plan = self.compiler.upsert(query)
        try:
            rows = await self.rows(plan.text.text, plan.text.fill(query.binds), query)
        except ReferenceViolation as error:
            raise await self._missing_parent(error, plan.parents, [query.binds]) from error.__cause__
        return plan.reader.instances(rows)[0]

    async def delete(self, query: DeleteOne) -> bool:
        plan = self.compiler.delete_one(query)
        if not plan.cascades:
            try:
                return await self.change(plan.text.text, plan.text.fill(query.binds), query) > 0
            except ReferenceViolation as error:
                raise await self._restricting(error, plan, query) from error.__cause__
        return await self._delete(plan, query) > 0

    async def delete_many(self, query: DeleteMany) -> int:
        return await self._delete(self.compiler.delete_many(query), query)

    async def _delete(self, plan: DeletePlan, query: DeleteOne | DeleteMany) -> int:
        params = plan.text.fill(query.binds)
        in_cte = self.compiler.tables.dialect.updates_in_cte

        async def work(connection: C) -> int:
            if not in_cte:
                before = connection.touched
                deleted = await connection.change(plan.text.text, params)
                if connection.touched - before > MAX_ROWS_TOUCHED:
                    raise too_many_rows()
                return deleted
            await connection.change("SET CONSTRAINTS ALL DEFERRED")
            deleted = _within_limit(await connection.rows(plan.text.text, params))
            await connection.change("SET CONSTRAINTS ALL IMMEDIATE")
            return deleted

        try:
            if in_cte and not plan.defers:
                return _within_limit(await self.rows(plan.text.text, params, query))
            return await self.inside(query, work)
        except ReferenceViolation as error:
            raise await self._restricting(error, plan, query) from error.__cause__

    # -- naming what a server left unnamed -----------------------------------------------------------------------------

    async def _missing_parent(
        self, error: ReferenceViolation, parents: Sequence[ParentCheck], rows: Sequence[tuple[Any, ...]]
    ) -> ReferenceViolation:
        """Return the error with the reference that leads nowhere: one more read for each that may be the one."""
        if error.field is not None:
            return error
        for check in parents:
            for value in dict.fromkeys(check.value(row) for row in rows):
                is_last = check is parents[-1] and len(rows) == 1
                if value is not None and (is_last or not await self.rows(check.text, (value,), None)):
                    return reference_error(check.constraint, deletes=False)
        return error

    async def _restricting(
        self, error: ReferenceViolation, plan: DeletePlan, query: DeleteOne | DeleteMany
    ) -> ReferenceViolation:
        """Return the error with the child's reference that refused the deletion."""
        if error.field is not None:
            return error
        for constraint, text in plan.restricting:
            only = len(plan.restricting) == 1 and not plan.cascades
            if only or await self.rows(text.text, text.fill(query.binds), None):
                return reference_error(constraint, deletes=True)
        return error


def _parents(reader: RowReader, rows: Rows) -> Iterator[tuple[Relation, list[tuple[Any, ...]]]]:
    """Return for each relation the ids of the rows whose children it is, as many at a time as one statement takes."""
    for relation, position in reader.relations:
        ids = list(dict.fromkeys(row[position] for row in rows if row[position] is not None))
        yield (
            relation,
            [tuple(ids[start : start + _PARENTS_AT_ONCE]) for start in range(0, len(ids), _PARENTS_AT_ONCE)],
        )


def _cut(plan: FindPlan, rows: Rows, limit: int) -> tuple[Rows, tuple[Any, ...] | None]:
    """Return a page's rows, and the sort keys of its last one when more follow."""
    if len(rows) <= limit:
        return rows, None
    shown = rows[:limit]
    return shown, plan.last(shown[-1])


def _within_limit(rows: Rows) -> int:
    """Return how many rows were written; nothing was where too many would have been touched."""
    ((touched, written),) = rows
    if touched > MAX_ROWS_TOUCHED:
        raise too_many_rows()
    return int(written)
