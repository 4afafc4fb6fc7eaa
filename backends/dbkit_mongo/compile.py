"""From filters and reads to find commands and pipelines, as templates. Pure.

A read of one collection's own fields is a `find`. What reaches other collections is an `aggregate`, its stages in one
visible order: the row's own conditions, joins, the conditions on what was joined, joins to sort by, sort, skip, limit,
and only then the joins and relations that are merely shown.

Joins are `$lookup` by `localField` and `foreignField`: an equality in `$expr` would scan the collection
(https://www.mongodb.com/docs/manual/reference/operator/aggregation/lookup/#performance-considerations).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, cast

from bson.decimal128 import Decimal128

from dbkit.query import (
    And,
    AnyRelated,
    Compare,
    Contains,
    Everything,
    Filter,
    Has,
    In,
    IsNull,
    Not,
    Nothing,
    Or,
    Path,
    Slot,
    StartsWith,
)
from dbkit.spec import EntitySpec, FieldSpec
from dbkit.values import Kind

from .rows import Codec, key_of
from .templates import Fixed, Hole

__all__ = [
    "JOINED",
    "NOWHERE",
    "Condition",
    "Figure",
    "Level",
    "Stage",
    "all_conditions",
    "any_condition",
    "bson_types",
    "condition",
    "hole",
    "match_stages",
    "reaches_others",
    "split",
    "wide",
]

Convert = Callable[[Any], Any]
Condition = dict[str, Any]
Stage = dict[str, Any]

JOINED = "_dbkit_"
"""What all names start with that a pipeline adds to a document; no declared field may."""
NOWHERE: Condition = {"_id": {"$in": []}}
"""The planner knows that no document has it (EOF)."""
_NO_ARRAY: Condition = {"$not": {"$type": "array"}}

_PCRE_SPECIAL = re.compile(r"([\\^$.|?*+(){}\[\]])")


class Figure(NamedTuple):
    """A field of a group's results."""

    place: str
    encode: Convert | None


class Level:
    """The documents of one pipeline: where a value stands in them, and the joins that bring it there.

    Args:
        codec: how values are encoded.
        collections: all collections that the command reads, gathered as they are met.
        figures: the fields of a group's results, by token; None for an entity's documents.
        roots: where references stand that are not where their entity has them, by token: keys of groups.
    """

    def __init__(
        self,
        codec: Codec,
        collections: dict[str, None],
        figures: dict[int, Figure] | None = None,
        roots: dict[int, str] | None = None,
    ) -> None:
        self.codec = codec
        self.collections = collections
        self._figures = figures
        self._roots = roots or {}
        self._aliases: dict[tuple[int, ...], str] = {}
        self._pending: list[Stage] = []
        self._made = 0

    def place(self, path: Path) -> str:
        """Return the dotted name of the path's value, joining what it leads through."""
        if self._figures is not None:
            return self._figures[path.field.token].place
        steps = [s if isinstance(s, str) else s.stored for s in path.inside]
        before = [self.parent(path.references)] if path.references else []
        return ".".join([*before, key_of(path.field), *steps])

    def parent(self, references: tuple[FieldSpec, ...]) -> str:
        """Return the name under which the parent behind *references* is joined; it is not there if it is missing."""
        token = tuple(r.token for r in references)
        alias = self._aliases.get(token)
        if alias is not None:
            return alias
        reference = references[-1]
        local = self._roots.get(reference.token) or key_of(reference)
        if len(references) > 1:
            local = f"{self.parent(references[:-1])}.{key_of(reference)}"
        alias = self._aliases[token] = self.new_name()
        self.lookup(_target(reference), local, "_id", alias, None)
        self._pending.append({"$unwind": {"path": f"${alias}", "preserveNullAndEmptyArrays": True}})
        return alias

    def related(self, filter: AnyRelated) -> str:
        """Return the name of an array that holds a child where there is one that meets the filter."""
        alias = self.new_name()
        pipeline = match_stages(filter.where, self.deeper())
        pipeline += [{"$limit": 1}, {"$project": {"_id": 1}}]
        self.lookup(filter.child, "_id", key_of(filter.reference), alias, pipeline)
        return alias

    def lookup(
        self, entity: EntitySpec, local: str, foreign: str, name: str, pipeline: list[Stage] | None
    ) -> None:
        """Add a join: the documents of *entity* whose *foreign* equals *local*, as the array *name*."""
        self.collections[entity.stored] = None
        stage: Stage = {"from": entity.stored, "localField": local, "foreignField": foreign}
        if pipeline:
            stage["pipeline"] = pipeline
        self._pending.append({"$lookup": {**stage, "as": name}})

    def append(self, stage: Stage) -> None:
        """Add a stage that follows the joins made so far."""
        self._pending.append(stage)

    def take(self) -> list[Stage]:
        """Return the stages that became necessary since the last call."""
        taken, self._pending = self._pending, []
        return taken

    def deeper(self) -> Level:
        """Return the level of a pipeline inside this one."""
        return Level(self.codec, self.collections)

    def new_name(self) -> str:
        self._made += 1
        return f"{JOINED}{self._made}"

    def encoder(self, path: Path) -> Convert | None:
        """Return what encodes a value that is compared with the path's."""
        return (
            self.codec.encoder(path.type) if self._figures is None else self._figures[path.field.token].encode
        )

    def value(self, value: Any, path: Path) -> Hole | Fixed:
        """Return what stands for a value that is compared with the path's."""
        return hole(value, self.encoder(path))


