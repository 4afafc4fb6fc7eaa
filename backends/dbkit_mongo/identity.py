"""Who answers: told from what the server says of itself. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from dbkit.errors import Unsupported
from dbkit.features import Features
from dbkit.statement import ServerInfo

from .features import standalone, surrogate

__all__ = ["LEAST_VERSION", "Quirks", "check_version", "features_of", "quirks_of", "server_info"]

LEAST_VERSION = (6, 0)


def server_info(build: Mapping[str, Any]) -> ServerInfo:
    """Return the server's name and version by its answer to `buildInfo`.

    The version is what it is compatible with, so it proves nothing: MongoDB's own builds also name their commit and
    storage engines, and nobody else's product.
    """
    for name, key in (
        ("SecantusDB", "secantusVersion"),
        ("FerretDB", "ferretdbVersion"),
        ("FerretDB", "ferretdb"),
    ):
        if key in build:
            stated = build[key]
            version: Any = stated
            if isinstance(stated, Mapping):
                version = cast("Mapping[str, Any]", stated).get("version", "")
            return ServerInfo(name, str(version), is_surrogate=True)
    is_mongodb = bool(str(build.get("gitVersion", "")).strip("0")) and bool(build.get("storageEngines"))
    name = "MongoDB" if is_mongodb else "a server that says it is MongoDB"
    return ServerInfo(name, str(build.get("version", "?")), is_surrogate=not is_mongodb)


def check_version(build: Mapping[str, Any]) -> None:
    """Raise `Unsupported` for a server that is older than 6.0."""
    version = tuple(int(part) for part in build.get("versionArray", ())[:2])
    if version and version < LEAST_VERSION:
        raise Unsupported(
            f"the server has version {build.get('version')}, and dbkit needs MongoDB 6.0 or later",
            hint="upgrade the server: https://www.mongodb.com/docs/manual/release-notes/6.0-upgrade/",
        )


def features_of(declared: Features, hello: Mapping[str, Any], server: ServerInfo) -> Features:
    """Return what this server, as it is deployed, can keep."""
    features = declared
    # A direct connection makes the driver's topology "single", so the server's own words decide.
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        features = standalone(features)
    return surrogate(features, server.name) if server.is_surrogate else features


@dataclass(frozen=True, slots=True)
class Quirks:
    """What a surrogate does otherwise than the manual says, and what dbkit does there instead.

    Each was seen on SecantusDB 0.7.0b3 and has its test in tests/mongo_facts.
    """

    snapshots_need_transactions: bool = False
    """Read concern "snapshot" and snapshot sessions are accepted and ignored (16 torn reads in 150), transactions are
    snapshots (none in 150): such reads run in transactions."""
    ignores_max_time: bool = False
    """`findAndModify` waits for another's transaction whatever its maxTimeMS: a claim uses transactions at once."""
    clashes_with_itself: bool = False
    """An update may be told that its document's own, unchanged key is taken (E11000) when it only met another's open
    transaction. Each update gives up all the document's unique keys and takes them again; a write conflict of the first
    half is passed over (its `_release_unique_keys` suppresses it), and the second half, once the other has rolled back,
    finds the key still there. Seen in transfers between four accounts, by a `findAndModify` of a balance that named the
    index on the owner: in 2 of 3,000 transactions of twelve workers on a busy machine. MongoDB takes no lock on the
    entry of a key that stays the same, and never says so."""


def quirks_of(server: ServerInfo) -> Quirks:
    """Return what is special about this server; nothing about MongoDB."""
    if server.name == "SecantusDB":
        return Quirks(snapshots_need_transactions=True, ignores_max_time=True, clashes_with_itself=True)
    return Quirks()
