"""Seeded data, what each workload shall return over it, and the tables: made by dbkit, filled by the bare drivers.

All contenders read the same rows from the same tables and indexes. What they return is compared with what is computed
here from the data alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit
from uuid import UUID

import dbkit
from dbkit.blog import Post, User
from dbkit.values import casefold_key

__all__ = [
    "Case",
    "Data",
    "PostRow",
    "UserRow",
    "casefold_key",
    "fill",
    "plain",
    "remove_new",
    "sqlite_path",
    "to_ms",
]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_START = datetime(2024, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_WORDS = [
    "ampere",
    "becquerel",
    "candela",
    "darcy",
    "erlang",
    "farad",
    "gauss",
    "henry",
    "joule",
    "kelvin",
    "lumen",
    "maxwell",
    "newton",
    "oersted",
    "pascal",
    "röntgen",
    "siemens",
    "tesla",
    "vár",
    "weber",
]
PAGE = 50
DEEP_PAGE = 20
POSTS_OF_ONE = 100
CHILDREN = 3
PARENTS = 20
BATCH = 1_000
BULK = 10_000
_TOP = 10
_HUNDREDS = 40
NEW = "new-"
"""What the names of users that a benchmark creates begin with, so that they can be removed."""


class UserRow(NamedTuple):
    id: UUID
    created_at: datetime
    updated_at: datetime
    username: str
    email: str
    bio: str | None


class PostRow(NamedTuple):
    id: UUID
    created_at: datetime
    updated_at: datetime
    user_id: UUID
    title: str
    body: str


def to_ms(moment: datetime) -> int:
    return (moment - EPOCH) // _MS


def _uuid7(moment: datetime, rng: random.Random) -> UUID:
    bits = to_ms(moment) << 80 | 7 << 76 | rng.getrandbits(12) << 64 | 2 << 62 | rng.getrandbits(62)
    return UUID(int=bits)


@dataclass(frozen=True)
class Case:
    """The arguments of the workloads, and what each returns; JSON, so that it can be handed to another process."""

    ids: list[str]
    emails: list[str]
    authors: list[str]
    deep: tuple[str, str]
    """The user before the deep page: name and id."""
    posts: int
    expected: dict[str, Any]


class Data:
    """*users* users and *posts* posts, the same for the same seed.

    Some users wrote exactly 100 posts, ten wrote most, and the others share what is left.
    """

    def __init__(self, users: int = 2_000, posts: int = 100_000, seed: int = 7) -> None:
        rng = random.Random(seed)
        self.users = [self._user(number, rng) for number in range(users)]
        rng.shuffle(self.users)
        authors = self._authors(posts, rng)
        self.posts = [self._post(number, author, rng) for number, author in enumerate(authors)]
        self._rng = rng

    @staticmethod
    def _user(number: int, rng: random.Random) -> UserRow:
        made = _START + timedelta(seconds=61 * number, milliseconds=rng.randrange(1000))
        name = f"{rng.choice(_WORDS)}-{number}"
        email = f"{rng.choice(_WORDS).title()}.{number}@Example.org"
        return UserRow(
            _uuid7(made, rng), made, made, name, email, rng.choice([None, " ".join(rng.sample(_WORDS, 8))])
        )

    def _authors(self, posts: int, rng: random.Random) -> list[UUID]:
        hundreds, top, rest = (
            self.users[:_HUNDREDS],
            self.users[_HUNDREDS : _HUNDREDS + _TOP],
            self.users[_HUNDREDS + _TOP :],
        )
        authors = [user.id for user in hundreds for _ in range(POSTS_OF_ONE)]
        for rank, user in enumerate(top):
            authors += [user.id] * (POSTS_OF_ONE + 10 + rank // 2 + posts // 2_000)
        left = posts - len(authors)
        authors += [rest[number % len(rest)].id for number in range(left)]
        rng.shuffle(authors)
        return authors

    @staticmethod
    def _post(number: int, author: UUID, rng: random.Random) -> PostRow:
        made = _START + timedelta(days=30, seconds=37 * number, milliseconds=rng.randrange(1000))
        title = " ".join(rng.choices(_WORDS, k=5))
        return PostRow(_uuid7(made, rng), made, made, author, title, " ".join(rng.choices(_WORDS, k=20)))

    def case(self) -> Case:
        """Return the workloads' arguments, and the results computed here."""
        rng = random.Random(1)
        users = {u.id: u for u in self.users}
        chosen = rng.sample(self.users, 32)
        by_name = sorted(self.users, key=lambda u: u.username.encode())
        posts: dict[UUID, list[PostRow]] = {u.id: [] for u in self.users}
        for post in self.posts:
            posts[post.user_id].append(post)
        for found in posts.values():
            found.sort(key=lambda p: (p.created_at, p.id), reverse=True)
        authors = [u.id for u in self.users[:32]]
        most = sorted(posts, key=lambda author: (-len(posts[author]), author))[:_TOP]
        start = (DEEP_PAGE - 1) * PAGE
        before = by_name[start - 1]
        expected = {
            "get": [plain(u) for u in chosen],
            "by_email": [plain(u) for u in chosen],
            "page": [plain(u) for u in by_name[:PAGE]],
            "deep_page": [plain(u) for u in by_name[start : start + PAGE]],
            "posts": [[plain(p) for p in posts[id]] for id in authors],
            "stats": [
                len(self.users),
                len(self.posts),
                [[id.hex, users[id].username, len(posts[id])] for id in most],
            ],
            "view": [[*plain(u), [plain(p) for p in posts[u.id][:CHILDREN]]] for u in by_name[:PARENTS]],
            "iterate": [len(self.posts), max(p.id for p in self.posts).hex],
        }
        emails = [u.email.upper() if number % 2 else u.email for number, u in enumerate(chosen)]
        return Case(
            [u.id.hex for u in chosen],
            emails,
            [id.hex for id in authors],
            (before.username, before.id.hex),
            len(self.posts),
            expected,
        )


