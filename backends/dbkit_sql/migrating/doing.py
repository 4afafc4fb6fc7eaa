"""What doing a schema operation is on both SQL stores: what is done already is refused, or left as it is."""

from __future__ import annotations

from typing import Generic, TypeVar

from dbkit.spec import EntitySpec

from ..schema import Tables
from . import data, refusals
from .postgres_tables import PostgresTables
from .sqlite_tables import SqliteTables

__all__ = ["Doing"]

T = TypeVar("T", PostgresTables, SqliteTables)


class Doing(Generic[T]):
    """Schema operations inside an open transaction; with *again*, what is done already is left as it is."""

    def __init__(self, tables: T, *, again: bool) -> None:
        self._t: T = tables
        self._again = again

    def _tables(self, entity: EntitySpec) -> Tables:
        return data.tables_of(self._t.dialect, entity)

    def _done(self, what: str) -> int:
        """Return 0 where it may be done already, else refuse."""
        if not self._again:
            raise refusals.there_already(what)
        return 0

    def _gone(self, what: str) -> int:
        """Return 0 where it may be gone already, else refuse."""
        if not self._again:
            raise refusals.absent(what)
        return 0

    @property
    def _reads(self) -> bool:
        """Whether rows are looked at: not where statements are only to be shown."""
        return self._t.log is None
