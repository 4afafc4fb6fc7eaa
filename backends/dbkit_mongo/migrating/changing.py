"""Renaming, and retyping a field: what cannot be read from a half-done collection is noted before it is changed. Pure.

An index on a renamed field must go before the documents change (a unique one would see null everywhere) and can only be
built after them, so for a while nothing says what it was. A function that makes text of text leaves nothing that shows
which documents it has seen. Both are kept in a note until the operation, or its migration, is through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from bson.binary import UUID_SUBTYPE, Binary
from bson.decimal128 import Decimal128

from dbkit.errors import DbkitError, InvalidInput, MigrationError, StoredDataInvalid
from dbkit.migrations.operations import RenameCollection, RenameField, RetypeField
from dbkit.spec import EntitySpec, FieldSpec
from dbkit.values import Kind, ValueType, casefold_key

from ..rows import MONGODB as CODEC
from ..rows import key_of, plain_json
from ..schema import _MINIMA
from .conditions import bson_types, counted, lacking, misfits, of_types, out_of_bounds, value_schema
from .drafts import Draft, is_own_name, mentions, own_name
from .planning import SHADOW, Look, checked, documents, no_collection, there, without_guards
from .steps import Check, Command, Document, Note, Rewrite, Step, Transform, as_json
from .types import holds_same, type_of

__all__ = ["Notes", "plan_rename", "plan_rename_collection", "plan_retype"]

Notes = Callable[[str], Document | None]
"""Gives the note of this name, which an earlier run left."""
NEW = "_dbkit_retyped"
"""Where a document's new value waits until all have one: a name that no field can have."""


# -- a collection's name ---------------------------------------------------------------------------------------------------


def plan_rename_collection(operation: RenameCollection, look: Look, notes: Notes) -> list[Step]:
    """Return the steps that give a collection another name."""
    entity, was = operation.entity, operation.was
    if entity.stored == was:
        return []
    old, new = look(was), look(entity.stored)
    if old.exists and new.exists:
        raise MigrationError(
            f"both collections are there, {was!r} and {entity.stored!r}", entity=entity.name, hint="drop one"
        )
    if not old.exists and not new.exists:
        raise no_collection(was)
    name = f"rename_collection {was} {entity.stored}"
    draft, note, steps = new, notes(name), list[Step]()
    if old.exists:
        draft, note = old, {"schema": old.schema}
        steps = [
            Note(name, note),
            Command({"renameCollection": was, "to": entity.stored}, is_admin=True),
        ]
        draft.name = entity.stored
    # MongoDB keeps the validator; SecantusDB forgets it, so it is noted, and sent again whatever its title.
    schema = draft.schema if note is None else note["schema"]
    if schema is not None:
        draft.set_again({**schema, "title": f"dbkit entity {entity.name}"})
        draft.modify()
    # References stand in the programs; the guards of the old name are nobody's any more.
    return [*steps, *draft.steps, *without_guards(was, look), Note(name)]


# -- a field's name ----------------------------------------------------------------------------------------------------------


def plan_rename(operation: RenameField, look: Look, notes: Notes) -> list[Step]:
    """Return the steps that give a field another stored name."""
    entity, field, was = operation.entity, operation.field, operation.was
    draft, key = there(entity.stored, look), key_of(field)
    if key in {was, "_id"}:
        return []
    moves = {was: key, was + SHADOW: key + SHADOW}
    name = f"rename_field {entity.stored} {was} {key}"
    note = notes(name)
    if note is None or (draft.schema is not None and key not in draft.properties):
        # Nothing was changed so far, or all is done.
        if was in draft.properties or draft.schema is None:
            _check_free(draft, entity, field, was)
        fresh: Document = {
            "indexes": [_moved(s, moves) for s in draft.indexes if mentions(s, moves)],
            "properties": {moves[k]: schema for k, schema in draft.properties.items() if k in moves},
            "required": [moves[k] for k in moves if draft.is_required(k)],
        }
        draft.steps.append(Note(name, fresh))
        note = fresh
    for new, schema in note["properties"].items():
        draft.declare(new, schema, required=False)
    for old in moves:
        if old in draft.properties:
            draft.declare(old, draft.properties[old], required=False)
    draft.modify()
    draft.remove(lambda spec: mentions(spec, moves))
    move = [
        Rewrite(draft.name, {was: {"$exists": True}, key: {"$exists": False}}, {"$rename": moves}),
        # A program that knows the new name has written the document meanwhile: what it wrote counts.
        Rewrite(
            draft.name,
            {"$or": [{old: {"$exists": True}} for old in moves]},
            {"$unset": dict.fromkeys(moves, "")},
        ),
    ]
    draft.steps += move
    for spec in note["indexes"]:
        draft.add(spec)
    for new, schema in note["properties"].items():
        draft.declare(new, schema, required=new in note["required"])
    for old in moves:
        draft.forget(old)
    draft.modify()
    return [*draft.steps, *move, Note(name)]


