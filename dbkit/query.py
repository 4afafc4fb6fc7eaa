"""Query values: what a verb asks of a store, apart from how any store answers.

Every node computes two things when it is made:

* `shape`: nested tuples of ints and strings, equal for queries that compile to the same text;
* `binds`: the values, in the order in which the nodes stand.

A backend keeps compiled plans by shape. On a miss it compiles `query.slotted()`, the same query with every value
replaced by a `Slot` (its position in `binds`): a plan cannot depend on a value, and a compiler may repeat or reorder
nodes as it likes. On a hit it fills the slots and runs.

Nodes are made here and by `dbkit.fields`, checked and canonical; treat them as immutable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NoReturn, TypeVar

from .errors import InvalidInput
from .spec import EntitySpec, FieldSpec, GroupSpec, ReadSpec, UniqueKey
from .values import Kind, ValueType

__all__ = [
    "And",
    "AnyRelated",
    "Append",
    "Arithmetic",
    "Assign",
    "Change",
    "Claim",
    "Compare",
    "Constant",
    "Contains",
    "Count",
    "DeleteMany",
    "DeleteOne",
    "Everything",
    "Exists",
    "Expression",
    "FieldValue",
    "Filter",
    "Find",
    "GroupBy",
    "Has",
    "In",
    "Insert",
    "IsNull",
    "Not",
    "Nothing",
    "Or",
    "Order",
    "Path",
    "Query",
    "Reading",
    "Remove",
    "Slot",
    "StartsWith",
    "UpdateMany",
    "UpdateOne",
    "Upsert",
    "all_of",
    "any_of",
    "everything",
]

MAX_IN_VALUES = 1_000
MAX_CONDITIONS = 200

Shape = tuple[Any, ...]
"""Nested tuples of ints and strings."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a value will stand: its position in the query's `binds`."""

    index: int
    size: int = 1
    """For the values of an `In`: the size class, a power of two that the number of values does not exceed."""


Take = Callable[[Any], Slot]
"""Hands out slots in the order of the binds."""


def _slots() -> Take:
    taken = 0

    def take(value: Any) -> Slot:
        nonlocal taken
        slot = Slot(taken, size_class(len(value)) if type(value) is tuple else 1)
        taken += 1
        return slot

    return take


def size_class(count: int) -> int:
    """Return the least power of two that is not below *count*."""
    return 1 << max(0, count - 1).bit_length()


_JSON_VALUE = ValueType(Kind.JSON, nullable=True)
"""The type of what is behind a dict's key."""


class Path:
    """The place of a value as seen from a row: through references to a parent, then a field, then into it.

    Attributes:
        root: the entity (or the group's results) from whose row the path starts.
        references: the reference fields that are followed, each a field of the entity reached so far.
        field: the field of the entity reached.
        inside: what is followed within a nested model (`FieldSpec`s) or a dict (one `str` key, always last).
        type: the value's type; nullable when anything on the way can be null.
    """

    __slots__ = ("field", "inside", "references", "root", "shape", "type")

    def __init__(
        self,
        root: EntitySpec | GroupSpec,
        field: FieldSpec,
        *,
        references: tuple[FieldSpec, ...] = (),
        inside: tuple[FieldSpec | str, ...] = (),
    ) -> None:
        self.root = root
        self.references = references
        self.field = field
        self.inside = inside
        steps: list[FieldSpec] = [*references, field]
        leaf = field.type
        for step in inside:
            if isinstance(step, str):
                leaf = _JSON_VALUE
            else:
                steps.append(step)
                leaf = step.type
        unchecked = any(r.reference is not None and not r.reference.check for r in references)
        self.type = leaf.optional() if unchecked or any(s.type.nullable for s in steps) else leaf
        self.shape: Shape = (
            root.token,
            *(r.token for r in references),
            field.token,
            *(step if isinstance(step, str) else step.token for step in inside),
        )

    @classmethod
    def of(cls, root: EntitySpec | GroupSpec, field: FieldSpec) -> Path:
        """Return the path to a row's own field."""
        return cls(root, field)

    def within(self, step: FieldSpec | str) -> Path:
        """Return the path one step further into a nested model or a dict."""
        return Path(self.root, self.field, references=self.references, inside=(*self.inside, step))

    def behind(self, root: EntitySpec, reference: FieldSpec) -> Path:
        """Return this path as seen from a child's row, through its *reference*."""
        return Path(root, self.field, references=(reference, *self.references), inside=self.inside)

    @property
    def is_own_field(self) -> bool:
        """Whether this is a whole field of the row itself."""
        return not self.references and not self.inside

    @property
    def entity(self) -> EntitySpec | GroupSpec:
        """The entity whose field it is: the last reference's target, else the root."""
        if not self.references:
            return self.root
        reference = self.references[-1].reference
        assert reference is not None
        return reference.target

    def __str__(self) -> str:
        names = [*(r.name for r in self.references), self.field.name]
        names += [step if isinstance(step, str) else step.name for step in self.inside]
        return f"{self.root.name}.{'.'.join(names)}"

    def __repr__(self) -> str:
        return f"<Path {self}>"


