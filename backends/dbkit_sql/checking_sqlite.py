"""What SQLite says of a table that dbkit need not have made.

It keeps columns to their types in STRICT tables only, so elsewhere the rows themselves are asked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from dbkit.values import Kind, ValueType

from .checking import Column, Found, Index, Link, Misfit, Rules
from .dialects.sqlite import SqliteDialect

__all__ = ["COLUMNS", "INDEXES", "LINKS", "RULES", "TABLE", "found_table"]

# https://www.sqlite.org/pragma.html, as table-valued functions. A name of a table is the same without case.
TABLE = "SELECT name, sql FROM sqlite_schema WHERE type IN ('table', 'view') AND lower(name) = lower(?)"
COLUMNS = 'SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?)'
INDEXES = """
SELECT i.name, i."unique", i.partial, s.sql, x.name, x.coll, x."desc"
FROM pragma_index_list(?) AS i JOIN pragma_index_xinfo(i.name) AS x ON x.key
LEFT JOIN sqlite_schema AS s ON s.type = 'index' AND s.name = i.name
ORDER BY i.seq, x.seqno
"""
LINKS = 'SELECT id, "table", "from", "to", on_delete FROM pragma_foreign_key_list(?) ORDER BY id, seq'

_WHERE = re.compile(r"\bWHERE\b(.*)\Z", re.IGNORECASE | re.DOTALL)
_CHECKS = re.compile(r"CONSTRAINT\s+[\"`\[]?(\w+)[\"`\]]?\s+CHECK", re.IGNORECASE)


def found_table(
    sql: str,
    columns: Sequence[Sequence[Any]],
    indexes: Sequence[Sequence[Any]],
    links: Sequence[Sequence[Any]],
    names: dict[str, str],
) -> Found:
    """Return a table as the queries above found it; *names* are the declared names by those in small letters."""

    def known(name: str) -> str:
        return names.get(name.lower(), name)

    keys = [known(name) for name, _, _, _, pk, _ in sorted(columns, key=lambda c: c[4]) if pk]
    # https://www.sqlite.org/lang_createtable.html#rowid: such a key is the row's number, and never null.
    is_rowid = len(keys) == 1 and any(pk and type.upper() == "INTEGER" for _, type, _, _, pk, _ in columns)
    made = {
        known(name): Column(
            known(name),
            type,
            bool(not_null) or (is_rowid and bool(pk)),
            default is not None or (is_rowid and bool(pk)),
            # 2 and 3: generated columns.
            hidden in (2, 3),
            _collation(sql, name),
        )
        for name, type, not_null, default, pk, hidden in columns
    }
    found = _indexes(indexes, known)
    if is_rowid:
        found.append(Index(tuple(keys), is_unique=True))
    grouped: dict[int, list[Sequence[Any]]] = {}
    for link in links:
        grouped.setdefault(link[0], []).append(link)
    return Found(
        made,
        tuple(found),
        tuple(
            Link(
                tuple(known(part[2]) for part in parts),
                str(names.get(f"table {parts[0][1].lower()}", parts[0][1])),
                # Without names it is the parent's primary key.
                tuple(part[3] for part in parts if part[3] is not None),
                parts[0][4].lower(),
            )
            for parts in grouped.values()
        ),
        frozenset(_CHECKS.findall(sql)),
        bool(re.search(r"\)[^)]*\bSTRICT\b[^)]*\Z", sql, re.IGNORECASE)),
    )


def _indexes(rows: Sequence[Sequence[Any]], known: Any) -> list[Index]:
    grouped: dict[str, list[Sequence[Any]]] = {}
    for row in rows:
        grouped.setdefault(row[0], []).append(row)
    made: list[Index] = []
    for parts in grouped.values():
        _, unique, partial, sql, *_ = parts[0]
        if any(part[4] is None for part in parts):
            continue  # over an expression
        where = _WHERE.search(sql or "") if partial else None
        other = next((part[5] for part in parts if part[5] != "BINARY"), None)
        made.append(
            Index(
                tuple(known(part[4]) for part in parts),
                bool(unique),
                where[1].strip() if where is not None else None,
                flaw=None if other is None else f"its unique index compares by {other}",
            )
        )
    return made


def _collation(sql: str, column: str) -> str | None:
    """Return the column's collation where it is not BINARY; no pragma tells it."""
    found = re.search(
        rf"(?:[(,]|\n)\s*[\"`\[]?{re.escape(column)}[\"`\]]?\s[^,]*?\bCOLLATE\s+[\"`\[]?(\w+)",
        sql,
        re.IGNORECASE,
    )
    return None if found is None or found[1].upper() == "BINARY" else found[1]


# -- types -------------------------------------------------------------------------------------------------------------

_DIALECT = SqliteDialect()


def affinity(type: str) -> str:
    """Return a declared type's affinity (https://www.sqlite.org/datatype3.html#determination_of_column_affinity)."""
    name = type.upper()
    for part, found in (
        ("INT", "INTEGER"),
        ("CHAR", "TEXT"),
        ("CLOB", "TEXT"),
        ("TEXT", "TEXT"),
        ("BLOB", "BLOB"),
        ("REAL", "REAL"),
        ("FLOA", "REAL"),
        ("DOUB", "REAL"),
    ):
        if part in name:
            return found
    return "NUMERIC" if name and name != "ANY" else "BLOB"


def misfit(type: ValueType, found: str) -> Misfit | None:
    """Return what is wrong with a column's type for a declared one."""
    own, there = _DIALECT.column_type(type), affinity(found)
    # Whole numbers stay whole numbers in a NUMERIC column; what has no affinity keeps everything as it is.
    if there in (own, "BLOB") or (own == "INTEGER" and there == "NUMERIC"):
        return None
    return "type", f"is {found} there; {own} holds {type.kind.value} values", "copy the rows into a new table"


def keeps(type: ValueType, found: str, kept: bool) -> bool:
    """Return whether the column keeps what is computed to the declared bounds.

    What left 64 bits would be stored as a float, but for STRICT tables.
    """
    del found
    bare = ValueType(type.kind, max_digits=type.max_digits, decimal_places=type.decimal_places)
    return kept and type.kind is not Kind.DECIMAL and type.bounds == bare.bounds


def _condition(column: str, type: ValueType, parts: Sequence[str], kept: bool) -> str | None:
    conditions = list(parts)
    if type.kind in (Kind.MODEL, Kind.DICT, Kind.LIST):
        # json_type fails on what is no JSON.
        conditions = [f"CASE WHEN json_valid({column}) THEN {' AND '.join(parts)} ELSE 0 END"]
    if not kept:
        conditions.insert(0, f"typeof({column}) = '{_DIALECT.column_type(type).lower()}'")
    return f"coalesce({' AND '.join(conditions)}, 0)" if conditions else None


RULES = Rules(misfit, "copy the rows into a table without COLLATE", keeps, _condition)