def _check_free(draft: Draft, entity: EntitySpec, field: FieldSpec, was: str) -> None:
    key = key_of(field)

    def taken(found: Document) -> DbkitError:
        return MigrationError(
            f"{documents(found['n'], entity)} have something under {key!r} already, so {was!r} cannot be renamed to it",
            entity=entity.name,
            field=field.name,
            hint="rename or remove it first",
        )

    if key in draft.properties:
        raise MigrationError(
            f"{entity.name} has both fields, {was!r} and {key!r}", entity=entity.name, field=field.name
        )
    if draft.schema is not None:
        draft.steps.append(Check(draft.name, counted({key: {"$exists": True}}), taken))
        return
    # Without a validator only the documents tell whether it was renamed already.
    there = {k: {"$sum": {"$cond": [{"$eq": [{"$type": f"${k}"}, "missing"]}, 0, 1]}} for k in (was, key)}
    both: list[Document] = [
        {"$group": {"_id": None, "old": there[was], "n": there[key]}},
        {"$match": {"old": {"$gt": 0}, "n": {"$gt": 0}}},
    ]
    draft.steps.append(Check(draft.name, both, taken))


def _moved(spec: Document, moves: Mapping[str, str]) -> Document:
    """Return the index with the new names."""
    made = {**spec, "key": {moves.get(k, k): way for k, way in spec["key"].items()}}
    partial = spec.get("partialFilterExpression")
    if partial is not None:
        made["partialFilterExpression"] = {moves.get(k, k): rule for k, rule in partial.items()}
    if is_own_name(spec):
        made["name"] = own_name(made)
    return made


# -- another type ----------------------------------------------------------------------------------------------------------


def plan_retype(operation: RetypeField, look: Look, notes: Notes) -> list[Step]:
    """Return the steps that give a field another type."""
    return _Retyping(operation, look, notes).plan()


