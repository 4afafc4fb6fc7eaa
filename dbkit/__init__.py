"""One typed persistence interface over memory, SQLite, PostgreSQL and MongoDB: only the URL changes."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from ._sync.database import Database, Stores
from ._sync.store import Store
from ._sync.transaction import Transaction
from .connect import aconnect, connect
from .entity import Embedded, Entity, Record, Versioned
from .errors import (
    BackupError,
    BadMigration,
    BadURL,
    CircuitOpen,
    ConfigurationError,
    Conflict,
    DbkitError,
    DeadlineExceeded,
    Dirty,
    DuplicateKey,
    EditedMigration,
    IntegrityError,
    InvalidCursor,
    InvalidInput,
    Locked,
    LosesData,
    MigrationError,
    MigrationFailed,
    MissingDriver,
    MissingMigration,
    NoSuchVersion,
    NotFound,
    OperationalError,
    OutcomeUnknown,
    OutOfOrder,
    OutOfRange,
    PoolTimeout,
    PreconditionFailed,
    ReferenceViolation,
    SchemaDrift,
    StaleVersion,
    StoredDataInvalid,
    TooLarge,
    TransactionAborted,
    TransactionError,
    Unavailable,
    Unsupported,
)
from .features import FLAGS, Answer, Features
from .fields import FieldRef, Mapped, any_related, field, via
from .objectid import ObjectId
from .page import Page
from .query import Change, Filter, Order, all_of, any_of, everything
from .registry import register
from .statement import Plan, ServerInfo, Statement
from .views import Group, View, avg, count, count_distinct, day, key, max_, min_, month, related, sum_, year

if TYPE_CHECKING:
    from ._async.database import AsyncDatabase, AsyncStores
    from ._async.store import AsyncStore
    from ._async.transaction import AsyncTransaction
    from .checking import Finding, Report

__all__ = [
    "FLAGS",
    "Answer",
    "AsyncDatabase",
    "AsyncStore",
    "AsyncStores",
    "AsyncTransaction",
    "BackupError",
    "BadMigration",
    "BadURL",
    "Change",
    "CircuitOpen",
    "ConfigurationError",
    "Conflict",
    "Database",
    "DbkitError",
    "DeadlineExceeded",
    "Dirty",
    "DuplicateKey",
    "EditedMigration",
    "Embedded",
    "Entity",
    "Features",
    "FieldRef",
    "Filter",
    "Finding",
    "Group",
    "IntegrityError",
    "InvalidCursor",
    "InvalidInput",
    "Locked",
    "LosesData",
    "Mapped",
    "MigrationError",
    "MigrationFailed",
    "MissingDriver",
    "MissingMigration",
    "NoSuchVersion",
    "NotFound",
    "ObjectId",
    "OperationalError",
    "Order",
    "OutOfOrder",
    "OutOfRange",
    "OutcomeUnknown",
    "Page",
    "Plan",
    "PoolTimeout",
    "PreconditionFailed",
    "Record",
    "ReferenceViolation",
    "Report",
    "SchemaDrift",
    "ServerInfo",
    "StaleVersion",
    "Statement",
    "Store",
    "StoredDataInvalid",
    "Stores",
    "TooLarge",
    "Transaction",
    "TransactionAborted",
    "TransactionError",
    "Unavailable",
    "Unsupported",
    "Versioned",
    "View",
    "aconnect",
    "all_of",
    "any_of",
    "any_related",
    "avg",
    "connect",
    "count",
    "count_distinct",
    "day",
    "everything",
    "field",
    "key",
    "max_",
    "min_",
    "month",
    "register",
    "related",
    "sum_",
    "via",
    "year",
]

# Of the other colour, or seldom used: loaded when first asked for, so that a program of threads does not load asyncio.
_LATER = {
    "AsyncDatabase": "._async.database",
    "AsyncStore": "._async.store",
    "AsyncStores": "._async.database",
    "AsyncTransaction": "._async.transaction",
    "Finding": ".checking",
    "Report": ".checking",
}

# Checkers would take any name for one that is there.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(_import_module(_LATER[name], __name__), name)
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *_LATER})
