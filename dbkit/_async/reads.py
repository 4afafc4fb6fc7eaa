"""What a store reads: one row, many, pages, groups; the same on every backend."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload
from uuid import UUID

from ..building import (
    check_limit,
    filter_of,
    find_query,
    group_query,
    page_query,
    read_spec,
    sort_keys,
    unasked_limit,
)
from ..page import Cursors, Page
from ..query import (
    Count,
    Exists,
    Filter,
    Find,
)
from ..spec import EntitySpec
from .backend import AsyncOperations
from .executor import AsyncExecutor
from .explainer import AsyncExplainer

if TYPE_CHECKING:
    from ..entity import Record
    from ..fields import OrderBy
    from ..views import Grouping, Into

__all__ = ["AsyncReads"]

E = TypeVar("E", bound="Record[Any]")
V = TypeVar("V")
# By the type of the id, so that a wrong one is an error in the editor.
RU = TypeVar("RU", bound="Record[UUID]")
RS = TypeVar("RS", bound="Record[str]")
RI = TypeVar("RI", bound="Record[int]")


class AsyncReads(Generic[E]):
    """A store's verbs that change nothing."""

    def __init__(
        self, spec: EntitySpec, operations: AsyncOperations, executor: AsyncExecutor, cursors: Cursors
    ) -> None:
        self._spec = spec
        self._operations = operations
        self._executor = executor
        self._cursors = cursors

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._spec.name}>"

    @overload
    async def find_one(self, *where: Filter, order_by: OrderBy = None) -> E | None: ...

    @overload
    async def find_one(self, *where: Filter, order_by: OrderBy = None, into: Into[E, V]) -> V | None: ...

    async def find_one(self, *where: Filter, order_by: OrderBy = None, into: Any = None) -> Any:
        """Return the first entity in order, or None."""
        spec = self._spec
        read = spec.read if into is None else read_spec(spec, into, "find_one")
        query = Find(read, filter_of(spec, where, "find_one"), sort_keys(spec, order_by, "find_one"), 1)
        items = await self._executor.read("find_one", spec.name, self._operations.find, query)
        return items[0] if items else None

    @overload
    async def find(
        self, *where: Filter, order_by: OrderBy = None, limit: int | None = None, offset: int | None = None
    ) -> list[E]: ...

    @overload
    async def find(
        self,
        *where: Filter,
        order_by: OrderBy = None,
        limit: int | None = None,
        offset: int | None = None,
        into: Into[E, V],
    ) -> list[V]: ...

    async def find(
        self,
        *where: Filter,
        order_by: OrderBy = None,
        limit: int | None = None,
        offset: int | None = None,
        into: Any = None,
    ) -> list[Any]:
        """Return the entities in a total order (by id where *order_by* says nothing).

        Args:
            limit: at most this many, up to 10,000; 0 is an empty list.
            offset: skip this many first. The store reads and throws them away: `page` costs the same however deep.

        Raises:
            TooLarge: without a limit there are more than 1,000.
        """
        spec = self._spec
        query = find_query(spec, "find", where, order_by, into, limit, offset)
        if limit == 0:
            return []
        items = await self._executor.read("find", spec.name, self._operations.find, query)
        if limit is None:
            unasked_limit(items, "find", spec.name)
        return items

    @overload
    async def page(
        self,
        *where: Filter,
        order_by: OrderBy = None,
        limit: int = 50,
        after: str | None = None,
        total: bool = False,
    ) -> Page[E]: ...

    @overload
    async def page(
        self,
        *where: Filter,
        order_by: OrderBy = None,
        limit: int = 50,
        after: str | None = None,
        total: bool = False,
        into: Into[E, V],
    ) -> Page[V]: ...

    async def page(
        self,
        *where: Filter,
        order_by: OrderBy = None,
        limit: int = 50,
        after: str | None = None,
        total: bool = False,
        into: Any = None,
    ) -> Page[Any]:
        """Return at most *limit* entities after the cursor *after*, in a total order.

        The last page has `next_cursor=None`; an empty result is a page, not an error. A row whose sort key changes
        between two pages may repeat or be missed; all others appear exactly once.

        Args:
            limit: 1 to 10,000.
            after: the `next_cursor` of the page before, with the same filters and order.
            total: also count all that the filters take, of the same instant; this reads them all.

        Raises:
            InvalidCursor: the token was made by another query, or is damaged.
        """
        spec = self._spec
        query = page_query(spec, self._cursors, "page", where, order_by, into, limit, after, total)
        rows = await self._executor.read("page", spec.name, self._operations.page, query)
        cursor = (
            None if rows.last is None else self._cursors.encode(spec, query.where, query.order, rows.last)
        )
        return Page(rows.items, cursor, rows.total)

    @overload
    def iterate(self, *where: Filter, order_by: OrderBy = None, batch: int = 1000) -> AsyncIterator[E]: ...

    @overload
    def iterate(
        self, *where: Filter, order_by: OrderBy = None, batch: int = 1000, into: Into[E, V]
    ) -> AsyncIterator[V]: ...

    async def iterate(
        self, *where: Filter, order_by: OrderBy = None, batch: int = 1000, into: Any = None
    ) -> AsyncIterator[Any]:
        """Yield all entities in a total order, reading *batch* (1 to 10,000) at a time.

        No connection is held between two batches. A row that nobody touches meanwhile appears exactly once; inside a
        transaction all rows are the snapshot's.
        """
        spec = self._spec
        check_limit(batch, "iterate", spec.name, least=1)
        query = page_query(spec, self._cursors, "iterate", where, order_by, into, batch, None, False)
        while True:
            rows = await self._executor.read("iterate", spec.name, self._operations.page, query)
            for item in rows.items:
                yield item
            if rows.last is None:
                return
            query = Find(query.read, query.where, query.order, batch, after=rows.last, page=True)

    async def count(self, *where: Filter) -> int:
        """Return how many entities there are for which all filters hold."""
        spec = self._spec
        query = Count(spec, filter_of(spec, where, "count"))
        return await self._executor.read("count", spec.name, self._operations.count, query)

    async def exists(self, *where: Filter) -> bool:
        """Return whether there is an entity for which all filters hold."""
        spec = self._spec
        query = Exists(spec, filter_of(spec, where, "exists"))
        return await self._executor.read("exists", spec.name, self._operations.exists, query)

    async def group(
        self,
        group: Grouping[E, V],
        *where: Filter,
        having: Filter | None = None,
        order_by: OrderBy = None,
        limit: int | None = None,
    ) -> list[V]:
        """Return the groups of the entities that the filters take, computed by the store.

        Ordered by *order_by*, ties by all keys, ascending, nulls first. A group without keys is exactly one row, even
        over nothing.

        Raises:
            TooLarge: without a limit there are more than 1,000 groups.
        """
        spec = self._spec
        query = group_query(spec, group, where, having, order_by, limit)
        if limit == 0:
            return []
        items: list[V] = await self._executor.read("group", spec.name, self._operations.group, query)
        if limit is None:
            unasked_limit(items, "group", spec.name)
        return items

    def explain(self) -> AsyncExplainer:
        """Return the same read verbs, each of which returns the `Plan` instead of the result."""
        return AsyncExplainer(self._spec, self._operations, self._executor, self._cursors)
