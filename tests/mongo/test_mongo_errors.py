"""The error table: by class where the driver decides, by the server's code elsewhere; never a value or a URL in a message."""

from __future__ import annotations

from typing import Any

import pytest
from bson.errors import InvalidBSON, InvalidDocument
from pymongo import errors as driver

from dbkit import errors
from dbkit.entity import spec_of
from dbkit_mongo.drivers import check_insertion
from dbkit_mongo.errors import Doing, duplicate_fields, is_commit_unknown, translate
from tests.mongo.entities import Post, User

READ = Doing("{}")
WRITE = Doing("{}", spec_of(User), writes=True)
IN_TRANSACTION = Doing("{}", spec_of(User), writes=True, in_transaction=True)


def _failure(code: int, *labels: str, text: str = "v@lue") -> driver.OperationFailure:
    details = {"ok": 0, "code": code, "errmsg": text, "errorLabels": list(labels)}
    return driver.OperationFailure(text, code, details)


BY_CODE: list[tuple[int, type[errors.DbkitError]]] = [
    (112, errors.Conflict),
    (24, errors.Conflict),
    (246, errors.Conflict),
    (251, errors.Conflict),
    (50, errors.DeadlineExceeded),
    (290, errors.DeadlineExceeded),
    (10334, errors.TooLarge),
    (17419, errors.TooLarge),
    (13, errors.ConfigurationError),
    (18, errors.ConfigurationError),
    (189, errors.Unavailable),
    (43, errors.Unavailable),
    (121, errors.SchemaDrift),
    (9, errors.OperationalError),
]


@pytest.mark.parametrize(("code", "kind"), BY_CODE)
@pytest.mark.parametrize("doing", [READ, IN_TRANSACTION], ids=["read", "in a transaction"])
def test_by_code(code: int, kind: type[errors.DbkitError], doing: Doing) -> None:
    error = translate(_failure(code), doing)
    assert type(error) is kind
    assert "v@lue" not in str(error)


@pytest.mark.parametrize(
    ("error", "read", "write", "in_transaction"),
    [
        (driver.AutoReconnect("x"), errors.Unavailable, errors.OutcomeUnknown, errors.Unavailable),
        (driver.NetworkTimeout("x"), errors.DeadlineExceeded, errors.OutcomeUnknown, errors.DeadlineExceeded),
        (driver.ServerSelectionTimeoutError("x"), *[errors.Unavailable] * 3),
        (driver.WaitQueueTimeoutError("x"), *[errors.PoolTimeout] * 3),
        (driver.NotPrimaryError("x", {"code": 10107}), *[errors.Unavailable] * 3),
        (
            driver.NotPrimaryError("x", {"code": 11600}),
            errors.Unavailable,
            errors.OutcomeUnknown,
            errors.Unavailable,
        ),
        (_failure(91), errors.Unavailable, errors.OutcomeUnknown, errors.Unavailable),
        (_failure(50), errors.DeadlineExceeded, errors.Conflict, errors.DeadlineExceeded),
        (
            driver.WriteConcernError("x", 64, {}),
            errors.DeadlineExceeded,
            errors.OutcomeUnknown,
            errors.DeadlineExceeded,
        ),
        (driver.DocumentTooLarge("x"), *[errors.TooLarge] * 3),
        (_failure(2, text="object to insert too large"), *[errors.TooLarge] * 3),
        (
            _failure(20, text="Transaction numbers are only allowed on a replica set member"),
            *[errors.Unsupported] * 3,
        ),
        (_failure(9999, "TransientTransactionError"), *[errors.Conflict] * 3),
        (InvalidBSON("x"), *[errors.StoredDataInvalid] * 3),
        (InvalidDocument("x"), *[errors.InvalidInput] * 3),
        (NotImplementedError("x"), *[errors.Unsupported] * 3),
        (driver.InvalidOperation("x"), *[errors.OperationalError] * 3),
    ],
)
def test_what_is_known_of_the_outcome(
    error: Exception,
    read: type[errors.DbkitError],
    write: type[errors.DbkitError],
    in_transaction: type[errors.DbkitError],
) -> None:
    assert type(translate(error, READ)) is read
    assert type(translate(error, WRITE)) is write
    assert type(translate(error, IN_TRANSACTION)) is in_transaction


