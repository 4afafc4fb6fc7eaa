"""A migrator's `on_statement` tells what the driver sends: up, down, and what is looked at meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from dbkit.migrations import Migrator
from tests.told.conftest import Witness

FOLDER = Path(__file__).parent.parent.parent / "examples" / "migrations"


# On SQLite a migrator's turn is a lock on a connection of its own, of which nobody is told.
@pytest.mark.parametrize("witness", ["postgresql", "mongodb"], indirect=True)
def test_migrations_are_told_as_they_are_sent(witness: Witness) -> None:
    with Migrator(witness.url, FOLDER) as migrator:
        witness.listen(migrator)
        migrator.up()
        witness.look("up")
        migrator.plan(down=True)
        witness.look("plan")
        migrator.down()
        witness.look("down")
