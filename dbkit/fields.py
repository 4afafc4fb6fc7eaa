"""What a class's fields are in a query: `User.age >= 18` is a filter, `User.age.set(User.age + 1)` a change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .declare import field
from .errors import InvalidInput
from .expressions import Computed, Operand
from .mapped import Mapped, Source
from .nearest import nearest
from .query import Change, Filter, Order, Path
from .reach import InnerRef, ParentRef, any_related, via
from .refs import FieldRef
from .spec import EntitySpec

__all__ = [
    "Change",
    "Computed",
    "FieldRef",
    "InnerRef",
    "Mapped",
    "Operand",
    "OrderBy",
    "ParentRef",
    "Source",
    "any_related",
    "field",
    "order_of",
    "orders_of",
    "suggestion",
    "total_order",
    "via",
]

OrderKey = FieldRef[Any] | Order
OrderBy = OrderKey | Sequence[OrderKey] | None
"""What `order_by=` takes: a field (ascending), `field.desc()`, several of them, or None."""


def order_of(key: Any) -> Order:
    """Return the sort key that *key* is; a field means its ascending order."""
    if isinstance(key, Order):
        return key
    if isinstance(key, FieldRef):
        return key.asc()
    raise InvalidInput(
        f"a sort key was expected, not a {type(key).__name__}",
        hint="order_by=User.age.desc(), or several in a tuple",
    )


def orders_of(order_by: Any) -> tuple[Order, ...]:
    """Return the sort keys of an `order_by=`: one, or an iterable of them; a key that repeats is left out."""
    if order_by is None:
        return ()
    keys: Any = [order_by] if isinstance(order_by, Order | FieldRef) else order_by
    if isinstance(keys, str) or not isinstance(keys, Iterable):
        kind = "a name" if isinstance(keys, str) else "a filter" if isinstance(keys, Filter) else "a value"
        raise InvalidInput(
            f"order_by takes fields, not {kind}", hint="order_by=User.age.desc(), or several in a tuple"
        )
    found: dict[Any, Order] = {}
    for key in _each(keys):
        order = order_of(key)
        found.setdefault(order.path.shape, order)
    return tuple(found.values())


def _each(keys: Any) -> Iterable[Any]:
    given: Iterable[Any] = keys
    return given


_MOST_KEPT = 1_024
_totals: dict[Any, tuple[Order, ...]] = {}
"""By the entity and one sort key: the total order of it, as most reads have one key and few are different."""


def total_order(entity: EntitySpec, order_by: Any) -> tuple[Order, ...]:
    """Return the sort keys of an `order_by=` on *entity*'s rows, made total by its id in the last key's direction."""
    if not isinstance(order_by, Order | FieldRef):
        return _made_total(entity, orders_of(order_by))
    order = order_of(order_by)
    key = (entity.token, order.shape)
    made = _totals.get(key)
    if made is None:
        made = _made_total(entity, (order,))
        if len(_totals) >= _MOST_KEPT:
            _totals.clear()
        _totals[key] = made
    return made


def _made_total(entity: EntitySpec, orders: tuple[Order, ...]) -> tuple[Order, ...]:
    for position, order in enumerate(orders):
        if order.path.root is not entity:
            raise InvalidInput(
                f"order_by={order.path} is not about {entity.name}",
                entity=entity.name,
                hint="reach a parent's field with via(Child.reference, Parent.field)",
            )
        if order.path.is_own_field and order.path.field is entity.id:
            return orders[: position + 1]
    return (*orders, Order(Path.of(entity, entity.id), bool(orders) and orders[-1].descending))


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return "did you mean …" with the nearest known names, and what is valid."""
    valid = sorted(known)
    near = nearest(name, valid)
    if near and len(valid) == 1:
        return f"did you mean {near!r}?"
    return (f"did you mean {near!r}? " if near else "") + f"valid: {', '.join(valid)}"