# -- filters -----------------------------------------------------------------------------------------------------------


class Filter:
    """A condition on a row: two-valued, so `~f` is true exactly where `f` is not (SEMANTICS, "Filters").

    Filters are made by comparing fields (`User.age >= 18`) and joined by `&`, `|`, `~`, `any_of` and `all_of`.
    """

    __slots__ = ("binds", "conditions", "root", "shape")

    shape: Shape
    binds: tuple[Any, ...]
    root: EntitySpec | GroupSpec | None
    """Whose rows it is about; None for `everything()`."""
    conditions: int

    def __and__(self, other: Filter) -> Filter:
        return all_of(self, _filter(other))

    def __or__(self, other: Filter) -> Filter:
        return any_of(self, _filter(other))

    def __invert__(self) -> Filter:
        return self.part if isinstance(self, Not) else Not(self)

    def __bool__(self) -> NoReturn:
        raise InvalidInput(
            "a filter has no truth value of its own",
            hint="join filters with & | ~ instead of and, or, not; say between() instead of a chained comparison",
        )

    def slotted(self, take: Take) -> Filter:
        """Return this filter with values replaced by slots."""
        raise AssertionError(type(self))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.shape}>"


def _filter(value: object) -> Filter:
    if isinstance(value, Filter):
        return value
    raise InvalidInput(
        f"a filter was expected, not a {type(value).__name__}",
        hint="was an instance compared instead of the class? write User.age >= 18, not user.age >= 18"
        if isinstance(value, bool)
        else "filters are made by comparing an entity's fields, e.g. User.age >= 18",
    )


class Compare(Filter):
    """`path op value`; false where the path is null, but `ne` is true there. The value is never None."""

    __slots__ = ("op", "path", "value")
    Op = Literal["eq", "ne", "lt", "le", "gt", "ge"]

    def __init__(self, path: Path, op: Op, value: Any) -> None:
        self.path, self.op, self.value = path, op, value
        self.root, self.conditions = path.root, 1
        # A dict's value is typed by what it is compared with: bool, number or text are compiled apart.
        self.shape = (op, path.shape, json_class(value)) if path.type.kind is Kind.JSON else (op, path.shape)
        self.binds = (value,)

    @property
    def json_class(self) -> Literal["bool", "number", "text"] | None:
        """How a dict's value is compared; None for a declared field."""
        return self.shape[2] if len(self.shape) == 3 else None

    def slotted(self, take: Take) -> Filter:
        made = Compare.__new__(Compare)
        made.path, made.op, made.value = self.path, self.op, take(self.value)
        made.root, made.conditions, made.shape, made.binds = self.root, 1, self.shape, ()
        return made


def json_class(value: Any) -> Literal["bool", "number", "text"]:
    """Return with which values of a dict *value* can be equal: bool ≠ int, 1 == 1.0."""
    if isinstance(value, bool):
        return "bool"
    return "text" if isinstance(value, str) else "number"


class In(Filter):
    """The path's value is one of the values; None is never among them (it is an `IsNull` beside)."""

    __slots__ = ("path", "values")

    def __init__(self, path: Path, values: tuple[Any, ...]) -> None:
        self.path = path
        self.values: Any = values
        self.root, self.conditions = path.root, 1
        self.shape = ("in", path.shape, size_class(len(values)))
        if path.type.kind is Kind.JSON:
            self.shape += (json_class(values[0]),)
        self.binds = (values,)

    @property
    def json_class(self) -> Literal["bool", "number", "text"] | None:
        """How a dict's value is compared; None for a declared field. All values are of this class."""
        return self.shape[3] if len(self.shape) == 4 else None

    def slotted(self, take: Take) -> Filter:
        made = In.__new__(In)
        made.path, made.values = self.path, take(self.values)
        made.root, made.conditions, made.shape, made.binds = self.root, 1, self.shape, ()
        return made


