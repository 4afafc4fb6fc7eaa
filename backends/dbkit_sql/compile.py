"""Filters, as SQL: two-valued, so that negation is exact, and pushed to the leaves, so that an index serves it.

A leaf is false where its path is null (but `!=`, and `IsNull`); its complement is the opposite comparison, or null:
`NOT (x > 3)` would be null where x is. SQL's third value never leaves a leaf.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.sql.selectable import FromClause

from dbkit.query import (
    And,
    AnyRelated,
    Compare,
    Contains,
    Everything,
    Filter,
    Has,
    In,
    IsNull,
    Not,
    Nothing,
    Or,
    Order,
    Path,
    Slot,
    StartsWith,
    is_row_comparable,
)
from dbkit.spec import EntitySpec, FieldSpec
from dbkit.values import Kind

from .binds import Binds
from .dialects import Dialect, JsonClass, Place
from .dialects.base import Expr, literal
from .rows import container_of
from .schema import Tables

__all__ = ["Conditions", "Scope", "ordering", "trimmed"]

Leaf = IsNull | Compare | In | Contains | StartsWith | Has

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}
_OPPOSITE = {"eq": "ne", "ne": "eq", "lt": "ge", "ge": "lt", "gt": "le", "le": "gt"}
# In a dict such a value is a text or a number of JSON only by its encoding: it equals none that a filter can name.
_NOT_JSON = frozenset(
    {Kind.UUID, Kind.OBJECT_ID, Kind.DECIMAL, Kind.DATETIME, Kind.DATE, Kind.TIME, Kind.TIMEDELTA, Kind.BYTES}
)


class Conditions(ABC):
    """Compiles filters about one kind of rows."""

    def __init__(self, dialect: Dialect, binds: Binds) -> None:
        self.dialect = dialect
        self.binds = binds

    @abstractmethod
    def places(self, path: Path, json_class: JsonClass | None = None) -> Sequence[Place]:
        """Return where the path's value is: one place, or several that are compared one after the other."""

    def condition(self, where: Filter | None, *, negated: bool = False) -> Expr:
        """Return the condition; never null."""
        match where:
            case None | Everything():
                return sa.false() if negated else sa.true()
            case Nothing():
                return sa.true() if negated else sa.false()
            case Not():
                return self.condition(where.part, negated=not negated)
            case And() | Or():
                parts = [self.condition(part, negated=negated) for part in where.parts]
                return sa.or_(*parts) if isinstance(where, And) is negated else sa.and_(*parts)
            case AnyRelated():
                found = self.related(where)
                return sa.not_(found) if negated else found
            case IsNull() | Compare() | In() | Contains() | StartsWith() | Has():
                return self.leaf(where, where.path, negated=negated)
            case _:
                raise AssertionError(type(where))

    def related(self, where: AnyRelated) -> Expr:
        """Return the condition that there is such a child."""
        raise AssertionError(where)

    def leaf(self, where: Leaf, path: Path, *, negated: bool) -> Expr:
        """Return the condition of one comparison of *path*, or its exact complement."""
        match where:
            case IsNull():
                return self.is_null(path, negated=negated)
            case Compare():
                places = self.places(path, where.json_class)
                op = _OPPOSITE[where.op] if negated else where.op
                # `!=`, and the complement of every other comparison, hold where there is nothing.
                return _or_null(
                    self.compare(places, op, where.value), places, (where.op == "ne") is not negated
                )
            case In():
                (place,) = self.places(path, where.json_class)
                found = self.dialect.among(self.binds, place, where.values, negated=negated)
                return _or_null(found, [place], negated)
            case Contains():
                (place,) = self.places(path)
                found = self.dialect.contains(place.expr, self.binds.one(where.value))
                return _or_null(sa.not_(found) if negated else found, [place], negated)
            case StartsWith():
                (place,) = self.places(path)
                low, high = (self.binds.one(slot) for slot in cast("tuple[Slot, Slot]", where.value))
                if negated:
                    outside = place.expr < low
                    if not where.is_open:
                        outside = sa.or_(outside, place.expr >= high)
                    return _or_null(outside, [place], True)
                return place.expr >= low if where.is_open else sa.and_(place.expr >= low, place.expr < high)
            case Has():
                found = self.has(where, path)
                return sa.not_(found) if negated else found

    def compare(self, places: Sequence[Place], op: str, value: Slot) -> Expr:
        """Return the comparison with one value."""
        binds = [self.binds.one(value, place.encode) for place in places]
        found: Expr
        if len(places) == 1:
            found = _COMPARE[op](places[0].expr, binds[0])
        else:
            found = _COMPARE[op](sa.tuple_(*(p.expr for p in places)), sa.tuple_(*binds))
        return found

    def is_null(self, path: Path, *, negated: bool) -> Expr:
        """Return the condition that nothing is there."""
        exprs = [place.expr for place in self.places(path)]
        return exprs[0].is_not(None) if negated else exprs[0].is_(None)

    def has(self, where: Has, path: Path) -> Expr:
        """Return the condition that a list has an element; never null."""
        raise AssertionError(where, path)


