"""What several rules do: fill a store, and compare what filters and orders take with what is expected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dbkit import Filter, Unsupported
from dbkit._async.store import AsyncStore

__all__ = ["AsyncLabelled", "AsyncPager", "fill"]


async def fill(store: AsyncStore[Any], entities: Iterable[Any]) -> int:
    """Create the entities, at once where the store can, else one by one, and return how many."""
    rows = list(entities)
    try:
        return await store.create_many(rows)
    except Unsupported:
        for row in rows:
            await store.create(row)
        return len(rows)


class AsyncLabelled:
    """Entities with labels, so that a rule can say which rows a filter takes: `"a c"`."""

    def __init__(self, store: AsyncStore[Any], entities: dict[str, Any]) -> None:
        self.store = store
        self.entities = entities
        self._labels = {entity.id: label for label, entity in entities.items()}

    @classmethod
    async def make(cls, store: AsyncStore[Any], **entities: Any) -> AsyncLabelled:
        """Create the entities, all at once, and remember their labels."""
        await fill(store, entities.values())
        return cls(store, entities)

    async def found(self, *where: Filter, **options: Any) -> str:
        """Return the labels of the rows that the filters take: as *options* order them, else as they were made."""
        found = [self._labels[entity.id] for entity in await self.store.find(*where, **options)]
        return " ".join(found if "order_by" in options else sorted(found, key=list(self.entities).index))

    async def takes(self, where: Filter, expected: str) -> None:
        """Assert that *where* takes exactly the rows in *expected*, and `~where` exactly the others."""
        wanted = expected.split()
        others = " ".join(label for label in self.entities if label not in wanted)
        assert await self.found(where) == expected, (
            f"{where} took {await self.found(where)!r}, not {expected!r}"
        )
        negated = await self.found(~where)
        assert negated == others, f"~({where}) took {negated!r}, not {others!r}"
        assert await self.store.count(where) == len(wanted), f"count({where})"
        assert await self.store.exists(where) is bool(wanted), f"exists({where})"


class AsyncPager:
    """Pages to the end."""

    def __init__(self, store: AsyncStore[Any]) -> None:
        self.store = store

    async def read(self, *where: Filter, limit: int, order_by: Any = None, into: Any = None) -> list[Any]:
        """Return all rows, page by page; every page but the last is full, and only the last has no cursor."""
        items: list[Any] = []
        after: str | None = None
        while True:
            page = await self.store.page(*where, order_by=order_by, limit=limit, after=after, into=into)
            items += page.items
            if page.next_cursor is None:
                assert len(page.items) <= limit
                return items
            assert len(page.items) == limit, "a page that is not the last is full"
            after = page.next_cursor

    async def check(
        self,
        expected: Sequence[Any],
        *where: Filter,
        limits: Sequence[int] = (1, 3, 50),
        order_by: Any = None,
    ) -> None:
        """Assert that `find`, pages of each of *limits*, and `iterate` give the ids *expected*, in this order."""
        found = await self.store.find(*where, order_by=order_by, limit=10_000)
        assert [e.id for e in found] == list(expected), f"find in the order {order_by}"
        for limit in limits:
            paged = await self.read(*where, limit=limit, order_by=order_by)
            assert [e.id for e in paged] == list(expected), f"pages of {limit} in the order {order_by}"
        iterated = [e.id async for e in self.store.iterate(*where, order_by=order_by, batch=limits[-1])]
        assert iterated == list(expected), f"iterate in the order {order_by}"
