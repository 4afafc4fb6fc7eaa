"""From PyMongo's errors to dbkit's: by class where the driver decides, by the server's code everywhere else.

Codes: https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml. No message of the server is passed on,
as it may hold values; the driver's error is the `__cause__`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from bson.errors import BSONError, InvalidBSON
from pymongo import errors as driver

from dbkit.answers import closed, duplicate, row_too_large
from dbkit.errors import (
    ConfigurationError,
    Conflict,
    DbkitError,
    DeadlineExceeded,
    DuplicateKey,
    InvalidInput,
    OperationalError,
    OutcomeUnknown,
    PoolTimeout,
    SchemaDrift,
    StoredDataInvalid,
    TooLarge,
    Unavailable,
    Unsupported,
)
from dbkit.spec import EntitySpec

from .features import REPLICA_SET_HINT
from .rows import key_of

__all__ = [
    "IN_STEPS",
    "Doing",
    "duplicate_fields",
    "is_commit_unknown",
    "is_read_again",
    "is_refused",
    "server_code",
    "translate",
]


@dataclass(frozen=True, slots=True)
class Doing:
    """What was sent when an error came."""

    text: str
    """The command, without its values; empty where none is sent: then nobody is told."""
    entity: EntitySpec | None = None
    writes: bool = False
    in_transaction: bool = False
    within_s: float | None = None
    """The time limit of the whole: None for the connection's `timeout_s`, or what is longer. `IN_STEPS`: the server is told how
    long it may take, and a synchronous client's sockets end what it does not answer."""


IN_STEPS = 0.0


def translate(error: Exception, doing: Doing) -> DbkitError:
    """Return dbkit's error for the driver's *error*."""
    # A lost reply leaves the outcome open in autocommit only: a transaction without its commit has changed nothing.
    is_unknown = doing.writes and not doing.in_transaction
    if is_unknown and is_commit_unknown(error):
        # Whatever came last, of several attempts: "no server was found" does not say that none was reached before.
        return OutcomeUnknown("the commit was not confirmed: the transaction may or may not have happened")
    for kind, make in _BY_CLASS:
        if isinstance(error, kind):
            return make(error, is_unknown)
    if isinstance(error, driver.OperationFailure):
        return _by_code(error, doing, is_unknown)
    return OperationalError("the driver failed", retryable=False)


def _unsent(_error: Exception, _is_unknown: bool) -> DbkitError:
    return Unavailable("no server that takes this operation can be reached; nothing was sent")


def _timed_out(_error: Exception, is_unknown: bool) -> DbkitError:
    if is_unknown:
        return OutcomeUnknown("the server did not answer in time: the write may or may not have happened")
    return DeadlineExceeded("the server did not answer in time")


_READ_AGAIN = frozenset({6, 7, 89, 91, 134, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436})
"""The codes of "Retryable Error" in https://github.com/mongodb/specifications/blob/master/source/retryable-reads/."""


def is_read_again(error: driver.PyMongoError) -> bool:
    """Whether a read is sent again, as PyMongo does for its cursors: a connection broke, or a server steps down."""
    if isinstance(error, driver.ServerSelectionTimeoutError | driver.NetworkTimeout):
        # The caller has waited as long as it said.
        return False
    if isinstance(error, driver.OperationFailure):
        return error.code in _READ_AGAIN
    return isinstance(error, driver.AutoReconnect)


def is_refused(error: Exception) -> bool:
    """Whether the server says that it is no primary any more: it refused the operation, so nothing was written."""
    return isinstance(error, driver.NotPrimaryError) and server_code(error) in _NOT_PRIMARY


def _broken(error: Exception, is_unknown: bool) -> DbkitError:
    if is_unknown and not is_refused(error):
        return OutcomeUnknown(
            "the connection broke while a write was under way: it may or may not have happened"
        )
    return Unavailable("the connection broke, or the server is no longer the primary")


