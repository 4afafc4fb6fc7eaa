"""Plans of reads: the command as a template, and how its documents become instances. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import SchemaValidator

from dbkit.answers import too_many_children
from dbkit.errors import StoredDataInvalid
from dbkit.options import MAX_ROWS_UNASKED
from dbkit.query import Compare, Count, Exists, Filter, Find, Order, Path, Slot, seek
from dbkit.spec import EntitySpec, FieldSpec, Output, ReadSpec
from dbkit.values import Kind, ValueType, explain_validation

from .compile import (
    JOINED,
    Condition,
    Level,
    Stage,
    all_conditions,
    any_condition,
    condition,
    match_stages,
    split,
)
from .errors import IN_STEPS, Doing
from .rows import CODEC_OPTIONS, WITHOUT_ZONE, Codec, key_of
from .templates import Fill, Hole, compile_template, text_of

__all__ = [
    "ALL_AT_ONCE",
    "FindPlan",
    "Shape",
    "compile_count",
    "compile_exists",
    "compile_find",
    "compile_get",
    "decisive",
    "find_options",
    "shape_of",
]

Document = dict[str, Any]

FIRST_BATCH = 101
"""https://www.mongodb.com/docs/manual/tutorial/iterate-a-cursor/#cursor-batches"""
ALL_AT_ONCE = {"batchSize": 100_000}
"""Where what asks for them bounds the documents: as many as one reply holds."""

# -- from documents to instances -----------------------------------------------------------------------------------------


class Shape:
    """How the documents of one read become instances: by one validator, built once.

    Attributes:
        codec_options: what the driver decodes the documents by.
    """

    def __init__(self, read: ReadSpec, codec: Codec) -> None:
        self.read = read
        self._zone = _zone_of(read)
        self.codec_options = CODEC_OPTIONS if self._zone is None else WITHOUT_ZONE
        keys: dict[int, str] = {}
        _gather_keys(read, keys)
        self._validator: SchemaValidator = read.validator(codec.decoders, lambda output: keys[id(output)])
        self._fields = {keys[id(o)]: o.name for o in read.outputs}
        self._unlimited = tuple(relation.name for relation in read.relations if relation.limit is None)

    def instances(self, documents: list[Document]) -> list[Any]:
        """Return an instance for each document.

        Raises:
            StoredDataInvalid: a document does not fit.
            TooLarge: a relation without a limit has more than 1,000 children.
        """
        for name in self._unlimited:
            if any(len(document[name]) > MAX_ROWS_UNASKED for document in documents):
                raise too_many_children(self.read.model.__name__, name)
        if self._zone is not None:
            self._zone(documents)
        try:
            made: list[Any] = self._validator.validate_python(documents)
        except ValidationError as error:
            raise self._misfit(error) from None
        return made

    def _misfit(self, error: ValidationError) -> StoredDataInvalid:
        where, message = explain_validation(error)
        steps = [str(step) for step in where[1:]]
        if steps:
            steps[0] = self._fields.get(steps[0], steps[0])
        field = ".".join(steps) or None
        entity = self.read.entity.name
        return StoredDataInvalid(
            f"a stored document does not fit {self.read.model.__name__}: {field or 'it'} {message}",
            entity=entity,
            field=field,
            hint="another program wrote it, or the entity was changed without its data",
        )


def _zone_of(read: ReadSpec) -> Callable[[list[Document]], None] | None:
    """Return what gives the datetimes of documents their zone; None where the driver has to.

    The driver's decoder takes a microsecond for each zone that it sets, which is a quarter of a page of 50; `combine` takes
    a tenth of that. It is worth the trouble where datetimes stand as columns; inside nested values they are the driver's.
    """
    if any(_is_nested(output.path.type) for output in _all_outputs(read)):
        return None
    loops = _zone_source(read, "documents", 1)
    if not loops:
        return None
    source = "\n".join(["def zone(documents):", *loops])
    names: dict[str, Any] = {"datetime": datetime, "combine": datetime.combine, "UTC": UTC}
    # Of our own keys, as literals.
    exec(compile(source, "<dbkit_mongo zone>", "exec"), names)  # noqa: S102
    zone: Callable[[list[Document]], None] = names["zone"]
    return zone


def _is_nested(type: ValueType) -> bool:
    return type.kind in {Kind.MODEL, Kind.LIST, Kind.DICT, Kind.JSON}


