"""What differs between a table that is there and its entity: read from the server's catalogue, compared, never altered.

There is one comparison. `create_schema()` raises its result as `SchemaDrift`, `check` and `diff` read it as values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from dbkit.errors import SchemaDrift
from dbkit.spec import EntitySpec, IndexSpec, UniqueKey

from .found import StoredColumn
from .migrating.parts import Definition, index_columns, mentions, plain, size_terms
from .schema import MAX_STORED_BYTES, Tables, constraint_name

__all__ = [
    "CATALOGUE",
    "Comparison",
    "StoredIndex",
    "StoredTable",
    "compare",
    "postgres_comparison",
    "postgres_drift",
    "sqlite_comparison",
    "sqlite_drift",
]


# By the letter in pg_constraint.confdeltype (the manual, 52.13).
_DELETES = {"restrict": "a", "cascade": "c", "set_null": "n"}


@dataclass(frozen=True, slots=True)
class StoredIndex:
    """An index that is there."""

    name: str
    columns: tuple[tuple[str, bool], ...]
    """With whether null comes first, where the server tells; none for an index of expressions."""
    is_unique: bool
    sql: str = ""
    """The statement that made it, where the server keeps it."""


@dataclass(frozen=True)
class StoredTable:
    """A table that is there."""

    parts: dict[str, str]
    """What it consists of, in words: `column email`, `check of email`, `reference user_id`, …; each with what it says."""
    columns: dict[str, StoredColumn]
    indexes: list[StoredIndex]
    references: dict[str, str] = field(default_factory=dict[str, str])
    """The parent's table by the column."""
    actions: dict[str, str] = field(default_factory=dict[str, str])
    """What each reference does at a deletion, as `on_delete=` says it; none for what dbkit has no word for."""
    size_columns: frozenset[str] | None = None
    """The columns that the CHECK of a row's size adds up."""


@dataclass(frozen=True)
class Comparison:
    """What differs, in words."""

    table: StoredTable
    problems: dict[str, str]
    """By part: ` is missing`, ` is not declared`, or nothing where it says something else."""
    missing_keys: list[UniqueKey]
    missing_indexes: list[tuple[IndexSpec, str]]
    """With the statement that makes it; `create_schema()` does that."""
    other_indexes: list[str]
    """Those with a declared name that are not as declared."""

    def words(self) -> list[str]:
        """Return what is a drift, as it is raised."""
        return [
            *(part + what for part, what in self.problems.items()),
            *(f"unique key {', '.join(key.names)} is missing" for key in self.missing_keys),
            *(f"index {name}" for name in self.other_indexes),
        ]

    def checked(self, entity: EntitySpec) -> list[str]:
        """Return the statements that make missing indexes. Further indexes are nobody's business but the owner's.

        Raises:
            SchemaDrift: something differs.
        """
        if words := self.words():
            raise SchemaDrift(
                f"table {entity.stored!r} differs from its entity in: {'; '.join(words)}",
                entity=entity.name,
                hint="create_schema() never alters; change the entity back, or drop_schema() and create it again",
            )
        return [statement for _, statement in self.missing_indexes]


def compare(tables: Tables, entity: EntitySpec, table: StoredTable, wanted: dict[str, str]) -> Comparison:
    """Compare a table with what its entity declares, as *wanted* parts and as keys and indexes."""
    problems: dict[str, str] = {}
    for part in dict.fromkeys([*wanted, *table.parts]):
        if part not in table.parts:
            problems[part] = " is missing"
        elif part not in wanted:
            problems[part] = " is not declared"
        elif table.parts[part] != wanted[part]:
            problems[part] = ""
    declared = list(zip(tables.indexes[entity.token], tables.index(entity), strict=True))
    uniques, others = declared[: len(entity.uniques)], declared[len(entity.uniques) :]
    missing_keys: list[UniqueKey] = []
    wrong: list[str] = []
    for key, (index, statement) in zip(entity.uniques, uniques, strict=True):
        _look(table.indexes, index, statement, missing_keys, key, wrong)
    specs = {tuple(f.stored for f in _total(entity, spec)): spec for spec in reversed(entity.indexes)}
    missing: list[IndexSpec] = []
    missing_statements: list[tuple[IndexSpec, str]] = []
    for index, statement in others:
        spec = specs[tuple(str(column.name) for column in index.columns)]
        _look(table.indexes, index, statement, missing, spec, wrong)
        if missing and missing[-1] is spec:
            missing_statements.append((spec, statement))
    return Comparison(table, problems, missing_keys, missing_statements, wrong)


