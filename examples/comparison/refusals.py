"""What a store cannot keep is refused with a hint, before anything is sent; nothing is done by halves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial

from dbkit import Database, DbkitError, connect

from .data import ENTITIES, Sale
from .stores import Column

__all__ = ["Refusal", "refusals"]


@dataclass(frozen=True)
class Refusal:
    """Something that was tried, and the error that it met."""

    tried: str
    by: str
    """The stores that refused it in the same words."""
    error: str
    """The error's class; "" where it was not refused."""
    message: str
    hint: str


def refusals(columns: Sequence[Column], many: int) -> list[Refusal]:
    """Try what must be refused: on each store, and on mongomock, which can keep less."""
    tried: list[Refusal] = []
    for what, attempt in _EVERYWHERE.items():
        each = [
            _try(what.format(many=many), column.name, partial(_open, column), attempt) for column in columns
        ]
        tried += _together(each)
    for column in columns:
        if not column.db.features.serializable:
            what = "the same with allow={'serializable'}"
            tried.append(_try(what, column.name, partial(_allowed, column), _begin_serializable))
    mock = "mongomock://localhost/demo"
    tried.append(
        _try(
            "connect, with references to check",
            "mongomock",
            lambda: connect(mock, entities=ENTITIES),
            _nothing,
        )
    )
    tried.append(_try("db.transaction()", "mongomock", lambda: connect(mock, entities=[Sale]), _begin))
    return tried


def _begin(db: Database) -> None:
    with db.transaction():
        pass


def _begin_serializable(db: Database) -> None:
    with db.transaction(isolation="serializable"):
        pass


def _foreign_cursor(db: Database) -> None:
    cursor = db.store(Sale).page(order_by=Sale.shipped, limit=1).next_cursor
    db.store(Sale).page(order_by=Sale.rating, after=cursor)


def _read_all(db: Database) -> None:
    db.store(Sale).find()


def _naive(db: Database) -> None:
    db.store(Sale).count(Sale.shipped < datetime(2024, 6, 1))  # noqa: DTZ001  # that is what is refused


def _too_precise(db: Database) -> None:
    db.store(Sale).count(Sale.amount > Decimal("0.001"))


def _nothing(_db: Database) -> None:
    pass


def _open(column: Column) -> AbstractContextManager[Database]:
    return nullcontext(column.db)


def _allowed(column: Column) -> Database:
    return connect(column.url, entities=ENTITIES, allow={"serializable"})


_EVERYWHERE: dict[str, Callable[[Database], None]] = {
    "find() of {many:,} rows without a limit": _read_all,
    "Sale.shipped < datetime(2024, 6, 1)": _naive,
    "Sale.amount > Decimal('0.001')": _too_precise,
    "page(after=) by another query's cursor": _foreign_cursor,
    "transaction(isolation='serializable')": _begin_serializable,
}


def _try(
    what: str,
    name: str,
    opened: Callable[[], AbstractContextManager[Database]],
    attempt: Callable[[Database], None],
) -> Refusal:
    try:
        with opened() as db:
            attempt(db)
    except DbkitError as error:
        return Refusal(what, name, type(error).__name__, error.message, error.hint or "")
    except Exception as error:  # noqa: BLE001  # an error that is not dbkit's own is no refusal
        return Refusal(what, name, "", f"{type(error).__name__}, which is not dbkit's: {error}", "")
    return Refusal(what, name, "", "it went through", "")


def _together(tried: list[Refusal]) -> list[Refusal]:
    """Put those into one that differ in nothing but the store."""
    words = {(r.error, r.message, r.hint) for r in tried}
    if len(tried) < 2 or len(words) > 1:
        return tried
    first = tried[0]
    return [Refusal(first.tried, "every store", first.error, first.message, first.hint)]