def _or_null(found: Expr, places: Sequence[Place], holds_for_null: bool) -> Expr:
    if holds_for_null and any(place.nullable for place in places):
        return sa.or_(found, *(place.expr.is_(None) for place in places if place.nullable))
    return found


def _are_certain(entity: EntitySpec, references: Sequence[FieldSpec]) -> bool:
    """Return whether each reference leads to a row by a foreign key; in a table that dbkit did not make there may be none."""
    for field in references:
        reference = field.reference
        if reference is None or not reference.check or field.type.nullable or not entity.managed:
            return False
        entity = reference.target
    return True


class Scope(Conditions):
    """The rows of an entity in one FROM, and the parents that are joined to them.

    A scope of a write joins nothing: what stands behind a reference is asked by a correlated EXISTS, so that a row that
    was locked and changed meanwhile is asked again as it is then (PostgreSQL's manual, 13.2.1).
    """

    def __init__(
        self,
        tables: Tables,
        binds: Binds,
        entity: EntitySpec,
        table: FromClause,
        *,
        correlated: bool = False,
    ) -> None:
        super().__init__(tables.dialect, binds)
        self.tables = tables
        self.entity = entity
        self.table = table
        self.source: FromClause = table
        """The table with all that was joined so far."""
        self._correlated = correlated
        self._parents: dict[tuple[int, ...], FromClause] = {(): table}

    @property
    def id(self) -> Expr:
        """The id of the row itself."""
        return self.table.c[self.entity.id.stored]

    def row(self, references: tuple[FieldSpec, ...]) -> FromClause:
        """Return the parent's table that the references lead to, joined where it is not yet."""
        key = tuple(r.token for r in references)
        found = self._parents.get(key)
        if found is None:
            child = self.row(references[:-1])
            found = self._alias_of(references[-1])
            self._parents[key] = found
            link = _link(child, references[-1], found)
            # The foreign key says that the parent is there: then the planner may begin with it.
            is_certain = _are_certain(self.entity, references)
            self.source = self.source.join(found, link, isouter=not is_certain)
        return found

    def _alias_of(self, reference: FieldSpec) -> FromClause:
        assert reference.reference is not None
        return self.binds.alias(self.tables.of(reference.reference.target))

    def places(self, path: Path, json_class: JsonClass | None = None) -> Sequence[Place]:
        column: Expr = self.row(path.references).c[path.field.stored]
        if not path.inside:
            return [self.dialect.column(column, path.type, nullable=path.type.nullable)]
        if path.type.kind is not Kind.JSON:
            return [self.dialect.leaf(column, _keys(path), path.type)]
        assert json_class is not None
        element = container_of(path).element
        if element is not None and element.kind in _NOT_JSON and element.choices is None:
            return [Place(literal("NULL"), None, True, "text")]
        return [self.dialect.dict_value(column, _keys(path), json_class)]

    def output(self, path: Path) -> Expr:
        """Return what is selected for a path."""
        column: Expr = self.row(path.references).c[path.field.stored]
        if not path.inside:
            return column
        if path.type.kind.is_scalar:
            return self.dialect.leaf(column, _keys(path), path.type).expr
        return self.dialect.json_output(column, _keys(path), path.type)

    def leaf(self, where: Leaf, path: Path, *, negated: bool) -> Expr:
        if not self._correlated or not path.references:
            return super().leaf(where, path, negated=negated)
        first, *others = path.references
        assert first.reference is not None
        parent = self._alias_of(first)
        inner = Scope(self.tables, self.binds, first.reference.target, parent)
        shorter = Path(inner.entity, path.field, references=tuple(others), inside=path.inside)
        # What holds where nothing is there is the complement of what does not.
        inverted = isinstance(where, IsNull) or (isinstance(where, Compare) and where.op == "ne")
        found = inner.leaf(where, shorter, negated=inverted)
        exists = _exists(inner, _link(self.table, first, parent), found)
        return sa.not_(exists) if negated is not inverted else exists

    def related(self, where: AnyRelated) -> Expr:
        child = self.binds.alias(self.tables.of(where.child))
        inner = Scope(self.tables, self.binds, where.child, child)
        link = child.c[where.reference.stored] == self.id
        return _exists(inner, link, inner.condition(where.where))

    def is_null(self, path: Path, *, negated: bool) -> Expr:
        if not path.inside:
            return super().is_null(path, negated=negated)
        column = self.row(path.references).c[path.field.stored]
        found = self.dialect.json_is_null(column, _keys(path))
        return sa.not_(found) if negated else found

    def has(self, where: Has, path: Path) -> Expr:
        column = self.row(path.references).c[path.field.stored]
        assert path.type.element is not None
        return self.dialect.has(self.binds, column, _keys(path), path.type.element, where.value)

    # -- orders --------------------------------------------------------------------------------------------------------

    def place(self, path: Path) -> Place:
        """Return the single place of a path that is sorted by."""
        (place,) = self.places(path)
        return place

    def after(self, order: Sequence[Order], after: Sequence[Any]) -> Expr:
        """Return the condition that a row comes after the cursor, as one row-value comparison."""
        assert is_row_comparable(order)
        places = [self.place(o.path) for o in order]
        left = [p.expr for p in places]
        right = [self.binds.one(v, p.encode) for v, p in zip(after[: len(places)], places, strict=True)]
        op = _COMPARE["lt" if order[0].descending else "gt"]
        found: Expr = op(left[0], right[0]) if len(left) == 1 else op(sa.tuple_(*left), sa.tuple_(*right))
        return found

    def sort_keys(self, order: Sequence[Order]) -> list[Expr]:
        """Return what stands behind ORDER BY."""
        return ordering(self.dialect, [(self.place(o.path).expr, o) for o in order])


def ordering(dialect: Dialect, keys: Sequence[tuple[Expr, Order]]) -> list[Expr]:
    """Return the sort keys of expressions."""
    return [
        dialect.sort_key(expr, descending=o.descending, nullable=o.path.type.nullable) for expr, o in keys
    ]


def trimmed(order: tuple[Order, ...]) -> tuple[Order, ...]:
    """Return the order without the keys behind one that no two rows share: they decide nothing."""
    for position, key in enumerate(order):
        entity = key.path.root
        if not key.path.is_own_field or key.path.type.nullable or not isinstance(entity, EntitySpec):
            continue
        field = key.path.field
        if field is entity.id or any(u.fields == (field,) for u in entity.uniques):
            return order[: position + 1]
    return order


def _keys(path: Path) -> tuple[str, ...]:
    return tuple(step if isinstance(step, str) else step.stored for step in path.inside)


def _link(child: FromClause, reference: FieldSpec, parent: FromClause) -> Expr:
    assert reference.reference is not None
    on: Expr = child.c[reference.stored] == parent.c[reference.reference.target.id.stored]
    return on


def _exists(inner: Scope, *conditions: Expr) -> Expr:
    return sa.exists(sa.select(literal("1")).select_from(inner.source).where(*conditions))
