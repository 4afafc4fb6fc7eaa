"""What the verbs need of a connection, whichever driver made it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeVar

__all__ = ["AsyncConnection", "AsyncThunk", "AsyncWork"]

C_contra = TypeVar("C_contra", contravariant=True)
T_co = TypeVar("T_co", covariant=True)


class AsyncWork(Protocol[C_contra, T_co]):
    """What is done on one connection."""

    async def __call__(self, connection: C_contra, /) -> T_co:
        """Do it."""
        ...


class AsyncThunk(Protocol[T_co]):
    """A call that is yet to be made."""

    async def __call__(self) -> T_co:
        """Make it."""
        ...


class AsyncConnection(Protocol):
    """A driver's connection, in autocommit until `begin`; its errors are the driver's own."""

    @property
    def raw(self) -> Any:
        """The driver's own connection."""
        ...

    @property
    def is_clean(self) -> bool:
        """Whether it is fit for the next one: it is open, and no transaction is."""
        ...

    @property
    def is_doubtful(self) -> bool:
        """Whether it was idle for a while, and the server has closed it."""
        ...

    @property
    def touched(self) -> int:
        """How many rows were ever changed, cascades included, where the server counts them."""
        ...

    async def rows(self, text: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows."""
        ...

    async def change(self, text: str, params: Sequence[Any] = ()) -> int:
        """Run a statement and return how many rows it changed."""
        ...

    async def change_many(self, text: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement for each row."""
        ...

    async def begin(self, *, read_only: bool = False) -> None:
        """Begin a transaction of one snapshot."""
        ...

    async def commit(self) -> None:
        """Commit it."""
        ...

    async def rollback(self) -> None:
        """Roll it back."""
        ...

    async def close(self) -> None:
        """Close it; a broken one too."""
        ...