def _all_outputs(read: ReadSpec) -> Iterator[Output]:
    for output in read.outputs:
        if output.parent is None:
            yield output
        else:
            yield from _all_outputs(output.parent)
    for relation in read.relations:
        yield from _all_outputs(relation.read)


def _zone_source(read: ReadSpec, documents: str, depth: int) -> list[str]:
    indent, name = "    " * depth, f"d{depth}"
    inner: list[str] = []
    for position, output in enumerate(read.outputs):
        key = output_key(read, position)
        if output.parent is not None:
            inside = _zone_source(output.parent, "(p,)", depth + 2)
            if inside:
                inner += [f"{indent}    if (p := {name}.get({key!r})) is not None:", *inside]
        elif output.path.type.kind is Kind.DATETIME:
            inner += [
                f"{indent}    if (v := {name}.get({key!r})).__class__ is datetime:",
                f"{indent}        {name}[{key!r}] = combine(v, v.time(), UTC)",
            ]
    for relation in read.relations:
        inner += _zone_source(relation.read, f"{name}[{relation.name!r}]", depth + 1)
    return [f"{indent}for {name} in {documents}:", *inner] if inner else []


def is_plain(read: ReadSpec) -> bool:
    """Whether the read returns fields of the document itself and nothing else."""
    return not read.relations and all(o.parent is None and o.path.is_own_field for o in read.outputs)


def output_key(read: ReadSpec, position: int) -> str:
    """Return the key under which the output stands in what the command returns."""
    output = read.outputs[position]
    if output.parent is None and output.path.is_own_field:
        key = key_of(output.path.field)
        if all(key != relation.name for relation in read.relations):
            return key
    return f"{JOINED}o{position}"


def _gather_keys(read: ReadSpec, keys: dict[int, str]) -> None:
    for position, output in enumerate(read.outputs):
        keys[id(output)] = output_key(read, position)
        if output.parent is not None:
            _gather_keys(output.parent, keys)
    for relation in read.relations:
        _gather_keys(relation.read, keys)


# -- orders --------------------------------------------------------------------------------------------------------------


def decisive(entity: EntitySpec, order: Sequence[Order]) -> int:
    """Return how many keys of *order* decide: those after a unique key that is never null change nothing.

    Without them a unique index alone, which has no `_id`, gives the order.
    """
    seen: set[int] = set()
    for count, key in enumerate(order, 1):
        if not key.path.is_own_field:
            continue
        seen.add(key.path.field.token)
        if entity.id.token in seen:
            return count
        for unique in entity.uniques:
            if all(f.token in seen and not f.type.nullable for f in unique.fields):
                return count
    return len(order)


def _is_one(entity: EntitySpec, own: Sequence[Filter]) -> bool:
    """Whether the conditions, which all hold, name a unique key: of one document there is no order."""
    known = {
        part.path.field.token
        for part in own
        if isinstance(part, Compare) and part.op == "eq" and part.path.is_own_field
    }
    return entity.id.token in known or any(
        all(f.token in known for f in unique.fields) for unique in entity.uniques
    )


def _places(order: Iterable[Order], level: Level) -> dict[str, int]:
    return {level.place(o.path): -1 if o.descending else 1 for o in order}


# -- plans ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class FindPlan:
    """A read of documents: a `find`, or a pipeline."""

    entity: EntitySpec
    collections: tuple[str, ...]
    """All that it reads."""
    text: str
    doing: Doing
    is_pipeline: bool
    fill: Fill
    """Builds the filter, or the pipeline."""
    rest: Document
    """What each command of a find has beside the filter: order and projection."""
    limit: int | None
    """Which bind is the limit of a find."""
    offset: int | None
    page: int | None
    """Which bind is the page's limit; one more is read."""
    shape: Shape
    last: tuple[Callable[[Document], Any], ...]
    """With *page*: each sort key's value of a document."""

    def command(self, binds: tuple[Any, ...]) -> Document:
        """Return the command of a find, the driver's to change."""
        command: Document = {"find": self.entity.stored, "filter": self.fill(binds), **self.rest}
        if self.limit is not None:
            limit: int = binds[self.limit] + (self.page is not None)
            command["limit"] = limit
            if limit == 1:
                command["singleBatch"] = True
            elif limit >= FIRST_BATCH:
                # One more than the limit, so that no cursor stays open.
                command["batchSize"] = limit + 1
        if self.offset is not None:
            command["skip"] = binds[self.offset]
        return command