class _Retyping:
    def __init__(self, operation: RetypeField, look: Look, notes: Notes) -> None:
        self.operation = operation
        self.entity, self.field = operation.entity, operation.field
        self.key, self.type = key_of(self.field), self.field.type
        self.shadow = self.entity.shadow(self.field.name)
        self.draft = there(self.entity.stored, look)
        self.schema = value_schema(self.type)
        self.name = f"retype_field {self.entity.stored} {self.key} {as_json(self.schema)}"
        self.note = notes(self.name)
        self.was: Document | None = (
            self.note["was"] if self.note is not None else self.draft.properties.get(self.key)
        )
        found = operation.found
        self.old: ValueType | None = found.type if found is not None else type_of(self.was)
        self.old_types = bson_types(self.was if found is None else value_schema(found.type))
        self.new_types = bson_types(self.schema)

    def plan(self) -> list[Step]:
        draft = self.draft
        if self.key == "_id":
            raise InvalidInput("an id cannot be retyped", field="id", operation="retype_field")
        if self.note is not None and self.note.get("done"):
            return []
        converting, again, finished = self._conversion()
        gaps = lacking(self.key, or_null=True)
        filling: list[Step] = []
        if not self.type.nullable:
            if self.operation.default is None:
                draft.steps.append(Check(draft.name, counted(gaps), self._still_null()))
            else:
                values = self._values(self.operation.default)
                filling = [Rewrite(draft.name, gaps, {"$set": values})]
        indexes = self._noted_indexes()
        if self.note is None:
            self.note = {"was": self.was, "indexes": indexes, "phase": 1}
            draft.steps.append(Note(self.name, self.note))
        self._relax()
        names = {spec["name"] for spec in indexes}
        draft.remove(lambda spec: spec["name"] in names and spec not in indexes)
        draft.steps += converting + filling
        required = not self.type.nullable
        draft.declare(self.key, self.schema, required=required)
        if self.shadow is not None:
            draft.declare(key_of(self.shadow), value_schema(self.shadow.type), required=required)
        draft.modify()
        draft.steps += again + filling
        for spec in indexes:
            draft.add(spec)
        if self.field.reference is not None:
            # A unique index serves it only where it has every document.
            draft.settle(self.entity, [self.field])
        return [*draft.steps, Note(self.name, finished)]

    def _relax(self) -> None:
        """Let the validator take values of both types."""
        if self.draft.properties.get(self.key) != self.schema:
            both = sorted({*self.old_types, *self.new_types, "null"})
            self.draft.declare(self.key, {"bsonType": both}, required=False)
        if self.shadow is not None:
            schema = value_schema(self.shadow.type.optional())
            self.draft.declare(key_of(self.shadow), schema, required=False)
        self.draft.modify()

    def _indexes(self) -> list[Document]:
        """Return the indexes whose choice of documents changes, as they shall be."""
        columns = {self.key: self.type}
        if self.shadow is not None:
            columns[key_of(self.shadow)] = self.shadow.type
        changed: list[Document] = []
        for spec in self.draft.indexes:
            if not (spec.get("unique") and is_own_name(spec)):
                continue
            partial = dict(spec.get("partialFilterExpression") or {})
            for name, type in columns.items():
                if name in spec["key"]:
                    partial.pop(name, None)
                    if type.nullable:
                        partial[name] = {"$gte": _MINIMA[type.kind]}
            if partial != (spec.get("partialFilterExpression") or {}):
                made = {k: v for k, v in spec.items() if k != "partialFilterExpression"}
                changed.append({**made, "partialFilterExpression": partial} if partial else made)
        return changed

    # -- values ------------------------------------------------------------------------------------------------------------

    def _conversion(self) -> tuple[list[Step], list[Step], Document | None]:
        """Return the steps that convert, those that convert what came meanwhile, and the note at the end."""
        using, name = self.operation.using, self.draft.name
        if using is None:
            return self._lossless()
        alike = set(self.old_types) & set(self.new_types)
        # Run again before its migration is through, it must not take new values for old ones.
        done = {"was": self.was, "indexes": list[Document](), "done": True}
        if not alike:
            either = of_types(self.key, [*self.old_types, *self.new_types])
            neither = {"$and": [{"$expr": {"$gt": [f"${self.key}", None]}}, {"$nor": [either]}]}
            self.draft.steps.append(Check(name, counted(neither), self._misfit("a value of neither type")))
            old = of_types(self.key, self.old_types)
            step = Transform(name, old, self._changes(using, self._values), self._shown(), (self.key,))
            return [step], [step], done
        # Nothing shows which documents *using* has seen: the new values wait beside the old ones until all are there.
        first = Transform(
            name,
            {"$and": [{NEW: {"$exists": False}}, {"$expr": {"$gt": [f"${self.key}", None]}}]},
            self._changes(using, self._waiting),
            self._shown(),
            (self.key,),
        )
        moves = {f"{NEW}.{key}": key for key in self._values(None)}
        second: list[Step] = [
            Note(self.name, {"was": self.was, "indexes": self._noted_indexes(), "phase": 2}),
            Rewrite(
                name,
                {NEW: {"$exists": True}},
                [{"$set": {k: f"${w}" for w, k in moves.items()}}, {"$unset": NEW}],
            ),
        ]
        if self.note is not None and self.note.get("phase") == 2:
            return second, [], done
        return [first, *second], [], done

    def _noted_indexes(self) -> list[Document]:
        noted: Document = self.note or {"indexes": self._indexes()}
        indexes: list[Document] = noted["indexes"]
        return indexes

    def _lossless(self) -> tuple[list[Step], list[Step], Document | None]:
        old, new = self.old, self.type
        # A nested model's own declaration is no type without its class, and its values are looked at all the same.
        if old is None and holds_same(self.schema, self.was):
            old = new
        same = old is not None and old.kind is new.kind
        if not same and not (old is not None and (old.kind, new.kind) == (Kind.INT, Kind.DECIMAL)):
            there = "something" if old is None else old.kind.value
            raise InvalidInput(
                f"{self.entity.name}.{self.field.name} is {there} there and {new.kind.value} here, "
                "which no store changes by itself",
                entity=self.entity.name,
                field=self.field.name,
                operation="retype_field",
                hint="give using=…; and was=… where the store does not tell the type",
            )
        assert old is not None
        name = self.draft.name
        if new.kind is Kind.DECIMAL and (old.kind is Kind.INT or old.decimal_places != new.decimal_places):
            types = of_types(self.key, ["int", "long", "decimal"])
            step = Transform(name, types, self._changes(None, self._values), self._shown(), (self.key,))
            return [step], [step], None
        self.draft.steps.append(
            Check(name, counted(misfits(self.key, self.schema)), self._misfit("a value of another type"))
        )
        outside = out_of_bounds(self.key, new)
        if outside is not None and not _is_wider(self.operation.found, new):
            self.draft.steps.append(
                Check(name, counted(outside), self._misfit("a value that the field does not allow"))
            )
        return [], [], None

    def _changes(
        self, using: Callable[[Any], Any] | None, values: Callable[[Any], Document]
    ) -> Callable[[list[Document]], list[tuple[Document, Document]]]:
        def change(found: list[Document]) -> list[tuple[Document, Document]]:
            made: list[tuple[Document, Document]] = []
            for document in found:
                raw = document[self.key]
                value = self._decoded(raw, self.type if using is None else self.old)
                new = checked(
                    self.entity, self.field, value if using is None else using(value), "retype_field"
                )
                update = values(new)
                # What a program has changed meanwhile is read again by the next pass.
                if using is not None or update[self.key] != raw:
                    made.append(({"_id": document["_id"], self.key: {"$eq": raw}}, {"$set": update}))
            return made

        return change

    def _decoded(self, raw: Any, type: ValueType | None) -> Any:
        try:
            return _native(raw) if type is None else CODEC.decode(type, raw)
        except (ValueError, TypeError, OverflowError):
            # No cause: its message may hold the value.
            raise StoredDataInvalid(
                f"a stored {self.entity.name}.{self.field.name} is not what it was declared as",
                entity=self.entity.name,
                field=self.field.name,
                hint="mend it first, or say was=…",
            ) from None

    def _values(self, value: Any) -> Document:
        values = {self.key: CODEC.encode(self.type, value)}
        if self.shadow is not None:
            values[key_of(self.shadow)] = None if value is None else casefold_key(value)
        return values

    def _waiting(self, value: Any) -> Document:
        return {NEW: self._values(value)}

    def _shown(self) -> Document:
        return {"$set": {self.key: "its value as the new type"}}

    # -- refusals ----------------------------------------------------------------------------------------------------------

    def _still_null(self) -> Callable[[Document], DbkitError]:
        return self._refusal("no value, and the field is no longer nullable", "give default=…")

    def _misfit(self, what: str) -> Callable[[Document], DbkitError]:
        return self._refusal(what, "mend them first, or give using=…")

    def _refusal(self, what: str, hint: str) -> Callable[[Document], DbkitError]:
        return lambda found: StoredDataInvalid(
            f"{documents(found['n'], self.entity)} have {what} ({self.field.name})",
            entity=self.entity.name,
            field=self.field.name,
            hint=hint,
        )


def _native(raw: Any) -> Any:
    """Return what a document holds as Python's own types, where no declaration says more."""
    if isinstance(raw, Decimal128):
        return Decimal(raw.to_decimal())
    if isinstance(raw, Binary):
        return UUID(bytes=bytes(raw)) if raw.subtype == UUID_SUBTYPE else bytes(raw)
    return plain_json(raw)


def _is_wider(found: FieldSpec | None, new: ValueType) -> bool:
    """Whether every value of the old declaration is one of the new."""
    if found is None:
        return False
    old = found.type
    if new.choices is not None:
        return old.choices is not None and set(old.choices) <= set(new.choices)
    if new.kind in {Kind.INT, Kind.DECIMAL, Kind.FLOAT}:
        return bool(new.bounds[0] <= old.bounds[0] and old.bounds[1] <= new.bounds[1])
    if new.max_length is None:
        return True
    return old.max_length is not None and old.max_length <= new.max_length
