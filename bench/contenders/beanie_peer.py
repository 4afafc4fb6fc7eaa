# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false
# mypy: ignore-errors
"""Beanie: its documents are pydantic models, so what it returns is checked."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from beanie import Document, UpdateResponse, init_beanie
from pydantic import Field, TypeAdapter
from pymongo import AsyncMongoClient

from dbkit.blog import User
from dbkit.values import casefold_key

from ..models import COUNTS, PlainUserWithPosts
from .base import Stats
from .checking import now
from .mongo_driver import CODECS, MOST, TOTALS, VIEW, document_of, renamed

__all__ = ["BeanieContender", "make"]


class UserDocument(Document):
    id: UUID = Field(alias="_id")
    created_at: datetime
    updated_at: datetime
    username: str = Field(max_length=100)
    email: str = Field(max_length=254)
    bio: str | None = None
    email__casefold: str

    class Settings:
        name = "users"
        keep_nulls = True


class PostDocument(Document):
    id: UUID = Field(alias="_id")
    created_at: datetime
    updated_at: datetime
    user_id: UUID
    title: str = Field(max_length=300)
    body: str = ""

    class Settings:
        name = "posts"


VIEWS = TypeAdapter(list[PlainUserWithPosts])
_LATEST = [("created_at", -1), ("_id", -1)]


class BeanieContender:
    """The verbs on Beanie."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def get(self, id: UUID) -> Any:
        return await UserDocument.get(id)

    async def by_email(self, email: str) -> Any:
        return await UserDocument.find_one({"email__casefold": casefold_key(email)})

    async def page(self) -> Sequence[Any]:
        return (await UserDocument.find_all().sort("+username").limit(51).to_list())[:50]

    async def position(self, username: str, id: UUID) -> Any:
        return username

    async def deep_page(self, position: Any) -> Sequence[Any]:
        query = UserDocument.find({"username": {"$gt": position}}).sort("+username").limit(51)
        return (await query.to_list())[:50]

    async def posts(self, user_id: UUID) -> Sequence[Any]:
        return (await PostDocument.find({"user_id": user_id}).sort(_LATEST).limit(101).to_list())[:100]

    async def create(self, user: User) -> None:
        await UserDocument(**document_of(user)).insert()

    async def stats(self) -> Stats:
        users, posts = await UserDocument.aggregate(TOTALS).to_list()
        return users["n"], posts["n"], COUNTS.validate_python(await PostDocument.aggregate(MOST).to_list())

    async def bulk(self, users: Sequence[User]) -> int:
        documents = [UserDocument(**document_of(user)) for user in users]
        async with self._client.start_session() as session, await session.start_transaction():
            made = await UserDocument.insert_many(documents, session=session)
        return len(made.inserted_ids)

    async def update(self, id: UUID, bio: str) -> Any:
        change = {"$set": {"bio": bio, "updated_at": now()}}
        return await UserDocument.find_one({"_id": id}).update(
            change, response_type=UpdateResponse.NEW_DOCUMENT
        )

    async def view(self) -> Sequence[Any]:
        found = renamed(await UserDocument.aggregate(VIEW).to_list())
        for document in found:
            renamed(document["posts"])
        return VIEWS.validate_python(found)

    async def upsert(self, user: User) -> Any:
        document = UserDocument(**document_of(user))
        kept = document.model_dump(include={"username", "email", "bio", "updated_at"})
        return await UserDocument.find_one({"email__casefold": document.email__casefold}).upsert(
            {"$set": kept}, on_insert=document, response_type=UpdateResponse.NEW_DOCUMENT
        )

    async def iterate(self) -> tuple[int, Any]:
        rows = await PostDocument.find_all(batch_size=1001).sort("+_id").limit(1000).to_list()
        done, last = 0, None
        while rows:
            done, last = done + len(rows), rows[-1]
            after = {"_id": {"$gt": last.id}}
            rows = await PostDocument.find(after, batch_size=1001).sort("+_id").limit(1000).to_list()
        return done, last

    async def close(self) -> None:
        await self._client.close()


async def make(url: str) -> BeanieContender:
    """Open it."""
    client: Any = AsyncMongoClient(url, tz_aware=True, uuidRepresentation="standard")
    database = client.get_default_database(codec_options=CODECS)
    await init_beanie(database=database, document_models=[UserDocument, PostDocument], skip_indexes=True)
    return BeanieContender(client)
