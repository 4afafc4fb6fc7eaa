"""What a class's fields are in a query: `User.age >= 18` is a filter, `User.age.set(User.age + 1)` a change.

To a type checker `Mapped[T]` is a descriptor: `T` on an instance, `FieldRef[T]` on the class. At run time it is `T`, so
pydantic sees plain annotations and instances cost nothing more.

Every operand is checked, by the field's own type, when the filter or change is made.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, Protocol, TypeVar, cast, overload

from pydantic import ValidationError
from pydantic_core import PydanticCustomError, SchemaValidator, core_schema

from . import query
from .declare import Declared, field
from .errors import InvalidInput
from .query import Change, Filter, Order, Path
from .spec import EntitySpec, FieldSpec, GroupSpec, ModelSpec, ReadSpec
from .values import (
    INT_MAX,
    INT_MIN,
    Kind,
    ValueType,
    canonical_float,
    canonical_text,
    casefold_key,
    check_value,
    explain_validation,
)

__all__ = [
    "Change",
    "Computed",
    "FieldRef",
    "Mapped",
    "Operand",
    "OrderBy",
    "ParentRef",
    "Source",
    "any_related",
    "field",
    "order_of",
    "orders_of",
    "total_order",
    "via",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
V = TypeVar("V")
N = TypeVar("N", int, float, Decimal)
"""A number."""
B = TypeVar("B", int, float)
"""A number of which a product keeps the type."""

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}\Z")
_KEPT = frozenset({"created_at", "updated_at"})
_MAX_KEPT = 64


class Source(Protocol[T_co]):
    """What gives a value of type T: a field for `key`, `max_`, …

    Covariant, so that a view's `Mapped[str | None]` may have a source that is never None.
    """

    def __dbkit_source__(self) -> T_co: ...


if TYPE_CHECKING:
    from typing import Never

    class Mapped(Generic[T]):
        """The type of a field: `T` on an instance, `FieldRef[T]` on the class."""

        @overload
        def __get__(self, instance: None, owner: Any, /) -> FieldRef[T]: ...
        @overload
        def __get__(self, instance: object, owner: Any, /) -> T: ...
        def __set__(self, instance: Never, value: T, /) -> None: ...

    class Operand(Generic[T]):
        """What an expression is made of: a field, or another expression."""

        # Nullable operands first: mypy takes anything under a union for a type variable.
        @overload
        def __add__(
            self: Operand[N | None], other: N | int | Operand[N] | Operand[N | None]
        ) -> Computed[N | None]: ...
        @overload
        def __add__(self: Operand[N], other: Operand[N | None]) -> Computed[N | None]: ...
        @overload
        def __add__(self: Operand[N], other: N | int | Operand[N]) -> Computed[N]: ...
        @overload
        def __add__(self: Operand[int], other: float | Operand[float]) -> Computed[float]: ...
        @overload
        def __radd__(self: Operand[N | None], other: N | int) -> Computed[N | None]: ...
        @overload
        def __radd__(self: Operand[N], other: N | int) -> Computed[N]: ...
        @overload
        def __radd__(self: Operand[int], other: float) -> Computed[float]: ...
        @overload
        def __sub__(
            self: Operand[N | None], other: N | int | Operand[N] | Operand[N | None]
        ) -> Computed[N | None]: ...
        @overload
        def __sub__(self: Operand[N], other: Operand[N | None]) -> Computed[N | None]: ...
        @overload
        def __sub__(self: Operand[N], other: N | int | Operand[N]) -> Computed[N]: ...
        @overload
        def __sub__(self: Operand[int], other: float | Operand[float]) -> Computed[float]: ...
        @overload
        def __rsub__(self: Operand[N | None], other: N | int) -> Computed[N | None]: ...
        @overload
        def __rsub__(self: Operand[N], other: N | int) -> Computed[N]: ...
        @overload
        def __rsub__(self: Operand[int], other: float) -> Computed[float]: ...
        @overload
        def __mul__(
            self: Operand[Decimal | None], other: int | Operand[int] | Operand[int | None]
        ) -> Computed[Decimal | None]: ...
        @overload
        def __mul__(self: Operand[Decimal], other: Operand[int | None]) -> Computed[Decimal | None]: ...
        @overload
        def __mul__(self: Operand[Decimal], other: int | Operand[int]) -> Computed[Decimal]: ...
        @overload
        def __mul__(
            self: Operand[B | None], other: B | int | Operand[B] | Operand[B | None]
        ) -> Computed[B | None]: ...
        @overload
        def __mul__(self: Operand[B], other: Operand[B | None]) -> Computed[B | None]: ...
        @overload
        def __mul__(self: Operand[B], other: B | int | Operand[B]) -> Computed[B]: ...
        @overload
        def __mul__(self: Operand[int], other: float | Operand[float]) -> Computed[float]: ...
        @overload
        def __mul__(self: Operand[int], other: Operand[Decimal]) -> Computed[Decimal]: ...
        @overload
        def __rmul__(self: Operand[Decimal | None], other: int) -> Computed[Decimal | None]: ...
        @overload
        def __rmul__(self: Operand[Decimal], other: int) -> Computed[Decimal]: ...
        @overload
        def __rmul__(self: Operand[B | None], other: B | int) -> Computed[B | None]: ...
        @overload
        def __rmul__(self: Operand[B], other: B | int) -> Computed[B]: ...
        @overload
        def __rmul__(self: Operand[int], other: float) -> Computed[float]: ...

else:

    class Mapped:
        """The type of a field: at run time, the type itself."""

        __slots__ = ()

        def __class_getitem__(cls, item: Any) -> Any:
            return cls if item is T else item

    class Operand:
        """What an expression is made of: a field, or another expression."""

        __slots__ = ()

        def __class_getitem__(cls, item: Any) -> Any:
            return cls if item is T else GenericAlias(cls, (item,))

        def __add__(self, other):
            return _combine("add", self, other)

        def __radd__(self, other):
            return _combine("add", other, self)

        def __sub__(self, other):
            return _combine("sub", self, other)

        def __rsub__(self, other):
            return _combine("sub", other, self)

        def __mul__(self, other):
            return _combine("mul", self, other)

        def __rmul__(self, other):
            return _combine("mul", other, self)


class FieldRef(Mapped[T], Operand[T], Declared):
    """A field as the class gives it: makes filters, orders and changes."""

    __slots__ = ("_inside", "_is_plain", "_operand", "_why_not_ordered", "path")

    path: Path

    def __init__(
        self, path: Path, *, operand: SchemaValidator | None = None, why_not_comparable: str | None = None
    ) -> None:
        self.path = path
        kind = path.type.kind
        self._is_plain = kind.is_scalar and why_not_comparable is None
        self._operand = operand or (_JSON if kind is Kind.JSON else path.type.operand)
        self._why_not_ordered = why_not_comparable
        self._inside: dict[Any, FieldRef[Any]] | None = None

    # -- filters -------------------------------------------------------------------------------------------------------

    if TYPE_CHECKING:
        # Two overloads on self, nullable first: what may be None may be compared with None. A Decimal takes an int too.
        @overload  # type: ignore[override]
        def __eq__(self: FieldRef[Decimal | None], value: Decimal | int | None, /) -> Filter: ...
        @overload
        def __eq__(self: FieldRef[Decimal], value: Decimal | int, /) -> Filter: ...
        @overload
        def __eq__(self: FieldRef[V | None], value: V | None, /) -> Filter: ...
        @overload
        def __eq__(self: FieldRef[V], value: V, /) -> Filter: ...
        @overload  # type: ignore[override]
        def __ne__(self: FieldRef[Decimal | None], value: Decimal | int | None, /) -> Filter: ...
        @overload
        def __ne__(self: FieldRef[Decimal], value: Decimal | int, /) -> Filter: ...
        @overload
        def __ne__(self: FieldRef[V | None], value: V | None, /) -> Filter: ...
        @overload
        def __ne__(self: FieldRef[V], value: V, /) -> Filter: ...
        @overload
        def __lt__(self: FieldRef[Decimal | None], value: Decimal | int, /) -> Filter: ...
        @overload
        def __lt__(self: FieldRef[Decimal], value: Decimal | int, /) -> Filter: ...
        @overload
        def __lt__(self: FieldRef[V | None], value: V, /) -> Filter: ...
        @overload
        def __lt__(self: FieldRef[V], value: V, /) -> Filter: ...
        @overload
        def __le__(self: FieldRef[Decimal | None], value: Decimal | int, /) -> Filter: ...
        @overload
        def __le__(self: FieldRef[Decimal], value: Decimal | int, /) -> Filter: ...
        @overload
        def __le__(self: FieldRef[V | None], value: V, /) -> Filter: ...
        @overload
        def __le__(self: FieldRef[V], value: V, /) -> Filter: ...
        @overload
        def __gt__(self: FieldRef[Decimal | None], value: Decimal | int, /) -> Filter: ...
        @overload
        def __gt__(self: FieldRef[Decimal], value: Decimal | int, /) -> Filter: ...
        @overload
        def __gt__(self: FieldRef[V | None], value: V, /) -> Filter: ...
        @overload
        def __gt__(self: FieldRef[V], value: V, /) -> Filter: ...
        @overload
        def __ge__(self: FieldRef[Decimal | None], value: Decimal | int, /) -> Filter: ...
        @overload
        def __ge__(self: FieldRef[Decimal], value: Decimal | int, /) -> Filter: ...
        @overload
        def __ge__(self: FieldRef[V | None], value: V, /) -> Filter: ...
        @overload
        def __ge__(self: FieldRef[V], value: V, /) -> Filter: ...

    else:

        def __eq__(self, value: object) -> Filter:
            if value is None or not self._is_plain:
                return self._equals(value)
            return query.Compare(self.path, "eq", self._checked(value))

        def __ne__(self, value: object) -> Filter:
            if value is None or not self._is_plain:
                return ~self._equals(value)
            return query.Compare(self.path, "ne", self._checked(value))

        def __lt__(self, value: Any) -> Filter:
            return self._compare("lt", value)

        def __le__(self, value: Any) -> Filter:
            return self._compare("le", value)

        def __gt__(self, value: Any) -> Filter:
            return self._compare("gt", value)

        def __ge__(self, value: Any) -> Filter:
            return self._compare("ge", value)

    def is_null(self) -> Filter:
        """Return the filter that the field is None (or, behind a key or a missing parent, not there)."""
        self._refuse_unless_comparable()
        return query.IsNull(self.path)

    @overload
    def in_(self: FieldRef[Decimal | None], values: Iterable[Decimal | int | None]) -> Filter: ...
    @overload
    def in_(self: FieldRef[Decimal], values: Iterable[Decimal | int]) -> Filter: ...
    @overload
    def in_(self: FieldRef[V | None], values: Iterable[V | None]) -> Filter: ...
    @overload
    def in_(self: FieldRef[V], values: Iterable[V]) -> Filter: ...
    def in_(self, values: Iterable[Any]) -> Filter:
        """Return the filter that the field is one of *values*, at most 1,000; None among them means `is_null()`."""
        self._refuse_unless_scalar("in_")
        if isinstance(values, str | bytes | bytearray | dict):
            raise self._error(f"in_ takes several values, not a {type(values).__name__}", "in_([…])")
        given = list(dict.fromkeys(v if v is None else self._checked(v) for v in values))
        if len(given) > query.MAX_IN_VALUES:
            raise self._error(
                f"in_ takes at most {query.MAX_IN_VALUES:,} values, not {len(given):,}", "ask in portions"
            )
        has_none = None in given
        if has_none:
            given.remove(None)
        parts: list[Filter] = []
        if self.path.type.kind is Kind.JSON:
            # 1 == True in Python, so equal values of two classes must not have been merged: split first.
            classes: dict[str, dict[Any, None]] = {}
            for value in values if isinstance(values, list | tuple | set | frozenset) else given:
                if value is not None:
                    checked = self._checked(value)
                    classes.setdefault(query.json_class(checked), {})[checked] = None
            parts.extend(query.In(self.path, tuple(members)) for members in classes.values())
        elif given:
            parts.append(query.In(self.path, tuple(given)))
        if has_none:
            parts.append(query.IsNull(self.path))
        return query.any_of(*parts) if parts else query.Nothing(self.path.root)

    @overload
    def not_in(self: FieldRef[Decimal | None], values: Iterable[Decimal | int | None]) -> Filter: ...
    @overload
    def not_in(self: FieldRef[Decimal], values: Iterable[Decimal | int]) -> Filter: ...
    @overload
    def not_in(self: FieldRef[V | None], values: Iterable[V | None]) -> Filter: ...
    @overload
    def not_in(self: FieldRef[V], values: Iterable[V]) -> Filter: ...
    def not_in(self, values: Iterable[Any]) -> Filter:
        """Return the exact complement of `in_`: null fields are in it, unless None is among *values*."""
        return ~cast("FieldRef[Any]", self).in_(values)

    @overload
    def between(self: FieldRef[Decimal | None], low: Decimal | int, high: Decimal | int) -> Filter: ...
    @overload
    def between(self: FieldRef[Decimal], low: Decimal | int, high: Decimal | int) -> Filter: ...
    @overload
    def between(self: FieldRef[V | None], low: V, high: V) -> Filter: ...
    @overload
    def between(self: FieldRef[V], low: V, high: V) -> Filter: ...
    def between(self, low: Any, high: Any) -> Filter:
        """Return the filter that the field lies between *low* and *high*, both included."""
        return query.all_of(self._compare("ge", low), self._compare("le", high))

    @overload
    def contains(self: FieldRef[str | None], needle: str) -> Filter: ...
    @overload
    def contains(self: FieldRef[str], needle: str) -> Filter: ...
    def contains(self, needle: Any) -> Filter:
        """Return the filter that the text has *needle* in it, by code point; "" is in every text."""
        return query.Contains(self.path, self._needle("contains", needle))

    @overload
    def starts_with(self: FieldRef[str | None], prefix: str) -> Filter: ...
    @overload
    def starts_with(self: FieldRef[str], prefix: str) -> Filter: ...
    def starts_with(self, prefix: Any) -> Filter:
        """Return the filter that the text starts with *prefix*, by code point; an index serves it."""
        return query.StartsWith(self.path, self._needle("starts_with", prefix))

    @overload
    def equals_casefold(self: FieldRef[str | None], value: str) -> Filter: ...
    @overload
    def equals_casefold(self: FieldRef[str], value: str) -> Filter: ...
    def equals_casefold(self, value: Any) -> Filter:
        """Return the filter that the text equals *value* without case; for fields that are `unique="casefold"`."""
        entity = self.path.entity
        shadow = entity.shadow(self.path.field.name) if isinstance(entity, EntitySpec) else None
        if shadow is None or self.path.inside:
            raise self._error("equals_casefold needs a casefold key", 'declare field(unique="casefold")')
        if value is None:
            raise self._error("equals_casefold takes a text, not None", "== None")
        path = Path(self.path.root, shadow, references=self.path.references)
        return query.Compare(path, "eq", casefold_key(self._checked(value)))

    @overload
    def has(self: FieldRef[list[V] | None], value: V) -> Filter: ...
    @overload
    def has(self: FieldRef[list[V]], value: V) -> Filter: ...
    def has(self, value: Any) -> Filter:
        """Return the filter that the list has an element that equals *value*, of exactly its type."""
        return query.Has(self.path, self._element("has", value))

    @overload
    def __getitem__(self: FieldRef[dict[str, V] | None], key: str) -> FieldRef[Any]: ...
    @overload
    def __getitem__(self: FieldRef[dict[str, V]], key: str) -> FieldRef[Any]: ...
    def __getitem__(self, key: str) -> FieldRef[Any]:
        if self.path.type.kind is not Kind.DICT:
            raise self._error(
                "only a dict has keys", "reach into an Embedded model by via(User.address, Address.city)"
            )
        found = self._inside.get(key) if self._inside is not None and type(key) is str else None
        if found is None:
            if type(key) is not str or not _KEY.match(key):
                raise self._error(
                    "only keys like identifiers (ASCII letters, digits, _) can be filtered by",
                    "other keys are stored as they are, but no filter reaches them",
                )
            found = FieldRef(self.path.within(key))
            if self._inside is None:
                self._inside = {}
            if len(self._inside) < 64:
                self._inside[key] = found
        return found

    # -- orders --------------------------------------------------------------------------------------------------------

    def asc(self) -> Order:
        """Return the ascending sort key: null first."""
        return self._order(False)

    def desc(self) -> Order:
        """Return the descending sort key: null last."""
        return self._order(True)

    # -- changes -------------------------------------------------------------------------------------------------------

    @overload
    def set(
        self: FieldRef[Decimal | None],
        value: Decimal | int | Operand[Decimal] | Operand[Decimal | None] | None,
    ) -> Change: ...
    @overload
    def set(self: FieldRef[Decimal], value: Decimal | int | Operand[Decimal]) -> Change: ...
    @overload
    def set(self: FieldRef[V | None], value: V | Operand[V] | Operand[V | None] | None) -> Change: ...
    @overload
    def set(self: FieldRef[V], value: V | Operand[V]) -> Change: ...
    def set(self, value: Any) -> Change:
        """Return the change that gives the field a value, or what an expression of the row's numbers yields.

        Raises:
            InvalidInput: the value is outside the field's declared bounds, None where the field is never None, or an
                expression of another type.
        """
        root, field = self._changeable("set")
        if isinstance(value, FieldRef | Computed):
            return query.Assign(root, field, self._fitting(value))
        if value is None and not field.type.nullable:
            raise self._error("cannot be set to None", "declare it as Mapped[… | None]")
        checked = check_value(field.type.literal, value, entity=root.name, field=field.name)
        return query.Assign(root, field, query.Constant(checked, field.type))

    @overload
    def append(self: FieldRef[list[V] | None], value: V) -> Change: ...
    @overload
    def append(self: FieldRef[list[V]], value: V) -> Change: ...
    def append(self, value: Any) -> Change:
        """Return the change that adds one element at the list's end; a null list becomes a list of it."""
        root, field = self._changeable("append")
        element = self._list_element("append")
        checked = check_value(element.literal, value, entity=root.name, field=f"{field.name}[…]")
        return query.Append(root, field, checked)

    @overload
    def remove(self: FieldRef[list[V] | None], value: V) -> Change: ...
    @overload
    def remove(self: FieldRef[list[V]], value: V) -> Change: ...
    def remove(self, value: Any) -> Change:
        """Return the change that removes every element that equals *value*."""
        root, field = self._changeable("remove")
        return query.Remove(root, field, self._element("remove", value))

    if TYPE_CHECKING:

        def __dbkit_source__(self) -> T: ...

    else:

        def __class_getitem__(cls, item: Any) -> Any:
            return GenericAlias(cls, (item,))

    # -- what Python would ask -----------------------------------------------------------------------------------------

    __hash__ = object.__hash__
    # By __getitem__, `list(User.tags)` and `x in User.tags` would never end.
    __iter__ = None
    __contains__ = None

    def __bool__(self) -> NoReturn:
        raise InvalidInput(
            f"{self!r} has no truth value", hint="compare it: User.is_active == True, User.note.is_null()"
        )

    def __repr__(self) -> str:
        return str(self.path)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _checked(self, value: Any) -> Any:
        try:
            return self._operand.validate_python(value)
        except ValidationError as error:
            hint = (
                "fields are compared with values, not with each other"
                if isinstance(value, Declared)
                else None
            )
            where, message = explain_validation(error)
            raise self._error(message, hint, inside=where) from None

    def _error(self, problem: str, hint: str | None = None, *, inside: tuple[Any, ...] = ()) -> InvalidInput:
        path = self.path
        full = ".".join([str(path), *map(str, inside)])
        return InvalidInput(
            f"{full}: {problem}", entity=path.root.name, field=str(path).partition(".")[2], hint=hint
        )

    def _refuse_unless_comparable(self) -> None:
        if self._why_not_ordered is not None:
            raise self._error(self._why_not_ordered)

    def _refuse_unless_scalar(self, verb: str) -> None:
        self._refuse_unless_comparable()
        kind = self.path.type.kind
        if not kind.is_scalar and kind is not Kind.JSON:
            raise self._error(f"{verb} is for single values, not for a {_WORDS[kind]}", _REACH[kind])

    def _compare(self, op: Literal["lt", "le", "gt", "ge"], value: Any) -> Filter:
        kind = self.path.type.kind
        if self._is_plain and kind.is_ordered and kind is not Kind.BOOL:
            if value is None:
                raise self._error("cannot be smaller or greater than None", "use == None or is_null()")
            return query.Compare(self.path, op, self._checked(value))
        self._refuse_unless_comparable()
        if kind is not Kind.JSON:
            raise self._error(
                f"has no order that is the same on every store ({_WORDS.get(kind, kind.value)})", "== != in_"
            )
        if value is None:
            raise self._error("cannot be smaller or greater than None", "use == None or is_null()")
        if isinstance(value, bool):
            raise self._error("a bool cannot be smaller or greater", "== True")
        return query.Compare(self.path, op, self._checked(value))

    def _equals(self, value: Any) -> Filter:
        self._refuse_unless_comparable()
        path = self.path
        if value is None:
            return query.IsNull(path)
        kind = path.type.kind
        if kind is Kind.MODEL:
            assert path.type.model is not None
            leaves = list(_leaves(self, path, path.type.model, self._checked(value)))
            if path.type.nullable:
                leaves.insert(0, query.Not(query.IsNull(path)))
            return query.all_of(*leaves)
        if kind is Kind.JSON:
            return query.Compare(path, "eq", self._checked(value))
        raise self._error(f"a whole {_WORDS[kind]} cannot be compared", _REACH[kind])

    def _needle(self, verb: str, needle: Any) -> str:
        self._refuse_unless_comparable()
        type = self.path.type
        if type.kind is not Kind.TEXT or type.choices is not None:
            raise self._error(f"{verb} is for text fields")
        try:
            checked: str = _TEXT.validate_python(needle)
        except ValidationError as error:
            raise self._error(explain_validation(error)[1]) from None
        if len(checked) > 1_000:
            raise self._error(f"{verb} takes at most 1,000 characters, not {len(checked):,}")
        return checked

    def _list_element(self, verb: str) -> ValueType:
        element = self.path.type.element
        if self.path.type.kind is not Kind.LIST or element is None:
            raise self._error(f"{verb} is for lists")
        return element

    def _element(self, verb: str, value: Any) -> Any:
        element = self._list_element(verb)
        if not element.kind.is_scalar and element.kind is not Kind.JSON:
            raise self._error(f"{verb} is for lists of single values")
        validator = _JSON if element.kind is Kind.JSON else element.operand
        # Pydantic's strict float takes an int.
        if value is None or (element.kind is Kind.FLOAT and type(value) is not float):
            raise self._error(f"{verb} takes an element of exactly the list's type ({element.kind.value})")
        try:
            return validator.validate_python(value)
        except ValidationError as error:
            raise self._error(f"{verb}: {explain_validation(error)[1]}") from None

    def _order(self, descending: bool) -> Order:
        self._refuse_unless_comparable()
        kind = self.path.type.kind
        if not kind.is_ordered:
            raise self._error(
                f"has no order that is the same on every store ({_WORDS.get(kind, kind.value)})"
            )
        return Order(self.path, descending)

    def _changeable(self, verb: str) -> tuple[EntitySpec, FieldSpec]:
        path = self.path
        root, field = path.root, path.field
        if not path.is_own_field or not isinstance(root, EntitySpec):
            raise self._error(
                "a change is about a whole field of the entity itself",
                f"{verb} a field of it, not one inside",
            )
        kept = (root.timestamped and field.name in _KEPT) or (root.versioned and field.name == "version")
        if kept or field is root.id:
            raise self._error(
                "is never changed" if field is root.id else "is kept by dbkit, not changed by a program"
            )
        return root, field

    def _fitting(self, value: FieldRef[Any] | Computed[Any]) -> query.Expression:
        root, expression = _expression(value)
        if root is not self.path.root:
            raise self._error(
                f"an expression of {root.name} cannot be set here", "only fields of the same row"
            )
        to, of = self.path.type, expression.type
        if to.choices is not None or of.kind is not to.kind or of.decimal_places != to.decimal_places:
            raise self._error(f"an expression of {_typed(of)} does not fit {_typed(to)}")
        if of.nullable and not to.nullable:
            raise self._error("the expression can be None, the field cannot", "where=… does not change that")
        return expression


