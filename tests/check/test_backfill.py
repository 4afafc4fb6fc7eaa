"""`db.backfill()`: documents that were stored before a field was declared get its value, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bson
import pytest
from pymongo import MongoClient

from dbkit import (
    ConfigurationError,
    Embedded,
    Entity,
    InvalidInput,
    Mapped,
    Record,
    StoredDataInvalid,
    aconnect,
    connect,
    field,
    via,
)


class Inner(Embedded):
    n: Mapped[int] = field(default=0)


class Person(Record[str], name="people", managed=False):
    id: Mapped[str] = field(max_length=40)
    bio: Mapped[str | None] = field(default=None, max_length=500)
    level: Mapped[int] = field(default=1, ge=0, le=9)
    nick: Mapped[str | None] = field(default=None, unique="casefold", max_length=20)
    inner: Mapped[Inner] = field(default=Inner())
    boss: Mapped[str | None] = field(default=None, references=lambda: Person)


class Other(Entity, name="others", managed=False):
    n: Mapped[int] = field(default=0)


@pytest.fixture
def people(mongo_url: str) -> Iterator[Any]:
    with MongoClient[dict[str, Any]](mongo_url) as client:
        collection = client.get_default_database()["people"]
        collection.insert_many([{"_id": f"p{n}"} for n in range(7)])
        collection.insert_many([{"_id": "kept", "bio": "mine", "level": 9}, {"_id": "null", "bio": None}])
        yield collection


def test_documents_that_lack_the_field_are_filled(mongo_url: str, people: Any) -> None:
    # Ids of other types are a stranger's, and sort before and behind.
    people.insert_many([{"_id": 7}, {"_id": 8}, {"_id": bson.ObjectId()}])
    told: list[tuple[int, int]] = []
    with connect(mongo_url, entities=[Person, Other]) as db:
        assert (
            db.backfill(Person, Person.bio, "new", batch=3, progress=lambda a, b: told.append((a, b))) == 10
        )
        assert told[-1] == (10, 10)
        assert [done for done, _ in told] == sorted(done for done, _ in told)
        assert all(total == 10 for _, total in told)
        assert db.backfill(Person, Person.bio, "again") == 0
        assert people.count_documents({"bio": "new"}) == 10
        assert people.find_one({"_id": "kept"})["bio"] == "mine"
        assert people.find_one({"_id": "null"})["bio"] is None
        people.delete_many({"_id": {"$not": {"$type": "string"}}})
        with pytest.raises(StoredDataInvalid):
            db.store(Person).find()
        assert db.backfill(Person, Person.level, 1) == 8
        assert db.backfill(Person, Person.nick, None) == 9
        assert people.count_documents({"nick__casefold": None, "nick": None}) == 9
        assert people.count_documents({"nick__casefold": {"$exists": True}}) == 9
        assert db.backfill(Person, Person.inner, Inner(n=5)) == 9
        assert {p.inner.n for p in db.store(Person).find()} == {5}


async def test_it_can_be_stopped_and_taken_up(mongo_url: str, people: Any) -> None:
    def stop(done: int, _total: int) -> None:
        if done >= 4:
            raise KeyboardInterrupt

    async with aconnect(mongo_url, entities=[Person]) as db:
        with pytest.raises(KeyboardInterrupt):
            await db.backfill(Person, Person.level, 2, batch=2, progress=stop)
        assert people.count_documents({"level": 2}) == 4
        assert await db.backfill(Person, Person.level, 2, batch=2) == 4
        assert people.count_documents({"level": 2}) == 8


@pytest.mark.parametrize("url", ["memory://", "sqlite://", "mongomock://"])
def test_where_no_row_lacks_a_field_nothing_is_done(url: str) -> None:
    with connect(url, entities=[Other]) as db:
        if url == "mongomock://":
            with pytest.raises(ConfigurationError, match="does not exist"):
                db.backfill(Other, Other.n, 3)
        else:
            assert db.backfill(Other, Other.n, 3) == 0


def test_what_cannot_be_right_is_refused(people: Any, mongo_url: str) -> None:
    with connect(mongo_url, entities=[Person, Other]) as db:
        for target, value, message in (
            (Person.level, 10, "must be at most 9"),
            (Person.level, None, "must be an int"),
            (Person.bio, 3, "must be a str"),
            (Person.nick, "x", "is in a unique key"),
            (Person.boss, "x", "is a checked reference"),
            (Person.id, "x", "is what a row is found by"),
            (Other.n, 1, "takes one of its own fields"),
            (via(Person.inner, Inner.n), 1, "takes one of its own fields"),
            ("bio", "x", "takes one of its own fields"),
        ):
            with pytest.raises(InvalidInput, match=message):
                db.backfill(Person, target, value)  # type: ignore[arg-type, misc]  # pyright: ignore[reportArgumentType]
        for batch in (0, 10_001, True):
            with pytest.raises(InvalidInput, match="batch must be"):
                db.backfill(Person, Person.bio, "x", batch=batch)
    assert people.count_documents({"bio": {"$exists": True}}) == 2