_OPTIONS = {key: key for key in ("filter", "projection", "sort", "limit", "skip")} | {
    "batchSize": "batch_size"
}


def find_options(command: Document) -> Document:
    """Return a find's command as the arguments of PyMongo's `find`."""
    options = {_OPTIONS[key]: value for key, value in command.items() if key in _OPTIONS}
    if "sort" in options:
        options["sort"] = list(options["sort"].items())
    return options


def shape_of(read: ReadSpec, codec: Codec, known: dict[int, Shape]) -> Shape:
    """Return the shape of *read*, made once."""
    shape = known.get(read.token)
    if shape is None:
        shape = known[read.token] = Shape(read, codec)
    return shape


def compile_find(query: Find, codec: Codec, shapes: dict[int, Shape]) -> FindPlan:
    """Compile a slotted `Find`."""
    entity, read = query.entity, query.read
    level = Level(codec, {entity.stored: None})
    order = query.order[: decisive(entity, query.order)]
    after = None if query.after is None else query.after[: len(order)]
    own, joined = split(query.where)
    is_find = not joined and is_plain(read) and not any(o.path.references for o in order)
    limit = query.limit.index if isinstance(query.limit, Slot) else None
    offset = query.offset.index if isinstance(query.offset, Slot) else None
    rest: Document = {}
    if is_find:
        where = all_conditions(_own_conditions(own, order, after, level))
        is_one = after is None and _is_one(entity, own)
        sort = {} if is_one else _places(order, level)
        tree: Any = where
        places = [level.place(o.path) for o in query.order]
        if sort:
            rest["sort"] = sort
        if not read.is_entity:
            keys = [output_key(read, i) for i in range(len(read.outputs))]
            rest["projection"] = dict.fromkeys([*keys, *(places if query.page else ())], 1)
            rest["projection"].setdefault("_id", 0)
        if limit is None:
            rest |= {"limit": 1, "singleBatch": True} if is_one else ALL_AT_ONCE
        command: Document = {"find": entity.stored, "filter": tree, **rest}
        command |= {"limit": "?"} if limit is not None else {}
        command |= {"skip": "?"} if offset is not None else {}
    else:
        stages = _row_stages(query.where, order, after, level)
        if offset is not None:
            stages.append({"$skip": Hole(offset)})
        if limit is not None:
            stages.append({"$limit": Hole(limit, encode=_one_more if query.page else None)})
        project = _project(read, level)
        places = []
        for position, key in enumerate(query.order if query.page else ()):
            name = f"{JOINED}k{position}"
            project[name] = f"${level.place(key.path)}"
            places.append(name)
        tree = [*stages, *level.take(), {"$project": project}]
        command = {"aggregate": entity.stored, "pipeline": tree}
    text = text_of(command)
    return FindPlan(
        entity=entity,
        collections=tuple(level.collections),
        text=text,
        doing=Doing(text, entity, within_s=IN_STEPS),
        is_pipeline=not is_find,
        fill=compile_template(tree),
        rest=rest,
        limit=limit,
        offset=offset,
        page=limit if query.page else None,
        shape=shape_of(read, codec, shapes),
        last=tuple(_getter(p, o.path, codec) for p, o in zip(places, query.order, strict=True))
        if query.page
        else (),
    )


def compile_get(read: ReadSpec, codec: Codec, shapes: dict[int, Shape]) -> FindPlan:
    """Compile the read of one document by its id, the only bind."""
    by_id = Compare.__new__(Compare)
    path = Path.of(read.entity, read.entity.id)
    by_id.path, by_id.op, by_id.value = path, "eq", Slot(0)
    by_id.root, by_id.conditions, by_id.shape, by_id.binds = read.entity, 1, ("eq", path.shape), ()
    return compile_find(Find(read, by_id, ()), codec, shapes)


def _one_more(limit: int) -> int:
    return limit + 1


def _own_conditions(
    own: list[Filter], order: Sequence[Order], after: Sequence[Any] | None, level: Level
) -> list[Condition]:
    """Return the conditions on the document alone; after a cursor they are copied into each branch (SEMANTICS §3).

    So each branch is a range of an index, and the server merges the sorted branches.
    """
    conditions = [condition(p, level) for p in own]
    if after is None:
        return conditions
    branches = [
        all_conditions([*conditions, *(condition(f, level) for f in branch)]) for branch in seek(order, after)
    ]
    return [any_condition(branches)]


