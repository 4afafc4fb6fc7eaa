"""Random programs on all stores must agree, and a broken rule must be noticed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dbkit import Database, connect
from dbkit.testing.differential import CONTROLS, Difference, run_program, run_programs, show
from dbkit.testing.differential.run import Report
from dbkit.testing.differential.world import ENTITIES

PROGRAMS = 150
SEED = 20241


@pytest.fixture
def memory() -> Iterator[Database]:
    with connect("memory://", entities=ENTITIES) as db:
        yield db


@pytest.mark.parametrize("name", sorted(CONTROLS))
def test_a_broken_rule_is_caught_and_shrunk(memory: Database, name: str) -> None:
    with connect("memory://", entities=ENTITIES) as broken:
        report = run_programs({"memory": memory, "control": broken}, 500, SEED, control=name)
    assert report.difference is not None
    text = str(report.difference)
    assert "differs at:" in text
    assert "control:" in text
    # Shrunk to what can be pasted: a few lines that make rows, and the one that differs.
    assert len(show(report.difference.program).splitlines()) <= 5


def test_a_program_leaves_nothing_behind(memory: Database) -> None:
    memory.create_schema()
    program = (
        "db.store(Thing).create(Thing(id=1, n=2))",
        "db.store(Note).create(Note(id=1, thing_id=1))",
    )
    first = run_program(memory, program)
    assert memory.counts(*ENTITIES) == [0, 0, 0, 0]
    assert run_program(memory, program) == first


def test_values_are_compared_with_their_types() -> None:
    from dbkit.testing.differential.outcomes import of_value

    assert len({of_value(v) for v in (True, 1, 1.0, "1", None)}) == 5
    # Inside a dict, int or float is not promised (SEMANTICS §1).
    assert of_value({"a": 1, "b": True}) == of_value({"b": True, "a": 1.0})
    assert of_value({"a": 1}) != of_value({"a": True})


def test_every_store_agrees(differential_stores: dict[str, str]) -> None:
    databases: dict[str, Database] = {}
    try:
        for label, url in differential_stores.items():
            databases[label] = connect(url, entities=ENTITIES)
        report: Report = run_programs(databases, PROGRAMS, SEED)
    finally:
        for db in databases.values():
            db.close()
    if report.difference is not None:
        pytest.fail(str(report.difference))
    assert report.programs >= PROGRAMS * 0.9
    # A run in which nothing is refused, or nothing succeeds, would compare little.
    assert report.outcomes["returned"] > report.statements / 2
    assert {"raised TransactionAborted", "raised DuplicateKey", "raised NotFound"} <= report.outcomes.keys()


def test_a_difference_shows_every_store() -> None:
    error = Difference(
        ("db.store(Thing).count()",), ["db.store(Thing).count()"], {"one": ["1"], "two": ["2"]}
    )
    assert "one: 1" in str(error)
    assert "two: 2" in str(error)