class IsNull(Filter):
    """The path is null (or not there)."""

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        self.path = path
        self.root, self.conditions = path.root, 1
        self.shape, self.binds = ("null", path.shape), ()

    def slotted(self, take: Take) -> Filter:
        return self


class _TextFilter(Filter):
    __slots__ = ("path", "value")
    name: ClassVar[str]

    def __init__(self, path: Path, value: Any) -> None:
        self.path, self.value = path, value
        self.root, self.conditions = path.root, 1
        self.shape, self.binds = (self.name, path.shape), (value,)

    def slotted(self, take: Take) -> Filter:
        made = type(self)(self.path, take(self.value))
        made.binds = ()
        return made


class Contains(_TextFilter):
    """The text has the needle in it, by code point; "" is in every text that is not null."""

    __slots__ = ()
    name = "contains"


class StartsWith(_TextFilter):
    """The text starts with the needle, by code point; the value is a pair (needle, successor or None).

    The successor is the least text that is greater than every text with this prefix; None when there is none.
    """

    __slots__ = ()
    name = "starts_with"

    def __init__(self, path: Path, value: Any) -> None:
        super().__init__(path, value)
        if type(value) is str:
            successor = prefix_successor(value)
            self.value = value
            self.shape = (self.name, path.shape, "open" if successor is None else "closed")
            self.binds = (value, value if successor is None else successor)

    @property
    def is_open(self) -> bool:
        """Whether no text is greater than all with this prefix ("" or only U+10FFFF): `x >= needle` alone decides."""
        return bool(self.shape[2] == "open")

    def slotted(self, take: Take) -> Filter:
        made = StartsWith.__new__(StartsWith)
        made.path, made.value = self.path, (take(""), take(""))
        made.root, made.conditions, made.shape, made.binds = self.root, 1, self.shape, ()
        return made


def prefix_successor(prefix: str) -> str | None:
    """Return the least text greater than all that start with *prefix*, by code point, or None."""
    for position in range(len(prefix) - 1, -1, -1):
        point = ord(prefix[position])
        if point < 0x10FFFF:
            # U+D800 to U+DFFF are no characters: the one after U+D7FF is U+E000.
            return prefix[:position] + chr(0xE000 if point == 0xD7FF else point + 1)
    return None


class Has(_TextFilter):
    """The list has an element that equals the value, of exactly its type; false where the list is null."""

    __slots__ = ()
    name = "has"


class And(Filter):
    """All of the parts hold."""

    __slots__ = ("parts",)

    def __init__(self, parts: tuple[Filter, ...]) -> None:
        self.parts = parts
        self.root, self.conditions = _common(parts)
        self.shape = ("and", *(p.shape for p in parts))
        self.binds = tuple(b for p in parts for b in p.binds)

    def slotted(self, take: Take) -> Filter:
        return And(tuple(p.slotted(take) for p in self.parts))


class Or(Filter):
    """One of the parts holds."""

    __slots__ = ("parts",)

    def __init__(self, parts: tuple[Filter, ...]) -> None:
        self.parts = parts
        self.root, self.conditions = _common(parts)
        self.shape = ("or", *(p.shape for p in parts))
        self.binds = tuple(b for p in parts for b in p.binds)

    def slotted(self, take: Take) -> Filter:
        return Or(tuple(p.slotted(take) for p in self.parts))


class Not(Filter):
    """The exact complement."""

    __slots__ = ("part",)

    def __init__(self, part: Filter) -> None:
        self.part = part
        self.root, self.conditions = part.root, part.conditions
        self.shape, self.binds = ("not", part.shape), part.binds

    def slotted(self, take: Take) -> Filter:
        return Not(self.part.slotted(take))


class Everything(Filter):
    """Every row."""

    __slots__ = ()

    def __init__(self) -> None:
        self.root, self.conditions, self.shape, self.binds = None, 0, ("all",), ()

    def slotted(self, take: Take) -> Filter:
        return self


class Nothing(Filter):
    """No row (`in_([])`)."""

    __slots__ = ()

    def __init__(self, root: EntitySpec | GroupSpec | None) -> None:
        self.root, self.conditions, self.shape, self.binds = root, 1, ("none",), ()

    def slotted(self, take: Take) -> Filter:
        return self


