"""What stands in a class body: `field()`, and the namespace that takes declarations apart before pydantic looks."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, overload

from pydantic import Field
from pydantic.fields import FieldInfo
from typing_extensions import Unpack

from .errors import ConfigurationError
from .nearest import nearest
from .spec import OnDelete

__all__ = ["Declared", "FieldOptions", "Namespace", "field"]

if TYPE_CHECKING:
    from .fields import Mapped

T = TypeVar("T")
_MISSING: Any = object()


class Declared:
    """What a class body may assign to a view's or group's field, beside `field()`."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class FieldOptions:
    """What `field()` says beyond pydantic."""

    unique: bool | Literal["casefold"] = False
    index: bool = False
    references: Callable[[], Any] | None = None
    on_delete: OnDelete = "restrict"
    check: bool = True
    stored_as: str | None = None


class FieldDeclaration:
    """What `field()` returns at run time."""

    __slots__ = ("info", "options")

    def __init__(self, info: FieldInfo, options: FieldOptions) -> None:
        self.info, self.options = info, options


class PydanticOptions(TypedDict, total=False):
    """What `field()` hands to pydantic's `Field`."""

    title: str | None
    description: str | None
    examples: list[Any] | None
    exclude: bool | None
    deprecated: str | bool | None
    json_schema_extra: dict[str, Any] | Callable[[dict[str, Any]], None] | None
    repr: bool
    validate_default: bool | None
    strict: bool | None
    pattern: str | None
    min_length: int | None
    max_length: int | None
    max_digits: int | None
    decimal_places: int | None
    ge: Any
    gt: Any
    le: Any
    lt: Any
    multiple_of: float | None


@overload
def field(
    *,
    default: T,
    unique: bool | Literal["casefold"] = ...,
    index: bool = ...,
    references: Callable[[], Any] | None = ...,
    on_delete: OnDelete = ...,
    check: bool = ...,
    stored_as: str | None = ...,
    **rest: Unpack[PydanticOptions],
) -> Mapped[T]: ...
@overload
def field(
    *,
    default_factory: Callable[[], T] | Callable[[dict[str, Any]], T],
    unique: bool | Literal["casefold"] = ...,
    index: bool = ...,
    references: Callable[[], Any] | None = ...,
    on_delete: OnDelete = ...,
    check: bool = ...,
    stored_as: str | None = ...,
    **rest: Unpack[PydanticOptions],
) -> Mapped[T]: ...
@overload
def field(
    *,
    unique: bool | Literal["casefold"] = ...,
    index: bool = ...,
    references: Callable[[], Any] | None = ...,
    on_delete: OnDelete = ...,
    check: bool = ...,
    stored_as: str | None = ...,
    **rest: Unpack[PydanticOptions],
) -> Any: ...
def field(
    *,
    default: Any = _MISSING,
    default_factory: Any = _MISSING,
    unique: bool | Literal["casefold"] = False,
    index: bool = False,
    references: Callable[[], Any] | None = None,
    on_delete: OnDelete = "restrict",
    check: bool = True,
    stored_as: str | None = None,
    **rest: Any,
) -> Any:
    """Declare a field of an entity or of an `Embedded` model.

    Args:
        default: the value where the constructor is given none.
        default_factory: makes that value.
        unique: no two rows share the value (null never conflicts); "casefold": nor values that differ in case only.
        index: searched or sorted by.
        references: a function that gives the parent's class, whose id the field holds: `references=lambda: User`.
        on_delete: what deleting the parent does: "restrict" refuses, "cascade" deletes the child, "set_null".
        check: False lets the store not check that the parent exists.
        stored_as: the column's or the document key's name, where it differs from the field's. On `id` it names the SQL
            column; MongoDB calls a document's id `_id`, whatever the program calls it.
        rest: goes to pydantic's `Field`: `max_length=`, `max_digits=`, `decimal_places=`, `ge=`, `description=`, …
    """
    for name in ("alias", "validation_alias", "serialization_alias", "alias_priority"):
        if name in rest:
            raise ConfigurationError(
                f"field({name}=…) would break reading by name", hint="stored_as= names the column"
            )
    unknown = next((name for name in rest if name not in _PYDANTIC_OPTIONS), None)
    if unknown is not None:
        known = sorted(_PYDANTIC_OPTIONS | _OWN_OPTIONS)
        near = nearest(unknown, known)
        raise ConfigurationError(
            f"field({unknown}=…) means nothing",
            hint=f"did you mean {near}=?" if near else f"valid: {', '.join(known)}",
        )
    if unique not in (False, True, "casefold"):
        raise ConfigurationError('unique= is True, False or "casefold"')
    if on_delete not in ("restrict", "cascade", "set_null"):
        raise ConfigurationError('on_delete= is "restrict", "cascade" or "set_null"')
    if references is not None and (isinstance(references, type) or not callable(references)):
        raise ConfigurationError(
            "references= takes a function, so that the parent may be declared later",
            hint="references=lambda: User",
        )
    if references is None and (on_delete != "restrict" or not check):
        raise ConfigurationError("on_delete= and check= are about references=")
    if default is not _MISSING:
        rest["default"] = default
    if default_factory is not _MISSING:
        rest["default_factory"] = default_factory
    options = FieldOptions(unique, index, references, on_delete, check, stored_as)
    return FieldDeclaration(Field(**rest), options)


# Pydantic takes any further name with a deprecation warning only: a misspelt unique= would be no key at all.
_PYDANTIC_OPTIONS = frozenset(inspect.signature(Field).parameters) - {"extra"}
_OWN_OPTIONS = frozenset(inspect.signature(field).parameters) - {"rest"}


class Namespace(dict[str, Any]):
    """A class body in which pydantic sees plain fields, and dbkit's declarations stand aside.

    (A metaclass with `__new__` would do the same, but pydantic counts frames to find the names of a function in which a
    class is made.)
    """

    def __init__(self) -> None:
        super().__init__()
        self["__dbkit_options__"] = {}
        self["__dbkit_sources__"] = {}

    def __setitem__(self, name: str, value: Any) -> None:
        if isinstance(value, FieldDeclaration):
            self["__dbkit_options__"][name] = value.options
            value = value.info
        elif isinstance(value, Declared) and not name.startswith("_"):
            self["__dbkit_sources__"][name] = value
            return
        super().__setitem__(name, value)
