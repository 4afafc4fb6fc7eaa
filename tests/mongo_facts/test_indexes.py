"""What unique and partial indexes, validators and the catalogue are taken to do."""

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import pytest
from bson import Binary, Decimal128, Int64
from pymongo import IndexModel
from pymongo.database import Database
from pymongo.errors import CollectionInvalid, DuplicateKeyError, OperationFailure, WriteError

from .conftest import Doc
from .plans import indexes_of, winning_plan

UTC = dt.UTC
ZERO_UUID = Binary(bytes(16), 4)
MINIMA: dict[str, tuple[Any, Any]] = {
    "str": ("", "a"),
    # Sixteen zero bytes, not b"": the surrogate fails on a subtype 4 of another length.
    "uuid": (ZERO_UUID, Binary(bytes(range(16)), 4)),
    "bytes": (Binary(b"", 0), b"abc"),
    "int": (Int64(-(2**63)), Int64(5)),
    "decimal": (Decimal128("-Infinity"), Decimal128("1.50")),
    "float": (float("-inf"), 1.5),
    "date": (dt.datetime(1, 1, 1, tzinfo=UTC), dt.datetime(1960, 1, 1, tzinfo=UTC)),
    "bool": (False, True),
}


@pytest.mark.parametrize("kind", MINIMA)
def test_a_partial_unique_index_from_the_types_minimum_leaves_null_free(db: Database[Doc], kind: str) -> None:
    """manual: core/index-partial (partial index with unique constraint; query coverage)"""
    minimum, value = MINIMA[kind]
    db.a.create_index("f", name="f_u", unique=True, partialFilterExpression={"f": {"$gte": minimum}})
    db.a.insert_many([{"_id": 1, "f": None}, {"_id": 2, "f": None}, {"_id": 3}, {"_id": 4, "f": value}])
    with pytest.raises(DuplicateKeyError):
        db.a.insert_one({"_id": 5, "f": value})
    db.a.insert_one({"_id": 6, "f": minimum})
    with pytest.raises(DuplicateKeyError):
        db.a.insert_one({"_id": 7, "f": minimum})
    assert indexes_of(winning_plan(db, "a", {"f": value})) == ["f_u"]


def test_a_compound_key_with_a_null_never_conflicts(db: Database[Doc]) -> None:
    """manual: core/index-partial, core/index-unique (compound)"""
    org = Binary(bytes(range(16)), 4)
    only = {"org": {"$gte": ZERO_UUID}, "slug": {"$gte": ""}}
    db.a.create_index([("org", 1), ("slug", 1)], name="org_slug", unique=True, partialFilterExpression=only)
    db.a.insert_many([{"org": org, "slug": None}, {"org": org, "slug": None}])
    db.a.insert_many([{"org": None, "slug": "a"}, {"org": None, "slug": "a"}, {"org": org, "slug": "a"}])
    with pytest.raises(DuplicateKeyError) as caught:
        db.a.insert_one({"org": org, "slug": "a"})
    assert caught.value.details is not None
    assert list(caught.value.details["keyPattern"]) == ["org", "slug"]
    assert indexes_of(winning_plan(db, "a", {"org": org, "slug": "a"})) == ["org_slug"]


def test_a_partial_index_does_not_serve_a_query_that_lacks_its_condition(db: Database[Doc]) -> None:
    """manual: core/index-partial (query coverage): so an index over fields without null is not made partial"""
    only = {"slug": {"$gte": ""}}
    db.a.create_index([("org", 1), ("slug", 1)], unique=True, partialFilterExpression=only)
    db.a.insert_one({"org": 1, "slug": "a"})
    assert indexes_of(winning_plan(db, "a", {"org": 1})) == []