def _row_stages(
    where: Filter | None, order: Sequence[Order], after: Sequence[Any] | None, level: Level
) -> list[Stage]:
    """Return the stages that choose and sort rows."""
    own, joined = split(where)
    sorts_joined = any(o.path.references for o in order)
    first = _own_conditions(own, order, None if sorts_joined else after, level)
    stages: list[Stage] = [{"$match": all_conditions(first)}] if first else []
    later = [condition(p, level) for p in joined]
    if sorts_joined and after is not None:
        branches = [all_conditions([condition(f, level) for f in branch]) for branch in seek(order, after)]
        later.append(any_condition(branches))
    sort = _places(order, level)
    stages += level.take()
    if later:
        stages.append({"$match": all_conditions(later)})
    if sort:
        stages.append({"$sort": sort})
    return stages


def _project(read: ReadSpec, level: Level) -> dict[str, Any]:
    """Return what `$project` shows of a document, and add the joins that it needs to *level*."""
    project: dict[str, Any] = {}
    for position, output in enumerate(read.outputs):
        key = output_key(read, position)
        if output.parent is not None:
            project[key] = f"${_parent(output, level)}"
        else:
            place = level.place(output.path)
            project[key] = 1 if place == key else f"${place}"
    for relation in read.relations:
        inner = level.deeper()
        pipeline = _row_stages(relation.where, relation.order, None, inner)
        pipeline.append({"$limit": relation.limit or MAX_ROWS_UNASKED + 1})
        shown = _project(relation.read, inner)
        pipeline += [*inner.take(), {"$project": shown}]
        name = level.new_name()
        level.lookup(relation.read.entity, "_id", key_of(relation.reference), name, pipeline)
        project[relation.name] = f"${name}"
    project.setdefault("_id", 0)
    return project


def _parent(output: Output, level: Level) -> str:
    """Join a whole parent and return its name."""
    read = output.parent
    assert read is not None
    chain: tuple[FieldSpec, ...] = (*output.path.references, output.path.field)
    if is_plain(read):
        return level.parent(chain)
    local = key_of(chain[-1])
    if len(chain) > 1:
        local = f"{level.parent(chain[:-1])}.{local}"
    inner, name = level.deeper(), level.new_name()
    shown = _project(read, inner)
    level.lookup(read.entity, local, "_id", name, [*inner.take(), {"$project": shown}])
    level.append({"$unwind": {"path": f"${name}", "preserveNullAndEmptyArrays": True}})
    return name


def _getter(place: str, path: Path, codec: Codec) -> Callable[[Document], Any]:
    """Return what reads the sort key at *place* of a document, as a canonical value."""
    steps = place.split(".")
    decode = _in_utc if path.type.kind is Kind.DATETIME else codec.decoder(path.type)

    def get(document: Document) -> Any:
        value: Any = document
        for step in steps:
            value = cast("Document", value).get(step) if isinstance(value, dict) else None
        return value if value is None or decode is None else decode(value)

    return get


def _in_utc(value: Any) -> Any:
    return datetime.combine(value, value.time(), UTC) if isinstance(value, datetime) else value


# -- counting ------------------------------------------------------------------------------------------------------------

_COUNT: Stage = {"$group": {"_id": None, "n": {"$sum": 1}}}


@dataclass(frozen=True, slots=True, eq=False)
class PipelinePlan:
    """A pipeline whose documents are no instances."""

    entity: EntitySpec
    collections: tuple[str, ...]
    text: str
    doing: Doing
    fill: Fill


def compile_count(query: Count, codec: Codec) -> PipelinePlan:
    """Compile a slotted `Count`: one document `{n: …}`, or none for 0."""
    return _pipeline(query, codec, [_COUNT])


def compile_exists(query: Exists, codec: Codec) -> PipelinePlan:
    """Compile a slotted `Exists`: one document or none."""
    return _pipeline(query, codec, [{"$limit": 1}, {"$project": {"_id": 1}}])


def _pipeline(query: Count | Exists, codec: Codec, end: list[Stage]) -> PipelinePlan:
    level = Level(codec, {query.entity.stored: None})
    tree = [*match_stages(query.where, level), *end]
    text = text_of({"aggregate": query.entity.stored, "pipeline": tree})
    doing = Doing(text, query.entity, within_s=IN_STEPS)
    return PipelinePlan(query.entity, tuple(level.collections), text, doing, compile_template(tree))
