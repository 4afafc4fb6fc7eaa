"""Compile once: plans by a query's shape, in a bounded cache that belongs to one database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from dbkit.query import (
    Claim,
    Count,
    DeleteMany,
    DeleteOne,
    Exists,
    Find,
    GroupBy,
    Insert,
    Query,
    UpdateMany,
    UpdateOne,
    Upsert,
)
from dbkit.spec import EntitySpec, ReadSpec, Relation

from . import deletes, groups, reads, writes
from .binds import Text
from .rows import RowReader
from .schema import Tables

__all__ = ["Compiler"]

MAX_PLANS = 1_000
P = TypeVar("P")


class Compiler:
    """Makes plans, and keeps them.

    Safe between threads: a plan that two compile at once is compiled twice, and either is kept.
    """

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.compilations = 0
        """How often a statement was compiled; a second call of the same shape compiles nothing."""
        self._plans: dict[Any, Any] = {}
        self._readers: dict[int, RowReader] = {}
        self._gets: dict[int, reads.GetPlan] = {}

    def reader(self, read: ReadSpec) -> RowReader:
        """Return what makes instances of a view."""
        found = self._readers.get(read.token)
        if found is None:
            found = self._readers[read.token] = RowReader(self.tables.dialect, read)
        return found

    def get(self, read: ReadSpec) -> reads.GetPlan:
        """Return the plan of a read by id."""
        found = self._gets.get(read.token)
        if found is None:
            self.compilations += 1
            found = self._gets[read.token] = reads.get(self.tables, self.reader(read))
        return found

    def find(self, query: Find) -> reads.FindPlan:
        """Return the plan of a find or a page."""
        found: reads.FindPlan | None = self._plans.get(
            query.shape
        )  # as `_kept`, in place: this is the hot one
        return found or self._plan(
            query, lambda: reads.find(self.tables, self.reader(query.read), query.slotted())
        )

    def count(self, query: Count) -> Text:
        """Return the statement of a count."""
        return self._plan(query, lambda: reads.count(self.tables, query.slotted()))

    def exists(self, query: Exists) -> Text:
        """Return the statement that says whether there is a row."""
        return self._plan(query, lambda: reads.exists(self.tables, query.slotted()))

    def counts(self, entities: Sequence[EntitySpec]) -> Text:
        """Return the statement that counts several entities."""
        key = ("counts", *(entity.token for entity in entities))
        return self._kept(key, lambda: reads.counts(self.tables, entities))

    def children(self, relation: Relation, parents: int) -> reads.ChildrenPlan:
        """Return the plan of a relation's read for *parents* rows, a power of two."""
        key = ("children", id(relation), parents)
        reader = self.reader(relation.read)
        return self._kept(key, lambda: reads.children(self.tables, reader, relation, parents))

    def group(self, query: GroupBy) -> groups.GroupPlan:
        """Return the plan of a group."""
        return self._plan(query, lambda: groups.group(self.tables, query.slotted()))

    def insert(self, query: Insert) -> writes.InsertPlan:
        """Return the plan of an insertion."""
        return self._kept(query.shape, lambda: writes.insert(self.tables, query.entity))

    def bulk(self, entity: EntitySpec) -> writes.BulkPlan:
        """Return the plan of the insertion of many rows."""
        return self._kept(("bulk", entity.token), lambda: writes.bulk(self.tables, entity))

    def update_one(self, query: UpdateOne) -> writes.UpdatePlan:
        """Return the plan of a change of one row."""
        return self._plan(query, lambda: writes.update_one(self.tables, self._own(query), query.slotted()))

    def update_many(self, query: UpdateMany) -> writes.UpdatePlan:
        """Return the plan of a change of many rows."""
        return self._plan(query, lambda: writes.update_many(self.tables, self._own(query), query.slotted()))

    def upsert(self, query: Upsert) -> writes.UpdatePlan:
        """Return the plan of an upsert."""
        return self._plan(query, lambda: writes.upsert(self.tables, self._own(query), query.slotted()))

    def delete_one(self, query: DeleteOne) -> deletes.DeletePlan:
        """Return the plan of the deletion of one row."""
        return self._plan(query, lambda: deletes.delete_one(self.tables, query.slotted()))

    def delete_many(self, query: DeleteMany) -> deletes.DeletePlan:
        """Return the plan of the deletion of many rows."""
        return self._plan(query, lambda: deletes.delete_many(self.tables, query.slotted()))

    def claim(self, query: Claim) -> writes.ClaimPlan:
        """Return the plan of a claim."""
        return self._plan(query, lambda: writes.claim(self.tables, self._own(query), query.slotted()))

    def _own(self, query: Query) -> RowReader:
        return self.reader(query.entity.read)

    def _plan(self, query: Query, compile: Callable[[], P]) -> P:
        return self._kept(query.shape, compile)

    def _kept(self, key: Any, compile: Callable[[], P]) -> P:
        found = self._plans.get(key)
        if found is None:
            self.compilations += 1
            found = compile()
            if len(self._plans) >= MAX_PLANS:
                # What is still used comes back at the cost of one compilation each.
                self._plans.clear()
            self._plans[key] = found
        return cast("P", found)