class Computed(Operand[T]):
    """A number that the store computes from the row as it is: `Account.balance - amount`."""

    __slots__ = ("expression", "root")

    def __init__(self, root: EntitySpec, expression: query.Expression) -> None:
        self.root, self.expression = root, expression

    def __eq__(self, other: object) -> NoReturn:
        raise InvalidInput(
            "an expression cannot be compared", hint="it is for .set(…); compare the field itself"
        )

    __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __eq__
    __hash__ = object.__hash__


class InnerRef(FieldRef[Any]):
    """A field of an `Embedded` model: it has no place of its own until `via` gives it one."""

    __slots__ = ("model", "name", "steps")

    def __init__(self, model: ModelSpec, steps: tuple[FieldSpec | str, ...]) -> None:
        self.model, self.steps = model, steps
        self.name = ".".join([model.model.__name__, *(s if isinstance(s, str) else s.name for s in steps)])

    @property
    def leaf(self) -> ValueType | None:
        """The type of what the last step reaches; None behind a dict's key."""
        last = self.steps[-1]
        return None if isinstance(last, str) else last.type

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise InvalidInput(
            f"{self.name} is a field of a nested model and has no place of its own",
            hint=f"reach it from its entity: via(Entity.field, {self.name})",
        )

    def __getitem__(self, key: str) -> InnerRef:  # type: ignore[override]
        leaf = self.leaf
        if leaf is None or leaf.kind is not Kind.DICT or type(key) is not str or not _KEY.match(key):
            raise InvalidInput(
                f"{self.name}: only a dict has keys, and only those like identifiers can be filtered by"
            )
        return InnerRef(self.model, (*self.steps, key))

    def __repr__(self) -> str:
        return self.name


