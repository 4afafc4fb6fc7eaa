"""A migration's data, read and judged on the connection that it holds: rows for a function, and counts of what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from dbkit.errors import InvalidInput, StoredDataInvalid
from dbkit.query import Path
from dbkit.spec import EntitySpec, FieldSpec, IndexSpec, Output, ReadSpec, Schema, UniqueKey
from dbkit.values import Kind, ValueType, own_validator

from ..codecs import Codec
from ..dialects import Dialect
from ..rows import RowReader
from ..schema import Tables
from .nested import means_the_same
from .parts import tokens, unquoted

__all__ = [
    "BATCH",
    "Converted",
    "behind",
    "converted",
    "declared",
    "duplicates_sql",
    "encoded",
    "instances",
    "misfit",
    "need_known",
    "only",
    "orphans_sql",
    "reads_as",
    "shadow_name",
    "stored_values",
    "tables_of",
    "with_column",
]

BATCH = 500
"""Rows at once where Python makes the values."""
_SHADOW = "__casefold"
Rows = Callable[[str, tuple[Any, ...]], list[tuple[Any, ...]]]


def shadow_name(stored: str) -> str:
    """Return what the column of a field's casefold key is called."""
    return stored + _SHADOW


def only(
    entity: EntitySpec, *, uniques: tuple[UniqueKey, ...] = (), indexes: tuple[IndexSpec, ...] = ()
) -> EntitySpec:
    """Return the entity with these keys and indexes alone."""
    return replace(entity, uniques=uniques, indexes=indexes)


def tables_of(dialect: Dialect, entity: EntitySpec) -> Tables:
    """Return the tables of an entity and of all that it refers to."""
    found: dict[int, EntitySpec] = {entity.token: entity}
    waiting = [entity]
    while waiting:
        for f in waiting.pop().references:
            assert f.reference is not None
            target = f.reference.target
            if target.token not in found:
                found[target.token] = target
                waiting.append(target)
    return Tables(dialect, Schema(found.values()))


def behind(entity: EntitySpec) -> list[EntitySpec]:
    """Return the entities that an entity refers to, directly or not."""
    found: list[EntitySpec] = []
    waiting = [entity]
    while waiting:
        for f in waiting.pop().references:
            assert f.reference is not None
            target = f.reference.target
            if target not in found:
                found.append(target)
                waiting.append(target)
    return found


def encoded(dialect: Dialect, type: ValueType, value: Any) -> Any:
    """Return a canonical value as the column holds it."""
    encode = dialect.encoder(type)
    return value if value is None or encode is None else encode(value)


def with_column(text: str, old: str, new: str) -> str:
    """Return a condition about another column; *new* is quoted."""
    made: list[str] = []
    for kind, token in tokens(text, postgres=True):
        is_name = kind in ("word", "quoted") and unquoted(token) == old
        made.append(new if is_name else token)
    return "".join(made)


# -- reading -----------------------------------------------------------------------------------------------------------


def instances(
    rows: Rows,
    tables: Tables,
    entity: EntitySpec,
    field: FieldSpec,
    default: Any,
    there: Container[str],
    mark: str,
) -> Iterator[list[tuple[Any, Any]]]:
    """Yield each row's id as it is stored, and the row as an instance, with *default* as the value of *field*.

    In batches, by the order of ids. Fields that are not *there* yet are left out of the instance.
    """
    outputs = [
        Output(f.name, Path.of(entity, f))
        for f in entity.fields
        if f.stored in there and f.stored != field.stored
    ]
    reader = RowReader(tables.dialect, ReadSpec(entity.model, entity, tuple(outputs)))
    columns = ", ".join(tables.quoted(path.field.stored) for path in reader.paths)
    place = reader.position_of(Path.of(entity, entity.id))
    assert place is not None
    for found in _by_id(rows, tables, entity, columns, place, mark):
        made = reader.instances(found)
        for instance in made:
            instance.__dict__[field.name] = default
        yield [(row[place], instance) for row, instance in zip(found, made, strict=True)]


