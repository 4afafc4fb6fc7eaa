"""Doing what a migration asks for, keeping note of how far it came where the step does not commit as a whole."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from time import sleep
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from .._sync.store import Store
from ..entity import spec_of
from ..errors import Conflict, InvalidInput, MigrationError, NotFound
from ..fields import FieldRef
from ..options import LOCK_WAIT_S
from ..query import Change, Filter, Path
from ..retry import pauses
from ..spec import EntitySpec, Schema
from ..values import own_validator
from .arguments import schema_of
from .folder import Direction
from .operations import Operation
from .scripts import Script
from .state import Progress, State
from .store import MigrationStore
from .words import words_of

if TYPE_CHECKING:
    from ..entity import Record

__all__ = ["Event", "Notify", "Running", "Stopped", "check_stop"]

E = TypeVar("E", bound="Record[Any]")


@dataclass(frozen=True, slots=True)
class Event:
    """What just happened, for those who watch."""

    stem: str
    direction: Direction
    kind: Literal["begin", "operation", "batch", "end"]
    words: str
    rows: int = 0


Notify = Callable[[Event], None]


class Stopped(BaseException):
    """Somebody asked the migrator to stop; no `Exception`, so that a migration's own handlers let it pass."""


def check_stop(stop: threading.Event) -> None:
    """Raise `Stopped` where somebody asked for it."""
    if stop.is_set():
        raise Stopped