def _duplicate(**details: Any) -> driver.DuplicateKeyError:
    return driver.DuplicateKeyError("E11000 v@lue", 11000, {"code": 11000, **details})


@pytest.mark.parametrize(
    ("error", "entity", "field"),
    [
        (_duplicate(keyPattern={"_id": 1}), User, "id"),
        (_duplicate(keyPattern={"name": 1}), User, "name"),
        (_duplicate(keyPattern={"email__casefold": 1}), User, "email"),
        (_duplicate(keyPattern={"user_id": 1, "slug": 1}), Post, "user_id, slug"),
        (
            _duplicate(errmsg='E11000 … index: unique_user_id__slug dup key: { slug: "v@lue" }'),
            Post,
            "user_id, slug",
        ),
        (_duplicate(errmsg="E11000 … index: _id_ dup key"), Post, "id"),
        (_duplicate(errmsg="E11000 duplicate key error"), Post, None),
        (_duplicate(keyPattern={"other": 1}), Post, None),
        (driver.BulkWriteError({"writeErrors": [{"code": 11000, "keyPattern": {"name": 1}}]}), User, "name"),
    ],
)
def test_a_duplicate_names_the_declared_field(error: Exception, entity: Any, field: str | None) -> None:
    made = translate(error, Doing("{}", spec_of(entity), writes=True))
    assert isinstance(made, errors.DuplicateKey)
    assert made.field == field
    assert "v@lue" not in str(made)


def test_a_conflict_inside_a_bulk_write() -> None:
    error = driver.BulkWriteError({"writeErrors": [{"code": 112, "errmsg": "x"}]})
    assert isinstance(translate(error, IN_TRANSACTION), errors.Conflict)


def test_an_unnamed_index_has_no_fields() -> None:
    assert duplicate_fields(_duplicate(errmsg="index: other_1 dup key")) == ()


def test_a_commit_is_sent_again_only_when_its_outcome_is_open() -> None:
    assert is_commit_unknown(_failure(91, "UnknownTransactionCommitResult"))
    assert not is_commit_unknown(_failure(251, "TransientTransactionError"))
    assert not is_commit_unknown(ValueError())


@pytest.mark.parametrize("label", ["UnknownTransactionCommitResult", "TransientTransactionError"])
def test_a_commit_that_found_no_server_at_last(label: str) -> None:
    """An attempt before it may have been sent: the driver's label knows, the error's class does not."""
    error = driver.ServerSelectionTimeoutError("x", {"errorLabels": [label]})
    error._add_error_label(label)
    is_open = label.startswith("Unknown")
    assert type(translate(error, Doing("{}", writes=True))) is (
        errors.OutcomeUnknown if is_open else errors.Unavailable
    )


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ({"ok": 1, "n": 0, "writeErrors": [{"code": 11000, "errmsg": "v@lue"}]}, driver.DuplicateKeyError),
        ({"ok": 1, "n": 0, "writeErrors": [{"code": 121, "errmsg": "v@lue"}]}, driver.WriteError),
        ({"ok": 1, "n": 1, "writeConcernError": {"code": 64, "errmsg": "x"}}, driver.WriteConcernError),
        (
            {"ok": 1, "writeErrors": [{"code": 11000}], "writeConcernError": {"code": 64, "errmsg": "x"}},
            driver.WriteConcernError,
        ),
    ],
)
def test_the_reply_to_an_insertion(reply: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        check_insertion(reply)
    assert type(caught.value) is kind
    check_insertion({"ok": 1, "n": 1})