def hole(value: Any, encode: Convert | None) -> Hole | Fixed:
    """Return what stands for a slot of a query, or for a literal of a declared relation."""
    if isinstance(value, Slot):
        return Hole(value.index, encode=encode)
    return Fixed(value if encode is None else encode(value))


def wide(value: int | Decimal) -> Decimal128:
    """Return the operand of a sum, which may have more digits than a field or a Decimal128 has.

    What has more than 34 digits is greater than any sum: of values of 18 digits, `places` of them decimal, 10¹⁵ rows
    sum up to less than 10^(33 − places). So 10⁴⁰ stands for all such numbers.
    """
    number = Decimal(value)
    return Decimal128(number if len(number.as_tuple().digits) <= 34 else Decimal("1E+40").copy_sign(number))


def _target(reference: FieldSpec) -> EntitySpec:
    assert reference.reference is not None
    return reference.reference.target


# -- filters -----------------------------------------------------------------------------------------------------------


def reaches_others(where: Filter) -> bool:
    """Whether the filter needs other collections."""
    if isinstance(where, And | Or):
        return any(map(reaches_others, where.parts))
    if isinstance(where, Not):
        return reaches_others(where.part)
    path: Path | None = getattr(where, "path", None)
    return isinstance(where, AnyRelated) or (path is not None and bool(path.references))


def split(where: Filter | None) -> tuple[list[Filter], list[Filter]]:
    """Return the conditions that hold on the document alone, and those that need joins; all of both must hold."""
    parts = () if where is None else where.parts if isinstance(where, And) else (where,)
    own = [p for p in parts if not isinstance(p, Everything) and not reaches_others(p)]
    return own, [p for p in parts if reaches_others(p)]


def match_stages(where: Filter | None, level: Level) -> list[Stage]:
    """Return the stages that keep the documents that *where* takes; the own conditions first, so that indexes serve."""
    own, joined = split(where)
    stages: list[Stage] = []
    if own:
        stages.append({"$match": all_conditions([condition(p, level) for p in own])})
    if joined:
        wanted = all_conditions([condition(p, level) for p in joined])
        stages += [*level.take(), {"$match": wanted}]
    return stages


def all_conditions(conditions: Sequence[Condition]) -> Condition:
    """Return the condition that all hold: in one document where no key stands in two of them."""
    merged: Condition = {}
    for item in conditions:
        for key, test in item.items():
            known = merged.get(key)
            if known is None:
                merged[key] = test
            elif not key.startswith("$") and _are_operators(known, test) and not known.keys() & test.keys():
                merged[key] = {**known, **test}
            else:
                return {"$and": list(conditions)}
    return merged


def _are_operators(*tests: Any) -> bool:
    return all(
        isinstance(test, dict) and all(k.startswith("$") for k in cast("Condition", test)) for test in tests
    )


def any_condition(conditions: Sequence[Condition]) -> Condition:
    """Return the condition that one holds."""
    if not conditions:
        return NOWHERE
    return conditions[0] if len(conditions) == 1 else {"$or": list(conditions)}


def condition(where: Filter, level: Level) -> Condition:
    """Return the filter as a query document.

    Comparisons match values of their own type only ("type bracketing"), so on null every leaf is false as it shall be:
    https://www.mongodb.com/docs/manual/reference/method/db.collection.find/#type-bracketing
    """
    return _CONDITIONS[type(where)](where, level)


