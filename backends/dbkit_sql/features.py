"""What SQLite and PostgreSQL can keep, with the evidence."""

from __future__ import annotations

from dbkit.features import Answer, Features

__all__ = ["FEATURES", "POSTGRESQL", "SQLITE"]

SQLITE = Features(
    transactions=Answer(
        True,
        "BEGIN IMMEDIATE, or BEGIN where it only reads; WAL gives a snapshot (sqlite.org/isolation.html)",
    ),
    atomic_many=Answer(True, "one statement, or one transaction"),
    checked_references=Answer(
        True, "PRAGMA foreign_keys = ON, checked at each verb's end (sqlite.org/foreignkeys.html)"
    ),
    snapshot_reads=Answer(True, "several statements of one read run in one transaction on a WAL database"),
    computed_changes=Answer(True, "SET sees the row before the statement; guards and CHECK keep the bounds"),
    views=Answer(True, "joins, and one statement for each relation"),
    groups=Answer(True, "GROUP BY; sums are exact by halves"),
    concurrent_writers=Answer(
        False,
        "one writer at a time: the others wait for it, 5 s at most (sqlite.org/wal.html)",
        "connect to PostgreSQL where many write at once",
    ),
    claim=Answer(True, "one transaction under the write lock"),
    kept_schema=Answer(True, "STRICT tables and CHECK constraints (sqlite.org/stricttables.html)"),
    query_plans=Answer(True, "EXPLAIN QUERY PLAN"),
    persistent=Answer(True, "a file; sqlite:// alone is a temporary one"),
    shared=Answer(
        True, "several processes of one machine may open the file; not over a network (sqlite.org/wal.html)"
    ),
    casefold_unique=Answer(True, "the shadow column carries the unique index"),
    serializable=Answer(
        True, "there is one writer at a time, and it sees the newest state (sqlite.org/isolation.html)"
    ),
    real_server=Answer(True, "the library itself"),
)
POSTGRESQL = Features(
    transactions=Answer(True, "REPEATABLE READ (the manual, 13.2.2)"),
    atomic_many=Answer(True, "one statement each"),
    checked_references=Answer(True, "foreign keys, checked at each verb's end"),
    snapshot_reads=Answer(
        True, "several statements of one read run in one REPEATABLE READ READ ONLY transaction"
    ),
    computed_changes=Answer(True, "SET sees the row before the statement; guards and CHECK keep the bounds"),
    views=Answer(True, "joins, and one LATERAL statement for each relation"),
    groups=Answer(True, "GROUP BY; sums are numeric"),
    concurrent_writers=Answer(True, "row locks (the manual, 13.3.2)"),
    claim=Answer(True, "FOR UPDATE SKIP LOCKED"),
    kept_schema=Answer(True, "column types and CHECK constraints"),
    query_plans=Answer(True, "EXPLAIN (ANALYZE, FORMAT JSON), which runs the read"),
    persistent=Answer(True, "synchronous_commit, unless the server is told otherwise"),
    shared=Answer(True, "a server"),
    casefold_unique=Answer(True, "the shadow column carries the unique index"),
    serializable=Answer(True, "SERIALIZABLE (the manual, 13.2.3)"),
    real_server=Answer(True, "the server itself"),
)
FEATURES = {"sqlite": SQLITE, "postgresql": POSTGRESQL}
