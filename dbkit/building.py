"""From a verb's arguments to a query value: all checks that need no store. Pure; used by both colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, NoReturn, cast

from pydantic import BaseModel

from .bulk import rows_of_many
from .errors import InvalidInput, TooLarge
from .fields import FieldRef, orders_of, total_order
from .keys import check_key_part
from .options import MAX_ROWS_TOUCHED, MAX_ROWS_UNASKED
from .page import Cursors
from .query import (
    And,
    AnyRelated,
    Arithmetic,
    Assign,
    Change,
    Compare,
    Constant,
    Everything,
    FieldValue,
    Filter,
    Find,
    GroupBy,
    Not,
    Or,
    Order,
    Path,
    all_of,
    reaching,
)
from .spec import EntitySpec, GroupSpec, ReadSpec, UniqueKey
from .values import casefold_key, check_value, utc_now
from .views import group_of, read_of

__all__ = [
    "MAX_LIMIT",
    "canonical_id",
    "changes_of",
    "check_limit",
    "check_own_fields",
    "filter_of",
    "find_query",
    "group_query",
    "id_output",
    "ids_of",
    "page_query",
    "read_spec",
    "replacing",
    "rows_of",
    "sort_keys",
    "stored_instance",
    "unasked_limit",
    "unique_key_of",
    "write_filter",
]

MAX_LIMIT = 10_000


def canonical_id(spec: EntitySpec, id: object, operation: str) -> Any:
    """Return *id* checked against the entity's id type."""
    return check_value(spec.id.type.operand, id, entity=spec.name, field="id", operation=operation)


def ids_of(spec: EntitySpec, ids: Iterable[object]) -> list[Any]:
    """Return the ids checked, without repetitions, in their order; at most 1,000."""
    if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
        raise InvalidInput(
            f"get_many on {spec.name} takes an iterable of ids", entity=spec.name, operation="get_many"
        )
    found = list(dict.fromkeys(canonical_id(spec, id, "get_many") for id in ids))
    if len(found) > MAX_ROWS_UNASKED:
        raise TooLarge(
            f"get_many on {spec.name} takes at most {MAX_ROWS_UNASKED:,} ids, not {len(found):,}",
            entity=spec.name,
            operation="get_many",
            hint="ask in several calls",
        )
    return found


def id_output(spec: EntitySpec, read: ReadSpec) -> str:
    """Return the name under which a view gives the id; `InvalidInput` where it does not."""
    for output in read.outputs:
        if output.path.is_own_field and output.path.field is spec.id:
            return output.name
    raise InvalidInput(
        f"get_many gives rows by id, which the view {read.model.__name__} does not have",
        entity=spec.name,
        operation="get_many",
        hint=f"add to the view: id: Mapped[…] = via({spec.name}.id)",
    )


def filter_of(root: EntitySpec | GroupSpec, filters: Sequence[object], operation: str) -> Filter | None:
    """Return what all *filters* say together, or None for all rows; checks that they are about *root*."""
    if not filters:
        return None
    for item in filters:
        if not isinstance(item, Filter):
            _not_a_filter(root, item, operation)
    checked: Sequence[Any] = filters
    # One filter, which most reads have, is what it is.
    where: Filter = checked[0] if len(checked) == 1 else all_of(*checked)
    if where.root is not None and where.root is not root:
        raise InvalidInput(
            f"{operation} on {root.name} got a filter on {where.root.name}",
            entity=root.name,
            operation=operation,
            hint=reaching(root, where.root),
        )
    return None if isinstance(where, Everything) else where


def _not_a_filter(root: EntitySpec | GroupSpec, item: object, operation: str) -> NoReturn:
    field = next(iter(root.by_name))
    hint = f"compare the class's fields, e.g. {root.name}.{field} == …"
    if isinstance(item, bool):
        hint = f"was an instance compared instead of the class? {hint}"
    raise InvalidInput(
        f"{operation} on {root.name} takes filters, not a {type(item).__name__}",
        entity=root.name,
        operation=operation,
        hint=hint,
    )


def write_filter(root: EntitySpec, filters: Sequence[object], operation: str) -> Filter | None:
    """Return the filter of `update_many` or `delete_many`, which must name one."""
    if not filters:
        raise InvalidInput(
            f"{operation} on {root.name} needs a filter",
            entity=root.name,
            operation=operation,
            hint=f"say {operation}(everything()) for all rows",
        )
    return filter_of(root, filters, operation)


