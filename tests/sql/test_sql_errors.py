"""What the servers' errors mean, by their codes; no server is asked."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from dbkit import Entity, Mapped, errors, field
from dbkit.building import changes_of
from dbkit.entity import spec_of
from dbkit.query import DeleteOne, Insert, UpdateOne
from dbkit.spec import Schema
from dbkit_sql.errors import Failure, postgres_error, refused_connection, sqlite_error, verb_of
from dbkit_sql.schema import Tables
from tests.sql.entities import Note, User, postgres, sqlite

USER, NOTE = spec_of(User), spec_of(Note)
READS, INSERTS = verb_of(None), verb_of(Insert(USER, (None,) * len(USER.columns)))
DELETES = verb_of(DeleteOne(USER, UUID(int=1), None))
COMPUTES = verb_of(
    UpdateOne(USER, UUID(int=1), None, changes_of(USER, [User.age.set(User.age + 1)], "update"))
)
POSTGRES, SQLITE = postgres().tables, sqlite().tables


def _name(start: str, tables: Tables) -> str:
    return next(name for name in tables.constraints if name.startswith(start))


STATES: list[tuple[Failure, Any, type[errors.DbkitError], str | None]] = [
    (Failure("23505", constraint="ux_users__name"), INSERTS, errors.DuplicateKey, "name"),
    (Failure("23505", constraint=_name("ux_users__email", POSTGRES)), INSERTS, errors.DuplicateKey, "email"),
    (Failure("23505", constraint="pk_users"), INSERTS, errors.DuplicateKey, "id"),
    (Failure("23505", constraint="another"), INSERTS, errors.DuplicateKey, None),
    (Failure("23503", constraint="fk_notes__user_id"), INSERTS, errors.ReferenceViolation, "user_id"),
    (Failure("23503", constraint="fk_notes__user_id"), DELETES, errors.ReferenceViolation, "user_id"),
    (Failure("23514", constraint=_name("ck_users__age", POSTGRES)), COMPUTES, errors.OutOfRange, "age"),
    (Failure("23514", constraint=_name("ck_users__size", POSTGRES)), COMPUTES, errors.TooLarge, None),
    (Failure("23502", column="rate"), COMPUTES, errors.OutOfRange, "rate"),
    (Failure("22003"), COMPUTES, errors.OutOfRange, "age"),
    (Failure("40001"), COMPUTES, errors.Conflict, None),
    (Failure("40P01"), COMPUTES, errors.Conflict, None),
    (Failure("55P03"), COMPUTES, errors.Conflict, None),
    (Failure("57014"), READS, errors.DeadlineExceeded, None),
    (Failure("25P02"), READS, errors.TransactionAborted, None),
    (Failure("25006"), INSERTS, errors.TransactionError, None),
    (Failure("42P01", 'relation "users" does not exist'), READS, errors.ConfigurationError, None),
    (Failure("2BP01"), INSERTS, errors.ReferenceViolation, None),
    (Failure("42703"), READS, errors.ConfigurationError, None),
    (Failure("57P01"), READS, errors.Unavailable, None),
    (Failure("57P01"), INSERTS, errors.OutcomeUnknown, None),
    (Failure("08006"), READS, errors.Unavailable, None),
    (Failure("08006"), INSERTS, errors.OutcomeUnknown, None),
    (Failure("53300"), READS, errors.Unavailable, None),
    (Failure("0A000"), READS, errors.Unsupported, None),
    (Failure("XX000"), READS, errors.OperationalError, None),
]


@pytest.mark.parametrize(
    ("failure", "verb", "expected", "field"),
    STATES,
    ids=[f"{n}-{failure.code}" for n, (failure, *_) in enumerate(STATES)],
)
def test_sqlstates(failure: Failure, verb: Any, expected: type[errors.DbkitError], field: str | None) -> None:
    found = postgres_error(failure, verb, POSTGRES)
    assert type(found) is expected
    assert found.field == field


@pytest.mark.parametrize(
    ("code", "message", "verb", "expected", "field"),
    [
        (2067, "UNIQUE constraint failed: users.name", INSERTS, errors.DuplicateKey, "name"),
        (2067, "UNIQUE constraint failed: users.email__casefold", INSERTS, errors.DuplicateKey, "email"),
        (2067, "UNIQUE constraint failed: elsewhere.x", INSERTS, errors.DuplicateKey, None),
        (1555, "UNIQUE constraint failed: users.id", INSERTS, errors.DuplicateKey, "id"),
        (787, "FOREIGN KEY constraint failed", INSERTS, errors.ReferenceViolation, None),
        (
            275,
            "CHECK constraint failed: " + _name("ck_users__age", SQLITE),
            COMPUTES,
            errors.OutOfRange,
            "age",
        ),
        (275, "CHECK constraint failed: " + _name("ck_users__size", SQLITE), COMPUTES, errors.TooLarge, None),
        (1299, "NOT NULL constraint failed: users.rate", COMPUTES, errors.OutOfRange, "rate"),
        (3091, "cannot store TEXT value in INTEGER column users.age", COMPUTES, errors.OutOfRange, "age"),
        (5, "database is locked", INSERTS, errors.Conflict, None),
        (517, "database is locked", INSERTS, errors.Conflict, None),
        (9, "interrupted", READS, errors.DeadlineExceeded, None),
        (8, "attempt to write a readonly database", INSERTS, errors.TransactionError, None),
        (13, "database or disk is full", INSERTS, errors.Unavailable, None),
        (26, "file is not a database", READS, errors.ConfigurationError, None),
        (11, "database disk image is malformed", READS, errors.OperationalError, None),
        (1, "no such table: users", READS, errors.ConfigurationError, None),
        (1, "no such column: users.x", READS, errors.ConfigurationError, None),
        (1, "near x: syntax error", READS, errors.OperationalError, None),
    ],
)
def test_result_codes(
    code: int, message: str, verb: Any, expected: type[errors.DbkitError], field: str | None
) -> None:
    found = sqlite_error(Failure(code, message), verb, SQLITE)
    assert type(found) is expected
    assert found.field == field


def test_a_missing_table_is_named() -> None:
    for found in (
        postgres_error(Failure("42P01", 'relation "posts" does not exist'), READS, POSTGRES),
        sqlite_error(Failure(1, "no such table: main.posts"), READS, SQLITE),
    ):
        assert "'posts'" in str(found)
        assert "create_schema" in str(found)


def test_a_table_that_dbkit_does_not_make_is_its_owners() -> None:
    class Outside(Entity, name="crm.cust", managed=False):
        label: Mapped[str] = field()

    for found in (
        postgres_error(
            Failure("42P01", 'relation "crm.cust" does not exist'),
            READS,
            Tables(POSTGRES.dialect, Schema((spec_of(Outside),))),
        ),
        sqlite_error(
            Failure(1, "no such table: crm.cust"), READS, Tables(SQLITE.dialect, Schema((spec_of(Outside),)))
        ),
    ):
        assert str(found) == "'crm.cust' does not exist (its owner has to make it)"


def test_a_check_outside_a_verb_is_somebody_elses() -> None:
    for found in (
        postgres_error(Failure("23514", constraint="adult"), READS, POSTGRES),
        sqlite_error(Failure(275, "CHECK constraint failed: adult"), READS, SQLITE),
    ):
        assert type(found) is errors.IntegrityError
        assert str(found) == "a CHECK is not fulfilled by the rows (constraint adult) (mend the rows first)"
    # A CHECK without a name: SQLite tells its expression, which may hold anything.
    found = sqlite_error(Failure(275, "CHECK constraint failed: a <> 's3cret'"), READS, SQLITE)
    assert "s3cret" not in str(found)


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        (None, 'FATAL:  password authentication failed for user "x"', errors.ConfigurationError),
        ("28P01", "", errors.ConfigurationError),
        (None, 'FATAL:  database "x" does not exist', errors.ConfigurationError),
        (None, "connection refused", errors.Unavailable),
        (None, "FATAL:  sorry, too many clients already", errors.Unavailable),
    ],
)
def test_refused_connections(code: str | None, message: str, expected: type[errors.DbkitError]) -> None:
    found = refused_connection(code, message + " secret")
    assert type(found) is expected
    assert "secret" not in str(found)