class ParentRef(Mapped[T], Declared):
    """A whole parent: `via(Post.user_id, User)`, for a view's field."""

    __slots__ = ("path", "read")

    def __init__(self, path: Path, read: ReadSpec) -> None:
        self.path, self.read = path, read


@overload
def via(source: Source[T], /) -> FieldRef[T]: ...
@overload
def via(source: FieldRef[V | None], target: type[T], /) -> ParentRef[T | None]: ...
@overload
def via(source: FieldRef[Any], target: type[T], /) -> ParentRef[T]: ...
@overload
def via(source: FieldRef[V | None], target: ParentRef[T], /) -> ParentRef[T | None]: ...
@overload
def via(source: FieldRef[Any], target: ParentRef[T], /) -> ParentRef[T]: ...
@overload
def via(source: FieldRef[V | None], target: Source[T], /) -> FieldRef[T | None]: ...
@overload
def via(source: FieldRef[Any], target: Source[T], /) -> FieldRef[T]: ...
def via(source: Any, target: Any = None, /) -> Any:
    """Return a field as seen from the entity that *source* is a field of.

    * `via(Post.user_id, User.username)`: a field of the parent; it nests: `via(Post.user_id, via(User.org_id, Org.name))`.
      A parent that is missing reads as None.
    * `via(User.address, Address.city)`: a field of a nested model.
    * `via(Post.user_id, User)`: the whole parent, for a view's field; the target may be a view of it.
    * `via(Post.title)`: the field itself, for a view's field.
    """
    if not isinstance(source, FieldRef):
        raise InvalidInput(
            f"via starts from a field of a class, not a {type(source).__name__}",
            hint="via(Post.user_id, User.username): the class's field, not an instance's value",
        )
    if target is None:
        return source
    if isinstance(source, InnerRef):
        if not isinstance(target, InnerRef):
            raise InvalidInput(
                f"via({source!r}, …): a nested model's field leads only to a field of its own nested model"
            )
        _check_model(source, source.leaf, target)
        return InnerRef(source.model, (*source.steps, *target.steps))
    path = source.path
    if isinstance(target, InnerRef):
        _check_model(source, path.type, target)
        return FieldRef(
            Path(path.root, path.field, references=path.references, inside=(*path.inside, *target.steps))
        )
    if isinstance(target, ParentRef):
        behind = target.path
        _check_reference(path, behind.root)
        return ParentRef(
            Path(path.root, behind.field, references=(*path.references, path.field, *behind.references)),
            target.read,
        )
    if isinstance(target, FieldRef):
        behind = target.path
        _check_reference(path, behind.root)
        joined = Path(
            path.root,
            behind.field,
            references=(*path.references, path.field, *behind.references),
            inside=behind.inside,
        )
        return FieldRef(joined)
    if isinstance(target, type):
        from .views import read_of

        read = read_of(target)
        _check_reference(path, read.entity)
        return ParentRef(path, read)
    raise InvalidInput(
        f"via({source!r}, …) leads to a field or a class, not to a {type(target).__name__}",
        hint="via(Post.user_id, User.username), or via(Post.user_id, User) for the whole parent",
    )


