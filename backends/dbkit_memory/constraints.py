"""The rules between rows: unique keys, references, and what follows from deleting a parent.

Two questions are asked of each rule, as the other transactions' rows count although they are not seen: does it hold in
this transaction's snapshot, and could it be broken by what others wrote since? The first is `DuplicateKey` or
`ReferenceViolation`: asking again gives the same answer. The second is `Conflict`: asking again may not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from dbkit.answers import duplicate, missing_parent, still_referenced, too_many_rows
from dbkit.options import MAX_ROWS_TOUCHED

from .evaluate import Row
from .tables import Link, Table, Unique, Version, Work, changed_meanwhile, key_of

__all__ = ["check_parents", "delete", "insert", "replace"]


def insert(work: Work, table: Table, row: Row) -> None:
    """Add a row. Its references are not checked yet: `check_parents` does that at the verb's end.

    Raises:
        DuplicateKey: its id or one of its unique keys is taken.
        Conflict: another transaction may have taken it.
    """
    id = row[table.id]
    if work.row(table.name, id) is not None:
        raise duplicate(table.entity, table.id_name)
    _check_uniques(work, table, row)
    work.write(table, id, row)


def replace(work: Work, table: Table, row: Row) -> None:
    """Put *row* in the place of the one with its id, which the transaction sees.

    Raises:
        DuplicateKey: one of its unique keys is taken.
        Conflict: another transaction wrote the row since, or may have taken its key.
    """
    _check_uniques(work, table, row)
    work.write(table, row[table.id], row)


# -- unique keys -------------------------------------------------------------------------------------------------------


def _check_uniques(work: Work, table: Table, row: Row) -> None:
    """Check each unique key; null in any part of one never conflicts."""
    for unique in table.uniques:
        key = key_of(row, unique.columns)
        if key is None:
            continue
        for id in table.indexes[unique.columns].get(key, ()):
            if id != row[table.id]:
                _check_taken(work, table, unique, key, table.chains[id])


def _check_taken(
    work: Work, table: Table, unique: Unique, key: tuple[Any, ...], chain: list[Version]
) -> None:
    taken = key_of(work.seen(chain), unique.columns) == key
    if taken and work.sees(chain[-1]):
        raise duplicate(table.entity, unique.names)
    # Others took the key or gave it up since the snapshot, and may yet undo that.
    if taken or any(key_of(version.row, unique.columns) == key for version in _unseen(work, chain)):
        raise changed_meanwhile(table)


def _unseen(work: Work, chain: list[Version]) -> Iterator[Version]:
    """Return the versions that are newer than the one that the transaction sees."""
    for version in reversed(chain):
        if work.sees(version):
            return
        yield version


# -- references --------------------------------------------------------------------------------------------------------


def check_parents(work: Work, table: Table, rows: Iterable[tuple[Row | None, Row]]) -> None:
    """Check that the parents of rows (before, after) are there and stay; a reference that did not change is not asked.

    Called at the verb's end, so that rows of one verb may refer to each other in any order.

    Raises:
        ReferenceViolation: a parent is not there.
        Conflict: another transaction deletes it, or created it since the snapshot.
    """
    for before, after in rows:
        for link in table.links:
            id = after[link.column]
            if id is not None and (before is None or before[link.column] != id):
                _check_parent(work, table, link, id)


def _check_parent(work: Work, table: Table, link: Link, id: Any) -> None:
    parent = work.tables.table(link.parent)
    chain = parent.chains.get(id, [])
    newer = list(_unseen(work, chain))
    if work.seen(chain) is not None:
        # An unrelated update of the parent is no conflict: it is there before and after. Its deletion is one.
        if any(version.row is None for version in newer):
            raise changed_meanwhile(parent)
    elif any(version.row is not None and version.writer.committed is not None for version in newer):
        raise changed_meanwhile(parent)
    else:
        raise missing_parent(table.entity, link.name, parent.entity)


def delete(work: Work, table: Table, ids: Iterable[Any]) -> None:
    """Delete the rows, which the transaction sees, and do to their children what `on_delete` says.

    What restricts is looked at last: a child that goes with another parent of the same verb restricts nothing.

    Raises:
        TooLarge: more than 10,000 rows are deleted or set to null.
        ReferenceViolation: a child that stays refers to a deleted row.
        Conflict: another transaction wrote one of the rows, or a child of one.
    """
    doomed: dict[tuple[Table, Any], None] = {(table, id): None for id in ids}
    nulled: dict[tuple[Table, Any], set[str]] = {}
    restricting: list[tuple[Table, Link, Any, Any]] = []
    queue = list(doomed)
    while queue:
        _check_count(doomed, nulled)
        parent, id = queue.pop()
        for child, link in work.tables.links_to(parent):
            for child_id in _children(work, child, link, id):
                if link.on_delete == "restrict":
                    restricting.append((child, link, child_id, id))
                elif (child, child_id) in doomed:
                    continue  # it goes anyway
                elif link.on_delete == "set_null":
                    nulled.setdefault((child, child_id), set()).add(link.column)
                else:
                    nulled.pop((child, child_id), None)
                    doomed[child, child_id] = None
                    queue.append((child, child_id))
    _check_count(doomed, nulled)
    for (child, child_id), columns in nulled.items():
        row = work.row(child.name, child_id)
        assert row is not None
        work.write(child, child_id, {**row, **dict.fromkeys(columns)})
    for gone, id in doomed:
        work.write(gone, id, None)
    for child, link, child_id, id in restricting:
        row = work.row(child.name, child_id)
        if row is not None and row[link.column] == id:
            raise still_referenced(work.tables.table(link.parent).entity, child.entity, link.name)


def _children(work: Work, child: Table, link: Link, id: Any) -> Iterator[Any]:
    """Return the ids of the children; `Conflict` when there may be one that is not seen."""
    columns = (link.column,)
    for child_id in child.indexes[columns].get((id,), ()):
        chain = child.chains[child_id]
        if key_of(work.seen(chain), columns) == (id,):
            yield child_id
        elif any(key_of(version.row, columns) == (id,) for version in _unseen(work, chain)):
            raise changed_meanwhile(child)


def _check_count(*touched: Collection[Any]) -> None:
    if sum(map(len, touched)) > MAX_ROWS_TOUCHED:
        raise too_many_rows()
