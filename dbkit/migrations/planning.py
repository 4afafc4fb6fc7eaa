"""What a migration would do: its operations as statements, its data steps by how many rows they would touch.

The migration's own function runs, over a runner that only reads: data steps are counted where their collection is there
already, and a loop over `m.batches` has no turns. What cannot be told before it happens is said in words.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .._sync.store import Store
from ..entity import spec_of
from ..errors import DbkitError, InvalidInput
from ..query import Change, Filter
from ..spec import EntitySpec
from .arguments import schema_of
from .folder import Direction
from .migration import Migration
from .operations import CreateCollection, Operation, RenameCollection
from .scripts import Script
from .state import Progress
from .store import MigrationStore, Rendered
from .words import words_of

if TYPE_CHECKING:
    from ..entity import Record

__all__ = ["PlannedPart", "PlannedStep", "plan"]

E = TypeVar("E", bound="Record[Any]")


@dataclass(frozen=True, slots=True)
class PlannedPart:
    """One thing that a migration would do."""

    words: str
    statements: tuple[Rendered, ...] = ()
    """Empty for a data step, and where it cannot be told yet; then the words say why."""
    touches: int | None = None
    """How many rows or documents it would write, where that could be counted."""


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One migration that would run."""

    version: int
    stem: str
    direction: Direction
    is_transactional: bool
    parts: tuple[PlannedPart, ...]
    note: str | None = None
    """What else a reader should know: from where on it cannot be told, say."""

    @property
    def statements(self) -> tuple[Rendered, ...]:
        """All statements, in order."""
        return tuple(statement for part in self.parts for statement in part.statements)


def plan(
    store: MigrationStore, scripts: Iterable[Script], progress: Progress | None = None
) -> list[PlannedStep]:
    """Return what *scripts* would do, one after the other. Nothing is written.

    Args:
        progress: how far a step came that stopped half-way; what it has done is not done again.
    """
    to_come: set[str] = set()
    return [_step(store, script, to_come, _done_of(script, progress)) for script in scripts]


def _done_of(script: Script, progress: Progress | None) -> int:
    """Return how many of the script's operations are done."""
    if progress is None or script.is_transactional:
        return 0
    noted = (progress.version, progress.direction, progress.checksum)
    return progress.operations if noted == (script.version, script.direction, script.checksum) else 0


def _step(store: MigrationStore, script: Script, to_come: set[str], done: int) -> PlannedStep:
    planning = _Planning(store, script, to_come, done)
    m = Migration(
        planning,
        backend=store.name,
        language=store.language,
        is_transactional=script.is_transactional,
        version=script.version,
        direction=script.direction,
    )
    note: str | None = None
    try:
        script.run(m)
    except Exception as error:  # noqa: BLE001  # what reads data that is not there yet may fail in any way
        what = str(error) if isinstance(error, DbkitError) else type(error).__name__
        note = f"the rest cannot be told before it runs: {what}"
    return PlannedStep(
        script.version, script.stem, script.direction, script.is_transactional, tuple(planning.parts), note
    )