def any_related(reference: FieldRef[Any], *filters: Filter) -> Filter:
    """Return the filter that takes entities which have at least one child that meets all *filters*.

    *reference* is the child's field: `any_related(Post.user_id, Post.status == "published")` is about users.
    """
    path = getattr(reference, "path", None)
    if not isinstance(reference, FieldRef) or not isinstance(path, Path):
        raise InvalidInput("any_related starts from the child's reference, e.g. any_related(Post.user_id, …)")
    if not path.is_own_field or path.field.reference is None or not isinstance(path.root, EntitySpec):
        raise InvalidInput(
            f"any_related({path}): the field is no reference of the child's own",
            entity=path.root.name,
            field=path.field.name,
            hint="field(references=lambda: Parent)",
        )
    where = query.all_of(*filters) if filters else None
    if isinstance(where, query.Everything):
        where = None
    if where is not None and where.root is not None and where.root is not path.root:
        raise InvalidInput(
            f"any_related({path}, …) takes filters on {path.root.name}, not on {where.root.name}",
            entity=path.root.name,
        )
    return query.AnyRelated(path.root, path.field, where)


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
    keys = [order_by] if isinstance(order_by, Order | FieldRef) else order_by
    if isinstance(keys, str) or not isinstance(keys, Iterable):
        raise InvalidInput(
            "order_by takes fields, not a name", hint="order_by=User.age.desc(), or several in a tuple"
        )
    found: dict[Any, Order] = {}
    for key in cast("Iterable[Any]", keys):
        order = order_of(key)
        found.setdefault(order.path.shape, order)
    return tuple(found.values())


