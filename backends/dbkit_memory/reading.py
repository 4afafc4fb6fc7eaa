"""The verbs that read: which rows, in what order, and how instances are made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pydantic import ValidationError
from pydantic_core import CoreSchema, SchemaValidator, core_schema

from dbkit.answers import too_many_children
from dbkit.errors import StoredDataInvalid
from dbkit.options import MAX_ROWS_UNASKED
from dbkit.page import PageRows
from dbkit.query import And, Compare, Count, Exists, Filter, Find, GroupBy, In
from dbkit.spec import EntitySpec, Output, ReadSpec, Relation
from dbkit.values import Kind, ValueType, explain_validation

from .evaluate import Row, condition, copied, encode, grouped, in_order, is_after, value_of
from .tables import Table, Work

__all__ = ["Maker", "Way", "count", "exists", "find", "get", "group", "matching", "page", "way_to"]


# -- finding rows ------------------------------------------------------------------------------------------------------


def matching(work: Work, entity: EntitySpec, where: Filter | None) -> list[Row]:
    """Return the rows for which *where* holds, in no promised order."""
    return list(_matches(work, entity, where))


def _matches(work: Work, entity: EntitySpec, where: Filter | None) -> Iterator[Row]:
    meets = condition(where)
    _, candidates = _candidates(work, entity, where)
    return (row for row in candidates if meets(row, work))


Way = str | None
"""The index that leads to the rows that can meet a filter; None where all rows are looked at."""


def way_to(work: Work, entity: EntitySpec, where: Filter | None) -> tuple[Way, int]:
    """Return the index that `matching` takes, and how many rows it looks at."""
    way, candidates = _candidates(work, entity, where)
    return way, sum(1 for _ in candidates)


def _candidates(work: Work, entity: EntitySpec, where: Filter | None) -> tuple[Way, Iterator[Row]]:
    """Return some rows among which all are that can meet *where*: those of one key, if it asks for one."""
    table = work.tables.table(entity.stored)
    asked = _equalities(where)
    ids = asked.get(table.id)
    if ids is not None:
        return f"{table.name}.{table.id}", _existing(work.row(table.name, id) for id in dict.fromkeys(ids))
    for columns in table.indexes:
        if all(c in asked for c in columns) and (
            len(columns) == 1 or all(len(asked[c]) == 1 for c in columns)
        ):
            keys = (
                [(v,) for v in asked[columns[0]]]
                if len(columns) == 1
                else [tuple(asked[c][0] for c in columns)]
            )
            return f"{table.name}.{', '.join(columns)}", _of_keys(work, table, columns, keys)
    return None, work.rows(table.name)


def _existing(rows: Iterable[Row | None]) -> Iterator[Row]:
    return (row for row in rows if row is not None)


def _of_keys(
    work: Work, table: Table, columns: tuple[str, ...], keys: Iterable[tuple[Any, ...]]
) -> Iterator[Row]:
    for key in dict.fromkeys(keys):
        yield from work.having(table.name, columns, key)


def _equalities(where: Filter | None) -> dict[str, list[Any]]:
    """Return, by column, the values of which every row that meets *where* has one."""
    asked: dict[str, list[Any]] = {}
    for part in where.parts if isinstance(where, And) else (where,):
        if isinstance(part, Compare) and part.op == "eq":
            values = [part.value]
        elif isinstance(part, In):
            values = list(part.values)
        else:
            continue
        if part.path.is_own_field and part.path.type.kind.is_scalar:
            asked[part.path.field.stored] = [encode(v, part.path.type) for v in values]
    return asked


# -- verbs -------------------------------------------------------------------------------------------------------------


def get(work: Work, make: Maker, read: ReadSpec, id: Any) -> Any | None:
    """Return the instance with this id, or None."""
    row = work.row(read.entity.stored, encode(id, read.entity.id.type))
    return None if row is None else make.instances(work, read, [row])[0]


def find(work: Work, make: Maker, query: Find) -> list[Any]:
    """Return the instances, in order."""
    return make.instances(work, query.read, _selected(work, query, query.limit))


def page(work: Work, make: Maker, query: Find) -> PageRows:
    """Return at most `query.limit` instances, and the last one's sort keys when more follow."""
    rows = _selected(work, query, query.limit + 1)
    shown = rows[: query.limit]
    last = tuple(value_of(o.path)(shown[-1], work) for o in query.order) if len(rows) > query.limit else None
    total = len(matching(work, query.entity, query.where)) if query.total else None
    return PageRows(make.instances(work, query.read, shown), last, total)


