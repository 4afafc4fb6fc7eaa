"""What differs between a table that is there and its entity: read from the server's catalogue, compared, never altered."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from dbkit.errors import SchemaDrift
from dbkit.spec import EntitySpec

from .schema import Tables

__all__ = ["CATALOGUE", "postgres_drift", "sqlite_drift"]


def _drift(entity: EntitySpec, problems: Iterable[str]) -> SchemaDrift:
    return SchemaDrift(
        f"table {entity.stored!r} differs from its entity in: {'; '.join(problems)}",
        entity=entity.name,
        hint="create_schema() never alters; change the entity back, or drop_schema() and create it again",
    )


# -- SQLite: it keeps the statements themselves ------------------------------------------------------------------------

_SPACE = re.compile(r"\s+")
_COMMENT = re.compile(r"/\*.*?\*/")


def sqlite_drift(tables: Tables, entity: EntitySpec, there: Sequence[Sequence[Any]]) -> list[str]:
    """Compare the statements in `sqlite_schema`, as (type, name, sql), with those of the entity.

    Returns the statements that make missing indexes. Further indexes are nobody's business but the database's owner's.

    Raises:
        SchemaDrift: something differs.
    """
    missing: list[str] = []
    table, indexes = tables.create(entity)[0], tables.index(entity)
    found = {str(name): str(sql) for kind, name, sql in there if kind == "index"}
    stored = next(str(sql) for kind, _, sql in there if kind == "table")
    problems = _parts_that_differ(_parts(stored), _parts(table))
    for index, statement in zip(tables.indexes[entity.token], indexes, strict=True):
        name = str(index.name)
        if name not in found:
            missing.append(statement)
            if index.unique:
                problems.append(f"unique key {', '.join(tables.constraints[name].names)} is missing")
        elif _plain(found[name]) != _plain(statement):
            problems.append(f"index {name}")
    if problems:
        raise _drift(entity, problems)
    return missing


def _plain(sql: str) -> str:
    return _SPACE.sub(" ", _COMMENT.sub("", sql)).strip()


def _parts(create: str) -> dict[str, str]:
    """Return the definitions inside CREATE TABLE (…), by what they define."""
    start, end = create.index("("), create.rindex(")")
    parts: dict[str, str] = {"options": _plain(create[end + 1 :])}
    for definition in _split(_COMMENT.sub("", create[start + 1 : end])):
        text = _plain(definition)
        words = text.split(" ")
        if words[0] == "CONSTRAINT":
            parts[_meaning(words[1].strip('"'))] = text
        else:
            parts[f"column {words[0].strip(chr(34))}"] = text
    return parts


_CHECK = re.compile(r"ck_.*?__(.*)__[0-9a-f]{8}(?:_[0-9a-f]{8})?\Z")

_REFERENCE = re.compile(r"fk_.*?__(.*?)(?:_[0-9a-f]{8})?\Z")


def _meaning(constraint: str) -> str:
    """Return what a constraint is about: a check's name without the digest of what it says."""
    if found := _CHECK.match(constraint):
        return f"check of {found[1]}"
    if found := _REFERENCE.match(constraint):
        return f"reference {found[1]}"
    return "primary key" if constraint.startswith("pk_") else f"constraint {constraint}"


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


# -- PostgreSQL: its catalogue says what the statements became ---------------------------------------------------------