def total_order(entity: EntitySpec, order_by: Any) -> tuple[Order, ...]:
    """Return the sort keys of an `order_by=` on *entity*'s rows, made total by its id in the last key's direction."""
    orders = orders_of(order_by)
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


# -- inside ------------------------------------------------------------------------------------------------------------

_WORDS = {
    Kind.DICT: "dict",
    Kind.LIST: "list",
    Kind.MODEL: "nested model",
    Kind.JSON: "dict's value",
    Kind.BYTES: "bytes",
    Kind.BOOL: "bool",
}
_REACH = {
    Kind.DICT: 'compare a key of it: User.extra["source"] == "ads"',
    Kind.LIST: "ask for an element: User.tags.has(…)",
    Kind.MODEL: "compare a field of it: via(User.address, Address.city)",
}


def _json_operand(value: Any) -> Any:
    kind = type(value)
    if kind is str:
        return canonical_text(value)
    if kind is bool:
        return value
    if kind is int:
        if INT_MIN <= value <= INT_MAX:
            return value
        raise PydanticCustomError("dbkit_int_range", "an int must fit into signed 64 bits")
    if kind is float:
        return canonical_float(value)
    raise PydanticCustomError(
        "dbkit_json_operand", "a dict's value is compared with a str, int, float or bool"
    )