def _selected(work: Work, query: Find, limit: int | None) -> list[Row]:
    rows = matching(work, query.entity, query.where)
    if query.after is not None:
        values = [value_of(o.path) for o in query.order]
        after = [encode(v, o.path.type) for v, o in zip(query.after, query.order, strict=True)]
        rows = [row for row in rows if is_after([value(row, work) for value in values], after, query.order)]
    skip = query.offset or 0
    return in_order(rows, query.order, work)[skip : None if limit is None else skip + limit]


def count(work: Work, query: Count) -> int:
    """Return how many rows the filter takes."""
    return sum(1 for _ in _matches(work, query.entity, query.where))


def exists(work: Work, query: Exists) -> bool:
    """Return whether the filter takes any row."""
    return any(True for _ in _matches(work, query.entity, query.where))


def group(work: Work, query: GroupBy) -> list[Any]:
    """Return the groups, in order."""
    results = grouped(query.group, matching(work, query.entity, query.where), work)
    kept = condition(query.having)
    ordered = in_order((r for r in results if kept(r, work)), query.order, work)
    fields = query.group.by_name.values()
    shown = [{f.name: row[f.stored] for f in fields} for row in ordered[: query.limit]]
    return _validated(query.group.validator, shown, query.group.name)


# -- making instances --------------------------------------------------------------------------------------------------


def _copying(_: ValueType) -> CoreSchema:
    return core_schema.no_info_plain_validator_function(copied)


class Maker:
    """Makes instances of stored rows; keeps one validator for each class."""

    def __init__(self) -> None:
        self._validators: dict[int, SchemaValidator] = {}

    def instances(self, work: Work, read: ReadSpec, rows: Iterable[Row]) -> list[Any]:
        """Return one new instance for each row, relations filled; it shares no container with what is stored.

        Raises:
            TooLarge: a relation without a limit has more than 1,000 children.
            StoredDataInvalid: what is stored does not fit the class.
        """
        validator = self._validators.get(read.token)
        if validator is None:
            validator = self._validators[read.token] = read.validator({Kind.JSON: _copying})
        fill = _filler(work, read)
        return _validated(validator, [fill(row) for row in rows], read.model.__name__)


def _filler(work: Work, read: ReadSpec) -> Callable[[Row], dict[str, Any]]:
    """Return the function that makes the mapping of which an instance is validated."""
    parts: dict[str, Callable[[Row], Any]] = {output.name: _output(work, output) for output in read.outputs}
    parts.update({relation.name: _children(work, read, relation) for relation in read.relations})
    return lambda row: {name: part(row) for name, part in parts.items()}


def _output(work: Work, output: Output) -> Callable[[Row], Any]:
    value = value_of(output.path)
    if output.parent is None:
        return lambda row: value(row, work)
    parent, fill = output.parent.entity.stored, _filler(work, output.parent)

    def whole(row: Row) -> dict[str, Any] | None:
        id = value(row, work)
        found = None if id is None else work.row(parent, id)
        return None if found is None else fill(found)

    return whole


def _children(work: Work, read: ReadSpec, relation: Relation) -> Callable[[Row], list[dict[str, Any]]]:
    meets, fill = condition(relation.where), _filler(work, relation.read)
    id, child, reference = read.entity.id.stored, relation.read.entity.stored, relation.reference.stored

    def children(row: Row) -> list[dict[str, Any]]:
        mine = [found for found in work.referring(child, reference, row[id]) if meets(found, work)]
        if relation.limit is None and len(mine) > MAX_ROWS_UNASKED:
            raise too_many_children(read.model.__name__, relation.name)
        return [fill(found) for found in in_order(mine, relation.order, work)[: relation.limit]]

    return children


def _validated(validator: SchemaValidator, mappings: list[dict[str, Any]], model: str) -> list[Any]:
    try:
        made: list[Any] = validator.validate_python(mappings)
    except ValidationError as error:
        where, problem = explain_validation(error)
        name = str(where[1]) if len(where) > 1 else None
        raise StoredDataInvalid(f"a stored row does not fit {model}: {name}: {problem}", field=name) from None
    return made
