"""The file of a drafted migration: its steps, and the classes that they are about. Pure.

Two classes at most for each entity: as it is declared, and as it was (`UserBefore`); each holds what the steps are about.
Those of before refer to one another, so that no name comes twice among what a class leads to.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from textwrap import wrap

from pydantic import BaseModel

from ..spec import EntitySpec, FieldSpec, IndexSpec, UniqueKey
from ..values import DEFAULT_TEXT_LENGTH, Kind, ValueType
from .conversions import Conversion
from .source import ClassText, SourceFile

__all__ = ["Before", "DraftedFile", "Phase", "Step", "attribute", "names_of"]

_KEPT: tuple[str, ...] = ("id", "created_at", "updated_at")


class Phase(IntEnum):
    """The order of the way up; the way down is the reverse."""

    RENAME_COLLECTION = 0
    DROP_KEY = 1
    RENAME_FIELD = 2
    CREATE = 3
    ADD_FIELD = 4
    RETYPE = 5
    DROP_FIELD = 6
    LET_GO = 7
    """On the way down only: a reference goes after the keys, as the last one that serves it leaves it an index else."""
    ADD_KEY = 8


@dataclass(frozen=True, slots=True)
class Step:
    """One call on the way up, and the one that takes it back; "" where there is none on that way."""

    phase: Phase
    up: str
    down: str
    comment: str | None = None
    """Above the step on its way up."""
    down_comment: str | None = None
    """Above the step on its way down."""

    @property
    def is_irreversible(self) -> bool:
        return self.down.startswith("m.irreversible(")


@dataclass(slots=True)
class _Now:
    """The class of an entity as it is declared."""

    name: str
    entity: EntitySpec
    fields: dict[str, bool] = field(default_factory=dict)
    """By name: whether all that the field declares belongs there, or its type alone."""
    is_whole: bool = False


@dataclass(slots=True)
class Before:
    """The class of an entity as it was."""

    name: str
    entity: EntitySpec
    fields: dict[str, tuple[ValueType, list[str]]] = field(default_factory=dict)
    """By stored name: the type, and what `field()` says."""
    keys: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    """What the class line says of compound keys and indexes: which index serves a reference depends on them."""


class DraftedFile:
    """A file that is being written.

    Attributes:
        unsolved: differences that no operation closes.
    """

    def __init__(self, declared: Mapping[str, EntitySpec], collections: Mapping[str, str]) -> None:
        self.unsolved: list[str] = []
        self._declared = declared
        self._new_names = {was: new for new, was in collections.items()}
        self._file = SourceFile()
        self._steps: list[Step] = []
        self._now: dict[int, _Now] = {}
        self._before: dict[int, Before] = {}
        self._others: dict[str, ClassText] = {}
        self._wholes: list[ClassText] = []
        self._alone: list[Before] = []
        self._missing = set[tuple[int, tuple[str, ...]]]()
        """The keys that are not there yet."""
        self._new_references = set[tuple[int, str]]()
        """The references that are not there yet, or otherwise."""

    # -- classes -------------------------------------------------------------------------------------------------------

    def _of_now(self, entity: EntitySpec, *fields: FieldSpec, in_full: bool = True) -> _Now:
        now = self._now.get(entity.token)
        if now is None:
            now = self._now[entity.token] = _Now(self._file.new_class(entity.name), entity)
        for f in fields:
            now.fields[f.name] = now.fields.get(f.name, False) or in_full
        return now

    def _of_before(
        self, entity: EntitySpec, stored: str, type: ValueType, options: Iterable[str] = ()
    ) -> str:
        """Return the field of the class as it was, `UserBefore.bio`."""
        before = self._class_before(entity)
        known = before.fields.setdefault(stored, (type, []))[1]
        known += [option for option in options if option not in known]
        return f"{before.name}.{attribute(stored)}"

    def _class_before(self, entity: EntitySpec) -> Before:
        before = self._before.get(entity.token)
        if before is None:
            name = self._file.new_class(f"{entity.name}Before")
            before = self._before[entity.token] = Before(name, entity)
        return before

    def _target(self, stored: str, type: ValueType) -> str:
        """Return the class that a reference of before points to: by another one of before, as no name may come twice."""
        stored = self._new_names.get(stored, stored)
        if stored in self._declared:
            return self._class_before(self._declared[stored]).name
        if stored not in self._others:
            name = self._file.new_class("".join(part.title() for part in stored.replace(".", "_").split("_")))
            self._others[stored] = ClassText(name, self._record(type), [f'name="{stored}"'])
        return self._others[stored].name

    def _own_options(self, entity: EntitySpec, f: FieldSpec, *, was: ValueType | None = None) -> list[str]:
        """Return what `field()` says of the field itself, but its type and its default.

        *was*: its type before; then without the keys and the reference that are not there yet.
        """
        said: list[str] = []
        is_there = was is None or (entity.token, (f.name,)) not in self._missing
        unique = next((k for k in entity.uniques if k.names == (f.name,)), None)
        if unique is not None and is_there:
            said.append('unique="casefold"' if unique.fields[0].shadow_of else "unique=True")
        if f.reference is not None and was is not None and (entity.token, f.name) in self._new_references:
            return said  # what was there instead is told beside it
        if f.reference is not None:
            target = f.reference.target
            named = self._of_now(target).name if was is None else self._class_before(target).name
            said.append(f"references=lambda: {named}")
            cannot_be = f.reference.on_delete == "set_null" and was is not None and not was.nullable
            if f.reference.on_delete != "restrict" and not cannot_be:
                said.append(f'on_delete="{f.reference.on_delete}"')
            if not f.reference.check:
                said.append("check=False")
        elif is_there and any(i.fields == (f,) for i in entity.indexes):
            said.append("index=True")
        return said

    def _record(self, id: ValueType) -> str:
        self._file.need("dbkit", "Record")
        return f"Record[{self._file.bare(id)}]"

    def _write_now(self, text: ClassText, entity: EntitySpec, now: _Now | None, stored: str) -> None:
        """Fill in the class of an entity as it is declared: all of it, or what *now* says."""
        is_whole = now is None or now.is_whole
        names = [f.name for f in entity.fields] if is_whole or now is None else list(now.fields)
        skipped = {"id"} if _is_plain_id(entity.id) else set[str]()
        if is_whole and _is_standard(entity):
            self._file.need("dbkit", "Entity")
            text.bases = "Entity"
            skipped = set(_KEPT)
        else:
            text.bases = self._record(entity.id.type)
        if is_whole and entity.versioned and _is_standard_version(entity):
            self._file.need("dbkit", "Versioned")
            text.bases += ", Versioned"
            skipped.add("version")
        text.keywords.append(f'name="{stored}"')
        for word, keys in (("unique", entity.uniques), ("indexes", entity.indexes)):
            compounds = [c for c in map(names_of, keys) if len(c) > 1 and set(c) <= {*names, "id"}]
            if compounds:
                text.keywords.append(_compounds(word, compounds))
        if is_whole and entity.stripes != 1:
            text.keywords.append(f"hot={entity.stripes}")
        if "id" not in names and "id" not in skipped:
            names = ["id", *names]
        for f in entity.fields:
            if f.name not in names or f.name in skipped:
                continue
            in_full = is_whole or now is None or now.fields.get(f.name, False)
            options = [] if f.stored == f.name else [f'stored_as="{f.stored}"']
            if in_full and f is not entity.id:
                options += self._own_options(entity, f)
            text.fields[f.name] = self._file.declaration(f.type, options)

    def _write_before(self, before: Before) -> ClassText:
        id = before.entity.id
        text = ClassText(before.name, self._record(id.type), [f'name="{before.entity.stored}"'])
        if not _is_plain_id(id):
            said = [] if id.stored == "id" else [f'stored_as="{id.stored}"']
            text.fields["id"] = self._file.declaration(id.type, said)
        text.keywords += [_compounds(word, keys) for word, keys in before.keys.items()]
        for stored, (type, options) in before.fields.items():
            name = attribute(stored)
            named = [] if name == stored else [f'stored_as="{stored}"']
            text.fields[name] = self._file.declaration(type, [*named, *options])
        return text

    # -- the file ------------------------------------------------------------------------------------------------------

    def _need_for(self, conversion: Conversion, wanted: ValueType) -> None:
        """Import what the conversion's source names."""
        if conversion.using is not None and wanted.kind is not Kind.TEXT:
            self._file.bare(wanted)

    def source(self) -> str:
        """Return the file's text, "" where there is nothing to do."""
        if not self._steps:
            return ""
        file = self._file
        file.need("dbkit.migrations", "Migration")
        texts: dict[str, ClassText] = {}
        # What a class refers to may come in while it is written.
        while len(texts) < len(self._now):
            for now in list(self._now.values()):
                if now.name not in texts:
                    texts[now.name] = text = ClassText(now.name, "")
                    self._write_now(text, now.entity, now, now.entity.stored)
        befores = [self._write_before(before) for before in (*self._before.values(), *self._alone)]
        classes = [*file.classes.values(), *self._others.values(), *texts.values(), *befores, *self._wholes]
        steps = sorted(self._steps, key=lambda step: step.phase)
        parts = ['"""Close what differs between the database and the entities."""']
        if self.unsolved:
            parts.append("\n".join(["# Not closed here:", *(f"# - {words}" for words in self.unsolved)]))
        parts.append(file.imports() + "\n")
        parts += [text.render() + "\n" for text in classes]
        up: list[str] = []
        for step in steps:
            up += _comment(step.comment)
            up += [f"    {step.up}"] if step.up else []
        down: list[str] = []
        backwards = list(reversed(steps))
        # What cannot be undone says so before anything is sent.
        for step in sorted(backwards, key=lambda step: not step.is_irreversible):
            down += _comment(step.down_comment)
            down += [f"    {step.down}"] if step.down else []
        parts.append("\n".join(["def up(m: Migration) -> None:", *up]) + "\n")
        parts.append("\n".join(["def down(m: Migration) -> None:", *down]))
        return "\n\n".join(parts) + "\n"


