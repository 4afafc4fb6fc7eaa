"""What differs between a table that is there and its entity: read from the server's catalogue, compared, never altered."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from dbkit.errors import SchemaDrift
from dbkit.spec import EntitySpec

from .schema import Tables

__all__ = ["sqlite_drift"]


def _drift(entity: EntitySpec, problems: Iterable[str]) -> SchemaDrift:
    return SchemaDrift(
        f"table {entity.stored!r} differs from its entity in: {'; '.join(problems)}",
        entity=entity.name,
        hint="create_schema() never alters; change the entity back, or drop_schema() and create it again",
    )


# -- SQLite: it keeps the statements themselves ------------------------------------------------------------------------

_SPACE = re.compile(r"\s+")


def sqlite_drift(tables: Tables, entity: EntitySpec, there: Sequence[Sequence[Any]]) -> None:
    """Raise `SchemaDrift` where the statements in `sqlite_schema`, as (type, name, sql), are not those of the entity.

    Further indexes are nobody's business but the database's owner's.
    """
    table, *indexes = tables.create(entity)
    found = {str(name): str(sql) for kind, name, sql in there if kind == "index"}
    stored = next(str(sql) for kind, _, sql in there if kind == "table")
    problems = _parts_that_differ(_parts(stored), _parts(table))
    for index, statement in zip(tables.indexes[entity.token], indexes, strict=True):
        name = str(index.name)
        if name not in found:
            problems.append(f"index {name} is missing")
        elif _plain(found[name]) != _plain(statement):
            problems.append(f"index {name}")
    if problems:
        raise _drift(entity, problems)


def _plain(sql: str) -> str:
    return _SPACE.sub(" ", sql).strip()


def _parts(create: str) -> dict[str, str]:
    """Return the definitions inside CREATE TABLE (…), by what they define."""
    start, end = create.index("("), create.rindex(")")
    parts: dict[str, str] = {"options": _plain(create[end + 1 :])}
    for definition in _split(create[start + 1 : end]):
        text = _plain(definition)
        words = text.split(" ")
        if words[0] == "CONSTRAINT":
            kind = {"ck": "check", "fk": "reference", "pk": "primary key"}.get(
                words[1].strip('"')[:2], "constraint"
            )
            parts[f"{kind} {words[1].strip(chr(34))}"] = text
        else:
            parts[f"column {words[0].strip(chr(34))}"] = text
    return parts


def _split(definitions: str) -> Iterable[str]:
    """Split at the commas that stand outside parentheses and quotes."""
    depth, quote, start = 0, "", 0
    for position, character in enumerate(definitions):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "()":
            depth += 1 if character == "(" else -1
        elif character == "," and depth == 0:
            yield definitions[start:position]
            start = position + 1
    yield definitions[start:]


def _parts_that_differ(found: dict[str, str], wanted: dict[str, str]) -> list[str]:
    problems: list[str] = []
    for part in dict.fromkeys([*wanted, *found]):
        if part not in found:
            problems.append(f"{part} is missing")
        elif part not in wanted:
            problems.append(f"{part} is not declared")
        elif found[part] != wanted[part]:
            problems.append(part)
    return problems