class AnyRelated(Filter):
    """There is a child that refers to the row and meets the filter (all children do when it is None)."""

    __slots__ = ("child", "reference", "where")

    def __init__(self, child: EntitySpec, reference: FieldSpec, where: Filter | None) -> None:
        assert reference.reference is not None
        self.child, self.reference, self.where = child, reference, where
        self.root = reference.reference.target
        self.conditions = 1 + (where.conditions if where is not None else 0)
        self.shape = ("any", child.token, reference.token, where.shape if where is not None else 0)
        self.binds = where.binds if where is not None else ()

    def slotted(self, take: Take) -> Filter:
        return AnyRelated(
            self.child, self.reference, self.where.slotted(take) if self.where is not None else None
        )


def _common(parts: Sequence[Filter]) -> tuple[EntitySpec | GroupSpec | None, int]:
    root: EntitySpec | GroupSpec | None = None
    conditions = 0
    for part in parts:
        conditions += part.conditions
        if part.root is None or part.root is root:
            continue
        if root is not None:
            raise InvalidInput(
                f"filters on {root.name} and on {part.root.name} cannot be joined",
                entity=root.name,
                hint="reach a parent's field with via(Child.reference, Parent.field), children with any_related(…)",
            )
        root = part.root
    if conditions > MAX_CONDITIONS:
        raise InvalidInput(
            f"a filter may have at most {MAX_CONDITIONS} conditions, this one has {conditions}"
        )
    return root, conditions


def all_of(*filters: Filter) -> Filter:
    """Return the filter that holds where all do; with none, everywhere."""
    parts: list[Filter] = []
    for item in filters:
        part = _filter(item)
        if isinstance(part, And):
            parts.extend(part.parts)
        elif not isinstance(part, Everything):
            parts.append(part)
    if not parts:
        return Everything()
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def any_of(*filters: Filter) -> Filter:
    """Return the filter that holds where at least one does; with none, nowhere."""
    parts: list[Filter] = []
    for item in filters:
        part = _filter(item)
        if isinstance(part, Everything):
            return part
        if isinstance(part, Or):
            parts.extend(part.parts)
        else:
            parts.append(part)
    if not parts:
        return Nothing(None)
    return parts[0] if len(parts) == 1 else Or(tuple(parts))


def everything() -> Filter:
    """Return the filter that says "all rows", for `update_many` and `delete_many`, which need one."""
    return Everything()


# -- orders ------------------------------------------------------------------------------------------------------------


class Order:
    """One sort key. Ascending puts null first, descending last."""

    __slots__ = ("descending", "path", "shape")

    def __init__(self, path: Path, descending: bool = False) -> None:
        self.path, self.descending = path, descending
        self.shape: Shape = ("desc" if descending else "asc", path.shape)

    def __repr__(self) -> str:
        return f"<Order {self.path} {'desc' if self.descending else 'asc'}>"


# -- changes -----------------------------------------------------------------------------------------------------------


class Expression:
    """The new value of a field, computed by the store from the row as it is."""

    __slots__ = ("binds", "shape", "type")

    shape: Shape
    binds: tuple[Any, ...]
    type: ValueType

    def slotted(self, take: Take) -> Expression:
        raise AssertionError(type(self))


class Constant(Expression):
    """A literal, checked and canonical; None is bound like any other (it is no part of the shape)."""

    __slots__ = ("value",)

    def __init__(self, value: Any, type: ValueType) -> None:
        self.value, self.type = value, type
        # Decimals of another scale than the field's (an int factor) are bound by another codec.
        self.shape, self.binds = ("const", type.kind.value, type.decimal_places), (value,)

    def slotted(self, take: Take) -> Expression:
        made = Constant(take(self.value), self.type)
        made.binds = ()
        return made


class FieldValue(Expression):
    """The row's own number, before the change."""

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        self.path, self.type = path, path.type
        self.shape, self.binds = ("value", path.shape), ()

    def slotted(self, take: Take) -> Expression:
        return self


