# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
# mypy: ignore-errors
# ruff: noqa: RUF012
"""ODMantic: its models are pydantic models, so what it returns is checked. It has no aggregation: Motor's is used."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from motor.motor_asyncio import AsyncIOMotorClient
from odmantic import AIOEngine, Field, Model

from dbkit.blog import User
from dbkit.values import casefold_key

from ..models import COUNTS, VIEWS
from .base import Stats
from .checking import now
from .mongo_driver import CODECS, MOST, TOTALS, VIEW, document_of, renamed

__all__ = ["OdmanticContender", "make"]


class UserModel(Model):
    model_config = {"collection": "users"}

    id: UUID = Field(primary_field=True)
    created_at: datetime
    updated_at: datetime
    username: str = Field(max_length=100)
    email: str = Field(max_length=254)
    bio: str | None = None
    email__casefold: str


class PostModel(Model):
    model_config = {"collection": "posts"}

    id: UUID = Field(primary_field=True)
    created_at: datetime
    updated_at: datetime
    user_id: UUID
    title: str = Field(max_length=300)
    body: str = ""


def _new(user: User) -> UserModel:
    values = document_of(user)
    return UserModel(id=values.pop("_id"), **values)


class OdmanticContender:
    """The verbs on ODMantic."""

    def __init__(self, client: Any, engine: Any) -> None:
        self._client = client
        self._engine = engine
        database = client.get_default_database(codec_options=CODECS)
        self._users, self._posts = database["users"], database["posts"]

    async def get(self, id: UUID) -> Any:
        return await self._engine.find_one(UserModel, UserModel.id == id)

    async def by_email(self, email: str) -> Any:
        return await self._engine.find_one(UserModel, UserModel.email__casefold == casefold_key(email))

    async def page(self) -> Sequence[Any]:
        return (await self._engine.find(UserModel, sort=UserModel.username, limit=51))[:50]

    async def position(self, username: str, id: UUID) -> Any:
        return username

    async def deep_page(self, position: Any) -> Sequence[Any]:
        after = UserModel.username > position
        return (await self._engine.find(UserModel, after, sort=UserModel.username, limit=51))[:50]

    async def posts(self, user_id: UUID) -> Sequence[Any]:
        latest = (PostModel.created_at.desc(), PostModel.id.desc())
        return (await self._engine.find(PostModel, PostModel.user_id == user_id, sort=latest, limit=101))[
            :100
        ]

    async def create(self, user: User) -> None:
        await self._engine.save(_new(user))

    async def stats(self) -> Stats:
        users, posts = await self._users.aggregate(TOTALS).to_list(None)
        return users["n"], posts["n"], COUNTS.validate_python(await self._posts.aggregate(MOST).to_list(None))

    async def bulk(self, users: Sequence[User]) -> int:
        # Its save_all is a call a row; this is its documented way to the driver: https://art049.github.io/odmantic/raw_query_usage/
        documents = [_new(user).model_dump_doc() for user in users]
        async with await self._client.start_session() as session, session.start_transaction():
            made = await self._engine.get_collection(UserModel).insert_many(documents, session=session)
        return len(made.inserted_ids)

    async def update(self, id: UUID, bio: str) -> Any:
        found = await self._engine.find_one(UserModel, UserModel.id == id)
        found.bio, found.updated_at = bio, now()
        return await self._engine.save(found)

    async def view(self) -> Sequence[Any]:
        found = renamed(await self._users.aggregate(VIEW).to_list(None))
        for document in found:
            renamed(document["posts"])
        return VIEWS.validate_python(found)

    async def upsert(self, user: User) -> Any:
        found = await self._engine.find_one(UserModel, UserModel.email__casefold == casefold_key(user.email))
        if found is None:
            return await self._engine.save(_new(user))
        found.username, found.email, found.bio, found.updated_at = (
            user.username,
            user.email,
            user.bio,
            user.updated_at,
        )
        return await self._engine.save(found)

    async def iterate(self) -> tuple[int, Any]:
        rows = await self._engine.find(PostModel, sort=PostModel.id, limit=1000)
        done, last = 0, None
        while rows:
            done, last = done + len(rows), rows[-1]
            rows = await self._engine.find(PostModel, PostModel.id > last.id, sort=PostModel.id, limit=1000)
        return done, last

    async def close(self) -> None:
        self._client.close()


async def make(url: str) -> OdmanticContender:
    """Open it."""
    client: Any = AsyncIOMotorClient(url, uuidRepresentation="standard")
    return OdmanticContender(client, AIOEngine(client=client, database=client.get_default_database().name))
