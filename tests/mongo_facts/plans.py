"""Reading explain: the plan's stages in every shape that servers give."""

from collections.abc import Iterator
from typing import Any

from pymongo.database import Database

from .conftest import Doc


def stages_of(plan: Any) -> Iterator[Doc]:
    """Yield every stage of a plan, outermost first."""
    if plan.__class__ is list:
        for item in plan:
            yield from stages_of(item)
    elif isinstance(plan, dict):
        if "stage" in plan:
            yield plan
        for name in ("queryPlan", "inputStage", "inputStages", "shards"):
            if name in plan:
                yield from stages_of(plan[name])


def indexes_of(plan: Doc) -> list[str]:
    """Return the names of the indexes that a plan reads; IDHACK and its successors name none."""
    return [stage["indexName"] for stage in stages_of(plan) if "indexName" in stage]


def winning_plan(db: Database[Doc], collection: str, query: Doc, **find: Any) -> Doc:
    """Return the winning plan of a find."""
    command = {"find": collection, "filter": query, **find}
    plan: Doc = db.command("explain", command, verbosity="queryPlanner")["queryPlanner"]["winningPlan"]
    return plan