class Running:
    """The runner that does it.

    Attributes:
        state: as it is stored; a step that is no transaction moves it on.
        rows: how many rows were rewritten so far.
        has_sent: whether anything was sent that may have changed the database.
    """

    def __init__(
        self,
        store: MigrationStore,
        script: Script,
        state: State,
        stop: threading.Event,
        notify: Notify | None,
    ) -> None:
        self.state = state
        self.rows = 0
        progress = state.progress
        # An earlier run of this step has, where it goes on.
        self.has_sent = (
            not script.is_transactional
            and progress is not None
            and (progress.operations > 0 or progress.step > 0 or progress.after is not None)
        )
        self._store = store
        self._script = script
        self._stop = stop
        self._notify = notify
        self._data_steps = 0
        self._operations = 0
        self._loop: Generator[list[Any], None, None] | None = None
        self._was_left = False

    # -- schema --------------------------------------------------------------------------------------------------------

    def apply(self, operation: Operation) -> int:
        """Do a schema operation; return how many rows it rewrote."""
        # Where a batch is a transaction of its own it could not be done; nor shall it be elsewhere.
        self._check_alone("a schema operation")
        if self._was_done():
            return 0
        self.has_sent = True
        rows = self._store.apply(operation)
        self._note_done()
        self._tell("operation", words_of(operation), rows)
        return rows

    def sql(self, text: str) -> int:
        """Run SQL, statement by statement, so that a stop comes between two."""
        rows = 0
        for statement in self._store.statements(text):
            self._check()
            if self._was_done():
                continue
            self.has_sent = True
            rows = self._store.sql(statement)
            self._note_done()
            self._tell("operation", "SQL", rows)
        return rows

    def command(self, command: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run a MongoDB command; one that was done before a crash is not sent again, and has an empty reply."""
        self._check()
        if self._was_done():
            return {}
        self.has_sent = True
        reply = self._store.command(command)
        self._note_done()
        self._tell("operation", next(iter(command), "command"))
        return reply

    def _was_done(self) -> bool:
        """Count the operation that begins; return whether an earlier run of this step has done it."""
        if not self._counts:
            return False
        self._operations += 1
        progress = self.state.progress
        return progress is not None and self._operations <= progress.operations

    def _note_done(self) -> None:
        progress = self.state.progress
        if self._counts and progress is not None:
            progress = replace(progress, operations=self._operations)
            self.state = self.save(self.state.changed(progress=progress))

    @property
    def _counts(self) -> bool:
        # In a loop over batches the note is the batch's.
        return not self._script.is_transactional and self._loop is None

    # -- data ----------------------------------------------------------------------------------------------------------

    def store(self, entity: type[E]) -> Store[E]:
        """Return the store of *entity*; inside a batch it is of the batch's transaction."""
        check_stop(self._stop)
        # What a store is used for is not seen here.
        self.has_sent = True
        return self._store.stores(self._schema(spec_of(entity))).store(entity)

    def batches(self, entity: type[E], where: tuple[Filter, ...], size: int) -> Iterator[list[E]]:
        """Yield an entity's rows in batches, each committed with the note of how far it came."""
        self._check_alone()
        self._loop = self._batches(entity, where, size)
        return self._loop

    def _batches(
        self, entity: type[E], where: tuple[Filter, ...], size: int
    ) -> Generator[list[E], None, None]:
        data = _DataStep(self)
        if not data.is_done:
            spec = spec_of(entity)
            schema = self._schema(spec)
            after = data.after
            while True:
                check_stop(self._stop)
                with self._store.batch(schema) as stores:
                    rows = _next_rows(stores.store(entity), spec, where, after, size)
                    if rows:
                        self.has_sent = True
                        try:
                            yield rows
                        except GeneratorExit:
                            self._was_left = True
                            raise
                        after = rows[-1].id
                    is_last = len(rows) < size
                    noted = data.note(None if is_last else after, is_done=is_last)
                self.state = noted
                if rows:
                    self._tell("batch", f"{spec.name}: {len(rows)} rows", len(rows))
                if is_last:
                    break
        self._loop = None

    def update_each(
        self, entity: type[E], function: Callable[[E], E | None], where: tuple[Filter, ...], size: int
    ) -> int:
        """Write what *function* makes of each row; return how many changed."""
        self._check_alone()
        data = _DataStep(self)
        spec = spec_of(entity)
        schema = self._schema(spec)
        after, total = data.after, 0

        def one_batch() -> tuple[int, bool, Any]:
            with self._store.batch(schema) as stores:
                store = stores.store(entity)
                rows = _next_rows(store, spec, where, after, size)
                count = 0
                for row in rows:
                    changes = _changes(spec, row, function(row))
                    self.has_sent = self.has_sent or bool(changes)
                    count += _write(store, row, changes)
                last = rows[-1].id if rows else None
                is_last = len(rows) < size
                noted = data.note(None if is_last else last, is_done=is_last)
            self.state = noted
            return count, is_last, last

        is_last = data.is_done
        while not is_last:
            check_stop(self._stop)
            count, is_last, after = self._again_on_conflict(one_batch)
            total += count
            self._tell("batch", f"{spec.name}: {count} rows", count)
        return total

    def once(self, work: Callable[[], object]) -> None:
        """Run *work* and commit it with the note that it is done."""
        self._check_alone()
        data = _DataStep(self)
        if data.is_done:
            return
        self.has_sent = True
        own = self._script.entities
        with self._store.batch(schema_of(own[0], own[1:]) if own else Schema(())):
            work()
            noted = data.note(None, is_done=True)
        self.state = noted
        self._tell("batch", "once")

    def _again_on_conflict(self, batch: Callable[[], tuple[int, bool, Any]]) -> tuple[int, bool, Any]:
        # Inside the step's own transaction a conflict is the whole step's.
        waits = iter(()) if self._script.is_transactional else pauses(LOCK_WAIT_S)
        while True:
            try:
                return batch()
            except Conflict:
                pause = next(waits, None)
                if pause is None:
                    raise
            sleep(pause)

    # -- the end -------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Check that nothing was left half done."""
        if self._was_left or self._loop is not None:
            raise MigrationError(
                f"{self._script.stem}: a loop over m.batches was left before its end",
                hint="let it run to its end; give it filters for what it shall leave out",
            )

    def close(self) -> None:
        """Roll back a batch that an error left open."""
        if self._loop is not None:
            self._loop.close()
            self._loop = None

    def take_step(self) -> int:
        """Return the number of the data step that begins."""
        number = self._data_steps
        self._data_steps += 1
        return number

    @property
    def script(self) -> Script:
        return self._script

    def save(self, state: State) -> State:
        """Store *state*, inside the batch that is open; it is true once that has committed."""
        self._store.save(state)
        return state

    def _check(self) -> None:
        check_stop(self._stop)
        if self._was_left:
            self.finish()

    def _check_alone(self, what: str = "a data step") -> None:
        self._check()
        if self._loop is not None:
            raise MigrationError(
                f"{self._script.stem}: {what} begins inside a loop over m.batches, or behind one that was left"
            )

    def _schema(self, entity: EntitySpec) -> Schema:
        return schema_of(entity, self._script.entities)

    def _tell(self, kind: Literal["operation", "batch"], words: str, rows: int = 0) -> None:
        self.rows += rows
        if self._notify is not None:
            self._notify(Event(self._script.stem, self._script.direction, kind, words, rows))


class _DataStep:
    """One data step of a migration: where it goes on, and the note of how far it came."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._number = running.take_step()
        progress = running.state.progress
        self.is_done = progress is not None and self._number < progress.step
        is_this = progress is not None and self._number == progress.step
        self.after: Any = progress.after if progress is not None and is_this else None

    def note(self, after: Any, *, is_done: bool) -> State:
        """Store how far the step came; where the whole commits at once there is nothing to note."""
        running = self._running
        script = running.script
        if script.is_transactional:
            return running.state
        step = self._number + 1 if is_done else self._number
        if after is not None and not isinstance(after, int):
            after = str(after)
        before = running.state.progress
        done = 0 if before is None else before.operations
        progress = Progress(script.version, script.direction, script.checksum, step, after, done)
        return running.save(running.state.changed(progress=progress))


def _next_rows(
    store: Store[E], spec: EntitySpec, where: tuple[Filter, ...], after: Any, size: int
) -> list[E]:
    id: FieldRef[Any] = FieldRef(Path.of(spec, spec.id))
    if after is not None:
        # From a note it comes as JSON has it.
        id_type = own_validator(spec.id.type.read_schema({}))
        where = (*where, id > id_type.validate_python(after))
    return store.find(*where, order_by=id, limit=size)


def _changes(spec: EntitySpec, before: Any, after: Any) -> list[Change]:
    """Return what sets the fields in which *after* differs."""
    if after is None:
        return []
    if not isinstance(after, spec.model):
        raise InvalidInput(
            f"update_each's function gives a {type(after).__name__}",
            entity=spec.name,
            hint=f"it returns a changed copy, {spec.name.lower()}.evolve(…), or None to leave the row as it is",
        )
    changes: list[Change] = []
    for field in spec.fields:
        value = getattr(after, field.name)
        if value != getattr(before, field.name):
            changes.append(FieldRef[Any](Path.of(spec, field)).set(value))
    return changes


def _write(store: Store[Any], before: Any, changes: list[Change]) -> int:
    """Write the changes of a row; return 1 where there are any."""
    if not changes:
        return 0
    try:
        store.update(before.id, *changes)
    except NotFound:
        return 0  # somebody deleted it meanwhile
    return 1