def check_own_fields(spec: EntitySpec, where: Filter | None, order: Sequence[Order], operation: str) -> None:
    """Refuse a filter or an order that reaches other entities."""
    if any(o.path.references for o in order) or (where is not None and _reaches_others(where)):
        raise InvalidInput(
            f"{operation} filters and orders by the entity's own fields only, not via another entity",
            entity=spec.name,
            operation=operation,
            hint="keep what a worker chooses by on the entity itself",
        )


def _reaches_others(where: Filter) -> bool:
    if isinstance(where, And | Or):
        return any(_reaches_others(part) for part in where.parts)
    if isinstance(where, Not):
        return _reaches_others(where.part)
    path: Path | None = getattr(where, "path", None)
    return isinstance(where, AnyRelated) or (path is not None and bool(path.references))


def sort_keys(spec: EntitySpec, order_by: object, operation: str) -> tuple[Order, ...]:
    """Return the keys of *order_by* and, at the end, the id in the last key's direction."""
    if order_by is None:
        return by_id(spec)
    try:
        return total_order(spec, order_by)
    except InvalidInput as error:
        error.entity, error.operation = spec.name, operation
        raise


@cache
def by_id(spec: EntitySpec) -> tuple[Order, ...]:
    """Return the order of rows where none is asked for."""
    return (Order(Path.of(spec, spec.id)),)


def group_order(group: GroupSpec, order_by: object) -> tuple[Order, ...]:
    """Return the keys of *order_by* and then all group keys, ascending, that are not among them."""
    orders = list(orders_of(order_by))
    by_field = {a.field.token: a for a in group.aggregates}
    for order in orders:
        if order.path.root is not group:
            raise InvalidInput(
                f"group orders {group.name} by its own fields, not by {order.path}",
                entity=group.name,
                operation="group",
                hint=f"e.g. order_by={group.name}.{next(iter(group.by_name))}.desc()",
            )
        aggregate = by_field.get(order.path.field.token)
        if aggregate is not None and not aggregate.is_comparable:
            raise InvalidInput(
                f"{order.path} cannot be ordered by: averages and float sums are not the same to the last digit everywhere",
                entity=group.name,
                field=order.path.field.name,
                operation="group",
                hint="order by a count, an exact sum, a minimum, a maximum or a key",
            )
    seen = {o.path.field.token for o in orders}
    orders += [order for order in by_keys(group) if order.path.field.token not in seen]
    return tuple(orders)


@cache
def by_keys(group: GroupSpec) -> tuple[Order, ...]:
    """Return the order of groups by all their keys."""
    return tuple([Order(Path.of(group, key.field)) for key in group.keys])


def check_limit(limit: object, operation: str, entity: str, *, least: int = 0, most: int = MAX_LIMIT) -> int:
    """Return *limit*, an int between *least* and *most*."""
    if type(limit) is not int or not least <= limit <= most:
        # An int of thousands of digits cannot be shown: Python refuses to.
        shown = f"a {type(limit).__name__}" if type(limit) is not int else "a far greater one"
        if type(limit) is int and abs(limit) < 2**63:
            shown = f"{limit:,}"
        what = "batch" if operation == "iterate" else "limit"
        reads_more = type(limit) is int and limit > most and operation in ("find", "page")
        raise InvalidInput(
            f"{operation} on {entity}: {what} must be an int from {least} to {most:,}, not {shown}",
            entity=entity,
            operation=operation,
            hint="iterate() reads any number of rows" if reads_more else None,
        )
    return limit


def check_offset(offset: object, operation: str, entity: str) -> int | None:
    """Return *offset*, an int that is not negative, or None."""
    if offset is None or (offset == 0 and type(offset) is int):
        return None
    if type(offset) is not int or not 0 <= offset < 2**63:
        raise InvalidInput(
            f"{operation} on {entity}: offset must be an int from 0 on", entity=entity, operation=operation
        )
    return offset


def unasked_limit(items: list[Any], operation: str, entity: str) -> None:
    """Raise `TooLarge` when a read without a limit found more than 1,000 rows: nothing is cut off silently."""
    if len(items) > MAX_ROWS_UNASKED:
        raise TooLarge(
            f"{operation} without a limit found more than {MAX_ROWS_UNASKED:,} rows",
            entity=entity,
            operation=operation,
            hint="give limit=, or read them by page() or iterate()",
        )


