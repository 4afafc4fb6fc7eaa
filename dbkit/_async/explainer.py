"""The read verbs once more, each giving the store's plan instead of the rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..building import (
    canonical_id,
    check_limit,
    filter_of,
    find_query,
    group_query,
    id_output,
    ids_of,
    page_query,
    read_spec,
)
from ..errors import InvalidInput
from ..page import Cursors
from ..query import Count, Exists, Filter, Find, Get, In, Path, Reading
from ..spec import EntitySpec
from ..statement import Plan
from .backend import AsyncOperations
from .executor import AsyncExecutor

if TYPE_CHECKING:
    from ..fields import OrderBy

__all__ = ["AsyncExplainer"]


class AsyncExplainer:
    """What each read verb of a store would send, and what the server's planner makes of it.

    Nothing is returned of the rows. Some servers run the statement to count what it examines, and where children are read
    by a statement of their own it is run, too: how that one looks depends on how many rows there are (where there are none,
    it is shown as for one).
    """

    def __init__(
        self, spec: EntitySpec, operations: AsyncOperations, executor: AsyncExecutor, cursors: Cursors
    ) -> None:
        self._spec = spec
        self._operations = operations
        self._executor = executor
        self._cursors = cursors

    async def _plan(self, query: Reading) -> Plan:
        if getattr(query, "limit", None) == 0:
            raise InvalidInput(
                "limit=0 returns nothing and sends nothing: there is no plan",
                entity=self._spec.name,
                operation="explain",
            )
        return await self._executor.read("explain", self._spec.name, self._operations.explain, query)

    async def get(self, id: Any, *, into: Any = None) -> Plan:
        """Explain `get`."""
        return await self._get("get", id, into)

    async def require(self, id: Any, *, into: Any = None) -> Plan:
        """Explain `require`."""
        return await self._get("require", id, into)

    async def _get(self, operation: str, id: Any, into: Any) -> Plan:
        key = canonical_id(self._spec, id, operation)
        return await self._plan(Get(read_spec(self._spec, into, operation), key))

    async def get_many(self, ids: Iterable[Any], *, into: Any = None) -> Plan:
        """Explain `get_many`."""
        spec = self._spec
        wanted = ids_of(spec, ids)
        read = read_spec(spec, into, "get_many")
        id_output(spec, read)
        return await self._plan(Find(read, In(Path.of(spec, spec.id), tuple(wanted)), ()))

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

    async def iterate(
        self, *where: Filter, order_by: OrderBy = None, batch: int = 1000, into: Any = None
    ) -> Plan:
        """Explain `iterate`: its first batch. The others start after a row, as `page(after=…)` does."""
        spec = self._spec
        check_limit(batch, "iterate", spec.name, least=1)
        return await self._plan(
            page_query(spec, self._cursors, "iterate", where, order_by, into, batch, None, False)
        )

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