class _Planning:
    """The runner that only says."""

    def __init__(self, store: MigrationStore, script: Script, to_come: set[str], done: int) -> None:
        self.parts: list[PlannedPart] = []
        self._left_done = done
        self._store = store
        self._script = script
        self._to_come = to_come
        """Collections that come, or get their name, in a step before: what is there now says nothing of them."""

    def apply(self, operation: Operation) -> int:
        """Render a schema operation."""
        words = words_of(operation)
        if self._is_done():
            self._add(f"{words}: done already")
            return 0
        try:
            rendered = tuple(self._store.render(operation))
        except InvalidInput:
            raise  # it would fail
        except DbkitError as error:
            self._add(f"{words}; its statements cannot be told yet: {error.message}")
        else:
            counts = [r.touches for r in rendered if r.touches is not None]
            self._add(words, rendered, sum(counts) if counts else None)
        if isinstance(operation, CreateCollection | RenameCollection):
            self._to_come.add(operation.entity.stored)
        return 0

    def sql(self, text: str) -> int:
        """Split SQL."""
        left = tuple(Rendered(s) for s in self._store.statements(text) if not self._is_done())
        self._add("run SQL" if left else "run SQL: done already", left)
        return 0

    def command(self, command: Mapping[str, Any]) -> Mapping[str, Any]:
        """Show a command."""
        if self._is_done():
            self._add("run a command: done already")
            return {}
        text = json.dumps(command, default=str, ensure_ascii=False)
        self._add("run a command", (Rendered(text),))
        return {}

    def _is_done(self) -> bool:
        """Count the operation that begins, as `Running` does; return whether an earlier run has done it."""
        is_done = self._left_done > 0
        self._left_done -= is_done
        return is_done

    def store(self, entity: type[E]) -> Store[E]:
        """Return a store that reads, and says what it would write."""
        return cast("Store[E]", _PlannedStore(self, entity))

    def batches(self, entity: type[E], where: tuple[Filter, ...], size: int) -> Iterator[list[E]]:
        """Count the rows; there are no turns."""
        self.touch(entity, where, f"go through {spec_of(entity).stored} in batches of {size:,}")
        return iter(())

    def update_each(
        self, entity: type[E], function: Callable[[E], E | None], where: tuple[Filter, ...], size: int
    ) -> int:
        """Count the rows."""
        del function
        return self.touch(entity, where, f"update each of {spec_of(entity).stored} in batches of {size:,}")

    def once(self, work: Callable[[], object]) -> None:
        """Say what *work* would do."""
        work()

    def real(self, entity: type[E]) -> Store[E]:
        """Return the store that reads what is there."""
        spec = spec_of(entity)
        return self._store.stores(schema_of(spec, self._script.entities)).store(entity)

    def touch(self, entity: type[Any], where: tuple[Filter, ...], words: str) -> int:
        """Add a data step, counted where that can be done; return how many rows it would touch, or 0."""
        count, why = self._count(entity, where)
        self._add(f"{words}; not counted: {why}" if why else words, (), count)
        return count or 0

    def one(self, words: str, count: int = 1) -> None:
        """Add a data step that touches so many rows."""
        self._add(words, (), count)

    def _count(self, entity: type[Any], where: tuple[Filter, ...]) -> tuple[int | None, str | None]:
        spec: EntitySpec = spec_of(entity)
        if spec.stored in self._to_come:
            return None, f"{spec.stored} is not there yet"
        try:
            return self.real(entity).count(*where), None
        except InvalidInput:
            raise
        except DbkitError:
            return None, f"{spec.stored}, or a field of it, is not there yet"

    def _add(self, words: str, rendered: tuple[Rendered, ...] = (), touches: int | None = None) -> None:
        self.parts.append(PlannedPart(words, rendered, touches))


class _PlannedStore:
    """A store whose writes are only said; it reads what is there."""

    def __init__(self, planning: _Planning, entity: type[Any]) -> None:
        self._planning = planning
        self._entity = entity
        self._name = spec_of(entity).stored

    def __getattr__(self, name: str) -> Any:
        return getattr(self._planning.real(self._entity), name)

    def create(self, entity: Any) -> Any:
        """Say so; return *entity*."""
        self._planning.one(f"create one row of {self._name}")
        return entity

    def create_many(self, entities: Iterable[Any], **_options: Any) -> int:
        """Say how many."""
        count = len(list(entities))
        self._planning.one(f"create rows of {self._name}", count)
        return count

    def update(self, id: Any, *_changes: Change, **_options: Any) -> Any:
        """Say so; return the row as it is."""
        self._planning.one(f"update one row of {self._name}")
        return self._planning.real(self._entity).require(id)

    def replace(self, entity: Any) -> Any:
        """Say so; return *entity*."""
        self._planning.one(f"replace one row of {self._name}")
        return entity

    def upsert(self, entity: Any, **_options: Any) -> Any:
        """Say so; return *entity*."""
        self._planning.one(f"create or replace one row of {self._name}")
        return entity

    def delete(self, id: Any, **_options: Any) -> bool:
        """Say so."""
        del id
        self._planning.one(f"delete one row of {self._name}")
        return True

    def update_many(self, *where: Filter, **_options: Any) -> int:
        """Count them."""
        return self._planning.touch(self._entity, where, f"update rows of {self._name}")

    def delete_many(self, *where: Filter, **_options: Any) -> int:
        """Count them."""
        return self._planning.touch(self._entity, where, f"delete rows of {self._name}")

    def claim(self, *where: Filter, **_options: Any) -> list[Any]:
        """Say so."""
        del where
        self._planning.one(f"claim rows of {self._name}", 0)
        return []
