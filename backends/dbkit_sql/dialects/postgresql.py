"""PostgreSQL ≥ 14."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import Insert, aggregate_order_by
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.sql.elements import Grouping

from dbkit.objectid import ObjectId
from dbkit.query import Slot
from dbkit.spec import FieldSpec
from dbkit.values import INT_MAX, INT_MIN, Kind, ValueType

from .. import codecs
from ..binds import RAW, Binds, Raw, object_id_bytes
from ..codecs import Codec
from .base import OPERATORS, Dialect, Expr, JsonClass, Number, Place, literal

__all__ = ["PostgresDialect"]

_TYPES = {
    Kind.UUID: "uuid",
    Kind.OBJECT_ID: "bytea",
    # By code point, whatever the database's locale is (SEMANTICS "Values").
    Kind.TEXT: 'text COLLATE "C"',
    Kind.INT: "bigint",
    Kind.FLOAT: "double precision",
    Kind.BOOL: "boolean",
    Kind.DATETIME: "timestamp(3) with time zone",
    Kind.DATE: "date",
    Kind.TIME: "bigint",
    Kind.TIMEDELTA: "bigint",
    Kind.BYTES: "bytea",
    Kind.MODEL: "jsonb",
    Kind.DICT: "jsonb",
    Kind.LIST: "jsonb",
}
# As psycopg's registry and casts to arrays name them.
_SHORT = {
    Kind.UUID: "uuid",
    Kind.OBJECT_ID: "bytea",
    Kind.TEXT: "text",
    Kind.INT: "int8",
    Kind.FLOAT: "float8",
    Kind.DECIMAL: "numeric",
    Kind.BOOL: "bool",
    Kind.DATETIME: "timestamptz",
    Kind.DATE: "date",
    Kind.TIME: "int8",
    Kind.TIMEDELTA: "int8",
    Kind.BYTES: "bytea",
}
_LEAVES = {
    Kind.INT: "bigint",
    Kind.DECIMAL: "bigint",
    Kind.DATETIME: "bigint",
    Kind.TIME: "bigint",
    Kind.TIMEDELTA: "bigint",
    Kind.FLOAT: "double precision",
    Kind.BOOL: "boolean",
}
_ENCODERS: dict[Kind, Callable[[Any], Any]] = {
    Kind.OBJECT_ID: object_id_bytes,
    Kind.TIME: codecs.to_time_microseconds,
    Kind.TIMEDELTA: codecs.to_microseconds,
}
_DECODERS: dict[Kind, Callable[[Any], Any]] = {
    Kind.TIME: codecs.from_time_microseconds,
    Kind.TIMEDELTA: codecs.from_microseconds,
}
_JSON = (Kind.MODEL, Kind.DICT, Kind.LIST)
_JSON_CLASSES: dict[JsonClass, tuple[str, str]] = {
    "text": ("string", "text"),
    "number": ("number", "numeric"),
    "bool": ("boolean", "boolean"),
}
# Half of the least float: what is not more is rounded to 0. A little more, as a float's cast to numeric has 15 digits.
_NOTHING_LEFT = "2.4703282292063e-324"


class PostgresDialect(Dialect):
    """PostgreSQL. The driver dumps every int as int8, so that a statement is prepared once, not once per magnitude."""

    name: ClassVar[str] = "postgresql"
    insertion: ClassVar[Any] = Insert
    max_name_bytes: ClassVar[int] = 63
    updates_in_cte: ClassVar[bool] = True
    scaled_sums: ClassVar[bool] = False
    has_lateral: ClassVar[bool] = True
    # Without, the planner reads and sorts the branches as a whole (40 ms instead of 0.1 on 200,000 rows).
    limits_branches: ClassVar[bool] = True
    has_schemas: ClassVar[bool] = True
    alters_constraints: ClassVar[bool] = True

    def __init__(self) -> None:
        self.core = PGDialect(paramstyle="format")  # type: ignore[no-untyped-call]

    # -- storing -------------------------------------------------------------------------------------------------------

    def column_type(self, type: ValueType) -> str:
        if type.kind is Kind.DECIMAL:
            return f"numeric({type.max_digits},{type.decimal_places})"
        return _TYPES[type.kind]

    def checks(self, column: str, type: ValueType) -> list[str]:
        kind = type.kind
        if type.choices is not None:
            # An enum that gets a new member needs no change of its tables.
            return []
        made: list[str] = []
        if kind is Kind.OBJECT_ID:
            made.append(f"octet_length({column}) = 12")
        elif kind is Kind.TEXT and type.max_length is not None:
            made.append(f"char_length({column}) <= {type.max_length}")
        elif kind is Kind.BYTES and type.max_length is not None:
            made.append(f"octet_length({column}) <= {type.max_length}")
        elif kind is Kind.INT and type.bounds != (INT_MIN, INT_MAX):
            low, high = type.bounds
            made.append(f"{column} BETWEEN {low} AND {high}")
        elif kind is Kind.DECIMAL and type.bounds != _undeclared(type):
            low, high = type.bounds
            made.append(f"{column} BETWEEN {low:f} AND {high:f}")
        elif kind is Kind.FLOAT:
            # NaN is greater than every number here (the manual, 8.1.3), so that this keeps it out.
            low, high = type.bounds
            made.append(f"{column} BETWEEN '{float(low)!r}'::float8 AND '{float(high)!r}'::float8")
        elif kind is Kind.TIMEDELTA:
            # No bound, but a mark: an int's column of the same type would be read as another thing.
            made.append(f"{column} <= {INT_MAX}")
        elif kind is Kind.TIME:
            made.append(f"{column} BETWEEN 0 AND 86399999999")
        elif kind in _JSON:
            made.append(f"jsonb_typeof({column}) = '{'array' if kind is Kind.LIST else 'object'}'")
            if type.max_length is not None:
                made.append(f"jsonb_array_length({column}) <= {type.max_length}")
        return made

    def octets(self, column: str, type: ValueType) -> str:
        # octet_length reads a long value's header only; jsonb has no such function.
        return f"pg_column_size({column})" if type.kind in _JSON else f"octet_length({column})"

    def encoder(self, type: ValueType) -> Codec:
        if type.kind in _JSON:
            return codecs.json_text_encoder(type)
        return codecs.json_encoder(type) if type.enum is not None else _ENCODERS.get(type.kind)

    def decoder(self, type: ValueType) -> Codec:
        # The driver has parsed JSON by then.
        return codecs.json_decoder(type) if type.kind in _JSON else _DECODERS.get(type.kind)

    def canonical(self, type: ValueType) -> Codec:
        return ObjectId if type.kind is Kind.OBJECT_ID else self.decoder(type)

    # -- comparing -----------------------------------------------------------------------------------------------------

    def array_type(self, type: ValueType) -> str:
        return _SHORT.get(type.kind, "jsonb")

    def leaf(self, column: Expr, keys: Sequence[str], type: ValueType) -> Place:
        text = Grouping(column.op("#>>")(_path(keys)))
        name = _LEAVES.get(type.kind)
        if name is None:
            return Place(text.collate("C"), codecs.json_encoder(type), True, "text")
        return Place(sa.cast(text, Raw(name)), codecs.json_encoder(type), True, name)

    def dict_value(self, column: Expr, keys: Sequence[str], json_class: JsonClass) -> Place:
        kind, name = _JSON_CLASSES[json_class]
        value = Grouping(column.op("#>")(_path(keys)))
        text = Grouping(column.op("#>>")(_path(keys)))
        matches = sa.func.jsonb_typeof(value, type_=RAW) == literal(f"'{kind}'")
        if json_class == "text":
            return Place(Grouping(sa.case((matches, text))).collate("C"), None, True, name)
        encode = _exact_number if json_class == "number" else None
        return Place(sa.case((matches, sa.cast(text, Raw(name)))), encode, True, name)

    def json_is_null(self, column: Expr, keys: Sequence[str]) -> Expr:
        return Grouping(column.op("#>>")(_path(keys))).is_(None)

    def json_output(self, column: Expr, keys: Sequence[str], type: ValueType) -> Expr:
        return Grouping(column.op("#>")(_path(keys)))

    def json_output_decoder(self, type: ValueType) -> Codec:
        return codecs.json_decoder(type)

    def among(self, binds: Binds, place: Place, slot: Slot, *, negated: bool) -> Expr:
        array = sa.cast(binds.array(slot, place.encode), Raw(f"{place.cast}[]"))
        return place.expr != sa.func.all(array) if negated else place.expr == sa.func.any(array)

    def contains(self, text: Expr, needle: Expr) -> Expr:
        return sa.func.strpos(text, needle, type_=RAW) > literal("0")

    def has(self, binds: Binds, column: Expr, keys: Sequence[str], element: ValueType, slot: Slot) -> Expr:
        items = Grouping(column.op("#>")(_path(keys))) if keys else column
        # A list contains a scalar (the manual, 8.14.3, the exception for primitives); of a list of one, [[1]] contains [1].
        wanted = sa.cast(binds.one(slot, _element_text(element)), Raw("jsonb"))
        return sa.func.coalesce(items.op("@>", is_comparison=True)(wanted), sa.false(), type_=sa.Boolean())

    def sort_key(self, expr: Expr, *, descending: bool, nullable: bool) -> Expr:
        key = expr.desc() if descending else expr.asc()
        # Left out where nothing is null: with it, an index that is not declared so would be no use.
        if not nullable:
            return expr.desc() if descending else expr
        return key.nulls_last() if descending else key.nulls_first()

    # -- groups --------------------------------------------------------------------------------------------------------

    def sum_places(self, expr: Expr, type: ValueType, *, is_leaf: bool) -> list[Place]:
        # The sum of bigint is numeric, so it has any size (the manual, 9.21).
        total = sa.func.coalesce(sa.func.sum(expr), literal("0"), type_=RAW)
        scale = codecs.to_scaled(type.decimal_places) if is_leaf and type.kind is Kind.DECIMAL else None
        # An int is dumped as int8, which a sum may exceed.
        return [Place(sa.cast(total, Raw("numeric")), codecs.chain(scale, Decimal), False, "numeric")]

    def sum_value(self, raw: Sequence[Any]) -> Any:
        return raw[0]

    def extreme(self, function: Literal["min", "max"], expr: Expr, type: ValueType) -> Expr:
        if type.kind is Kind.BOOL:
            return sa.func.bool_and(expr) if function == "min" else sa.func.bool_or(expr)
        if type.kind is Kind.UUID:
            # min(uuid) came with version 18; the text's order under "C" is the same.
            text = sa.cast(expr, Raw("text")).collate("C")
            return sa.cast(super().extreme(function, text, type), Raw("uuid"))
        return super().extreme(function, expr, type)

    def moment(self, milliseconds: Expr) -> Expr:
        return sa.func.to_timestamp(sa.cast(milliseconds, Raw("numeric")) / literal("1000"), type_=RAW)

    def period(self, expr: Expr, period: Literal["day", "month", "year"]) -> Expr:
        start = sa.func.date_trunc(literal(f"'{period}'"), expr.op("AT TIME ZONE")(literal("'UTC'")))
        return sa.cast(start, Raw("date"))

    # -- changes -------------------------------------------------------------------------------------------------------

    def operand(self, column: Expr, type: ValueType) -> Number:
        if type.kind is Kind.DECIMAL:
            # As a scaled bigint, so that what leaves 64 bits on the way fails here as it does in every store.
            return Number(sa.cast(column * literal(str(type.scale)), Raw("bigint")))
        return Number(column)

    def as_float(self, number: Number) -> Number:
        return Number(sa.cast(number.expr, Raw("double precision")))

    def compute(self, op: Literal["add", "sub", "mul"], left: Number, right: Number, kind: Kind) -> Number:
        made: Expr = Grouping(OPERATORS[op](left.expr, right.expr))
        if kind is Kind.FLOAT and op == "mul":
            made = _product(left.expr, right.expr, made)
        return Number(made)

    def result(self, number: Number, type: ValueType) -> Expr:
        if type.kind is Kind.DECIMAL:
            return sa.cast(number.expr, Raw("numeric")) * literal(f"{1 / Decimal(type.scale):f}")
        # Adding zero makes -0.0 0.0.
        return number.expr + literal("'0'::float8") if type.kind is Kind.FLOAT else number.expr

    def bound(self, type: ValueType, value: Any) -> str:
        if type.kind is Kind.FLOAT:
            return f"'{float(value)!r}'::float8"
        return f"{value:f}" if type.kind is Kind.DECIMAL else str(value)

    def refused(self, expr: Expr, bad: Expr, type: ValueType) -> Expr:
        # Division by zero, and only there: what is constant would fail when the statement is planned.
        one = literal("1") / sa.case((bad, literal("0")), else_=literal("1"))
        if type.kind.is_number:
            return Grouping(expr) * one
        if type.kind in (Kind.TEXT, Kind.BYTES):
            return sa.func.substr(expr, one, type_=RAW)
        return sa.case((one == literal("1"), expr))

    def length(self, expr: Expr, type: ValueType) -> Expr:
        if type.kind in _JSON:
            return sa.func.jsonb_array_length(expr, type_=RAW)
        name = sa.func.char_length if type.kind is Kind.TEXT else sa.func.octet_length
        return name(expr, type_=RAW)

    def number_encoder(self, type: ValueType) -> Codec:
        return codecs.to_scaled(type.decimal_places) if type.kind is Kind.DECIMAL else self.encoder(type)

    def number_type(self, type: ValueType) -> str:
        return "double precision" if type.kind is Kind.FLOAT else "bigint"

    def appended(self, binds: Binds, column: Expr, element: ValueType, slot: Slot) -> Expr:
        encode = _element_text(element)
        one = sa.cast(binds.one(slot, lambda value: f"[{encode(value)}]"), Raw("jsonb"))
        return sa.func.coalesce(column, literal("'[]'::jsonb"), type_=RAW).op("||")(one)

    def removed(self, binds: Binds, column: Expr, element: ValueType, slot: Slot) -> Expr:
        elements = sa.func.jsonb_array_elements(column)
        each = elements.table_valued(
            "value", with_ordinality="place", name=f"each_{slot.index}"
        ).render_derived()
        wanted = sa.cast(binds.one(slot, _element_text(element)), Raw("jsonb"))
        ordered = sa.func.jsonb_agg(aggregate_order_by(each.c.value, each.c.place))
        kept = sa.select(sa.func.coalesce(ordered, literal("'[]'::jsonb"))).select_from(each)
        return sa.case((column.is_not(None), kept.where(each.c.value != wanted).scalar_subquery()))

    # -- schema --------------------------------------------------------------------------------------------------------

    def index_column(self, column: sa.Column[Any], field: FieldSpec) -> Any:
        # An index serves "nulls first" only when it is declared so.
        return column.asc().nulls_first() if field.type.nullable else column

    def noted(self, statements: list[str], table: str, column: str, note: str) -> list[str]:
        return [*statements, f"COMMENT ON COLUMN {table}.{column} IS '{note}'"]

    def unique_options(self) -> dict[str, Any]:
        # The planner folds it away, so the index is as good as one without a predicate. But a foreign key can only lead
        # to a unique index without one (RelationGetIndexAttrBitmap looks at the predicate as it is stored), so updating
        # this column takes the lock that lets children be inserted meanwhile (the manual, 13.3.2, FOR NO KEY UPDATE).
        return {"postgresql_where": literal("1 = 1")}


def _path(keys: Sequence[str]) -> Expr:
    return literal("'{" + ",".join(keys) + "}'")


def _undeclared(type: ValueType) -> tuple[Decimal, Decimal]:
    """Return the bounds that the digits alone give."""
    low, high = ValueType(Kind.DECIMAL, max_digits=type.max_digits, decimal_places=type.decimal_places).bounds
    return low, high


def _element_text(element: ValueType) -> Callable[[Any], str]:
    encode = codecs.json_text_encoder(element)
    return lambda value: "null" if value is None else encode(value)


def _exact_number(value: int | float) -> Decimal:
    """Return the number as JSON's text has it, see `codecs.json_text`."""
    return Decimal(codecs.json_text(value))


def _product(left: Expr, right: Expr, product: Expr) -> Expr:
    """Return the product of floats that is 0 where it is too small, as IEEE 754 says; float8mul raises an error there.

    Whether it is too small is asked of decimals, which have no smallest one.
    """
    exact = sa.cast(left, Raw("numeric")) * sa.cast(right, Raw("numeric"))
    is_tiny = sa.func.abs(exact, type_=RAW) <= literal(f"'{_NOTHING_LEFT}'::numeric")
    return sa.case((is_tiny, literal("'0'::float8")), else_=product)
