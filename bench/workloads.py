"""The workloads: what is called, with which arguments, and what one call returns."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from typing import Any, cast
from uuid import UUID

from dbkit.blog import User

from .data import BULK, NEW, Case, plain

__all__ = ["BARS", "WORKLOADS", "Arguments", "Workload"]

_MADE = datetime(2026, 1, 1, tzinfo=UTC)
_KEPT = 16
"""How many users `update` and `upsert` go round."""


class Arguments:
    """Makes the arguments of calls; *tag* keeps the rows of one contender apart from those of another."""

    def __init__(self, case: Case, tag: str) -> None:
        self._tag = tag
        self._numbers = itertools.count()
        self.ids = [UUID(hex=id) for id in case.ids]
        self.emails = case.emails
        self.authors = [UUID(hex=id) for id in case.authors]
        self.kept = [self._user(f"kept-{number}") for number in range(_KEPT)]
        self.position: Any = None
        """What `deep_page` starts after; set by the worker."""

    def _user(self, name: str) -> User:
        name = f"{NEW}{self._tag}-{name}"
        # The digest comes first: where rows are created in the order of their ids, an index is only ever appended to.
        id = UUID(bytes=b"\x01\x9f" + blake2b(name.encode(), digest_size=14).digest())
        return User(id=id, created_at=_MADE, username=name, email=f"{name}@Example.org", bio="new here")

    def new(self, number: int) -> list[User]:
        """Return users that were never stored."""
        return [self._user(str(next(self._numbers))) for _ in range(number)]

    def cycle(self, values: Sequence[Any], number: int) -> list[tuple[Any, ...]]:
        """Return *number* calls of one argument each, round and round."""
        return [(values[n % len(values)],) for n in range(number)]


Calls = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Workload:
    """One workload."""

    name: str
    title: str
    calls: Callable[[Arguments, int], Calls]
    writes: bool = False
    needs_kept: bool = False
    """Rows that it changes must be there before."""
    one_call: bool = False
    """A batch is one call: it takes long enough."""


def _none(_: Arguments, number: int) -> Calls:
    return [()] * number


def _update(arguments: Arguments, number: int) -> Calls:
    return [(arguments.kept[n % _KEPT].id, f"bio {n}") for n in range(number)]


def _upsert(arguments: Arguments, number: int) -> Calls:
    return [(arguments.kept[n % _KEPT].evolve(bio=f"bio {n}"),) for n in range(number)]


WORKLOADS: tuple[Workload, ...] = (
    Workload("get", "get by id", lambda a, n: a.cycle(a.ids, n)),
    Workload("by_email", "find by e-mail", lambda a, n: a.cycle(a.emails, n)),
    Workload("page", "page of 50", _none),
    Workload("deep_page", "20th page by cursor", lambda a, n: [(a.position,)] * n),
    Workload("posts", "100 posts of a user", lambda a, n: a.cycle(a.authors, n)),
    Workload("view", "20 users, 3 posts each", _none),
    Workload("create", "create", lambda a, n: [(user,) for user in a.new(n)], writes=True),
    Workload("update", "update by id", _update, writes=True, needs_kept=True),
    Workload("upsert", "upsert, a row is there", _upsert, writes=True, needs_kept=True),
    Workload("stats", "statistics", _none),
    Workload(
        "bulk",
        "10,000 rows at once",
        lambda a, n: [(a.new(BULK),) for _ in range(n)],
        writes=True,
        one_call=True,
    ),
    Workload("iterate", "iterate over all posts", _none, one_call=True),
)
BY_NAME = {workload.name: workload for workload in WORKLOADS}

_READ, _ROWS = ("get", "by_email"), ("page", "posts")
BARS: dict[tuple[str, bool], dict[str, float]] = {
    ("postgresql", False): {
        **dict.fromkeys(_READ, 1.25),
        **dict.fromkeys(_ROWS, 1.05),
        "create": 1.2,
        "stats": 1.05,
        "bulk": 0.15,
    },
    ("sqlite", False): {
        **dict.fromkeys(_READ, 1.5),
        **dict.fromkeys(_ROWS, 1.10),
        "create": 1.4,
        "stats": 1.05,
        "bulk": 1.05,
    },
    ("mongodb", False): {
        **dict.fromkeys(_READ, 1.10),
        **dict.fromkeys(_ROWS, 1.0),
        "create": 1.1,
        "stats": 1.0,
        "bulk": 1.1,
    },
    ("mongodb", True): {
        **dict.fromkeys(_READ, 1.05),
        **dict.fromkeys(_ROWS, 1.0),
        "create": 1.05,
        "stats": 1.0,
        "bulk": 1.1,
    },
}
"""Client CPU of dbkit divided by the floor's, at most; by store and whether asynchronous."""


def shown(workload: str, result: Any) -> Any:
    """Return what a workload returned as `Case.expected` has it."""
    if workload in {"get", "by_email"}:
        return plain(result)
    if workload in {"page", "deep_page", "posts", "view"}:
        return [plain(item) for item in result]
    if workload == "stats":
        users, posts, most = result
        return [users, posts, [_count(item) for item in most]]
    if workload == "iterate":
        return [result[0], plain(result[1])[0]]
    return result


def _count(item: Any) -> list[Any]:
    if isinstance(item, dict):
        read: Callable[[str], Any] = cast("dict[str, Any]", item).__getitem__
    else:
        read = partial(getattr, item)
    id = read("user_id")
    return [id.hex if isinstance(id, UUID) else bytes(id).hex(), read("username"), read("post_count")]