def _look(
    there: Sequence[StoredIndex],
    index: sa.Index,
    statement: str,
    missing: list[Any],
    what: Any,
    wrong: list[str],
) -> None:
    """Add *what* to the missing ones, or the index's name to the wrong ones, unless it is there as declared."""
    columns = tuple(str(column.name) for column in index.columns)
    nulls_first = tuple(bool(column.nullable) for column in index.columns)
    for found in there:
        if found.sql:
            if found.name == index.name:
                if plain(found.sql) != plain(statement):
                    wrong.append(found.name)
                return
        elif index.unique:
            if found.is_unique and tuple(name for name, _ in found.columns) == columns:
                return
        elif found.columns == tuple(zip(columns, nulls_first, strict=True)):
            return
    if any(found.name == index.name for found in there):
        wrong.append(str(index.name))
    else:
        missing.append(what)


def _total(entity: EntitySpec, index: IndexSpec) -> Iterable[Any]:
    return index.fields if entity.id in index.fields else (*index.fields, entity.id)


_CHECK = re.compile(r"ck_.*?__(.*)__[0-9a-f]{8}(?:_[0-9a-f]{8})?\Z")

_REFERENCE = re.compile(r"fk_.*?__(.*?)(?:_[0-9a-f]{8})?\Z")


def _meanings(tables: Tables, entity: EntitySpec) -> dict[str, str]:
    """Return what the entity's own checks and references are about, by their names."""
    made: dict[str, str] = {}
    for f in entity.columns:
        if (check := tables.check(entity, f)) is not None:
            made[check[0]] = f"check of {f.stored}"
        made[constraint_name(tables.dialect, "fk", entity.stored, (f.stored,))] = f"reference {f.stored}"
    return made


def _meaning(constraint: str, own: Mapping[str, str]) -> str:
    """Return what a constraint is about: a check's name without the digest of what it says."""
    if constraint in own:
        return own[constraint]
    if found := _CHECK.match(constraint):
        return f"check of {found[1]}"
    if found := _REFERENCE.match(constraint):
        return f"reference {found[1]}"
    return "primary key" if constraint.startswith("pk_") else f"constraint {constraint}"


# -- SQLite: it keeps the statements themselves ------------------------------------------------------------------------


def sqlite_drift(tables: Tables, entity: EntitySpec, there: Sequence[Sequence[Any]]) -> list[str]:
    """Compare the statements in `sqlite_schema`, as (type, name, sql), with those of the entity; see `checked`."""
    return sqlite_comparison(tables, entity, there).checked(entity)


def sqlite_comparison(tables: Tables, entity: EntitySpec, there: Sequence[Sequence[Any]]) -> Comparison:
    """Compare what is there with the entity."""
    wanted = Definition.parse(tables.create(entity)[0])
    return compare(tables, entity, sqlite_table(tables, entity, there), _parts(tables, entity, wanted))


