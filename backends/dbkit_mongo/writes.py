"""Plans of writes: filters and updates as templates. Pure.

Changes become classic operators (`$set`, `$inc`, `$push`, `$pull`) where those say the same, else one `$set` stage of an
update pipeline, which sees the document as it was. The range that a computed value must keep stands in the filter, so a
document that would leave it is not matched and stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from typing import Any, NamedTuple, cast

from bson.decimal128 import Decimal128
from bson.int64 import Int64

from dbkit.errors import Unsupported
from dbkit.options import MAX_ROWS_TOUCHED
from dbkit.query import (
    Append,
    Arithmetic,
    Assign,
    Change,
    Claim,
    Constant,
    DeleteMany,
    DeleteOne,
    Expression,
    FieldValue,
    Filter,
    Remove,
    Slot,
    UpdateMany,
    UpdateOne,
    Upsert,
)
from dbkit.spec import EntitySpec, FieldSpec
from dbkit.values import INT_MAX, INT_MIN, Kind, ValueType

from .compile import Condition, Level, all_conditions, bson_types, condition, hole, match_stages, split
from .errors import WAITS, Doing
from .reads import Shape, decisive, shape_of
from .rows import Codec, key_of, row_template
from .templates import Fill, Fixed, Hole, compile_template, text_of

__all__ = [
    "COMPUTED",
    "ClaimPlan",
    "DeletePlan",
    "InsertPlan",
    "UpdatePlan",
    "UpsertPlan",
    "assigned",
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


Parents = tuple[tuple[FieldSpec, int], ...]
"""The checked references that a write sets: the field, and which bind is the parent's id."""


# -- changes -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """What a write does to a document."""

    update: Any
    """The template of the update document or pipeline."""
    ranges: dict[str, list[Condition]]
    """What must hold of the document so that every computed value stays in its bounds, by field."""
    parents: Parents


def _changes(changes: Sequence[Change], level: Level) -> Changes:
    ranges: dict[str, list[Condition]] = {}
    parents = tuple(_parents(changes))
    classic: dict[str, dict[str, Any]] = {}
    for change in changes:
        operator = _classic(change, level, ranges.setdefault(change.field.name, []))
        if operator is None:
            break
        classic.setdefault(operator[0], {})[key_of(change.field)] = operator[1]
    else:
        return Changes(classic, _kept(ranges), parents)
    if level.codec.is_mongomock:
        raise Unsupported(
            "this change needs 'computed_changes', which mongomock does not have: no update pipelines, so a number "
            "plus a constant is all",
            hint="use a MongoDB server, or memory:// in tests",
        )
    ranges = {change.field.name: [] for change in changes}
    stage = {key_of(change.field): _staged(change, level, ranges[change.field.name]) for change in changes}
    return Changes([{"$set": stage}], _kept(ranges), parents)


def _kept(ranges: dict[str, list[Condition]]) -> dict[str, list[Condition]]:
    return {name: conditions for name, conditions in ranges.items() if conditions}


def _parents(changes: Sequence[Change]) -> list[tuple[FieldSpec, int]]:
    found: list[tuple[FieldSpec, int]] = []
    for change in changes:
        reference = change.field.reference
        if reference is None or not reference.check or not isinstance(change, Assign):
            continue
        assert isinstance(change.expression, Constant)
        slot = change.expression.value
        assert isinstance(slot, Slot)
        found.append((change.field, slot.index))
    return found


def _nullable(slot: Any, type: ValueType, codec: Codec) -> Hole:
    assert isinstance(slot, Slot)
    return Hole(slot.index, encode=codec.encoder(type), nullable=True)


def _classic(change: Change, level: Level, ranges: list[Condition]) -> tuple[str, Any] | None:
    """Return the operator and its operand that make the change, or None where no operator does."""
    type, codec = change.field.type, level.codec
    if isinstance(change, Remove):
        element = type.element
        assert element is not None
        # On null it fails, and it takes 1 for 1.0.
        if type.nullable or element.kind is Kind.JSON:
            return None
        return "$pull", hole(change.value, codec.encoder(element))
    if isinstance(change, Append):
        assert type.element is not None
        if type.nullable:
            return None
        _keep_length(change, ranges)
        return "$push", _nullable(change.value, type.element, codec)
    assert isinstance(change, Assign)
    expression = change.expression
    if isinstance(expression, Constant):
        return "$set", _nullable(expression.value, expression.type, codec)
    return _increment(change, codec, ranges)


class Step(NamedTuple):
    """A number that becomes itself plus or minus a constant."""

    slot: Slot
    sign: int
    encode: Callable[[Any], Any]


def _step(change: Assign, codec: Codec) -> Step | None:
    expression, field = change.expression, change.field
    if not isinstance(expression, Arithmetic) or field.type.nullable or field.type.kind is Kind.FLOAT:
        return None
    left, right, op = expression.left, expression.right, expression.op
    if op == "add" and isinstance(left, Constant):
        left, right = right, left
    is_own = isinstance(left, FieldValue) and left.path.is_own_field and left.path.field is field
    if not is_own or not isinstance(right, Constant) or op == "mul":
        return None
    assert isinstance(right.value, Slot)
    encode = codec.encoder(field.type)
    assert encode is not None
    return Step(right.value, -1 if op == "sub" else 1, encode)


def _step_range(change: Assign, step: Step) -> Condition:
    """Return the range of the field as it is: none of the server's arithmetic, which an index could not serve."""
    low, high = change.field.type.bounds
    sign, bound = step.sign, _int_bound if change.field.type.kind is Kind.INT else step.encode

    def least(amount: Any) -> Any:
        return bound(low - sign * amount)

    def most(amount: Any) -> Any:
        return bound(high - sign * amount)

    index = step.slot.index
    return {key_of(change.field): {"$gte": Hole(index, encode=least), "$lte": Hole(index, encode=most)}}


