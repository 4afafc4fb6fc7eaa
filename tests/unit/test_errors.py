"""The error tree: what every error carries, says, and keeps through pickling."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbkit import errors
from dbkit.errors import DbkitError, InvalidInput

ALL = [getattr(errors, name) for name in errors.__all__]

TREE = """
DbkitError
  ConfigurationError
    BadURL
    MissingDriver
    Unsupported
    SchemaDrift
  InvalidInput
    InvalidCursor
    TooLarge
    OutOfRange
  NotFound
  PreconditionFailed
    StaleVersion
  StoredDataInvalid
  IntegrityError
    DuplicateKey
    ReferenceViolation
  Conflict
  TransactionError
    TransactionAborted
  OperationalError
    PoolTimeout
    CircuitOpen
    Unavailable
    DeadlineExceeded
  OutcomeUnknown
  MigrationError
    BadMigration
    EditedMigration
    MissingMigration
    OutOfOrder
    NoSuchVersion
    MigrationFailed
    Dirty
    Locked
    LosesData
  BackupError
"""


def tree(cls: type[DbkitError], depth: int = 0) -> list[tuple[str, int]]:
    own = [c for c in cls.__subclasses__() if c.__module__ == errors.__name__]
    children = sorted(own, key=lambda c: inspect.getsourcelines(c)[1])
    return [(cls.__name__, depth), *(line for child in children for line in tree(child, depth + 1))]


def test_the_tree_is_the_documented_one() -> None:
    wanted = [(line.strip(), (len(line) - len(line.lstrip())) // 2) for line in TREE.split("\n") if line]
    assert tree(DbkitError) == wanted
    assert sorted(name for name, _ in wanted) == sorted(errors.__all__)


def test_the_docstring_shows_the_same_tree() -> None:
    shown = re.findall(r"^ {4}( *)([A-Z]\w+)", errors.__doc__ or "", re.MULTILINE)
    assert [(name, len(indent) // 2) for indent, name in shown] == tree(DbkitError)


@pytest.mark.parametrize("cls", ALL)
def test_each_says_what_it_means(cls: type[DbkitError]) -> None:
    assert cls.__doc__ is not None
    assert cls.__doc__.strip() != (cls.__base__.__doc__ or "").strip()


@pytest.mark.parametrize("cls", ALL)
def test_each_carries_where_and_how_to_mend_it(cls: type[DbkitError]) -> None:
    error = cls("what", backend="sqlite", operation="create", entity="User", field="email", hint="do this")
    assert (error.backend, error.operation, error.entity, error.field) == (
        "sqlite",
        "create",
        "User",
        "email",
    )
    assert (error.message, error.hint, str(error)) == ("what", "do this", "what (do this)")
    bare = cls("what")
    assert str(bare) == "what"
    assert (bare.backend, bare.operation, bare.entity, bare.field, bare.hint) == (None,) * 5


def test_what_can_succeed_unchanged_is_retryable() -> None:
    retryable = {cls.__name__ for cls in ALL if cls("x").retryable}
    assert retryable == {
        "Conflict",
        "OperationalError",
        "PoolTimeout",
        "CircuitOpen",
        "Unavailable",
        "DeadlineExceeded",
    }
    assert errors.Conflict("x", retryable=False).retryable is False
    assert errors.NotFound("x", retryable=True).retryable is True


def test_bad_input_is_a_value_error_too() -> None:
    value_errors = {cls.__name__ for cls in ALL if issubclass(cls, ValueError)}
    assert value_errors == {"InvalidInput", "InvalidCursor", "TooLarge", "OutOfRange"}
    with pytest.raises(ValueError, match="what"):
        raise InvalidInput("what")


texts = st.none() | st.text()


@given(
    cls=st.sampled_from(ALL),
    message=st.text(),
    backend=texts,
    operation=texts,
    entity=texts,
    field=texts,
    hint=texts,
    retryable=st.none() | st.booleans(),
    protocol=st.integers(0, pickle.HIGHEST_PROTOCOL),
)
def test_pickling_keeps_all(
    cls: type[DbkitError],
    message: str,
    backend: str | None,
    operation: str | None,
    entity: str | None,
    field: str | None,
    hint: str | None,
    retryable: bool | None,
    protocol: int,
) -> None:
    error = cls(
        message,
        backend=backend,
        operation=operation,
        entity=entity,
        field=field,
        hint=hint,
        retryable=retryable,
    )
    for other in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is cls
        assert other.__dict__ == error.__dict__
        assert (other.args, str(other)) == (error.args, str(error))


class TwoArguments(DbkitError):
    """A user's own error, whose constructor asks for more."""

    def __init__(self, table: str, count: int) -> None:
        super().__init__(f"{table}: {count}")
        self.count = count


def test_a_subclass_with_another_constructor_pickles() -> None:
    other = pickle.loads(pickle.dumps(TwoArguments("users", 3)))
    assert type(other) is TwoArguments
    assert (str(other), other.count) == ("users: 3", 3)


def test_a_pickle_holds_no_cause() -> None:
    """A driver's error may hold the URL or bound values; a pickle of ours travels to logs and queues."""
    error = errors.Unavailable("cannot reach the server")
    error.__cause__ = RuntimeError("password=hunter2")
    assert b"hunter2" not in pickle.dumps(error)
