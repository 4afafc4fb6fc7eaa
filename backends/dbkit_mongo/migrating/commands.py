"""Commands from a migration's file: JSON that may hold what JSON has not, as Extended JSON. Pure.

https://www.mongodb.com/docs/manual/reference/mongodb-extended-json/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

from bson import json_util
from bson.binary import UUID_SUBTYPE, Binary
from bson.errors import BSONError
from bson.json_util import JSONOptions

from dbkit.errors import InvalidInput

__all__ = ["native"]

_OPTIONS: JSONOptions = JSONOptions(tz_aware=True)
_TYPES = frozenset(
    {
        "$oid",
        "$date",
        "$numberInt",
        "$numberLong",
        "$numberDouble",
        "$numberDecimal",
        "$binary",
        "$uuid",
        "$timestamp",
        "$regularExpression",
        "$minKey",
        "$maxKey",
    }
)


def native(command: Mapping[str, Any]) -> dict[str, Any]:
    """Return the command as the driver takes it, its keys in their order: the first one is its name.

    Raises:
        InvalidInput: it is none, or a value in it is not what it says it is.
    """
    if not command or not all(isinstance(key, str) for key in command):
        raise InvalidInput("a command is an object whose first key is the command's name")
    made: dict[str, Any] = {key: _value(value) for key, value in command.items()}
    return made


def _value(value: Any) -> Any:
    if isinstance(value, UUID):
        return Binary(value.bytes, UUID_SUBTYPE)
    if isinstance(value, list | tuple):
        return [_value(item) for item in cast("list[Any]", value)]
    if not isinstance(value, Mapping):
        return value
    document = cast("Mapping[str, Any]", value)
    if len(document) == 1 and next(iter(document)) in _TYPES:
        try:
            return json_util.object_hook(dict(document), _OPTIONS)
        except (BSONError, TypeError, ValueError) as error:
            raise InvalidInput(f"a value of the command is no {next(iter(document))}") from error
    return {key: _value(item) for key, item in document.items()}
