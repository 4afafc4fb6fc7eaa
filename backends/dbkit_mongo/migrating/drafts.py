"""A collection as it is, edited property by property; each edit becomes the command that makes it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Any, cast

from dbkit.classes import options_of
from dbkit.errors import SchemaDrift
from dbkit.spec import EntitySpec, FieldSpec

from ..rows import key_of
from ..schema import Index
from .steps import Command, Document, Rewrite, Step

__all__ = ["Draft", "is_own_name", "own_name"]

NOT_FOUND = frozenset({26})
NO_INDEX = frozenset({26, 27})
_VOLATILE = frozenset({"v", "ns", "background"})
"""What `listIndexes` says and `createIndexes` need not be told."""


def own_name(spec: Mapping[str, Any]) -> str:
    """Return the name that dbkit gives an index."""
    return f"{'unique' if spec.get('unique') else 'index'}_{'__'.join(spec['key'])}"


def is_own_name(spec: Mapping[str, Any]) -> bool:
    """Whether dbkit's naming shows that it made the index."""
    return bool(spec["name"] == own_name(spec))


def mentions(spec: Mapping[str, Any], keys: Iterable[str]) -> bool:
    """Whether the index is about one of the keys, or only about documents chosen by it."""
    wanted = set(keys)
    return bool(wanted & set(spec["key"]) or wanted & set(spec.get("partialFilterExpression") or ()))


