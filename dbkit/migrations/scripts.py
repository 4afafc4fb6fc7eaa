"""From a version's files to what can be run on one store: everything that can be checked before anything runs is."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeGuard

from ..entity import spec_of
from ..errors import BadMigration, ConfigurationError
from ..spec import EntitySpec
from .arguments import RUNS_NOTHING, is_lazy, plain
from .folder import Direction, MigrationFile, Source
from .migration import Migration, placed
from .store import MigrationStore

__all__ = ["Script", "load"]

_LEADING = re.compile(r"(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*", re.DOTALL)
_DIRECTIVE = re.compile(r"--\s*dbkit\s*:(.*)")
_TRANSACTIONAL = re.compile(r"transactional\s*=\s*(true|false)\Z", re.IGNORECASE)
_CONTROL = re.compile(r"(begin|commit|end|abort|start\s+transaction|rollback(?!.*\bto\b))\b", re.IGNORECASE)
# https://www.postgresql.org/docs/current/sql-createindex.html, sql-dropindex, sql-reindex, sql-vacuum: none of them runs
# inside a transaction block.
_OUTSIDE = re.compile(
    r"(create\s+(unique\s+)?index\s+concurrently|drop\s+index\s+concurrently|reindex\b.*\bconcurrently|vacuum)\b",
    re.IGNORECASE | re.DOTALL,
)

_NEVER_BLOCKED = frozenset({"sqlite"})
"""Where every operation of `m` can be part of a transaction, and where that is the only lock: to leave it gains nothing."""


@dataclass(frozen=True, slots=True)
class Script:
    """One direction of one migration on one store."""

    file: MigrationFile
    direction: Direction
    checksum: str
    is_transactional: bool
    """Whether it commits together with its state."""
    run: Callable[[Migration], None]
    entities: tuple[EntitySpec, ...] = ()
    """Those that its file declares."""

    @property
    def version(self) -> int:
        return self.file.version

    @property
    def stem(self) -> str:
        return self.file.stem


def load(file: MigrationFile, direction: Direction, store: MigrationStore) -> Script:
    """Return what runs *file* in this direction.

    Raises:
        BadMigration: it has no form for this store, cannot be read, or asks for what cannot be done as it stands.
    """
    source = file.source(direction, store.name, store.language)
    checksum = file.checksum(store.name, store.language)
    if source.suffix == "py":
        return _python(file, source, direction, checksum, store)
    if source.suffix == "sql":
        return _sql(file, source, direction, checksum, store)
    return Script(file, direction, checksum, store.is_transactional, _commands(source))


def _bad(source: Source, problem: str, hint: str | None = None) -> BadMigration:
    return BadMigration(f"{source.path.name}: {problem}", hint=hint)


# -- Python ------------------------------------------------------------------------------------------------------------


def _python(
    file: MigrationFile, source: Source, direction: Direction, checksum: str, store: MigrationStore
) -> Script:
    module = _module(source)
    for name in ("up", "down"):
        if not callable(getattr(module, name, None)):
            hint = f"def {name}(m: Migration) -> None: …"
            raise _bad(source, f"has no function {name}(m)", hint)
        _refuse_unless_plain(source, name, getattr(module, name))
    wanted: Any = getattr(module, "transactional", True)
    if not isinstance(wanted, bool):
        raise _bad(source, "transactional is True or False")
    is_transactional = store.is_transactional and (wanted or store.name in _NEVER_BLOCKED)
    if store.name == "postgresql" and is_transactional:
        line = _concurrent_line(source.text)
        if line is not None:
            raise _bad(
                source,
                f"line {line}: PostgreSQL makes an index concurrently outside a transaction only",
                "say `transactional = False` in the file, and give the index a migration of its own",
            )
    function: Callable[[Migration], None] = plain(getattr(module, direction), direction)
    return Script(file, direction, checksum, is_transactional, function, _entities(module, source))


def _refuse_unless_plain(source: Source, name: str, function: Any) -> None:
    # Calling one of these runs nothing of it, and the migration would count as applied.
    if is_lazy(function):
        raise _bad(
            source,
            f"{name} {RUNS_NOTHING}",
            f"def {name}(m: Migration) -> None: … without async and yield; AsyncMigrator runs it in a thread",
        )


def _module(source: Source) -> ModuleType:
    # By its content, so that an edited file is another module, and one that is loaded twice is made once. It stands
    # in sys.modules because pydantic resolves annotations there.
    digest = hashlib.sha256(f"{source.path.absolute()}\n{source.text}".encode()).hexdigest()[:16]
    name = f"_dbkit_migration_{digest}_{source.stem}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = str(source.path)
    sys.modules[name] = module
    try:
        code = compile(source.text, str(source.path), "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102  # a migration is the team's own code
    except Exception as error:
        del sys.modules[name]
        raise _bad(source, f"{_line_of(error, source)}{type(error).__name__}: {error}") from error
    return module


def _line_of(error: Exception, source: Source) -> str:
    if isinstance(error, SyntaxError):
        return ""  # its text has the line
    frames = traceback.extract_tb(error.__traceback__)
    line = next((f.lineno for f in reversed(frames) if f.filename == str(source.path)), None)
    return "" if line is None else f"line {line}: "


def _entities(module: ModuleType, source: Source) -> tuple[EntitySpec, ...]:
    own = [
        value
        for value in module.__dict__.values()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and value.__dict__.get("__dbkit_role__") == "entity"
    ]
    try:
        return tuple(spec_of(cls, module.__dict__) for cls in own)
    except ConfigurationError as error:
        raise _bad(source, error.message, error.hint) from error


def _concurrent_line(text: str) -> int | None:
    """Return the line of a call with `concurrently=True`, which would fail only after what stands before it."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and any(
            k.arg == "concurrently" and isinstance(k.value, ast.Constant) and k.value.value is True
            for k in node.keywords
        ):
            return node.lineno
    return None


