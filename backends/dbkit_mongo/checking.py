"""Does a collection that dbkit need not have made fit its entity? Counted from its documents, and from its indexes. Pure.

A server keeps no document to a schema, so the documents themselves are read, by the very decoders that reads use. What
is of another BSON type counts as wrong where a filter would not find it, though it could be read: a UUID kept as text,
say. A 32-bit int is an int.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from bson.binary import UUID_SUBTYPE, Binary
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp
from pydantic import ValidationError

from dbkit.checking import Finding, FindingKind, ordered
from dbkit.spec import EntitySpec, FieldSpec
from dbkit.values import Kind, ValueType, own_validator

from .rows import Codec, key_of
from .schema import Collection, Index, index_differences, meaning_of, validator_differences

__all__ = ["Census", "Inspection"]

Document = Mapping[str, Any]
Problem = tuple[str, str]
"""Where inside the document, as dotted names, and what is there: a BSON type's name, or one of the marks below."""
Judge = Callable[[Any, str], Iterable[Problem]]

_MISSING, _NULL, _VALUE = "missing", "null", "value"
UNDECLARED_NAMED = 50
"""So many undeclared keys are named: where keys are data, a report shall not hold them all."""

_NAMES: tuple[tuple[type[Any], str], ...] = (
    (bool, "bool"),
    (Int64, "long"),
    (int, "int"),
    (float, "double"),
    (str, "string"),
    (datetime, "date"),
    (ObjectId, "objectId"),
    (Decimal128, "decimal"),
    (Regex, "regex"),
    (Timestamp, "timestamp"),
    (Mapping, "object"),
    (DBRef, "object"),
    (list, "array"),
)


def type_name(value: Any) -> str:
    """Return the name of the BSON type that a value came as."""
    if isinstance(value, Binary):
        return f"binData of subtype {value.subtype}"
    if isinstance(value, bytes):
        return "binData"
    return next((name for kind, name in _NAMES if isinstance(value, kind)), type(value).__name__)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# What each kind may be so that filters and order are right too.
_IS: dict[Kind, Callable[[Any], bool]] = {
    Kind.UUID: lambda v: isinstance(v, Binary) and v.subtype == UUID_SUBTYPE,
    Kind.OBJECT_ID: lambda v: isinstance(v, ObjectId),
    Kind.TEXT: lambda v: isinstance(v, str),
    Kind.INT: _is_whole,
    Kind.FLOAT: lambda v: isinstance(v, float) or _is_whole(v),
    Kind.DECIMAL: lambda v: isinstance(v, Decimal128) or _is_whole(v),
    Kind.BOOL: lambda v: isinstance(v, bool),
    Kind.DATETIME: lambda v: isinstance(v, datetime),
    Kind.DATE: _is_whole,
    Kind.TIME: _is_whole,
    Kind.TIMEDELTA: _is_whole,
    Kind.BYTES: lambda v: isinstance(v, bytes) and not (isinstance(v, Binary) and v.subtype),
}


_PARTIAL = frozenset({Kind.FLOAT, Kind.DECIMAL, Kind.DATE, Kind.TIME, Kind.TIMEDELTA})
"""Where the BSON type has values that the kind has not."""


def judge(type: ValueType, codec: Codec) -> Judge:
    """Return what says where a value, not null, is not one of *type*."""
    if type.kind is Kind.JSON:
        return lambda _value, _where: ()
    if type.kind is Kind.MODEL:
        assert type.model is not None
        inner = [_Member(f.name, f.stored, f.type, codec) for f in type.model.fields]
        return lambda value, where: _in_model(value, where, inner)
    if type.kind in (Kind.LIST, Kind.DICT):
        assert type.element is not None
        element = _Member("", "", type.element, codec)
        if type.kind is Kind.LIST:
            return lambda value, where: _in_list(value, where, element)
        return lambda value, where: _in_dict(value, where, element)
    is_one = _IS[type.kind]
    if type.choices is None and type.kind not in _PARTIAL:
        return lambda value, where: () if is_one(value) else ((where, type_name(value)),)
    validate = own_validator(type.read_schema(codec.decoders)).validate_python
    is_float = type.kind is Kind.FLOAT

    def leaf(value: Any, where: str) -> Iterable[Problem]:
        if not is_one(value):
            return ((where, type_name(value)),)
        try:
            validate(value)
        except ValidationError:
            return ((where, _VALUE),)
        return ((where, _VALUE),) if is_float and not math.isfinite(value) else ()

    return leaf