_JSON = SchemaValidator(core_schema.no_info_plain_validator_function(_json_operand))
_TEXT = ValueType(Kind.TEXT).operand
_NUMBERS: dict[tuple[Kind, int, bool], ValueType] = {}


def _number(kind: Kind, places: int = 0, nullable: bool = False) -> ValueType:
    """Return the type of a number on the way, without bounds."""
    found = _NUMBERS.get((kind, places, nullable))
    if found is None:
        found = _NUMBERS[kind, places, nullable] = ValueType(kind, nullable=nullable, decimal_places=places)
    return found


def _typed(type: ValueType) -> str:
    return (
        f"a Decimal with {type.decimal_places} places"
        if type.kind is Kind.DECIMAL
        else f"type {type.kind.value}"
    )


def _leaves(ref: FieldRef[Any], path: Path, model: ModelSpec, value: Any) -> Iterable[Filter]:
    for field in model.fields:
        inner, item, kind = path.within(field), getattr(value, field.name), field.type.kind
        if item is None:
            yield query.IsNull(inner)
        elif kind is Kind.MODEL:
            assert field.type.model is not None
            if field.type.nullable:
                yield query.Not(query.IsNull(inner))
            yield from _leaves(ref, inner, field.type.model, item)
        elif kind.is_scalar:
            yield query.Compare(inner, "eq", item)
        else:
            raise ref._error(
                f"{field.name} is a {_WORDS[kind]}, so the whole model cannot be compared",
                "compare its other fields by via(…)",
            )


