"""The blog's six migrations: up, down and up from each version, with data, on every store and in both colours."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dbkit import connect
from dbkit.blog import Blog, Post, User
from dbkit.cli.reaching import migration_store
from dbkit.migrations import AsyncMigrator, Migrator
from dbkit.testing.servers import drop_database, fresh_database

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "migrations"
LONG = "x" * 400
TEXTS = {
    "ada": ["About me\nI write engines.", "On engines\nThey run.\nAnd stop.", ""],
    "bob": ["Short", f"{LONG}\nand more"],
}
SPLIT = {
    "ada": [("", ""), ("About me", "I write engines."), ("On engines", "They run.\nAnd stop.")],
    "bob": [("Short", ""), (LONG[:300], f"{LONG}\nand more")],
}


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.server),
        pytest.param("mongodb", marks=pytest.mark.server),
    ]
)
def lasting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each store that lasts."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'blog.db'}"
        return
    server = request.getfixturevalue("postgres_server" if request.param == "postgresql" else "mongo_server")
    made = fresh_database(server)
    yield made
    drop_database(server, made)


@pytest.fixture
def first() -> Iterator[ModuleType]:
    """The entities as they are after the first migration."""
    name = "blog_after_the_first_migration"
    spec = importlib.util.spec_from_file_location(name, FOLDER / "0001_create.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Where pydantic looks a class's names up.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[name]


def fill(url: str, first: ModuleType) -> None:
    """Store what the blog had when it began."""
    at_first: Any = first
    with connect(url, entities=[at_first.User, at_first.Post]) as db:
        for name, texts in TEXTS.items():
            author = db.store(at_first.User).create(
                at_first.User(login=name, email=f"{name.title()}@example.org")
            )
            db.store(at_first.Post).create_many([at_first.Post(user_id=author.id, text=t) for t in texts])


def differences(url: str) -> list[str]:
    """Return how the database differs from what `dbkit.blog` declares, in words."""
    store, schema = migration_store(url, [User, Post])
    store.open()
    try:
        return sorted(difference.words for difference in store.differences(schema))
    finally:
        store.close()


def check_data(url: str) -> None:
    """Hold what the blog reads after the last migration against what was written after the first."""
    with connect(url, entities=[User, Post]) as db:
        blog = Blog(db)
        assert blog.stats.totals() == (2, 5)
        for name, split in SPLIT.items():
            author = blog.users.by_email(f"{name.upper()}@EXAMPLE.org")
            assert author is not None
            assert author.username == name
            assert author.bio == ("I write engines." if name == "ada" else None)
            posts = blog.posts.by_user(author.id).items
            assert sorted((post.title, post.body) for post in posts) == sorted(split)


def test_up_down_up_from_each_version(lasting: str, first: ModuleType) -> None:
    with Migrator(lasting, FOLDER) as migrator:
        migrator.goto(1)
        fill(lasting, first)
        schemas = {1: differences(lasting)}
        for version in range(2, 7):
            migrator.steps(1)
            schemas[version] = differences(lasting)
            migrator.steps(-1)
            assert differences(lasting) == schemas[version - 1]
            migrator.steps(1)
            assert differences(lasting) == schemas[version]
        assert schemas[6] == []
        check_data(lasting)
        migrator.goto(1)
        assert differences(lasting) == schemas[1]
        assert [ran.version for ran in migrator.up()] == [2, 3, 4, 5, 6]
        assert differences(lasting) == []
        check_data(lasting)
        assert [ran.version for ran in migrator.down()] == [6, 5, 4, 3, 2, 1]
        assert len(differences(lasting)) == 2
        migrator.up()
        assert differences(lasting) == []


async def test_the_same_asynchronously(lasting: str, first: ModuleType) -> None:
    async with AsyncMigrator(lasting, FOLDER) as migrator:
        await migrator.goto(1)
        fill(lasting, first)
        await migrator.up()
        assert differences(lasting) == []
        check_data(lasting)
        await migrator.goto(1)
        await migrator.steps(5)
        check_data(lasting)
        assert (await migrator.version()).number == 6
        await migrator.down()
        assert (await migrator.version()).number == 0