def stored_values(
    rows: Rows, tables: Tables, entity: EntitySpec, column: str, type: ValueType, mark: str
) -> Iterator[list[tuple[Any, Any]]]:
    """Yield each row's id as it is stored, and the value of a column, decoded by its type; null ones are left out."""
    decode = tables.dialect.decoder(type)
    validate = own_validator(type.read_schema({})).validate_python
    name = tables.quoted(column)
    columns = f"{tables.quoted(entity.id.stored)}, {name}"
    for found in _by_id(rows, tables, entity, columns, 0, mark):
        made: list[tuple[Any, Any]] = []
        for id, raw in found:
            if raw is None:
                continue
            try:
                made.append((id, validate(raw if decode is None else decode(raw))))
            except (
                ValidationError,
                ValueError,
                TypeError,
                KeyError,
                AttributeError,
                ArithmeticError,
            ) as error:
                raise StoredDataInvalid(
                    f"a stored value of {entity.stored!r}.{column} is no {type.kind.value}",
                    entity=entity.name,
                    hint="was= says what is stored; or mend the row",
                ) from error
        yield made


def _by_id(
    rows: Rows, tables: Tables, entity: EntitySpec, columns: str, place: int, mark: str
) -> Iterator[list[tuple[Any, ...]]]:
    table, id = tables.quoted_table(entity.stored), tables.quoted(entity.id.stored)
    text = f"SELECT {columns} FROM {table} ORDER BY {id} LIMIT {BATCH}"  # noqa: S608
    after = f"SELECT {columns} FROM {table} WHERE {id} > {mark} ORDER BY {id} LIMIT {BATCH}"  # noqa: S608
    found = rows(text, ())
    while found:
        yield found
        if len(found) < BATCH:
            return
        found = rows(after, (found[-1][place],))


# -- judging -----------------------------------------------------------------------------------------------------------


