"""The blog's entities as plain pydantic models: what somebody without dbkit would write, and floor and peers validate by.

The same fields and limits as `dbkit.blog`, without the checks that dbkit's entities make of input (no naive datetime, whole
milliseconds, no NUL), which cost time and which reads need not: a floor that ran them on each row would be too easy.
"""

from __future__ import annotations

from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

__all__ = [
    "COUNTS",
    "POSTS",
    "USERS",
    "VIEWS",
    "PlainPost",
    "PlainUser",
    "PlainUserPostCount",
    "PlainUserWithPosts",
]


class PlainUser(BaseModel):
    # SQLite keeps a datetime as its milliseconds.
    model_config = ConfigDict(frozen=True, from_attributes=True, val_temporal_unit="milliseconds")

    id: UUID
    created_at: AwareDatetime
    updated_at: AwareDatetime
    username: str = Field(max_length=100)
    email: str = Field(max_length=254)
    bio: str | None = None


class PlainPost(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True, val_temporal_unit="milliseconds")

    id: UUID
    created_at: AwareDatetime
    updated_at: AwareDatetime
    user_id: UUID
    title: str = Field(max_length=300)
    body: str = ""


class PlainUserWithPosts(PlainUser):
    posts: list[PlainPost]


class PlainUserPostCount(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)

    user_id: UUID
    username: str
    post_count: int


USERS = TypeAdapter(list[PlainUser])
POSTS = TypeAdapter(list[PlainPost])
VIEWS = TypeAdapter(list[PlainUserWithPosts])
COUNTS = TypeAdapter(list[PlainUserPostCount])
