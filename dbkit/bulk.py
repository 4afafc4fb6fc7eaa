"""The rows of many instances at once, column by column: to check a list of texts costs half of checking each by itself.

What is not as nearly every instance is goes to the function that makes one row, which says what is wrong with the first that
is wrong. So both say the same, and rows are made here only where nothing is to be said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from operator import is_
from typing import Any

from pydantic import ValidationError
from pydantic_core import core_schema

from .describe import row_maker_of
from .rows import harmless_lengths
from .spec import EntitySpec
from .values import Kind, ValueType, casefold_key, own_validator

__all__ = ["rows_of_many"]

Column = list[Any]
Rows = list[tuple[Any, ...]]
_FEW = 8
"""So few are made one by one as fast."""
_BLOCK = 512
"""A processor keeps so many with all their values near at hand, while one column after the other is gone through."""
_PLAIN: set[Any] = {datetime}


class _OddError(Exception):
    """Something is not as it is in nearly every instance."""


def rows_of_many(spec: EntitySpec, instances: Sequence[Any]) -> Rows:
    """Return the canonical rows of *instances*, as `row_of` makes each.

    Raises:
        InvalidInput, TooLarge: as `row_of` does for the first instance that is wrong.
    """
    make = _maker(spec) if len(instances) >= _FEW else None
    if make is not None:
        rows: Rows = []
        try:
            for start in range(0, len(instances), _BLOCK):
                rows += make(instances[start : start + _BLOCK])
            return rows
        except (_OddError, ValidationError, KeyError):
            pass  # one by one, then
    return [*map(row_maker_of(spec), instances)]


@cache
def _maker(spec: EntitySpec) -> Callable[[Sequence[Any]], Rows] | None:
    """Return what makes the rows; None where each has containers, which are measured one by one."""
    harmless = harmless_lengths(spec)
    if harmless is None:
        return None
    models = {spec.model}
    places = {f.name: place for place, f in enumerate(spec.fields)}
    shadows = [
        (places[s.shadow_of], harmless.get(len(places) + n))
        for n, s in enumerate(spec.shadows)
        if s.shadow_of is not None
    ]
    for place, longest in shadows:
        if longest is not None:
            harmless[place] = min(longest, harmless.get(place, longest))
    fields = [(f.name, _checker(f.type, harmless.get(place))) for place, f in enumerate(spec.fields)]
    created = places.get("created_at") if spec.timestamped else None

    def make(instances: Sequence[Any]) -> Rows:
        if {*map(type, instances)} != models:
            raise _OddError
        values = [instance.__dict__ for instance in instances]
        columns: list[Column] = []
        for name, check in fields:
            column = [each[name] for each in values]
            # A new instance has one time in both.
            is_checked = name == "updated_at" and created is not None and _are_same(column, columns[created])
            columns.append(column if is_checked else check(column))
        for place, longest in shadows:
            columns.append(_casefolded(columns[place], longest))
        return [*zip(*columns, strict=True)]

    return make


def _are_same(left: Column, right: Column) -> bool:
    return all(map(is_, left, right))


def _casefolded(texts: Column, longest: int | None) -> Column:
    if "".join(filter(None, texts)).isascii():
        # As long as the text, which was watched for both.
        return [text and text.lower() for text in texts]
    keys: list[str | None] = [text and casefold_key(text) for text in texts]
    if longest is not None and max(map(len, filter(None, keys)), default=0) > longest:
        raise _OddError
    return keys


def _checker(type: ValueType, harmless: int | None) -> Callable[[Column], Column]:
    """Return what checks a column and makes it canonical; a text longer than *harmless* is odd."""
    if harmless is not None:
        longest = harmless if type.max_length is None else min(harmless, type.max_length)
        type = replace(type, max_length=longest)
    schema = type.schema("write")
    if type.nullable:
        schema = core_schema.nullable_schema(schema)
    validate: Callable[[Column], Column] = own_validator(core_schema.list_schema(schema)).validate_python
    if type.kind is Kind.DATETIME:
        # Half the time of a call for each: nearly all are canonical since the instance was made.
        return lambda column: validate(column) if _are_odd(column) else column
    return validate


def _are_odd(moments: Column) -> bool:
    if {*map(type, moments)} != _PLAIN:
        return True
    odd = [moment for moment in moments if moment.tzinfo is not UTC or moment.microsecond % 1000]
    return bool(odd)
