"""dbkit's stores on the one connection that a migrator holds."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from dbkit._sync.executor import Autocommit, Executor, InTransaction
from dbkit._sync.pool import Pool
from dbkit._sync.store import Store
from dbkit.entity import spec_of
from dbkit.errors import ConfigurationError, DbkitError
from dbkit.page import Cursors
from dbkit.spec import EntitySpec, Schema

from .._sync.backend import SqlBackend, SqlTransaction
from .._sync.connection import Connection
from .refusals import in_a_migration

if TYPE_CHECKING:
    from dbkit.entity import Record

__all__ = ["HeldStores", "OnePool"]

E = TypeVar("E", bound="Record[Any]")
C = TypeVar("C", bound=Connection)
P = ParamSpec("P")
R = TypeVar("R")


class OnePool(Pool[C]):
    """A pool of the one connection that is held; it stays the holder's."""

    def __init__(self, connection: C) -> None:
        def connect() -> C:
            return connection

        super().__init__(1, inf, connect, lambda _: None)
        self._connection = connection

    def acquire(self) -> C:
        return self._connection

    def release(self, connection: C) -> None:
        pass

    def discard(self, connection: C) -> None:
        pass

    def clear_idle(self) -> None:
        pass


class _HeldTransaction(SqlTransaction[C]):
    """The migrator's open transaction, as the stores see it: only the migrator ends it."""

    def __init__(self, backend: SqlBackend[C], connection: C, doom: Callable[[], None]) -> None:
        super().__init__(backend, connection)
        self._doom = doom

    def commit(self) -> None:
        pass

    def rollback(self) -> None:
        self._doom()


class _Unhurried(InTransaction):
    """A migration takes as long as it takes."""

    def __init__(self, backend: Any, transaction: Any, before: Callable[[], None]) -> None:
        super().__init__(backend, transaction, read_only=False)
        self._deadline = inf
        self._before = before

    def read(
        self, operation: str, entity: str | None, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        try:
            return super().read(operation, entity, call, *args, **kwargs)
        except DbkitError as error:
            in_a_migration(error)
            raise

    def write(
        self, operation: str, entity: str | None, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        self._before()
        try:
            return super().write(operation, entity, call, *args, **kwargs)
        except DbkitError as error:
            in_a_migration(error)
            raise


class HeldStores(Generic[C]):
    """The stores of one schema, in the open transaction, or in autocommit where none is open."""

    def __init__(
        self,
        backend: SqlBackend[C],
        connection: C,
        schema: Schema,
        *,
        doom: Callable[[], None] | None,
        before: Callable[[EntitySpec], None],
        before_write: Callable[[], None],
    ) -> None:
        self._schema = schema
        self._before = before
        self._executor: Executor
        self._operations: Any
        if doom is None:
            self._operations, self._executor = backend, Autocommit(cast("Any", backend))
        else:
            self._operations = _HeldTransaction(backend, connection, doom)
            self._executor = _Unhurried(backend, self._operations, before_write)
        self._cursors = Cursors(None)

    def store(self, entity: type[E]) -> Store[E]:
        """Return the store of *entity*."""
        spec = self._known(entity)
        self._before(spec)
        return Store(spec, self._operations, self._executor, self._cursors)

    def counts(self, *entities: type[Any]) -> list[int]:
        """Return how many rows each of *entities* has."""
        specs = [self._known(entity) for entity in entities]
        return self._executor.read("counts", None, self._operations.counts, specs) if specs else []

    def _known(self, entity: type[Any]) -> EntitySpec:
        spec = spec_of(entity)
        if spec not in self._schema:
            raise ConfigurationError(f"{spec.name} is not among these stores' entities", entity=spec.name)
        return spec
