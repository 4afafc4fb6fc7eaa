"""Plans of reads: the command as a template, and how its documents become instances. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import SchemaValidator

from dbkit.answers import too_many_children
from dbkit.errors import StoredDataInvalid
from dbkit.options import MAX_ROWS_UNASKED
from dbkit.query import Compare, Count, Exists, Filter, Find, Order, Path, Slot, seek
from dbkit.spec import EntitySpec, FieldSpec, Output, ReadSpec
from dbkit.values import explain_validation

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
from .errors import Doing
from .rows import Codec, key_of
from .templates import Fill, Hole, compile_template, text_of

__all__ = [
    "FindPlan",
    "Shape",
    "compile_count",
    "compile_exists",
    "compile_find",
    "compile_get",
    "decisive",
    "shape_of",
]

Document = dict[str, Any]


# -- from documents to instances -----------------------------------------------------------------------------------------


class Shape:
    """How the documents of one read become instances: by one validator, built once."""

    def __init__(self, read: ReadSpec, codec: Codec) -> None:
        self.read = read
        keys: dict[int, str] = {}
        _gather_keys(read, keys)
        self._validator: SchemaValidator = read.validator(codec.decoders, lambda output: keys[id(output)])
        self._fields = {keys[id(o)]: o.name for o in read.outputs}
        self._is_unlimited = _has_unlimited(read)

    def instances(self, documents: list[Document]) -> list[Any]:
        """Return an instance for each document.

        Raises:
            StoredDataInvalid: a document does not fit.
            TooLarge: a relation without a limit has more than 1,000 children.
        """
        if self._is_unlimited:
            for document in documents:
                _check_relations(document, self.read)
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


def _has_unlimited(read: ReadSpec) -> bool:
    return any(r.limit is None or _has_unlimited(r.read) for r in read.relations) or any(
        o.parent is not None and _has_unlimited(o.parent) for o in read.outputs
    )


def _check_relations(document: Document, read: ReadSpec) -> None:
    for position, output in enumerate(read.outputs):
        parent = document.get(output_key(read, position)) if output.parent is not None else None
        if parent is not None:
            assert output.parent is not None
            _check_relations(parent, output.parent)
    for relation in read.relations:
        children: list[Document] = document[relation.name]
        if relation.limit is None and len(children) > MAX_ROWS_UNASKED:
            raise too_many_children(read.model.__name__, relation.name)
        for child in children:
            _check_relations(child, relation.read)


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
    """A read of documents: a `find` where *sort* is said apart, else a pipeline."""

    entity: EntitySpec
    collections: tuple[str, ...]
    """All that it reads."""
    text: str
    doing: Doing
    is_pipeline: bool
    fill: Fill
    """Builds the filter, or the pipeline."""
    sort: list[tuple[str, int]] | None
    projection: dict[str, int] | None
    limit: int | None
    """Which bind is the limit of a find."""
    offset: int | None
    page: int | None
    """Which bind is the page's limit; one more is read."""
    shape: Shape
    last: tuple[Callable[[Document], Any], ...]
    """With *page*: each sort key's value of a document."""
    total: Fill | None
    """With *page*: the pipeline that counts all that the filter takes."""

    @property
    def reads_many(self) -> bool:
        """Whether several commands or collections must be of one instant."""
        return len(self.collections) > 1 or self.total is not None


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
    sort: list[tuple[str, int]] | None = None
    projection: dict[str, int] | None = None
    if is_find:
        where = all_conditions(_own_conditions(own, order, after, level))
        is_sorted = after is not None or not _is_one(entity, own)
        sort = (list(_places(order, level).items()) or None) if is_sorted else None
        tree: Any = where
        places = [level.place(o.path) for o in query.order]
        if not read.is_entity:
            keys = [output_key(read, i) for i in range(len(read.outputs))]
            projection = dict.fromkeys([*keys, *(places if query.page else ())], 1)
            projection.setdefault("_id", 0)
        command: dict[str, Any] = {"find": entity.stored, "filter": tree, "sort": dict(sort or ())}
        command |= {"projection": projection} if projection else {}
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
    text, total = text_of(command), None
    if query.total:
        total = compile_template([*match_stages(query.where, Level(codec, level.collections)), _COUNT])
    return FindPlan(
        entity=entity,
        collections=tuple(level.collections),
        text=text,
        doing=Doing(text, entity),
        is_pipeline=not is_find,
        fill=compile_template(tree),
        sort=sort,
        projection=projection,
        limit=limit,
        offset=offset,
        page=limit if query.page else None,
        shape=shape_of(read, codec, shapes),
        last=tuple(_getter(p, o.path, codec) for p, o in zip(places, query.order, strict=True))
        if query.page
        else (),
        total=total,
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
        pipeline.append(
            {"$limit": MAX_ROWS_UNASKED + 1 if relation.limit is None else max(1, relation.limit)}
        )
        shown = _project(relation.read, inner)
        pipeline += [*inner.take(), {"$project": shown}]
        name = level.new_name()
        level.lookup(relation.read.entity, "_id", key_of(relation.reference), name, pipeline)
        project[relation.name] = [] if relation.limit == 0 else f"${name}"
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
    steps, decode = place.split("."), codec.decoder(path.type)

    def get(document: Document) -> Any:
        value: Any = document
        for step in steps:
            value = cast("Document", value).get(step) if isinstance(value, dict) else None
        return value if value is None or decode is None else decode(value)

    return get


# -- counting ------------------------------------------------------------------------------------------------------------

_COUNT: Stage = {"$group": {"_id": None, "n": {"$sum": 1}}}


@dataclass(frozen=True, slots=True, eq=False)
class PipelinePlan:
    """A pipeline whose documents are no instances."""

    entity: EntitySpec
    collections: tuple[str, ...]
    text: str
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
    return PipelinePlan(query.entity, tuple(level.collections), text, compile_template(tree))
