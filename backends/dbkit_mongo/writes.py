"""Plans of writes: filters and updates as templates. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any

from bson.int64 import Int64

from dbkit.options import MAX_ROWS_TOUCHED
from dbkit.query import (
    Claim,
    DeleteMany,
    DeleteOne,
    Filter,
    Slot,
    UpdateMany,
    UpdateOne,
    Upsert,
)
from dbkit.spec import EntitySpec

from .changes import Parents, compile_changes
from .compile import Condition, Level, all_conditions, condition, match_stages, split
from .errors import IN_STEPS, Doing
from .reads import Shape, decisive, shape_of
from .rows import Codec, key_of, row_template
from .templates import Fill, Hole, compile_template, text_of

__all__ = [
    "ClaimPlan",
    "DeletePlan",
    "InsertPlan",
    "UpdatePlan",
    "UpsertPlan",
    "compile_claim",
    "compile_delete",
    "compile_insert",
    "compile_update",
    "compile_upsert",
]


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Which documents a write is about."""

    own: Fill
    """The filter on the document alone."""
    joined: Fill | None
    """Where the filter reaches other collections, which a write cannot: the pipeline that gives the ids (`_id` alone), at
    most one more than may be written."""
    collections: tuple[str, ...]
    counting: Doing
    """Counting the documents that *own* takes, at most one more than may be written."""
    joining: Doing
    """Asking for the ids that *joined* gives."""


def _choose(entity: EntitySpec, first: list[Condition], where: Filter | None, level: Level) -> Choice:
    own, joined = split(where)
    pipeline: Fill | None = None
    stages: list[Any] = []
    if joined:
        inner = Level(level.codec, level.collections)
        stages += [{"$match": all_conditions(first)}] if first else []
        stages += [*match_stages(where, inner), {"$project": {"_id": 1}}, {"$limit": MAX_ROWS_TOUCHED + 1}]
        pipeline = compile_template(stages)
    filter = all_conditions([*first, *(condition(p, level) for p in own)])
    return Choice(
        own=compile_template(filter),
        joined=pipeline,
        collections=tuple(level.collections),
        counting=_aggregating(entity, [{"$match": filter}, {"$limit": MAX_ROWS_TOUCHED + 1}, _COUNTED]),
        joining=_aggregating(entity, stages),
    )


_COUNTED = {"$group": {"_id": 1, "n": {"$sum": 1}}}
"""What PyMongo's `count_documents` sends after the filter and the limit."""


def _aggregating(entity: EntitySpec, stages: list[Any]) -> Doing:
    return Doing(text_of({"aggregate": entity.stored, "pipeline": stages}), entity)


# -- updates -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class UpdatePlan:
    """An update of one document or of many."""

    entity: EntitySpec
    text: str
    choice: Choice
    within: Fill
    """The filter with the ranges; applied to the chosen ids where there are joins."""
    update: Fill
    ranges: dict[str, Fill]
    """For each computed field, the filter with its own range alone."""
    parents: Parents
    shape: Shape

    @property
    def suspect(self) -> str | None:
        """The computed field, where there is one alone; a version has room enough."""
        names = [name for name in self.ranges if name != "version"] or list(self.ranges)
        return names[0] if len(names) == 1 else None

    @property
    def needs_transaction(self) -> bool:
        """Whether one command is not enough."""
        return bool(self.parents) or self.choice.joined is not None