def _write_concern(_error: Exception, is_unknown: bool) -> DbkitError:
    if is_unknown:
        return OutcomeUnknown(
            "the write happened, but a majority of the servers has not confirmed it in time"
        )
    return DeadlineExceeded("a majority of the servers has not confirmed in time")


_BY_CLASS: list[tuple[type[Exception], Callable[[Exception, bool], DbkitError]]] = [
    # The order matters: each stands before its parents.
    (
        driver.WaitQueueTimeoutError,
        lambda _e, _u: PoolTimeout(
            "no connection became free in time", hint="raise pool_size, or shorten what holds connections"
        ),
    ),
    (driver.ServerSelectionTimeoutError, _unsent),
    (driver.NetworkTimeout, _timed_out),
    (TimeoutError, _timed_out),
    (driver.AutoReconnect, _broken),
    (driver.ConnectionFailure, _unsent),
    (driver.WriteConcernError, _write_concern),
    (driver.DocumentTooLarge, lambda _e, _u: row_too_large()),
    (driver.InvalidOperation, lambda _e, _u: closed()),
    (
        InvalidBSON,
        lambda _e, _u: StoredDataInvalid("a stored document has a value that Python cannot hold (a date?)"),
    ),
    (BSONError, lambda _e, _u: InvalidInput("a value cannot be stored by MongoDB")),
    (
        NotImplementedError,  # mongomock's
        lambda _e, _u: Unsupported(
            "mongomock cannot do this", hint="use a MongoDB server, or memory:// in tests"
        ),
    ),
]

_NOT_PRIMARY = {10107, 10058, 13435}
"""NotWritablePrimary, LegacyNotPrimary, NotPrimaryNoSecondaryOk."""


# -- by code -------------------------------------------------------------------------------------------------------------

_TOO_LARGE = TooLarge, row_too_large().message
_CONFLICT = Conflict, "a concurrent change came first"
_LATE = DeadlineExceeded, "the operation took longer than it may"
_GONE = Unavailable, "the server is shutting down or no longer the primary"
_DENIED = ConfigurationError, "the server does not let this user do this; see its name, password and roles"

_BY_CODE: dict[int, tuple[type[DbkitError], str]] = {
    # Conflict: another transaction, a lock, or a snapshot that is no longer there.
    112: _CONFLICT,  # WriteConflict
    24: _CONFLICT,  # LockTimeout: within a transaction after 5 ms
    46: _CONFLICT,  # LockBusy
    117: _CONFLICT,  # ConflictingOperationInProgress
    225: _CONFLICT,  # TransactionTooOld
    239: _CONFLICT,  # SnapshotTooOld
    244: _CONFLICT,  # TransactionAborted
    246: _CONFLICT,  # SnapshotUnavailable
    251: _CONFLICT,  # NoSuchTransaction: the server has ended it
    50: _LATE,  # MaxTimeMSExpired
    89: _LATE,  # NetworkTimeout
    262: _LATE,  # ExceededTimeLimit
    290: _LATE,  # TransactionExceededLifetimeLimitSeconds
    10334: _TOO_LARGE,  # BSONObjectTooLarge
    17419: _TOO_LARGE,  # the document after an update
    17420: _TOO_LARGE,  # the document after an upsert
    146: (TooLarge, "more than the server's memory limit for one stage"),  # ExceededMemoryLimit
    292: (
        TooLarge,
        "more than the server's memory limit for one stage",
    ),  # QueryExceededMemoryLimitNoDiskUseAllowed
    13: _DENIED,  # Unauthorized
    18: _DENIED,  # AuthenticationFailed
    8000: _DENIED,  # AtlasError, for a wrong password
    6: _GONE,  # HostUnreachable
    7: _GONE,  # HostNotFound
    91: _GONE,  # ShutdownInProgress
    189: _GONE,  # PrimarySteppedDown
    9001: _GONE,  # SocketException
    11600: _GONE,  # InterruptedAtShutdown
    11602: _GONE,  # InterruptedDueToReplStateChange
    10107: _GONE,
    13435: _GONE,
    43: (
        Unavailable,
        "the cursor is gone: the server was restarted or the read took too long",
    ),  # CursorNotFound
    121: (SchemaDrift, "the collection's validator refused the document: it is not that of the entities"),
    263: (
        ConfigurationError,
        "the server cannot do this inside a transaction",
    ),  # OperationNotSupportedInTransaction
}