class _Member:
    """A field, or the elements of a container."""

    __slots__ = ("judge", "name", "nullable", "stored")

    def __init__(self, name: str, stored: str, type: ValueType, codec: Codec) -> None:
        self.name, self.stored, self.nullable = name, stored, type.nullable
        self.judge = judge(type, codec)

    def of(self, value: Any, where: str) -> Iterable[Problem]:
        if value is None:
            return () if self.nullable else ((where, _NULL),)
        return self.judge(value, where)


def _in_model(value: Any, where: str, members: Sequence[_Member]) -> Iterable[Problem]:
    if not isinstance(value, Mapping):
        yield where, type_name(value)
        return
    held = cast("Document", value)
    for member in members:
        inside = f"{where}.{member.name}"
        if member.stored in held:
            yield from member.of(held[member.stored], inside)
        elif not member.nullable:
            yield inside, _MISSING


def _in_list(value: Any, where: str, element: _Member) -> Iterable[Problem]:
    if not isinstance(value, list):
        yield where, type_name(value)
        return
    for item in cast("Sequence[Any]", value):
        yield from element.of(item, f"{where}[]")


def _in_dict(value: Any, where: str, element: _Member) -> Iterable[Problem]:
    if not isinstance(value, Mapping | DBRef):
        yield where, type_name(value)
        return
    held = value.as_doc() if isinstance(value, DBRef) else cast("Document", value)
    for item in held.values():
        yield from element.of(item, f"{where}{{}}")


class Census:
    """Counts what the documents of one entity hold."""

    def __init__(self, entity: EntitySpec, codec: Codec) -> None:
        self.total = 0
        self.undeclared: Counter[str] = Counter()
        self.found: dict[str, Counter[str]] = {}
        """By the place inside a document: how many documents have which problem there."""
        self.documents: Counter[str] = Counter()
        """By the place: how many documents have something of a wrong type there."""
        self._members = [
            (key_of(f), f.stored if f.shadow_of else f.name, f.type.nullable, judge(f.type, codec))
            for f in entity.columns
        ]
        self._keys = {key for key, *_ in self._members}

    def add(self, document: Document) -> None:
        """Count one document."""
        self.total += 1
        problems: list[Problem] = []
        for key, name, nullable, look in self._members:
            value = document.get(key, _MISSING_MARK)
            if value is _MISSING_MARK:
                problems.append((name, _MISSING))
            elif value is not None:
                problems.extend(look(value, name))
            elif not nullable:
                problems.append((name, _NULL))
        if problems:
            # A list may hold the same problem many times.
            once = set(problems)
            for where, problem in once:
                self.found.setdefault(where, Counter())[problem] += 1
            self.documents.update({where for where, p in once if p not in (_MISSING, _NULL, _VALUE)})
        if not document.keys() <= self._keys:
            self.undeclared.update(key for key in document if key not in self._keys)


_MISSING_MARK: Any = object()


