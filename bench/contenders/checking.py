"""The one difference between raw and floor: floor validates each row by pydantic, in one call for all rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from dbkit.blog import User
from dbkit.values import casefold_key

from ..models import COUNTS, POSTS, USERS, VIEWS, PlainUser

__all__ = ["Check", "now", "values_of"]

Rows = list[dict[str, Any]]


def _same(rows: Rows) -> Rows:
    return rows


def now() -> datetime:
    """Return the time, in whole milliseconds."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


class Check:
    """What is done with rows: nothing (raw), or one validation by pydantic (floor)."""

    def __init__(self, *, checked: bool) -> None:
        self.users: Callable[[Rows], list[Any]] = USERS.validate_python if checked else _same
        self.posts: Callable[[Rows], list[Any]] = POSTS.validate_python if checked else _same
        self.views: Callable[[Rows], list[Any]] = VIEWS.validate_python if checked else _same
        self.counts: Callable[[Rows], list[Any]] = COUNTS.validate_python if checked else _same
        self._checked = checked

    def written(self, users: Sequence[User]) -> Sequence[User | PlainUser]:
        """Return the users, checked once more."""
        return USERS.validate_python([user.__dict__ for user in users]) if self._checked else users


def values_of(user: User | PlainUser) -> tuple[Any, ...]:
    """Return the row of a user."""
    return (
        user.id,
        user.created_at,
        user.updated_at,
        user.username,
        user.email,
        user.bio,
        casefold_key(user.email),
    )
