"""What the queries become, kept as text: a change of the compiler shows as a change of that file.

`DBKIT_SNAPSHOTS=write pytest tests/mongo/test_mongo_snapshots.py` writes it anew; read the difference before committing.
Values of a call stand as "?".
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from dbkit import all_of, any_of, any_related, everything, via
from dbkit.building import changes_of, group_query
from dbkit.entity import row_of, spec_of
from dbkit.fields import total_order
from dbkit.query import Claim, Count, DeleteOne, Exists, Find, Upsert
from dbkit.query import UpdateOne as Update
from dbkit.spec import Schema
from dbkit.views import read_of
from dbkit_mongo.groups import compile_group
from dbkit_mongo.reads import compile_count, compile_exists, compile_find, compile_get
from dbkit_mongo.rows import MONGODB
from dbkit_mongo.schema import collections_of
from dbkit_mongo.templates import text_of
from dbkit_mongo.writes import compile_claim, compile_delete, compile_insert, compile_update, compile_upsert
from tests.mongo.entities import (
    Address,
    Colour,
    Figures,
    Post,
    PostLine,
    PostsByUser,
    PostsOfUser,
    User,
    UserName,
    UserWithPosts,
)

USER, POST = spec_of(User), spec_of(Post)
ID = UUID(int=1)
SNAPSHOT = Path(__file__).parent / "snapshots" / "mongodb.txt"

FILTERS: dict[str, Any] = {
    "User.id == …": User.id == ID,
    "User.age == 3": User.age == 3,
    "User.age != 3": User.age != 3,
    "~(User.age <= 3)": ~(User.age <= 3),
    "User.age.between(1, 3)": User.age.between(1, 3),
    "User.rate > 0.5": User.rate > 0.5,
    "User.email == None": User.email == None,  # noqa: E711
    "User.marks.is_null()": User.marks.is_null(),
    "User.age.in_([1, 2, 3])": User.age.in_([1, 2, 3]),
    "User.age.not_in([1, None])": User.age.not_in([1, None]),
    "User.age.in_([])": User.age.in_([]),
    "User.colour == Colour.RED": User.colour == Colour.RED,
    "User.name.starts_with('a')": User.name.starts_with("a"),
    "User.name.starts_with('')": User.name.starts_with(""),
    "User.name.contains('a.b')": User.name.contains("a.b"),
    "User.email.equals_casefold('X')": User.email.equals_casefold("X"),
    "User.tags.has('a')": User.tags.has("a"),
    "User.marks.has(1)": User.marks.has(1),
    "User.extra['k'] == 1": User.extra["k"] == 1,
    "User.extra['k'] != 'x'": User.extra["k"] != "x",
    "User.extra['k'].in_([1, 2])": User.extra["k"].in_([1, 2]),
    "User.extra['k'] == None": User.extra["k"] == None,  # noqa: E711
    "via(User.address, Address.floor) > 3": via(User.address, Address.floor) > 3,
    "User.address == Address(city='x')": User.address == Address(city="x"),
    "any_of(…, all_of(…))": any_of(User.age == 3, all_of(User.age > 4, User.rate < 1.0)),
    "any_related(Post.user_id, Post.title == 't')": any_related(Post.user_id, Post.title == "t"),
    "~any_related(Post.user_id)": ~any_related(Post.user_id),
}

CHANGES: dict[str, Any] = {
    "points.set(3)": User.points.set(3),
    "points + 3": User.points.set(User.points + 3),
    "points - 3": User.points.set(User.points - 3),
    "age + 1": User.age.set(User.age + 1),
    "balance - 1.50": User.balance.set(User.balance - Decimal("1.50")),
    "balance * points": User.balance.set(User.balance * User.points),
    "(points + 1) * points": User.points.set((User.points + 1) * User.points),
    "rate * 0.5": User.rate.set(User.rate * 0.5),
    "tags.append('a')": User.tags.append("a"),
    "tags.remove('a')": User.tags.remove("a"),
    "marks.append(1)": User.marks.append(1),
    "marks.remove(1)": User.marks.remove(1),
    "extra.set({…})": User.extra.set({"$a": 1}),
    "email.set('X')": User.email.set("X"),
}


def _find(
    into: Any, where: Any = None, order: Any = None, *, limit: int | None = 10, after: Any = None, **more: Any
) -> str:
    read = read_of(into)
    order_by = total_order(read.entity, order)
    query = Find(read, where, order_by, limit, None, after, **more)
    return compile_find(query.slotted(), MONGODB, {}).text


def _statements() -> Iterator[tuple[str, str]]:
    for name, where in FILTERS.items():
        yield f"count({name})", compile_count(Count(USER, where).slotted(), MONGODB).text
    joined = via(Post.user_id, User.name) == "x"
    yield "count(via(…) == 'x')", compile_count(Count(POST, joined).slotted(), MONGODB).text
    mixed = Exists(POST, all_of(joined, Post.likes > 3))
    yield "exists(via(…) == 'x', Post.likes > 3)", compile_exists(mixed.slotted(), MONGODB).text
    yield "get(id)", compile_get(USER.read, MONGODB, {}).text
    yield "get(id, into=UserName)", compile_get(read_of(UserName), MONGODB, {}).text
    yield "find(order_by=User.name): a unique key decides", _find(User, None, User.name)
    yield "find(order_by=User.age.desc())", _find(User, User.points > 1, User.age.desc())
    yield "find(into=UserWithPosts)", _find(UserWithPosts, User.age > 3)
    yield "find(into=PostLine)", _find(PostLine, joined, Post.likes.desc())
    page = {"page": True}
    yield "page(after=…)", _find(User, User.points > 1, User.age.desc(), after=(3, ID), **page)
    yield "page(after=(None, …))", _find(User, User.points > 1, User.age, after=(None, ID), **page)
    yield "page(into=UserName)", _find(UserName, None, User.age, **page)
    by_parent = via(Post.user_id, User.age)
    yield "page(order_by=via(…), after=…)", _find(Post, Post.likes > 1, by_parent, after=(3, ID), **page)
    groups = group_query(
        POST, PostsByUser, (Post.likes > 1,), PostsByUser.posts > 3, PostsByUser.posts.desc(), 10
    )
    yield "group(PostsByUser)", compile_group(groups.slotted(), MONGODB).text
    for order in (PostsOfUser.posts.desc(), PostsOfUser.author):
        groups = group_query(POST, PostsOfUser, (), PostsOfUser.posts > 3, order, 10)
        yield "group(PostsOfUser, order_by=…)", compile_group(groups.slotted(), MONGODB).text
    figures = group_query(USER, Figures, (), Figures.users > 0, None, None)
    yield "group(Figures)", compile_group(figures.slotted(), MONGODB).text
    yield "insert(Post)", compile_insert(POST, MONGODB).text
    for name, change in CHANGES.items():
        update = Update(USER, ID, User.age > 3, changes_of(USER, change, "update"))
        yield f"update({name})", compile_update(update.slotted(), MONGODB, {}).text
    row = row_of(USER, User(name="a", email="b"))
    upsert = Upsert(USER, row, USER.uniques[0])
    yield "upsert(on=User.name)", compile_upsert(upsert.slotted(), MONGODB, {}).text
    yield "delete(id, where=…)", compile_delete(DeleteOne(USER, ID, User.age > 3).slotted(), MONGODB).text
    taking = changes_of(USER, User.colour.set(Colour.BLUE), "claim")
    claim = Claim(USER, User.colour == Colour.RED, taking, total_order(USER, User.created_at), 5)
    yield "claim(…)", compile_claim(claim.slotted(), MONGODB, {}).text
    for collection in collections_of(Schema([USER, POST])):
        yield f"validator of {collection.name}", text_of(collection.validator)
        for index in collection.indexes:
            yield f"index of {collection.name}", text_of({"keys": list(index.keys), **index.options})


def test_what_queries_become() -> None:
    text = "".join(f"-- {name}\n{_pretty(statement)}\n\n" for name, statement in _statements())
    if os.environ.get("DBKIT_SNAPSHOTS") == "write":
        SNAPSHOT.parent.mkdir(exist_ok=True)
        SNAPSHOT.write_text(text, encoding="utf-8")
    assert text == SNAPSHOT.read_text(encoding="utf-8")


def _pretty(statement: str) -> str:
    """Return the statement, which is JSON, with one stage or part a line."""
    command = json.loads(statement)
    lines = [f"{json.dumps(key)}: {_lines(value)}" for key, value in command.items()]
    return "\n".join(lines)


def _lines(value: Any) -> str:
    items: list[Any] = value if value.__class__ is list else []
    if len(items) > 1:
        return "[" + "".join(f"\n    {json.dumps(item)}," for item in items) + "\n]"
    return json.dumps(value)


def test_values_never_stand_in_the_text() -> None:
    secret = "s3cret"
    where = all_of(User.name == secret, User.extra["k"] == secret, User.tags.has(secret), everything())
    update = Update(USER, ID, where, changes_of(USER, User.name.set(secret), "update"))
    assert secret not in compile_update(update.slotted(), MONGODB, {}).text
    assert secret not in compile_count(Count(USER, where).slotted(), MONGODB).text
