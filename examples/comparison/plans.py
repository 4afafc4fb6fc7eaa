"""One call, as each store is asked: its SQL, its pipeline, and what the server's planner makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dbkit import DbkitError
from dbkit.blog import Post, UserPostCount

from .stores import Column

__all__ = ["CALL", "Asked", "asked"]

CALL = "db.store(Post).group(UserPostCount, order_by=UserPostCount.post_count.desc(), limit=10)"


@dataclass(frozen=True)
class Asked:
    """What a store was sent for `CALL`, and its plan in a few words."""

    store: str
    label: str
    statement: str
    plan: dict[str, str]


def asked(columns: Sequence[Column]) -> list[Asked]:
    """Return how each store is asked; the memory store sends nothing and is left out."""
    return [_asked(column) for column in columns if column.label != "memory"]


def _asked(column: Column) -> Asked:
    explain = column.db.store(Post).explain()
    try:
        plan = explain.group(UserPostCount, order_by=UserPostCount.post_count.desc(), limit=10)
    except DbkitError as error:
        return Asked(str(column), column.label, "", {"refused": str(error)})
    sorts = {True: "in memory", False: "not needed", None: "not told"}[plan.sorted_in_memory]
    told = {
        "indexes": ", ".join(plan.indexes) or "none",
        "read whole": ", ".join(plan.scans) or "nothing",
        "examined": "not told" if plan.examined is None else f"{plan.examined:,} rows",
        "sorted": sorts,
    }
    return Asked(str(column), column.label, plan.statement, told)
