"""`Mapped[T]`: to a type checker a descriptor, at run time the type itself."""

from __future__ import annotations

from types import GenericAlias
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload

if TYPE_CHECKING:
    from typing import Never

    from .refs import FieldRef

__all__ = ["Mapped", "Source"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Source(Protocol[T_co]):
    """What gives a value: a field for `key`, for `max_`.

    Covariant, so that a view's `Mapped[str | None]` may have a source that is never None.
    """

    def __dbkit_source__(self) -> T_co: ...


if TYPE_CHECKING:

    class Mapped(Generic[T]):
        """The type of a field: `T` on an instance, `FieldRef[T]` on the class."""

        @overload
        def __get__(self, instance: None, owner: Any, /) -> FieldRef[T]: ...
        @overload
        def __get__(self, instance: object, owner: Any, /) -> T: ...
        def __get__(self, instance: Any, owner: Any, /) -> Any: ...
        def __set__(self, instance: Never, value: T, /) -> None: ...

else:

    class Mapped:
        """The type of a field: at run time, the type itself."""

        __slots__ = ()

        def __class_getitem__(cls, item: Any) -> Any:
            # `Mapped[T]`, the base of `FieldRef[T]`, is a class; `Mapped[int]`, in an annotation, is int.
            if item is T:
                return cls
            return item if cls is Mapped else GenericAlias(cls, (item,))
