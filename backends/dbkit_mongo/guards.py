"""References on a store without shared locks (SEMANTICS §6). Pure.

Who makes a child refer to a parent reads the parent and raises the counter of one of the parent's guard documents; who
deletes the parent raises all of them. So of two such transactions at once, one ends in a write conflict: neither can
commit on a state that the other has changed, and there is no orphan in any history. Without the common write it would
be write skew, which snapshot isolation permits; a `$set` of an equal value takes no lock (SERVER-77616).

A guard comes into being with the first reference and ends after its parent: deleting stamps it, and a TTL index
removes it an hour later, long after every transaction that could meet it (60 s is the server's own limit). A parent made
again under the same id takes the stamp off with its first child.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from bson.int64 import Int64

from dbkit.spec import EntitySpec

__all__ = ["COLLECTION", "STAMP", "TTL_S", "guard_ids", "held", "one_of", "stamped"]

COLLECTION = "_dbkit_guards"
STAMP = "ended"
TTL_S = 3_600


def _id(parent: EntitySpec, id: Any, stripe: int) -> dict[str, Any]:
    # A document is compared with the order of its keys: this is the only place that makes one.
    return {"of": parent.stored, "id": id, "stripe": Int64(stripe)}


def guard_ids(parent: EntitySpec, ids: Iterable[Any]) -> list[dict[str, Any]]:
    """Return the ids of all guard documents of these parents (their ids as stored)."""
    return [_id(parent, id, stripe) for id in ids for stripe in range(parent.stripes)]


def one_of(parent: EntitySpec, id: Any) -> dict[str, Any]:
    """Return the id of any one guard document of the parent: `hot=8` lets eight children come in at once."""
    return _id(parent, id, random.randrange(parent.stripes) if parent.stripes > 1 else 0)  # noqa: S311  # no secret


def held() -> dict[str, Any]:
    """Return the update that says: a child refers to the parent."""
    return {"$inc": {"n": Int64(1)}, "$unset": {STAMP: ""}}


def stamped(now: datetime) -> dict[str, Any]:
    """Return the update that says: the parent is deleted."""
    return {"$inc": {"n": Int64(1)}, "$set": {STAMP: now}}
