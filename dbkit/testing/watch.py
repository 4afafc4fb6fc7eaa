"""What rules look at beside results: the errors that are raised, and the statements that are sent."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from dbkit.errors import DbkitError
from dbkit.statement import Hook, Statement

__all__ = ["Raised", "Watch", "raises"]

X = TypeVar("X", bound=Exception)
# What only frames a read or a write: a transaction's beginning and end, and settings.
_CONTROL = re.compile(
    r"\W*(BEGIN|COMMIT|ROLLBACK|START|SET|SAVEPOINT|RELEASE|END|PRAGMA|(start|commit|abort)Transaction)\b",
    re.IGNORECASE,
)


class Raised(Generic[X]):
    """The error that a block raised."""

    error: X


@contextmanager
def raises(*kinds: type[X]) -> Generator[Raised[X]]:
    """Assert that the block raises one of exactly these classes: a subclass is another answer."""
    raised: Raised[X] = Raised()
    names = " or ".join(kind.__name__ for kind in kinds)
    try:
        yield raised
    except kinds as error:
        if type(error) not in kinds:
            raise AssertionError(f"{type(error).__name__} instead of {names}") from error
        if isinstance(error, DbkitError) and not str(error):
            raise AssertionError(f"{names} without a message") from error
        raised.error = error
    else:
        raise AssertionError(f"{names} was not raised")


class Watch:
    """The statements that a database sends from now on."""

    def __init__(self, db: Any) -> None:
        self.statements: list[Statement] = []
        hook: Hook = self.statements.append
        db.on_statement(hook)

    def clear(self) -> None:
        """Forget what was sent so far."""
        self.statements.clear()

    @property
    def texts(self) -> list[str]:
        """The statements' texts, without what only begins or ends a transaction."""
        return [s.text for s in self.statements if not _CONTROL.match(s.text)]