def sqlite_table(tables: Tables, entity: EntitySpec, there: Sequence[Sequence[Any]]) -> StoredTable:
    """Return the table as its statements, (type, name, sql), say."""
    definition = Definition.parse(next(str(sql) for kind, _, sql in there if kind == "table"))
    indexes: list[StoredIndex] = []
    for kind, name, sql in there:
        if kind == "index":
            names = index_columns(str(sql)) or []
            is_unique = plain(str(sql)).upper().startswith("CREATE UNIQUE")
            indexes.append(StoredIndex(str(name), tuple((c, True) for c in names), is_unique, str(sql)))
    stored: dict[str, StoredColumn] = {}
    for name, text in definition.columns.items():
        words = plain(text).split(" ")[1:]
        about = [c for c in definition.about(name) if "CHECK" in definition.constraints[c].upper()]
        checks = [(c, definition.constraints[c]) for c in about if _is_about_one(definition, c)]
        nullable = "NOT NULL" not in " ".join(words).upper()
        stored[name] = StoredColumn(name, words[0].lower() if words else "", nullable, tuple(checks))
    references: dict[str, str] = {}
    actions: dict[str, str] = {}
    size: frozenset[str] | None = None
    for text in definition.constraints.values():
        if found := re.search(r"FOREIGN KEY\s*\((\S+?)\) REFERENCES (\S+)", plain(text), re.IGNORECASE):
            references[found[1].strip('"')] = found[2].strip('"')
            action = re.search(r"ON DELETE (CASCADE|SET NULL|SET DEFAULT)", plain(text), re.IGNORECASE)
            word = "restrict" if action is None else action[1].lower().replace(" ", "_")
            if word in _DELETES:
                actions[found[1].strip('"')] = word
        elif terms := size_terms(text, MAX_STORED_BYTES):
            size = frozenset(name for name in definition.columns if any(mentions(t, name) for t in terms))
    is_own = constraint_name(tables.dialect, "pk", entity.stored, ()) in definition.constraints
    stored = _sized(stored, size, is_own=is_own)
    return StoredTable(_parts(tables, entity, definition), stored, indexes, references, actions, size)


def _sized(
    columns: dict[str, StoredColumn], size: frozenset[str] | None, *, is_own: bool
) -> dict[str, StoredColumn]:
    if not is_own:
        return columns
    return {name: replace(column, is_sized=name in (size or ())) for name, column in columns.items()}


def _is_about_one(definition: Definition, constraint: str) -> bool:
    text = definition.constraints[constraint]
    if size_terms(text, MAX_STORED_BYTES) is not None:
        return False
    return sum(mentions(text, column) for column in definition.columns) == 1


def _parts(tables: Tables, entity: EntitySpec, definition: Definition) -> dict[str, str]:
    own = _meanings(tables, entity)
    parts = {"options": plain(definition.options)}
    parts.update((f"column {name}", plain(text)) for name, text in definition.columns.items())
    parts.update((_meaning(name, own), plain(text)) for name, text in definition.constraints.items())
    return parts


# -- PostgreSQL: its catalogue says what the statements became ---------------------------------------------------------

# All of one table as one JSON value; null where there is no such table. Bit 1 of indoption is DESC, bit 2 NULLS FIRST
# (the manual, 52.26, and src/include/catalog/pg_index.h).
CATALOGUE = """
SELECT (
  SELECT json_build_object(
    'columns', (
      SELECT json_object_agg(a.attname, json_build_array(
        format_type(a.atttypid, a.atttypmod), a.attnotnull, l.collname) ORDER BY a.attnum)
      FROM pg_attribute a LEFT JOIN pg_collation l ON l.oid = a.attcollation
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
    'indexes', (
      SELECT json_agg(json_build_object(
        'name', ic.relname, 'definition', pg_get_indexdef(ic.oid), 'valid', i.indisvalid, 'unique', i.indisunique, 'primary', i.indisprimary,
        'partial', coalesce(pg_get_expr(i.indpred, i.indrelid) <> '(1 = 1)', false),
        'columns', (
          SELECT json_agg(json_build_array(a.attname, (i.indoption[k.n - 1] & 2) <> 0) ORDER BY k.n)
          FROM generate_series(1, i.indnkeyatts) AS k(n)
          LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[k.n - 1])) ORDER BY ic.relname)
      FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid WHERE i.indrelid = c.oid),
    'references', (
      SELECT json_agg(json_build_array(
        a.attname, n.nspname || '.' || p.relname, f.confdeltype, f.conname,
        CASE WHEN pg_table_is_visible(p.oid) THEN p.relname END) ORDER BY f.conname)
      FROM pg_constraint f
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = f.conkey[1]
      JOIN pg_class p ON p.oid = f.confrelid
      JOIN pg_namespace n ON n.oid = p.relnamespace
      WHERE f.conrelid = c.oid AND f.contype = 'f'),
    'checks', (
      SELECT json_agg(json_build_array(k.conname, pg_get_constraintdef(k.oid), (
        SELECT json_agg(a.attname) FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum = ANY (k.conkey))) ORDER BY k.conname)
      FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c'))
  FROM pg_class c WHERE c.oid = to_regclass(%s))
"""


