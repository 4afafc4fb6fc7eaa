"""`dbkit migrate …`: one history of schema and data over every store."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DbkitError
from .failures import DIRTY, Misuse, Stop
from .options import Debug, Folder, Json, Url, Yes
from .output import columns, emit, faint, is_terminal, shown
from .settings import Settings

if TYPE_CHECKING:
    from ..migrations import Entry, Event, Migrator, PlannedStep, Ran

__all__ = ["app", "looking", "pending", "running"]

LockTimeout = Annotated[
    float,
    typer.Option("--lock-timeout", metavar="SECONDS", min=0, help="How long to wait for another migrator."),
]
_VERSION = typer.Argument(metavar="VERSION", min=0, help="A migration's number; 0 is before the first.")

app = typer.Typer(
    no_args_is_help=True,
    help="One history of schema and data. Each verb shows what it ran, and exits by 3 where the database is dirty.",
)


@contextmanager
def looking(
    settings: Settings, entities: Iterable[type[Any]] = (), *, may_be_new: bool = False
) -> Generator[Migrator]:
    """Open a migrator that only reads; of a SQLite file that is not there it says so, unless it *may_be_new*."""
    from ..migrations import Migrator
    from .reaching import must_exist

    url = settings.parsed_url
    if not may_be_new:
        must_exist(url)
    with Migrator(settings.url, settings.path, entities=entities) as made:
        yield made


@contextmanager
def running(settings: Settings, lock_timeout_s: float, is_quiet: bool) -> Generator[Migrator]:
    """Open a migrator that works: what it does is shown, and signals end it between two statements.

    Where it fails, what ran before is told all the same.
    """
    from ..migrations import Migrator
    from .progress import watching

    settings.parsed_url  # noqa: B018  # from here on its secrets are hidden
    ended: list[tuple[str, str]] = []
    try:
        with watching(is_quiet) as watch:

            def tell(event: Event) -> None:
                if event.kind == "end":
                    ended.append((event.stem, event.direction))
                if watch is not None:
                    watch(event)

            with (
                Migrator(settings.url, settings.path, lock_timeout_s=lock_timeout_s, on_event=tell) as made,
                _stopped_by_signals(made),
            ):
                yield made
    except DbkitError:
        if not is_quiet:
            for line in columns(ended):
                typer.echo(line)
        raise


@contextmanager
def _stopped_by_signals(work: Migrator) -> Generator[None]:
    """Let the first Ctrl-C, or SIGTERM, end the work between two statements, and the second one at once."""

    def stop(number: int, _frame: FrameType | None) -> None:
        work.stop()
        typer.echo("ends after this statement; once more ends it at once", err=True)
        signal.signal(number, signal.default_int_handler)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [(number, signal.signal(number, stop)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


# -- running ---------------------------------------------------------------------------------------------------------------


@app.command()
def up(
    url: Url = None,
    path: Folder = None,
    lock_timeout: LockTimeout = 60.0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Run all migrations that were not run yet."""
    del debug
    _run(Settings(url, None, path), lock_timeout, as_json, lambda work: work.up())


