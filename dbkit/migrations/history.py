"""What was applied against what the folder holds: which moves lead where, and what is refused. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Literal

from ..errors import Dirty, EditedMigration, MissingMigration, NoSuchVersion, OutOfOrder
from .folder import Direction, Folder, MigrationFile
from .state import Applied, State

__all__ = ["Entry", "Move", "check", "dirty", "entries", "forced", "goto", "pending", "refuse_dirty", "steps"]


@dataclass(frozen=True, slots=True)
class Move:
    """One migration in one direction."""

    file: MigrationFile
    direction: Direction
    leads_to: int
    """The version afterwards."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One migration in the history: of the folder, of the database, or of both."""

    version: int
    name: str
    stem: str
    state: Literal["applied", "pending", "missing", "edited", "out of order", "dirty"]
    """*missing*: applied, without a file; *out of order*: pending, before an applied one; *dirty*: stopped half-way."""
    applied_at: datetime | None = None
    duration_ms: int | None = None


# -- moves -------------------------------------------------------------------------------------------------------------


def steps(folder: Folder, state: State, count: int) -> list[Move]:
    """Return the moves of so many steps, back where *count* is negative.

    Raises:
        NoSuchVersion: there are fewer.
        OutOfOrder: a pending migration stands before an applied one.
    """
    moves = pending(folder, state) if count > 0 else _downs(folder, state)
    if abs(count) > len(moves):
        there = f"{len(moves)} {'pending' if count > 0 else 'applied'}"
        raise NoSuchVersion(
            f"{abs(count)} steps {'up' if count > 0 else 'down'} were asked for, but there are {there}",
            hint="nothing was done",
        )
    return moves[: abs(count)]


def goto(folder: Folder, state: State, version: int) -> list[Move]:
    """Return the moves that lead to *version*, 0 being the empty database.

    Raises:
        NoSuchVersion: no file has it.
        OutOfOrder: a pending migration stands before an applied one.
    """
    _find(folder, version)
    if version > state.version:
        return [m for m in pending(folder, state) if m.leads_to <= version]
    if version and version not in {a.version for a in state.applied}:
        _refuse_out_of_order(folder, state)
    return [m for m in _downs(folder, state) if m.leads_to >= version]


def _find(folder: Folder, version: int) -> None:
    if version == 0 or folder.find(version) is not None:
        return
    known = [file.version for file in folder]
    near = sorted(known, key=lambda v: abs(v - version))[:2]
    raise NoSuchVersion(
        f"no migration has version {version}",
        hint=f"the nearest: {', '.join(map(str, sorted(near)))}" if near else "the folder is empty",
    )


def pending(folder: Folder, state: State) -> list[Move]:
    """Return the moves that apply all that is pending.

    Raises:
        OutOfOrder: a pending migration stands before an applied one.
    """
    _refuse_out_of_order(folder, state)
    return [Move(file, "up", file.version) for file in folder if file.version > state.version]


def _downs(folder: Folder, state: State) -> list[Move]:
    versions = [0, *(a.version for a in state.applied)]
    moves: list[Move] = []
    for before, version in reversed(list(pairwise(versions))):
        file = folder.find(version)
        assert file is not None  # `check` refused the history
        moves.append(Move(file, "down", before))
    return moves


def _refuse_out_of_order(folder: Folder, state: State) -> None:
    applied = {a.version for a in state.applied}
    for file in folder:
        if file.version < state.version and file.version not in applied:
            raise OutOfOrder(
                f"{file.stem} was never applied here, but stands before version {state.version}, which was",
                hint=f"give it a number above {max(f.version for f in folder)}, or go back before it: "
                f"dbkit migrate goto {max((v for v in applied if v < file.version), default=0)}",
            )


# -- what is refused ---------------------------------------------------------------------------------------------------


def check(folder: Folder, state: State, backend: str, language: str) -> None:
    """Refuse a history whose files are not those that were applied.

    Raises:
        MissingMigration: an applied version has no file.
        EditedMigration: a file is not the one that was applied.
    """
    for applied in state.applied:
        file = folder.find(applied.version)
        if file is None:
            raise MissingMigration(
                f"version {applied.version} ({applied.name}) was applied here, but has no file",
                backend=backend,
                hint="bring it back from where it was written, or migrate with the newer folder",
            )
        if file.checksum(backend, language) != applied.checksum:
            raise EditedMigration(
                f"{file.stem} was edited after it was applied here",
                backend=backend,
                hint="undo the edit and write another migration; or, where the database fits the edited file, "
                f"dbkit migrate force {state.version}",
            )


def dirty(state: State, folder: Folder, said: str | None = None, backend: str | None = None) -> Dirty:
    """Return the error about a step that stopped half-way, with the commands that go on."""
    is_up = state.target > state.version
    moving = state.target if is_up else state.version
    file = folder.find(moving)
    stem = file.stem if file is not None else f"version {moving}"
    again = "dbkit migrate up" if is_up else f"dbkit migrate goto {state.target}"
    error = Dirty(
        said or f"the database is dirty: {stem} stopped half-way {'up' if is_up else 'down'}",
        backend=backend,
        hint=f"to run it again: `dbkit migrate force {state.version}`, then `{again}`; "
        f"mended by hand to its end: `dbkit migrate force {state.target}`",
    )
    error.version, error.target = state.version, state.target
    return error


def refuse_dirty(state: State, folder: Folder, backend: str) -> None:
    """Raise `Dirty` where the state is."""
    if state.dirty:
        raise dirty(state, folder, backend=backend)


def forced(folder: Folder, state: State, version: int, now: datetime, backend: str, language: str) -> State:
    """Return the state that says *version* is reached, as the folder's files are now.

    Where the version stays, so does the note of how far a step's data came: running it again goes on behind it.

    Raises:
        NoSuchVersion: no file has it.
    """
    _find(folder, version)
    before = {a.version: a for a in state.applied}
    applied: list[Applied] = []
    for file in folder:
        if file.version > version:
            break
        checksum = file.checksum(backend, language)
        known = before.get(file.version)
        if known is None or known.checksum != checksum:
            known = Applied(file.version, file.name, checksum, now, 0)
        applied.append(known)
    stays = version == state.version
    return state.changed(
        version=version,
        target=version,
        dirty=False,
        applied=tuple(applied),
        progress=state.progress if stays else None,
    )


def entries(folder: Folder, state: State, backend: str, language: str) -> list[Entry]:
    """Return what there is to say about each version, in order."""
    applied = {a.version: a for a in state.applied}
    moving = max(state.version, state.target) if state.dirty else 0
    found: list[Entry] = []
    for version in sorted({*applied, *(f.version for f in folder)}):
        file, was = folder.find(version), applied.get(version)
        if file is None:
            assert was is not None
            found.append(
                Entry(version, was.name, f"{version}_{was.name}", "missing", was.applied_at, was.duration_ms)
            )
            continue
        at, took = (None, None) if was is None else (was.applied_at, was.duration_ms)
        kind: Literal["applied", "pending", "edited", "out of order", "dirty"]
        if version == moving:
            kind = "dirty"
        elif was is None:
            kind = "out of order" if version < state.version else "pending"
        else:
            kind = "applied" if file.checksum(backend, language) == was.checksum else "edited"
        found.append(Entry(version, file.name, file.stem, kind, at, took))
    return found