class Inspection:
    """Says what was found of one entity's collection."""

    def __init__(self, wanted: Collection, codec: Codec, sample: int | None) -> None:
        assert wanted.entity is not None
        self.wanted = wanted
        self.entity: EntitySpec = wanted.entity
        self.census = Census(self.entity, codec)
        self._sample = sample
        self._findings: list[Finding] = []

    @property
    def findings(self) -> list[Finding]:
        """What was found, in order."""
        return ordered(self._findings, [f.name for f in self.entity.fields])

    @property
    def is_sampled(self) -> bool:
        """Whether only some of the documents were looked at."""
        return self._sample is not None and self.census.total >= self._sample

    def _add(
        self, field: str | None, kind: FindingKind, words: str, *, hint: str | None = None, **more: Any
    ) -> None:
        sampled = self.is_sampled and more.get("count") is not None
        self._findings.append(
            Finding(self.entity.name, field, kind, words, hint=hint, sampled=sampled, **more)
        )

    def missing(self) -> None:
        """Say that there is no such collection."""
        hint = "db.create_schema() makes it" if self.entity.managed else "its owner has to make it"
        self._add(None, "missing collection", f"there is no collection {self.entity.stored!r}", hint=hint)

    def unguarded(self, guards: str) -> None:
        """Say that what references are kept by is missing."""
        words = f"there is no collection {guards!r}, by which dbkit keeps references"
        self._add(None, "missing collection", words, hint="db.create_schema() makes it")

    # -- documents -----------------------------------------------------------------------------------------------------

    def documents(self) -> None:
        """Say what the census counted."""
        of = f"of {self.census.total:,} {'sampled ' if self.is_sampled else ''}documents"
        columns = {f.stored if f.shadow_of else f.name: f for f in self.entity.columns}
        for where, problems in self.census.found.items():
            own = columns.get(where)
            name = where if own is None or own.shadow_of is None else own.shadow_of
            if lacking := problems.get(_MISSING):
                self._lacking(name, own, lacking, of)
            if nulls := problems.get(_NULL):
                hint = "declare it with | None" if own is not None else None
                self._add(
                    name, "null", f"null in {nulls:,} {of}, and never None here", hint=hint, count=nulls
                )
            types = sorted(p for p in problems if p not in (_MISSING, _NULL, _VALUE))
            if types:
                wrong = self.census.documents[where]
                shown = " or ".join(types) if len(types) < 4 else ", ".join(types)
                kept = "" if own is None else f", and {meaning_of(own.type)} here"
                self._add(name, "type", f"{shown} in {wrong:,} {of}{kept}", count=wrong)
            if odd := problems.get(_VALUE):
                self._add(name, "value", f"a value outside of what is declared in {odd:,} {of}", count=odd)
        for key, count in self.census.undeclared.most_common(UNDECLARED_NAMED):
            self._add(
                key, "undeclared field", f"in {count:,} {of}, and not declared", count=count, is_problem=False
            )
        rest = len(self.census.undeclared) - UNDECLARED_NAMED
        if rest > 0:
            self._add(None, "undeclared field", f"{rest:,} more keys that are not declared", is_problem=False)

    def _lacking(self, name: str, own: FieldSpec | None, count: int, of: str) -> None:
        if own is not None and own.shadow_of is not None:
            words = f'{own.stored!r}, in which unique="casefold" keeps the folded text, is missing in {count:,} {of}'
            self._add(
                name, "missing field", words, count=count, is_problem=self._holds_more(own.shadow_of, count)
            )
        elif own is not None and own.type.nullable:
            self._add(
                name,
                "missing field",
                f"missing in {count:,} {of}: it reads as None",
                count=count,
                is_problem=False,
            )
        else:
            hint = (
                f"db.backfill({self.entity.name}, {self.entity.name}.{name}, …)" if own is not None else None
            )
            self._add(name, "missing field", f"missing in {count:,} {of}", hint=hint, count=count)

    def _holds_more(self, name: str, lacking: int) -> bool:
        """Whether more documents lack a shadow than lack the field that it is of."""
        problems = self.census.found.get(name)
        return problems is None or lacking > problems[_MISSING]

    # -- indexes and validators ----------------------------------------------------------------------------------------

    def validator(self, options: Mapping[str, Any]) -> None:
        """Compare the collection's validator."""
        there: Mapping[str, Any] | None = options.get("validator")
        differences = validator_differences(self.wanted.validator, there)
        if not differences:
            return
        if self.entity.managed:
            self._add(None, "validator", "; ".join(differences))
        elif not there:
            words = "no validator keeps other programs to the declared types"
            self._add(None, "validator", words, is_problem=False)
        else:
            words = "it has a validator of its own, which dbkit's writes have to pass"
            self._add(None, "validator", words, is_problem=False)

    def indexes(self, there: Sequence[Mapping[str, Any]]) -> list[tuple[Index, str]]:
        """Compare the indexes, and return the unique keys that nothing keeps, each with why, to be counted."""
        unkept: list[tuple[Index, str]] = []
        nullable = {key_of(f) for f in self.entity.columns if f.type.nullable}
        for index in self.wanted.indexes:
            if index.unique:
                same = [i for i in there if i.get("unique") and i["key"].keys() == set(index.keys)]
                flaws = [_flaw(i, index, nullable) for i in same]
                if None not in flaws:
                    unkept.append((index, flaws[0] if flaws and flaws[0] else "no unique index keeps it"))
            elif not any(_serves(i, index) for i in there):
                self._add(self._names(index), "index", "is not indexed there: reads scan the collection")
        wanted = [set(i.keys) for i in self.wanted.indexes if i.unique] + [{"_id"}]
        for index_there in there:
            if index_there.get("unique") and not any(index_there["key"].keys() >= w for w in wanted):
                names = ", ".join(self._declared(key) for key in index_there["key"])
                words = "is unique there and not here: DuplicateKey will not name the field"
                self._add(names, "undeclared unique", words, hint="declare it unique", is_problem=False)
        return unkept

    def duplicates(self, index: Index, why: str, count: int) -> None:
        """Say how many keys are there more than once."""
        more = f"{count:,} keys are" if count != 1 else "1 key is"
        words = f"{why}; {more} there more than once" if count else f"{why}; no key is there twice"
        self._add(self._names(index), "unique", words, count=count)

    def orphans(self, f: FieldSpec, count: int) -> None:
        """Say how many documents refer to nothing."""
        assert f.reference is not None
        if count:
            more = f"{count:,} documents lead" if count != 1 else "1 document leads"
            self._add(
                f.name,
                "reference",
                f"{more} to no {f.reference.target.name}",
                count=count,
                hint="references=…, check=False keeps it as it is",
            )

    def _names(self, index: Index) -> str:
        keys = index.keys[:-1] if not index.unique and index.keys[-1] == "_id" else index.keys
        return ", ".join(self._declared(key) for key in keys or index.keys)

    def _declared(self, key: str) -> str:
        return next((f.shadow_of or f.name for f in self.entity.columns if key_of(f) == key), key)


def _flaw(there: Mapping[str, Any], wanted: Index, nullable: set[str]) -> str | None:
    """Return why a unique index does not keep the declared key, or None where it does."""
    if "collation" in there:
        return "its unique index compares by a collation"
    if index_differences(wanted, [there]) == []:
        return None
    if "partialFilterExpression" in there:
        return "its unique index covers only some documents (partialFilterExpression)"
    if nullable & set(wanted.keys):
        # https://www.mongodb.com/docs/manual/core/index-sparse/: null itself is in a sparse index.
        return "its unique index takes two nulls for duplicates"
    return None


def _serves(there: Mapping[str, Any], wanted: Index) -> bool:
    """Whether an index finds what the wanted one does, in its order but for equal keys."""
    keys = wanted.keys[:-1] if len(wanted.keys) > 1 and wanted.keys[-1] == "_id" else wanted.keys
    leading = list(there["key"].items())[: len(keys)]
    directions = {direction for _, direction in leading}
    is_whole = not (there.keys() & {"partialFilterExpression", "collation"} or there.get("sparse"))
    return is_whole and [key for key, _ in leading] == list(keys) and directions in ({1}, {-1})
