"""Collections as declared, and in which words they differ."""

from __future__ import annotations

from typing import Any

import pytest
from bson.binary import Binary

from dbkit import ConfigurationError, Entity, Mapped, connect, errors, field
from dbkit.entity import spec_of
from dbkit.spec import Schema
from dbkit_mongo.schema import Index, check_names, collections_of, index_differences, validator_differences
from tests.mongo.entities import ENTITIES, Plain, Post, User

USERS, POSTS, GUARDS = collections_of(Schema([spec_of(Post), spec_of(User)]))


def test_parents_stand_before_children_and_guards_last() -> None:
    assert [c.name for c in (USERS, POSTS, GUARDS)] == ["users", "posts", "_dbkit_guards"]
    (plain,) = collections_of(Schema([spec_of(Plain)]))
    assert plain.name == "plain"


def test_null_never_conflicts() -> None:
    by_keys = {index.keys: index for c in (USERS, POSTS) for index in c.indexes}
    assert by_keys["name",].partial is None
    assert by_keys["email__casefold",].partial == {"email__casefold": {"$gte": ""}}
    assert by_keys["user_id", "slug"].partial == {"slug": {"$gte": ""}}
    assert by_keys["editor_id", "_id"].unique is False


def _changed(**properties: Any) -> dict[str, Any]:
    schema = USERS.validator["$jsonSchema"]
    return {"$jsonSchema": {**schema, "properties": {**schema["properties"], **properties}}}


def test_the_same_validator_is_no_drift() -> None:
    assert validator_differences(USERS.validator, USERS.validator) == []
    reordered = dict(reversed(USERS.validator["$jsonSchema"].items()))
    reordered["required"] = list(reversed(reordered["required"]))
    assert validator_differences(USERS.validator, {"$jsonSchema": reordered}) == []


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "no $jsonSchema validator"),
        ({}, "no $jsonSchema validator"),
        (_changed(age={"bsonType": "string"}), "age is string there and long or null here"),
        (_changed(shoe={"bsonType": "long"}), "it has the field shoe, which is not declared"),
        (
            _changed(balance={"bsonType": "decimal", "description": "decimal with 3 places"}),
            "decimal with 3 places",
        ),
        (
            _changed(tags={"bsonType": "array", "items": {"bsonType": "long"}}),
            "tags is array or of long there",
        ),
        (
            _changed(address={"bsonType": ["object", "null"], "required": ["city"], "properties": {}}),
            "it lacks the field address.city",
        ),
    ],
)
def test_drift_is_said_in_words(found: Any, words: str) -> None:
    differences = validator_differences(USERS.validator, found)
    assert any(words in text for text in differences), differences


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], None),
        ([{"key": {"b": 1}, "unique": True}], None),
        (
            [
                {
                    "key": {"a": 1},
                    "unique": True,
                    "partialFilterExpression": {"a": {"$gte": Binary(bytes(16), 4)}},
                }
            ],
            [],
        ),
        ([{"key": {"a": 1}}], ["its index on a is not unique there"]),
        (
            [{"key": {"a": 1}, "unique": True}],
            ["its index on a covers other documents there (partialFilterExpression)"],
        ),
        (
            [
                {"key": {"a": 1}},
                {
                    "key": {"a": 1},
                    "unique": True,
                    "partialFilterExpression": {"a": {"$gte": Binary(bytes(16), 4)}},
                },
            ],
            [],
        ),
    ],
)
def test_indexes_are_compared_by_what_they_do(found: list[Any], expected: list[str] | None) -> None:
    wanted = Index("unique_a", ("a",), unique=True, partial={"a": {"$gte": Binary(bytes(16), 4)}})
    assert index_differences(wanted, found) == expected


def test_names_that_pipelines_use_are_refused() -> None:
    class Hidden(Entity, name="hidden"):
        word: Mapped[str] = field(stored_as="_dbkit_1")

    with pytest.raises(ConfigurationError, match="keeps for itself"):
        check_names(Schema([spec_of(Hidden)]))


# -- on a server ---------------------------------------------------------------------------------------------------------


def test_nothing_is_made_in_passing(mongo_url: str) -> None:
    with connect(mongo_url, entities=ENTITIES) as db:
        for call in (
            lambda: db.store(User).create(User(name="a")),
            db.store(User).count,
            lambda: db.counts(User),
        ):
            with pytest.raises(ConfigurationError) as caught:
                call()
            assert "create_schema()" in str(caught.value)
        with db.native() as (database, session):
            assert session is None
            assert database.list_collection_names() == []


def test_create_schema_finds_drift_and_alters_nothing(mongo_url: str) -> None:
    with connect(mongo_url, entities=ENTITIES) as db:
        db.create_schema()
        db.create_schema()
        with db.native() as (database, _):
            database.users.drop_index("unique_name")
            database.users.create_index("name")
            before = list(database.users.list_indexes())
            with pytest.raises(errors.SchemaDrift, match="its index on name is not unique there"):
                db.create_schema()
            assert list(database.users.list_indexes()) == before
            database.users.drop_index("name_1")
            db.create_schema()
            assert any(i["key"] == {"name": 1} and i.get("unique") for i in database.users.list_indexes())


def test_a_collection_of_another_program_is_drift(mongo_url: str) -> None:
    with connect(mongo_url, entities=[Plain]) as db:
        with db.native() as (database, _):
            database.plain.insert_one({"_id": "a"})
        with pytest.raises(errors.SchemaDrift, match="no \\$jsonSchema validator"):
            db.create_schema()


def test_the_server_refuses_what_does_not_fit(mongo_url: str) -> None:
    with connect(mongo_url, entities=[Plain]) as db:
        db.create_schema()
        with db.native() as (database, _), pytest.raises(Exception, match="failed validation"):
            database.plain.insert_one({"_id": "a", "n": "1", "money": None, "extra": {}})


def test_drop_schema_leaves_the_guards_of_others(db: Any) -> None:
    user = db.store(User).create(User(name="a"))
    db.store(Post).create(Post(user_id=user.id, title="t"))
    with db.native() as (database, _):
        other = {"_id": {"of": "others", "id": 1, "stripe": 0}}
        database["_dbkit_guards"].insert_one(other)
        db.drop_schema()
        assert database.list_collection_names() == ["_dbkit_guards"]
        assert list(database["_dbkit_guards"].find()) == [other]
        database["_dbkit_guards"].delete_many({})
        db.create_schema()
        db.drop_schema()
        assert database.list_collection_names() == []
