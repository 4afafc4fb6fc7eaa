"""A program that is killed (SIGKILL) in the middle of its writes to SQLite: nothing half-written, nothing locked."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dbkit import connect
from tests.faults.entities import Item, Pair

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio, sys
from dbkit import aconnect, connect
from tests.faults.entities import Item, Pair

def say(text):
    print(text, flush=True)

def sync(url):
    with connect(url, entities=[Item, Pair]) as db:
        if sys.argv[2] == "storm":
            for number in range(1_000_000):
                db.store(Pair).create_many([Pair(number=number) for _ in range(50)])
                if number == 20:
                    say("now")
        with db.transaction() as tx:
            tx.store(Item).create(Item(name="new"))
            tx.store(Item).update_many(Item.name == "kept", changes=Item.n.set(Item.n + 1))
            say("now")
            sys.stdin.read()

async def asynchronous(url):
    async with aconnect(url, entities=[Item, Pair]) as db:
        async with db.transaction() as tx:
            await tx.store(Item).create(Item(name="new"))
            await tx.store(Item).update_many(Item.name == "kept", changes=Item.n.set(Item.n + 1))
            say("now")
            sys.stdin.read()

if sys.argv[2] == "async":
    asyncio.run(asynchronous(sys.argv[1]))
else:
    sync(sys.argv[1])
"""


@pytest.mark.parametrize("how", ["sync", "async", "storm"])
def test_a_killed_program_leaves_nothing_half_written(tmp_path: Path, how: str) -> None:
    url = f"sqlite:///{tmp_path / 'killed.db'}"
    with connect(url, entities=[Item, Pair]) as db:
        db.create_schema()
        kept = db.store(Item).create(Item(name="kept"))
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, url, how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "now\n"
        program.kill()
        assert program.wait() == -signal.SIGKILL
    with connect(url, entities=[Item, Pair]) as db:
        assert db.store(Item).find() == [kept]
        # The killed one holds no lock any more.
        db.store(Item).update(kept.id, Item.n.set(Item.n + 1))
        with db.transaction() as tx:
            tx.store(Item).create(Item(name="new"))
        assert [item.n for item in db.store(Item).find(order_by=Item.name)] == [1, 0]
        stored: dict[int, int] = {}
        for row in db.store(Pair).iterate():
            stored[row.number] = stored.get(row.number, 0) + 1
        assert set(stored.values()) <= {50}
        assert sorted(stored) == list(range(len(stored)))
        assert (len(stored) > 20) is (how == "storm")


def test_a_connection_that_its_owner_forgot_holds_up_nobody_for_ever(tmp_path: Path) -> None:
    """Two programs at once: a writer that waits for the other's transaction gets through once that one is killed."""
    url = f"sqlite:///{tmp_path / 'two.db'}"
    with connect(url, entities=[Item, Pair]) as db:
        db.create_schema()
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, url, "sync"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as program:
            assert program.stdout is not None
            assert program.stdout.readline() == "now\n"
            assert db.store(Item).find() == [], "readers do not wait"
            program.kill()
            program.wait()
            made = db.store(Item).create(Item(name="new"))
        assert db.store(Item).find() == [made]
