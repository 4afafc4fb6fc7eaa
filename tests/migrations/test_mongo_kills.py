"""Migrators on MongoDB that are killed between two statements, while a batch's transaction is open too."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbkit.testing.servers import Server, fresh_database, start_mongodb

STEP = 1 if os.environ.get("DBKIT_EVERY_KILL") else 50
"""After each how many statements one is killed: there are about a hundred, up and down."""


@pytest.fixture
def own_server() -> Iterator[Server]:
    """Return a server that nobody else needs: SecantusDB hangs when it drops what a dead client's transaction holds."""
    server = start_mongodb()
    if not server:
        pytest.skip(server.describe())
    with server:
        yield server


@pytest.mark.timeout(900 if STEP == 1 else 120)
def test_what_a_killed_migrator_leaves_is_mended_by_what_the_error_says(own_server: Server) -> None:
    program = Path(__file__).parent / "mongo_kills" / "run.py"
    ran = subprocess.run(
        [sys.executable, str(program), fresh_database(own_server), str(min(STEP, 20)), str(STEP)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = ran.stdout.splitlines()
    assert all(line.split()[-1] in {"clean", "dirty"} for line in lines)
    assert sum("killed dirty" in line for line in lines) >= 3