# -- SQL ---------------------------------------------------------------------------------------------------------------


def _sql(
    file: MigrationFile, source: Source, direction: Direction, checksum: str, store: MigrationStore
) -> Script:
    is_transactional = store.is_transactional and _wants_transaction(source)
    statements = [text for text in store.statements(source.text) if _bare(text)]
    for number, statement in enumerate(statements, 1):
        bare = _bare(statement)
        if is_transactional and _CONTROL.match(bare):
            raise _bad(
                source,
                f"statement {number} begins or ends a transaction, but the whole file is one",
                "leave it out, or let the file begin with `-- dbkit: transactional = false`",
            )
        if is_transactional and store.name == "postgresql" and _OUTSIDE.match(bare):
            raise _bad(
                source,
                f"statement {number} cannot run inside a transaction",
                "let the file begin with `-- dbkit: transactional = false`",
            )

    lines = _lines(source.text, statements)

    def run(m: Migration) -> None:
        for statement, line in zip(statements, lines, strict=True):
            with placed(f"the statement in line {line}"):
                m.sql(statement)

    return Script(file, direction, checksum, is_transactional, run)


def _lines(text: str, statements: list[str]) -> list[int]:
    """Return the line in which each statement begins, the comments before it left out."""
    made: list[int] = []
    end = 0
    for statement in statements:
        begin = text.index(statement, end)
        end = begin + len(statement)
        first = _LEADING.match(statement)
        skipped = 0 if first is None else first.end()
        made.append(text.count("\n", 0, begin + skipped) + 1)
    return made


def _bare(statement: str) -> str:
    """Return the statement without the comments before it."""
    return _LEADING.sub("", statement, count=1).strip("; \n")


def _wants_transaction(source: Source) -> bool:
    wanted = True
    for line in source.text.split("\n"):
        if line.strip() and not line.startswith("--"):
            break
        found = _DIRECTIVE.match(line)
        if found is None:
            continue
        said = _TRANSACTIONAL.match(found[1].strip())
        if said is None:
            raise _bad(source, "the directive is not known", "-- dbkit: transactional = false")
        wanted = said[1].lower() == "true"
    return wanted


# -- MongoDB -----------------------------------------------------------------------------------------------------------


def _is_list(given: Any) -> TypeGuard[list[dict[str, Any]]]:
    return type(given) is list


def _commands(source: Source) -> Callable[[Migration], None]:
    try:
        given: Any = json.loads(source.text)
    except ValueError as error:
        raise _bad(source, f"is no JSON: {error}") from None
    if not _is_list(given):
        raise _bad(source, "holds no list of commands", '[{"create": "users"}, …]')
    commands = given
    for number, command in enumerate(commands, 1):
        if type(command) is not dict or not command:
            raise _bad(source, f"command {number} is no object", '{"create": "users"}')

    def run(m: Migration) -> None:
        m.mongo(*commands)

    return run
