"""`ObjectId`: MongoDB's 12-byte id as a value of dbkit's own, so that the core needs no driver and every store keeps it."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime
from functools import total_ordering
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

__all__ = ["ObjectId"]

_HEX_DIGITS = 24
_BYTES = 12


@total_ordering
class ObjectId:
    """The id of documents that other programs made in MongoDB: 12 bytes, immutable, ordered by them.

    `ObjectId()` makes a new one as MongoDB's drivers do: 4 bytes of seconds, 5 random ones of this process, a counter of
    3. It is also made of 24 hexadecimal digits, of 12 bytes, or of PyMongo's own `bson.ObjectId`; `str()` gives the digits.
    MongoDB keeps it as its native type, PostgreSQL as bytea, SQLite as a BLOB.

        class Legacy(Record[ObjectId], name="legacy", managed=False):
            id: Mapped[ObjectId] = field(default_factory=ObjectId)
    """

    __slots__ = ("_binary",)

    _binary: bytes

    def __init__(self, value: str | bytes | Any = None) -> None:
        """Make a new id, or the one that *value* stands for.

        Raises:
            ValueError: *value* is neither 24 hexadecimal digits nor 12 bytes.
        """
        # The attribute by which PyMongo's ObjectId shows its bytes: the core does not import it.
        given = getattr(value, "binary", value)
        if given is None:
            given = _new()
        elif isinstance(given, str):
            given = _of_hex(given)
        if not isinstance(given, bytes) or len(given) != _BYTES:
            raise ValueError("an ObjectId is 24 hexadecimal digits or 12 bytes")
        object.__setattr__(self, "_binary", given)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("an ObjectId cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("an ObjectId cannot be changed")

    @property
    def binary(self) -> bytes:
        """The 12 bytes."""
        return self._binary

    @property
    def made_at(self) -> datetime:
        """The second at which it was made, by the clock of who made it."""
        return datetime.fromtimestamp(int.from_bytes(self._binary[:4], "big"), UTC)

    def __str__(self) -> str:
        return self._binary.hex()

    def __repr__(self) -> str:
        return f"ObjectId({self._binary.hex()!r})"

    def __eq__(self, other: object) -> bool:
        return self._binary == other._binary if isinstance(other, ObjectId) else NotImplemented

    def __lt__(self, other: object) -> bool:
        return self._binary < other._binary if isinstance(other, ObjectId) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._binary)

    def __reduce__(self) -> tuple[type[ObjectId], tuple[bytes]]:
        return ObjectId, (self._binary,)

    def __copy__(self) -> ObjectId:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> ObjectId:
        return self

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _validated, serialization=core_schema.to_string_ser_schema(when_used="json")
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "pattern": "^[0-9a-fA-F]{24}$"}


def _validated(value: Any) -> ObjectId:
    if value.__class__ is ObjectId:
        return value
    if value is not None:
        try:
            return ObjectId(value)
        except ValueError:
            pass
    raise PydanticCustomError("dbkit_object_id", "must be an ObjectId, or its 24 hexadecimal digits")


def _of_hex(text: str) -> bytes:
    # bytes.fromhex passes over spaces.
    if len(text) != _HEX_DIGITS or not text.isalnum():
        return b""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


# https://www.mongodb.com/docs/manual/reference/bson-types/#objectid


class _Maker:
    """What new ids have in common in this process; a forked child has its own random part."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        # Another thread may have held the old lock when the process was forked.
        self._lock = threading.Lock()
        self._random = os.urandom(5)
        self._counter = int.from_bytes(os.urandom(3), "big")

    def make(self) -> bytes:
        with self._lock:
            self._counter = (self._counter + 1) & 0xFFFFFF
            count = self._counter
        seconds = int(time.time()) & 0xFFFFFFFF
        return seconds.to_bytes(4, "big") + self._random + count.to_bytes(3, "big")


_maker = _Maker()
_new = _maker.make
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_maker.restart)
