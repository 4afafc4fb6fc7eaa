"""From a stored property back to the type that dbkit has for it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dbkit.values import Kind, ValueType

from ..schema import _BSON_TYPES, _MEANINGS

__all__ = ["holds_same", "type_of"]

_DECIMAL = re.compile(r"decimal with (\d+) places\Z")
_MEANT = {meaning: kind for kind, meaning in _MEANINGS.items()}
_PLAIN = {
    name: kind
    for kind, name in _BSON_TYPES.items()
    if kind not in _MEANINGS and kind not in {Kind.MODEL, Kind.DECIMAL}
}


def type_of(schema: Mapping[str, Any] | None) -> ValueType | None:
    """Return the type that a property of a validator declares, or None where dbkit has none for it.

    Bounds and lengths do not stand there, and a nested model is no type without its class.
    """
    if schema is None:
        return None
    stated = schema.get("bsonType")
    names = [stated] if isinstance(stated, str) else list(stated or ())
    nullable = "null" in names
    names = [name for name in names if name != "null"]
    if not names:
        # What holds anything holds null too.
        return ValueType(Kind.JSON, nullable=True) if not schema else None
    if len(names) > 1:
        return None
    meaning = schema.get("description")
    if meaning in _MEANT:
        return ValueType(_MEANT[meaning], nullable=nullable)
    if names[0] == "decimal":
        places = _DECIMAL.match(meaning or "")
        return ValueType(Kind.DECIMAL, nullable=nullable, decimal_places=int(places[1])) if places else None
    kind = _PLAIN.get(names[0])
    if kind is None or (kind is Kind.DICT and "properties" in schema):
        return None
    if kind is Kind.LIST:
        element = type_of(schema.get("items") or {})
        return None if element is None else ValueType(kind, nullable=nullable, element=element)
    if kind is Kind.DICT:
        return ValueType(kind, nullable=nullable, element=ValueType(Kind.JSON, nullable=True))
    return ValueType(kind, nullable=nullable)


def holds_same(schema: Mapping[str, Any], other: Mapping[str, Any] | None) -> bool:
    """Whether values of the one declaration mean the same under the other, where they fit it.

    So it is with a nested model, or a list of them, whose fields came, went, or may be null.
    """
    if other is None or _stated(schema) != _stated(other):
        return False
    mine, theirs = schema.get("properties", {}), other.get("properties", {})
    return (
        schema.get("description") == other.get("description")
        and bool(mine) == bool(theirs)
        and all(holds_same(mine[key], theirs[key]) for key in mine.keys() & theirs.keys())
        and ("items" in schema) == ("items" in other)
        and ("items" not in schema or holds_same(schema["items"], other["items"]))
    )


def _stated(schema: Mapping[str, Any]) -> frozenset[str]:
    stated = schema.get("bsonType")
    return frozenset([stated] if isinstance(stated, str) else stated or ()) - {"null"}
