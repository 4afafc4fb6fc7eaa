"""Reading whole collections, or samples of them, to say where they do not fit their entities. Nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dbkit.checking import Finding
from dbkit.spec import EntitySpec, FieldSpec

from .. import guards
from ..checking import Inspection
from ..compile import JOINED
from ..errors import Doing
from ..rows import key_of
from ..schema import Index, collection_of

if TYPE_CHECKING:
    from .link import AsyncLink

__all__ = ["check"]

BATCH = 1_000


async def check(link: AsyncLink, entities: Sequence[EntitySpec], sample: int | None) -> list[Finding]:
    """Say what does not fit."""
    there = await link.call(Doing('{"listCollections": 1}'), link.driver.collections, link.database)
    made: list[Finding] = []
    for entity in entities:
        inspection = Inspection(collection_of(entity), link.codec, sample)
        if entity.stored in there:
            await _inspect(link, inspection, there, sample)
        else:
            inspection.missing()
        made += inspection.findings
    return made


async def _inspect(
    link: AsyncLink, inspection: Inspection, there: dict[str, dict[str, Any]], sample: int | None
) -> None:
    entity = inspection.entity
    first: list[dict[str, Any]] = [] if sample is None else [{"$sample": {"size": sample}}]
    await _count(link, inspection, first)
    inspection.documents()
    if link.features.kept_schema:
        inspection.validator(there[entity.stored])
    listing = Doing(f'{{"listIndexes": "{entity.stored}"}}', entity)
    found = await link.call(listing, link.driver.indexes, link.collection(entity.stored))
    for index, why in inspection.indexes(found):
        inspection.duplicates(index, why, await _number(link, entity, [*first, *_duplicates(index)]))
    kept = [f for f in entity.references if f.reference is not None and f.reference.check]
    if kept and guards.COLLECTION not in there:
        inspection.unguarded(guards.COLLECTION)
    for f in kept:
        inspection.orphans(f, await _number(link, entity, [*first, *_orphans(f)]))


async def _count(link: AsyncLink, inspection: Inspection, pipeline: list[dict[str, Any]]) -> None:
    """Read every document, batch by batch: each is one call with its own time limit."""
    entity, driver = inspection.entity, link.driver
    doing = Doing(f'{{"aggregate": "{entity.stored}", "pipeline": [{"…" if pipeline else ""}]}}', entity)
    cursor = await link.call(doing, driver.open_cursor, link.collection(entity.stored), pipeline, BATCH)
    # What PyMongo asks for then (getMore), where it has not all yet, is its own matter.
    going_on = Doing("", entity)
    try:
        while found := await link.call(going_on, driver.next_batch, cursor, BATCH):
            for document in found:
                inspection.census.add(document)
    finally:
        await driver.close_cursor(cursor)


async def _number(link: AsyncLink, entity: EntitySpec, pipeline: list[dict[str, Any]]) -> int:
    doing = Doing(f'{{"aggregate": "{entity.stored}", "pipeline": ["…"]}}', entity)
    counted = [*pipeline, {"$count": "n"}]
    found = await link.call(doing, link.driver.aggregate, link.collection(entity.stored), counted)
    return int(found[0]["n"]) if found else 0


def _duplicates(index: Index) -> list[dict[str, Any]]:
    """Return the stages that give each key that is there more than once; null, or nothing, is no key."""
    key = {f"k{place}": f"${name}" for place, name in enumerate(index.keys)}
    return [
        {"$match": {name: {"$ne": None} for name in index.keys}},
        {"$group": {"_id": key, "n": {"$sum": 1}}},
        {"$match": {"n": {"$gt": 1}}},
    ]


def _orphans(f: FieldSpec) -> list[dict[str, Any]]:
    """Return the stages that give the documents whose reference leads to nothing.

    By `localField` and `foreignField`, so that the parents' `_id` index serves; an equality in `$expr` would scan them.
    """
    assert f.reference is not None
    name = f"{JOINED}1"
    return [
        {"$match": {key_of(f): {"$ne": None}}},
        {
            "$lookup": {
                "from": f.reference.target.stored,
                "localField": key_of(f),
                "foreignField": "_id",
                "as": name,
            }
        },
        {"$match": {name: []}},
    ]