def _expression(value: FieldRef[Any] | Computed[Any]) -> tuple[EntitySpec, query.Expression]:
    if isinstance(value, Computed):
        return value.root, value.expression
    path = value.path
    if not path.is_own_field or not isinstance(path.root, EntitySpec):
        raise value._error("an expression is made of the row's own fields")
    if not path.type.kind.is_number or path.type.choices is not None:
        raise value._error("an expression is made of int, float and Decimal fields")
    return path.root, query.FieldValue(path)


def _combine(op: Literal["add", "sub", "mul"], left: Any, right: Any) -> Computed[Any]:
    known = [_expression(side) if isinstance(side, FieldRef | Computed) else None for side in (left, right)]
    roots = {found[0].token: found[0] for found in known if found is not None}
    if len(roots) > 1:
        names = " and ".join(root.name for root in roots.values())
        raise InvalidInput(f"an expression cannot join fields of {names}", hint="only fields of the same row")
    (root,) = roots.values()
    sides: list[query.Expression] = []
    for value, found, other in zip((left, right), known, reversed(known), strict=True):
        if found is not None:
            sides.append(found[1])
        else:
            assert other is not None
            sides.append(_literal(op, value, other[1].type, root))
    a, b = sides[0].type, sides[1].type
    nullable = a.nullable or b.nullable
    kinds = {a.kind, b.kind}
    made: ValueType | None = None
    if kinds == {Kind.INT}:
        made = _number(Kind.INT, nullable=nullable)
    elif Kind.FLOAT in kinds and Kind.DECIMAL not in kinds:
        made = _number(Kind.FLOAT, nullable=nullable)
    elif kinds == {Kind.DECIMAL} and op != "mul" and a.decimal_places == b.decimal_places:
        made = _number(Kind.DECIMAL, a.decimal_places, nullable)
    elif kinds == {Kind.DECIMAL, Kind.INT} and op == "mul":
        made = _number(Kind.DECIMAL, max(a.decimal_places, b.decimal_places), nullable)
    if made is None:
        raise InvalidInput(
            f"{root.name}: {_typed(a)} and {_typed(b)} do not go together here",
            entity=root.name,
            hint="int with int, float with int or float, Decimal + and - of the same places, Decimal times int",
        )
    return Computed(root, query.Arithmetic(op, sides[0], sides[1], made))


