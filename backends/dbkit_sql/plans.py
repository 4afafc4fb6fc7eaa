"""What the servers' planners say, as a `Plan`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from dbkit.statement import Plan

__all__ = ["POSTGRES_EXPLAIN", "postgres_plan", "sqlite_plan"]

_INDEX = re.compile(r"USING (?:COVERING |AUTOMATIC |PARTIAL |COVERING )*INDEX (\S+)")
_ROWID = re.compile(r"SEARCH (\S+) USING INTEGER PRIMARY KEY")
_SCAN = re.compile(r"SCAN (\S+)")


def sqlite_plan(text: str, rows: Sequence[Sequence[Any]], tables: Collection[str]) -> Plan:
    """Return the plan that EXPLAIN QUERY PLAN gave as rows (https://www.sqlite.org/eqp.html).

    *tables* are the names of the tables; what else is scanned is made by the statement itself.
    """
    details = [str(row[3]) for row in rows]
    indexes: list[str] = []
    scans: list[str] = []
    is_sorted = False
    for detail in details:
        if found := _INDEX.search(detail):
            indexes.append(found[1])
        elif found := _ROWID.search(detail):
            indexes.append(f"{found[1]}.rowid")
        elif (found := _SCAN.match(detail)) and found[1].partition("$")[0] in tables:
            scans.append(found[1].partition("$")[0])
        # "FOR LAST TERM OF ORDER BY" only sorts what an index left equal.
        if detail == "USE TEMP B-TREE FOR ORDER BY":
            is_sorted = True
    return Plan(text, tuple(dict.fromkeys(indexes)), None, is_sorted, tuple(dict.fromkeys(scans)), details)


POSTGRES_EXPLAIN = "EXPLAIN (ANALYZE, VERBOSE, TIMING OFF, SUMMARY OFF, BUFFERS OFF, FORMAT JSON)"
"""Runs the read and throws its rows away, as MongoDB's explain does: the planner alone does not say what is looked at.
VERBOSE names the tables' schemas."""


def postgres_plan(text: str, answer: Any, tables: Collection[str] = ()) -> Plan:
    """Return the plan that EXPLAIN gave as JSON; without ANALYZE it does not say how many rows were looked at.

    *tables* are the declared names: one that is declared with its schema is told with it.
    """
    nodes = list(_nodes(answer[0]["Plan"]))
    indexes = [node["Index Name"] for node in nodes if "Index Name" in node]
    scans = [_table(node, tables) for node in nodes if node["Node Type"] == "Seq Scan"]
    # An incremental sort only sorts what an index left equal, and what stands above a limit is a page at most.
    is_sorted = any(node["Node Type"] == "Sort" and not _is_cut_off(node) for node in nodes)
    counts = [_looked_at(node) for node in nodes if "Relation Name" in node]
    examined = None if None in counts else sum(filter(None, counts))
    return Plan(text, tuple(dict.fromkeys(indexes)), examined, is_sorted, tuple(dict.fromkeys(scans)), answer)


def _table(node: dict[str, Any], tables: Collection[str]) -> str:
    name = str(node["Relation Name"])
    full = f"{node.get('Schema')}.{name}"
    return full if full in tables else name


def _looked_at(node: dict[str, Any]) -> int | None:
    """Return how many rows a node read of its table (PostgreSQL's manual, 14.1.2: the figures are means of its loops)."""
    if "Actual Loops" not in node:
        return None
    dropped = (node.get(f"Rows Removed by {why}", 0) for why in ("Filter", "Index Recheck"))
    found: float = (node["Actual Rows"] + sum(dropped)) * node["Actual Loops"]
    return round(found)


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _is_cut_off(node: dict[str, Any]) -> bool:
    """Return whether a limit stands between the node and every table."""
    if node["Node Type"] == "Limit":
        return True
    below: list[dict[str, Any]] = node.get("Plans", [])
    return bool(below) and all(_is_cut_off(child) for child in below)
