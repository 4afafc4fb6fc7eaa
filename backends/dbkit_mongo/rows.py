"""How values stand in documents: encoders for what is written and compared, decoders for what is read.

An int is always a 64-bit one, so that an element's type can be asked for; a Decimal is a Decimal128, a UUID binary
subtype 4; a date is its days since 1970, times and durations are whole microseconds. A nested model is a subdocument.
JSON data are left as they are: MongoDB compares numbers of all types by value.

Documents are decoded without a UUID representation: PyMongo then leaves a UUID as its 16 bytes, which pydantic reads,
in half the time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, time, timedelta
from decimal import Context, Decimal
from typing import Any
from uuid import UUID

from bson.binary import UUID_SUBTYPE, Binary
from bson.codec_options import CodecOptions
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId as NativeObjectId
from pydantic_core import CoreSchema, core_schema

from dbkit.objectid import ObjectId
from dbkit.spec import EntitySpec, FieldSpec, ModelSpec
from dbkit.values import Kind, ValueType

from .templates import Fill, Hole, compile_template

__all__ = [
    "CODEC_OPTIONS",
    "MONGODB",
    "MONGOMOCK",
    "WITHOUT_ZONE",
    "Codec",
    "key_of",
    "plain_json",
    "row_template",
]

Convert = Callable[[Any], Any]

CODEC_OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True, tzinfo=UTC)
WITHOUT_ZONE: CodecOptions[dict[str, Any]] = CodecOptions()
"""Datetimes are UTC and do not say so: for who gives them their zone."""

_EPOCH_DAYS = date(1970, 1, 1).toordinal()
_MICROSECOND = timedelta(microseconds=1)
_DAY_MICROSECONDS = 86_400_000_000
_EXACT = Context(prec=60)
_COEFFICIENT = (1 << 113) - 1


def key_of(column: FieldSpec) -> str:
    """Return the key under which an entity's own column stands in its document."""
    return "_id" if column.name == "id" else column.stored


# -- writing -----------------------------------------------------------------------------------------------------------


def _uuid(value: UUID) -> Binary:
    return Binary(value.bytes, UUID_SUBTYPE)


def _object_id(value: ObjectId) -> NativeObjectId:
    return NativeObjectId(value.binary)


def _decimal(value: Decimal) -> Decimal128:
    return Decimal128(value)


def _date(value: date) -> Int64:
    return Int64(value.toordinal() - _EPOCH_DAYS)


def _time(value: time) -> Int64:
    minutes = value.hour * 60 + value.minute
    return Int64((minutes * 60 + value.second) * 1_000_000 + value.microsecond)