def declared(entity: EntitySpec, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the fields behind columns; that of the field for a shadow."""
    names = {f.stored: f.shadow_of or f.name for f in entity.columns}
    return tuple(names.get(column, column) for column in columns)


def duplicates_sql(tables: Tables, entity: EntitySpec, names: tuple[str, ...]) -> str:
    """Return the statement that counts the rows that share a value of a key."""
    columns = [tables.quoted(name) for name in names]
    some = " AND ".join(f"{column} IS NOT NULL" for column in columns)
    listed = ", ".join(columns)
    return (
        f"SELECT coalesce(sum(n), 0) FROM (SELECT count(*) AS n FROM {tables.quoted_table(entity.stored)} "  # noqa: S608
        f"WHERE {some} GROUP BY {listed} HAVING count(*) > 1) AS found"
    )


def orphans_sql(tables: Tables, entity: EntitySpec, field: FieldSpec) -> str:
    """Return the statement that counts the rows whose parent is not there."""
    assert field.reference is not None
    parent = field.reference.target
    column = tables.quoted(field.stored)
    return (
        f"SELECT count(*) FROM {tables.quoted_table(entity.stored)} AS c WHERE c.{column} IS NOT NULL AND NOT EXISTS "  # noqa: S608
        f"(SELECT 1 FROM {tables.quoted_table(parent.stored)} AS p WHERE p.{tables.quoted(parent.id.stored)} = c.{column})"
    )


class Converted:
    """How a column's values become those of another type, in SQL.

    Attributes:
        expr: the new value.
        loses: the condition that it is not what was stored; None where it always is.
    """

    def __init__(self, expr: str, loses: str | None = None) -> None:
        self.expr = expr
        self.loses = loses


_INTEGERS_OF_FLOATS = 2**53
_SAME_FORM = frozenset({Kind.MODEL, Kind.DICT})


def converted(dialect: Dialect, column: str, found: ValueType, wanted: ValueType) -> Converted | None:
    """Return the lossless change of a column's values, None where there is none."""
    is_scaled = dialect.scaled_sums
    pair = (found.kind, wanted.kind)
    if pair == (Kind.DECIMAL, Kind.DECIMAL):
        more = wanted.decimal_places - found.decimal_places
        if not is_scaled:
            return Converted(
                column, f"{column} <> round({column}, {wanted.decimal_places})" if more < 0 else None
            )
        if more >= 0:
            return Converted(column if more == 0 else f"{column} * {10**more}")
        return Converted(f"{column} / {10**-more}", f"{column} % {10**-more} <> 0")
    if not found.kind.is_scalar or not wanted.kind.is_scalar:
        is_form_same = found.kind is wanted.kind or {found.kind, wanted.kind} <= _SAME_FORM
        return Converted(column) if is_form_same and means_the_same(found, wanted) else None
    if found.kind is wanted.kind:
        return Converted(column)
    if pair == (Kind.INT, Kind.DECIMAL):
        return Converted(f"{column} * {wanted.scale}" if is_scaled else f"{column}::numeric")
    if pair == (Kind.DECIMAL, Kind.INT):
        if is_scaled:
            return Converted(f"{column} / {found.scale}", f"{column} % {found.scale} <> 0")
        return Converted(f"{column}::bigint", f"{column} <> trunc({column})")
    if pair == (Kind.INT, Kind.FLOAT):
        made = f"CAST({column} AS REAL)" if is_scaled else f"{column}::double precision"
        beyond = f"{column} NOT BETWEEN -{_INTEGERS_OF_FLOATS} AND {_INTEGERS_OF_FLOATS}"
        return Converted(made, beyond)
    if pair == (Kind.BOOL, Kind.INT):
        return Converted(column if is_scaled else f"{column}::integer::bigint")
    if pair == (Kind.DATE, Kind.DATETIME):
        if is_scaled:
            return Converted(f"CAST(strftime('%s', {column}) AS INTEGER) * 1000")
        return Converted(f"{column}::timestamp AT TIME ZONE 'UTC'")
    return None


def misfit(dialect: Dialect, change: Converted, type: ValueType) -> str | None:
    """Return the condition that a value, not null, does not fit its new type; None where every one does."""
    conditions = dialect.checks(f"({change.expr})", type)
    wrong = [] if change.loses is None else [change.loses]
    if conditions:
        wrong.append(f"NOT ({' AND '.join(conditions)})")
    elif type.choices is not None:
        listed = ", ".join(_literal(value, dialect) for value in type.choices)
        wrong.append(f"{change.expr} NOT IN ({listed})")
    elif dialect.alters_constraints and type.kind is Kind.DECIMAL:
        low, high = type.bounds
        wrong.append(f"NOT ({change.expr} BETWEEN {low:f} AND {high:f})")
    return " OR ".join(wrong) or None


def _literal(value: str | int, dialect: Dialect) -> str:
    if isinstance(value, int):
        return str(value)
    text = value.replace("'", "''")
    return f"'{text}'".replace("%", "%%") if dialect.alters_constraints else f"'{text}'"


def reads_as(type: ValueType, decode: Codec) -> Callable[[Any], bool]:
    """Return what says whether a stored value, not null, can be read as *type*."""
    validate = own_validator(type.read_schema({})).validate_python

    def fits(raw: Any) -> bool:
        try:
            validate(raw if decode is None else decode(raw))
        except (ValidationError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError):
            return False
        return True

    return fits


def need_known(entity: EntitySpec, field: FieldSpec, found: ValueType | None) -> ValueType:
    """Return *found*, or raise: a function is to be given stored values, and nobody knows what they are."""
    if found is None:
        raise InvalidInput(
            f"what is stored in {entity.name}.{field.name} cannot be told from its table",
            entity=entity.name,
            field=field.name,
            hint="say was=, the type before",
        )
    return found