def _comment(words: str | None) -> list[str]:
    lines = [] if words is None else words.split("\n")
    return [
        part
        for line in lines
        for part in wrap(line, 100, initial_indent="    # ", subsequent_indent="    # ")
    ]


def names_of(key: UniqueKey | IndexSpec) -> tuple[str, ...]:
    """Return the fields of a key or an index."""
    return key.names if isinstance(key, UniqueKey) else tuple(f.name for f in key.fields)


def _quoted(name: str) -> str:
    return f'"{name}"'


def _compounds(word: str, keys: Iterable[tuple[str, ...]]) -> str:
    shown = ", ".join(f"({', '.join(map(_quoted, names))})" for names in keys)
    return f"{word}=[{shown}]"


def _is_plain_id(id: FieldSpec) -> bool:
    return id.stored == "id" and (id.type.kind is not Kind.TEXT or id.type.max_length == DEFAULT_TEXT_LENGTH)


def _is_standard(entity: EntitySpec) -> bool:
    """Whether `Entity` declares the id and the two times as they are here."""
    if not entity.timestamped or entity.id.type != ValueType(Kind.UUID):
        return False
    fields = [entity.by_name[name] for name in _KEPT]
    return all(f.stored == f.name for f in fields) and all(
        f.type == ValueType(Kind.DATETIME) for f in fields[1:]
    )


def _is_standard_version(entity: EntitySpec) -> bool:
    version = entity.by_name["version"]
    return version.stored == "version" and version.type == ValueType(Kind.INT)


def attribute(stored: str) -> str:
    """Return a name for a stored field that a class can have."""
    is_taken = keyword.iskeyword(stored) or stored.startswith("_") or hasattr(BaseModel, stored)
    return f"{stored.strip('_')}_" if is_taken or stored == "evolve" else stored
