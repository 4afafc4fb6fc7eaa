"""A field as its class gives it: what makes filters, sort keys and changes.

Every operand is checked, by the field's own type, when the filter or change is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar, cast, overload

from pydantic import ValidationError
from pydantic_core import PydanticCustomError, SchemaValidator, core_schema

from . import query
from .declare import Declared
from .errors import InvalidInput
from .expressions import Computed, Operand, type_name
from .mapped import Mapped, T
from .query import Change, Filter, Order, Path
from .spec import EntitySpec, FieldSpec, ModelSpec
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

__all__ = ["FieldRef", "is_key"]

V = TypeVar("V")

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}\Z")
_KEPT = frozenset({"created_at", "updated_at"})
_MAX_KEPT = 64


def is_key(key: object) -> bool:
    """Return whether a dict's key can stand in a path: an ASCII identifier."""
    return type(key) is str and _KEY.match(key) is not None


class FieldRef(Mapped[T], Operand[T], Declared):
    """A field as the class gives it: makes filters, orders and changes."""

    __slots__ = (
        "_ascending",
        "_descending",
        "_inside",
        "_is_plain",
        "_operand",
        "_shadow",
        "_why_not_ordered",
        "path",
    )

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
        # Made when they are first asked for.
        self._ascending: Order | None = None
        self._descending: Order | None = None
        self._shadow: Path | None = None

    # -- filters -------------------------------------------------------------------------------------------------------

    # Overloads on self, nullable first: what may be None may be compared with None. A Decimal takes an int too.
    @overload  # type: ignore[override]
    def __eq__(self: FieldRef[Decimal | None], value: Decimal | int | None, /) -> Filter: ...
    @overload
    def __eq__(self: FieldRef[Decimal], value: Decimal | int, /) -> Filter: ...
    @overload
    def __eq__(self: FieldRef[V | None], value: V | None, /) -> Filter: ...
    @overload
    def __eq__(self: FieldRef[V], value: V, /) -> Filter: ...
    def __eq__(self, value: Any, /) -> Filter:  # pyright: ignore[reportIncompatibleMethodOverride]
        if value is None or not self._is_plain:
            return self._equals(value)
        return query.Compare(self.path, "eq", self._checked(value))

    @overload  # type: ignore[override]
    def __ne__(self: FieldRef[Decimal | None], value: Decimal | int | None, /) -> Filter: ...
    @overload
    def __ne__(self: FieldRef[Decimal], value: Decimal | int, /) -> Filter: ...
    @overload
    def __ne__(self: FieldRef[V | None], value: V | None, /) -> Filter: ...
    @overload
    def __ne__(self: FieldRef[V], value: V, /) -> Filter: ...
    def __ne__(self, value: Any, /) -> Filter:  # pyright: ignore[reportIncompatibleMethodOverride]
        if value is None or not self._is_plain:
            return ~self._equals(value)
        return query.Compare(self.path, "ne", self._checked(value))

    @overload
    def __lt__(self: FieldRef[Decimal | None], value: Decimal | int, /) -> Filter: ...
    @overload
    def __lt__(self: FieldRef[Decimal], value: Decimal | int, /) -> Filter: ...
    @overload
    def __lt__(self: FieldRef[V | None], value: V, /) -> Filter: ...
    @overload
    def __lt__(self: FieldRef[V], value: V, /) -> Filter: ...
    def __lt__(self, value: Any, /) -> Filter:
        return self._compare("lt", value)

    @overload
    def __le__(self: FieldRef[Decimal | None], value: Decimal | int, /) -> Filter: ...
    @overload
    def __le__(self: FieldRef[Decimal], value: Decimal | int, /) -> Filter: ...
    @overload
    def __le__(self: FieldRef[V | None], value: V, /) -> Filter: ...
    @overload
    def __le__(self: FieldRef[V], value: V, /) -> Filter: ...
    def __le__(self, value: Any, /) -> Filter:
        return self._compare("le", value)

    @overload
    def __gt__(self: FieldRef[Decimal | None], value: Decimal | int, /) -> Filter: ...
    @overload
    def __gt__(self: FieldRef[Decimal], value: Decimal | int, /) -> Filter: ...
    @overload
    def __gt__(self: FieldRef[V | None], value: V, /) -> Filter: ...
    @overload
    def __gt__(self: FieldRef[V], value: V, /) -> Filter: ...
    def __gt__(self, value: Any, /) -> Filter:
        return self._compare("gt", value)

    @overload
    def __ge__(self: FieldRef[Decimal | None], value: Decimal | int, /) -> Filter: ...
    @overload
    def __ge__(self: FieldRef[Decimal], value: Decimal | int, /) -> Filter: ...
    @overload
    def __ge__(self: FieldRef[V | None], value: V, /) -> Filter: ...
    @overload
    def __ge__(self: FieldRef[V], value: V, /) -> Filter: ...
    def __ge__(self, value: Any, /) -> Filter:
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
        if isinstance(values, str | bytes | bytearray | Mapping):
            raise self._error(
                f"in_ takes several values, not one {type(cast('object', values)).__name__}", "in_([…])"
            )
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
        path = self._shadow or self._shadow_path()
        if value is None:
            raise self._error("equals_casefold takes a text, not None", "== None")
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
            found = self._behind(key)
            if self._inside is None:
                self._inside = {}
            if len(self._inside) < 64:
                self._inside[key] = found
        return found

    # -- orders --------------------------------------------------------------------------------------------------------

    def asc(self) -> Order:
        """Return the ascending sort key: null first."""
        if self._ascending is None:
            self._ascending = self._order(False)
        return self._ascending

    def desc(self) -> Order:
        """Return the descending sort key: null last."""
        if self._descending is None:
            self._descending = self._order(True)
        return self._descending

    # -- changes -------------------------------------------------------------------------------------------------------

    @overload
    def set(
        self: FieldRef[Decimal | None],
        value: Decimal | int | Operand[Decimal | None] | None,
    ) -> Change: ...
    @overload
    def set(self: FieldRef[Decimal], value: Decimal | int | Operand[Decimal]) -> Change: ...
    @overload
    def set(self: FieldRef[V | None], value: V | Operand[V | None] | None) -> Change: ...
    @overload
    def set(self: FieldRef[V], value: V | Operand[V]) -> Change: ...
    def set(self, value: Any) -> Change:
        """Return the change that gives the field a value, or what an expression of the row's numbers yields.

        Raises:
            InvalidInput: the value is outside the field's declared bounds, None where the field is never None, or an
                expression of another type.
        """
        root, field = self._changeable("set")
        if isinstance(value, Operand):
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
            leaves = list(self._leaves(path, path.type.model, self._checked(value)))
            if path.type.nullable:
                leaves.insert(0, query.Not(query.IsNull(path)))
            return query.all_of(*leaves)
        if kind is Kind.JSON:
            return query.Compare(path, "eq", self._checked(value))
        raise self._error(f"a whole {_WORDS[kind]} cannot be compared", _REACH[kind])

    def _leaves(self, path: Path, model: ModelSpec, value: Any) -> Iterable[Filter]:
        for field in model.fields:
            inner, item, kind = path.within(field), getattr(value, field.name), field.type.kind
            if item is None:
                yield query.IsNull(inner)
            elif kind is Kind.MODEL:
                assert field.type.model is not None
                if field.type.nullable:
                    yield query.Not(query.IsNull(inner))
                yield from self._leaves(inner, field.type.model, item)
            elif kind.is_scalar:
                yield query.Compare(inner, "eq", item)
            else:
                raise self._error(
                    f"{field.name} is a {_WORDS[kind]}, so the whole model cannot be compared",
                    "compare its other fields by via(…)",
                )

    def _behind(self, key: str) -> FieldRef[Any]:
        return FieldRef(self.path.within(key))

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

    def _shadow_path(self) -> Path:
        entity = self.path.entity
        shadow = entity.shadow(self.path.field.name) if isinstance(entity, EntitySpec) else None
        if shadow is None or self.path.inside:
            raise self._error("equals_casefold needs a casefold key", 'declare field(unique="casefold")')
        self._shadow = Path(self.path.root, shadow, references=self.path.references)
        return self._shadow

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

    def _fitting(self, value: Any) -> query.Expression:
        root: EntitySpec
        expression: query.Expression
        root, expression = value.__dbkit_terms__()
        if root is not self.path.root:
            raise self._error(
                f"an expression of {root.name} cannot be set here", "only fields of the same row"
            )
        to, of = self.path.type, expression.type
        if to.kind is Kind.FLOAT and of.kind is Kind.INT:
            # MongoDB would store an int; this makes it a float on every store.
            product: Computed[float] = value * 1.0
            expression = product.expression
            of = expression.type
        if to.choices is not None or of.kind is not to.kind or of.decimal_places != to.decimal_places:
            raise self._error(f"an expression of {type_name(of)} does not fit {type_name(to)}")
        if of.nullable and not to.nullable:
            raise self._error("the expression can be None, the field cannot", "where=… does not change that")
        return expression

    def __dbkit_terms__(self) -> tuple[EntitySpec, query.Expression]:
        path = self.path
        if not path.is_own_field or not isinstance(path.root, EntitySpec):
            raise self._error("an expression is made of the row's own fields")
        if not path.type.kind.is_number or path.type.choices is not None:
            raise self._error("an expression is made of int, float and Decimal fields")
        return path.root, query.FieldValue(path)


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
    kind = cast("type[object]", type(value))
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
