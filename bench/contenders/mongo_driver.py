"""raw and floor on MongoDB: PyMongo, one client, documents as dicts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any
from uuid import UUID

import pymongo
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions
from pymongo import ReturnDocument

from dbkit.blog import User
from dbkit.values import casefold_key

from ..models import PlainUser
from .base import Stats
from .checking import Check, now
from .sql import BATCH

__all__ = [
    "BY_ID",
    "BY_NAME",
    "CODECS",
    "LATEST",
    "MOST",
    "TOTALS",
    "Document",
    "MongoDriver",
    "document_of",
    "make",
    "renamed",
    "replacement",
]

Document = dict[str, Any]
CODECS: CodecOptions[Document] = CodecOptions(
    tz_aware=True, tzinfo=UTC, uuid_representation=UuidRepresentation.STANDARD
)
BY_ID = [("_id", 1)]
BY_NAME = [("username", 1)]
LATEST = [("created_at", -1), ("_id", -1)]
MOST: list[Document] = [
    {"$group": {"_id": "$user_id", "post_count": {"$sum": 1}}},
    {"$sort": {"post_count": -1, "_id": 1}},
    {"$limit": 10},
    {"$lookup": {"from": "users", "localField": "_id", "foreignField": "_id", "as": "author"}},
    {"$unwind": "$author"},
    {"$project": {"_id": 0, "user_id": "$_id", "username": "$author.username", "post_count": 1}},
]
TOTALS: list[Document] = [
    {"$group": {"_id": None, "n": {"$sum": 1}}},
    {"$unionWith": {"coll": "posts", "pipeline": [{"$group": {"_id": None, "n": {"$sum": 1}}}]}},
]
VIEW: list[Document] = [
    {"$sort": {"username": 1}},
    {"$limit": 20},
    {
        "$lookup": {
            "from": "posts",
            "localField": "_id",
            "foreignField": "user_id",
            "pipeline": [{"$sort": {"created_at": -1, "_id": -1}}, {"$limit": 3}],
            "as": "posts",
        }
    },
]


def document_of(user: User | PlainUser) -> Document:
    """Return a user's document."""
    return {
        "_id": user.id,
        "created_at": user.created_at,
        "updated_at": user.updated_at,
        "username": user.username,
        "email": user.email,
        "bio": user.bio,
        "email__casefold": casefold_key(user.email),
    }


def replacement(user: User | PlainUser) -> Document:
    """Return the update that replaces all but the id and created_at, or inserts."""
    document = document_of(user)
    key = document.pop("email__casefold")
    kept = {"_id": document.pop("_id"), "created_at": document.pop("created_at"), "email__casefold": key}
    return {"$set": document, "$setOnInsert": kept}


def renamed(documents: list[Document]) -> list[Document]:
    """Give each document its id under the entity's name of it."""
    for document in documents:
        document["id"] = document["_id"]
    return documents


def own_fields(documents: list[Document]) -> list[Document]:
    """Leave each document what its entity declares, under the entity's names: dbkit's entities refuse what they do not."""
    for document in documents:
        document["id"] = document.pop("_id")
        document.pop("email__casefold", None)
    return documents


class MongoDriver:
    """The verbs on PyMongo."""

    def __init__(self, url: str, *, checked: bool, own: bool = False) -> None:
        self._check = Check(checked=checked, own=own)
        self._client: pymongo.MongoClient[Document] = pymongo.MongoClient(url)
        database = self._client.get_default_database(codec_options=CODECS)
        self._users = database["users"]
        self._posts = database["posts"]
        self._renamed = (own_fields if own else renamed) if checked else list[Document]

    def _one(self, document: Document | None) -> Any:
        return None if document is None else self._check.users(self._renamed([document]))[0]

    def get(self, id: UUID) -> Any:
        return self._one(self._users.find_one({"_id": id}))

    def by_email(self, email: str) -> Any:
        return self._one(self._users.find_one({"email__casefold": casefold_key(email)}))

    def page(self) -> Sequence[Any]:
        found = self._users.find(sort=BY_NAME, limit=51).to_list()
        return self._check.users(self._renamed(found[:50]))

    def position(self, username: str, id: UUID) -> Any:
        return username

    def deep_page(self, position: Any) -> Sequence[Any]:
        found = self._users.find({"username": {"$gt": position}}, sort=BY_NAME, limit=51).to_list()
        return self._check.users(self._renamed(found[:50]))

    def posts(self, user_id: UUID) -> Sequence[Any]:
        found = self._posts.find({"user_id": user_id}, sort=LATEST, limit=101).to_list()
        return self._check.posts(self._renamed(found[:100]))

    def create(self, user: User) -> None:
        (checked,) = self._check.written((user,))
        self._users.insert_one(document_of(checked))

    def stats(self) -> Stats:
        users, posts = self._users.aggregate(TOTALS).to_list()
        return users["n"], posts["n"], self._check.counts(self._posts.aggregate(MOST).to_list())

    def bulk(self, users: Sequence[User]) -> int:
        with self._client.start_session() as session, session.start_transaction():
            made = self._users.insert_many(
                [document_of(user) for user in self._check.written(users)], session=session
            )
        return len(made.inserted_ids)

    def update(self, id: UUID, bio: str) -> Any:
        change = {"$set": {"bio": bio, "updated_at": now()}}
        return self._one(
            self._users.find_one_and_update({"_id": id}, change, return_document=ReturnDocument.AFTER)
        )

    def view(self) -> Sequence[Any]:
        found = self._renamed(self._users.aggregate(VIEW).to_list())
        for document in found:
            self._renamed(document["posts"])
        return self._check.views(found)

    def upsert(self, user: User) -> Any:
        (checked,) = self._check.written((user,))
        return self._one(
            self._users.find_one_and_update(
                {"email__casefold": casefold_key(checked.email)},
                replacement(checked),
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        )

    def iterate(self, most: int | None = None) -> tuple[int, Any]:
        size = BATCH if most is None else min(most, BATCH)
        # The first batch would hold 101 documents.
        found = self._posts.find(sort=BY_ID, limit=size, batch_size=size + 1).to_list()
        done, last = 0, None
        while found:
            after = {"_id": {"$gt": found[-1]["_id"]}}
            for item in self._check.posts(self._renamed(found)):
                done, last = done + 1, item
            if done == most:
                break
            found = self._posts.find(after, sort=BY_ID, limit=size, batch_size=size + 1).to_list()
        return done, last

    def close(self) -> None:
        self._client.close()


def make(url: str, *, checked: bool, own: bool = False) -> MongoDriver:
    """Open it."""
    return MongoDriver(url, checked=checked, own=own)
