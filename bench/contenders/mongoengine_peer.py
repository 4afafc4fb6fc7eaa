# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false
# mypy: ignore-errors
# ruff: noqa: RUF012
"""MongoEngine + pydantic: reads as dicts (`.as_pymongo()`, which its documentation recommends for speed), writes by its documents.

Its bulk is not all or nothing: each of the others' is a transaction.
"""

import itertools
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import mongoengine as me

from dbkit.blog import User
from dbkit.values import casefold_key

from ..models import COUNTS, POSTS, USERS, VIEWS
from .base import Stats
from .checking import now
from .mongo_driver import MOST, TOTALS, VIEW, document_of, renamed

__all__ = ["MongoEngineContender", "make"]

_aliases = itertools.count()


def documents(alias: str) -> tuple[Any, Any]:
    """Return the documents of a connection."""

    class UserDocument(me.Document):
        meta = {"collection": "users", "db_alias": alias, "auto_create_index": False}
        id = me.UUIDField(primary_key=True)
        created_at = me.DateTimeField()
        updated_at = me.DateTimeField()
        username = me.StringField(max_length=100)
        email = me.StringField(max_length=254)
        bio = me.StringField(null=True)
        email__casefold = me.StringField(db_field="email__casefold")

    class PostDocument(me.Document):
        meta = {"collection": "posts", "db_alias": alias, "auto_create_index": False}
        id = me.UUIDField(primary_key=True)
        created_at = me.DateTimeField()
        updated_at = me.DateTimeField()
        user_id = me.UUIDField()
        title = me.StringField(max_length=300)
        body = me.StringField()

    return UserDocument, PostDocument


class MongoEngineContender:
    """The verbs on MongoEngine."""

    def __init__(self, url: str) -> None:
        self._alias = f"bench{next(_aliases)}"
        me.connect(host=url, alias=self._alias, tz_aware=True, uuidRepresentation="standard")
        self._user, self._post = documents(self._alias)

    def _one(self, query: Any) -> Any:
        found = query.as_pymongo().first()
        return None if found is None else USERS.validate_python(renamed([found]))[0]

    def get(self, id: UUID) -> Any:
        return self._one(self._user.objects(id=id))

    def by_email(self, email: str) -> Any:
        return self._one(self._user.objects(__raw__={"email__casefold": casefold_key(email)}))

    def page(self) -> Sequence[Any]:
        found = list(self._user.objects.order_by("username").limit(51).as_pymongo())
        return USERS.validate_python(renamed(found[:50]))

    def position(self, username: str, id: UUID) -> Any:
        return username

    def deep_page(self, position: Any) -> Sequence[Any]:
        query = self._user.objects(username__gt=position).order_by("username").limit(51)
        return USERS.validate_python(renamed(list(query.as_pymongo())[:50]))

    def posts(self, user_id: UUID) -> Sequence[Any]:
        query = self._post.objects(user_id=user_id).order_by("-created_at", "-id").limit(101)
        return POSTS.validate_python(renamed(list(query.as_pymongo())[:100]))

    def _new(self, user: User) -> Any:
        values = document_of(user)
        return self._user(id=values.pop("_id"), **values)

    def create(self, user: User) -> None:
        self._new(user).save(force_insert=True)

    def stats(self) -> Stats:
        users, posts = self._user.objects.aggregate(TOTALS)
        return users["n"], posts["n"], COUNTS.validate_python(list(self._post.objects.aggregate(MOST)))

    def bulk(self, users: Sequence[User]) -> int:
        made = self._user.objects.insert([self._new(user) for user in users], load_bulk=False)
        return len(made)

    def update(self, id: UUID, bio: str) -> Any:
        found = self._user.objects(id=id).modify(set__bio=bio, set__updated_at=now(), new=True)
        return USERS.validate_python([found])[0]

    def view(self) -> Sequence[Any]:
        found = renamed(list(self._user.objects.aggregate(VIEW)))
        for document in found:
            renamed(document["posts"])
        return VIEWS.validate_python(found)

    def upsert(self, user: User) -> Any:
        values = document_of(user)
        kept = {name: values[name] for name in ("username", "email", "bio", "updated_at")}
        first = {"_id": values["_id"], "created_at": values["created_at"]}
        found = self._user.objects(__raw__={"email__casefold": values["email__casefold"]}).modify(
            __raw__={"$set": kept, "$setOnInsert": first}, upsert=True, new=True
        )
        return USERS.validate_python([found])[0]

    def iterate(self) -> tuple[int, Any]:
        done, last = 0, None
        rows = list(self._post.objects.order_by("id").limit(1000).batch_size(1001).as_pymongo())
        while rows:
            after = self._post.objects(id__gt=rows[-1]["_id"])
            for item in POSTS.validate_python(renamed(rows)):
                done, last = done + 1, item
            rows = list(after.order_by("id").limit(1000).batch_size(1001).as_pymongo())
        return done, last

    def close(self) -> None:
        me.disconnect(self._alias)


def make(url: str) -> MongoEngineContender:
    """Open it."""
    return MongoEngineContender(url)