def compile_update(query: UpdateOne | UpdateMany, codec: Codec, shapes: dict[int, Shape]) -> UpdatePlan:
    """Compile a slotted update."""
    entity = query.entity
    level = Level(codec, {entity.stored: None})
    first: list[Condition] = []
    if isinstance(query, UpdateOne):
        assert isinstance(query.id, Slot)
        first.append({"_id": Hole(query.id.index, encode=codec.encoder(entity.id.type))})
    choice = _choose(entity, first, query.where, level)
    changes = compile_changes(query.changes, level)
    own, _ = split(query.where)
    within = all_conditions([*first, *(condition(p, level) for p in own), *chain(*changes.ranges.values())])
    command: dict[str, Any]
    if isinstance(query, UpdateOne):
        command = {"findAndModify": entity.stored, "query": within, "update": changes.update}
    else:
        command = {
            "update": entity.stored,
            "updates": [{"q": within, "u": changes.update, "multi": True}],
        }
    return UpdatePlan(
        entity=entity,
        text=text_of(command),
        choice=choice,
        within=compile_template(within),
        update=compile_template(changes.update),
        ranges={
            name: compile_template(all_conditions([*first, *(condition(p, level) for p in own), *conditions]))
            for name, conditions in changes.ranges.items()
        },
        parents=changes.parents,
        shape=shape_of(entity.read, codec, shapes),
    )


@dataclass(frozen=True, slots=True, eq=False)
class ClaimPlan:
    """A claim: a look for candidates, then one `findAndModify` for each document, or in a transaction an update and a find."""

    entity: EntitySpec
    text: str
    looking: Doing
    checking: Doing
    """Asking for *out_of_range*."""
    updating: str
    finding: str
    own: Fill
    within: Fill
    out_of_range: Fill | None
    """The pipeline that gives a document where one of the first *limit* would leave its range."""
    suspect: str | None
    """The computed field, where there is one alone."""
    update: Fill
    sort: list[tuple[str, int]]
    limit: int
    parents: Parents
    shape: Shape


def compile_claim(query: Claim, codec: Codec, shapes: dict[int, Shape]) -> ClaimPlan:
    """Compile a slotted `Claim`, whose filter and order are of the entity's own fields."""
    entity = query.entity
    level = Level(codec, {entity.stored: None})
    own, _ = split(query.where)
    conditions = [condition(p, level) for p in own]
    changes = compile_changes(query.changes, level)
    ranges = [*chain(*changes.ranges.values())]
    within = all_conditions([*conditions, *ranges])
    order = query.order[: decisive(entity, query.order)]
    sort = [(level.place(o.path), -1 if o.descending else 1) for o in order]
    assert isinstance(query.limit, Slot)
    misfits: Fill | None = None
    stages: list[Any] = []
    # A version at the end of 64 bits is not worth a read before each claim: its document is not claimed.
    computed = [name for name in changes.ranges if not entity.versioned or name != "version"]
    if computed:
        stages = [
            {"$match": all_conditions(conditions)},
            {"$sort": dict(sort)},
            {"$limit": Hole(query.limit.index)},
        ]
        stages += [
            {"$match": {"$nor": [all_conditions(ranges)]}},
            {"$limit": 1},
            {"$project": {"_id": 1}},
        ]
        misfits = compile_template(stages)
    one = {"$and": [{"_id": "?"}, within]} if "_id" in within else {"_id": "?", **within}
    looking = {
        "find": entity.stored,
        "filter": within,
        "projection": {"_id": 1},
        "sort": dict(sort),
        "limit": "?",
    }
    updating = {"update": entity.stored, "updates": [{"q": one, "u": changes.update}]}
    finding = {"find": entity.stored, "filter": {"_id": "?"}, "limit": 1}
    return ClaimPlan(
        entity=entity,
        text=text_of({"findAndModify": entity.stored, "query": one, "update": changes.update}),
        looking=Doing(text_of(looking), entity),
        checking=_aggregating(entity, stages),
        updating=text_of(updating),
        finding=text_of(finding),
        own=compile_template(all_conditions(conditions)),
        within=compile_template(within),
        out_of_range=misfits,
        suspect=computed[0] if len(computed) == 1 else None,
        update=compile_template(changes.update),
        sort=sort,
        limit=query.limit.index,
        parents=changes.parents,
        shape=shape_of(entity.read, codec, shapes),
    )


# -- inserts and upserts -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class InsertPlan:
    """The document of a row."""

    entity: EntitySpec
    text: str
    alone: Doing
    """How it is done outside transactions."""
    fill: Fill
    """Builds the document from a row."""
    parents: Parents