_USER = ("id", "created_at", "updated_at", "username", "email", "bio")
_POST = ("id", "created_at", "updated_at", "user_id", "title", "body")


def plain(item: Any) -> list[Any]:
    """Return a user or a post, whatever a contender made of it, as a list of text and ints; children last."""
    values = _values(item)
    made = [_plain_value(name, values[name]) for name in (_POST if "title" in values else _USER)]
    if "posts" in values:
        made.append([plain(post) for post in values["posts"]])
    return made


def _values(item: Any) -> dict[str, Any]:
    if isinstance(item, dict):
        found = cast("dict[str, Any]", item)
        return {**found, "id": found["_id"]} if "_id" in found else found
    return {name: getattr(item, name) for name in (*_USER, *_POST, "posts") if hasattr(item, name)}


def _plain_value(name: str, value: Any) -> Any:
    if name in {"id", "user_id"}:
        return value.hex if isinstance(value, UUID) else bytes(value).hex()
    if isinstance(value, datetime):
        return to_ms(value if value.tzinfo else value.replace(tzinfo=UTC))
    return value


# -- filling ---------------------------------------------------------------------------------------------------------------


def sqlite_path(url: str) -> str:
    """Return the file of an absolute SQLite URL."""
    return urlsplit(url).path[1:]


def fill(url: str, data: Data) -> None:
    """Make the tables as dbkit does, and fill them by the driver; whatever was there is removed."""
    with dbkit.connect(url, entities=[User, Post]) as db:
        db.drop_schema()
        db.create_schema()
    _FILL[url.split(":", 1)[0]](url, data)


def _user_values(users: Iterable[UserRow]) -> Iterator[tuple[Any, ...]]:
    for user in users:
        yield (*user, casefold_key(user.email))


def _lite(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(v.bytes if isinstance(v, UUID) else to_ms(v) if isinstance(v, datetime) else v for v in row)


def _fill_sqlite(url: str, data: Data) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(sqlite_path(url))) as connection, connection:
        connection.executemany(
            "INSERT INTO users VALUES (?, ?, ?, ?, ?, ?, ?)", map(_lite, _user_values(data.users))
        )
        connection.executemany("INSERT INTO posts VALUES (?, ?, ?, ?, ?, ?)", map(_lite, data.posts))
        connection.execute("ANALYZE")


def _fill_postgres(url: str, data: Data) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        with connection.cursor().copy("COPY users FROM STDIN") as copy:
            for row in _user_values(data.users):
                copy.write_row(row)
        with connection.cursor().copy("COPY posts FROM STDIN") as copy:
            for row in data.posts:
                copy.write_row(row)
        connection.execute("VACUUM ANALYZE users, posts")


def _fill_mongo(url: str, data: Data) -> None:
    import pymongo

    with pymongo.MongoClient[dict[str, Any]](url, uuidRepresentation="standard") as client:
        database = client.get_default_database()
        for start in range(0, len(data.users), BATCH):
            database["users"].insert_many(
                {
                    "_id": u.id,
                    **dict(zip(_USER[1:], u[1:], strict=True)),
                    "email__casefold": casefold_key(u.email),
                }
                for u in data.users[start : start + BATCH]
            )
        for start in range(0, len(data.posts), BATCH):
            database["posts"].insert_many(
                {"_id": p.id, **dict(zip(_POST[1:], p[1:], strict=True))}
                for p in data.posts[start : start + BATCH]
            )


_FILL: dict[str, Callable[[str, Data], None]] = {
    "sqlite": _fill_sqlite,
    "postgresql": _fill_postgres,
    "mongodb": _fill_mongo,
}


def remove_new(url: str) -> None:
    """Remove the users that the benchmark created, by the driver."""
    kind = url.split(":", 1)[0]
    if kind == "sqlite":
        import sqlite3
        from contextlib import closing

        with closing(sqlite3.connect(sqlite_path(url), timeout=60)) as connection, connection:
            connection.execute("DELETE FROM users WHERE username >= ? AND username < ?", (NEW, NEW + "~"))
    elif kind == "postgresql":
        import psycopg

        with psycopg.connect(url, autocommit=True) as server:
            server.execute("DELETE FROM users WHERE username >= %s AND username < %s", (NEW, NEW + "~"))
            server.execute("VACUUM users")
    else:
        import pymongo

        with pymongo.MongoClient[dict[str, Any]](url) as client:
            client.get_default_database()["users"].delete_many({"username": {"$gte": NEW, "$lt": NEW + "~"}})