def read_spec(spec: EntitySpec, into: Any, operation: str) -> ReadSpec:
    """Return what a read returns: the entity, or the view *into* of it."""
    if into is None:
        return spec.read
    read = read_of(into)
    if read.entity is not spec:
        raise InvalidInput(
            f"{read.model.__name__} is a view of {read.entity.name}, not of {spec.name}",
            entity=spec.name,
            operation=operation,
            hint=f"db.store({read.entity.name}).{operation}(…, into={read.model.__name__})",
        )
    return read


def rows_of(spec: EntitySpec, entities: Iterable[Any], *, batched: bool) -> list[tuple[Any, ...]]:
    """Return the checked rows of *entities*; more than 10,000 only with *batched*."""
    if isinstance(entities, BaseModel):
        # Its own iterator would give its fields.
        raise InvalidInput(
            f"create_many on {spec.name} takes a list of entities, not one",
            entity=spec.name,
            hint="create(…)",
        )
    rows = rows_of_many(spec, [*entities])
    if len(rows) > MAX_ROWS_TOUCHED and not batched:
        raise TooLarge(
            f"create_many on {spec.name} takes at most {MAX_ROWS_TOUCHED:,} rows at once, not {len(rows):,}",
            entity=spec.name,
            operation="create_many",
            hint="batched=True writes them in several steps, each all or nothing",
        )
    return rows


def unique_key_of(spec: EntitySpec, on: object) -> UniqueKey:
    """Return the declared unique key that *on* names by fields."""
    items = cast("Sequence[object]", on if isinstance(on, tuple | list) else (on,))
    names: list[str] = []
    for item in items:
        path = item.path if isinstance(item, FieldRef) else None
        if path is None or path.root is not spec or not path.is_own_field:
            raise InvalidInput(
                f"on= takes the fields of a unique key of {spec.name}",
                entity=spec.name,
                operation="upsert",
                hint=_unique_hint(spec),
            )
        names.append(path.field.name)
    if names == ["id"]:
        return UniqueKey((spec.id,), ("id",))
    key = spec.unique_key(tuple(names))
    if key is None:
        raise InvalidInput(
            f"on={', '.join(names)} is no declared unique key of {spec.name}",
            entity=spec.name,
            operation="upsert",
            hint=_unique_hint(spec),
        )
    return key


def _unique_hint(spec: EntitySpec) -> str:
    keys = [tuple(f"{spec.name}.{n}" for n in key.names) for key in spec.uniques]
    shown = [key[0] if len(key) == 1 else f"({', '.join(key)})" for key in keys]
    return f"declared: {', '.join([*shown, f'{spec.name}.id'])}"


def changes_of(spec: EntitySpec, changes: object, operation: str) -> tuple[Change, ...]:
    """Return the change or changes with what follows from them: shadows, `updated_at`, `version`."""
    given = cast("Sequence[object]", changes if isinstance(changes, tuple | list) else (changes,))
    if not given:
        raise InvalidInput(
            f"{operation} on {spec.name} needs at least one change",
            entity=spec.name,
            operation=operation,
            hint="e.g. User.name.set('Ada')",
        )
    made: list[Change] = []
    seen: set[str] = set()
    for change in given:
        if not isinstance(change, Change):
            raise InvalidInput(
                f"{operation} on {spec.name} takes changes, not a {type(change).__name__}",
                entity=spec.name,
                operation=operation,
                hint=f"e.g. {spec.name}.{spec.fields[-1].name}.set(…)",
            )
        if change.root is not spec:
            raise InvalidInput(
                f"{operation} on {spec.name} got a change of {change.root.name}.{change.field.name}",
                entity=spec.name,
                operation=operation,
            )
        name = change.field.name
        if name in seen:
            raise InvalidInput(
                f"{operation} changes {spec.name}.{name} twice",
                entity=spec.name,
                field=name,
                operation=operation,
            )
        seen.add(name)
        if operation != "update" and any(name in key.names for key in spec.uniques):
            raise InvalidInput(
                f"{operation} cannot change {spec.name}.{name}, which is in a unique key",
                entity=spec.name,
                field=name,
                operation=operation,
                hint="whether it fails would depend on the order of rows; update the rows one by one",
            )
        made.append(change)
        constant = change.expression if isinstance(change, Assign) else None
        if isinstance(constant, Constant):
            check_key_part(spec, change.field, constant.value)
        shadow = spec.shadow(name)
        if shadow is not None:
            assert isinstance(constant, Constant)
            folded = None if constant.value is None else casefold_key(constant.value)
            check_key_part(spec, shadow, folded)
            made.append(_assign(spec, shadow.name, folded))
    return (*made, *_kept_fields(spec, utc_now()))


