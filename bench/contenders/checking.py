"""The one difference between raw and floor: floor validates each row by pydantic, in one call for all rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from dbkit.blog import Post, User, UserPostCount, UserWithPosts
from dbkit.values import casefold_key

from ..data import EPOCH
from ..models import COUNTS, POSTS, USERS, VIEWS, PlainUser

__all__ = ["Check", "decoded", "now", "values_of"]

Rows = list[dict[str, Any]]


_PLAIN: tuple[TypeAdapter[Any], ...] = (USERS, POSTS, VIEWS, COUNTS)
_OWN: tuple[TypeAdapter[Any], ...] = (
    TypeAdapter(list[User]),
    TypeAdapter(list[Post]),
    TypeAdapter(list[UserWithPosts]),
    TypeAdapter(list[UserPostCount]),
)


def decoded(rows: Rows) -> Rows:
    """Make datetimes of the milliseconds, in children as well."""
    for row in rows:
        if "created_at" in row:
            row["created_at"] = EPOCH + timedelta(milliseconds=row["created_at"])
            row["updated_at"] = EPOCH + timedelta(milliseconds=row["updated_at"])
        decoded(row.get("posts", []))
    return rows


def _same(rows: Rows) -> Rows:
    return rows


def now() -> datetime:
    """Return the time, in whole milliseconds."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


class Check:
    """What is done with rows: nothing (raw), or one validation by pydantic (floor).

    Args:
        own: validate by dbkit's entities rather than by plain models.
        in_ms: rows have datetimes as milliseconds, which the plain models read as they are.
    """

    def __init__(self, *, checked: bool, own: bool = False, in_ms: bool = False) -> None:
        self._adapters = _OWN if own else _PLAIN
        self._is_decoded = own and in_ms
        each = [self._checking(adapter) if checked else _same for adapter in self._adapters]
        self.users, self.posts, self.views, self.counts = each
        self._checked = checked

    def _checking(self, adapter: TypeAdapter[Any]) -> Callable[[Rows], list[Any]]:
        validate: Callable[[Rows], list[Any]] = adapter.validate_python
        return (lambda rows: validate(decoded(rows))) if self._is_decoded else validate

    def written(self, users: Sequence[User]) -> Sequence[User | PlainUser]:
        """Return the users, checked once more."""
        if not self._checked:
            return users
        found: Sequence[User | PlainUser] = self._adapters[0].validate_python(
            [user.__dict__ for user in users]
        )
        return found


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
