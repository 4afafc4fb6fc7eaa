"""Kills migrators between two statements and mends what they leave, each in a process of its own.

`python run.py URL FIRST STEP` kills after the statements FIRST, FIRST + STEP, …, until a migrator lives to its end, up and
then down; it prints one line for each: the direction, the statement, and what was found. No client is open when it forks.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pymongo
from bson.int64 import Int64

from dbkit import Dirty
from dbkit.migrations import Migrator
from dbkit.statement import Statement
from dbkit_mongo.migrating import lease

FOLDER = Path(__file__).parent
ROWS = 5
FINAL: dict[str, dict[str, Any]] = {
    "up": {"nick": "@P{0}", "nick__casefold": "@p{0}", "bio": "I am P{0}", "points": 11},
    "down": {"name": "P{0}", "points": 10},
}


def in_a_process(work: Callable[[], None]) -> int:
    """Return how the process ended."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001  # a forked process must not go on as its parent
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def migrator(url: str) -> Migrator:
    return Migrator(url, FOLDER, lock_timeout_s=20)


def begin(url: str) -> None:
    """Make version 1 with rows."""
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        database = client.get_default_database()
        for name in database.list_collection_names():
            database.drop_collection(name)
    with migrator(url) as m:
        m.goto(1)
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        client.get_default_database().people.insert_many(
            [{"_id": Int64(n), "name": f"P{n}", "points": Int64(10)} for n in range(ROWS)]
        )


def killed(url: str, direction: str, at: int) -> None:
    """Migrate, and die after the statement *at*."""
    sent = 0

    def hook(_: Statement) -> None:
        nonlocal sent
        sent += 1
        if sent == at:
            os.kill(os.getpid(), signal.SIGKILL)

    with migrator(url) as m:
        m.on_statement(hook)
        if direction == "up":
            m.up()
        else:
            m.goto(1)


def mend(url: str, direction: str) -> None:
    """Do what the error says until it is done; then look at everything."""
    found = "clean"
    with migrator(url) as m:
        for _ in range(2):
            try:
                if direction == "up":
                    m.up()
                else:
                    m.goto(1)
            except Dirty as dirty:
                if found == "dirty":
                    raise
                found = "dirty"
                said = re.search(r"dbkit migrate force (\d+)", str(dirty))
                if said is None:
                    raise
                m.force(int(said[1]))
            else:
                break
        version = m.version()
    assert (version.number, version.dirty) == (3 if direction == "up" else 1, False), version
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        database = client.get_default_database()
        rows = {row.pop("_id"): row for row in database.people.find()}
        expected = {
            n: {k: v.format(n) if isinstance(v, str) else v for k, v in FINAL[direction].items()}
            for n in range(ROWS)
        }
        assert rows == expected, rows
        indexes = set(database.people.index_information())
        wanted = {"unique_nick__casefold", "index_bio___id"} if direction == "up" else {"unique_name"}
        assert indexes == wanted | {"_id_"}, indexes
        (options,) = (found["options"] for found in database.list_collections(filter={"name": "people"}))
        schema = options["validator"]["$jsonSchema"]
        assert set(schema["properties"]) == set(FINAL[direction]) | {"_id"}, schema
        assert set(schema["required"]) == set(FINAL[direction]) | {"_id"}, schema
    print(found, flush=True)


def main(url: str, first: int, step: int) -> int:
    lease.LEASE_S = 1.5
    at = first
    is_alive = {"up": False, "down": False}
    assert in_a_process(partial(begin, url)) == 0
    while not all(is_alive.values()):
        for direction in ("up", "down"):
            ended = in_a_process(partial(killed, url, direction, at))
            if ended not in {0, -signal.SIGKILL}:
                return 1
            is_alive[direction] = ended == 0
            print(direction, at, "lived" if ended == 0 else "killed", end=" ", flush=True)
            if in_a_process(partial(mend, url, direction)):
                return 1
        at += step
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