def test_a_nested_path_can_be_unique(db: Database[Doc]) -> None:
    """manual: core/index-partial, core/indexes/index-types/index-single (embedded field)"""
    db.a.create_index("address.zip", unique=True, partialFilterExpression={"address.zip": {"$gte": ""}})
    db.a.insert_many([{"address": None}, {"address": {"zip": None}}, {"address": {"zip": "1"}}])
    with pytest.raises(DuplicateKeyError):
        db.a.insert_one({"address": {"zip": "1"}})


@pytest.mark.parametrize("verb", ["insert", "update", "find_one_and_update"])
def test_a_duplicate_names_its_fields(db: Database[Doc], verb: str) -> None:
    """manual: core/index-unique; keyPattern and keyValue: SERVER-14973"""
    db.a.create_index("k", name="k_u", unique=True)
    db.a.insert_many([{"_id": 1, "k": "x"}, {"_id": 2, "k": "y"}])
    verbs: dict[str, Callable[[], object]] = {
        "insert": lambda: db.a.insert_one({"_id": 3, "k": "x"}),
        "update": lambda: db.a.update_one({"_id": 2}, {"$set": {"k": "x"}}),
        "find_one_and_update": lambda: db.a.find_one_and_update({"_id": 2}, {"$set": {"k": "x"}}),
    }
    with pytest.raises(DuplicateKeyError) as caught:
        verbs[verb]()
    assert caught.value.code == 11000
    assert caught.value.details is not None
    assert caught.value.details["keyPattern"] == {"k": 1}
    assert caught.value.details["keyValue"] == {"k": "x"}
    assert "k_u" in caught.value.details["errmsg"]


def test_the_same_index_twice_is_one(db: Database[Doc]) -> None:
    """manual: reference/command/createIndexes"""
    assert db.a.create_index("f", name="n") == db.a.create_index("f", name="n") == "n"


@pytest.mark.parametrize(
    ("keys", "options", "code"),
    [
        ("f", {"name": "other"}, 85),
        ("f", {"name": "n", "unique": True}, 86),
        ("g", {"name": "n"}, 86),
        ("f", {"name": "n", "partialFilterExpression": {"f": {"$gte": ""}}}, 86),
    ],
)
def test_a_differing_index_is_refused(db: Database[Doc], keys: str, options: Doc, code: int) -> None:
    """manual: reference/command/createIndexes; 85 IndexOptionsConflict, 86 IndexKeySpecsConflict"""
    db.a.create_index("f", name="n")
    with pytest.raises(OperationFailure) as caught:
        db.a.create_index(keys, **options)
    assert caught.value.code == code


def test_a_unique_index_over_duplicates_is_refused(db: Database[Doc]) -> None:
    """manual: core/index-unique"""
    db.a.insert_many([{"f": 1}, {"f": 1}])
    with pytest.raises(DuplicateKeyError):
        db.a.create_index("f", unique=True)


def test_the_catalogue_gives_back_what_was_made(db: Database[Doc]) -> None:
    """manual: reference/command/listIndexes, reference/command/listCollections"""
    validator = {"$jsonSchema": {"bsonType": "object", "required": ["s"], "title": "t", "description": "d"}}
    db.create_collection("a", validator=validator)
    only = {"s": {"$gte": ""}}
    db.a.create_index([("s", 1), ("_id", -1)], name="n", unique=True, partialFilterExpression=only)
    [index] = [dict(i) for i in db.a.list_indexes() if i["name"] == "n"]
    assert list(index["key"].items()) == [("s", 1), ("_id", -1)]
    assert (index["unique"], index["partialFilterExpression"]) == (True, only)
    [collection] = db.list_collections(filter={"name": "a"})
    assert collection["options"]["validator"] == validator
    changed = {"$jsonSchema": {"bsonType": "object"}}
    db.command("collMod", "a", validator=changed)
    [collection] = db.list_collections(filter={"name": "a"})
    assert collection["options"]["validator"] == changed


