"""Conditions on rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NoReturn

from ..errors import InvalidInput
from ..spec import EntitySpec, FieldSpec, GroupSpec
from ..values import Kind
from .paths import Path, Shape, Take, size_class

MAX_IN_VALUES = 1_000
MAX_CONDITIONS = 200
MAX_DEPTH = 32
"""MongoDB takes 100 levels of nesting in a document, and a joint is two (https://www.mongodb.com/docs/manual/reference/limits/)."""


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

    @property
    def depth(self) -> int:
        """How many of `&`, `|`, `~` and `any_related` stand above the deepest leaf."""
        return 0

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


class _Joint(Filter):
    """A filter made of others."""

    __slots__ = ("_depth",)

    @property
    def depth(self) -> int:
        return self._depth

    def _join(self, parts: Sequence[Filter], conditions: int = 0) -> None:
        self._depth = 1 + max((part.depth for part in parts), default=0)
        self.conditions = conditions + sum(part.conditions for part in parts)
        if self._depth > MAX_DEPTH:
            raise InvalidInput(
                f"a filter may be nested at most {MAX_DEPTH} deep",
                hint="join many filters at once: any_of(*filters), all_of(*filters)",
            )
        if self.conditions > MAX_CONDITIONS:
            raise InvalidInput(
                f"a filter may have at most {MAX_CONDITIONS} conditions, this one has {self.conditions}",
                hint="field.in_([…]) is one condition for up to 1,000 values",
            )


class And(_Joint):
    """All of the parts hold."""

    __slots__ = ("parts",)

    def __init__(self, parts: tuple[Filter, ...]) -> None:
        self.parts = parts
        self._join(parts)
        self.root = _common_root(parts)
        self.shape = ("and", *(p.shape for p in parts))
        self.binds = tuple(b for p in parts for b in p.binds)

    def slotted(self, take: Take) -> Filter:
        return And(tuple(p.slotted(take) for p in self.parts))


class Or(_Joint):
    """One of the parts holds."""

    __slots__ = ("parts",)

    def __init__(self, parts: tuple[Filter, ...]) -> None:
        self.parts = parts
        self._join(parts)
        self.root = _common_root(parts)
        self.shape = ("or", *(p.shape for p in parts))
        self.binds = tuple(b for p in parts for b in p.binds)

    def slotted(self, take: Take) -> Filter:
        return Or(tuple(p.slotted(take) for p in self.parts))


class Not(_Joint):
    """The exact complement."""

    __slots__ = ("part",)

    def __init__(self, part: Filter) -> None:
        self.part = part
        self._join((part,))
        self.root = part.root
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


class AnyRelated(_Joint):
    """There is a child that refers to the row and meets the filter (all children do when it is None)."""

    __slots__ = ("child", "reference", "where")

    def __init__(self, child: EntitySpec, reference: FieldSpec, where: Filter | None) -> None:
        assert reference.reference is not None
        self.child, self.reference, self.where = child, reference, where
        self.root = reference.reference.target
        self._join(() if where is None else (where,), 1)
        self.shape = ("any", child.token, reference.token, where.shape if where is not None else 0)
        self.binds = where.binds if where is not None else ()

    def slotted(self, take: Take) -> Filter:
        return AnyRelated(
            self.child, self.reference, self.where.slotted(take) if self.where is not None else None
        )


def _common_root(parts: Sequence[Filter]) -> EntitySpec | GroupSpec | None:
    root: EntitySpec | GroupSpec | None = None
    for part in parts:
        if part.root is None or part.root is root:
            continue
        if root is not None:
            raise InvalidInput(
                f"filters on {root.name} and on {part.root.name} cannot be joined",
                entity=root.name,
                hint=reaching(root, part.root),
            )
        root = part.root
    return root


def reaching(root: EntitySpec | GroupSpec, other: EntitySpec | GroupSpec) -> str:
    """Return the hint for who filters *root*, or with it, by a field of *other*."""
    if isinstance(root, GroupSpec) or isinstance(other, GroupSpec):
        group = other if isinstance(other, GroupSpec) else root
        return f"group({group.name}, …) takes filters on the entity, and having=… on the group's own fields"
    return "reach a parent's field with via(Child.reference, Parent.field), children with any_related(…)"


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