def _compare(where: Compare, level: Level) -> Condition:
    path, place = where.path, level.place(where.path)
    value = level.value(where.value, path)
    if path.type.kind is Kind.JSON:
        # On an array, `{k: 1}` asks its elements; a dict's value that is a list equals no scalar.
        guard = _NO_ARRAY | _typed(where.json_class, level)
        if where.op == "ne":
            return {"$nor": [{place: {"$eq": value, **guard}}]}
        return {place: {f"${_OPERATORS[where.op]}": value, **guard}}
    return {place: value if where.op == "eq" else {f"${_OPERATORS[where.op]}": value}}


def _typed(json_class: str | None, level: Level) -> Condition:
    """Return what mongomock needs, which compares as Python does: True == 1."""
    return {"$type": _MOCK_TYPES[json_class]} if level.codec.is_mongomock and json_class else {}


_MOCK_TYPES = {"bool": "bool", "number": "number", "text": "string"}
_OPERATORS = {"eq": "eq", "ne": "ne", "lt": "lt", "le": "lte", "gt": "gt", "ge": "gte"}


def _in(where: In, level: Level) -> Condition:
    place, type = level.place(where.path), where.path.type
    test: Condition = {"$in": hole(where.values, _each(level.encoder(where.path)))}
    return {
        place: {**test, **_NO_ARRAY, **_typed(where.json_class, level)} if type.kind is Kind.JSON else test
    }


def _each(encode: Convert | None) -> Callable[[Iterable[Any]], list[Any]]:
    if encode is None:
        return list
    return lambda values: [encode(v) for v in values]


def _is_null(where: IsNull, level: Level) -> Condition:
    place = level.place(where.path)
    if where.path.type.kind in {Kind.JSON, Kind.LIST}:
        # `{f: null}` also takes a list with a null in it.
        test: Condition = {place: {"$eq": None, **_NO_ARRAY}}
    else:
        test = {place: None}
    if level.codec.is_mongomock and "." in place:
        # To mongomock nothing inside null is null.
        parts = place.split(".")
        return {"$or": [test, *({".".join(parts[:n]): None} for n in range(1, len(parts)))]}
    return test


def _contains(where: Contains, level: Level) -> Condition:
    return {level.place(where.path): {"$regex": hole(where.value, escaped)}}


def _starts_with(where: StartsWith, level: Level) -> Condition:
    slots = cast("tuple[Slot, Slot] | str", where.value)
    first, after = (slots, where.binds[-1]) if isinstance(slots, str) else slots
    test: Condition = {"$gte": hole(first, None)}
    if not where.is_open:
        test["$lt"] = hole(after, None)
    return {level.place(where.path): test}


def escaped(needle: str) -> str:
    """Return the PCRE that matches exactly *needle*."""
    return _PCRE_SPECIAL.sub(r"\\\1", needle)


def _has(where: Has, level: Level) -> Condition:
    element = where.path.type.element
    assert element is not None
    test: Condition = {"$eq": hole(where.value, level.codec.encoder(element))}
    if element.kind is Kind.JSON:
        # 1 == 1.0 to a server; an element must be of exactly the value's type.
        test["$type"] = hole(where.value, _mock_type if level.codec.is_mongomock else bson_types)
        # mongomock asks the elements of an element, too.
        test |= _NO_ARRAY if level.codec.is_mongomock else {}
    return {level.place(where.path): {"$elemMatch": test}}


def bson_types(value: Any) -> list[str]:
    """Return the names of the BSON types that a JSON value of exactly this type is stored as."""
    return _JSON_TYPES[type(value)]


def _mock_type(value: Any) -> str:
    types = bson_types(value)
    # mongomock takes one name, and tells int from long by the value's size.
    return types[-1] if isinstance(value, int) and value.bit_length() > 32 else types[0]


_JSON_TYPES = {bool: ["bool"], int: ["int", "long"], float: ["double"], str: ["string"]}


def _any_related(where: AnyRelated, level: Level) -> Condition:
    return {level.related(where): {"$ne": []}}


_CONDITIONS: dict[type[Filter], Callable[[Any, Level], Condition]] = {
    Compare: _compare,
    In: _in,
    IsNull: _is_null,
    Contains: _contains,
    StartsWith: _starts_with,
    Has: _has,
    And: lambda f, level: all_conditions([condition(p, level) for p in f.parts]),
    Or: lambda f, level: any_condition([condition(p, level) for p in f.parts]),
    Not: lambda f, level: {"$nor": [condition(f.part, level)]},
    Everything: lambda _f, _level: {},
    Nothing: lambda _f, _level: NOWHERE,
    AnyRelated: _any_related,
}
