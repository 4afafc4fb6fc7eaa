"""From a class to its description: `EntitySpec` and `ModelSpec`, which backends read instead of classes.

A class is described once, when its description is first asked for: at its creation, or later where its annotations
name classes that do not exist yet.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

from .annotations import FieldTypes, check_input, refuse
from .classes import KINDS, check_name, options_of
from .declare import FieldOptions
from .errors import ConfigurationError, InvalidInput
from .fields import FieldRef, InnerRef, suggestion
from .query import Path
from .rows import row_maker
from .spec import EntitySpec, FieldSpec, IndexSpec, ModelSpec, Reference, UniqueKey
from .values import DEFAULT_TEXT_LENGTH, Kind, ValueType

_TAKEN = frozenset({"_id", "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
"""`_id` is MongoDB's name of the id; the others are columns that PostgreSQL gives every table."""
_ID_KINDS = frozenset({Kind.UUID, Kind.TEXT, Kind.INT, Kind.OBJECT_ID})
_CASEFOLD = "__casefold"
# NFD(casefold(NFD(x))) has at most this many characters per character of x (measured over all of Unicode).
_CASEFOLD_GROWTH = 4
_BUILDERS: dict[str, Callable[[type[Any]], Mapping[str, FieldRef[Any]]]] = {}
_NO_OPTIONS = FieldOptions()
LOCK = threading.RLock()
"""Two threads that ask first for the same class get the same description: its token is part of every shape."""


class _Incomplete(ConfigurationError, AttributeError):
    """A class whose annotations cannot be resolved yet; also an AttributeError, so that `hasattr` says no."""


# -- types -------------------------------------------------------------------------------------------------------------


def embedded_spec(annotation: Any) -> ModelSpec | None:
    """Return the description of an `Embedded` class, None for anything else."""
    if isinstance(annotation, type) and annotation.__dict__.get("__dbkit_role__") == "embedded":
        return model_spec_of(annotation)
    return None


_TYPES = FieldTypes(embedded_spec)


def field_types(cls: type[Any]) -> dict[str, ValueType]:
    """Return the types of the fields that are stored; empty for what is no entity and no nested model."""
    found: dict[str, ValueType] | None = cls.__dict__.get("__dbkit_types__")
    if found is not None:
        return found
    role = cls.__dict__.get("__dbkit_role__")
    if role == "view":
        entity = next((b for b in cls.__mro__[1:] if b.__dict__.get("__dbkit_role__") == "entity"), None)
        return field_types(entity) if entity is not None else {}
    if role not in ("entity", "embedded") or not cls.__pydantic_fields_complete__:
        return {}
    options = options_of(cls)
    found = {}
    indexed = {
        "id",
        *(n for names in cls.__dict__["__dbkit_compounds__"].values() for group in names for n in group),
    }
    for name, info in cls.__pydantic_fields__.items():
        where = f"{cls.__name__}.{name}"
        said = options.get(name, _NO_OPTIONS)
        is_indexed = role == "entity" and (
            name in indexed or said.index or bool(said.unique) or said.references is not None
        )
        found[name] = _TYPES.of(info, where, default_length=DEFAULT_TEXT_LENGTH if is_indexed else None)
    type.__setattr__(cls, "__dbkit_types__", found)
    return found


def check_inputs(
    cls: type[Any], schema: Any, types: Mapping[str, ValueType], trusted: frozenset[Any]
) -> None:
    """Make the fields of pydantic's schema give canonical values, in place."""
    found: dict[str, Any] | None = schema
    while found is not None and found["type"] != "model-fields":
        if found["type"] == "model" and found["cls"] is not cls:
            return
        found = found.get("schema")
    if found is None or "dbkit" in found.get("metadata", {}):
        return
    found["metadata"] = {**found.get("metadata", {}), "dbkit": True}
    fields: dict[str, Any] = found["fields"]
    for name, type_ in types.items():
        made = fields.get(name)
        if made is not None:
            is_trusted = cls.__pydantic_fields__[name].default_factory in trusted
            checked = check_input(made["schema"], type_, f"{cls.__name__}.{name}", trusted_default=is_trusted)
            fields[name] = {**made, "schema": checked}