def compile_insert(entity: EntitySpec, codec: Codec) -> InsertPlan:
    """Compile the insertion of rows."""
    document = row_template(entity, codec)
    text = text_of({"insert": entity.stored, "documents": [document]})
    alone = Doing(text, entity, writes=True, within_s=IN_STEPS)
    return InsertPlan(entity, text, alone, compile_template(document), _row_parents(entity))


def _row_parents(entity: EntitySpec) -> Parents:
    return tuple(
        (column, index)
        for index, column in enumerate(entity.columns)
        if column.reference is not None and column.reference.check
    )


@dataclass(frozen=True, slots=True, eq=False)
class UpsertPlan:
    """An upsert by a unique key: one `findAndModify`."""

    entity: EntitySpec
    text: str
    key: tuple[str, ...]
    """The unique key, as stored."""
    filter: Fill
    update: Fill
    version: int | None
    """Which bind is the version; *update* is right where it is 1, else *update_version* is."""
    update_version: Fill | None
    parents: Parents
    shape: Shape


def compile_upsert(query: Upsert, codec: Codec, shapes: dict[int, Shape]) -> UpsertPlan:
    """Compile a slotted `Upsert`."""
    entity = query.entity
    document = row_template(entity, codec)
    key = tuple(key_of(f) for f in query.on.fields)
    filter = {name: document[name] for name in key}
    kept = ["_id", "created_at"] if entity.timestamped else ["_id"]
    kept = [key_of(entity.by_name[name]) if name != "_id" else name for name in kept]
    version = key_of(entity.by_name["version"]) if entity.versioned else None
    changed = {k: value for k, value in document.items() if k not in kept and k != version}
    update: dict[str, Any] = {"$set": changed} if changed else {}
    update["$setOnInsert"] = {k: document[k] for k in kept if k not in key}
    update = {operator: fields for operator, fields in update.items() if fields}
    staged: Fill | None = None
    if version is not None:
        # On a document that is not there yet `$inc` starts at 0.
        update["$inc"] = {version: Int64(1)}
        is_new = {"$eq": [{"$type": "$_id" if "_id" not in key else f"${version}"}, "missing"]}
        stage: dict[str, Any] = {k: {"$literal": value} for k, value in changed.items()}
        stage |= {k: {"$ifNull": [f"${k}", {"$literal": document[k]}]} for k in kept if k not in key}
        stage[version] = {"$cond": [is_new, document[version], {"$add": [f"${version}", Int64(1)]}]}
        staged = compile_template([{"$set": stage}])
    return UpsertPlan(
        entity=entity,
        text=text_of({"findAndModify": entity.stored, "query": filter, "update": update, "upsert": True}),
        key=key,
        filter=compile_template(filter),
        update=compile_template(update),
        version=None if version is None else entity.columns.index(entity.by_name["version"]),
        update_version=staged,
        parents=_row_parents(entity),
        shape=shape_of(entity.read, codec, shapes),
    )


# -- deletes -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class DeletePlan:
    """A delete of one document or of many."""

    entity: EntitySpec
    text: str
    choice: Choice


def compile_delete(query: DeleteOne | DeleteMany, codec: Codec) -> DeletePlan:
    """Compile a slotted delete."""
    entity = query.entity
    level = Level(codec, {entity.stored: None})
    first: list[Condition] = []
    if isinstance(query, DeleteOne):
        assert isinstance(query.id, Slot)
        first.append({"_id": Hole(query.id.index, encode=codec.encoder(entity.id.type))})
    choice = _choose(entity, first, query.where, level)
    own, _ = split(query.where)
    tree = all_conditions([*first, *(condition(p, level) for p in own)])
    command: dict[str, Any]
    if isinstance(query, DeleteOne):
        command = {"findAndModify": entity.stored, "query": tree, "remove": True}
    else:
        command = {"delete": entity.stored, "deletes": [{"q": tree, "limit": 0}]}
    return DeletePlan(entity, text_of(command), choice)
