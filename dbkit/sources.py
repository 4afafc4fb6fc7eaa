"""Where the fields of views and groups come from: related children, keys and figures."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, TypeVar, cast, overload

from .declare import Declared
from .errors import InvalidInput
from .fields import FieldRef, Mapped, OrderBy, Source
from .query import Filter, Path
from .values import Kind

__all__ = [
    "AggregateSource",
    "KeySource",
    "PeriodSource",
    "RelatedSource",
    "avg",
    "count",
    "count_distinct",
    "day",
    "key",
    "max_",
    "min_",
    "month",
    "related",
    "sum_",
    "year",
]

T = TypeVar("T")
Period = Literal["day", "month", "year"]
Function = Literal["count", "count_distinct", "sum", "avg", "min", "max"]
N = TypeVar("N", int, float, Decimal)
_SUMMED = frozenset({Kind.INT, Kind.FLOAT, Kind.DECIMAL})
_RANKED = _SUMMED | {Kind.TEXT, Kind.DATETIME, Kind.DATE, Kind.TIME, Kind.TIMEDELTA}


class RelatedSource(Declared):
    """The children of a view's row; resolved when the view is described."""

    __slots__ = ("limit", "order_by", "path", "target", "where")

    def __init__(
        self, target: Any, path: Path, where: tuple[Filter, ...], order_by: Any, limit: int | None
    ) -> None:
        self.target, self.path, self.where, self.order_by, self.limit = target, path, where, order_by, limit


class PeriodSource(Declared):
    """The UTC date at which the day, month or year of a datetime starts."""

    __slots__ = ("path", "period")

    period: Period

    def __init__(self, path: Path, period: Period) -> None:
        self.path, self.period = path, period


class KeySource(Declared):
    """What a group's rows have in common."""

    __slots__ = ("path", "period")

    period: Period | None

    def __init__(self, path: Path, period: Period | None) -> None:
        self.path, self.period = path, period


class AggregateSource(Declared):
    """A figure of a group."""

    __slots__ = ("function", "path")

    function: Function

    def __init__(self, function: Function, path: Path | None) -> None:
        self.function, self.path = function, path


def _typed(source: Declared) -> Mapped[Any]:
    """Return *source*, which the type checker takes for what the field's annotation says."""
    return cast("Mapped[Any]", source)


def _path(verb: str, source: Any) -> Path:
    if not isinstance(source, FieldRef):
        raise InvalidInput(
            f"{verb} takes a field of a class, not a {type(source).__name__}", hint=f"{verb}(Post.score)"
        )
    return source.path


def related(
    target: type[T],
    reference: FieldRef[Any],
    *where: Filter,
    order_by: OrderBy = None,
    limit: int | None = None,
) -> Mapped[list[T]]:
    """Declare a view's children.

    As in `posts: Mapped[list[Post]] = related(Post, Post.user_id, limit=3)`.

    Args:
        target: the child's entity, or a view of it.
        reference: the child's field that refers to the view's entity.
        where: which children.
        order_by: their order; by `id` without it.
        limit: children per row; without it up to 1,000 are read, and more are `TooLarge`.
    """
    return _typed(RelatedSource(target, _path("related", reference), where, order_by, limit))


@overload
def day(source: FieldRef[datetime], /) -> Source[date]: ...
@overload
def day(source: FieldRef[datetime | None], /) -> Source[date | None]: ...
def day(source: Any, /) -> Any:
    """Return the UTC date of a datetime, for `key`."""
    return PeriodSource(_datetime("day", source), "day")


@overload
def month(source: FieldRef[datetime], /) -> Source[date]: ...
@overload
def month(source: FieldRef[datetime | None], /) -> Source[date | None]: ...
def month(source: Any, /) -> Any:
    """Return the first day of a datetime's month in UTC, for `key`."""
    return PeriodSource(_datetime("month", source), "month")


@overload
def year(source: FieldRef[datetime], /) -> Source[date]: ...
@overload
def year(source: FieldRef[datetime | None], /) -> Source[date | None]: ...
def year(source: Any, /) -> Any:
    """Return the first of January of a datetime's year in UTC, for `key`."""
    return PeriodSource(_datetime("year", source), "year")


def key(source: Source[T], /) -> Mapped[T]:
    """Declare what the rows of one group have in common: a field, or a period of a datetime."""
    if isinstance(source, PeriodSource):
        return _typed(KeySource(source.path, source.period))
    path = _path("key", source)
    if not path.type.kind.is_scalar:
        raise InvalidInput(
            f"key({path}): rows are grouped by single values, not by a {path.type.kind.value}",
            entity=path.root.name,
        )
    return _typed(KeySource(path, None))


def count() -> Mapped[int]:
    """Declare the number of rows in the group."""
    return _typed(AggregateSource("count", None))


def count_distinct(source: FieldRef[Any], /) -> Mapped[int]:
    """Declare the number of different values in the group; None is not counted."""
    path = _path("count_distinct", source)
    if not path.type.kind.is_scalar:
        raise InvalidInput(
            f"count_distinct({path}): only single values can be counted", entity=path.root.name
        )
    return _typed(AggregateSource("count_distinct", path))


@overload
def sum_(source: FieldRef[N | None], /) -> Mapped[N]: ...
@overload
def sum_(source: FieldRef[N], /) -> Mapped[N]: ...
def sum_(source: Any, /) -> Any:
    """Declare the sum; of int and Decimal it is exact at any size; of nothing it is 0."""
    return AggregateSource("sum", _of("sum_", source, _SUMMED))


@overload
def avg(source: FieldRef[float] | FieldRef[float | None], /) -> Mapped[float | None]: ...
@overload
def avg(source: Source[int | Decimal | None], /) -> Mapped[Decimal | None]: ...
def avg(source: Any, /) -> Any:
    """Declare the average: of int and Decimal a Decimal with 6 more places, half-even; of nothing None."""
    return AggregateSource("avg", _of("avg", source, _SUMMED))


def min_(source: Source[T | None], /) -> Mapped[T | None]:
    """Declare the least value; of nothing None."""
    return _typed(AggregateSource("min", _of("min_", source, _RANKED)))


def max_(source: Source[T | None], /) -> Mapped[T | None]:
    """Declare the greatest value; of nothing None."""
    return _typed(AggregateSource("max", _of("max_", source, _RANKED)))


def _of(verb: str, source: Any, kinds: frozenset[Kind]) -> Path:
    path = _path(verb, source)
    type = path.type
    if type.kind not in kinds or (kinds is _SUMMED and type.choices is not None):
        raise InvalidInput(
            f"{verb}({path}) is not for a field of type {type.kind.value}",
            entity=path.root.name,
            hint=f"only {', '.join(sorted(k.value for k in kinds))}",
        )
    return path


def _datetime(verb: str, source: Any) -> Path:
    path = _path(verb, source)
    if path.type.kind is not Kind.DATETIME:
        raise InvalidInput(f"{verb}({path}) is for datetimes", entity=path.root.name)
    return path