def complete(cls: type[Any], namespace: Mapping[str, Any] | None = None) -> None:
    """Resolve annotations that named classes which did not exist yet.

    Raises:
        ConfigurationError: they still cannot be resolved.
    """
    if cls.__pydantic_complete__:
        return
    try:
        # The names of the function in which the class was made are kept by pydantic.
        cls.model_rebuild(raise_errors=True, _types_namespace=namespace or {})
    except (PydanticUndefinedAnnotation, PydanticUserError, NameError) as error:
        name = getattr(error, "name", None)
        raise _Incomplete(
            f"{cls.__name__}: its annotation names {name!r}, which is not defined yet"
            if name
            else f"{cls.__name__}: {error}",
            entity=cls.__name__,
            hint="define that class first, or at module level",
        ) from None


# -- descriptions ------------------------------------------------------------------------------------------------------


def spec_of(cls: Any, namespace: Mapping[str, Any] | None = None) -> EntitySpec:
    """Return the description of an entity; made once per class.

    *namespace* holds names that the class's annotations may need: those of the caller's function.

    Raises:
        InvalidInput: *cls* is no entity: an abstract class, a view, a group, something else.
        ConfigurationError: its declaration is wrong.
    """
    found = cls.__dict__.get("__dbkit_spec__") if isinstance(cls, type) else None
    if found is not None:
        return cast("EntitySpec", found)
    role = cls.__dict__.get("__dbkit_role__") if isinstance(cls, type) else None
    if role != "entity":
        raise _no_entity(cls, role)
    with LOCK:
        complete(cls, namespace)
        if "__dbkit_spec__" not in cls.__dict__:
            made = _entity_spec(cls)
            type.__setattr__(cls, "__dbkit_row__", row_maker(made))
            type.__setattr__(cls, "__dbkit_spec__", made)
    return cast("EntitySpec", cls.__dict__["__dbkit_spec__"])


def row_of(spec: EntitySpec, instance: Any) -> tuple[Any, ...]:
    """Return the canonical row of *instance*: one value for each of `spec.columns`, checked again.

    Raises:
        InvalidInput: it is no instance of exactly the entity's class, or a value does not fit.
        TooLarge: the entity is above 15 MiB, or an indexed text above 2,000 bytes.
    """
    return row_maker_of(spec)(instance)


def row_maker_of(spec: EntitySpec) -> Callable[[Any], tuple[Any, ...]]:
    """Return `row_of` for one entity: for those who make many rows."""
    made: Callable[[Any], tuple[Any, ...]] = spec.model.__dict__["__dbkit_row__"]
    return made


def _no_entity(cls: Any, role: str | None) -> InvalidInput:
    if role is None or not isinstance(cls, type):
        name = cls.__name__ if isinstance(cls, type) else f"an instance of {type(cls).__name__}"
        return InvalidInput(f"{name} is no entity", hint='class User(Entity, name="users")')
    hints = {
        "abstract": f'class {cls.__name__}(…, name="…") has a table',
        "view": "pass the entity, and the view as into=",
        "group": "pass the entity to store(), and the group to its group()",
        "embedded": "it is stored inside the entity that has a field of it",
    }
    return InvalidInput(
        f"{cls.__name__} is {KINDS[role]}, not an entity", entity=cls.__name__, hint=hints[role]
    )


def model_spec_of(cls: type[Any]) -> ModelSpec:
    """Return the description of an `Embedded` model; made once per class."""
    found = cls.__dict__.get("__dbkit_model__")
    if found is not None:
        return cast("ModelSpec", found)
    with LOCK:
        return cast("ModelSpec", cls.__dict__.get("__dbkit_model__") or _model_spec(cls))


def _model_spec(cls: type[Any]) -> ModelSpec:
    if cls.__dict__.get("__dbkit_building__"):
        raise refuse(cls.__name__, "a nested model cannot hold itself", "use an entity with references=")
    type.__setattr__(cls, "__dbkit_building__", True)
    try:
        complete(cls)
        options = options_of(cls)
        fields: list[FieldSpec] = []
        for name, type_ in field_types(cls).items():
            said = options.get(name, _NO_OPTIONS)
            if said.references is not None or said.unique or said.index:
                raise refuse(
                    f"{cls.__name__}.{name}", "references, unique and index are for an entity's own fields"
                )
            fields.append(_field(cls, name, said, type_))
    finally:
        type.__setattr__(cls, "__dbkit_building__", False)
    _check_stored(cls, fields)
    made = ModelSpec(cls, tuple(fields))
    type.__setattr__(cls, "__dbkit_model__", made)
    return made


