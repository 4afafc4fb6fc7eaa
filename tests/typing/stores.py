"""A store's typing, as the generic store has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar, overload
from uuid import UUID

from dbkit.entity import Record
from dbkit.fields import Change, OrderBy
from dbkit.query import Filter
from dbkit.views import Grouping, Into

E = TypeVar("E", bound=Record[Any])
EU = TypeVar("EU", bound=Record[UUID])
ES = TypeVar("ES", bound=Record[str])
EI = TypeVar("EI", bound=Record[int])
V = TypeVar("V")


class Store(Protocol[E]):
    @overload
    def get(self: Store[EU], id: UUID, *, into: None = None) -> EU | None: ...
    @overload
    def get(self: Store[ES], id: str, *, into: None = None) -> ES | None: ...
    @overload
    def get(self: Store[EI], id: int, *, into: None = None) -> EI | None: ...
    @overload
    def get(self: Store[EU], id: UUID, *, into: Into[EU, V]) -> V | None: ...
    @overload
    def get(self: Store[ES], id: str, *, into: Into[ES, V]) -> V | None: ...
    @overload
    def get(self: Store[EI], id: int, *, into: Into[EI, V]) -> V | None: ...
    def get(self, id: Any, *, into: Any = None) -> Any: ...
    @overload
    def find(self, *where: Filter, order_by: OrderBy = None, limit: int | None = None) -> list[E]: ...
    @overload
    def find(
        self, *where: Filter, order_by: OrderBy = None, limit: int | None = None, into: Into[E, V]
    ) -> list[V]: ...
    def find(
        self, *where: Filter, order_by: OrderBy = None, limit: int | None = None, into: Any = None
    ) -> Any: ...
    def group(
        self, group: Grouping[E, V], *where: Filter, having: Filter | None = None, order_by: OrderBy = None
    ) -> list[V]: ...
    def create(self, entity: E) -> E: ...
    def update_many(self, *where: Filter, changes: Change | Sequence[Change]) -> int: ...


class Stores(Protocol):
    def store(self, entity: type[E], /) -> Store[E]: ...
