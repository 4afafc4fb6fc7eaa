"""What the memory store can keep."""

from __future__ import annotations

from dbkit.features import Answer, Features

__all__ = ["FEATURES"]

_BY_DESIGN = "one lock around each verb, versions of each row (dbkit_memory.tables)"

MEMORY = Features(
    transactions=Answer(True, _BY_DESIGN),
    atomic_many=Answer(True, "a verb that fails is undone as a whole"),
    checked_references=Answer(True, "checked at each verb's end, against what other transactions wrote too"),
    snapshot_reads=Answer(True, _BY_DESIGN),
    computed_changes=Answer(True, "plain Python over the row"),
    views=Answer(True, "plain Python over the rows"),
    groups=Answer(True, "plain Python over the rows; ints and Decimals of any size"),
    concurrent_writers=Answer(
        True, "two open transactions may write different rows; a verb holds the lock, a transaction does not"
    ),
    claim=Answer(True, "one verb under the lock; rows that an open transaction wrote are passed over"),
    kept_schema=Answer(
        False,
        "rows are checked by the entity alone",
        "use a server, or SQLite, for data that other programs write",
    ),
    query_plans=Answer(
        True, "explain() says which index is looked up, what is read whole and what is sorted"
    ),
    persistent=Answer(
        False, "the rows live in this process's memory", "sqlite:///file.db keeps them in a file"
    ),
    shared=Answer(False, "the rows live in this process's memory", "sqlite:///file.db, or a server"),
    casefold_unique=Answer(True, "the shadow column carries the unique key"),
    serializable=Answer(False, "transactions are snapshots: write skew is possible", "connect to PostgreSQL"),
    real_server=Answer(True, "the store is this package itself"),
)

FEATURES = {"memory": MEMORY}