def _field(
    cls: type[Any], name: str, said: FieldOptions, type: ValueType, reference: Reference | None = None
) -> FieldSpec:
    stored = name if said.stored_as is None else said.stored_as
    where = f"{cls.__name__}.{name}"
    check_name(where, "stored_as=" if said.stored_as else "", stored)
    if stored in _TAKEN:
        raise refuse(
            where,
            f"{stored!r} is a name that a store keeps for itself",
            f'field(stored_as="{stored.strip("_")}_")',
        )
    return FieldSpec(name, stored, type, reference)


def _check_stored(cls: type[Any], fields: Iterable[FieldSpec]) -> None:
    seen: dict[str, FieldSpec] = {}
    for made in fields:
        # SQLite's names are the same without case.
        other = seen.setdefault(made.stored.lower(), made)
        if other is not made:
            raise refuse(
                f"{cls.__name__}.{made.name}",
                f"{made.name} and {other.name} would both be stored as {made.stored!r}",
            )


def _entity_spec(cls: type[Any]) -> EntitySpec:
    types, options = field_types(cls), options_of(cls)
    id = types["id"]
    if id.kind not in _ID_KINDS or id.nullable or id.choices is not None:
        raise refuse(
            f"{cls.__name__}.id", "an id is a UUID, a str, an int or an ObjectId", "id: Mapped[UUID]"
        )
    if replace(options.get("id", _NO_OPTIONS), stored_as=None) != _NO_OPTIONS:
        raise refuse(f"{cls.__name__}.id", "an id is unique anyhow, and is no reference")
    fields: dict[str, FieldSpec] = {}
    shadows: dict[str, FieldSpec] = {}
    uniques: list[UniqueKey] = []
    indexes: list[IndexSpec] = []
    # pydantic has a mixin's fields before those of the class; a table starts with its id.
    for name in sorted(types, key=lambda n: n != "id"):
        type_ = types[name]
        said = options.get(name, _NO_OPTIONS)
        where = f"{cls.__name__}.{name}"
        reference = _reference(cls, name, said, type_) if said.references is not None else None
        made = fields[name] = _field(cls, name, said, type_, reference)
        if (said.unique or said.index) and not type_.kind.is_scalar:
            raise refuse(where, f"a {type_.kind.value} cannot be unique or indexed as a whole")
        if said.unique == "casefold":
            if type_.kind is not Kind.TEXT or type_.choices is not None:
                raise refuse(where, 'unique="casefold" is for text')
            assert type_.max_length is not None
            shadow_type = ValueType(
                Kind.TEXT, nullable=type_.nullable, max_length=type_.max_length * _CASEFOLD_GROWTH
            )
            shadow = FieldSpec(name + _CASEFOLD, made.stored + _CASEFOLD, shadow_type, shadow_of=name)
            check_name(where, "stored_as=", shadow.stored)
            shadows[name] = shadow
            uniques.append(UniqueKey((shadow,), (name,)))
        elif said.unique:
            uniques.append(UniqueKey((made,), (name,)))
        if said.index:
            indexes.append(IndexSpec((made,)))
    compounds: dict[str, tuple[tuple[str, ...], ...]] = cls.__dict__["__dbkit_compounds__"]
    uniques.extend(UniqueKey(_members(cls, fields, names), names) for names in compounds["unique"])
    indexes.extend(IndexSpec(_members(cls, fields, names)) for names in compounds["indexes"])
    for made in fields.values():
        # A parent's children are searched by their reference.
        leading = {i.fields[0] for i in indexes} | {u.fields[0] for u in uniques}
        if made.reference is not None and made not in leading:
            indexes.append(IndexSpec((made,)))
    _check_stored(cls, [*fields.values(), *shadows.values()])
    keys = [tuple(sorted(u.names)) for u in uniques]
    if len(set(keys)) != len(keys):
        raise refuse(cls.__name__, "the same fields are declared unique twice")
    return EntitySpec(
        cls.__name__,
        cls.__dict__["__dbkit_stored__"],
        cls,
        tuple(fields.values()),
        tuple(shadows.values()),
        tuple(uniques),
        tuple(indexes),
        versioned=bool(getattr(cls, "__dbkit_versioned__", False)),
        timestamped=bool(getattr(cls, "__dbkit_timestamped__", False)),
        stripes=cls.__dict__["__dbkit_hot__"],
        managed=cls.__dict__["__dbkit_managed__"],
    )