def _by_code(error: driver.OperationFailure, doing: Doing, is_unknown: bool) -> DbkitError:
    code = server_code(error)
    if code in _DUPLICATE:
        return _duplicate(error, doing)
    if code == 20 and "replica set" in str(error):  # IllegalOperation: transactions on a standalone
        return Unsupported("transactions need a replica set, and this server is none", hint=REPLICA_SET_HINT)
    if code == 2 and "too large" in str(error):  # BadValue: how an insert of more than 16 MiB is refused
        return row_too_large()
    if code == 50 and is_unknown:
        # One document is written at once or not at all: who waits this long waits for another's transaction.
        return Conflict("waited too long for another transaction that holds the same document")
    if code == 64:  # WriteConcernFailed
        return _write_concern(error, is_unknown)
    known = _BY_CODE.get(code or 0)
    if known is not None:
        kind, message = known
        if known is _GONE and is_unknown and code not in _NOT_PRIMARY:
            return _broken(error, is_unknown)
        return kind(message)
    if error.has_error_label("TransientTransactionError"):
        return Conflict(_CONFLICT[1])
    return OperationalError(f"the server refused the operation (code {code})", retryable=False)


_DUPLICATE = {11000, 11001, 12582}


def _first_write_error(error: Exception) -> Mapping[str, Any]:
    details = cast("Mapping[str, Any]", getattr(error, "details", None) or {})
    failures = details.get("writeErrors")
    return failures[0] if failures else details


def server_code(error: Exception) -> int | None:
    """Return the server's error code; of a bulk write that of its first failure."""
    code = _first_write_error(error).get("code")
    if code is None:
        code = getattr(error, "code", None)
    return code if isinstance(code, int) else None


_INDEX = re.compile(r"index: (?:\S*\.\$)?(\S+) dup key")


def duplicate_fields(error: Exception) -> tuple[str, ...]:
    """Return the keys of the unique index that was violated, as stored; empty where the server does not say."""
    details = _first_write_error(error)
    pattern = details.get("keyPattern")
    if pattern:
        return tuple(pattern)
    found = _INDEX.search(str(details.get("errmsg", "")))
    if found is None:
        return ()
    if found[1] == "_id_":
        return ("_id",)
    # The names that `schema` gives: the keys, joined.
    return tuple(found[1].removeprefix("unique_").split("__")) if found[1].startswith("unique_") else ()


def _duplicate(error: Exception, doing: Doing) -> DuplicateKey:
    keys = duplicate_fields(error)
    field = None if doing.entity is None else declared_names(doing.entity, keys)
    if doing.entity is None:
        return DuplicateKey("a unique key is taken")
    return duplicate(doing.entity.name, field)


def declared_names(entity: EntitySpec, keys: tuple[str, ...]) -> str | None:
    """Return the field names of the unique key that is stored as *keys*."""
    if keys == ("_id",):
        return "id"
    for unique in entity.uniques:
        if sorted(key_of(f) for f in unique.fields) == sorted(keys):
            return ", ".join(unique.names)
    return None


def is_commit_unknown(error: BaseException) -> bool:
    """Whether a commit that failed so may be sent again: its outcome is open.

    https://www.mongodb.com/docs/manual/core/transactions-in-applications/#unknowntransactioncommitresult
    """
    return isinstance(error, driver.PyMongoError) and error.has_error_label("UnknownTransactionCommitResult")