def postgres_drift(tables: Tables, entity: EntitySpec, found: Any) -> list[str]:
    """Compare what `CATALOGUE` found with what the entity declares; see `checked`."""
    return postgres_comparison(tables, entity, found).checked(entity)


def postgres_comparison(tables: Tables, entity: EntitySpec, found: Any) -> Comparison:
    """Compare what is there with the entity."""
    own = _meanings(tables, entity)
    wanted = _columns_wanted(tables, entity)
    wanted["primary key"] = entity.id.stored
    for f in entity.references:
        if f.reference is not None and f.reference.check:
            action = _DELETES[f.reference.on_delete]
            wanted[f"reference {f.stored}"] = f"{f.reference.target.stored} {action}"
    for name, _ in tables.checks(entity):
        wanted[_meaning(name, own)] = name
    return compare(tables, entity, postgres_table(tables, entity, found), wanted)


def postgres_table(tables: Tables, entity: EntitySpec, found: Any) -> StoredTable:
    """Return the table as the catalogue says."""
    own = _meanings(tables, entity)
    raw: dict[str, tuple[str, bool, str | None]] = found["columns"] or {}
    checks: list[tuple[str, str, list[str] | None]] = found["checks"] or []
    references = _references(entity, found["references"] or [])
    listed: list[dict[str, Any]] = found["indexes"] or []
    indexes = [
        StoredIndex(i["name"], tuple((name, bool(first)) for name, first in i["columns"]), i["unique"])
        for i in listed
        if i["valid"] and not i["partial"]
    ]
    parts = {
        f"column {name}": f"{type}{' collate ' + collation if collation else ''}{' not null' if not_null else ''}"
        for name, (type, not_null, collation) in raw.items()
    }
    unique = [tuple(name for name, _ in index.columns) for index in indexes if index.is_unique]
    if (entity.id.stored,) in unique:
        parts["primary key"] = entity.id.stored
    parts.update((f"reference {name}", f"{parent} {action}") for name, parent, action in references)
    parts.update((_meaning(name, own), name) for name, _, _ in checks)
    size: frozenset[str] | None = None
    about: dict[str, list[tuple[str, str]]] = {}
    for name, text, columns in checks:
        if size_terms(text, MAX_STORED_BYTES) is not None:
            size = frozenset(columns or ())
        elif columns and len(columns) == 1:
            about.setdefault(columns[0], []).append((name, text))
    stored = {
        name: StoredColumn(name, type, not not_null, tuple(about.get(name, ())))
        for name, (type, not_null, _) in raw.items()
    }
    pk = constraint_name(tables.dialect, "pk", entity.stored, ())
    stored = _sized(stored, size, is_own=any(i["name"] == pk for i in listed))
    words = {"r": "restrict", **{letter: word for word, letter in _DELETES.items()}}
    actions = {name: words[action] for name, _, action in references if action in words}
    parents = {name: parent for name, parent, _ in references}
    return StoredTable(parts, stored, indexes, parents, actions, size)


def _references(
    entity: EntitySpec, found: Sequence[tuple[str, str, str, str, str | None]]
) -> list[tuple[str, str, str]]:
    """Return column, parent and action of each; the parent with its schema only where the entity names one, or must."""
    declared = {f.reference.target.stored for f in entity.references if f.reference is not None}
    return [
        (column, whole if whole in declared or visible is None else visible, action)
        for column, whole, action, _, visible in found
    ]


def _columns_wanted(tables: Tables, entity: EntitySpec) -> dict[str, str]:
    made: dict[str, str] = {}
    for f in entity.columns:
        type = tables.dialect.column_type(f.type).replace(' COLLATE "C"', " collate C")
        made[f"column {f.stored}"] = type + ("" if f.type.nullable else " not null")
    return made
