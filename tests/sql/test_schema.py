"""What is known of the tables, and when."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dbkit.compat import uuid7
from dbkit.entity import spec_of
from dbkit.query import DeleteOne, Insert
from dbkit.views import read_of
from dbkit_sql.compiler import Compiler
from dbkit_sql.errors import Failure, Verb, postgres_error
from tests.sql.entities import ENTITIES, User, postgres, sqlite

BOTH = pytest.mark.parametrize("make", [postgres, sqlite])


@BOTH
def test_each_constraint_that_is_made_has_a_meaning(make: Callable[[], Compiler]) -> None:
    tables = make().tables
    ddl = "\n".join(
        s for entity in map(spec_of, ENTITIES) for s in (*tables.create(entity), *tables.refer(entity))
    )
    assert tables.constraints
    for name, means in tables.constraints.items():
        assert f"CONSTRAINT {name} " in ddl or f"UNIQUE INDEX {name} " in ddl, means
    made = ddl.count("CONSTRAINT ") + ddl.count("UNIQUE INDEX ")
    assert made == len(tables.constraints)


@BOTH
def test_statements_and_errors_need_no_definitions(make: Callable[[], Compiler]) -> None:
    # They would be made of every entity, at each connecting: 0.8 ms for each.
    fresh = make()
    user = spec_of(User)
    fresh.get(read_of(User))
    fresh.insert(Insert(user, (None,) * len(user.columns)))
    fresh.delete_one(DeleteOne(user, uuid7(), None))
    assert postgres_error(Failure("23505", constraint="pk_users"), Verb(), fresh.tables).field == "id"
    assert "_definitions" not in vars(fresh.tables)
    fresh.tables.create(user)
    assert "_definitions" in vars(fresh.tables)
