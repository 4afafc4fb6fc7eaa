"""The verbs: golang-migrate's, with its meanings, but steps beyond the end apply nothing.

Where a step commits as a whole its state commits with it: failed or killed, it leaves the version before, clean. Any other
step stores `dirty` first, keeps note of how far its data came, and stores the new version last.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self

from ..answers import IN_MIGRATIONS
from ..connect import options_of
from ..describe import attribute
from ..entity import spec_of
from ..errors import (
    ConfigurationError,
    DbkitError,
    InvalidInput,
    Locked,
    MigrationError,
    MigrationFailed,
    OutcomeUnknown,
    Unsupported,
)
from ..registry import plugin
from ..spec import Schema
from ..statement import Hook, ServerInfo
from ..url import parse_url
from ..values import utc_now
from . import history
from .diff import Ask, Draft, diff
from .folder import Direction, Folder
from .history import Entry, Move
from .migration import Migration
from .planning import PlannedStep, plan
from .running import Event, Notify, Running, Stopped, check_stop
from .scripts import Script, load
from .state import Applied, Progress, State
from .store import MigrationStore

__all__ = ["Migrator", "Ran", "Version"]

Decide = Callable[[Folder, State], list[Move]]


@dataclass(frozen=True, slots=True)
class Version:
    """Where a database stands."""

    number: int
    """The last version that is whole; 0 before the first."""
    dirty: bool
    """Whether a step stopped half-way between *number* and *target*."""
    target: int
    """*number*, unless it is dirty."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One migration that was run."""

    version: int
    name: str
    stem: str
    direction: Direction
    duration_ms: int
    rows: int
    """How many rows or documents it rewrote, as far as the store says."""


class _Moved(Exception):
    """Another migrator was faster, where the lock is the step's own transaction; never leaves this module."""