def plain(value: Any) -> Any:
    """Return what the server answered in plain dicts and lists."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list):
        return [plain(item) for item in cast("list[object]", value)]
    return value


class Draft:
    """One collection: what it has, and the steps that were planned for it so far."""

    def __init__(
        self, name: str, options: Mapping[str, Any] | None, indexes: Iterable[Mapping[str, Any]] = ()
    ) -> None:
        self.name = name
        self.exists = options is not None
        validator: Document = plain((options or {}).get("validator") or {})
        known = validator.get("$jsonSchema")
        self.schema: Document | None = deepcopy(known)
        """Its `$jsonSchema`; None where it has none: then none is made, as it is not dbkit's."""
        self._others = {key: value for key, value in validator.items() if key != "$jsonSchema"}
        self._sent = deepcopy(known)
        self._found = deepcopy(known)
        self.indexes = [plain({k: v for k, v in spec.items() if k not in _VOLATILE}) for spec in indexes]
        self.steps: list[Step] = []

    # -- the validator -------------------------------------------------------------------------------------------------

    @property
    def properties(self) -> Document:
        """The fields that the validator knows."""
        found: Document = (self.schema or {}).get("properties") or {}
        return found

    def is_required(self, key: str) -> bool:
        return key in (self.schema or {}).get("required", ())

    def declare(self, key: str, schema: Mapping[str, Any], *, required: bool) -> None:
        """Give the field this schema."""
        if self.schema is None:
            return
        self.schema.setdefault("properties", {})[key] = dict(schema)
        names = [name for name in self.schema.get("required", ()) if name != key]
        self._set_required([*names, key] if required else names)

    def forget(self, key: str) -> None:
        """Take the field out."""
        if self.schema is None:
            return
        self.schema.get("properties", {}).pop(key, None)
        self._set_required([name for name in self.schema.get("required", ()) if name != key])

    def _set_required(self, names: list[str]) -> None:
        assert self.schema is not None
        if names:
            self.schema["required"] = names
        else:
            # An empty list is no valid schema.
            self.schema.pop("required", None)

    def replace(self, schema: Mapping[str, Any]) -> None:
        """Give the collection this `$jsonSchema` and nothing else."""
        self._others = {}
        self.set_again(schema)

    def set_again(self, schema: Mapping[str, Any]) -> None:
        """Give the collection this `$jsonSchema`, by a command in any case."""
        self.schema, self._sent = deepcopy(dict(schema)), None

    def modify(self) -> None:
        """Plan the command that makes the validator as it is now, where it differs from the last one."""
        if self.schema is None or _same(self.schema, self._sent):
            return
        self._sent = deepcopy(self.schema)
        validator = {**self._others, "$jsonSchema": deepcopy(self.schema)}
        self.steps.append(Command({"collMod": self.name, "validator": validator}))

    def without(self, *keys: str) -> tuple[Step, ...]:
        """Return the steps that take these fields back, which were not there; none where they may have been."""
        if any(key in (self._found or {}).get("properties", {}) for key in keys) or self._found is None:
            return ()
        there = {"$or": [{key: {"$exists": True}} for key in keys]}
        gone = Rewrite(self.name, there, {"$unset": dict.fromkeys(keys, "")})
        validator = {**self._others, "$jsonSchema": deepcopy(self._found)}
        return Command({"collMod": self.name, "validator": validator}), gone

    # -- indexes -------------------------------------------------------------------------------------------------------

    def on(self, keys: tuple[str, ...]) -> list[Document]:
        """Return the indexes on exactly these keys, ascending."""
        return [spec for spec in self.indexes if list(spec["key"].items()) == [(key, 1) for key in keys]]

    def add(self, spec: Mapping[str, Any]) -> None:
        """Plan an index, in place of one of its own name or of dbkit's on the same keys.

        Raises:
            SchemaDrift: somebody else's index stands there.
        """
        wanted = plain(spec)
        for there in list(self.indexes):
            is_same_name = there["name"] == wanted["name"]
            if not is_same_name and list(there["key"].items()) != list(wanted["key"].items()):
                continue
            if _same_index(there, wanted):
                return
            if is_same_name or is_own_name(there):
                self.discard(there["name"])
            elif bool(there.get("unique")) != bool(wanted.get("unique")):
                raise SchemaDrift(
                    f"the collection {self.name!r} has an index of its own on {', '.join(wanted['key'])}",
                    hint="drop it, or leave the key to it",
                )
        self.indexes.append(wanted)
        self.steps.append(Command({"createIndexes": self.name, "indexes": [wanted]}, is_slow=True))

    def add_index(self, index: Index) -> None:
        """Plan an index as the entity declares it."""
        self.add({"key": dict.fromkeys(index.keys, 1), **index.options})

    def remove(self, goes: Callable[[Document], bool]) -> list[Document]:
        """Plan that all indexes for which *goes* holds are dropped, and return them."""
        gone = [spec for spec in self.indexes if spec["name"] != "_id_" and goes(spec)]
        for spec in gone:
            self.indexes.remove(spec)
            command = {"dropIndexes": self.name, "index": spec["name"]}
            self.steps.append(Command(command, settled_by=NO_INDEX))
        return gone

    def discard(self, name: str) -> None:
        """Plan that the index of this name is dropped."""
        self.remove(lambda spec: spec["name"] == name)

    def settle(
        self,
        entity: EntitySpec,
        fields: Iterable[FieldSpec],
        *,
        refers: bool = True,
        makes_declared: bool = False,
    ) -> None:
        """Plan that each field that refers has an index of its own, unless another one serves it.

        One that only a reference explains goes where another one serves it, or *refers* is False. What is declared
        itself stays, and is made only where *makes_declared*.
        """
        for field in fields:
            key = key_of(field)
            if field.shadow_of is not None or key == "_id":
                continue
            own = Index(f"index_{key}___id", (key, "_id"))
            is_served = any(
                next(iter(spec["key"])) == key
                and "partialFilterExpression" not in spec
                and spec["name"] != own.name
                for spec in self.indexes
            )
            said = options_of(entity.model).get(field.name)
            # A description has an index for each reference too, so what `field()` said decides there.
            is_declared = (said is not None and said.index) or (
                field.reference is None and any(index.fields == (field,) for index in entity.indexes)
            )
            is_needed = refers and field.reference is not None and not is_served
            if is_needed or (is_declared and makes_declared):
                self.add_index(own)
            elif not is_declared and (field.reference is not None or not refers):
                self.discard(own.name)


def _same(schema: Mapping[str, Any], other: Mapping[str, Any] | None) -> bool:
    if other is None:
        return False
    return {**schema, "required": sorted(schema.get("required", ()))} == {
        **other,
        "required": sorted(other.get("required", ())),
    }


def _same_index(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return (
        list(there["key"].items()) == list(wanted["key"].items())
        and bool(there.get("unique")) == bool(wanted.get("unique"))
        and there.get("partialFilterExpression") == wanted.get("partialFilterExpression")
    )
