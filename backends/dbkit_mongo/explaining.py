"""From a plan to `explain`'s command, and from its answer to a `Plan`. Pure.

The answer has three forms: the classic engine's stages, the slot-based engine's with the stages below `queryPlan`, and a
pipeline's list of stages whose first holds the cursor's own answer.
https://www.mongodb.com/docs/manual/reference/explain-results/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from dbkit.statement import Plan

from .groups import GroupPlan
from .reads import FindPlan, PipelinePlan

__all__ = ["command_of", "plan_of"]

AnyPlan = FindPlan | PipelinePlan | GroupPlan
Node = Mapping[str, Any]


def command_of(plan: AnyPlan, binds: tuple[Any, ...]) -> dict[str, Any]:
    """Return the command that the plan runs, with its values."""
    name = plan.entity.stored
    if not isinstance(plan, FindPlan) or plan.is_pipeline:
        return {"aggregate": name, "pipeline": plan.fill(binds), "cursor": {}}
    return plan.command(binds)


def plan_of(plan: AnyPlan, raw: Mapping[str, Any]) -> Plan:
    """Return what the server said, in dbkit's terms."""
    indexes: list[str] = []
    scans: list[str] = []
    sorts = False
    for collection, node in _winning(raw, plan.entity.stored):
        stage = str(node.get("stage", ""))
        index = node.get("indexName")
        if stage.endswith("IDHACK") and index is None:
            index = "_id_"
        if isinstance(index, str) and index not in indexes:
            indexes.append(index)
        if stage == "COLLSCAN" and collection not in scans:
            scans.append(collection)
        if stage == "EQ_LOOKUP" and node.get("strategy") in {"NestedLoopJoin", "HashJoin"}:
            scans.append(_collection(str(node.get("foreignCollection", "")), collection))
        sorts = sorts or stage == "SORT"
    for step in _stages(raw):
        sorts = sorts or "$sort" in step
        indexes += [used for used in step.get("indexesUsed", ()) if used not in indexes]
        if "$lookup" in step and int(step.get("collectionScans", 0)):
            scans.append(str(step["$lookup"].get("from")))
    return Plan(
        statement=plan.text,
        indexes=tuple(indexes),
        examined=_examined(raw),
        sorted_in_memory=sorts,
        scans=tuple(dict.fromkeys(scans)),
        raw=raw,
    )


def _stages(raw: Node) -> list[Node]:
    return cast("list[Node]", list(raw.get("stages", ())))


def _parts(raw: Node) -> Iterator[Node]:
    """Yield each object that has a `queryPlanner` or `executionStats`: the answer itself, its cursors, its shards."""
    yield raw
    for stage in _stages(raw):
        if "$cursor" in stage:
            yield stage["$cursor"]
    shards = raw.get("shards")
    if isinstance(shards, Mapping):
        for shard in cast("Mapping[str, Node]", shards).values():
            yield from _parts(shard)


def _winning(raw: Node, collection: str) -> Iterator[tuple[str, Node]]:
    has_cursor = any("$cursor" in stage for stage in _stages(raw))
    for part in _parts(raw):
        # SecantusDB repeats the cursor's planner at the top.
        planner = part.get("queryPlanner")
        if planner is None or (part is raw and has_cursor):
            continue
        name = _collection(str(planner.get("namespace", "")), collection)
        winning = planner.get("winningPlan", {})
        for node in _nodes(winning.get("queryPlan", winning)):
            yield name, node


def _collection(namespace: str, default: str) -> str:
    return namespace.partition(".")[2] or default


def _nodes(node: Any) -> Iterator[Node]:
    if not isinstance(node, Mapping):
        return
    known = cast("Node", node)
    yield known
    for key in ("inputStage", "outerStage", "innerStage", "thenStage", "elseStage"):
        yield from _nodes(known.get(key))
    for child in known.get("inputStages", ()):
        yield from _nodes(child)
    for shard in known.get("shards", ()):
        yield from _nodes(shard.get("winningPlan"))


def _examined(raw: Node) -> int | None:
    counts: list[int] = []
    has_cursor = any("$cursor" in stage for stage in _stages(raw))
    for part in _parts(raw):
        if part is raw and has_cursor:
            continue
        examined = part.get("executionStats", {}).get("totalDocsExamined")
        if examined is not None:
            counts.append(int(examined))
    counts += [int(stage["totalDocsExamined"]) for stage in _stages(raw) if "totalDocsExamined" in stage]
    return sum(counts) if counts else None
