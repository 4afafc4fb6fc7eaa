"""`backfill`: a new field's value into the documents that lack it, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dbkit.answers import no_table
from dbkit.spec import EntitySpec, FieldSpec

from ..errors import Doing
from ..rows import key_of

if TYPE_CHECKING:
    from .link import AsyncLink

__all__ = ["backfill"]


async def backfill(
    link: AsyncLink,
    entity: EntitySpec,
    values: Sequence[tuple[FieldSpec, Any]],
    batch: int,
    told: Callable[[int, int], object],
) -> int:
    """Fill the documents without the first of *values* in the order of their ids, and return how many were filled.

    What is filled is no longer looked for, so a run that was stopped is taken up by the next one.
    """
    codec, name = link.codec, entity.stored
    there = await link.call(Doing('{"listCollections": 1}'), link.driver.collections, link.database)
    if name not in there:
        raise no_table(name, (entity,))
    lacking: dict[str, Any] = {key_of(values[0][0]): {"$exists": False}}
    change = {"$set": {key_of(f): codec.encode(f.type, value) for f, value in values}}
    collection = link.collection(name)
    counting = Doing(
        f'{{"aggregate": "{name}", "pipeline": [{{"$match": {{"{key_of(values[0][0])}": {{"$exists": false}}}}}}, …]}}',
        entity,
    )
    total: int = await link.call(counting, collection.count_documents, lacking)
    finding = Doing(
        f'{{"find": "{name}", "filter": {{"…": {{"$exists": false}}}}, "limit": {batch}}}', entity
    )
    writing = Doing(
        f'{{"update": "{name}", "updates": [{{"q": {{"_id": {{"$in": "…"}}}}}}]}}', entity, writes=True
    )
    done = 0
    after: Any = None
    is_first = True
    while True:
        # A comparison takes ids of one BSON type; at the end of each type it begins again with what is left.
        wanted = lacking if is_first else {**lacking, "_id": {"$gt": after}}
        found = await link.call(
            finding, link.driver.find, collection, wanted, {"_id": 1}, sort=[("_id", 1)], limit=batch
        )
        if not found:
            if is_first:
                return done
            is_first = True
            continue
        ids = [document["_id"] for document in found]
        # Asked again: somebody else may have written the field meanwhile.
        result = await link.call(writing, collection.update_many, {"_id": {"$in": ids}, **lacking}, change)
        done += int(result.matched_count)
        after, is_first = ids[-1], False
        told(done, max(total, done))
