"""Conditions and sort keys as text: `username=ada`, `created_at>=2024-05-01`, `-created_at`. Nothing is evaluated.

    name=value  !=  <  <=  >  >=     compared with a value of the field's type
    name^=text                       starts with
    name*=text                       contains
    name~=text                       equals without case, for unique="casefold"
    name is null, name is not null

A name reaches on by dots: into a nested model, behind a dict's key, through a reference (`user_id.username`).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from ..fields import FieldRef, suggestion
from ..query import Filter, Order, Path
from ..spec import EntitySpec, FieldSpec, ModelSpec
from ..values import Kind, ValueType
from .failures import Misuse

__all__ = ["entity_named", "field_named", "filter_from", "order_from", "typed"]

_NAME = r"(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)"
_NULL = re.compile(rf"\s*{_NAME}\s+is\s+(?P<not>not\s+)?null\s*\Z", re.IGNORECASE)
_COMPARED = re.compile(rf"\s*{_NAME}\s*(?P<op>!=|<=|>=|\^=|\*=|~=|=|<|>)(?P<value>.*)\Z", re.DOTALL)
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TYPES: dict[Kind, type[Any]] = {
    Kind.UUID: UUID,
    Kind.TEXT: str,
    Kind.INT: int,
    Kind.FLOAT: float,
    Kind.DECIMAL: Decimal,
    Kind.BOOL: bool,
    Kind.DATETIME: datetime,
    Kind.DATE: date,
    Kind.TIME: time,
    Kind.TIMEDELTA: timedelta,
}


def entity_named(name: str, entities: list[Any]) -> Any:
    """Return the entity of this class name, or stored name."""
    from ..entity import spec_of

    specs = {entity: spec_of(entity) for entity in entities}
    for entity, spec in specs.items():
        if name in {spec.name, spec.stored}:
            return entity
    raise Misuse(
        f"there is no entity {name!r}", hint=suggestion(name, [spec.name for spec in specs.values()])
    )


def field_named(entity: EntitySpec, name: str) -> FieldRef[Any]:
    """Return the field that a dotted *name* reaches from *entity*."""
    first, *further = name.split(".")
    path = Path.of(entity, _member(entity, first))
    for step in further:
        reference = path.field.reference
        if not path.inside and reference is not None:
            path = Path(entity, _member(reference.target, step), references=(*path.references, path.field))
        elif path.type.model is not None:
            path = path.within(_member(path.type.model, step))
        elif path.type.kind is Kind.DICT:
            path = path.within(step)
        else:
            raise Misuse(
                f"{path} leads nowhere",
                hint="a dot reaches into a nested model, a dict, or through a reference",
            )
    return FieldRef(path)


def _member(owner: EntitySpec | ModelSpec, name: str) -> FieldSpec:
    found = owner.by_name.get(name)
    if found is None:
        called = owner.name if isinstance(owner, EntitySpec) else owner.model.__name__
        raise Misuse(f"{called} has no field {name!r}", hint=suggestion(name, owner.by_name))
    return found


def filter_from(entity: EntitySpec, text: str) -> Filter:
    """Return the condition that *text* says."""
    asked = _NULL.match(text)
    if asked is not None:
        is_null = field_named(entity, asked["name"]).is_null()
        return ~is_null if asked["not"] else is_null
    said = _COMPARED.match(text)
    if said is None:
        raise Misuse(
            "a condition cannot be read",
            hint="write username=ada, age>=18, title^=Intro, title*=news, email~=ADA@example.org, 'bio is null'",
        )
    field, op, value = field_named(entity, said["name"]), said["op"], said["value"]
    if op == "^=":
        return field.starts_with(value)
    if op == "*=":
        return field.contains(value)
    if op == "~=":
        return field.equals_casefold(value)
    compared: Filter = _OPERATORS[op](field, typed(field.path, value))
    return compared


def order_from(entity: EntitySpec, text: str) -> list[Order]:
    """Return the sort keys that *text* names, separated by commas; a leading - means descending."""
    keys: list[Order] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        field = field_named(entity, part.removeprefix("-"))
        keys.append(field.desc() if part.startswith("-") else field.asc())
    return keys


def typed(path: Path, text: str) -> Any:
    """Return what *text* is as a value of the path's type."""
    type_: ValueType = path.type
    if type_.kind is Kind.JSON:
        return _json_value(text)
    wanted: Any = type_.enum or _TYPES.get(type_.kind)
    if wanted is None:
        raise Misuse(f"{path} cannot be compared with a text from the command line")
    try:
        value = TypeAdapter(wanted).validate_strings(text)
    except ValidationError:
        raise Misuse(f"the value for {path} is no {wanted.__name__}") from None
    if isinstance(value, datetime) and value.tzinfo is None:
        raise Misuse(
            f"the time for {path} says not of which zone", hint=f"'{path.field.name}>2026-01-01T00:00:00Z'"
        )
    return value


def _json_value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text, text)