def _members(
    cls: type[Any], fields: Mapping[str, FieldSpec], names: tuple[str, ...]
) -> tuple[FieldSpec, ...]:
    for name in names:
        if not fields[name].type.kind.is_scalar:
            raise refuse(
                f"{cls.__name__}.{name}", f"a {fields[name].type.kind.value} cannot be part of a key"
            )
    return tuple(fields[name] for name in names)


def _reference(cls: type[Any], name: str, said: FieldOptions, type_: ValueType) -> Reference:
    where = f"{cls.__name__}.{name}"
    if said.on_delete == "set_null" and not type_.nullable:
        raise refuse(
            where, 'on_delete="set_null" needs a field that can be None', f"{name}: Mapped[… | None]"
        )
    if type_.kind not in _ID_KINDS or type_.choices is not None:
        raise refuse(where, "a reference holds an id: a UUID, a str, an int or an ObjectId")
    resolved: list[EntitySpec] = []

    def resolve() -> EntitySpec:
        if resolved:
            return resolved[0]
        assert said.references is not None
        try:
            parent = said.references()
            target = spec_of(parent)
        except NameError as error:
            raise refuse(where, f"references= names {error.name!r}, which is not defined yet") from None
        except InvalidInput as error:
            raise refuse(where, f"references=: {error.message}", error.hint) from None
        if target.id.type.kind is not type_.kind:
            raise refuse(
                where,
                f"is {type_.kind.value}, but {target.name}.id is {target.id.type.kind.value}",
                "give both one type",
            )
        resolved.append(target)
        return target

    return Reference(resolve, said.on_delete, said.check)


# -- references on the class -------------------------------------------------------------------------------------------


def attribute(cls: type[Any], name: str) -> FieldRef[Any]:
    """Return the reference of a class's field, made when it is first asked for."""
    fields = cls.__dict__.get("__pydantic_fields__")
    role = cls.__dict__.get("__dbkit_role__")
    if fields is None or role is None:
        raise AttributeError(name)
    if name not in fields:
        # Pydantic asks the bases of a class that it makes for each of its fields: too often to look for the nearest name.
        known = "" if role == "abstract" else f": {suggestion(name, fields)}"
        raise AttributeError(f"{cls.__name__} has no field {name!r}{known}")
    if role == "abstract":
        raise AttributeError(
            f"{cls.__name__}.{name}: {cls.__name__} is abstract, so this field is in no table; "
            f"take it from an entity, a class with name="
        )
    refs = refs_of(cls)
    if name not in refs:
        raise AttributeError(
            f"{cls.__name__}.{name} is more than one value, so no filter or order can name it; "
            "use any_related(…) for children, via(…) for a field of a parent"
        )
    return refs[name]


def refs_of(cls: type[Any]) -> Mapping[str, FieldRef[Any]]:
    """Return the references of all fields, and keep them on the class."""
    refs = _BUILDERS[cls.__dict__["__dbkit_role__"]](cls)
    type.__setattr__(cls, "__dbkit_refs__", refs)
    return refs


def _entity_refs(cls: type[Any]) -> dict[str, FieldRef[Any]]:
    spec = spec_of(cls)
    return {f.name: FieldRef(Path.of(spec, f)) for f in spec.fields}


def _embedded_refs(cls: type[Any]) -> dict[str, FieldRef[Any]]:
    spec = model_spec_of(cls)
    return {f.name: InnerRef(spec, (f,)) for f in spec.fields}


def register(role: str, builder: Callable[[type[Any]], Mapping[str, FieldRef[Any]]]) -> None:
    """Say how the references of a family's classes are made (views and groups add theirs)."""
    _BUILDERS[role] = builder


register("entity", _entity_refs)
register("embedded", _embedded_refs)