@app.command()
def down(
    yes: Yes = False,
    url: Url = None,
    path: Folder = None,
    lock_timeout: LockTimeout = 60.0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Undo all migrations, the last one first. On a terminal it asks before."""
    del debug
    from .reaching import must_exist

    settings = Settings(url, None, path)
    must_exist(settings.parsed_url)
    if not yes and is_terminal():
        with looking(settings) as work:
            number = work.version().number
        if number:
            asked = f"Undo all migrations of {settings.parsed_url}, from {number} to 0, with the data that they brought?"
            typer.confirm(asked, abort=True, err=True)
    _run(settings, lock_timeout, as_json, lambda work: work.down())


@app.command(context_settings={"ignore_unknown_options": True})
def steps(
    number: Annotated[int, typer.Argument(metavar="N", help="How many; a negative number undoes.")],
    url: Url = None,
    path: Folder = None,
    lock_timeout: LockTimeout = 60.0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Run the next N migrations, or undo the last ones: all N or, where there are fewer, none."""
    del debug
    _run(Settings(url, None, path), lock_timeout, as_json, lambda work: work.steps(number))


@app.command()
def goto(
    version: Annotated[int, _VERSION],
    url: Url = None,
    path: Folder = None,
    lock_timeout: LockTimeout = 60.0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Run or undo migrations until VERSION is the last one."""
    del debug
    _run(Settings(url, None, path), lock_timeout, as_json, lambda work: work.goto(version))


def _run(
    settings: Settings, lock_timeout_s: float, as_json: bool, verb: Callable[[Migrator], list[Ran]]
) -> None:
    """Run a verb, and tell what it ran and where the database stands."""
    with running(settings, lock_timeout_s, as_json) as work:
        ran, version = verb(work), work.version()
    rows = [(r.stem, r.direction, f"{r.duration_ms:,} ms", f"{r.rows:,} rows" if r.rows else "") for r in ran]
    answer: dict[str, Any] = {
        "version": version.number,
        "dirty": version.dirty,
        "ran": [
            {
                "version": r.version,
                "name": r.name,
                "direction": r.direction,
                "duration_ms": r.duration_ms,
                "rows": r.rows,
            }
            for r in ran
        ],
    }
    words = f"at version {version.number}" if ran else f"nothing to do: at version {version.number}"
    emit(as_json, answer, [*columns(rows), words])


# -- looking ---------------------------------------------------------------------------------------------------------------


@app.command()
def version(url: Url = None, path: Folder = None, as_json: Json = False, debug: Debug = False) -> None:
    """Show the last migration that was run, and what to do next."""
    del debug
    with looking(Settings(url, None, path)) as work:
        found = work.version()
        waiting = pending(work, found.number)
    answer: dict[str, Any] = {
        "version": found.number,
        "dirty": found.dirty,
        "target": found.target,
        "pending": waiting,
    }
    if found.dirty:
        lines = [
            f"{found.number} (dirty: a step to {found.target} did not end)",
            f"look at the database; to run the step again: dbkit migrate force {found.number}, then up or goto",
            f"mended by hand to its end: dbkit migrate force {found.target}",
        ]
    elif waiting:
        lines = [str(found.number), faint(f"{len(waiting)} to run: {', '.join(waiting)}: dbkit migrate up")]
    else:
        lines = [str(found.number)]
    emit(as_json, answer, lines)
    if found.dirty:
        Stop(DIRTY)


def pending(work: Migrator, number: int) -> list[str]:
    """Return what is to run; nothing where the folder is missing or wrong, as the version is asked for even then."""
    from ..errors import MigrationError

    try:
        return [file.stem for file in work.folder.files if file.version > number]
    except MigrationError:
        return []


@app.command()
def history(url: Url = None, path: Folder = None, as_json: Json = False, debug: Debug = False) -> None:
    """Show each migration, and when it was run."""
    del debug
    with looking(Settings(url, None, path)) as work:
        entries = work.history()
    answer = {
        "migrations": [
            {
                "version": e.version,
                "name": e.name,
                "state": e.state,
                "applied_at": e.applied_at,
                "duration_ms": e.duration_ms,
            }
            for e in entries
        ]
    }
    emit(as_json, answer, columns([_entry(e) for e in entries]) or ["no migrations"])
    if any(e.state == "dirty" for e in entries):
        Stop(DIRTY)


def _entry(entry: Entry) -> tuple[str, str, str, str]:
    at = f"{entry.applied_at:%Y-%m-%d %H:%M:%S} UTC" if entry.applied_at is not None else ""
    took = f"{entry.duration_ms:,} ms" if entry.duration_ms is not None else ""
    return entry.stem, entry.state, at, took


@app.command()
def plan(
    to: Annotated[
        int | None,
        typer.Option("--to", metavar="VERSION", min=0, help="As goto would.", show_default=False),
    ] = None,
    number: Annotated[
        int | None, typer.Option("--steps", metavar="N", help="As steps would.", show_default=False)
    ] = None,
    is_down: Annotated[bool, typer.Option("--down", help="As down would.", show_default=False)] = False,
    url: Url = None,
    path: Folder = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show what up would run: SQL, MongoDB's commands, and how many rows are rewritten. Nothing is run."""
    del debug
    if sum((to is not None, number is not None, is_down)) > 1:
        raise Misuse("--to, --steps and --down exclude each other")
    with looking(Settings(url, None, path)) as work:
        planned = work.plan(steps=number, version=to, down=is_down)
        dirty = work.version().dirty
    answer = {
        "dirty": dirty,
        "steps": [
            {
                "version": step.version,
                "stem": step.stem,
                "direction": step.direction,
                "transactional": step.is_transactional,
                "note": step.note,
                "parts": [
                    {
                        "words": part.words,
                        "touches": part.touches,
                        "statements": [{"text": s.text, "touches": s.touches} for s in part.statements],
                    }
                    for part in step.parts
                ],
            }
            for step in planned
        ],
    }
    emit(as_json, answer, _planned(planned))
    if dirty:
        Stop(DIRTY)


def _planned(planned: list[PlannedStep]) -> Iterator[str]:
    if not planned:
        yield "nothing to do"
    for step in planned:
        how = "in one transaction" if step.is_transactional else "not in a transaction"
        yield f"{step.stem} {step.direction}, {how}{f': {step.note}' if step.note else ''}"
        for part in step.parts:
            yield f"  {part.words}{_touching(part.touches)}"
            for statement in part.statements:
                shown = statement.text.strip().replace("\n", "\n    ")
                yield faint(f"    {shown}{_touching(statement.touches)}")


def _touching(touches: int | None) -> str:
    return "" if touches is None else f"   ({touches:,} {'row' if touches == 1 else 'rows'})"


# -- mending ---------------------------------------------------------------------------------------------------------------


@app.command()
def force(
    version: Annotated[int, _VERSION],
    url: Url = None,
    path: Folder = None,
    lock_timeout: LockTimeout = 60.0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say that the database is at VERSION, clean, and run nothing: after looking at a dirty one."""
    del debug
    from .reaching import must_exist

    settings = Settings(url, None, path)
    must_exist(settings.parsed_url)
    with running(settings, lock_timeout, as_json) as work:
        found = work.force(version)
    emit(as_json, {"version": found.number, "dirty": found.dirty}, [f"at version {found.number}, clean"])


# -- writing ---------------------------------------------------------------------------------------------------------------


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it does: add_bio.")],
    sql: Annotated[
        bool, typer.Option("--sql", help="A pair .up.sql and .down.sql instead of a .py.", show_default=False)
    ] = False,
    timestamp: Annotated[
        bool,
        typer.Option(
            "--timestamp", help="Number it by the time (UTC), as large teams do.", show_default=False
        ),
    ] = False,
    path: Folder = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make a new, empty migration with the next number."""
    del debug
    from ..migrations import create as make

    made = make(
        Settings(None, None, path).path,
        name,
        form="sql" if sql else "py",
        numbering="timestamp" if timestamp else None,
    )
    files = [shown(file) for file in made]
    emit(as_json, {"files": files}, [f"wrote {file}" for file in files])
