"""The folder of migrations: which versions there are, in which forms, and what their files hold.

    0001_create.py                        functions up(m) and down(m), for every store
    0002_add_bio.up.sql, .down.sql        SQL, for every SQL store
    0003_index.postgresql.up.sql, …       a variant: it stands before the general one where the store has that name
    0003_index.mongodb.up.json, …         a list of MongoDB commands

Everything is read once, so that what is checked is what is run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby, pairwise
from pathlib import Path
from typing import Literal, Self

from ..errors import BadMigration, InvalidInput, MissingMigration
from ..nearest import nearest
from ..registry import backends

__all__ = ["Direction", "Folder", "MigrationFile", "Source", "create"]

Direction = Literal["up", "down"]

_NAME = re.compile(
    r"(?P<number>\d+)_(?P<name>[A-Za-z0-9_]+)"
    r"(?:\.(?P<python>py)|(?:\.(?P<variant>[^.]+))?\.(?P<direction>up|down)\.(?P<suffix>sql|json))\Z"
)
_SUFFIXES = (".py", ".sql", ".json")
_TIMESTAMP_DIGITS = 12
"""From so many digits on a number is a time (`202611232359`), between which gaps mean nothing."""
_MAX_VERSION = 2**63 - 1
_LANGUAGES = {"sql": "sql", "json": "mongodb"}


@dataclass(frozen=True, slots=True)
class Source:
    """One file."""

    path: Path
    version: int
    stem: str
    """Number and name, as they stand in the file's name: `0003_add_bio`."""
    suffix: Literal["py", "sql", "json"]
    variant: str | None
    """The backend that it is for; None: every store of its language (Python: every store)."""
    direction: Direction | None
    """None: both (Python)."""
    text: str
    """With `\\n` as the newline whatever the checkout made of it."""


