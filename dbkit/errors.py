"""Everything that dbkit raises, one tree under `DbkitError`.

    DbkitError
      ConfigurationError          the program or its environment must change
        BadURL
        MissingDriver
        Unsupported               this store cannot keep what was asked
        SchemaDrift               the database differs from the entities
      InvalidInput                also a ValueError; raised before any I/O
        InvalidCursor
        TooLarge
        OutOfRange
      NotFound
      PreconditionFailed          the answer is no; read again before trying again
        StaleVersion
      StoredDataInvalid           what is stored does not fit the entity
      IntegrityError
        DuplicateKey
        ReferenceViolation
      Conflict                    a concurrent change; safe to run the whole transaction again
      TransactionError
        TransactionAborted
      OperationalError
        PoolTimeout
        CircuitOpen
        Unavailable
        DeadlineExceeded
      OutcomeUnknown              the write may or may not have happened
      MigrationError
        BadMigration              a migration's file cannot be used; nothing was applied
        EditedMigration
        MissingMigration
        OutOfOrder
        NoSuchVersion
        MigrationFailed           rolled back: the database is as it was
        Dirty                     a step that does not commit as a whole stopped half-way
        Locked
        LosesData
      BackupError

The driver's own error is the `__cause__`. dbkit's messages never hold a stored value, a password or a bound parameter.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "BackupError",
    "BadMigration",
    "BadURL",
    "CircuitOpen",
    "ConfigurationError",
    "Conflict",
    "DbkitError",
    "DeadlineExceeded",
    "Dirty",
    "DuplicateKey",
    "EditedMigration",
    "IntegrityError",
    "InvalidCursor",
    "InvalidInput",
    "Locked",
    "LosesData",
    "MigrationError",
    "MigrationFailed",
    "MissingDriver",
    "MissingMigration",
    "NoSuchVersion",
    "NotFound",
    "OperationalError",
    "OutOfOrder",
    "OutOfRange",
    "OutcomeUnknown",
    "PoolTimeout",
    "PreconditionFailed",
    "ReferenceViolation",
    "SchemaDrift",
    "StaleVersion",
    "StoredDataInvalid",
    "TooLarge",
    "TransactionAborted",
    "TransactionError",
    "Unavailable",
    "Unsupported",
]


class DbkitError(Exception):
    """The root of the tree.

    Attributes:
        message: what happened and where, without secrets and stored values.
        backend: the store's name (`"sqlite"`, `"postgresql"`, …), or None before a store was chosen.
        operation: the verb that was running (`"create"`, `"page"`, …), or None.
        entity: the entity's class name, or None.
        field: the field's name (names joined by `, ` for a compound key), or None.
        hint: how to mend it, or None; it is part of `str(error)`.
        retryable: whether running the same thing again, unchanged, can succeed.
    """

    default_retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        backend: str | None = None,
        operation: str | None = None,
        entity: str | None = None,
        field: str | None = None,
        hint: str | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.backend = backend
        self.operation = operation
        self.entity = entity
        self.field = field
        self.hint = hint
        self.retryable = self.default_retryable if retryable is None else retryable

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own pickling calls cls(*args) and would lose the keywords of a subclass that asks for more.
        return _rebuild, (type(self), self.message, self.__dict__.copy())


def _rebuild(cls: type[DbkitError], message: str, state: dict[str, Any]) -> DbkitError:
    error = cls.__new__(cls, message)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


class ConfigurationError(DbkitError):
    """The program, its URL or its environment must change; nothing was sent."""


class BadURL(ConfigurationError):
    """The URL cannot be read, or names an option that does not exist."""


class MissingDriver(ConfigurationError):
    """The store's driver is not installed; the hint names the extra that brings it."""


class Unsupported(ConfigurationError):
    """This store, as it is deployed, cannot keep what was asked; nothing was sent."""


class SchemaDrift(ConfigurationError):
    """The database has something else than the entities declare; `create_schema` never alters."""


class InvalidInput(DbkitError, ValueError):
    """A value, name or combination that no store would accept; raised before any I/O."""


class InvalidCursor(InvalidInput):
    """A page's token is damaged, forged, or was made by another query."""


class TooLarge(InvalidInput):
    """More rows or bytes than one operation may touch; nothing was written, nothing was cut off."""


class OutOfRange(InvalidInput):
    """A computed change would leave the field's declared bounds; the row is unchanged."""


class NotFound(DbkitError):
    """No row has this id."""


class PreconditionFailed(DbkitError):
    """The row is there, but the `where` of the write does not hold; the row is unchanged."""


class StaleVersion(PreconditionFailed):
    """The row was changed since the entity was read; the row is unchanged."""


class StoredDataInvalid(DbkitError):
    """A stored row does not fit the entity that reads it."""


class IntegrityError(DbkitError):
    """A rule of the schema was violated."""


class DuplicateKey(IntegrityError):
    """Another row has the same unique key, or the same id."""


class ReferenceViolation(IntegrityError):
    """A referenced row is missing, or a row that is still referenced was to be deleted."""


class Conflict(DbkitError):
    """Another transaction changed the same thing first; `run_in_transaction` tries again."""

    default_retryable = True


class TransactionError(DbkitError):
    """A transaction was used in a way that would surprise: nested, after its end, or around `db` itself."""


class TransactionAborted(TransactionError):
    """An earlier error ended this transaction; everything in it is rolled back."""


class OperationalError(DbkitError):
    """The server, the network or the pool; not the program."""

    default_retryable = True


class PoolTimeout(OperationalError):
    """No connection became free within `timeout_s`."""


class CircuitOpen(OperationalError):
    """The store failed so often that calls are refused for a while."""


class Unavailable(OperationalError):
    """The server cannot be reached, or closed the connection before anything was written."""


class DeadlineExceeded(OperationalError):
    """The operation, or the transaction around it, took longer than it may; it is rolled back."""


class OutcomeUnknown(DbkitError):
    """The connection broke while a write was under way: the state is as before or as after, never between."""


class MigrationError(DbkitError):
    """A schema migration failed or was refused."""


class BadMigration(MigrationError):
    """A migration's file has a name, a form or a content that cannot be run; nothing was applied."""


class EditedMigration(MigrationError):
    """The file of an applied migration is not the one that was applied; nothing was done."""


class MissingMigration(MigrationError):
    """An applied migration, or a number of the sequence, has no file; nothing was done."""


class OutOfOrder(MigrationError):
    """A migration that was never applied stands before one that was; nothing was applied."""


class NoSuchVersion(MigrationError):
    """No migration has this version, or there are fewer than the steps asked for; nothing was applied."""


class MigrationFailed(MigrationError):
    """A migration failed and was rolled back: the database is at the version before it, clean."""


class Dirty(MigrationError):
    """A migration that does not commit as a whole stopped half-way; the hint has the next commands.

    Attributes:
        version: the last version that is whole.
        target: where the step led to.
    """

    version: int = 0
    target: int = 0


class Locked(MigrationError):
    """Another process is migrating."""


class LosesData(MigrationError):
    """Closing the difference would throw data away, and nobody said that it may.

    Attributes:
        draft: the migration as it would be written (`dbkit.migrations.Draft`).
    """

    draft: Any = None


class BackupError(DbkitError):
    """A backup or a restore failed or was refused."""