class Migrator:
    """One database, one folder of migrations. Use it as a context manager, or call `open()` and `close()`.

    Nothing is made in the database before a migration is run or a version forced. A migrator is for one thread; `stop` is
    for any.

    Args:
        url: the database, as `connect` takes it.
        path: the folder.
        entities: what `diff` compares unless it is told otherwise.
        lock_timeout_s: how long to wait for another migrator.
        on_event: is told what happens, as it happens.

    Raises:
        Unsupported: the store has no schema to migrate.
    """

    def __init__(
        self,
        url: str,
        path: str | Path,
        *,
        entities: Iterable[type[Any]] = (),
        lock_timeout_s: float = 60.0,
        on_event: Notify | None = None,
    ) -> None:
        self.url = parse_url(url)
        self.path = Path(path)
        self.entities = tuple(entities)
        self._lock_timeout_s = lock_timeout_s
        self._notify = on_event
        self._stop = threading.Event()
        self._is_open = False
        chosen = plugin(self.url.backend)
        make = getattr(chosen, "migration_store", None)
        if make is None:
            raise Unsupported(
                f"{self.url.backend}:// has no migrations",
                backend=self.url.backend,
                hint="db.create_schema() makes what the entities declare",
            )
        self._store: MigrationStore = make(self.url, options_of(self.url, chosen))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url} {self.path.name!r}>"

    def open(self) -> Self:
        """Connect; `with` does it by itself."""
        if not self._is_open:
            self._store.open()
            self._is_open = True
        return self

    def close(self) -> None:
        """Close the connection. A second call does nothing."""
        if self._is_open:
            self._is_open = False
            self._store.close()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    def backend(self) -> str:
        """The store's name: `"sqlite"`, `"postgresql"`, `"mongodb"`."""
        return self._store.name

    @property
    def language(self) -> str:
        """`"sql"` or `"mongodb"`."""
        return self._store.language

    @property
    def is_transactional(self) -> bool:
        """Whether a step commits as a whole, unless its file says otherwise."""
        return self._store.is_transactional

    @property
    def server(self) -> ServerInfo:
        """Who answers."""
        return self._opened().server

    @property
    def folder(self) -> Folder:
        """The folder as it is now."""
        return Folder.read(self.path)

    def on_statement(self, hook: Hook) -> Hook:
        """Call *hook* after each statement with its text and time, never with its values; return *hook*."""
        self._store.hook = hook
        return hook

    def stop(self) -> None:
        """End the running verb before its next statement, or the next one at its beginning.

        For other threads and signal handlers.
        """
        self._stop.set()

    def forget_stop(self) -> None:
        """Take back a `stop` that came too late."""
        self._stop.clear()

    def _opened(self) -> MigrationStore:
        if not self._is_open:
            raise ConfigurationError(
                "the migrator is not open",
                backend=self._store.name,
                hint="use it inside its with block, or call open() first",
            )
        return self._store

    # -- verbs ---------------------------------------------------------------------------------------------------------

    def up(self) -> list[Ran]:
        """Apply all that is pending; return what was run.

        Raises:
            Dirty: a step stopped half-way, earlier or now.
            MigrationFailed: a migration failed and was rolled back; those before it stay applied.
            EditedMigration, MissingMigration, OutOfOrder, BadMigration: refused; nothing was applied.
            Locked: another migrator ran all the time.
        """
        return self._run(history.pending)

    def down(self) -> list[Ran]:
        """Undo all that was applied; return what was run. Errors are those of `up`."""
        return self.goto(0)

    def steps(self, count: int) -> list[Ran]:
        """Apply the next *count* migrations, or undo the last ones where it is negative.

        Raises:
            NoSuchVersion: there are fewer; nothing was done.
        """
        _check_int(count, "steps")
        return self._run(lambda folder, state: history.steps(folder, state, count))

    def goto(self, version: int) -> list[Ran]:
        """Apply or undo what lies between here and *version*, which is applied afterwards; 0 undoes all.

        Raises:
            NoSuchVersion: no file has it; nothing was done.
        """
        _check_int(version, "goto")
        return self._run(lambda folder, state: history.goto(folder, state, version))

    def version(self) -> Version:
        """Return where the database stands; also while another migrator runs."""
        self._opened()
        state = self._state()
        return Version(state.version, state.dirty, state.target)

    def force(self, version: int) -> Version:
        """Say that *version* is reached, and clean; nothing is run. 0: nothing is applied.

        The files up to it count as applied as they are now. Where the version stays, the note of how far a data step came
        stays too, so that `up` goes on behind it.

        Raises:
            NoSuchVersion: no file has it.
        """
        _check_int(version, "force")
        store = self._opened()
        folder = self.folder
        with store.lock(self._lock_timeout_s), store.transaction():
            state = history.forced(folder, self._state(), version, utc_now(), store.name, store.language)
            store.save(state)
        return Version(state.version, state.dirty, state.target)

    def history(self) -> list[Entry]:
        """Return each migration of the folder and of the database, in order, and where it stands."""
        store = self._opened()
        return history.entries(self.folder, self._state(), store.name, store.language)

    def plan(
        self, *, steps: int | None = None, version: int | None = None, down: bool = False
    ) -> list[PlannedStep]:
        """Return what would run, nothing being written: all that is pending, unless told otherwise.

        Of a dirty database: what would run after `force` to the version that is whole.

        Args:
            steps: as `steps(…)` would.
            version: as `goto(…)` would.
            down: as `down()` would.
        """
        if (steps is not None) + (version is not None) + down > 1:
            raise InvalidInput("plan takes one of steps=, version= and down=", operation="plan")
        store = self._opened()
        folder, state = self.folder, self._state()
        history.check(folder, state, store.name, store.language)
        if steps is not None:
            moves = history.steps(folder, state, steps)
        elif version is not None or down:
            moves = history.goto(folder, state, version or 0)
        else:
            moves = history.pending(folder, state)
        return plan(store, [load(move.file, move.direction, store) for move in moves], state.progress)

    def diff(
        self,
        entities: Iterable[type[Any]] | None = None,
        *,
        renames: Mapping[str, str] | None = None,
        ask: Ask | None = None,
        allow_loss: bool = False,
    ) -> Draft:
        """Return the migration that closes the difference between the database and the entities; nothing is written.

        `create(path, name, source=draft.source)` makes the file.

        Args:
            entities: what is compared; unless given, what the migrator was given.
            renames: new stored names to old ones: `{"users.name": "users.fullname", "users": "people"}`.
            ask: is asked about each field that may have had another name; nothing is guessed.
            allow_loss: whether the migration may throw data away.

        Raises:
            LosesData: it would, and may not; the error has the draft.
            InvalidInput: *renames* names what is not missing, or not there.
        """
        store = self._opened()
        classes = self.entities if entities is None else tuple(entities)
        if not classes:
            raise ConfigurationError("diff needs entities", hint="Migrator(url, path, entities=[User, Post])")
        schema = Schema(dict.fromkeys(map(spec_of, classes)))
        return diff(store, schema, renames=renames, ask=ask, allow_loss=allow_loss)

    # -- running -------------------------------------------------------------------------------------------------------

    def _state(self) -> State:
        return self._store.state() or State()

    def _run(self, decide: Decide) -> list[Ran]:
        try:
            return self._run_all(decide)
        finally:
            self._stop.clear()

    def _run_all(self, decide: Decide) -> list[Ran]:
        store = self._opened()
        folder = self.folder
        ran: list[Ran] = []
        with store.lock(self._lock_timeout_s):
            state = self._state()
            scripts = self._scripts(folder, state, decide)
            while scripts:
                script, leads_to = scripts[0]
                self._tell(script, "begin", f"{script.stem} {script.direction}")
                began = monotonic()
                try:
                    check_stop(self._stop)
                    step = self._whole if script.is_transactional else self._piecemeal
                    state, rows = step(folder, script, state, leads_to, began)
                except _Moved:
                    state = self._state()
                    # What was decided holds, once a part of it is done: the rest leads where it led.
                    decided = decide if not ran else _towards(scripts[-1][1], ran[0].direction)
                    scripts = self._scripts(folder, state, decided)
                    continue
                except Stopped:
                    raise MigrationError(f"stopped before {script.stem}", backend=store.name) from None
                ran.append(_ran(script, began, rows))
                self._tell(script, "end", f"{script.stem} {script.direction}", rows)
                del scripts[0]
        return ran

    def _scripts(self, folder: Folder, state: State, decide: Decide) -> list[tuple[Script, int]]:
        """Return what is to be run and where each leads, all of it checked."""
        store = self._store
        history.refuse_dirty(state, folder, store.name)
        history.check(folder, state, store.name, store.language)
        return [(load(move.file, move.direction, store), move.leads_to) for move in decide(folder, state)]

    def _whole(
        self, folder: Folder, script: Script, state: State, leads_to: int, began: float
    ) -> tuple[State, int]:
        """Run a step that commits together with its state."""
        del folder
        store = self._store
        running = Running(store, script, state, self._stop, self._notify)
        has_begun = False
        try:
            with store.transaction():
                # The lock may be the transaction: another migrator may have been here since the state was read.
                if self._state().revision != state.revision:
                    raise _Moved
                has_begun = True
                try:
                    script.run(_migration(store, script, running))
                    running.finish()
                finally:
                    running.close()
                after = _after(state, script, leads_to, began)
                store.save(after)
        except (Locked, OutcomeUnknown):
            raise
        except (Exception, Stopped) as error:
            if isinstance(error, _Moved) or not has_begun:
                raise
            raise self._failed(script, state, error, "rolled back") from _cause(error)
        return after, running.rows

    def _piecemeal(
        self, folder: Folder, script: Script, state: State, leads_to: int, began: float
    ) -> tuple[State, int]:
        """Run a step that does not commit as a whole; every part of it can be run again."""
        store = self._store
        before = state
        progress = state.progress
        wanted = (script.version, script.direction, script.checksum)
        if progress is None or (progress.version, progress.direction, progress.checksum) != wanted:
            progress = Progress(*wanted, step=0)
        state = state.changed(dirty=True, target=leads_to, progress=progress)
        store.save(state)
        running = Running(store, script, state, self._stop, self._notify)
        try:
            try:
                script.run(_migration(store, script, running))
                running.finish()
            finally:
                running.close()
        except Locked:
            raise
        except (Exception, Stopped) as error:  # noqa: BLE001  # each becomes an error of its own
            if not running.has_sent:
                clean = running.state.changed(dirty=False, target=before.version, progress=before.progress)
                store.save(clean)
                raise self._failed(script, before, error, "nothing of it was sent") from _cause(error)
            said = f"{script.stem} stopped half-way {script.direction}: {_said(error, script)}"
            raise history.dirty(state, folder, said, store.name) from _cause(error)
        after = _after(running.state, script, leads_to, began)
        store.save(after)
        return after, running.rows

    def _failed(self, script: Script, state: State, error: BaseException, outcome: str) -> MigrationFailed:
        return MigrationFailed(
            f"{script.stem} failed on its way {script.direction}: {_said(error, script)}",
            backend=self._store.name,
            operation=getattr(error, "operation", None),
            entity=getattr(error, "entity", None),
            field=getattr(error, "field", None),
            hint=f"{outcome}: the database is at version {state.version}, clean",
        )

    def _tell(self, script: Script, kind: Any, words: str, rows: int = 0) -> None:
        if self._notify is not None:
            self._notify(Event(script.stem, script.direction, kind, words, rows))


