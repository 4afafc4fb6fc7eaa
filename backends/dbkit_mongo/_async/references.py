"""References kept without shared locks: what `guards` describes, done. Always inside a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pymongo import UpdateOne

from dbkit.answers import missing_parent, still_referenced, too_many_rows
from dbkit.errors import Conflict, DuplicateKey
from dbkit.options import MAX_ROWS_TOUCHED
from dbkit.spec import EntitySpec, FieldSpec
from dbkit.values import utc_now

from .. import guards
from ..changes import Parents
from ..errors import Doing
from ..rows import key_of
from .duplicates import settled

if TYPE_CHECKING:
    from .operations import AsyncMongoOperations

__all__ = ["delete_rows", "refer"]

CHUNK = 1_000


async def refer(
    on: AsyncMongoOperations, entity: EntitySpec, parents: Parents, rows: Sequence[Sequence[Any]]
) -> None:
    """Check that all parents are there and hold them, each distinct one once.

    After the rows were written, so that a duplicate is found before a missing parent, and rows may refer to each other.

    Raises:
        ReferenceViolation: a parent is not there.
    """
    wanted: dict[int, tuple[EntitySpec, dict[Any, None]]] = {}
    for field, bind in parents:
        assert field.reference is not None
        target = field.reference.target
        ids = dict.fromkeys(row[bind] for row in rows if row[bind] is not None)
        if ids:
            encoded = [on.link.codec.encode(target.id.type, id) for id in ids]
            await _check(on, entity, field, target, encoded)
            wanted.setdefault(target.token, (target, {}))[1].update(dict.fromkeys(encoded))
    writes = [
        UpdateOne({"_id": guards.one_of(target, id)}, guards.held(), upsert=True)
        for target, ids in wanted.values()
        for id in ids
    ]
    await _raise_guards(on, writes)


async def _check(
    on: AsyncMongoOperations, entity: EntitySpec, field: FieldSpec, target: EntitySpec, ids: list[Any]
) -> None:
    for start in range(0, len(ids), CHUNK):
        part = ids[start : start + CHUNK]
        found = await on.link.call(
            Doing(f'{{"find": "{target.stored}", "filter": {{"_id": {{"$in": "?"}}}}}}', target),
            on.link.driver.find,
            on.link.collection(target.stored),
            {"_id": part[0]} if len(part) == 1 else {"_id": {"$in": part}},
            {"_id": 1},
            batch_size=CHUNK + 1,
            session=on.session,
        )
        if len(found) < len(part):
            raise missing_parent(entity.name, field.name, target.name)


async def _raise_guards(on: AsyncMongoOperations, writes: list[UpdateOne]) -> None:
    if not writes:
        return
    await on.link.ensure(guards.COLLECTION)
    collection = on.link.collection(guards.COLLECTION)
    doing = on.writing(
        f'{{"update": "{guards.COLLECTION}", "updates": [{{"q": {{"_id": "?"}}, "u": "?"}}]}}', None
    )
    for start in range(0, len(writes), CHUNK):
        part = writes[start : start + CHUNK]
        try:
            await on.link.call(doing, collection.bulk_write, part, ordered=True, session=on.session)
        except DuplicateKey as error:
            # Two that made one guard at once; it has no other key.
            raise Conflict("a concurrent change of the same parent came first") from error.__cause__


class Doomed:
    """The rows that one delete takes along, and what else it touches."""

    def __init__(self, entity: EntitySpec, ids: list[Any]) -> None:
        self.rows: dict[int, tuple[EntitySpec, dict[Any, None]]] = {
            entity.token: (entity, dict.fromkeys(ids))
        }
        self.touched = len(ids)

    def add(self, entity: EntitySpec, ids: Iterable[Any]) -> list[Any]:
        """Add rows and return those that were not among them."""
        known = self.rows.setdefault(entity.token, (entity, {}))[1]
        new = [id for id in ids if id not in known]
        known.update(dict.fromkeys(new))
        self.touch(len(new))
        return new

    def touch(self, count: int) -> None:
        self.touched += count
        if self.touched > MAX_ROWS_TOUCHED:
            raise too_many_rows()


async def delete_rows(on: AsyncMongoOperations, entity: EntitySpec, ids: list[Any]) -> None:
    """Delete the rows with these stored ids and what cascades from them, and stamp their guards.

    Raises:
        ReferenceViolation: at the end a row that is not deleted still refers to one that is.
        TooLarge: more than 10,000 rows in all.
    """
    doomed = Doomed(entity, ids)
    kept: list[tuple[EntitySpec, EntitySpec, FieldSpec, list[Any]]] = []
    nulled: list[tuple[EntitySpec, FieldSpec, list[Any]]] = []
    queue = [(entity, ids)]
    while queue:
        parent, gone = queue.pop()
        for child, field in on.link.schema.children(parent):
            assert field.reference is not None
            if field.reference.on_delete == "cascade":
                new = doomed.add(child, await _children(on, child, field, gone))
                if new:
                    queue.append((child, new))
            elif field.reference.on_delete == "set_null":
                nulled.append((child, field, gone))
            else:
                kept.append((parent, child, field, gone))
    for of, rows in doomed.rows.values():
        await _delete(on, of, list(rows))
    for child, field, gone in nulled:
        doomed.touch(await _set_null(on, child, field, gone))
    for parent, child, field, gone in kept:
        if await _children(on, child, field, gone, limit=1):
            raise still_referenced(parent.name, child.name, field.name)
    now = utc_now()
    writes = [
        UpdateOne({"_id": id}, guards.stamped(now), upsert=True)
        for of, rows in doomed.rows.values()
        if on.link.schema.children(of)
        for id in guards.guard_ids(of, rows)
    ]
    await _raise_guards(on, writes)


async def _children(
    on: AsyncMongoOperations,
    child: EntitySpec,
    field: FieldSpec,
    ids: list[Any],
    limit: int = MAX_ROWS_TOUCHED + 1,
) -> list[Any]:
    found: list[Any] = []
    for start in range(0, len(ids), CHUNK):
        part = await on.link.call(
            Doing(f'{{"find": "{child.stored}", "filter": {{"{key_of(field)}": {{"$in": "?"}}}}}}', child),
            on.link.driver.find,
            on.link.collection(child.stored),
            {key_of(field): {"$in": ids[start : start + CHUNK]}},
            {"_id": 1},
            limit=limit,
            batch_size=limit + 1,
            session=on.session,
        )
        found += [row["_id"] for row in part]
        if len(found) >= limit:
            break
    return found


async def _delete(on: AsyncMongoOperations, entity: EntitySpec, ids: list[Any]) -> None:
    doing = on.writing(
        f'{{"delete": "{entity.stored}", "deletes": [{{"q": {{"_id": {{"$in": "?"}}}}, "limit": 0}}]}}',
        entity,
    )
    for start in range(0, len(ids), CHUNK):
        filter = {"_id": {"$in": ids[start : start + CHUNK]}}
        await on.link.call(doing, on.link.collection(entity.stored).delete_many, filter, session=on.session)


async def _set_null(on: AsyncMongoOperations, child: EntitySpec, field: FieldSpec, ids: list[Any]) -> int:
    key, touched = key_of(field), 0
    doing = on.writing(
        f'{{"update": "{child.stored}", "updates": [{{"q": "?", "u": {{"$set": {{"{key}": null}}}}, "multi": true}}]}}',
        child,
    )
    update = {"$set": {key: None}}
    update_many = on.link.collection(child.stored).update_many
    for start in range(0, len(ids), CHUNK):
        filter = {key: {"$in": ids[start : start + CHUNK]}}
        try:
            result = await on.link.call(doing, update_many, filter, update, session=on.session)
        except DuplicateKey as error:
            raise await settled(on, error, child, {}, None) from error.__cause__
        touched += result.matched_count
    return touched
