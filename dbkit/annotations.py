"""From a field's annotation to its `ValueType`, and the checks that an entity's own input needs.

Only what every store can keep has a `ValueType`; anything else is refused when the class is made, naming what can be.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from functools import partial
from typing import Annotated, Any, ForwardRef, Literal, NewType, Union, cast, get_args, get_origin
from uuid import UUID

import pydantic
from annotated_types import GroupedMetadata
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema
from typing_extensions import TypeAliasType

from .errors import ConfigurationError
from .objectid import ObjectId
from .spec import ModelSpec
from .values import (
    INT_MAX,
    INT_MIN,
    MAX_DECIMAL_DIGITS,
    Kind,
    ValueType,
    canonical_datetime,
    canonical_decimal,
    canonical_float,
    canonical_text,
    canonical_time,
    canonical_timedelta,
    check_json,
    explain_validation,
)

__all__ = ["FieldTypes", "check_input", "refuse"]

_SCALARS: dict[Any, Kind] = {
    UUID: Kind.UUID,
    ObjectId: Kind.OBJECT_ID,
    str: Kind.TEXT,
    pydantic.EmailStr: Kind.TEXT,
    int: Kind.INT,
    float: Kind.FLOAT,
    Decimal: Kind.DECIMAL,
    bool: Kind.BOOL,
    datetime: Kind.DATETIME,
    pydantic.AwareDatetime: Kind.DATETIME,
    pydantic.PastDatetime: Kind.DATETIME,
    pydantic.FutureDatetime: Kind.DATETIME,
    date: Kind.DATE,
    pydantic.PastDate: Kind.DATE,
    pydantic.FutureDate: Kind.DATE,
    time: Kind.TIME,
    timedelta: Kind.TIMEDELTA,
    bytes: Kind.BYTES,
}
_POSSIBLE = (
    "a field can be UUID, ObjectId, str, int, float, Decimal, bool, datetime, date, time, timedelta, bytes, an Enum or "
    "Literal of str or of int, an Embedded model, dict[str, …], list[…] of these (but not of lists), Any inside a dict or list, "
    "and each of them | None"
)
_LIMITS = ("max_length", "max_digits", "decimal_places", "ge", "gt", "le", "lt")
_ALIASES: tuple[Any, ...] = (TypeAliasType, getattr(typing, "TypeAliasType", TypeAliasType))


def refuse(where: str, problem: str, hint: str | None = None) -> ConfigurationError:
    """Return the error about a declaration; *where* is `Class` or `Class.field`."""
    entity, _, field = where.partition(".")
    return ConfigurationError(f"{where}: {problem}", entity=entity, field=field or None, hint=hint)


class FieldTypes:
    """Reads annotations as `ValueType`s.

    *model_spec* describes an `Embedded` class, and returns None for any other. With *results* the annotations are those
    of a view or group, which take their limits from their sources: a Decimal need not declare its digits.
    """

    def __init__(self, model_spec: Callable[[Any], ModelSpec | None], *, results: bool = False) -> None:
        self._model_spec = model_spec
        self._results = results

    def of(self, info: FieldInfo, where: str, *, default_length: int | None = None) -> ValueType:
        """Return the type of a pydantic field.

        *default_length* is the `max_length` of text that declares none.
        """
        return self._type(info.annotation, _limits(info.metadata), where, default_length)

    def _type(
        self, annotation: Any, limits: dict[str, Any], where: str, default_length: int | None = None
    ) -> ValueType:
        annotation, more, nullable = _unwrap(annotation)
        limits = {**_limits(more), **limits}
        if get_origin(annotation) in (Union, types.UnionType):
            raise refuse(where, "a union of types cannot be stored", _POSSIBLE)
        made = self._bare(annotation, limits, where, default_length)
        return made.optional() if nullable else made

    def _bare(
        self, annotation: Any, limits: dict[str, Any], where: str, default_length: int | None
    ) -> ValueType:
        origin = get_origin(annotation)
        if origin is Literal:
            return _choices(get_args(annotation), None, where)
        if origin is list or annotation is list:
            (item,) = get_args(annotation) or (Any,)
            element = self._element(item, f"{where}[…]")
            if element.kind is Kind.LIST:
                raise refuse(
                    where, "a list of lists cannot be stored", "use list[Any], or a list of Embedded models"
                )
            return ValueType(Kind.LIST, element=element, max_length=limits.get("max_length"))
        if origin is dict or annotation is dict:
            key, value = get_args(annotation) or (str, Any)
            if _unwrap(key)[0] is not str:
                raise refuse(where, "a dict's keys must be str", "dict[str, …]")
            return ValueType(Kind.DICT, element=self._element(value, f"{where}[…]"))
        if isinstance(annotation, type) and issubclass(annotation, Enum):
            if issubclass(annotation, Flag):
                raise refuse(where, f"{annotation.__name__} is a Flag, which no store compares", "use an int")
            return _choices([member.value for member in annotation], annotation, where)
        if annotation in _SCALARS:
            return self._scalar(_SCALARS[annotation], limits, where, default_length)
        model = self._model_spec(annotation)
        if model is not None:
            return ValueType(Kind.MODEL, model=model)
        if isinstance(annotation, str | ForwardRef):
            missing = annotation if isinstance(annotation, str) else annotation.__forward_arg__
            raise refuse(
                where,
                f"the annotation {missing!r} cannot be resolved yet",
                "declare that class before it is used",
            )
        name: str = getattr(cast("object", annotation), "__name__", None) or str(cast("object", annotation))
        if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
            raise refuse(
                where,
                f"{name} is not an Embedded model",
                f"class {name}(Embedded), or hold its id by references=",
            )
        raise refuse(where, f"{name} cannot be stored", _POSSIBLE)

    def _element(self, annotation: Any, where: str) -> ValueType:
        bare, _, nullable = _unwrap(annotation)
        if bare is Any or bare is pydantic.JsonValue:
            return ValueType(Kind.JSON, nullable=True)
        del nullable
        return self._type(annotation, {}, where)

    def _scalar(
        self, kind: Kind, limits: dict[str, Any], where: str, default_length: int | None
    ) -> ValueType:
        if kind is Kind.TEXT:
            return ValueType(kind, max_length=limits.get("max_length", default_length))
        if kind is Kind.BYTES:
            return ValueType(kind, max_length=limits.get("max_length"))
        if not kind.is_number:
            return ValueType(kind)
        bounds: dict[str, Any] = {
            name: limits[name] for name in ("ge", "gt", "le", "lt") if limits.get(name) is not None
        }
        if kind is Kind.DECIMAL:
            digits, places = limits.get("max_digits"), limits.get("decimal_places")
            if self._results and digits is None and places is None:
                return ValueType(kind)
            if digits is None or places is None:
                raise refuse(
                    where,
                    "a Decimal declares max_digits and decimal_places",
                    "Annotated[Decimal, Field(max_digits=14, decimal_places=2)]"
                    if where.endswith("]")
                    else "field(max_digits=14, decimal_places=2)",
                )
            if not 1 <= digits <= MAX_DECIMAL_DIGITS or not 0 <= places <= digits:
                raise refuse(
                    where, f"max_digits is 1 to {MAX_DECIMAL_DIGITS}, decimal_places 0 to max_digits"
                )
            bounds = {name: Decimal(str(bound)) for name, bound in bounds.items()}
            made = ValueType(kind, max_digits=digits, decimal_places=places, **bounds)
        else:
            made = ValueType(kind, **bounds)
        low, high = made.bounds
        if low > high:
            raise refuse(where, "no value lies within the declared bounds")
        return made


def _choices(values: Iterable[Any], enum: type[Enum] | None, where: str) -> ValueType:
    choices = tuple(v for v in values if v is not None)
    what = enum.__name__ if enum else "Literal"
    if choices and all(isinstance(v, str) for v in choices):
        kind = Kind.TEXT
        for value in choices:
            try:
                canonical_text(value)
            except ValueError as error:
                raise refuse(where, f"a value of {what} cannot be stored: {error}") from None
    elif choices and all(isinstance(v, int) and not isinstance(v, bool) for v in choices):
        kind = Kind.INT
        if not all(INT_MIN <= v <= INT_MAX for v in choices):
            raise refuse(where, f"a value of {what} does not fit into signed 64 bits")
    else:
        raise refuse(where, f"the values of {what} must be all str or all int")
    # A StrEnum's values are plain already; a Literal's may be members of one.
    plain = tuple(str.__str__(v) if kind is Kind.TEXT else int(v) for v in choices)
    return ValueType(kind, enum=enum, choices=cast("tuple[str, ...] | tuple[int, ...]", plain))


def _unwrap(annotation: Any) -> tuple[Any, list[Any], bool]:
    """Return the annotation without Annotated, aliases and None; the metadata found; whether None was there."""
    metadata: list[Any] = []
    nullable = False
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation, *found = get_args(annotation)
            metadata.extend(found)
        elif isinstance(annotation, _ALIASES) and annotation is not pydantic.JsonValue:
            annotation = annotation.__value__
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif origin in (Union, types.UnionType):
            arguments = get_args(annotation)
            rest = [a for a in arguments if a is not types.NoneType]
            nullable = nullable or len(rest) < len(arguments)
            if len(rest) != 1:
                return annotation, metadata, nullable
            (annotation,) = rest
        else:
            if origin is Literal and None in get_args(annotation):
                nullable = True
            return annotation, metadata, nullable


def _limits(metadata: Iterable[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in _flat(metadata):
        for name in _LIMITS:
            limit = getattr(item, name, None)
            if limit is not None:
                found[name] = limit
    return found


def _flat(metadata: Iterable[Any]) -> Iterator[Any]:
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from _flat(item.metadata)
        elif isinstance(item, GroupedMetadata):
            yield from _flat(item)
            yield item
        else:
            yield item


# -- input -------------------------------------------------------------------------------------------------------------


def check_input(
    schema: CoreSchema, type: ValueType, where: str, *, trusted_default: bool = False
) -> CoreSchema:
    """Return pydantic's schema of a field, made to produce canonical values.

    int, float and bool become strict, 64 bits and finiteness are checked, and the value is made canonical after the
    user's own validators. A default is made canonical here, once; what a factory gives, each time, unless it is
    *trusted_default*.
    """
    made = cast("dict[str, Any]", schema)
    if made["type"] != "default":
        return _canonical_input(schema, type)
    made = {**made, "schema": _canonical_input(made["schema"], type)}
    if "default" in made:
        default = made["default"]
        try:
            made["default"] = type.literal.validate_python(default)
        except ValidationError as error:
            path, message = explain_validation(error)
            raise refuse(".".join([where, *map(str, path)]), f"the default: {message}") from None
    elif not trusted_default:
        made["validate_default"] = True
    return cast("CoreSchema", made)


def _canonical_input(schema: CoreSchema, type: ValueType) -> CoreSchema:
    schema = _stricter(schema, type.max_length if type.kind is Kind.TEXT and type.choices is None else None)
    function = _canonical(type)
    if function is None:
        return schema
    if schema["type"] == "nullable":
        inner = core_schema.no_info_after_validator_function(function, schema["schema"])
        return cast("CoreSchema", {**schema, "schema": inner})
    if not type.nullable:
        return core_schema.no_info_after_validator_function(function, schema)
    return core_schema.no_info_after_validator_function(partial(_unless_none, function), schema)


def _unless_none(function: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else function(value)


def _canonical(type: ValueType) -> Callable[[Any], Any] | None:
    if type.choices is not None:
        return None
    if type.kind is Kind.DECIMAL:
        return partial(canonical_decimal, places=type.decimal_places, digits=type.max_digits)
    if type.kind is Kind.LIST or type.kind is Kind.DICT:
        assert type.element is not None
        if type.element.kind is Kind.JSON:
            return check_json
        element = _canonical(type.element)
        if element is None:
            return _text_keys if type.kind is Kind.DICT else None
        if type.element.nullable:
            element = partial(_unless_none, element)
        return partial(_each_value if type.kind is Kind.DICT else _each, element)
    return _CANONICAL.get(type.kind)


def _each(function: Callable[[Any], Any], values: list[Any]) -> list[Any]:
    return [function(value) for value in values]


def _each_value(function: Callable[[Any], Any], values: dict[str, Any]) -> dict[str, Any]:
    return {canonical_text(key): function(value) for key, value in values.items()}


def _text_keys(values: dict[str, Any]) -> dict[str, Any]:
    return {canonical_text(key): value for key, value in values.items()}


_CANONICAL: dict[Kind, Callable[[Any], Any]] = {
    Kind.FLOAT: canonical_float,
    Kind.DATETIME: canonical_datetime,
    Kind.TIME: canonical_time,
    Kind.TIMEDELTA: canonical_timedelta,
}
_INNER = ("schema", "items_schema", "keys_schema", "values_schema", "lax_schema", "strict_schema")
_OPAQUE = frozenset({"model", "definitions", "definition-ref", "enum", "literal"})


def _stricter(schema: Any, max_length: int | None) -> Any:
    kind = schema["type"]
    if kind in _OPAQUE:
        return schema
    made: dict[str, Any] = dict(schema)
    if kind == "int":
        made["strict"] = True
        if "gt" not in made:
            made["ge"] = max(made.get("ge", INT_MIN), INT_MIN)
        if "lt" not in made:
            made["le"] = min(made.get("le", INT_MAX), INT_MAX)
    elif kind == "float":
        made["strict"], made["allow_inf_nan"] = True, False
    elif kind == "bool":
        made["strict"] = True
    elif kind == "str":
        # PostgreSQL keeps no NUL. `$` is the text's end in the Rust engine, and reads the same in a JSON schema.
        made.setdefault("pattern", r"^[^\x00]*$")
        if max_length is not None:
            made.setdefault("max_length", max_length)
    for key in _INNER:
        if isinstance(made.get(key), dict):
            made[key] = _stricter(made[key], max_length if key == "schema" else None)
    if kind == "chain":
        made["steps"] = [_stricter(step, max_length) for step in made["steps"]]
    return made
