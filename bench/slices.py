"""The posts in the order of their ids, in slices: what the proxy answers itself where reading on from an id is asked.

The stand-in for MongoDB sorts the whole collection for each such question (3 s for each of 100,000 rows' 100 batches, times
the contenders). So the documents are read from it once, in order, as the bytes that it sent, and each slice of them becomes a
reply of the form that the server's manual describes.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any, cast

import bson
import pymongo
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

__all__ = ["Slice", "Slices", "asked_slice"]

_FIRST_BATCH = 101
"""https://www.mongodb.com/docs/manual/tutorial/iterate-a-cursor/#cursor-batches"""
_BY_ID = {"_id": 1}
_FIND = frozenset({"find", "filter", "sort", "limit", "batchSize", "maxTimeMS", "projection"})
_AGGREGATE = frozenset({"aggregate", "pipeline", "cursor", "maxTimeMS"})


class Slice:
    """What is asked: documents after an id, so many, and how many of them in the first batch."""

    def __init__(
        self, collection: str, after: bytes | None, limit: int, batch: int, fields: frozenset[str]
    ) -> None:
        self.collection, self.after, self.limit, self.batch = collection, after, limit, batch
        self.fields = fields
        """What is projected; none for all."""


def _plain(value: Any) -> dict[str, Any]:
    return dict(cast("Mapping[str, Any]", value))


def _after(condition: Mapping[str, Any]) -> bytes | None:
    """Return the id that the filter reads on from, or None for the start.

    Raises:
        LookupError: it is another filter.
    """
    if not condition:
        return None
    if set(condition) != {"_id"} or set(condition["_id"]) != {"$gt"}:
        raise LookupError
    return bytes(condition["_id"]["$gt"])


def asked_slice(fields: Mapping[str, Any]) -> Slice | None:
    """Return what a command asks for, or None where it asks something else than to read on in the order of ids."""
    try:
        if "find" in fields and _FIND.issuperset(fields):
            if _plain(fields["sort"]) != _BY_ID:
                return None
            after, limit = _after(_plain(fields.get("filter", {}))), int(fields["limit"])
            batch = int(fields.get("batchSize", _FIRST_BATCH))
            shown = frozenset(_plain(fields.get("projection", {})))
            return Slice(fields["find"], after, limit, batch, shown) if limit > _FIRST_BATCH else None
        if "aggregate" in fields and _AGGREGATE.issuperset(fields):
            match, sort, most = [_plain(stage) for stage in fields["pipeline"]]
            if _plain(sort["$sort"]) != _BY_ID:
                return None
            batch = int(_plain(fields["cursor"]).get("batchSize", _FIRST_BATCH))
            after = _after(_plain(match["$match"]))
            return Slice(fields["aggregate"], after, int(most["$limit"]), batch, frozenset())
    except (LookupError, TypeError, ValueError):
        return None
    return None


def _document(elements: bytes) -> bytes:
    return struct.pack("<i", len(elements) + 5) + elements + b"\0"


class _Kept:
    """One collection's documents."""

    def __init__(self, server: tuple[str, int], database: str, collection: str) -> None:
        codec = CodecOptions(document_class=RawBSONDocument)
        with pymongo.MongoClient[Any](*server, directConnection=True) as client:
            found = client[database].get_collection(collection, codec_options=codec)
            rows = [(bytes(row["_id"]), row.raw) for row in found.find(batch_size=10_000)]
            last: Any = client[database].command({"find": collection, "limit": 1})
        rows.sort()
        self.ids = [id for id, _ in rows]
        self.documents = [raw for _, raw in rows]
        self.fields = frozenset(RawBSONDocument(self.documents[0])) if rows else frozenset[str]()
        self.namespace = f"{database}.{collection}".encode()
        # What a replica set adds to each reply.
        self.tail = bson.encode({k: v for k, v in last.items() if k not in {"cursor", "ok"}})[4:-1]

    def reply(self, documents: list[bytes], cursor: int, *, is_first: bool) -> bytes:
        """Return the body of an OP_MSG: https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/."""
        batch = b"".join([b"\x03%d\0%b" % pair for pair in enumerate(documents)])
        found = b"\x04" + (b"firstBatch" if is_first else b"nextBatch") + b"\0" + _document(batch)
        found += b"\x12id\0" + struct.pack("<q", cursor)
        found += b"\x02ns\0" + struct.pack("<i", len(self.namespace) + 1) + self.namespace + b"\0"
        return b"\0\0\0\0\0" + _document(
            b"\x03cursor\0" + _document(found) + b"\x01ok\0" + struct.pack("<d", 1.0) + self.tail
        )


class Slices:
    """The collections that are read in slices, each read from the server when first asked for."""

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._open: dict[int, tuple[_Kept, list[bytes]]] = {}
        self._number = 1 << 60

    def first(self, database: str, asked: Slice) -> bytes | None:
        """Return the reply, or None where the fields shown are fewer than are stored."""
        kept = self._kept.get((database, asked.collection))
        if kept is None:
            kept = self._kept[database, asked.collection] = _Kept(self._server, database, asked.collection)
        if asked.fields and not asked.fields >= kept.fields:
            return None
        start = 0 if asked.after is None else bisect_right(kept.ids, asked.after)
        found = kept.documents[start : start + asked.limit]
        shown, rest = found[: asked.batch], found[asked.batch :]
        cursor = 0
        if rest:
            self._number += 1
            cursor = self._number
            self._open[cursor] = (kept, rest)
        return kept.reply(shown, cursor, is_first=True)

    def more(self, cursor: int) -> bytes | None:
        """Return the rest of a cursor that was opened here."""
        found = self._open.pop(cursor, None)
        return None if found is None else found[0].reply(found[1], 0, is_first=False)
