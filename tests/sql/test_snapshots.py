"""What the queries become, kept as text: a change of the compiler shows as a change of these files.

`DBKIT_SNAPSHOTS=write pytest tests/sql/test_snapshots.py` writes them anew; read the difference before committing it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from dbkit import any_related, everything, via
from dbkit.building import changes_of, group_query
from dbkit.entity import spec_of
from dbkit.fields import total_order
from dbkit.query import Claim, Count, DeleteMany, DeleteOne, Exists, Insert, UpdateMany, UpdateOne, Upsert
from dbkit.views import read_of
from dbkit_sql.compiler import Compiler
from tests.sql import entities
from tests.sql.entities import (
    Address,
    Note,
    Post,
    PostLine,
    PostsByUser,
    PostsOfEach,
    User,
    UserWithPosts,
    find,
    flat,
)

USER, POST, NOTE = (spec_of(entity) for entity in entities.ENTITIES)
ID = UUID(int=1)
NOW = datetime(2024, 1, 1, tzinfo=UTC)

FILTERS: dict[str, Any] = {
    "User.age == 3": User.age == 3,
    "User.age != 3": User.age != 3,
    "~(User.age <= 3)": ~(User.age <= 3),
    "User.email == None": User.email == None,  # noqa: E711
    "User.age.in_([1, 2, 3])": User.age.in_([1, 2, 3]),
    "User.age.not_in([1, 2, None])": User.age.not_in([1, 2, None]),
    "User.age.in_([])": User.age.in_([]),
    "User.name.starts_with('a')": User.name.starts_with("a"),
    "~User.email.starts_with('a')": ~User.email.starts_with("a"),
    "~User.email.contains('x')": ~User.email.contains("x"),
    "User.email.equals_casefold('X')": User.email.equals_casefold("X"),
    "User.tags.has('a')": User.tags.has("a"),
    "User.extra['k'] == 1": User.extra["k"] == 1,
    "User.extra['k'] != 'x'": User.extra["k"] != "x",
    "User.extra['k'] == True": User.extra["k"] == True,  # noqa: E712
    "User.extra['k'] == None": User.extra["k"] == None,  # noqa: E711
    "via(User.address, Address.city) == 'x'": via(User.address, Address.city) == "x",
    "via(User.address, Address.floor) > 3": via(User.address, Address.floor) > 3,
    "User.address == Address(city='x')": User.address == Address(city="x"),
    "any_related(Post.user_id, Post.title == 't')": any_related(Post.user_id, Post.title == "t"),
    "~any_related(Post.user_id)": ~any_related(Post.user_id),
    "(User.age > 3) & ~((User.name == 'a') | User.email.is_null())": (User.age > 3)
    & ~((User.name == "a") | User.email.is_null()),
}


def _statements(c: Compiler) -> Iterator[tuple[str, str]]:
    for name, where in FILTERS.items():
        yield f"count({name})", c.count(Count(USER, where)).text
    parent = via(Note.post_id, via(Post.user_id, User.name))
    yield "count(via(…) == 'x')", c.count(Count(NOTE, parent == "x")).text
    yield "exists(…)", c.exists(Exists(POST, Post.likes > 3)).text
    yield "counts(User, Post)", c.counts([USER, POST]).text
    yield "get(id)", c.get(POST.read).text
    yield (
        "find(into=PostLine)",
        c.find(find(PostLine, Post.likes >= 3, Post.likes.desc(), limit=5, offset=2)).text.text,
    )
    yield "related(Post, …)", c.children(read_of(UserWithPosts).relations[0], 2).text.text
    yield (
        "page(after=), not null",
        c.find(find(Post, None, Post.likes.desc(), limit=50, after=(3, ID), page=True)).text.text,
    )
    yield (
        "page(after=), nullable",
        c.find(
            find(Note, None, (Note.post_id, Note.rank.desc()), limit=5, after=(ID, 3, ID), page=True)
        ).text.text,
    )
    yield (
        "page(after=), unique",
        c.find(find(Post, None, Post.id.desc(), limit=50, after=(ID,), page=True)).text.text,
    )
    yield (
        "group(…)",
        c.group(
            group_query(POST, PostsByUser, (), PostsByUser.likes > 3, PostsByUser.likes.desc(), 10)
        ).text.text,
    )
    yield (
        "group(…) by a reference and its parent",
        c.group(
            group_query(POST, PostsOfEach, (Post.likes > 1,), PostsOfEach.posts > 3, PostsOfEach.name, None)
        ).text.text,
    )
    yield "insert", c.insert(Insert(POST, (ID, NOW, NOW, ID, "t", 1))).text.text
    yield "insert many", c.bulk(POST).copy
    yield (
        "upsert(on=User.name)",
        c.upsert(Upsert(USER, (None,) * len(USER.columns), USER.uniques[0])).text.text,
    )
    changes: Any = [
        User.balance.set(User.balance * 2 + User.balance),
        User.rate.set(User.rate * User.version),
        User.tags.append("x"),
    ]
    yield (
        "update(id, …, where=)",
        c.update_one(UpdateOne(USER, ID, User.balance >= 5, changes_of(USER, changes, "update"))).text.text,
    )
    removed = changes_of(USER, [User.tags.remove("x")], "update")
    yield "update(id, tags.remove)", c.update_one(UpdateOne(USER, ID, None, removed)).text.text
    liked = changes_of(POST, [Post.likes.set(Post.likes + 1)], "update_many")
    where = via(Post.user_id, User.name) != "x"
    yield "update_many(via(…) != 'x')", c.update_many(UpdateMany(POST, where, liked)).text.text
    yield "delete(id)", c.delete_one(DeleteOne(NOTE, ID, None)).text.text
    yield "delete(id), with children", c.delete_one(DeleteOne(USER, ID, None)).text.text
    yield "delete_many", c.delete_many(DeleteMany(NOTE, everything())).text.text
    ranked = changes_of(NOTE, [Note.rank.set(0)], "claim")
    yield (
        "claim",
        c.claim(Claim(NOTE, Note.rank > 1, ranked, total_order(NOTE, Note.rank), 5)).text.text,
    )


def _document(c: Compiler) -> str:
    lines: list[str] = []
    for entity in entities.ENTITIES:
        spec = spec_of(entity)
        for statement in [*c.tables.create(spec), *c.tables.refer(spec)]:
            lines += [statement + ";", ""]
    for title, text in _statements(c):
        lines += [f"-- {title}", flat(text) + ";", ""]
    return "\n".join(lines).replace(_unicode(), "Unicode …")


def _unicode() -> str:
    import unicodedata

    return f"Unicode {unicodedata.unidata_version}"


@pytest.mark.parametrize("make", [entities.sqlite, entities.postgres], ids=["sqlite", "postgresql"])
def test_the_statements_are_as_they_were(
    make: Callable[[], Compiler], request: pytest.FixtureRequest
) -> None:
    file = Path(__file__).parent / "snapshots" / f"{request.node.callspec.id}.sql"
    document = _document(make())
    if os.environ.get("DBKIT_SNAPSHOTS") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(document, encoding="utf-8")
    assert document == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("make", [entities.sqlite, entities.postgres])
def test_a_shape_is_compiled_once(make: Callable[[], Compiler]) -> None:
    c = make()
    for _ in range(3):
        for age in (1, 2, 3):
            c.count(Count(USER, User.age > age))
            c.count(Count(USER, User.age.in_([age, age + 1, age + 2])))
        c.get(USER.read)
        c.find(find(User, None, User.age, limit=age, after=(age, ID), page=True))
    assert c.compilations == 4
    c.count(Count(USER, User.age.in_([1, 2, 3, 4, 5])))  # another size class
    c.find(find(User, None, User.age, limit=5, after=(None, ID), page=True))  # a null key
    assert c.compilations == 6


def test_a_value_never_becomes_text() -> None:
    hostile = "x'); DROP TABLE users; --"
    for make in (entities.sqlite, entities.postgres):
        c = make()
        query = Count(USER, (User.name == hostile) | User.tags.has(hostile) | (User.extra["k"] == hostile))
        text = c.count(query)
        assert "DROP" not in text.text
        assert sum(hostile in str(value) for value in text.fill(query.binds)) == 3
