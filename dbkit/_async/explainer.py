"""The read verbs once more, each giving the store's plan instead of the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..building import canonical_id, filter_of, find_query, group_query, page_query
from ..page import Cursors
from ..query import Compare, Count, Exists, Filter, Find, Order, Path, Reading
from ..spec import EntitySpec
from ..statement import Plan
from .backend import AsyncOperations
from .executor import AsyncExecutor

if TYPE_CHECKING:
    from ..fields import OrderBy

__all__ = ["AsyncExplainer"]


class AsyncExplainer:
    """What each read verb of a store would send, and what the server's planner makes of it.

    Nothing is returned of the rows; some servers run the statement to count what it examines.
    """

    def __init__(
        self, spec: EntitySpec, operations: AsyncOperations, executor: AsyncExecutor, cursors: Cursors
    ) -> None:
        self._spec = spec
        self._operations = operations
        self._executor = executor
        self._cursors = cursors

    async def _plan(self, query: Reading) -> Plan:
        return await self._executor.read("explain", self._spec.name, self._operations.explain, query)

    async def get(self, id: Any, *, into: Any = None) -> Plan:
        """Explain `get`."""
        spec = self._spec
        by_id = Path.of(spec, spec.id)
        found = find_query(spec, "get", (), None, into, 1, None)
        where = Compare(by_id, "eq", canonical_id(spec, id, "get"))
        return await self._plan(Find(found.read, where, (Order(by_id),), 1))

    async def find_one(self, *where: Filter, order_by: OrderBy = None, into: Any = None) -> Plan:
        """Explain `find_one`."""
        return await self._plan(find_query(self._spec, "find_one", where, order_by, into, 1, None))

    async def find(
        self,
        *where: Filter,
        order_by: OrderBy = None,
        limit: int | None = None,
        offset: int | None = None,
        into: Any = None,
    ) -> Plan:
        """Explain `find`."""
        return await self._plan(find_query(self._spec, "find", where, order_by, into, limit, offset))

    async def page(
        self,
        *where: Filter,
        order_by: OrderBy = None,
        limit: int = 50,
        after: str | None = None,
        total: bool = False,
        into: Any = None,
    ) -> Plan:
        """Explain `page`."""
        query = page_query(self._spec, self._cursors, "page", where, order_by, into, limit, after, total)
        return await self._plan(query)

    async def count(self, *where: Filter) -> Plan:
        """Explain `count`."""
        return await self._plan(Count(self._spec, filter_of(self._spec, where, "count")))

    async def exists(self, *where: Filter) -> Plan:
        """Explain `exists`."""
        return await self._plan(Exists(self._spec, filter_of(self._spec, where, "exists")))

    async def group(
        self,
        group: type[Any],
        *where: Filter,
        having: Filter | None = None,
        order_by: OrderBy = None,
        limit: int | None = None,
    ) -> Plan:
        """Explain `group`."""
        return await self._plan(group_query(self._spec, group, where, having, order_by, limit))
