"""One verb's whole question, as a backend gets it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, TypeVar

from ..spec import EntitySpec, GroupSpec, ReadSpec, UniqueKey
from .changes import Change
from .filters import And, Filter, Not, Or
from .orders import Order
from .paths import Path, Shape, Take, slots

Q = TypeVar("Q", bound="Query")


class Query:
    """One verb's question, with its shape and its binds."""

    __slots__ = ("binds", "entity", "shape")

    entity: EntitySpec
    shape: Shape
    binds: tuple[Any, ...]

    def slotted(self: Q) -> Q:
        """Return this query with every value replaced by its slot: what a backend compiles."""
        raise AssertionError(type(self))


def _where(where: Filter | None) -> tuple[Any, tuple[Any, ...]]:
    return (0, ()) if where is None else (where.shape, where.binds)


def _slot_where(where: Filter | None, take: Take) -> Filter | None:
    return None if where is None else where.slotted(take)


class Get(Query):
    """The row with an id. Only explained: `get` itself is handed the view and the id."""

    __slots__ = ("id", "read")

    def __init__(self, read: ReadSpec, id: Any) -> None:
        self.entity, self.read, self.id = read.entity, read, id
        self.shape, self.binds = ("get", read.token), (id,)


class Find(Query):
    """Rows in a total order.

    Attributes:
        read: what is returned.
        where: the filter, or None for all rows; includes nothing of the cursor.
        order: total, the id is in it.
        limit: the most rows, or None.
        offset: rows to skip, or None.
        after: the sort keys' values of the row after which to start, in the order's order, or None. A null key is part
            of the shape; in a slotted query each value is a Slot or None.
        page: the backend's `page` is asked: read one row more than *limit*, and return the sort keys of the last.
        total: with *page*: also count all rows that the filter takes, in the same snapshot.
    """

    __slots__ = ("after", "limit", "offset", "order", "page", "read", "total", "where")

    def __init__(
        self,
        read: ReadSpec,
        where: Filter | None,
        order: tuple[Order, ...],
        limit: int | None = None,
        offset: int | None = None,
        after: tuple[Any, ...] | None = None,
        *,
        page: bool = False,
        total: bool = False,
    ) -> None:
        self.entity = read.entity
        self.read, self.where, self.order = read, where, order
        self.limit: Any = limit
        self.offset: Any = offset
        self.after, self.page, self.total = after, page, total
        shape: Any
        # Every read comes through here: what loops and calls would cost is spared.
        shape, binds = (0, ()) if where is None else (where.shape, where.binds)
        nulls: Any = 0
        if after is not None:
            nulls = "".join(["n" if v is None else "v" for v in after])
            binds += tuple([v for v in after if v is not None])
        self.shape = (
            "find",
            read.token,
            shape,
            order[0].shape if len(order) == 1 else tuple([o.shape for o in order]),
            nulls,
            limit is not None,
            offset is not None,
            page,
            total,
        )
        if limit is not None:
            binds += (limit,)
        if offset is not None:
            binds += (offset,)
        self.binds = binds

    def slotted(self) -> Find:
        take = slots()
        made = Find.__new__(Find)
        made.entity, made.read, made.order, made.shape, made.binds = (
            self.entity,
            self.read,
            self.order,
            self.shape,
            (),
        )
        made.where = _slot_where(self.where, take)
        made.after = None if self.after is None else tuple(None if v is None else take(v) for v in self.after)
        made.limit = None if self.limit is None else take(self.limit)
        made.offset = None if self.offset is None else take(self.offset)
        made.page, made.total = self.page, self.total
        return made


class _Filtered(Query):
    __slots__ = ("where",)
    name: ClassVar[str]

    def __init__(self, entity: EntitySpec, where: Filter | None) -> None:
        self.entity, self.where = entity, where
        shape, self.binds = _where(where)
        self.shape = (self.name, entity.token, shape)

    def slotted(self: Q) -> Q:
        assert isinstance(self, _Filtered)
        made = type(self)(self.entity, _slot_where(self.where, slots()))
        made.binds = ()
        return made


class Count(_Filtered):
    """How many rows the filter takes."""

    __slots__ = ()
    name = "count"


class Exists(_Filtered):
    """Whether the filter takes any row."""

    __slots__ = ()
    name = "exists"


class DeleteMany(_Filtered):
    """Delete the rows that the filter takes, all or nothing; children by their `on_delete`."""

    __slots__ = ()
    name = "delete_many"


class DeleteOne(Query):
    """Delete the row *id*, if *where* holds."""

    __slots__ = ("id", "where")

    def __init__(self, entity: EntitySpec, id: Any, where: Filter | None) -> None:
        self.entity, self.id, self.where = entity, id, where
        shape, binds = _where(where)
        self.shape, self.binds = ("delete", entity.token, shape), (id, *binds)

    def slotted(self) -> DeleteOne:
        take = slots()
        made = DeleteOne(self.entity, take(self.id), _slot_where(self.where, take))
        made.binds = ()
        return made