# All of one table as one JSON value; null where there is no such table. Bit 1 of indoption is DESC, bit 2 NULLS FIRST
# (the manual, 52.26, and src/include/catalog/pg_index.h).
CATALOGUE = """
SELECT (
  SELECT json_build_object(
    'columns', (
      SELECT json_object_agg(a.attname, json_build_array(
        format_type(a.atttypid, a.atttypmod), a.attnotnull, l.collname))
      FROM pg_attribute a LEFT JOIN pg_collation l ON l.oid = a.attcollation
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
    'indexes', (
      SELECT json_agg(json_build_object(
        'unique', i.indisunique, 'primary', i.indisprimary,
        'partial', coalesce(pg_get_expr(i.indpred, i.indrelid) <> '(1 = 1)', false),
        'columns', (
          SELECT json_agg(json_build_array(a.attname, (i.indoption[k.n - 1] & 2) <> 0) ORDER BY k.n)
          FROM generate_series(1, i.indnkeyatts) AS k(n)
          LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[k.n - 1])))
      FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid),
    'references', (
      SELECT json_agg(json_build_array(a.attname, p.relname, f.confdeltype))
      FROM pg_constraint f
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = f.conkey[1]
      JOIN pg_class p ON p.oid = f.confrelid
      WHERE f.conrelid = c.oid AND f.contype = 'f'),
    'checks', (
      SELECT json_agg(k.conname) FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c'))
  FROM pg_class c WHERE c.oid = to_regclass(%s))
"""
_DELETES = {"restrict": "a", "cascade": "c", "set_null": "n"}


def postgres_drift(tables: Tables, entity: EntitySpec, found: Any) -> list[str]:
    """Compare what `CATALOGUE` found with what the entity declares.

    Returns the statements that make missing indexes. Further indexes are nobody's business but the database's owner's.

    Raises:
        SchemaDrift: something differs.
    """
    references: list[list[str]] = found["references"] or []
    checks: list[str] = found["checks"] or []
    problems = _parts_that_differ(_columns_found(found), _columns_wanted(tables, entity))
    indexes = _indexes(found["indexes"] or [])
    problems += _missing_keys(entity, indexes)
    problems += _parts_that_differ(
        {f"reference {name}": f"{parent} {action}" for name, parent, action in references},
        {
            f"reference {f.stored}": f"{f.reference.target.stored} {_DELETES[f.reference.on_delete]}"
            for f in entity.references
            if f.reference is not None and f.reference.check
        },
    )
    problems += _parts_that_differ(
        {_meaning(name): name for name in checks},
        {
            _meaning(str(c.name)): str(c.name)
            for c in tables.of(entity).constraints
            if isinstance(c, sa.CheckConstraint)
        },
    )
    if problems:
        raise _drift(entity, problems)
    return _missing_indexes(tables, entity, indexes)


def _columns_found(found: Any) -> dict[str, str]:
    columns: dict[str, tuple[str, bool, str | None]] = found["columns"] or {}
    return {
        f"column {name}": f"{type}{' collate ' + collation if collation else ''}{' not null' if not_null else ''}"
        for name, (type, not_null, collation) in columns.items()
    }


def _columns_wanted(tables: Tables, entity: EntitySpec) -> dict[str, str]:
    made: dict[str, str] = {}
    for f in entity.columns:
        type = tables.dialect.column_type(f.type).replace(' COLLATE "C"', " collate C")
        made[f"column {f.stored}"] = type + ("" if f.type.nullable else " not null")
    return made


Indexes = set[tuple[bool, tuple[tuple[str, bool], ...]]]
"""Of each: whether it is unique, and its columns with whether null comes first."""


def _indexes(found: Sequence[Any]) -> Indexes:
    return {
        (index["unique"], tuple((name, bool(nulls_first)) for name, nulls_first in index["columns"]))
        for index in found
        if not index["partial"]
    }


def _missing_keys(entity: EntitySpec, there: Indexes) -> list[str]:
    unique = {tuple(name for name, _ in columns) for is_unique, columns in there if is_unique}
    problems = [] if (entity.id.stored,) in unique else ["primary key"]
    missing = [key for key in entity.uniques if tuple(f.stored for f in key.fields) not in unique]
    return problems + [f"unique key {', '.join(key.names)} is missing" for key in missing]


def _missing_indexes(tables: Tables, entity: EntitySpec, there: Indexes) -> list[str]:
    statements = tables.index(entity)
    orders = {columns for _, columns in there}
    return [
        statement
        for index, statement in zip(tables.indexes[entity.token], statements, strict=True)
        if not index.unique
        and tuple((column.name, bool(column.nullable)) for column in index.columns) not in orders
    ]
