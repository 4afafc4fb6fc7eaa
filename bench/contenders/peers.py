"""What the SQL peers share: how values stand in each dialect, and what a relation's two reads make together.

On SQLite the columns hold 16 bytes and milliseconds. The peers read them as they are and let pydantic convert, which costs
them less than column types that convert in Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from dbkit.blog import User
from dbkit.values import casefold_key

from ..data import to_ms

__all__ = ["COLUMNS", "Dialect", "grouped"]

COLUMNS = ("id", "created_at", "updated_at", "username", "email", "bio", "email__casefold")


class Dialect:
    """How a store keeps ids and datetimes, and the URL that SQLAlchemy opens it by."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")

    def sqlalchemy_url(self, *, is_async: bool = False) -> str:
        if self.is_sqlite:
            return self.url.replace("sqlite:", "sqlite+aiosqlite:" if is_async else "sqlite+pysqlite:", 1)
        return self.url.replace("postgresql:", "postgresql+psycopg:", 1)

    def id(self, id: UUID) -> Any:
        return id.bytes if self.is_sqlite else id

    def moment(self, moment: datetime) -> Any:
        return to_ms(moment) if self.is_sqlite else moment

    def values(self, user: User) -> dict[str, Any]:
        """Return a user's columns."""
        return {
            "id": self.id(user.id),
            "created_at": self.moment(user.created_at),
            "updated_at": self.moment(user.updated_at),
            "username": user.username,
            "email": user.email,
            "bio": user.bio,
            "email__casefold": casefold_key(user.email),
        }


def grouped(
    parents: Sequence[dict[str, Any]], children: Iterable[dict[str, Any]]
) -> Sequence[dict[str, Any]]:
    """Put each child into its parent."""
    by_id: dict[Any, list[dict[str, Any]]] = {}
    for parent in parents:
        parent["posts"] = by_id[parent["id"]] = []
    for child in children:
        by_id[child["user_id"]].append(child)
    return parents