class GroupBy(Query):
    """Figures of groups of rows; *having* and *order* are about the results' fields. The order is total."""

    __slots__ = ("group", "having", "limit", "order", "where")

    def __init__(
        self,
        group: GroupSpec,
        where: Filter | None,
        having: Filter | None,
        order: tuple[Order, ...],
        limit: int | None,
    ) -> None:
        self.entity, self.group, self.where, self.having, self.order = (
            group.entity,
            group,
            where,
            having,
            order,
        )
        self.limit: Any = limit
        shape, binds = _where(where)
        having_shape, having_binds = _where(having)
        keys = tuple([o.shape for o in order])
        self.shape = ("group", group.token, shape, having_shape, keys, limit is not None)
        self.binds = binds + having_binds + (() if limit is None else (limit,))

    def decisive_order(self) -> tuple[Order, ...]:
        """Return the order without what changes nothing: a parent's field after the reference itself, and all after the last key."""
        own = {
            k.field.token: k.path.field.token
            for k in self.group.keys
            if k.path.is_own_field and k.period is None
        }
        roots = {k.field.token: k.path.references[0].token for k in self.group.keys if k.path.references}
        missing = {k.field.token for k in self.group.keys if roots.get(k.field.token) not in own.values()}
        known: set[int] = set()
        kept: list[Order] = []
        for key in self.order:
            token = key.path.field.token
            if roots.get(token) in known:
                continue
            kept.append(key)
            missing.discard(token)
            if not missing:
                break
            if token in own:
                known.add(own[token])
        return tuple(kept)

    def having_fields(self) -> set[int]:
        """Return the tokens of the result's fields that *having* asks for."""
        return _fields_of(self.having)

    def slotted(self) -> GroupBy:
        take = slots()
        made = GroupBy.__new__(GroupBy)
        made.entity, made.group, made.order, made.shape, made.binds = (
            self.entity,
            self.group,
            self.order,
            self.shape,
            (),
        )
        made.where, made.having = _slot_where(self.where, take), _slot_where(self.having, take)
        made.limit = None if self.limit is None else take(self.limit)
        return made


class Insert(Query):
    """Create one row: *row* has one canonical value for each of `entity.columns`."""

    __slots__ = ("row",)

    def __init__(self, entity: EntitySpec, row: tuple[Any, ...]) -> None:
        self.entity, self.row = entity, row
        self.shape, self.binds = ("insert", entity.token), row

    def slotted(self) -> Insert:
        take = slots()
        made = Insert(self.entity, tuple(take(None) for _ in self.entity.columns))
        made.binds = ()
        return made


def _changes(changes: Iterable[Change]) -> tuple[Shape, tuple[Any, ...]]:
    shape: list[Any] = []
    binds: tuple[Any, ...] = ()
    for change in changes:
        shape.append(change.shape)
        binds += change.binds
    return tuple(shape), binds


class UpdateOne(Query):
    """Change the row *id*, if *where* holds, and return it."""

    __slots__ = ("changes", "id", "where")

    def __init__(
        self, entity: EntitySpec, id: Any, where: Filter | None, changes: tuple[Change, ...]
    ) -> None:
        self.entity, self.id, self.where, self.changes = entity, id, where, changes
        shape, binds = _where(where)
        changed, values = _changes(changes)
        self.shape, self.binds = ("update", entity.token, shape, changed), (id, *binds, *values)

    def slotted(self) -> UpdateOne:
        take = slots()
        id = take(self.id)
        where = _slot_where(self.where, take)
        made = UpdateOne(self.entity, id, where, tuple(c.slotted(take) for c in self.changes))
        made.binds = ()
        return made


class UpdateMany(Query):
    """Change the rows that the filter takes, all or nothing."""

    __slots__ = ("changes", "where")

    def __init__(self, entity: EntitySpec, where: Filter | None, changes: tuple[Change, ...]) -> None:
        self.entity, self.where, self.changes = entity, where, changes
        shape, binds = _where(where)
        changed, values = _changes(changes)
        self.shape, self.binds = ("update_many", entity.token, shape, changed), (*binds, *values)

    def slotted(self) -> UpdateMany:
        take = slots()
        where = _slot_where(self.where, take)
        made = UpdateMany(self.entity, where, tuple(c.slotted(take) for c in self.changes))
        made.binds = ()
        return made


class Upsert(Query):
    """Create the row, or where the unique key *on* matches, replace all but its `id` and `created_at`.

    On a match `version` becomes the stored one + 1. Returns what is stored.
    """

    __slots__ = ("on", "row")

    def __init__(self, entity: EntitySpec, row: tuple[Any, ...], on: UniqueKey) -> None:
        self.entity, self.row, self.on = entity, row, on
        self.shape, self.binds = ("upsert", entity.token, *(f.token for f in on.fields)), row

    def slotted(self) -> Upsert:
        take = slots()
        made = Upsert(self.entity, tuple(take(None) for _ in self.entity.columns), self.on)
        made.binds = ()
        return made


class Claim(Query):
    """Change and return up to *limit* rows that no other worker is changing, in order, without waiting."""

    __slots__ = ("changes", "limit", "order", "where")

    def __init__(
        self,
        entity: EntitySpec,
        where: Filter | None,
        changes: tuple[Change, ...],
        order: tuple[Order, ...],
        limit: int,
    ) -> None:
        self.entity, self.where, self.changes, self.order = entity, where, changes, order
        self.limit: Any = limit
        shape, binds = _where(where)
        changed, values = _changes(changes)
        self.shape = ("claim", entity.token, shape, changed, *(o.shape for o in order))
        self.binds = (*binds, *values, limit)

    def slotted(self) -> Claim:
        take = slots()
        where = _slot_where(self.where, take)
        changes = tuple(c.slotted(take) for c in self.changes)
        made = Claim(self.entity, where, changes, self.order, take(self.limit))  # type: ignore[arg-type]
        made.binds = ()
        return made


Reading = Get | Find | Count | Exists | GroupBy
"""What can be explained."""


def _fields_of(filter: Filter | None) -> set[int]:
    """Return the fields that the filter asks for, by token."""
    if isinstance(filter, And | Or):
        return set[int]().union(*map(_fields_of, filter.parts))
    if isinstance(filter, Not):
        return _fields_of(filter.part)
    path: Path | None = getattr(filter, "path", None)
    return set() if path is None else {path.field.token}
