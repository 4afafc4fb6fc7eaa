"""What the comparison stores: seeded rows of two kinds, and a repository's history."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from dbkit import Group, Mapped, Record, field, sum_
from dbkit.blog import Post, User
from examples import git_history

SEED = 20_240_229
_START = datetime(2024, 1, 1, tzinfo=UTC)
_ITEMS = ("anchor", "Anchor", "bell", "café", "drum", "Straße", "zebra", "Ωmega", "日本", "😀")


class Sale(Record[int], name="demo_sales", indexes=[("rating", "shipped")]):
    """A sale, rated by its buyer or not, shipped or not yet."""

    id: Mapped[int]
    item: Mapped[str] = field(max_length=40)
    quantity: Mapped[int]
    amount: Mapped[Decimal] = field(max_digits=12, decimal_places=2)
    rating: Mapped[int | None] = field(default=None)
    shipped: Mapped[datetime | None] = field(default=None)


class Turnover(Group[Sale]):
    """What all sales come to."""

    amount: Mapped[Decimal] = sum_(Sale.amount)


ENTITIES: tuple[type[Record[Any]], ...] = (Sale, User, Post)


class Sizes(NamedTuple):
    """How much is done."""

    sales: int = 20_000
    users: int = 40
    posts: int = 2_000
    jobs: int = 1_000
    workers: int = 8
    programs: int = 500
    transfers: int = 10
    gets: int = 300
    pages: int = 60

    @classmethod
    def quick(cls) -> Sizes:
        """A tenth."""
        return cls(2_000, 20, 400, 100, 4, 40, 4, 100, 20)


def sales(number: int) -> list[Sale]:
    """Return the sales, the same in every run: a sixth unrated, a fifth not shipped, many alike."""
    chance = random.Random(SEED)
    made: list[Sale] = []
    for id in range(1, number + 1):
        shipped = _START + timedelta(minutes=chance.randrange(500_000))
        made.append(
            Sale(
                id=id,
                item=chance.choice(_ITEMS),
                quantity=chance.randrange(1, 10),
                amount=Decimal(chance.randrange(1, 500_000)) / 100,
                rating=chance.choice((None, 1, 2, 3, 4, 5)),
                shipped=shipped if chance.randrange(5) else None,
            )
        )
    return made


def blog(users: int, posts: int) -> tuple[list[User], list[Post]]:
    """Return authors and their posts, the same in every run, ids included; the first author wrote least."""
    chance = random.Random(SEED)
    authors = [
        User(id=_id(n), username=f"author {n}", email=f"author.{n}@example.org", created_at=_START)
        for n in range(users)
    ]
    written: list[Post] = []
    for n in range(posts):
        at = _START + timedelta(minutes=chance.randrange(500_000))
        author = authors[max(chance.randrange(users), chance.randrange(users))]
        written.append(
            Post(id=_id(users + n), user_id=author.id, title=f"post {n}", created_at=at, updated_at=at)
        )
    return authors, written


def _id(number: int) -> UUID:
    """Return a UUID of version 7 that is the same in every run."""
    return UUID(int=(1_704_067_200_000 << 80) | (7 << 76) | (2 << 62) | number)


class Repository(NamedTuple):
    """A repository's history, read once and stored everywhere; without commits where it cannot be had."""

    name: str
    users: list[User]
    posts: list[Post]
    reason: str = ""
    """Why there is nothing."""


def repository(path: Path) -> Repository:
    """Return the history of the repository at *path*, or why there is none."""
    name = path.resolve().name
    try:
        history = git_history.read_history(path)
    except ValueError as error:
        return Repository(name, [], [], " ".join(str(error).split()))
    users = history.users()
    posts = list(history.posts(users))
    return Repository(name, list(users.values()), posts, "" if posts else "it has no commits")