class Arithmetic(Expression):
    """`left op right`, exact for int and Decimal; null where either side is null.

    Every result on the way, not the last alone, must fit: 64 bits for an int, 64 bits of the scaled int for a Decimal.
    """

    __slots__ = ("left", "op", "right")

    def __init__(
        self, op: Literal["add", "sub", "mul"], left: Expression, right: Expression, type: ValueType
    ) -> None:
        self.op, self.left, self.right, self.type = op, left, right, type
        self.shape, self.binds = (op, left.shape, right.shape), left.binds + right.binds

    def slotted(self, take: Take) -> Expression:
        return Arithmetic(self.op, self.left.slotted(take), self.right.slotted(take), self.type)


class Change:
    """What happens to one field."""

    __slots__ = ("binds", "field", "root", "shape")

    field: FieldSpec
    root: EntitySpec
    shape: Shape
    binds: tuple[Any, ...]

    def slotted(self, take: Take) -> Change:
        raise AssertionError(type(self))


class Assign(Change):
    """The field becomes the expression's value; a computed one outside the field's bounds is `OutOfRange`."""

    __slots__ = ("expression",)

    def __init__(self, root: EntitySpec, field: FieldSpec, expression: Expression) -> None:
        self.root, self.field, self.expression = root, field, expression
        self.shape, self.binds = ("set", field.token, expression.shape), expression.binds

    def slotted(self, take: Take) -> Change:
        return Assign(self.root, self.field, self.expression.slotted(take))


class Append(Change):
    """The list gets one more element at its end; a null list becomes a list of it."""

    __slots__ = ("value",)
    name: ClassVar[str] = "append"

    def __init__(self, root: EntitySpec, field: FieldSpec, value: Any) -> None:
        self.root, self.field, self.value = root, field, value
        self.shape, self.binds = (self.name, field.token), (value,)

    def slotted(self, take: Take) -> Change:
        made = type(self)(self.root, self.field, take(self.value))
        made.binds = ()
        return made


class Remove(Append):
    """The list loses every element that equals the value; a null list stays null."""

    __slots__ = ()
    name = "remove"


# -- queries -----------------------------------------------------------------------------------------------------------

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
        shape, binds = _where(where)
        nulls: Any = 0
        if after is not None:
            nulls = "".join("n" if v is None else "v" for v in after)
            binds += tuple(v for v in after if v is not None)
        self.shape = (
            "find",
            read.token,
            shape,
            *(o.shape for o in order),
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
        take = _slots()
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
        made = type(self)(self.entity, _slot_where(self.where, _slots()))
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
        take = _slots()
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
        self.shape = ("group", group.token, shape, having_shape, *(o.shape for o in order), limit is not None)
        self.binds = binds + having_binds + (() if limit is None else (limit,))

    def slotted(self) -> GroupBy:
        take = _slots()
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
        take = _slots()
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
        take = _slots()
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
        take = _slots()
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
        take = _slots()
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
        take = _slots()
        where = _slot_where(self.where, take)
        changes = tuple(c.slotted(take) for c in self.changes)
        made = Claim(self.entity, where, changes, self.order, take(self.limit))  # type: ignore[arg-type]
        made.binds = ()
        return made


Reading = Find | Count | Exists | GroupBy
"""What can be explained."""


# -- cursors -----------------------------------------------------------------------------------------------------------


def is_row_comparable(order: Sequence[Order]) -> bool:
    """Whether "after the cursor" is one row-value comparison: all keys in one direction and never null."""
    return len({o.descending for o in order}) == 1 and not any(o.path.type.nullable for o in order)


def seek(order: Sequence[Order], after: Sequence[Any]) -> list[list[Filter]]:
    """Return disjoint branches, each a list of conditions, that together take the rows after the cursor.

    The branches stand in the order of their rows: all rows of one come before those of the next. Each is a range of an
    index on the keys. *after* may hold values, slots, and None for null keys.
    """
    branches: list[list[Filter]] = []
    for position in range(len(order) - 1, -1, -1):
        same = [_equal(o.path, v) for o, v in zip(order[:position], after[:position], strict=True)]
        key, value = order[position], after[position]
        if value is None:
            # Null is first ascending: every value follows. It is last descending: nothing does.
            if not key.descending:
                branches.append([*same, Not(IsNull(key.path))])
            continue
        branches.append([*same, Compare(key.path, "lt" if key.descending else "gt", value)])
        if key.descending and key.path.type.nullable:
            branches.append([*same, IsNull(key.path)])
    return branches


def _equal(path: Path, value: Any) -> Filter:
    return IsNull(path) if value is None else Compare(path, "eq", value)
