"""Pages, and the cursors between them.

A cursor is the sort keys' values of a page's last row, so the next page is an index range however deep it is. The token
is made of names and values alone: one that was made on SQLite is valid on MongoDB with the same data.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, Generic, NamedTuple, TypeVar, cast
from uuid import UUID

from pydantic import ValidationError

from .errors import InvalidCursor
from .objectid import ObjectId
from .query import (
    And,
    AnyRelated,
    Compare,
    Filter,
    In,
    Not,
    Or,
    Order,
    Path,
)
from .spec import EntitySpec
from .values import Kind, ValueType

__all__ = ["Cursors", "Page", "PageRows"]

T = TypeVar("T")

_VERSION = 1
_TAG_BYTES = 16
_FINGERPRINT_BYTES = 9
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows of a total order, and where the next ones start."""

    items: list[T]
    next_cursor: str | None
    """Pass it as `after=`; None on the last page."""
    total: int | None = None
    """How many rows the filter takes in all, where `total=True` asked for it."""


class PageRows(NamedTuple):
    """A page as a backend returns it."""

    items: list[Any]
    """At most `query.limit` instances."""
    last: tuple[Any, ...] | None
    """The sort keys' values of the last item when more rows follow, else None."""
    total: int | None
    """With `query.total`: how many rows the filter takes, in the same snapshot."""


class Cursors:
    """Makes and reads the tokens of one database.

    With a *key* tokens are signed (HMAC-SHA-256) and compared in constant time. Without one they carry a checksum:
    damage is noticed, forgery is not; a forged token can only start elsewhere in the same query.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key
        self._texts: dict[tuple[Any, ...], bytes] = {}

    def encode(
        self, entity: EntitySpec, where: Filter | None, order: Sequence[Order], last: Sequence[Any]
    ) -> str:
        """Return the token of the position after the row with the sort keys' values *last*."""
        values = [_pack(v) for v in last]
        body = json.dumps(values, separators=(",", ":"), ensure_ascii=False).encode()
        payload = bytes([_VERSION]) + self._fingerprint(entity, where, order) + body
        return base64.urlsafe_b64encode(self._tag(payload) + payload).rstrip(b"=").decode()

    def decode(
        self, token: object, entity: EntitySpec, where: Filter | None, order: Sequence[Order]
    ) -> tuple[Any, ...]:
        """Return the sort keys' values, one for each key of *order*.

        Raises:
            InvalidCursor: the token is damaged or truncated, or another query or key made it.
        """
        damaged = InvalidCursor(
            "this cursor is damaged",
            entity=entity.name,
            hint="pass next_cursor on as it came, whole; start without after= to begin again",
        )
        if not isinstance(token, str) or not token.isascii():
            raise damaged
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise damaged from None
        tag, payload = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
        # The last character of an unpadded token has spare bits: only the canonical spelling is accepted.
        canonical = base64.urlsafe_b64encode(raw).rstrip(b"=").decode() == token
        if not hmac.compare_digest(tag, self._tag(payload)) or not canonical:
            raise damaged
        if payload[:1] != bytes([_VERSION]):
            raise InvalidCursor("this cursor was made by another version of dbkit", entity=entity.name)
        fingerprint, body = payload[1 : 1 + _FINGERPRINT_BYTES], payload[1 + _FINGERPRINT_BYTES :]
        if not hmac.compare_digest(fingerprint, self._fingerprint(entity, where, order)):
            raise InvalidCursor(
                "this cursor was made by another query",
                entity=entity.name,
                hint="pass the same filters and order_by as for the page that it came from",
            )
        try:
            values: list[Any] = json.loads(body)
            if type(values) is not list or len(values) != len(order):
                raise damaged
            return tuple(_unpack(v, o.path.type) for v, o in zip(values, order, strict=True))
        except (ValueError, TypeError, KeyError, ArithmeticError, ValidationError, RecursionError):
            raise damaged from None

    def _tag(self, payload: bytes) -> bytes:
        if self._key is None:
            return hashlib.blake2b(payload, digest_size=_TAG_BYTES, person=b"dbkit cursor").digest()
        return hmac.digest(self._key, payload, "sha256")[:_TAG_BYTES]

    def _fingerprint(self, entity: EntitySpec, where: Filter | None, order: Sequence[Order]) -> bytes:
        shape = (entity.token, where.shape if where is not None else 0, *(o.shape for o in order))
        text = self._texts.get(shape)
        if text is None:
            if len(self._texts) > 1_000:
                self._texts.clear()
            keys = ", ".join(f"{_name(o.path)} {'desc' if o.descending else 'asc'}" for o in order)
            text = f"{entity.stored}|{_describe(where) if where is not None else ''}|{keys}".encode()
            self._texts[shape] = text
        digest = hashlib.blake2b(text, digest_size=_FINGERPRINT_BYTES)
        if where is not None and where.binds:
            digest.update(json.dumps([_pack(b) for b in where.binds], separators=(",", ":")).encode())
        return digest.digest()


def _name(path: Path) -> str:
    steps = [*path.references, path.field, *path.inside]
    return ".".join(json.dumps(s) if isinstance(s, str) else s.stored for s in steps)


def _describe(where: Filter) -> str:
    """Return the filter's structure in names that are the same in every process and on every store."""
    if isinstance(where, And | Or):
        return f"({f' {type(where).__name__} '.join(_describe(p) for p in where.parts)})"
    if isinstance(where, Not):
        return f"Not({_describe(where.part)})"
    if isinstance(where, AnyRelated):
        inner = _describe(where.where) if where.where is not None else ""
        return f"AnyRelated({where.child.stored}.{where.reference.stored}: {inner})"
    path: Path | None = getattr(where, "path", None)
    detail = where.op if isinstance(where, Compare) else ""
    size = str(where.shape[2]) if isinstance(where, In) else ""
    return f"{type(where).__name__} {detail}{size} {_name(path) if path else ''}"


def _pack(value: Any) -> Any:
    """Return *value* as JSON data from which `_unpack`, knowing the type, makes it again."""
    if value is None or (isinstance(value, bool | str) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Enum):
        return _pack(value.value)
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, ObjectId):
        return str(value)
    if isinstance(value, datetime):
        return (value - _EPOCH) // _MICROSECOND
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value // _MICROSECOND
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple | list):
        return [_pack(v) for v in cast("Sequence[Any]", value)]
    return value


def _unpack(value: Any, type: ValueType) -> Any:
    if value is None:
        if type.nullable:
            return None
        raise TypeError
    if type.kind in _TEXTUAL and value.__class__ is not str:
        raise TypeError
    made: Any = value
    if type.enum is not None:
        made = type.enum(value)
    elif type.kind is Kind.UUID:
        made = UUID(hex=value)
    elif type.kind is Kind.OBJECT_ID:
        made = ObjectId(value)
    elif type.kind is Kind.FLOAT:
        made = float.fromhex(value)
    elif type.kind is Kind.DATETIME:
        made = _EPOCH + timedelta(microseconds=value)
    elif type.kind is Kind.DATE:
        made = date.fromisoformat(value)
    elif type.kind is Kind.TIME:
        made = time.fromisoformat(value)
    elif type.kind is Kind.TIMEDELTA:
        made = timedelta(microseconds=value)
    elif type.kind is Kind.DECIMAL:
        try:
            made = Decimal(value)
        except InvalidOperation:
            raise ValueError from None
    return type.operand.validate_python(made)


_TEXTUAL = {Kind.UUID, Kind.OBJECT_ID, Kind.FLOAT, Kind.DATE, Kind.TIME, Kind.DECIMAL}
