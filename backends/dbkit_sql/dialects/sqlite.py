"""SQLite ≥ 3.37: STRICT tables; integers, text and blobs for all that it has no type for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, ClassVar, Literal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import Insert
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.sql.elements import Grouping

from dbkit.objectid import ObjectId
from dbkit.query import Slot, json_class
from dbkit.spec import FieldSpec
from dbkit.values import INT_MAX, INT_MIN, Kind, ValueType

from .. import codecs
from ..binds import RAW, Binds, Raw, object_id_bytes, uuid_bytes
from ..codecs import Codec
from .base import OPERATORS, Dialect, Expr, JsonClass, Number, Place, literal

__all__ = ["SqliteDialect", "remove_equal"]

_TYPES = {
    Kind.UUID: "BLOB",
    Kind.OBJECT_ID: "BLOB",
    Kind.TEXT: "TEXT",
    Kind.FLOAT: "REAL",
    Kind.DATE: "TEXT",
    Kind.BYTES: "BLOB",
    Kind.MODEL: "TEXT",
    Kind.DICT: "TEXT",
    Kind.LIST: "TEXT",
}
_ENCODERS: dict[Kind, Callable[[Any], Any]] = {
    Kind.UUID: uuid_bytes,
    Kind.OBJECT_ID: object_id_bytes,
    Kind.DATETIME: codecs.to_milliseconds,
    Kind.DATE: date.isoformat,
    Kind.TIME: codecs.to_time_microseconds,
    Kind.TIMEDELTA: codecs.to_microseconds,
}
_DECODERS: dict[Kind, Callable[[Any], Any]] = {
    Kind.DATETIME: codecs.from_milliseconds,
    Kind.DATE: date.fromisoformat,
    Kind.TIME: codecs.from_time_microseconds,
    Kind.TIMEDELTA: codecs.from_microseconds,
}
# The years 1 to 9999.
_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_999
_JSON = (Kind.MODEL, Kind.DICT, Kind.LIST)


def _uuid(value: bytes) -> UUID:
    return UUID(bytes=value)


def remove_equal(items: str, value: str) -> str:
    """Return a JSON list without the elements equal to a JSON value: bool is not int, 1 is 1.0, all the way down.

    A function for SQL: in SQLite's own, `json_group_array` would print floats with 15 digits only
    (https://www.sqlite.org/json1.html, and `jsonAppendSqlValue` in its source).
    """
    wanted = codecs.json_loads(value)
    return codecs.json_text([item for item in codecs.json_loads(items) if not _same(item, wanted)])


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if codecs.is_dict(left) and codecs.is_dict(right):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if codecs.is_list(left) and codecs.is_list(right):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)


class SqliteDialect(Dialect):
    """SQLite."""

    name: ClassVar[str] = "sqlite"
    insertion: ClassVar[Any] = Insert
    max_name_bytes: ClassVar[int] = 1_000
    updates_in_cte: ClassVar[bool] = False
    scaled_sums: ClassVar[bool] = True
    has_lateral: ClassVar[bool] = False
    # It merges the sorted branches lazily by itself, and takes no LIMIT in them (sqlite.org/lang_select.html#compound).
    limits_branches: ClassVar[bool] = False
    has_schemas: ClassVar[bool] = False
    alters_constraints: ClassVar[bool] = False

    def __init__(self) -> None:
        self.core = SQLiteDialect_pysqlite(paramstyle="qmark")

    # -- storing -------------------------------------------------------------------------------------------------------

    def column_type(self, type: ValueType) -> str:
        return _TYPES.get(type.kind, "INTEGER")

    def checks(self, column: str, type: ValueType) -> list[str]:
        kind = type.kind
        if type.choices is not None:
            # An enum that gets a new member needs no change of its tables.
            return []
        made: list[str] = []
        if kind is Kind.UUID:
            made.append(f"length({column}) = 16")
        elif kind is Kind.OBJECT_ID:
            made.append(f"length({column}) = 12")
        elif kind in (Kind.TEXT, Kind.BYTES) and type.max_length is not None:
            made.append(f"length({column}) <= {type.max_length}")
        elif kind in (Kind.INT, Kind.DECIMAL):
            low, high = type.bounds
            if kind is Kind.DECIMAL:
                scale = codecs.to_scaled(type.decimal_places)
                low, high = scale(low), scale(high)
            if (low, high) != (INT_MIN, INT_MAX):
                made.append(f"{column} BETWEEN {low} AND {high}")
        elif kind is Kind.FLOAT:
            low, high = type.bounds
            made.append(f"{column} BETWEEN {float(low)!r} AND {float(high)!r}")
        elif kind is Kind.BOOL:
            made.append(f"{column} IN (0, 1)")
        elif kind is Kind.DATETIME:
            made.append(f"{column} BETWEEN {_FIRST_MS} AND {_LAST_MS}")
        elif kind is Kind.DATE:
            made.append(f"date({column}) = {column}")
        elif kind is Kind.TIMEDELTA:
            # No bound, but a mark: an int's column of the same type would be read as another thing.
            made.append(f"{column} <= {INT_MAX}")
        elif kind is Kind.TIME:
            made.append(f"{column} BETWEEN 0 AND 86399999999")
        elif kind in _JSON:
            json_type = "array" if kind is Kind.LIST else "object"
            # NULL for NULL, and an error for what is no JSON.
            made.append(f"json_type({column}) = '{json_type}'")
            if type.max_length is not None:
                made.append(f"json_array_length({column}) <= {type.max_length}")
        return made

    def octets(self, column: str, type: ValueType) -> str:
        return f"length({column})" if type.kind is Kind.BYTES else f"length(CAST({column} AS BLOB))"

    def encoder(self, type: ValueType) -> Codec:
        if type.kind in _JSON:
            return codecs.json_text_encoder(type)
        if type.enum is not None or type.kind is Kind.DECIMAL:
            return codecs.json_encoder(type)
        return _ENCODERS.get(type.kind)

    def decoder(self, type: ValueType) -> Codec:
        if type.kind in _JSON:
            return codecs.json_text_decoder(type)
        if type.kind is Kind.DECIMAL:
            return codecs.from_scaled(type.decimal_places)
        return _DECODERS.get(type.kind)

    def canonical(self, type: ValueType) -> Codec:
        if type.kind is Kind.UUID:
            return _uuid
        if type.kind is Kind.OBJECT_ID:
            return ObjectId
        return bool if type.kind is Kind.BOOL else self.decoder(type)

    # -- comparing -----------------------------------------------------------------------------------------------------

    def array_type(self, type: ValueType) -> str:
        del type
        return ""

    def leaf(self, column: Expr, keys: Sequence[str], type: ValueType) -> Place:
        return Place(sa.func.json_extract(column, _path(keys), type_=RAW), codecs.json_encoder(type), True)

    def dict_value(self, column: Expr, keys: Sequence[str], json_class: JsonClass) -> Place:
        kind = sa.func.json_type(column, _path(keys), type_=RAW)
        value = sa.func.json_extract(column, _path(keys), type_=RAW)
        if json_class == "text":
            return Place(sa.case((kind == literal("'text'"), value)), None, True)
        if json_class == "number":
            return Place(sa.case((kind.in_([literal("'integer'"), literal("'real'")]), value)), None, True)
        # json_extract makes true and false 1 and 0; json_type tells them from numbers.
        truth = sa.case(
            (kind == literal("'true'"), literal("1")),
            (kind == literal("'false'"), literal("0")),
        )
        return Place(truth, None, True)

    def json_is_null(self, column: Expr, keys: Sequence[str]) -> Expr:
        return sa.func.json_extract(column, _path(keys), type_=RAW).is_(None)

    def json_output(self, column: Expr, keys: Sequence[str], type: ValueType) -> Expr:
        if type.kind is not Kind.JSON:
            return sa.func.json_extract(column, _path(keys), type_=RAW)
        # With one path json_extract gives true as 1; with two, a JSON list of both, as they are stored.
        return sa.func.json_extract(column, _path(keys), _path(keys), type_=RAW)

    def json_output_decoder(self, type: ValueType) -> Codec:
        return _first if type.kind is Kind.JSON else codecs.json_text_decoder(type)

    def among(self, binds: Binds, place: Place, slot: Slot, *, negated: bool) -> Expr:
        values = binds.each(slot, place.encode)
        return place.expr.not_in(values) if negated else place.expr.in_(values)

    def contains(self, text: Expr, needle: Expr) -> Expr:
        # Not LIKE, which folds ASCII case (https://www.sqlite.org/lang_expr.html#like).
        return sa.func.instr(text, needle, type_=RAW) > literal("0")

    def has(self, binds: Binds, column: Expr, keys: Sequence[str], element: ValueType, slot: Slot) -> Expr:
        arguments = (column, _path(keys)) if keys else (column,)
        each = sa.func.json_each(*arguments).table_valued("value", "type", name=f"each_{slot.index}")
        if element.kind is not Kind.JSON:
            matches = each.c.value == binds.one(slot, codecs.json_encoder(element))
        else:
            classes = {"true": "bool", "false": "bool", "integer": "number", "real": "number", "text": "text"}
            cases = [(each.c.type == literal(f"'{t}'"), literal(f"'{c}'")) for t, c in classes.items()]
            matches = sa.and_(sa.case(*cases) == binds.one(slot, json_class), each.c.value == binds.one(slot))
        return sa.exists(sa.select(literal("1")).select_from(each).where(matches))

    # -- groups --------------------------------------------------------------------------------------------------------

    def sum_places(self, expr: Expr, type: ValueType, *, is_leaf: bool) -> list[Place]:
        # sum() of integers fails on overflow (https://www.sqlite.org/lang_aggfunc.html#sumunc), total() is a float: so
        # the upper and the lower halves are summed apart, and what the lower ones carry goes up.
        upper = sa.func.sum(expr.op(">>")(literal("32")), type_=RAW)
        lower = sa.func.sum(expr.op("&")(literal("4294967295")), type_=RAW)
        high = sa.func.coalesce(upper + lower.op(">>")(literal("32")), literal("0"), type_=RAW)
        low = sa.func.coalesce(lower.op("&")(literal("4294967295")), literal("0"), type_=RAW)
        scaled = codecs.to_scaled(type.decimal_places) if type.kind is Kind.DECIMAL else None
        return [
            Place(high, codecs.chain(scaled, _upper_half), False),
            Place(low, codecs.chain(scaled, _lower_half), False),
        ]

    def sum_value(self, raw: Sequence[Any]) -> Any:
        high, low = raw
        return high * 2**32 + low

    def moment(self, milliseconds: Expr) -> Expr:
        return milliseconds

    def period(self, expr: Expr, period: Literal["day", "month", "year"]) -> Expr:
        # Integer division cuts towards zero, which is the next second before 1970.
        thousand = literal("1000")
        rest = Grouping(expr % thousand + thousand) % thousand
        seconds = Grouping(expr - rest).op("/")(thousand)
        form = {"day": "'%Y-%m-%d'", "month": "'%Y-%m-01'", "year": "'%Y-01-01'"}[period]
        return sa.func.strftime(literal(form), seconds, literal("'unixepoch'"), type_=RAW)

    # -- changes -------------------------------------------------------------------------------------------------------

    def operand(self, column: Expr, type: ValueType) -> Number:
        del type
        return Number(column)

    def as_float(self, number: Number) -> Number:
        return Number(sa.cast(number.expr, Raw("REAL")), number.guards)

    def compute(self, op: Literal["add", "sub", "mul"], left: Number, right: Number, kind: Kind) -> Number:
        made: Expr = Grouping(OPERATORS[op](left.expr, right.expr))
        if kind is Kind.FLOAT:
            gone = sa.func.abs(made, type_=RAW) >= literal("9e999")
        else:
            # An integer that overflows becomes a float (https://www.sqlite.org/datatype3.html#operators).
            gone = sa.func.typeof(made, type_=RAW) == literal("'real'")
        return Number(made, (*left.guards, *right.guards, gone))

    def result(self, number: Number, type: ValueType) -> Expr:
        made = number.expr
        if not number.guards:
            return made
        if type.kind is Kind.FLOAT:
            made = made + literal("0.0")
        # Expressions cannot raise errors here; a text in a number's column of a STRICT table is one.
        return sa.case((sa.or_(*number.guards), literal("'out of range'")), else_=made)

    def bound(self, type: ValueType, value: Any) -> str:
        if type.kind is Kind.FLOAT:
            return repr(float(value))
        return str(codecs.to_scaled(type.decimal_places)(value) if type.kind is Kind.DECIMAL else value)

    def refused(self, expr: Expr, bad: Expr, type: ValueType) -> Expr:
        del type
        # The one function that fails by what it is given; also where a table is not STRICT, and would keep the text of
        # `result`, which is greater than every number (https://www.sqlite.org/datatype3.html#sort_order).
        return sa.case((bad, sa.func.json(expr.op("||")(literal("'!'")), type_=RAW)), else_=expr)

    def length(self, expr: Expr, type: ValueType) -> Expr:
        return (sa.func.json_array_length if type.kind is Kind.LIST else sa.func.length)(expr, type_=RAW)

    def number_type(self, type: ValueType) -> str:
        return "REAL" if type.kind is Kind.FLOAT else "INTEGER"

    def appended(self, binds: Binds, column: Expr, element: ValueType, slot: Slot) -> Expr:
        text = sa.func.json(binds.one(slot, _element_text(element)), type_=RAW)
        return sa.func.json_insert(
            sa.func.coalesce(column, literal("'[]'")), literal("'$[#]'"), text, type_=RAW
        )

    def removed(self, binds: Binds, column: Expr, element: ValueType, slot: Slot) -> Expr:
        text = binds.one(slot, _element_text(element))
        without = sa.func.dbkit_remove(column, text, type_=RAW)
        return sa.case((column.is_not(None), without))

    # -- schema --------------------------------------------------------------------------------------------------------

    def index_column(self, column: sa.Column[Any], field: FieldSpec) -> Any:
        del field
        return column

    def table_options(self) -> dict[str, Any]:
        return {"sqlite_strict": True}

    def noted(self, statements: list[str], table: str, column: str, note: str) -> list[str]:
        # The schema table keeps the statement's text, comments and all (https://www.sqlite.org/schematab.html).
        create, *others = statements
        return [create.replace(f"\t{column} TEXT", f"\t{column} TEXT /* {note} */", 1), *others]


def _path(keys: Sequence[str]) -> Expr:
    return literal("'$" + "".join(f'."{key}"' for key in keys) + "'")


def _first(text: str) -> Any:
    return codecs.json_loads(text)[0]


def _element_text(element: ValueType) -> Callable[[Any], str]:
    encode = codecs.json_text_encoder(element)
    return lambda value: "null" if value is None else encode(value)


def _upper_half(value: int) -> int:
    high = value >> 32
    return max(INT_MIN, min(INT_MAX, high))


def _lower_half(value: int) -> int:
    high = value >> 32
    # What is beyond the upper half's range is beyond every sum: above the greatest pair, or below the least.
    if high > INT_MAX:
        return 2**32
    return -1 if high < INT_MIN else value & 0xFFFFFFFF
