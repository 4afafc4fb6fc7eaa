"""From differences to the steps of a migration, up and down. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import PydanticUndefined

from ..spec import EntitySpec, FieldSpec, IndexSpec, UniqueKey
from ..values import Kind, ValueType
from .conversions import Conversion, conversion
from .differences import Difference
from .drafted import Before, DraftedFile, Phase, Step, attribute, names_of
from .renaming import OldNames
from .source import ClassText, is_declarable, own_value, zero

__all__ = ["Drafting"]

_SHADOW = "__casefold"
_LIMITED = frozenset({Kind.TEXT, Kind.INT, Kind.FLOAT, Kind.DECIMAL, Kind.BYTES, Kind.LIST})
"""What may be declared with a length, bounds or choices."""


class Drafting(DraftedFile):
    """A migration that is being written.

    Attributes:
        losses: what it throws away.
        unsolved: differences that no operation closes.
        notes: what its author should look at.
    """

    def __init__(
        self,
        old: OldNames,
        collections: Mapping[str, str],
        fields: Mapping[tuple[str, str], str],
        found: Sequence[Difference],
    ) -> None:
        super().__init__({e.stored: e for e in map(old.declared, old.schema)}, collections)
        self.losses: list[str] = []
        self.notes: list[str] = []
        self._old_fields = fields
        order = {e.token: n for n, e in enumerate(map(old.declared, old.schema.parents_first()))}
        differences = [(old.declared(d.entity), d) for d in found]
        differences.sort(key=lambda pair: order[pair[0].token])
        self._new = {(e.token, d.field.name) for e, d in differences if d.kind == "missing field" and d.field}
        self._gone = {
            (e.token, name) for e, d in differences if d.kind == "undeclared field" for name in d.stored
        }
        self._missing = {
            (e.token, names_of(d.key))
            for e, d in differences
            if d.kind in ("missing unique", "missing index") and d.key is not None
        }
        # What is there where it differs from what is declared, by the entity and the stored name.
        self._unlimited = {(e.token, name) for e, d in differences if not d.is_limited for name in d.stored}
        self._there = {
            (e.token, name): d.found
            for e, d in differences
            if d.kind in ("undeclared field", "changed field")
            for name in d.stored
        }
        self._new_references = {
            (e.token, d.field.name)
            for e, d in differences
            if d.kind in ("missing reference", "changed reference") and d.field is not None
        }
        self._filled = dict(self._keys_to_fill(differences))
        for entity in self._declared.values():
            for f in entity.fields:
                if (entity.stored, f.stored) in fields:
                    self._rename_field(entity, f, fields[entity.stored, f.stored])
            if entity.stored in collections:
                self._rename_collection(entity, collections[entity.stored])
        # What is filled last: by then it is known what else the class of before has.
        for entity, difference in sorted(differences, key=lambda pair: self._is_filled(*pair)):
            self._take(entity, difference)
        self._open_circles(order, [e for e, d in differences if d.kind == "missing collection"])

    # -- what closes a difference --------------------------------------------------------------------------------------

    def _take(self, entity: EntitySpec, difference: Difference) -> None:
        kind, key = difference.kind, difference.key
        declared = None if difference.field is None else entity.by_name.get(difference.field.name)
        if kind == "missing collection":
            now = self._of_now(entity)
            now.is_whole = True
            self._add(Phase.CREATE, f"create_collection({now.name})", f"drop_collection({now.name})")
        elif kind == "missing field" and declared is not None:
            self._add_field(entity, declared)
        elif kind == "undeclared field":
            for stored in difference.stored:
                self._drop_field(entity, stored, difference.found_target)
        elif kind == "changed field" and declared is not None:
            self._retype(entity, declared, difference)
        elif kind in ("missing unique", "missing index") and key is not None:
            self._add_key(entity, key)
        elif kind in ("undeclared unique", "undeclared index"):
            self._drop_key(entity, kind.removeprefix("undeclared "), difference)
        elif kind in ("missing reference", "changed reference") and declared is not None:
            if kind == "changed reference":
                self._drop_reference(entity, declared.stored, difference)
            if (entity.token, declared.name) not in self._new:
                now = self._of_now(entity, declared)
                place = f"{now.name}.{declared.name}"
                target = "" if declared.reference is None else f" of {declared.reference.target.stored}"
                self.notes.append(
                    f"{entity.stored}.{declared.stored}: a row that leads to no row{target} fails it"
                )
                self._steps.append(Step(Phase.ADD_KEY, f"m.add_reference({place})", ""))
                self._steps.append(Step(Phase.LET_GO, "", f"m.drop_reference({place})"))
        elif kind == "undeclared reference":
            for stored in difference.stored:
                self._drop_reference(entity, stored, difference)
        else:
            self.unsolved.append(difference.words)

    def _open_circles(self, order: Mapping[int, int], made: Iterable[EntitySpec]) -> None:
        """Let go, on the way down, of references that hold a table which is dropped before the one that refers to it."""
        for entity in made:
            for f in entity.references:
                assert f.reference is not None
                if f.reference.check and order.get(f.reference.target.token, -1) > order[entity.token]:
                    place = f"{self._of_now(entity).name}.{f.name}"
                    self._steps.append(Step(Phase.CREATE, "", f"m.drop_reference({place})"))

    def _rename_collection(self, entity: EntitySpec, was: str) -> None:
        now = self._of_now(entity)
        now.is_whole = True
        before = ClassText(self._file.new_class(f"{entity.name}Before"), "")
        self._wholes.append(before)
        self._write_now(before, entity, None, was)
        self._add(
            Phase.RENAME_COLLECTION,
            f'rename_collection({now.name}, was="{was}")',
            f'rename_collection({before.name}, was="{entity.stored}")',
        )

    def _rename_field(self, entity: EntitySpec, f: FieldSpec, was: str) -> None:
        now = self._of_now(entity, f)
        for names in [*map(names_of, entity.uniques), *map(names_of, entity.indexes)]:
            if f.name in names:
                # What the field is part of gets its new name too.
                self._of_now(entity, *(entity.by_name[n] for n in names if n != f.name), in_full=False)
        type = self._there.get((entity.token, was)) or f.type
        before = self._of_before(entity, was, type, self._own_options(entity, f, was=type))
        self._add(
            Phase.RENAME_FIELD,
            f'rename_field({now.name}.{f.name}, was="{was}")',
            f'rename_field({before}, was="{f.stored}")',
        )

    def _add_field(self, entity: EntitySpec, f: FieldSpec) -> None:
        now = self._of_now(entity, f)
        place = f"{now.name}.{f.name}"
        value = _static_default(entity, f)
        comment = None
        if value is PydanticUndefined:
            value = zero(f.type)
            if value is not None:
                comment = "Rows that are there get this value: say what they should have."
                shown = self._file.value(value, f.type)
                self.notes.append(
                    f"{entity.stored}.{f.stored}: rows that are there get {shown}; say what they should have"
                )
        default = "" if value is None else f", default={self._file.value(value, f.type)}"
        self._add(Phase.ADD_FIELD, f"add_field({place}{default})", f"drop_field({place})", comment=comment)

    def _drop_field(self, entity: EntitySpec, stored: str, target: str | None) -> None:
        if stored.endswith(_SHADOW) and (entity.token, stored.removesuffix(_SHADOW)) in self._gone:
            return  # it goes with its owner
        place = f"{entity.stored}.{stored}"
        type = self._there.get((entity.token, stored))
        self.losses.append(f"{place}, with its values")
        comment = f"Loses data: the values of {place}."
        if type is None or not is_declarable(type):
            again = "m.add_field(…, default=…)"
            up = f'drop_field("{entity.stored}", "{stored}")'
            self._add(Phase.DROP_FIELD, up, *_unknown(place, again), comment=comment)
            return
        before, value = self._of_before(entity, stored, type), zero(type)
        given, words = "", list[str]()
        if value is not None:
            given = f", default={self._file.value(value, type)}"
            if (entity.token, stored) in self._unlimited and type.kind in _LIMITED:
                words.append(
                    f"The database does not tell the length, bounds or choices of {place}: declare it as it was, "
                    "and say what its rows get."
                )
        if target is not None and value is not None:
            words.append(
                f"It fails where there are rows: say by default= to which row of {target} they refer."
            )
        elif (entity.token, stored) in self._filled:
            key, folds = self._filled[entity.token, stored]
            own = own_value(type, entity.id.type, folds=folds)
            if own is None:
                words.append(
                    f"It fails where rows have the same {key}, which is unique: give fill= a function that makes a "
                    "value of its own of each row."
                )
            else:
                given = f", fill={own}"
                fields = self._before[entity.token].fields
                if len(fields) > 1:
                    # The function gets rows as this class has them: what else is brought back may not be there yet.
                    alone = Before(
                        self._file.new_class(f"{entity.name}Before"), entity, {stored: fields[stored]}
                    )
                    self._alone.append(alone)
                    before = f"{alone.name}.{attribute(stored)}"
        self._add(
            Phase.DROP_FIELD,
            f"drop_field({self._of_before(entity, stored, type)})",
            f"add_field({before}{given})",
            "\n".join(words) or None,
            comment=comment,
        )

    def _is_filled(self, entity: EntitySpec, difference: Difference) -> bool:
        return difference.kind == "undeclared field" and any(
            (entity.token, stored) in self._filled for stored in difference.stored
        )

    def _keys_to_fill(
        self, differences: Iterable[tuple[EntitySpec, Difference]]
    ) -> Iterator[tuple[tuple[int, str], tuple[str, bool]]]:
        """Give the dropped fields of unique keys, which a way down has to fill with a value of its own for each row.

        With the key in words, and whether it is without case.
        """
        for entity, difference in differences:
            if difference.kind != "undeclared unique":
                continue
            owners = [stored.removesuffix(_SHADOW) for stored in difference.stored]
            gone = [owner for owner in owners if (entity.token, owner) in self._gone]
            types = {owner: self._there.get((entity.token, owner)) for owner in gone}
            known = {owner: type for owner, type in types.items() if type is not None and is_declarable(type)}
            # None conflicts with nothing.
            if known and len(known) == len(gone) and not any(type.nullable for type in known.values()):
                folds = difference.stored != tuple(owners)
                best = [o for o in gone if own_value(known[o], entity.id.type, folds=folds)]
                key = ", ".join(f"{entity.stored}.{owner}" for owner in owners)
                yield (entity.token, (best or gone)[0]), (key, folds)

    def _retype(self, entity: EntitySpec, f: FieldSpec, difference: Difference) -> None:
        found = difference.found
        name = f"{entity.stored}.{f.stored}"
        if (found is None or not is_declarable(found)) and not difference.is_convertible:
            self.unsolved.append(
                f"{name} is something else there: only you know how it becomes {f.type.kind.value} "
                "(m.retype_field(…, was=…, using=function))"
            )
            return
        now = self._of_now(entity, f)
        place = f"{now.name}.{f.name}"
        if found is None or not is_declarable(found):
            self.notes.append(f"{name}: a value that does not fit its new declaration fails it")
            again = f"m.retype_field(…, was={place})"
            self._add(Phase.RETYPE, f"retype_field({place})", *_unknown(name, again))
            return
        there, back = conversion(found, f.type), conversion(f.type, found)
        comment = None
        if there is None:
            self.unsolved.append(
                f"{name} is {found.kind.value} there and {f.type.kind.value} here: "
                "only you know how the one becomes the other (m.retype_field(…, using=function))"
            )
            return
        if there.loss is not None:
            self.losses.append(f"{name}: {there.loss}")
            comment = f"Loses data: {there.loss}."
        elif there.note is not None:
            self.notes.append(f"{name}: {there.note}")
        self._need_for(there, f.type)
        if back is not None:
            self._need_for(back, found)
        old_name = self._old_fields.get((entity.stored, f.stored), f.stored)
        if old_name == f.stored:
            before = self._of_before(entity, f.stored, found, self._own_options(entity, f, was=found))
        else:
            # On both ways it is retyped under its new name.
            before = self._of_before(entity, f.stored, found)
        value = _static_default(entity, f) if found.nullable and not f.type.nullable else None
        default = (
            ""
            if value is None or value is PydanticUndefined
            else f", default={self._file.value(value, f.type)}"
        )
        if found.nullable and not f.type.nullable and not default:
            self.notes.append(
                f"{name}: a row where it is None fails it, unless default= says what it becomes"
            )
        emptiest = zero(found) if f.type.nullable and not found.nullable else None
        words = None
        if emptiest is not None and f.reference is not None:
            emptiest = None
            words = f"A row where it is None fails it: say by default= to which row of {f.reference.target.stored}."
        elif emptiest is not None and any(f.name in key.names for key in entity.uniques):
            words = f"It fails where two rows get the same {name}, which is unique."
        down_default = "" if emptiest is None else f", default={self._file.value(emptiest, found)}"
        down = (
            f'irreversible("only you know how {name} becomes what it was")'
            if back is None
            else f"retype_field({before}, was={place}{_using(back)}{down_default})"
        )
        up = f"retype_field({place}, was={before}{_using(there)}{default})"
        self._add(Phase.RETYPE, up, down, words, comment=comment)

    def _add_key(self, entity: EntitySpec, key: UniqueKey | IndexSpec) -> None:
        names = names_of(key)
        if len(names) == 1 and (entity.token, names[0]) in self._new:
            return  # it comes with its field
        now = self._of_now(entity, *(entity.by_name[n] for n in names), in_full=len(names) == 1)
        given = ", ".join(f"{now.name}.{n}" for n in names)
        word = "unique" if isinstance(key, UniqueKey) else "index"
        self._add(Phase.ADD_KEY, f"add_{word}({given})", f"drop_{word}({given})")

    def _drop_key(self, entity: EntitySpec, word: str, difference: Difference) -> None:
        gone = [stored for stored in difference.stored if self._is_gone(entity, stored)]
        owners = [stored.removesuffix(_SHADOW) for stored in difference.stored]
        types = [self._type_there(entity, owner) for owner in owners]
        if not all(is_declarable(type) for type in types):
            # What goes with its field needs no step of its own.
            self.unsolved += [] if gone else [difference.words]
            return
        is_alone = len(owners) == 1
        places: list[str] = []
        for stored, owner, type in zip(difference.stored, owners, types, strict=True):
            assert type is not None
            options: list[str] = []
            if stored != owner:
                options = ['unique="casefold"']
            elif gone and is_alone:
                # The way down brings it back with its field.
                options = ["unique=True" if word == "unique" else "index=True"]
            places.append(self._of_before(entity, owner, type, options))
        given = ", ".join(places)
        if not is_alone:
            keys = self._class_before(entity).keys.setdefault("unique" if word == "unique" else "indexes", [])
            keys.append(tuple(map(attribute, owners)))
        if not gone:
            self._add(Phase.DROP_KEY, f"drop_{word}({given})", f"add_{word}({given})")
        elif not is_alone:
            self._steps.append(Step(Phase.DROP_KEY, "", f"m.add_{word}({given})"))

    def _drop_reference(self, entity: EntitySpec, stored: str, difference: Difference) -> None:
        is_gone = self._is_gone(entity, stored)
        type = self._type_there(entity, stored)
        if type is None or not is_declarable(type) or difference.found_target is None:
            self.unsolved += [] if is_gone else [difference.words]
            return
        target = self._target(difference.found_target, type)
        options = [f"references=lambda: {target}"]
        if difference.found_on_delete not in (None, "restrict"):
            options.append(f'on_delete="{difference.found_on_delete}"')
        before = self._of_before(entity, stored, type, options)
        if not is_gone:
            self._add(Phase.DROP_KEY, f"drop_reference({before})", f"add_reference({before})")

    def _is_gone(self, entity: EntitySpec, stored: str) -> bool:
        return bool({(entity.token, stored), (entity.token, stored.removesuffix(_SHADOW))} & self._gone)

    def _type_there(self, entity: EntitySpec, stored: str) -> ValueType | None:
        if (entity.token, stored) in self._there:
            return self._there[entity.token, stored]
        for f in entity.fields:
            if self._old_fields.get((entity.stored, f.stored), f.stored) == stored:
                return f.type
        return None

    def _add(
        self,
        phase: Phase,
        up: str,
        down: str,
        down_comment: str | None = None,
        *,
        comment: str | None = None,
    ) -> None:
        self._steps.append(Step(phase, f"m.{up}", f"m.{down}", comment, down_comment))


def _unknown(place: str, again: str) -> tuple[str, str]:
    """Return the way down of a field whose declaration is not known, and what a person can write in its place."""
    why = f'irreversible("nobody knows how {place} was declared")'
    return (
        why,
        f"Where you know: declare {place} as it was in a class of its own, and {again} in this line's place.",
    )


def _using(conversion: Conversion) -> str:
    return "" if conversion.using is None else f", using={conversion.using}"


def _static_default(entity: EntitySpec, f: FieldSpec) -> Any:
    """Return the declared default, where it is the same for every row."""
    info = entity.model.__pydantic_fields__[f.name]
    if info.default_factory in (list, dict):
        return {} if info.default_factory is dict else []
    return PydanticUndefined if info.default is ... else info.default
