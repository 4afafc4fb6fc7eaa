"""What PostgreSQL's catalogue says of a table, and which of its types hold which values as well as dbkit's own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from dbkit.values import INT_MAX, INT_MIN, Kind, ValueType

from .checking import Column, Found, Index, Link, Misfit, Rules
from .dialects.postgresql import PostgresDialect

__all__ = ["CATALOGUE", "RULES", "found_table"]

# All of one table as one JSON value; null where there is no such table. A domain is what it is made of. The database's
# own collation is the locale's of its provider (the manual, 24.2); columns that came with later versions are read through
# JSON. Bit 2 of indoption is NULLS FIRST (src/include/catalog/pg_index.h).
CATALOGUE = """
SELECT (
  SELECT json_build_object(
    'columns', (
      SELECT json_object_agg(a.attname, json_build_object(
        'type', CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod)
                     ELSE format_type(a.atttypid, a.atttypmod) END,
        'not_null', a.attnotnull OR t.typnotnull,
        'has_default', a.atthasdef OR a.attidentity <> '',
        'is_generated', a.attidentity = 'a' OR a.attgenerated <> '',
        'collation', CASE WHEN l.collname = 'default' THEN (
            SELECT CASE to_jsonb(d) ->> 'datlocprovider'
                     WHEN 'i' THEN coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', 'icu')
                     WHEN 'b' THEN 'C' ELSE d.datcollate END
            FROM pg_database d WHERE d.datname = current_database())
          WHEN to_jsonb(l) ->> 'collprovider' = 'b' THEN 'C' ELSE l.collname END) ORDER BY a.attnum)
      FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
      LEFT JOIN pg_collation l ON l.oid = a.attcollation
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
    'indexes', (
      SELECT json_agg(json_build_object(
        'unique', i.indisunique, 'immediate', i.indimmediate,
        'predicate', pg_get_expr(i.indpred, i.indrelid),
        'nulls_are_equal', coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false),
        'columns', (
          SELECT json_agg(json_build_array(a.attname, (i.indoption[k.n - 1] & 2) <> 0, i.indoption[k.n - 1] & 1)
                          ORDER BY k.n)
          FROM generate_series(1, i.indnkeyatts) AS k(n)
          LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[k.n - 1])))
      FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
      WHERE i.indrelid = c.oid AND i.indisvalid AND i.indisready AND m.amname = 'btree'),
    'references', (
      SELECT json_agg(json_build_object(
        'columns', (SELECT json_agg(a.attname ORDER BY k.n) FROM unnest(f.conkey) WITH ORDINALITY AS k(at, n)
                    JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.at),
        'parent_columns', (SELECT json_agg(a.attname ORDER BY k.n) FROM unnest(f.confkey) WITH ORDINALITY AS k(at, n)
                           JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.at),
        'schema', n.nspname, 'parent', p.relname, 'is_visible', pg_table_is_visible(p.oid),
        'on_delete', f.confdeltype, 'is_valid', f.convalidated))
      FROM pg_constraint f JOIN pg_class p ON p.oid = f.confrelid JOIN pg_namespace n ON n.oid = p.relnamespace
      WHERE f.conrelid = c.oid AND f.contype = 'f'),
    'checks', (SELECT json_agg(k.conname) FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c'))
  FROM pg_class c WHERE c.oid = to_regclass(%s))
"""
# https://www.postgresql.org/docs/current/collation.html#COLLATION-MANAGING-STANDARD; glibc's C.UTF-8 as well.
_BY_CODE_POINT = {"c", "posix", "ucs_basic", "c.utf8", "c.utf-8", "pg_c_utf8"}
_DELETES = {"a": "no action", "r": "restrict", "c": "cascade", "n": "set null", "d": "set default"}


def found_table(found: dict[str, Any], targets: Sequence[str]) -> Found:
    """Return what `CATALOGUE` found; *targets* are the stored names that references may lead to."""
    there: dict[str, dict[str, Any]] = found["columns"] or {}
    indexes: list[dict[str, Any]] = found["indexes"] or []
    links: list[dict[str, Any]] = found["references"] or []
    columns = {
        name: Column(
            name,
            c["type"],
            c["not_null"],
            c["has_default"],
            c["is_generated"],
            None if c["collation"] is None or c["collation"].lower() in _BY_CODE_POINT else c["collation"],
        )
        for name, c in there.items()
    }
    return Found(
        columns,
        tuple(_index(i) for i in indexes if all(c[0] is not None for c in i["columns"])),
        tuple(_link(link, targets) for link in links),
        frozenset(found["checks"] or []),
    )


def _index(found: dict[str, Any]) -> Index:
    flaw = None
    if not found["immediate"]:
        # ON CONFLICT takes none that is checked later, either (the manual, CREATE TABLE).
        flaw = "its unique constraint is DEFERRABLE, which upsert cannot use"
    elif found["nulls_are_equal"]:
        flaw = "nulls"
    return Index(
        tuple(c[0] for c in found["columns"]),
        found["unique"],
        found["predicate"],
        # Read backward, a descending one with nulls last is an ascending one with nulls first.
        tuple(bool(first) is not bool(descending) for _, first, descending in found["columns"]),
        flaw,
    )


def _link(found: dict[str, Any], targets: Sequence[str]) -> Link:
    full = f"{found['schema']}.{found['parent']}"
    parent = full if full in targets or not found["is_visible"] else found["parent"]
    return Link(
        tuple(found["columns"]),
        parent,
        tuple(found["parent_columns"]),
        _DELETES[found["on_delete"]],
        found["is_valid"],
    )


# -- types -------------------------------------------------------------------------------------------------------------

_DIALECT = PostgresDialect()
_INTEGERS = {"smallint": 15, "integer": 31}
_VARCHAR = re.compile(r"character varying\((\d+)\)")
_NUMERIC = re.compile(r"numeric\((\d+),(-?\d+)\)")


def misfit(type: ValueType, found: str) -> Misfit | None:
    """Return what is wrong with a column's type for a declared one."""
    own = _DIALECT.column_type(type).removesuffix(' COLLATE "C"')
    if found == own:
        return None
    judge = _JUDGES.get(type.kind)
    judged = None if judge is None else judge(type, found)
    if judged is None:
        return "type", f"is {found} there; {own} holds {_name(type)}", "{alter} TYPE " + own
    return None if judged == _FINE else judged


_FINE: Misfit = ("type", "", None)


def _name(type: ValueType) -> str:
    return f"an enum of {type.kind.value}" if type.enum is not None else f"a {type.kind.value}"


def _text(type: ValueType, found: str) -> Misfit | None:
    if found == "character varying":
        return _FINE
    bounded = _VARCHAR.fullmatch(found)
    if bounded is not None:
        longest = int(bounded[1])
        needed = max(len(str(c)) for c in type.choices) if type.choices is not None else type.max_length
        if needed is not None and needed <= longest:
            return _FINE
        here = "any length" if needed is None else f"{needed} characters"
        return (
            "limit",
            f"holds {longest} characters there and {here} here",
            f"field(max_length={longest}), or {{alter}} TYPE text",
        )
    if found == "citext":
        return "type", "is citext there: equal without case, and sorted so", '{alter} TYPE text COLLATE "C"'
    return None


def _int(type: ValueType, found: str) -> Misfit | None:
    bits = _INTEGERS.get(found)
    if bits is None:
        return None
    low, high = type.bounds
    if type.choices is not None:
        low, high = min(map(int, type.choices)), max(map(int, type.choices))
    if -(2**bits) <= low and high < 2**bits:
        return _FINE
    return (
        "limit",
        f"is {found} there: {-(2**bits):,} to {2**bits - 1:,}",
        f"field(ge={-(2**bits)}, le={2**bits - 1}), or {{alter}} TYPE bigint",
    )


def _decimal(type: ValueType, found: str) -> Misfit | None:
    scaled = _NUMERIC.fullmatch(found)
    if scaled is None or int(scaled[2]) != type.decimal_places:
        return None
    digits = int(scaled[1])
    if digits >= type.max_digits:
        return _FINE
    return (
        "limit",
        f"has {digits} digits there and {type.max_digits} here",
        f"field(max_digits={digits}), or {{alter}} TYPE numeric({type.max_digits},{type.decimal_places})",
    )


def _datetime(_type: ValueType, found: str) -> Misfit | None:
    if found.endswith("without time zone") and found.startswith("timestamp"):
        return (
            "type",
            f"is {found} there: which moments it holds, only its writers know",
            "{alter} TYPE timestamp(3) with time zone USING {column} AT TIME ZONE 'UTC', where they wrote UTC",
        )
    if found.endswith("with time zone") and found.startswith("timestamp"):
        return (
            "type",
            f"is {found} there: dbkit cuts to milliseconds, and finds no row by the rest",
            "{alter} TYPE timestamp(3) with time zone",
        )
    return None


_JUDGES = {
    Kind.TEXT: _text,
    Kind.INT: _int,
    Kind.DECIMAL: _decimal,
    Kind.DATETIME: _datetime,
}


def keeps(type: ValueType, found: str, kept: bool) -> bool:
    """Return whether the column's own type is as narrow as the declared bounds."""
    del kept
    if type.kind is Kind.DECIMAL:
        scaled = _NUMERIC.fullmatch(found)
        digits = int(scaled[1]) if scaled is not None else type.max_digits
        return digits <= type.max_digits and not _DIALECT.checks("c", type)
    if type.kind is Kind.FLOAT:
        return type.bounds == ValueType(Kind.FLOAT).bounds
    bits = _INTEGERS.get(found, 63)
    low, high = type.bounds
    return bool(low <= -(2**bits) and 2**bits - 1 <= high)


def _condition(column: str, type: ValueType, parts: Sequence[str], kept: bool) -> str | None:
    del column, kept
    # What the column's type says already needs no look at the rows.
    told = type.choices is None and (
        type.kind in (Kind.TEXT, Kind.DECIMAL, Kind.TIMEDELTA)
        or (type.kind is Kind.INT and type.bounds == (INT_MIN, INT_MAX))
    )
    return None if told or not parts else f"coalesce({' AND '.join(parts)}, false)"


RULES = Rules(misfit, '{alter} TYPE text COLLATE "C"', keeps, _condition)