def _assign(spec: EntitySpec, name: str, value: Any) -> Assign:
    field = spec.by_name.get(name) or next(s for s in spec.shadows if s.name == name)
    return Assign(spec, field, Constant(value, field.type))


def _kept_fields(spec: EntitySpec, now: datetime) -> list[Change]:
    kept: list[Change] = []
    if spec.timestamped:
        kept.append(_assign(spec, "updated_at", now))
    if spec.versioned:
        version = spec.by_name["version"]
        one = Constant(1, version.type)
        kept.append(
            Assign(spec, version, Arithmetic("add", FieldValue(Path.of(spec, version)), one, version.type))
        )
    return kept


def replacing(spec: EntitySpec, row: tuple[Any, ...]) -> tuple[Filter | None, tuple[Change, ...]]:
    """Return the condition and the changes of `replace`: all but the id and what dbkit keeps itself."""
    kept = {"id"}
    if spec.timestamped:
        kept |= {"created_at", "updated_at"}
    if spec.versioned:
        kept.add("version")
    changes: list[Change] = [
        Assign(spec, column, Constant(value, column.type))
        for column, value in zip(spec.columns, row, strict=True)
        if column.name not in kept
    ]
    where: Filter | None = None
    if spec.versioned:
        version = spec.by_name["version"]
        where = Compare(Path.of(spec, version), "eq", row[spec.columns.index(version)])
    return where, (*changes, *_kept_fields(spec, utc_now()))


def find_query(
    spec: EntitySpec,
    operation: str,
    where: Sequence[object],
    order_by: object,
    into: Any,
    limit: object,
    offset: object,
) -> Find:
    """Return the query of `find`; without a limit it asks for one row more than is given out."""
    most = MAX_ROWS_UNASKED + 1 if limit is None else check_limit(limit, operation, spec.name)
    skip = check_offset(offset, operation, spec.name)
    read = spec.read if into is None else read_spec(spec, into, operation)
    return Find(read, filter_of(spec, where, operation), sort_keys(spec, order_by, operation), most, skip)


def page_query(
    spec: EntitySpec,
    cursors: Cursors,
    operation: str,
    where: Sequence[object],
    order_by: object,
    into: Any,
    limit: object,
    after: str | None,
    total: bool,
) -> Find:
    """Return the query of `page`."""
    most = check_limit(limit, operation, spec.name, least=1)
    condition = filter_of(spec, where, operation)
    order = sort_keys(spec, order_by, operation)
    position = None if after is None else cursors.decode(after, spec, condition, order)
    read = spec.read if into is None else read_spec(spec, into, operation)
    return Find(read, condition, order, most, after=position, page=True, total=total)


def group_query(
    spec: EntitySpec, group: Any, where: Sequence[object], having: object, order_by: object, limit: object
) -> GroupBy:
    """Return the query of `group`; without a limit it asks for one group more than is given out."""
    found = group_of(group)
    if found.entity is not spec:
        raise InvalidInput(
            f"{found.name} groups {found.entity.name}, not {spec.name}",
            entity=spec.name,
            operation="group",
            hint=f"db.store({found.entity.name}).group({found.name}, …)",
        )
    most = MAX_ROWS_UNASKED + 1 if limit is None else check_limit(limit, "group", spec.name)
    condition = filter_of(spec, where, "group")
    kept = None if having is None else filter_of(found, (having,), "group")
    return GroupBy(found, condition, kept, group_order(found, order_by), most)


def stored_instance(spec: EntitySpec, entity: Any, row: tuple[Any, ...]) -> Any:
    """Return *entity*, or where it was not canonical (`model_copy` checks nothing) an instance of what was stored."""
    values = entity.__dict__
    changed: dict[str, Any] = {}
    for field, stored in zip(spec.fields, row, strict=False):
        value = values[field.name]
        if value is not stored and (value != stored or _shows_otherwise(value, stored)):
            changed[field.name] = stored
    return entity.model_copy(update=changed) if changed else entity


def _shows_otherwise(value: Any, stored: Any) -> bool:
    """Whether equal values are not the same: 5 and 5.00, 0.0 and -0.0, one instant in two time zones."""
    if isinstance(stored, datetime):
        return value.tzinfo is not stored.tzinfo and value.utcoffset() != stored.utcoffset()
    if isinstance(stored, Decimal | float):
        return type(value) is not type(stored) or str(value) != str(stored)
    return False