def _increment(change: Assign, codec: Codec, ranges: list[Condition]) -> tuple[str, Any] | None:
    """Return `$inc` where the field becomes itself plus a constant."""
    step = _step(change, codec)
    if step is None:
        return None
    sign, encode = step.sign, step.encode
    if sign < 0 and change.field.type.kind is Kind.INT and not codec.is_mongomock:
        return None  # minus the least int is no int

    def added(amount: Any) -> Any:
        return encode(sign * amount)

    ranges.append(_step_range(change, step))
    return "$inc", Hole(step.slot.index, encode=added)


def _int_bound(value: int) -> Int64 | float:
    # Beyond 64 bits a double does: what is compared with it lies on one side anyway.
    return Int64(value) if INT_MIN <= value <= INT_MAX else float(value)


def _keep_length(change: Append, ranges: list[Condition]) -> None:
    longest = change.field.type.max_length
    if longest is not None:
        ranges.append({f"{key_of(change.field)}.{max(0, longest - 1)}": {"$exists": False}})


def _staged(change: Change, level: Level, ranges: list[Condition]) -> Any:
    """Return the expression of the field's new value, for a `$set` stage."""
    type, place, codec = change.field.type, f"${key_of(change.field)}", level.codec
    if isinstance(change, Remove):
        assert type.element is not None
        equal: Any = {"$eq": ["$$this", {"$literal": hole(change.value, codec.encoder(type.element))}]}
        if type.element.kind is Kind.JSON:
            assert isinstance(change.value, Slot)
            kinds = hole(change.value, bson_types)
            equal = {"$and": [equal, {"$in": [{"$type": "$$this"}, kinds]}]}
        return {"$filter": {"input": place, "cond": {"$not": [equal]}}}
    if isinstance(change, Append):
        assert type.element is not None
        _keep_length(change, ranges)
        added = [_nullable(change.value, type.element, codec)]
        nothing: list[Any] = []
        return {"$concatArrays": [{"$ifNull": [place, nothing]}, {"$literal": added}]}
    assert isinstance(change, Assign)
    expression = change.expression
    if isinstance(expression, Constant):
        return {"$literal": _nullable(expression.value, expression.type, codec)}
    step = _step(change, codec)
    if step is not None:
        ranges.append(_step_range(change, step))
        operator = "$subtract" if step.sign < 0 else "$add"
        return {operator: [place, Hole(step.slot.index, encode=step.encode)]}
    checks: list[tuple[Any, Any, Any]] = []
    value = _number(expression, level, checks, is_result=True)
    low, high = type.bounds
    checks.append((value, low, high))
    for tree, least, most in checks:
        inside = {"$and": [{"$gte": [tree, _bound(least)]}, {"$lte": [tree, _bound(most)]}]}
        # Null operands give null, which is stored; null, or nothing, is not above null.
        null = {"$lte": [tree, None]}
        ranges.append({"$expr": {"$or": [null, inside]} if expression.type.nullable else inside})
    if type.kind is Kind.INT:
        return {"$toLong": value}
    # −0 + 0 is 0.
    return {"$add": [value, Fixed(_bound(0.0 if type.kind is Kind.FLOAT else Decimal(0)))]}


def _bound(value: Any) -> Any:
    return value if isinstance(value, float) else Decimal128(Decimal(value))


def _number(
    expression: Expression, level: Level, checks: list[tuple[Any, Any, Any]], *, is_result: bool = False
) -> Any:
    """Return the expression for the server, ints as Decimal128: exact where a long would become a double.

    Every result on the way must fit into 64 bits, a decimal as its scaled int. Decimal128 has 34 digits: of what is
    within the bounds none is lost, and what is outside stays outside.
    """
    type = expression.type
    if isinstance(expression, Constant):
        assert isinstance(expression.value, Slot)
        return Hole(expression.value.index, encode=_operand(type), nullable=True)
    if isinstance(expression, FieldValue):
        place = f"${level.place(expression.path)}"
        return {"$toDecimal": place} if type.kind is Kind.INT else place
    assert isinstance(expression, Arithmetic)
    sides = [_number(side, level, checks) for side in (expression.left, expression.right)]
    tree = {_ARITHMETIC[expression.op]: sides}
    if type.kind is not Kind.FLOAT and not is_result:
        scale = Decimal(type.scale)
        checks.append((tree, Decimal(INT_MIN) / scale, Decimal(INT_MAX) / scale))
    return tree


_ARITHMETIC = {"add": "$add", "sub": "$subtract", "mul": "$multiply"}


def _operand(type: ValueType) -> Callable[[Any], Any]:
    if type.kind is Kind.FLOAT:
        return float
    return lambda value: Decimal128(Decimal(value))


COMPUTED = object()
"""What a key is set to where only the server knows the value."""


def assigned(update: Any) -> dict[str, Any]:
    """Return the keys that an update sets in a document that is there, with their values."""
    if isinstance(update, list):
        stage: dict[str, Any] = cast("Any", update)[0]["$set"]
        return {
            key: value["$literal"] if isinstance(value, dict) and "$literal" in value else COMPUTED
            for key, value in stage.items()
        }
    made: dict[str, Any] = {}
    for operator, fields in update.items():
        if operator == "$set":
            made |= fields
        elif operator != "$setOnInsert":
            made |= dict.fromkeys(fields, COMPUTED)
    return made


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
    changes = _changes(query.changes, level)
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
    changes = _changes(query.changes, level)
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
    alone = Doing(text, entity, writes=True, within_s=WAITS)
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
