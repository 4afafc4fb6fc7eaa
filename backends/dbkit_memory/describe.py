"""Queries as text, for people: what `explain` and `on_statement` show. Values are question marks."""

from __future__ import annotations

from collections.abc import Iterable

from dbkit.query import (
    And,
    AnyRelated,
    Compare,
    Contains,
    Count,
    Everything,
    Exists,
    Filter,
    Find,
    Get,
    GroupBy,
    Has,
    In,
    IsNull,
    Not,
    Nothing,
    Or,
    Order,
    Path,
    Reading,
    StartsWith,
)
from dbkit.spec import ReadSpec

__all__ = ["What", "reading", "words"]

What = Reading | ReadSpec | str
"""What a verb does: a read (a view alone is a `get`), which is put into words where somebody hears them, or its words."""

_SIGNS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


def words(what: What) -> str:
    """Return what a verb does, in words."""
    if isinstance(what, str):
        return what
    return reading(Get(what, None) if isinstance(what, ReadSpec) else what)


def reading(query: Reading) -> str:
    """Return a read in one line, e.g. `find accounts where balance >= ? order by balance desc, id desc limit ?`."""
    if isinstance(query, Get):
        return f"get {query.entity.stored} where {query.entity.id.name} == ?"
    text = f"{_verb(query)} {query.entity.stored}{_clause('where', query.where)}"
    if isinstance(query, GroupBy):
        keys = [f"{k.period}({_name(k.path)})" if k.period else _name(k.path) for k in query.group.keys]
        figures = [f"{a.function}({_name(a.path) if a.path else ''})" for a in query.group.aggregates]
        text += f" by {', '.join(keys)}" if keys else ""
        text += f" giving {', '.join(figures)}" if figures else ""
        text += _clause("having", query.having) + _order(query.order)
        return text + (" limit ?" if query.limit is not None else "")
    if isinstance(query, Find):
        text += _order(query.order)
        text += (
            " after (" + ", ".join("null" if v is None else "?" for v in query.after) + ")"
            if query.after
            else ""
        )
        text += " limit ?" if query.limit is not None else ""
        text += " offset ?" if query.offset is not None else ""
        text += ", and count all" if query.total else ""
    return text


def _verb(query: Find | Count | Exists | GroupBy) -> str:
    if isinstance(query, Count):
        return "count"
    if isinstance(query, Exists):
        return "exists"
    if isinstance(query, GroupBy):
        return "group"
    return "page" if query.page else "find"


def _clause(word: str, where: Filter | None) -> str:
    return "" if where is None else f" {word} {_text(where)}"


def _order(order: Iterable[Order]) -> str:
    keys = ", ".join(f"{_name(o.path)}{' desc' if o.descending else ''}" for o in order)
    return f" order by {keys}" if keys else ""


def _name(path: Path) -> str:
    return str(path).partition(".")[2]


def _text(where: Filter) -> str:
    match where:
        case Everything():
            return "true"
        case Nothing():
            return "false"
        case And() | Or():
            word = " and " if isinstance(where, And) else " or "
            return word.join(f"({_text(p)})" if isinstance(p, And | Or) else _text(p) for p in where.parts)
        case Not():
            return f"not ({_text(where.part)})"
        case IsNull():
            return f"{_name(where.path)} is null"
        case In():
            return f"{_name(where.path)} in (?)"
        case Compare():
            return f"{_name(where.path)} {_SIGNS[where.op]} ?"
        case Contains() | StartsWith() | Has():
            return f"{_name(where.path)} {where.name.replace('_', ' ')} ?"
        case AnyRelated():
            return f"any {where.child.stored} by {where.reference.name}{_clause('where', where.where)}"
        case _:
            raise AssertionError(type(where))
