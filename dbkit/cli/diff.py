"""`dbkit migrate diff`: the migration that closes the difference between entities and database; renames are asked about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import MigrationError
from .failures import DRIFT, REFUSED, Misuse, Stop
from .migrate import looking, pending
from .options import Debug, Entities, Folder, Json, Url
from .output import bad, emit, is_terminal, shown
from .settings import Settings

if TYPE_CHECKING:
    from ..migrations.diff import Question

__all__ = ["diff"]


def diff(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the migration is called.")] = "change",
    rename: Annotated[
        list[str] | None,
        typer.Option(
            "--rename",
            metavar="OLD=NEW",
            help="users.fullname=users.name, or people=users: not a drop and an addition. Asked about on a terminal.",
            show_default=False,
        ),
    ] = None,
    allow_loss: Annotated[
        bool,
        typer.Option("--allow-loss", help="Write it even where it would lose data.", show_default=False),
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing; exit by 4 where something differs.", show_default=False),
    ] = False,
    url: Url = None,
    entities: Entities = None,
    path: Folder = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write the migration that makes the database as the entities declare it. Nothing is run."""
    del debug
    from ..migrations import create

    settings = Settings(url, entities, path)
    renames = dict(_renamed(text) for text in rename or ())
    ask = _ask if is_terminal() and not as_json and not check else None
    with looking(settings, settings.entities, may_be_new=True) as work:
        waiting = [] if check else pending(work, work.version().number)
        if waiting:
            raise MigrationError(
                f"{', '.join(waiting)} did not run here, and would be written again",
                backend=work.backend,
                hint="dbkit migrate up",
            )
        # What loses data is refused below, in the command's own words.
        draft = work.diff(renames=renames, ask=ask, allow_loss=True)
    answer: dict[str, Any] = {
        "differs": not draft.is_empty,
        "losses": list(draft.losses),
        "unsolved": list(draft.unsolved),
        "notes": list(draft.notes),
        "source": draft.source,
    }
    lines = [f"{bad('loses data:')} {loss}" for loss in draft.losses]
    lines += [f"{bad('not closed:')} {words}" for words in draft.unsolved]
    lines += [f"look at: {note}" for note in draft.notes]
    code = DRIFT if draft.unsolved else None
    if draft.is_empty and not draft.unsolved:
        lines.append("the database is as the entities declare it")
    elif check:
        code = DRIFT
        lines.append(draft.source.rstrip())
    elif draft.losses and not allow_loss:
        code = REFUSED
        lines.append(
            "nothing was written: say --allow-loss, or --rename OLD=NEW where something has another name"
        )
    elif draft.source:
        made = create(settings.path, name, source=draft.source)
        answer["files"] = [shown(file) for file in made]
        lines += [f"wrote {shown(file)}" for file in made]
        lines.append("read it, then: dbkit migrate up")
    emit(as_json, answer, lines)
    if code is not None:
        Stop(code)


def _renamed(text: str) -> tuple[str, str]:
    """Return the new stored name and the old one."""
    old, equals, new = (part.strip() for part in text.partition("="))
    if not equals or not old or not new:
        raise Misuse("--rename takes OLD=NEW", hint="--rename users.fullname=users.name")
    table, dot, _ = old.rpartition(".")
    if dot and "." not in new:
        new = f"{table}.{new}"
    elif "." in new and not dot:
        raise Misuse(
            "--rename takes a field with its table", hint=f"--rename {new.rpartition('.')[0]}.{old}={new}"
        )
    if ("." in old) != ("." in new):
        raise Misuse("--rename takes two fields, or two tables", hint="--rename users.fullname=users.name")
    return new, old


def _ask(question: Question) -> str | None:
    """Ask on the terminal which of the old names it was, if any."""
    typer.echo(question.words, err=True)
    for number, candidate in enumerate(question.candidates, start=1):
        typer.echo(f"  {number}  it was {candidate}, and is renamed", err=True)
    typer.echo("  0  it is new", err=True)
    while True:
        chosen: int = typer.prompt("which?", type=int, err=True)
        if 0 <= chosen <= len(question.candidates):
            return None if chosen == 0 else question.candidates[chosen - 1]
