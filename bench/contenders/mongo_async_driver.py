"""raw and floor on MongoDB, asynchronous: PyMongo's own AsyncMongoClient, or Motor, which has the same methods."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pymongo import AsyncMongoClient, ReturnDocument

from dbkit.blog import User
from dbkit.values import casefold_key

from .base import Stats
from .checking import Check, now
from .mongo_driver import (
    BY_ID,
    BY_NAME,
    CODECS,
    LATEST,
    MOST,
    TOTALS,
    VIEW,
    Document,
    document_of,
    renamed,
    replacement,
)
from .sql import BATCH

__all__ = ["AsyncMongoDriver", "make", "make_motor"]


class AsyncMongoDriver:
    """The verbs on PyMongo or Motor; *client* is of either."""

    def __init__(self, client: Any, *, checked: bool) -> None:
        self._check = Check(checked=checked)
        self._client = client
        database = client.get_default_database(codec_options=CODECS)
        self._users = database["users"]
        self._posts = database["posts"]
        self._renamed = renamed if checked else list[Document]

    def _one(self, document: Document | None) -> Any:
        return None if document is None else self._check.users(self._renamed([document]))[0]

    async def _aggregate(self, collection: Any, pipeline: list[Document]) -> list[Document]:
        # Motor returns the cursor, PyMongo a coroutine that gives it.
        cursor = collection.aggregate(pipeline)
        found: list[Document] = await (await cursor if inspect.iscoroutine(cursor) else cursor).to_list(None)
        return found

    async def get(self, id: UUID) -> Any:
        return self._one(await self._users.find_one({"_id": id}))

    async def by_email(self, email: str) -> Any:
        return self._one(await self._users.find_one({"email__casefold": casefold_key(email)}))

    async def page(self) -> Sequence[Any]:
        found = await self._users.find(sort=BY_NAME, limit=51).to_list(None)
        return self._check.users(self._renamed(found[:50]))

    async def position(self, username: str, id: UUID) -> Any:
        return username

    async def deep_page(self, position: Any) -> Sequence[Any]:
        found = await self._users.find({"username": {"$gt": position}}, sort=BY_NAME, limit=51).to_list(None)
        return self._check.users(self._renamed(found[:50]))

    async def posts(self, user_id: UUID) -> Sequence[Any]:
        found = await self._posts.find({"user_id": user_id}, sort=LATEST, limit=101).to_list(None)
        return self._check.posts(self._renamed(found[:100]))

    async def create(self, user: User) -> None:
        (checked,) = self._check.written((user,))
        await self._users.insert_one(document_of(checked))

    async def stats(self) -> Stats:
        users, posts = await self._aggregate(self._users, TOTALS)
        return users["n"], posts["n"], self._check.counts(await self._aggregate(self._posts, MOST))

    async def bulk(self, users: Sequence[User]) -> int:
        documents = [document_of(user) for user in self._check.written(users)]
        started = self._client.start_session()
        session = await started if inspect.isawaitable(started) else started
        async with session:
            begun = session.start_transaction()
            async with await begun if inspect.iscoroutine(begun) else begun:
                made = await self._users.insert_many(documents, session=session)
        return len(made.inserted_ids)

    async def update(self, id: UUID, bio: str) -> Any:
        change = {"$set": {"bio": bio, "updated_at": now()}}
        found = await self._users.find_one_and_update(
            {"_id": id}, change, return_document=ReturnDocument.AFTER
        )
        return self._one(found)

    async def view(self) -> Sequence[Any]:
        found = self._renamed(await self._aggregate(self._users, VIEW))
        for document in found:
            self._renamed(document["posts"])
        return self._check.views(found)

    async def upsert(self, user: User) -> Any:
        (checked,) = self._check.written((user,))
        key = {"email__casefold": casefold_key(checked.email)}
        found = await self._users.find_one_and_update(
            key, replacement(checked), upsert=True, return_document=ReturnDocument.AFTER
        )
        return self._one(found)

    async def iterate(self) -> tuple[int, Any]:
        found = await self._posts.find(sort=BY_ID, limit=BATCH, batch_size=BATCH + 1).to_list(None)
        done, last = 0, None
        while found:
            after = {"_id": {"$gt": found[-1]["_id"]}}
            for item in self._check.posts(self._renamed(found)):
                done, last = done + 1, item
            found = await self._posts.find(after, sort=BY_ID, limit=BATCH, batch_size=BATCH + 1).to_list(None)
        return done, last

    async def close(self) -> None:
        closed = self._client.close()
        if inspect.isawaitable(closed):
            await closed


async def make(url: str, *, checked: bool) -> AsyncMongoDriver:
    """Open it by PyMongo."""
    return AsyncMongoDriver(AsyncMongoClient(url), checked=checked)


async def make_motor(url: str) -> AsyncMongoDriver:
    """Open it by Motor, with one validation a row."""
    from motor.motor_asyncio import AsyncIOMotorClient

    return AsyncMongoDriver(AsyncIOMotorClient(url), checked=True)
