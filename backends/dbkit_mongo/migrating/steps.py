"""What an operation consists of: commands, rewritings in batches, checks, notes. Values; pure.

MongoDB changes no schema in a transaction, so a migrator may be killed between any two steps, and then the operation is
planned again from what is there. Every step can be run again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bson import json_util
from bson.json_util import JSONOptions

from dbkit.errors import DbkitError

__all__ = ["Check", "Command", "Note", "Rewrite", "Step", "Transform", "as_json", "from_json"]

Document = dict[str, Any]

_RELAXED = JSONOptions(json_mode=json_util.JSONMode.RELAXED)
_CANONICAL = JSONOptions(json_mode=json_util.JSONMode.CANONICAL)


def as_json(document: Mapping[str, Any], *, exact: bool = False) -> str:
    """Return a document as Extended JSON: relaxed, as people read it, or *exact*, as it comes back the same."""
    return json_util.dumps(document, json_options=_CANONICAL if exact else _RELAXED, ensure_ascii=False)


def from_json(text: str) -> Document:
    """Return the document that `as_json` showed."""
    read: Document = json_util.loads(text, json_options=JSONOptions(tz_aware=True))
    return read


@dataclass(frozen=True, slots=True, eq=False)
class Command:
    """One command about the schema."""

    command: Document
    is_admin: bool = False
    """Sent to the database `admin`."""
    is_slow: bool = False
    """Builds an index."""
    settled_by: frozenset[int] = frozenset()
    """The server's error codes that say that it is done already."""


@dataclass(frozen=True, slots=True, eq=False)
class Rewrite:
    """One update of all documents that *filter* takes, in batches. What it has changed the filter takes no more."""

    collection: str
    filter: Document
    update: Document | list[Document]


@dataclass(frozen=True, slots=True, eq=False)
class Transform:
    """Updates that the client computes, in batches."""

    collection: str
    filter: Document
    change: Callable[[list[Document]], list[tuple[Document, Document]]]
    """From documents to the filter and the update of each that changes; the filter takes only what was read."""
    shown: Document
    """The update as a person reads it."""
    fields: tuple[str, ...] = ()
    """The keys that are read, beside the id; empty: the whole document."""


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """A question whose answer may refuse the operation."""

    collection: str
    pipeline: list[Document]
    """Gives one document where the operation cannot be done, with a count as `n`; none where it can."""
    refuse: Callable[[Document], DbkitError]
    undo: tuple[Step, ...] = ()
    """What takes back the steps before, where the question could only be asked after them."""


@dataclass(frozen=True, slots=True, eq=False)
class Note:
    """What a later run must know and can no longer find: kept beside the state until the migration is through."""

    name: str
    content: Document | None = field(default=None)
    """None removes it."""


Step = Command | Rewrite | Transform | Check | Note
