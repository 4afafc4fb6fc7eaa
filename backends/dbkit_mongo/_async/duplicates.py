"""Duplicates that the server's answer does not settle: which key it was, and whether there is another one at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError

from dbkit.answers import duplicate
from dbkit.errors import Conflict, DbkitError, DuplicateKey
from dbkit.spec import EntitySpec

from ..changes import COMPUTED
from ..errors import Doing, declared_names, duplicate_fields
from ..rows import key_of

if TYPE_CHECKING:
    from .operations import AsyncMongoOperations

__all__ = ["committed", "settled"]

Document = dict[str, Any]


async def settled(
    on: AsyncMongoOperations,
    error: DuplicateKey,
    entity: EntitySpec,
    assigned: Document,
    own: Document | None,
) -> DbkitError:
    """Return what a server's "duplicate key" comes to: itself, wherever a MongoDB server answers.

    Args:
        assigned: the keys that the write sets, and their values.
        own: the filter that finds the document of an update; None of an insertion, or of many.
    """
    if error.field is None and not on.in_transaction:
        return await _named(on, error, entity, assigned, own)
    cause = error.__cause__
    if on.link.quirks.clashes_with_itself and isinstance(cause, PyMongoError):
        keys = [key for key in duplicate_fields(cause) if key in assigned]
        if not keys or (
            own is not None and await _has(on, entity, own, {key: assigned[key] for key in keys})
        ):
            return Conflict("a concurrent change came first", entity=entity.name)
    return error


async def _has(on: AsyncMongoOperations, entity: EntitySpec, own: Document, values: Document) -> bool:
    """Whether the document has these values, by what is committed: so another one cannot have them."""
    there = await committed(on, entity, own)
    return there is not None and all(there.get(key) == value for key, value in values.items())


async def _named(
    on: AsyncMongoOperations,
    error: DuplicateKey,
    entity: EntitySpec,
    assigned: Document,
    own: Document | None,
) -> DuplicateKey:
    """Find out which unique key of a document another one has, where the driver does not say (mongomock)."""
    document = {key: value for key, value in assigned.items() if value is not COMPUTED}
    there: Document | None = None
    if own is not None:
        there = await committed(on, entity, own)
        document = {**(there or {}), **document}
    for keys in (("_id",), *(tuple(key_of(f) for f in unique.fields) for unique in entity.uniques)):
        filter = {key: document.get(key) for key in keys}
        if None in filter.values():
            continue
        taken = await committed(on, entity, filter)
        if taken is not None and (there is None or taken["_id"] != there["_id"]):
            return duplicate(entity.name, declared_names(entity, keys))
    return error


async def committed(on: AsyncMongoOperations, entity: EntitySpec, filter: Document) -> Document | None:
    """Return a document as it is committed: outside the transaction, which the server has dropped with the error."""
    found: Document | None = await on.link.call(
        Doing(f'{{"find": "{entity.stored}", "limit": 1}}', entity),
        on.link.collection(entity.stored).find_one,
        filter,
    )
    return found
