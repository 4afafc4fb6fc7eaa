"""What a migration's author gives (`User.bio`, `"users"`, a type), as the descriptions that operations hold."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec, TypeVar, cast

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, PydanticUndefinedType

from ..annotations import FieldTypes
from ..describe import embedded_spec
from ..entity import spec_of
from ..errors import InvalidInput
from ..fields import FieldRef, suggestion
from ..query import Path
from ..spec import EntitySpec, FieldSpec, IndexSpec, Schema, UniqueKey
from ..values import check_value
from .operations import Fill

__all__ = [
    "RUNS_NOTHING",
    "FieldGiven",
    "NoDefault",
    "checked",
    "default_of",
    "field_of",
    "fields_of",
    "found_of",
    "index_of",
    "is_lazy",
    "plain",
    "schema_of",
    "stored_name",
    "unique_of",
]

FieldGiven = FieldRef[Any] | tuple[type[Any], str]
"""A field as its class gives it, `User.bio`, or by name, `(User, "bio")`."""
NoDefault = PydanticUndefinedType
_STORED = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")
_TYPES = FieldTypes(embedded_spec)

P = ParamSpec("P")
R = TypeVar("R")


def is_lazy(function: Any) -> bool:
    """Whether calling *function* runs nothing of it, as it makes a coroutine or a generator."""
    return (
        inspect.iscoroutinefunction(function)
        or inspect.isgeneratorfunction(function)
        or inspect.isasyncgenfunction(function)
    )


def plain(function: Callable[P, R], what: str) -> Callable[P, R]:
    """Return *function*, refused where it is asynchronous: at once where that can be seen, else by its first result."""
    if is_lazy(function):
        raise _asynchronous(f"{what} {RUNS_NOTHING}")

    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        result = function(*args, **kwargs)
        if inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            raise _asynchronous(f"{what} gave an awaitable, which nobody awaits")
        return result

    return called


RUNS_NOTHING = "is a coroutine or a generator: calling it would run nothing"


def _asynchronous(message: str) -> InvalidInput:
    return InvalidInput(
        message,
        hint="a plain function, without async, await and yield; AsyncMigrator runs it in a thread",
    )


def field_of(given: Any, operation: str) -> tuple[EntitySpec, FieldSpec]:
    """Return the entity and the field that *given* is."""
    if isinstance(given, FieldRef):
        path: Path = given.path
        if path.is_own_field and isinstance(path.root, EntitySpec):
            return path.root, path.field
        raise InvalidInput(f"{path} is not a whole field of an entity", operation=operation)
    if isinstance(given, tuple):
        cls, name = (*cast("Sequence[Any]", given), None, None)[:2]
        spec = spec_of(cls)
        if name in spec.by_name:
            return spec, spec.by_name[name]
        raise InvalidInput(
            f"{spec.name} has no field {name!r}",
            operation=operation,
            entity=spec.name,
            hint=suggestion(str(name), spec.by_name),
        )
    raise InvalidInput(
        f"{operation} takes a field of an entity", operation=operation, hint='User.bio, or (User, "bio")'
    )


def fields_of(given: Iterable[Any], operation: str) -> tuple[EntitySpec, tuple[FieldSpec, ...]]:
    """Return the entity and its fields that *given* are: at least one, all of one entity."""
    found = [field_of(one, operation) for one in given]
    if not found:
        raise InvalidInput(f"{operation} takes at least one field", operation=operation)
    entity = found[0][0]
    if any(other is not entity for other, _ in found):
        raise InvalidInput(f"{operation} takes fields of one entity", operation=operation, entity=entity.name)
    return entity, tuple(field for _, field in found)


def stored_name(given: Any, operation: str) -> str:
    """Return the stored name that *given*, an entity or the name itself, means."""
    if isinstance(given, type):
        return spec_of(given).stored
    if isinstance(given, str) and _STORED.match(given):
        return given
    raise InvalidInput(
        f"{operation} takes an entity, or a stored name", operation=operation, hint='User, or "users"'
    )


def unique_of(entity: EntitySpec, fields: tuple[FieldSpec, ...]) -> UniqueKey:
    """Return the entity's unique key of *fields*; made where its class in the migration declares none."""
    names = tuple(f.name for f in fields)
    return entity.unique_key(names) or UniqueKey(fields, names)


def index_of(entity: EntitySpec, fields: tuple[FieldSpec, ...]) -> IndexSpec:
    """Return the entity's index of *fields*, in this order; made where its class declares none."""
    return next((i for i in entity.indexes if i.fields == fields), IndexSpec(fields))


def found_of(given: Any, entity: EntitySpec, field: FieldSpec, operation: str) -> FieldSpec | None:
    """Return the field as it was: *given* is None, a field of another class, or a type (`int | None`)."""
    if given is None:
        return None
    if isinstance(given, FieldRef | tuple):
        found = field_of(given, operation)[1]
        return FieldSpec(field.name, field.stored, found.type, found.reference)
    type_ = _TYPES.of(FieldInfo.from_annotation(given), f"{entity.name}.{field.name}")
    return FieldSpec(field.name, field.stored, type_)


def default_of(entity: EntitySpec, field: FieldSpec, given: Any, operation: str) -> tuple[Any, Fill | None]:
    """Return the value, or the function that makes it, which existing rows get in a new field.

    What is *given*, else what the class declares, else None where the field may be None.

    Raises:
        InvalidInput: it does not fit the field, or there is none.
    """
    info = entity.model.__pydantic_fields__[field.name]
    factory: Any = info.default_factory
    if given is PydanticUndefined:
        given = info.default
    if given is not PydanticUndefined and given is not ...:
        return _check(entity, field, operation)(given), None
    if factory is not None:
        takes_data = bool(info.default_factory_takes_validated_data)
        return None, checked(
            entity, field, operation, lambda row: factory(dict(row.__dict__)) if takes_data else factory()
        )
    if field.type.nullable:
        return None, None
    raise InvalidInput(
        f"{entity.name}.{field.name} cannot be None, and rows that are there have no value for it",
        operation=operation,
        entity=entity.name,
        field=field.name,
        hint="default=…, or fill=function of the row; or make it | None first, and fill it by and by",
    )


def checked(entity: EntitySpec, field: FieldSpec, operation: str, function: Fill) -> Fill:
    """Return *function* with its results checked and made canonical."""
    check = _check(entity, field, operation)
    called = plain(function, f"{operation}'s function")
    return lambda row: check(called(row))


def _check(entity: EntitySpec, field: FieldSpec, operation: str) -> Callable[[Any], Any]:
    literal = field.type.literal
    return lambda value: check_value(
        literal, value, entity=entity.name, field=field.name, operation=operation
    )


def schema_of(entity: EntitySpec, others: Iterable[EntitySpec]) -> Schema:
    """Return the schema of *entity*, of what it refers to, and of those of *others* that go with them.

    A class that has a name twice, as before and as after, is in it once: as *entity* has it.
    """
    found: dict[str, EntitySpec] = {}

    def add(spec: EntitySpec) -> bool:
        there = found.get(spec.stored.lower())
        if there is not None:
            return there is spec
        found[spec.stored.lower()] = spec
        return all(f.reference is None or add(f.reference.target) for f in spec.references)

    add(entity)
    for other in others:
        before = dict(found)
        if not add(other):
            found.clear()
            found.update(before)
    return Schema(found.values())
