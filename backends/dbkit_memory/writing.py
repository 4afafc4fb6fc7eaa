"""The verbs that write. Each runs under the lock, in a transaction that undoes all of it when it fails."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dbkit.answers import condition_failed, no_row, row_too_large, too_many_rows
from dbkit.options import MAX_ROWS_TOUCHED
from dbkit.query import Change, Claim, DeleteMany, DeleteOne, Insert, UpdateMany, UpdateOne, Upsert
from dbkit.spec import EntitySpec

from . import constraints
from .evaluate import Row, changed, condition, encode, in_order, is_dict, is_list
from .reading import Maker, matching
from .tables import Table, Work

__all__ = ["claim", "delete", "delete_many", "insert", "insert_many", "update", "update_many", "upsert"]

MAX_STORED_BYTES = 16 * 2**20
"""What a row may grow to by updates; MongoDB's limit of a document (its manual, "MongoDB Limits and Thresholds")."""


def _row_of(entity: EntitySpec, values: Sequence[Any]) -> dict[str, Any]:
    return {f.stored: encode(value, f.type) for f, value in zip(entity.columns, values, strict=True)}


def insert(work: Work, query: Insert) -> None:
    """Create one row."""
    insert_many(work, query.entity, [query.row])


def insert_many(work: Work, entity: EntitySpec, rows: Sequence[tuple[Any, ...]]) -> int:
    """Create the rows. Unique keys come before references: a row that violates both is a `DuplicateKey`."""
    if len(rows) > MAX_ROWS_TOUCHED:
        raise too_many_rows()
    table = work.tables.table(entity.stored)
    made = [_row_of(entity, values) for values in rows]
    for row in made:
        constraints.insert(work, table, row)
    constraints.check_parents(work, table, [(None, row) for row in made])
    return len(made)


def update(work: Work, make: Maker, query: UpdateOne) -> Any:
    """Change one row and return it as it is then."""
    entity = query.entity
    table = work.tables.table(entity.stored)
    before = work.row(table.name, encode(query.id, entity.id.type))
    if before is None:
        raise no_row(entity.name)
    if not condition(query.where)(before, work):
        raise condition_failed(entity.name)
    (after,) = _change(work, table, [before], query.changes)
    return make.instances(work, entity.read, [after])[0]


def update_many(work: Work, query: UpdateMany) -> int:
    """Change the rows that the filter takes and return how many they are."""
    rows = matching(work, query.entity, query.where)
    if len(rows) > MAX_ROWS_TOUCHED:
        raise too_many_rows()
    _change(work, work.tables.table(query.entity.stored), rows, query.changes)
    return len(rows)


def claim(work: Work, make: Maker, query: Claim) -> list[Any]:
    """Change and return the first rows that nobody else is changing, in order."""
    table = work.tables.table(query.entity.stored)
    rows = in_order(matching(work, query.entity, query.where), query.order, work)
    free = [row for row in rows if work.may_write(table, row[table.id])][: query.limit]
    return make.instances(work, query.entity.read, _change(work, table, free, query.changes))


def _change(work: Work, table: Table, rows: Iterable[Row], changes: Sequence[Change]) -> list[Row]:
    done = [(row, changed(row, changes, work)) for row in rows]
    for _, after in done:
        _check_size(after)
        constraints.replace(work, table, after)
    constraints.check_parents(work, table, done)
    return [after for _, after in done]


def upsert(work: Work, make: Maker, query: Upsert) -> Any:
    """Create the row, or replace the one with the same key but for its `id`, `created_at` and `version`."""
    entity = query.entity
    table = work.tables.table(entity.stored)
    row = _row_of(entity, query.row)
    before = _same_key(work, table, row, tuple(f.stored for f in query.on.fields))
    if before is None:
        constraints.insert(work, table, row)
    else:
        row[table.id] = before[table.id]
        if entity.timestamped:
            created = entity.by_name["created_at"].stored
            row[created] = before[created]
        if entity.versioned:
            version = entity.by_name["version"].stored
            row[version] = before[version] + 1
        constraints.replace(work, table, row)
    constraints.check_parents(work, table, [(before, row)])
    return make.instances(work, entity.read, [row])[0]


def _same_key(work: Work, table: Table, row: Row, columns: tuple[str, ...]) -> Row | None:
    if columns == (table.id,):
        return work.row(table.name, row[table.id])
    return next(work.having(table.name, columns, tuple(row[c] for c in columns)), None)


def delete(work: Work, query: DeleteOne) -> bool:
    """Delete one row and what cascades from it; False when it is not there or the condition does not hold."""
    table = work.tables.table(query.entity.stored)
    row = work.row(table.name, encode(query.id, query.entity.id.type))
    if row is None or not condition(query.where)(row, work):
        return False
    constraints.delete(work, table, [row[table.id]])
    return True


def delete_many(work: Work, query: DeleteMany) -> int:
    """Delete the rows that the filter takes, and what cascades from them; return how many the filter took."""
    table = work.tables.table(query.entity.stored)
    rows = matching(work, query.entity, query.where)
    constraints.delete(work, table, [row[table.id] for row in rows])
    return len(rows)


def _check_size(row: Row) -> None:
    if _size(row) > MAX_STORED_BYTES:
        raise row_too_large()


def _size(value: Any) -> int:
    """Return about how many bytes *value* takes when it is stored."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode())
    if isinstance(value, bytes):
        return len(value)
    if is_dict(value):
        return sum(_size(key) + _size(item) for key, item in value.items())
    if is_list(value):
        return sum(8 + _size(item) for item in value)
    return 8
