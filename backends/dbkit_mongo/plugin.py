"""The entry point: which URLs are served, and what their queries may hold."""

from __future__ import annotations

import importlib.util
import warnings
from typing import TYPE_CHECKING

from dbkit.errors import BadURL, MissingDriver, Unsupported
from dbkit.options import Options
from dbkit.url import URL

from .features import FEATURES

if TYPE_CHECKING:
    from dbkit._async.backend import AsyncBackend
    from dbkit._sync.backend import Backend
    from dbkit.migrations.store import MigrationStore

__all__ = ["EXTRA", "FEATURES", "QUERY_KEYS", "REFUSED_KEYS", "async_backend", "backend", "migration_store"]

EXTRA = "mongodb"

# PyMongo's documented URI options (https://pymongo.readthedocs.io/en/stable/api/pymongo/mongo_client.html), without those
# that would change what dbkit promises: read concerns, other write concerns, UUID forms, document classes.
QUERY_KEYS = frozenset(
    {
        "appName",
        "authMechanism",
        "authMechanismProperties",
        "authSource",
        "compressors",
        "directConnection",
        "heartbeatFrequencyMS",
        "loadBalanced",
        "localThresholdMS",
        "maxConnecting",
        "maxIdleTimeMS",
        "minPoolSize",
        "proxyHost",
        "proxyPassword",
        "proxyPort",
        "proxyUsername",
        "readPreference",
        "replicaSet",
        "retryReads",
        "retryWrites",
        "serverMonitoringMode",
        "srvMaxHosts",
        "srvServiceName",
        "ssl",
        "tls",
        "tlsAllowInvalidCertificates",
        "tlsAllowInvalidHostnames",
        "tlsCAFile",
        "tlsCertificateKeyFile",
        "tlsCertificateKeyFilePassword",
        "tlsCRLFile",
        "tlsDisableOCSPEndpointCheck",
        "tlsInsecure",
        "w",
        "zlibCompressionLevel",
    }
)
# `timeout_s` sets each of them, and bounds some calls as a whole: in the block of `pymongo.timeout` the driver passes over
# them, and a key that has an effect on some calls only would be worse than none.
# https://www.mongodb.com/docs/languages/python/pymongo-driver/current/connect/connection-options/csot/
_WHOLE = "timeout_s=… bounds waiting for a connection, finding a server, and the answer"
REFUSED_KEYS = dict.fromkeys(
    ("connectTimeoutMS", "serverSelectionTimeoutMS", "socketTimeoutMS", "timeoutMS", "waitQueueTimeoutMS"),
    _WHOLE,
)
_DRIVERS = ("motor", "srv")


def backend(url: URL, options: Options) -> Backend:
    """Make a synchronous backend, without I/O."""
    drivers = _drivers(url)
    if "motor" in drivers:
        raise BadURL(
            "mongodb+motor:// is asynchronous only", hint="mongodb:// serves both connect and aconnect"
        )
    _require("pymongo", "mongodb")
    from ._sync.backend import MongoBackend
    from .drivers import PyMongo
    from .mongomock_drivers import Mongomock
    from .rows import MONGODB, MONGOMOCK

    if url.backend == "mongomock":
        _require("mongomock", "mongomock")
        return MongoBackend(url, options, Mongomock(), MONGOMOCK, FEATURES["mongomock"])
    return MongoBackend(url, options, PyMongo(), MONGODB, FEATURES["mongodb"])


def async_backend(url: URL, options: Options) -> AsyncBackend:
    """Make an asynchronous backend, without I/O."""
    drivers = _drivers(url)
    _require("pymongo", "mongodb")
    from ._async.backend import AsyncMongoBackend
    from .drivers import AsyncMotor, AsyncPyMongo
    from .mongomock_drivers import AsyncMongomock
    from .rows import MONGODB, MONGOMOCK

    if url.backend == "mongomock":
        _require("mongomock", "mongomock")
        return AsyncMongoBackend(url, options, AsyncMongomock(), MONGOMOCK, FEATURES["mongomock"])
    if "motor" in drivers:
        _require("motor", "motor")
        warnings.warn(
            "Motor ended in May 2026 and gets critical fixes until May 2027: use mongodb://, which is PyMongo's own "
            "asynchronous client",
            DeprecationWarning,
            stacklevel=4,
        )
        return AsyncMongoBackend(url, options, AsyncMotor(), MONGODB, FEATURES["mongodb"])
    return AsyncMongoBackend(url, options, AsyncPyMongo(), MONGODB, FEATURES["mongodb"])


def migration_store(url: URL, options: Options) -> MigrationStore:
    """Make the side that migrations need, without I/O; it is synchronous whichever driver the URL names."""
    if url.backend == "mongomock":
        raise Unsupported(
            "mongomock cannot be migrated: it has no validators and no transactions",
            backend="mongomock",
            hint="use a MongoDB server; in tests create_schema() makes what the entities declare",
        )
    _drivers(url)
    _require("pymongo", "mongodb")
    from .migrating.store import MongoMigrationStore

    return MongoMigrationStore(url, options)


def _drivers(url: URL) -> set[str]:
    drivers = set(url.driver.split("+")) if url.driver else set[str]()
    allowed = _DRIVERS if url.backend == "mongodb" else ()
    if not drivers <= set(allowed):
        raise BadURL(
            f"{url.backend} has no driver of this name",
            backend=url.backend,
            hint="mongodb://, mongodb+srv://, mongodb+motor:// or mongomock://",
        )
    return drivers


def _require(module: str, extra: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise MissingDriver(
            f"{module} is not installed", backend="mongodb", hint=f"pip install 'dbkit-stores[{extra}]'"
        )
