"""The tests' servers: `dbkit.testing.servers`, which is shipped, as users' suites and the examples need them, too."""

from dbkit.testing.servers import (
    Missing,
    Server,
    describe,
    drop_database,
    fresh_database,
    missing_is_failure,
    start_mongodb,
    start_postgres,
)

__all__ = [
    "Missing",
    "Server",
    "describe",
    "drop_database",
    "fresh_database",
    "missing_is_failure",
    "start_mongodb",
    "start_postgres",
]