@dataclass(frozen=True, slots=True)
class MigrationFile:
    """One version: a Python file, or SQL files and commands, two for each store or kind of store."""

    version: int
    stem: str
    sources: tuple[Source, ...]

    @property
    def name(self) -> str:
        """The name without the number: `add_bio`."""
        return self.stem.partition("_")[2]

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(source.path for source in self.sources)

    def source(self, direction: Direction, backend: str, language: str) -> Source:
        """Return the file that runs on this store: the backend's own variant, else that of its language, else Python.

        Raises:
            BadMigration: there is none.
        """
        for variant in (backend, None):
            for source in self.sources:
                if source.suffix == "py":
                    return source
                fits = source.variant == variant and _LANGUAGES[source.suffix] == language
                if fits and source.direction == direction:
                    return source
        there = ", ".join(path.name for path in self.paths)
        suffix = "json" if language == "mongodb" else "sql"
        raise BadMigration(
            f"{self.stem} has no form for {backend}: {there}",
            backend=backend,
            hint=f"add {self.stem}.{backend}.up.{suffix} and .down.{suffix}, or write it as {self.stem}.py",
        )

    def checksum(self, backend: str, language: str) -> str:
        """Return what tells whether the files that run on this store are those that were applied.

        Another store's variants are left out: adding one later edits nothing here.
        """
        digest = hashlib.sha256()
        seen: set[Path] = set()
        directions: tuple[Direction, Direction] = ("up", "down")
        for direction in directions:
            source = self.source(direction, backend, language)
            if source.path not in seen:
                seen.add(source.path)
                digest.update(f"{source.direction or 'py'}\n{len(source.text)}\n{source.text}".encode())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Folder:
    """All versions, in order."""

    path: Path
    files: tuple[MigrationFile, ...]

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read the folder.

        Files that are no `.py`, `.sql` or `.json`, and Python files that start with no digit, are not looked at.

        Raises:
            BadMigration: a file's name says nothing that is known, two have one version, an up has no down.
            MissingMigration: a number of the sequence is missing.
        """
        folder = Path(path)
        if not folder.is_dir():
            raise BadMigration(
                f"there is no folder of migrations {folder.name!r}",
                hint="create its first file: dbkit migrate create <name>",
            )
        sources = sorted(_sources(folder), key=lambda s: (s.version, s.path.name))
        files = [_file(version, list(group)) for version, group in groupby(sources, lambda s: s.version)]
        for one, other in pairwise(files):
            if _is_time(other) or other.version == one.version + 1:
                continue
            missing = one.version + 1
            raise MissingMigration(
                f"no migration has the number {missing}: {other.stem} follows {one.stem}",
                hint="bring the file back, or give the later ones the next numbers before they are applied anywhere",
            )
        return cls(folder, tuple(files))

    def __iter__(self) -> Iterator[MigrationFile]:
        return iter(self.files)

    def find(self, version: int) -> MigrationFile | None:
        """Return the file of *version*, or None."""
        return next((file for file in self.files if file.version == version), None)


def _is_time(file: MigrationFile) -> bool:
    return len(str(file.version)) >= _TIMESTAMP_DIGITS


def _sources(folder: Path) -> Iterator[Source]:
    variants = backends()
    for path in sorted(folder.iterdir()):
        name = path.name
        if not name.endswith(_SUFFIXES) or not path.is_file() or name.startswith("."):
            continue
        if not name[0].isdigit():
            if re.search(r"\.(up|down)\.(sql|json)\Z", name):
                raise _bad(name, "has no number", f"0001_{name}")
            continue
        yield _source(path, variants)


def _source(path: Path, variants: Iterable[str]) -> Source:
    name = path.name
    found = _NAME.match(name)
    if found is None:
        what = "0003_add_bio.py, 0003_add_bio.up.sql, 0003_add_bio.postgresql.up.sql, 0003_add_bio.mongodb.up.json"
        raise _bad(name, "is no migration's name", f"as in {what}")
    version = int(found["number"])
    if not 0 < version <= _MAX_VERSION:
        raise _bad(name, "has no version's number", "numbers start at 1: version 0 is the empty database")
    suffix, variant = found["suffix"], found["variant"]
    if variant is not None and variant not in variants:
        near = nearest(variant, variants)
        hint = (f"did you mean {near!r}? " if near else "") + f"known: {', '.join(sorted(variants))}"
        raise _bad(name, f"is for {variant!r}, which no backend is called", hint)
    if suffix == "json" and variant is None:
        raise _bad(name, "holds commands of MongoDB, and says so", name.replace(".", ".mongodb.", 1))
    if suffix == "sql" and variant in ("mongodb", "mongomock"):
        raise _bad(name, "is SQL, which MongoDB does not read", f"{name[:-4]}.json, a list of commands")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _bad(name, "is not UTF-8", "save it as UTF-8") from None
    return Source(
        path,
        version,
        f"{found['number']}_{found['name']}",
        "py" if found["python"] else "json" if suffix == "json" else "sql",
        variant,
        "up" if found["direction"] == "up" else "down" if found["direction"] == "down" else None,
        text.replace("\r\n", "\n").replace("\r", "\n"),
    )


def _file(version: int, sources: list[Source]) -> MigrationFile:
    first = sources[0]
    other = next((s for s in sources if s.stem != first.stem), None)
    if other is None and first.suffix != "py":
        other = next((s for s in sources if s.suffix == "py"), None)
    elif other is None and len(sources) > 1:
        other = sources[1]
    if other is not None:
        raise _bad(
            other.path.name, f"has the version of {first.path.name}", "give one of them the next number"
        )
    there = {(s.suffix, s.variant, s.direction) for s in sources}
    for source in sources:
        if source.direction is None:
            continue
        mate: Direction = "down" if source.direction == "up" else "up"
        if not there & {(source.suffix, variant, mate) for variant in (source.variant, None)}:
            wanted = source.path.name.replace(f".{source.direction}.", f".{mate}.")
            raise _bad(source.path.name, f"has no {mate}", f"add {wanted}")
    return MigrationFile(version, first.stem, tuple(sources))


def _bad(name: str, problem: str, hint: str) -> BadMigration:
    return BadMigration(f"{name} {problem}", hint=hint)


# -- making --------------------------------------------------------------------------------------------------------

_PYTHON = '''"""{title}."""

from dbkit.migrations import Migration


def up(m: Migration) -> None:
    """Do it."""


def down(m: Migration) -> None:
    """Undo it."""
'''
_SQL = "-- {title}: {direction}.\n"


def create(
    path: str | Path,
    name: str,
    *,
    form: Literal["py", "sql"] = "py",
    numbering: Literal["sequence", "timestamp"] | None = None,
    source: str | None = None,
) -> list[Path]:
    """Write the file, or the pair of files, of the next migration, and return their paths; none is overwritten.

    Args:
        path: the folder, which is made where it is missing.
        name: what the migration does, in words or as an identifier.
        form: "py" for one file with `up` and `down`, which runs on every store; "sql" for a pair.
        numbering: "sequence" (0004) or "timestamp" (of now, UTC); None: as the folder's last one has it.
        source: the text of the Python file, where it is known (a `Draft`'s).
    """
    slug = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if not slug:
        raise InvalidInput(
            "a migration's name says what it does", hint='create(path, "add bio")', operation="create"
        )
    if form not in ("py", "sql") or numbering not in (None, "sequence", "timestamp"):
        raise InvalidInput(
            'form= is "py" or "sql"; numbering= is "sequence" or "timestamp"', operation="create"
        )
    if source is not None and form != "py":
        raise InvalidInput("source= is the text of a Python file", operation="create")
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{_next_number(Folder.read(folder), numbering)}_{slug}"
    title = slug.replace("_", " ").capitalize()
    if form == "py":
        texts = {f"{stem}.py": _PYTHON.format(title=title) if source is None else source}
    else:
        texts = {f"{stem}.{d}.sql": _SQL.format(title=title, direction=d) for d in ("up", "down")}
    made: list[Path] = []
    for file, text in texts.items():
        with (folder / file).open("x", encoding="utf-8", newline="\n") as out:
            out.write(text)
        made.append(folder / file)
    return made


def _next_number(folder: Folder, numbering: str | None) -> str:
    last = folder.files[-1] if folder.files else None
    if numbering is None:
        numbering = "timestamp" if last is not None and _is_time(last) else "sequence"
    if numbering == "timestamp":
        now = datetime.now(UTC).strftime("%Y%m%d%H%M%S")
        return now if last is None else str(max(int(now), last.version + 1))
    if last is not None and _is_time(last):
        raise InvalidInput(
            f"a number of the sequence would stand before {last.stem}", hint='numbering="timestamp"'
        )
    width = 4 if last is None else len(last.stem.partition("_")[0])
    return str(1 if last is None else last.version + 1).zfill(width)
