"""How a collection differs from its entity, as values that `diff` makes a migration of. Pure.

What one operation makes is one difference: a field that is missing brings its own keys, index and reference along. Those
of a field that is not declared are told beside it: dropping it takes them along, and whoever brings it back needs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dbkit.migrations.differences import Difference, Kind
from dbkit.spec import EntitySpec
from dbkit.values import ValueType

from ..rows import key_of
from ..schema import Index, _indexes, _types, _words
from .conditions import value_schema
from .drafts import Draft, is_own_name
from .planning import SHADOW, plain_index, unique_index
from .steps import Document
from .types import holds_same, type_of

__all__ = ["differences_of"]


def differences_of(entity: EntitySpec, draft: Draft) -> Iterator[Difference]:
    """Give the differences of one collection."""
    if not draft.exists:
        yield Difference("missing collection", entity, f"the collection {entity.stored} is not there")
        return
    if draft.schema is None:
        yield Difference(
            "other",
            entity,
            f"{entity.stored} has no $jsonSchema validator, so dbkit did not make it (m.set_validator makes one)",
        )
        return
    comparing = _Comparing(entity, draft)
    yield from comparing.fields()
    yield from comparing.missing_keys()
    yield from comparing.undeclared_keys()


class _Comparing:
    def __init__(self, entity: EntitySpec, draft: Draft) -> None:
        self.entity, self.draft = entity, draft
        self.declared = {key_of(column): column for column in entity.columns}
        self.missing = {key for key in self.declared if key not in draft.properties}
        self.undeclared = {key for key in draft.properties if key not in self.declared}
        self.changed: set[str] = set()

    def fields(self) -> Iterator[Difference]:
        entity, draft, place = self.entity, self.draft, self.entity.stored
        for key, field in self.declared.items():
            if field.shadow_of is not None:
                continue
            if key in self.missing:
                yield Difference(
                    "missing field", entity, f"{place}.{key} is declared and not there", field=field
                )
                continue
            ours, theirs = value_schema(field.type), draft.properties[key]
            is_required = not field.type.nullable
            if _alike(ours, theirs) and draft.is_required(key) == is_required:
                continue
            self.changed.add(key)
            yield Difference(
                "changed field",
                entity,
                f"{place}.{key} is {_said(theirs, draft.is_required(key))} there and "
                f"{_said(ours, is_required)} here",
                field=field,
                stored=(key,),
                found=_found(field.type, theirs),
                is_convertible=holds_same(ours, theirs),
                is_limited=False,
            )
        for key in sorted(self.undeclared):
            if self._is_shadow(key):
                continue
            yield Difference(
                "undeclared field",
                entity,
                f"{place}.{key} is there and not declared",
                stored=(key,),
                found=type_of(draft.properties[key]),
                is_limited=False,
            )

    def _is_shadow(self, key: str) -> bool:
        return key.endswith(SHADOW) and key.removesuffix(SHADOW) in self.draft.properties

    # -- keys --------------------------------------------------------------------------------------------------------------

    def missing_keys(self) -> Iterator[Difference]:
        entity, place = self.entity, self.entity.stored
        for key in entity.uniques:
            if len(key.names) == 1 and key_of(entity.by_name[key.names[0]]) in self.missing:
                continue
            words = self._lacks(unique_index(key))
            if words is not None:
                yield Difference(
                    "missing unique", entity, f"{place}: {', '.join(key.names)}: {words}", key=key
                )
        wanted = {index.keys: index for index in _indexes(entity) if not index.unique}
        declared = {plain_index(index).keys: index for index in entity.indexes}
        for keys, index in wanted.items():
            words = self._lacks(index)
            field = self.declared[keys[0]] if len(keys) == 2 else None
            if words is None or (field is not None and keys[0] in self.missing):
                continue
            spec = declared.get(keys)
            if field is not None and field.reference is not None:
                yield Difference(
                    "missing reference",
                    entity,
                    f"{place}.{keys[0]} refers to {field.reference.target.stored}: {words}",
                    field=field,
                )
            elif spec is not None:
                yield Difference(
                    "missing index", entity, f"{place}: index on {', '.join(keys)}: {words}", key=spec
                )

    def _lacks(self, index: Index) -> str | None:
        """Return in which words the index is missing; None where it is there, or comes with a field's change."""
        same = self.draft.on(index.keys)
        partial = None if index.partial is None else dict(index.partial)
        if any(
            bool(s.get("unique")) == index.unique and s.get("partialFilterExpression") == partial
            for s in same
        ):
            return None
        if not same:
            return "not there"
        if self.changed & set(index.keys):
            return None
        if bool(same[0].get("unique")) != index.unique:
            return f"{'not ' if index.unique else ''}unique there"
        return "over other documents there (partialFilterExpression)"

    def undeclared_keys(self) -> Iterator[Difference]:
        wanted = {index.keys for index in _indexes(self.entity)}
        for spec in self.draft.indexes:
            keys = tuple(spec["key"])
            if keys in wanted or not is_own_name(spec):
                continue
            shown = keys if spec.get("unique") or keys[-1] != "_id" else keys[:-1]
            if not shown:
                continue
            kind: Kind = "undeclared unique" if spec.get("unique") else "undeclared index"
            words = f"{self.entity.stored}: {kind.removeprefix('undeclared ')} on {', '.join(shown)} is not declared"
            yield Difference(kind, self.entity, words, stored=shown)


def _found(declared: ValueType, theirs: Document) -> ValueType | None:
    found = type_of(theirs)
    if found is None:
        # A nested model is the declared one where nothing but null differs.
        nullable = "null" in _types(theirs)
        twin = declared.optional() if nullable else replace(declared, nullable=False)
        found = twin if _alike(value_schema(twin), theirs) else None
    return found


def _alike(ours: Document, theirs: Document) -> bool:
    if _types(ours) != _types(theirs) or set(ours.get("required", ())) != set(theirs.get("required", ())):
        return False
    mine, other = ours.get("properties", {}), theirs.get("properties", {})
    return (
        mine.keys() == other.keys()
        and all(_alike(mine[k], other[k]) for k in mine)
        and _alike_items(ours, theirs)
    )


def _alike_items(ours: Document, theirs: Document) -> bool:
    mine, other = ours.get("items"), theirs.get("items")
    if mine is None or other is None:
        return mine is other
    return _alike(mine, other)


def _said(schema: Document, is_required: bool) -> str:
    return _words(_types(schema)) + ("" if is_required else ", not required")
