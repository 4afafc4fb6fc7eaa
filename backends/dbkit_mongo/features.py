"""What MongoDB can keep, as a replica set and as a standalone server, and what mongomock can."""

from __future__ import annotations

from dataclasses import replace

from dbkit.features import Answer, Features

__all__ = ["FEATURES", "MONGODB", "MONGOMOCK", "REPLICA_SET_HINT", "standalone", "surrogate"]

REPLICA_SET_HINT = (
    "start it as a one-node replica set: mongod --replSet rs0 --dbpath data --fork --logpath mongod.log "
    "&& mongosh --eval 'rs.initiate()'"
)

_MANUAL = "https://www.mongodb.com/docs/manual"

MONGODB = Features(
    transactions=Answer(True, f"multi-document transactions of a replica set: {_MANUAL}/core/transactions/"),
    atomic_many=Answer(True, "several documents are written in a transaction"),
    checked_references=Answer(
        True,
        "guard documents, raised by who refers to a parent and by who deletes it: "
        f"{_MANUAL}/core/transactions-production-consideration/#in-progress-transactions-and-write-conflicts",
    ),
    snapshot_reads=Answer(True, f'read concern "snapshot": {_MANUAL}/reference/read-concern-snapshot/'),
    computed_changes=Answer(
        True,
        f"update pipelines, ranges in the filter: {_MANUAL}/tutorial/update-documents-with-aggregation-pipeline/",
    ),
    views=Answer(True, f"$lookup: {_MANUAL}/reference/operator/aggregation/lookup/"),
    groups=Answer(True, f"$group, sums as Decimal128: {_MANUAL}/reference/operator/aggregation/sum/"),
    concurrent_writers=Answer(True, f"locks are per document: {_MANUAL}/faq/concurrency/"),
    claim=Answer(
        True, f"findAndModify for each document is atomic: {_MANUAL}/reference/command/findAndModify/"
    ),
    kept_schema=Answer(True, f"$jsonSchema validators: {_MANUAL}/core/schema-validation/"),
    query_plans=Answer(True, f"{_MANUAL}/reference/command/explain/"),
    persistent=Answer(True, 'write concern "majority" with journaling'),
    shared=Answer(True, "a server"),
    casefold_unique=Answer(True, "a shadow field carries the unique index"),
    serializable=Answer(
        False,
        f"transactions are snapshots, so write skew is possible: {_MANUAL}/core/read-isolation-consistency-recency/",
        "connect to PostgreSQL for serializable transactions",
    ),
    real_server=Answer(True, "buildInfo names the product"),
)

_NO_SERVER = "mongomock imitates a server within the process"
_INSTEAD = "use a MongoDB server, or memory:// in tests"


def _not_in_mock(why: str) -> Answer:
    return Answer(False, why, _INSTEAD)


MONGOMOCK = replace(
    MONGODB,
    transactions=_not_in_mock("mongomock has no sessions"),
    atomic_many=_not_in_mock("mongomock has no transactions"),
    checked_references=_not_in_mock("mongomock has no transactions"),
    snapshot_reads=_not_in_mock("mongomock has no snapshots"),
    computed_changes=_not_in_mock("mongomock has no update pipelines: a number plus a constant is all"),
    views=_not_in_mock("mongomock's $lookup has no pipeline"),
    groups=_not_in_mock("mongomock has neither exact sums nor $dateTrunc"),
    concurrent_writers=_not_in_mock("mongomock is not made for threads"),
    claim=_not_in_mock("mongomock is not made for threads"),
    kept_schema=_not_in_mock("mongomock has no validators"),
    query_plans=_not_in_mock("mongomock has no explain"),
    persistent=_not_in_mock(_NO_SERVER),
    shared=_not_in_mock(_NO_SERVER),
    real_server=_not_in_mock(_NO_SERVER),
)

FEATURES = {"mongodb": MONGODB, "mongomock": MONGOMOCK}


def standalone(features: Features) -> Features:
    """Return the answers of a server that is no member of a replica set."""
    no = Answer(
        False,
        f"the server is standalone, and transactions need a replica set ({_MANUAL}/core/transactions/)",
        REPLICA_SET_HINT,
    )
    return replace(features, transactions=no, atomic_many=no, checked_references=no, snapshot_reads=no)


def surrogate(features: Features, name: str) -> Features:
    """Return the answers of a server that only speaks MongoDB's protocol."""
    return replace(
        features, real_server=Answer(False, f"{name} speaks MongoDB's protocol and is not MongoDB", _INSTEAD)
    )