def test_a_collection_that_is_absent_has_no_indexes(db: Database[Doc]) -> None:
    """manual: reference/command/listIndexes (26 NamespaceNotFound, which PyMongo swallows)"""
    assert list(db.absent.list_indexes()) == []
    db.drop_collection("absent")


def test_making_a_collection_again(db: Database[Doc]) -> None:
    """manual: reference/command/create (48 NamespaceExists when it differs); PyMongo looks first, unless told"""
    db.create_collection("a", validator={"$jsonSchema": {"bsonType": "object"}})
    with pytest.raises(OperationFailure) as caught:
        db.create_collection("a", check_exists=False)
    assert caught.value.code == 48
    with pytest.raises(CollectionInvalid):
        db.create_collection("a")


def test_a_race_of_schemas_ends_in_one(db: Database[Doc]) -> None:
    """manual: reference/command/create, reference/command/createIndexes"""
    failures: list[int | None] = []

    def make() -> None:
        try:
            db.create_collection("a", check_exists=False)
        except OperationFailure as error:
            failures.append(error.code)
        db.a.create_indexes([IndexModel("x", name="x", unique=True), IndexModel("y", name="y")])

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(failures) <= {48}
    assert {i["name"] for i in db.a.list_indexes()} == {"_id_", "x", "y"}


SCHEMA = {
    "bsonType": "object",
    "required": ["_id", "s", "n"],
    "properties": {
        "_id": {"bsonType": "binData"},
        "s": {"bsonType": ["string", "null"], "maxLength": 3},
        "n": {"bsonType": "long"},
        "d": {"bsonType": "decimal"},
        "t": {"bsonType": ["date", "null"]},
        "tags": {"bsonType": "array", "items": {"bsonType": "string"}},
        "kind": {"enum": ["a", "b", None]},
        "address": {"bsonType": "object", "required": ["zip"], "properties": {"zip": {"bsonType": "string"}}},
    },
}
GOOD: Doc = {"_id": ZERO_UUID, "s": "a", "n": Int64(1)}


@pytest.mark.parametrize(
    "bad",
    [
        {"s": 5},
        {"s": "four"},
        {"n": 1.0},
        {"n": 1},
        {"d": 1.5},
        {"t": "today"},
        {"tags": [1]},
        {"kind": "c"},
        {"address": {}},
        {"_id": "text"},
    ],
)
def test_a_validator_holds_types(db: Database[Doc], bad: Doc) -> None:
    """manual: core/schema-validation, reference/operator/query/jsonSchema; 121 DocumentValidationFailure"""
    db.create_collection("a", validator={"$jsonSchema": SCHEMA})
    db.a.insert_one(dict(GOOD))
    db.a.delete_many({})
    with pytest.raises(WriteError) as caught:
        db.a.insert_one({**GOOD, **bad})
    assert caught.value.code == 121


def test_a_validator_holds_on_updates_and_missing_fields(db: Database[Doc]) -> None:
    """manual: core/schema-validation (updates and inserts)"""
    db.create_collection("a", validator={"$jsonSchema": SCHEMA})
    with pytest.raises(WriteError):
        db.a.insert_one({"_id": ZERO_UUID, "s": "a"})
    db.a.insert_one(dict(GOOD))
    with pytest.raises(WriteError) as by_update:
        db.a.update_one({}, [{"$set": {"n": {"$add": ["$n", 0.5]}}}])
    with pytest.raises(OperationFailure) as by_find_and_modify:
        db.a.find_one_and_update({}, {"$set": {"s": 5}})
    assert by_update.value.code == by_find_and_modify.value.code == 121
    assert db.a.find_one() == GOOD


def test_a_validator_refuses_unknown_keywords(db: Database[Doc]) -> None:
    """manual: reference/operator/query/jsonSchema: what dbkit notes goes into title and description"""
    with pytest.raises(OperationFailure) as caught:
        db.create_collection("a", validator={"$jsonSchema": {"x-note": 1}})
    assert caught.value.code == 9
