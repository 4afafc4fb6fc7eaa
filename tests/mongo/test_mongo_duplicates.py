"""A duplicate that is none: SecantusDB's, of an update that met another's transaction; and MongoDB's, which always is."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.errors import DuplicateKeyError

from dbkit import Conflict, Database, DuplicateKey
from dbkit.entity import spec_of
from dbkit_mongo._sync.duplicates import settled
from dbkit_mongo.changes import COMPUTED, assigned
from dbkit_mongo.errors import Doing, translate
from dbkit_mongo.identity import Quirks, quirks_of
from tests.mongo.entities import User

SURROGATE = Quirks(clashes_with_itself=True)


def told(*keys: str) -> DuplicateKey:
    """Return the error for a server's answer that names these keys, as it comes out of a transaction."""
    cause = DuplicateKeyError("E11000", 11000, {"code": 11000, "keyPattern": dict.fromkeys(keys, 1)})
    error = translate(cause, Doing("{}", spec_of(User), writes=True, in_transaction=True))
    assert isinstance(error, DuplicateKey)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("changed", "is_conflict"),
    [
        ({"points": 1}, True),
        ({"points": 1, "name": "ada"}, True),
        ({"points": 1, "name": "bob"}, False),
        ({"name": COMPUTED}, False),
    ],
    ids=["another field", "the same value", "another value", "the server's value"],
)
def test_the_document_s_own_key(db: Database, changed: dict[str, Any], is_conflict: bool) -> None:
    db.store(User).create(User(name="ada"))
    backend: Any = db.backend
    error = told("name")
    own = {"name": "ada"}
    backend.link.quirks = SURROGATE
    found = settled(backend, error, spec_of(User), changed, own)
    assert isinstance(found, Conflict) if is_conflict else found is error
    assert found.retryable is is_conflict
    backend.link.quirks = Quirks()
    assert settled(backend, error, spec_of(User), changed, own) is error


def test_an_insertion_clashes_with_others_only(db: Database) -> None:
    backend: Any = db.backend
    backend.link.quirks = SURROGATE
    error = told("name")
    assert settled(backend, error, spec_of(User), {"_id": 1, "name": "ada"}, None) is error
    assert isinstance(settled(backend, error, spec_of(User), {"age": 1}, None), Conflict), "of many documents"


def test_a_real_server_has_no_quirks(db: Database) -> None:
    server = db.server
    assert quirks_of(server).clashes_with_itself is (server.name == "SecantusDB")


def test_what_an_update_sets() -> None:
    assert assigned({"$set": {"a": 1}, "$inc": {"n": 2}, "$setOnInsert": {"b": 3}}) == {"a": 1, "n": COMPUTED}
    assert assigned([{"$set": {"a": {"$literal": 1}, "n": {"$add": ["$n", 2]}}}]) == {"a": 1, "n": COMPUTED}