def _check_int(value: Any, operation: str) -> None:
    if type(value) is not int:
        raise InvalidInput(f"{operation} takes an int", operation=operation)


def _towards(version: int, direction: Direction) -> Decide:
    def decide(folder: Folder, state: State) -> list[Move]:
        is_past = state.version >= version if direction == "up" else state.version <= version
        return [] if is_past else history.goto(folder, state, version)

    return decide


def _migration(store: MigrationStore, script: Script, running: Running) -> Migration:
    return Migration(
        running,
        backend=store.name,
        language=store.language,
        is_transactional=script.is_transactional,
        version=script.version,
        direction=script.direction,
    )


def _after(state: State, script: Script, leads_to: int, began: float) -> State:
    """Return the state after the step."""
    applied = tuple(a for a in state.applied if a.version != script.version)
    if script.direction == "up":
        took = round((monotonic() - began) * 1000)
        made = Applied(script.version, script.file.name, script.checksum, utc_now(), took)
        applied = tuple(sorted((*applied, made), key=lambda a: a.version))
    return state.changed(version=leads_to, target=leads_to, dirty=False, applied=applied, progress=None)


def _ran(script: Script, began: float, rows: int) -> Ran:
    took = round((monotonic() - began) * 1000)
    return Ran(script.version, script.file.name, script.stem, script.direction, took, rows)


def _said(error: BaseException, script: Script) -> str:
    if isinstance(error, DbkitError):
        if error.hint is not None:
            error.hint = IN_MIGRATIONS.get(error.hint, error.hint)
        return str(error)
    if isinstance(error, Stopped):
        return "it was stopped"
    # The migration's own code failed, and its words may hold a stored value.
    line, last = None, ""
    trace, files = error.__traceback__, {str(path) for path in script.file.paths}
    while trace is not None:
        if trace.tb_frame.f_code.co_filename in files:
            line = trace.tb_lineno
        last = trace.tb_frame.f_globals.get("__name__", "")
        trace = trace.tb_next
    said = type(error).__name__ + (f" in line {line}" if line else "")
    # A class that has no such field: these words are dbkit's own, and hold names alone.
    return f"{said}: {error}" if isinstance(error, AttributeError) and last == attribute.__module__ else said


def _cause(error: BaseException) -> BaseException | None:
    return None if isinstance(error, Stopped) else error