def _timedelta(value: timedelta) -> Int64:
    return Int64(value // _MICROSECOND)


# -- reading -----------------------------------------------------------------------------------------------------------


def _to_object_id(value: Any) -> ObjectId:
    if not isinstance(value, NativeObjectId):
        raise ValueError("must be an ObjectId")  # noqa: TRY004  # pydantic reports a ValueError
    return ObjectId(value.binary)


def _to_decimal(value: Any, places: int) -> Decimal:
    if type(value) is Decimal128:
        # BID, as in BSON's specification: 113 bits of coefficient, 14 of exponent, the sign. A sixth of the time that
        # `to_decimal` takes; what is not finite or not canonical has the two bits below the sign set.
        bits = int.from_bytes(value.bid, "little")
        if bits >> 125 & 3 == 3:
            raise ValueError("must be a finite Decimal128")
        exponent = (bits >> 113 & 0x3FFF) - 6176
        coefficient = bits & _COEFFICIENT
        number = Decimal(-coefficient if bits >> 127 else coefficient).scaleb(exponent, _EXACT)
        if exponent == -places:
            return number
    elif isinstance(value, int) and not isinstance(value, bool):
        number = Decimal(value)
    else:
        raise ValueError("must be a Decimal128")
    exact = number.quantize(Decimal(1).scaleb(-places), context=_EXACT)
    if exact != number:
        raise ValueError("has more decimal places than declared")
    return exact or abs(exact)


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("must be stored as an integer")  # noqa: TRY004  # pydantic reports a ValueError
    return int(value)


def _to_date(value: Any) -> date:
    return date.fromordinal(_whole(value) + _EPOCH_DAYS)


def _to_time(value: Any) -> time:
    micros = _whole(value)
    if not 0 <= micros < _DAY_MICROSECONDS:
        raise ValueError("must be microseconds of one day")
    seconds, micros = divmod(micros, 1_000_000)
    return time(seconds // 3600, seconds // 60 % 60, seconds % 60, micros)


def _to_timedelta(value: Any) -> timedelta:
    return timedelta(microseconds=_whole(value))


def plain_json(value: Any) -> Any:
    """Return JSON data as Python's own types.

    PyMongo reads a large integer as `Int64`, and a subdocument with the keys `$ref` and `$id`, which JSON Schema has, as
    a `DBRef`.
    """
    kind = value.__class__
    if kind is Int64:
        return int(value)
    if kind is DBRef:
        value, kind = dict(value.as_doc()), dict
    if kind is dict:
        return {key: plain_json(item) for key, item in value.items()}
    if kind is list:
        return [plain_json(item) for item in value]
    return value


def _as_dict(value: Any) -> Any:
    return dict(value.as_doc()) if type(value) is DBRef else value


def _plain(function: Convert) -> Callable[[ValueType], CoreSchema]:
    return lambda _type: core_schema.no_info_plain_validator_function(function)


def _as_it_is(_type: ValueType) -> None:
    return None


def _value_of(member: Any) -> Any:
    return member.value


class Codec:
    """Encoders and decoders; a store that cannot keep a kind as MongoDB does brings its own for it."""

    def __init__(
        self,
        encoders: Mapping[Kind, Callable[[ValueType], Convert]],
        decimal: Callable[[Any, int], Decimal],
        *,
        is_mongomock: bool = False,
    ) -> None:
        self.is_mongomock = is_mongomock
        """Whether filters and updates must keep to what mongomock does as MongoDB would."""
        self._encoders: dict[Kind, Callable[[ValueType], Convert | None]] = {
            Kind.UUID: lambda _t: _uuid,
            Kind.OBJECT_ID: lambda _t: _object_id,
            Kind.INT: lambda _t: Int64,
            Kind.DECIMAL: lambda _t: _decimal,
            Kind.DATE: lambda _t: _date,
            Kind.TIME: lambda _t: _time,
            Kind.TIMEDELTA: lambda _t: _timedelta,
            Kind.MODEL: self._model_encoder,
            Kind.LIST: self._list_encoder,
            Kind.DICT: self._dict_encoder,
            **encoders,
        }
        self._decimal = decimal
        self._decoders: dict[Kind, Callable[[ValueType], Convert | None]] = {
            Kind.UUID: lambda _t: lambda value: UUID(bytes=bytes(value)),
            Kind.OBJECT_ID: lambda _t: ObjectId,
            Kind.INT: lambda _t: int,
            Kind.FLOAT: lambda _t: float,
            Kind.DECIMAL: lambda t: lambda value: decimal(value, t.decimal_places),
            Kind.DATE: lambda _t: _to_date,
            Kind.TIME: lambda _t: _to_time,
            Kind.TIMEDELTA: lambda _t: _to_timedelta,
            Kind.JSON: lambda _t: plain_json,
        }
        self.decoders: dict[Kind, Callable[[ValueType], CoreSchema]] = {
            Kind.DECIMAL: self._decimal_schema,
            Kind.DATE: _plain(_to_date),
            Kind.TIME: _plain(_to_time),
            Kind.TIMEDELTA: _plain(_to_timedelta),
            Kind.OBJECT_ID: _plain(_to_object_id),
            Kind.DICT: self._dict_schema,
            Kind.JSON: _plain(plain_json),
        }
        """Schemas for `ReadSpec.validator`."""

    def encoder(self, type: ValueType) -> Convert | None:
        """Return what makes a canonical value of *type*, not None, fit for BSON; None where it is so already."""
        if type.enum is not None:
            encode = self._encoders.get(type.kind, _as_it_is)(type)
            if encode is None:
                return _value_of
            return lambda value: encode(value.value)
        return self._encoders.get(type.kind, _as_it_is)(type)

    def decoder(self, type: ValueType) -> Convert | None:
        """Return what makes the canonical value of *type* from what was read, not None; None where it is so already."""
        decode = self._decoders.get(type.kind, _as_it_is)(type)
        if type.enum is not None:
            enum = type.enum
            return enum if decode is None else lambda value: enum(decode(value))
        return decode

    def encode(self, type: ValueType, value: Any) -> Any:
        """Return *value* as it stands in a document."""
        encode = self.encoder(type)
        return value if value is None or encode is None else encode(value)

    def decode(self, type: ValueType, value: Any) -> Any:
        """Return the canonical value of what stands in a document."""
        decode = self.decoder(type)
        return value if value is None or decode is None else decode(value)

    def _model_encoder(self, type: ValueType) -> Convert:
        model = type.model
        assert model is not None
        fill = _model_template(model, self)
        names = tuple(f.name for f in model.fields)

        def encode(instance: Any) -> Any:
            values = instance.__dict__
            return fill(tuple(values[name] for name in names))

        return encode

    def _list_encoder(self, type: ValueType) -> Convert | None:
        assert type.element is not None
        encode = self.encoder(type.element)
        if encode is None:
            return None
        return lambda values: [None if v is None else encode(v) for v in values]

    def _dict_encoder(self, type: ValueType) -> Convert | None:
        assert type.element is not None
        encode = self.encoder(type.element)
        if encode is None:
            return None
        return lambda values: {k: None if v is None else encode(v) for k, v in values.items()}

    def _decimal_schema(self, type: ValueType) -> CoreSchema:
        places, decode = type.decimal_places, self._decimal
        return core_schema.no_info_plain_validator_function(lambda value: decode(value, places))

    def _dict_schema(self, type: ValueType) -> CoreSchema:
        assert type.element is not None
        if type.element.kind is Kind.JSON:
            plain = core_schema.dict_schema(core_schema.str_schema(), core_schema.any_schema())
            return core_schema.no_info_before_validator_function(plain_json, plain)
        typed = core_schema.dict_schema(core_schema.str_schema(), type.element.read_schema(self.decoders))
        return core_schema.no_info_before_validator_function(_as_dict, typed)


def _model_template(model: ModelSpec, codec: Codec) -> Fill:
    return compile_template(
        {
            f.stored: Hole(index, encode=codec.encoder(f.type), nullable=f.type.nullable)
            for index, f in enumerate(model.fields)
        }
    )


def row_template(entity: EntitySpec, codec: Codec) -> dict[str, Hole]:
    """Return the document of a row, as a template over the values of `entity.columns`."""
    return {
        key_of(column): Hole(index, encode=codec.encoder(column.type), nullable=column.type.nullable)
        for index, column in enumerate(entity.columns)
    }


def _scaled(type: ValueType) -> Convert:
    places = type.decimal_places
    return lambda value: Int64(value.scaleb(places, _EXACT))


def _from_scaled(value: Any, places: int) -> Decimal:
    return Decimal(_whole(value)).scaleb(-places, _EXACT)


MONGODB = Codec({}, _to_decimal)
MONGOMOCK = Codec({Kind.DECIMAL: _scaled}, _from_scaled, is_mongomock=True)
"""mongomock compares in Python, where Decimal128 has no order: decimals are scaled ints there."""