def _literal(op: str, value: Any, beside: ValueType, root: EntitySpec) -> query.Constant:
    """Return the constant beside an operand of type *beside*."""
    kind = beside.kind
    if kind is Kind.DECIMAL and op == "mul":
        kind = Kind.INT
    type_ = _number(kind, beside.decimal_places if kind is Kind.DECIMAL else 0)
    if kind is Kind.INT and type(value) is float and beside.kind is Kind.INT:
        type_ = _number(Kind.FLOAT)
    return query.Constant(check_value(type_.operand, value, entity=root.name, field="expression"), type_)


def _check_reference(path: Path, parent: EntitySpec | GroupSpec) -> None:
    reference = path.field.reference
    if path.inside or reference is None:
        raise InvalidInput(
            f"via({path}, …): the field is no reference",
            entity=path.root.name,
            field=path.field.name,
            hint="field(references=lambda: Parent)",
        )
    target = reference.target
    if target is not parent:
        raise InvalidInput(
            f"via({path}, …): the field refers to {target.name}, not to {parent.name}",
            entity=path.root.name,
            field=path.field.name,
        )


def _check_model(source: FieldRef[Any], type: ValueType | None, target: InnerRef) -> None:
    if type is None or type.kind is not Kind.MODEL or type.model is not target.model:
        name = target.model.model.__name__
        raise InvalidInput(f"via({source!r}, {target!r}): the first is no field of type {name}")


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return "did you mean …" with the nearest known names, and what is valid."""
    valid = sorted(known)
    near = difflib.get_close_matches(name, valid, n=1)
    return (f"did you mean {near[0]!r}? " if near else "") + f"valid: {', '.join(valid)}"
