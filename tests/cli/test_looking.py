"""`doctor`, `explain`, `shell`, `demo`: what they say, on every store."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dbkit import FLAGS, connect
from dbkit.blog import Post, User
from dbkit.cli.doctor import owners
from dbkit.cli.shell import store_name

from .conftest import Command


def test_doctor_says_who_answers_and_what_it_keeps(dbkit: Command, url: str) -> None:
    found = dbkit.json("doctor", "--url", url, "--entities", dbkit.entities)
    with connect(url, entities=[User, Post]) as db:
        assert found["server"] == {
            "name": db.server.name,
            "version": db.server.version,
            "is_surrogate": db.server.is_surrogate,
        }
        assert {name: said["yes"] for name, said in found["features"].items()} == {
            flag.name: answer.yes for flag, answer in db.features
        }
    assert found["features_are"] == "probed"
    assert found["features"].keys() == FLAGS.keys()
    assert found["entities"] == ["User", "Post"]
    assert found["problems"] == []
    assert found["topology"]
    assert found["driver"]
    text = dbkit.done("doctor", "--url", url)
    for name in FLAGS:
        assert name in text


def test_doctor_says_what_the_entities_need_and_the_store_has_not(dbkit: Command) -> None:
    at = ["--url", "mongomock://localhost/x", "--entities", dbkit.entities]
    found = dbkit.json("doctor", *at, code=1)
    assert len(found["problems"]) == 1
    assert "Post.user_id is a checked reference" in found["problems"][0]
    assert found["features_are"] == "probed"
    text = dbkit.done("doctor", *at, code=1)
    assert "no   checked_references" in text
    assert "! Post.user_id is a checked reference" in text


def test_doctor_without_a_url_says_what_is_installed(dbkit: Command) -> None:
    found = dbkit.json("doctor")
    assert found["installed"]["pydantic"]
    assert (found["url"], found["features"], found["problems"]) == (None, {}, [])


def test_two_distributions_that_own_the_name(dbkit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert owners(lambda: {"dbkit": ["dbkit", "dbkit-stores"]}) == ["dbkit", "dbkit-stores"]
    assert owners() == ["dbkit-stores"]
    monkeypatch.setattr("dbkit.cli.doctor.owners", lambda: ["dbkit", "dbkit-stores"])
    assert "pip uninstall dbkit dbkit-stores, then pip install dbkit-stores" in dbkit.done("doctor", code=1)


def test_explain_shows_the_statement_and_the_plan(dbkit: Command, url: str) -> None:
    with connect(url, entities=[User, Post]) as db:
        db.create_schema()
    arguments = ["explain", "posts", "--url", url, "--entities", dbkit.entities]
    found = dbkit.json(*arguments, "--where", "title^=On", "--order-by", "-created_at", "--limit", "3")
    assert (found["entity"], found["verb"]) == ("Post", "find")
    assert "title" in found["statement"]
    assert found.keys() >= {"indexes", "scans", "sorted_in_memory", "examined", "server"}
    assert "sorted in memory" in dbkit.done(*arguments, "--verb", "page")
    assert dbkit.json(*arguments, "--verb", "count", "--raw")["raw"]
    assert dbkit.json(*arguments, "--verb", "iterate", "--limit", "5")["further"] == []


def test_explain_shows_what_follows(dbkit: Command, url: str) -> None:
    with connect(url, entities=[User, Post]) as db:
        db.create_schema()
    arguments = [
        "explain",
        "users",
        "--url",
        url,
        "--entities",
        dbkit.entities,
        "--into",
        "dbkit.blog:UserWithPosts",
    ]
    found = dbkit.json(*arguments, "--verb", "page", "--total")
    keys = {"statement", "indexes", "scans", "sorted_in_memory", "examined"}
    assert all(part.keys() == keys for part in found["further"])
    texts = [part["statement"] for part in found["further"]]
    if url.startswith(("sqlite", "postgresql")):
        assert ["posts" in text for text in texts] == [True, False]
        assert dbkit.done(*arguments).count("sorted in memory") == 2
    else:
        assert len(texts) == url.startswith("mongodb")


@pytest.mark.parametrize(
    ("entity", "conditions"),
    [
        ("User", ["username=ada", "bio is null", "email~=ADA@example.org"]),
        ("User", ["bio is not null", "username*=d", "username!=x", "created_at>=2024-05-01T00:00:00Z"]),
        ("Post", ["user_id.username^=a", "user_id=01a20ac7-61ef-7036-9865-b017dd288f19"]),
        ("Shop", ["address.city=Köln", "extra.source=ads", "extra.rank>3", "open_on<=4", "open_on<9"]),
    ],
)
def test_conditions(entity: str, conditions: list[str], dbkit: Command) -> None:
    options = [part for condition in conditions for part in ("--where", condition)]
    entities = f"{dbkit.models}:WITH_SHOP"
    assert dbkit.done("explain", entity, *options, "--url", "memory://", "--entities", entities)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Users"], "did you mean 'User'?"),
        (["User", "--where", "username"], "a condition cannot be read"),
        (["User", "--where", "__import__('os').system('x')=1"], "a condition cannot be read"),
        (["User", "--where", "created_at>yesterday"], "is no datetime"),
        (["User", "--where", "created_at>2026-01-01"], "'created_at>2026-01-01T00:00:00Z'"),
        (["User", "--where", "username.first=x"], "leads nowhere"),
        (["User", "--order-by", "-nme"], "no field 'nme'"),
        (["User", "--verb", "count", "--limit", "3"], "no order, no limit and no view"),
        (["User", "--verb", "delete_many"], "Invalid value"),
        (["User", "--limit", "0"], "Invalid value"),
        (["User", "--total"], "find gives no total"),
        (["User", "--into", "UserWithPosts"], "does not name a view"),
        (["User", "--into", "dbkit.blog:UserWithPost"], "did you mean 'UserWithPosts'?"),
    ],
)
def test_what_cannot_be_explained(arguments: list[str], said: str, dbkit: Command) -> None:
    result = dbkit("explain", *arguments, "--url", "memory://", "--entities", dbkit.entities)
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["check"],
        ["explain", "User"],
        ["backfill", "User", "bio"],
        ["doctor"],
        ["migrate", "version"],
        ["migrate", "history"],
        ["migrate", "plan"],
        ["migrate", "down", "--yes"],
        ["migrate", "force", "1"],
    ],
)
def test_what_needs_a_database_makes_no_file(command: list[str], dbkit: Command, folder: Path) -> None:
    more = [] if command[0] == "migrate" else ["--entities", dbkit.entities]
    result = dbkit(*command, "--url", "sqlite:///mispelt.db", *more)
    assert result.exit_code == 1
    assert "there is no file mispelt.db" in (result.stdout if command == ["doctor"] else result.stderr)
    assert not [path for path in folder.iterdir() if path.name.startswith("mispelt")]


def test_shell_has_the_stores_ready(dbkit: Command) -> None:
    typed = (
        'ada = users.create(User(username="ada", email="a@b.cd"))\nprint(users.count(), posts.count(), db)\n'
    )
    result = dbkit("shell", "--plain", "--url", "memory://", "--entities", dbkit.entities, typed=typed)
    assert result.exit_code == 0, result.output
    assert "1 0 <Database memory://>" in result.stdout
    assert "the store of Post" in result.output


def test_shell_takes_ipython_where_it_is_installed(dbkit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    started: dict[str, Any] = {}
    fake = ModuleType("IPython")
    fake.__spec__ = ModuleSpec("IPython", None)

    def start(argv: list[str], user_ns: dict[str, Any]) -> None:
        started.update(argv=argv, user_ns=user_ns)

    vars(fake)["start_ipython"] = start
    monkeypatch.setitem(sys.modules, "IPython", fake)
    said = dbkit.done("shell", "--url", "memory://", "--entities", dbkit.entities)
    assert "the store of User" in said
    assert {"users", "posts", "db", "User", "any_of"} <= started["user_ns"].keys()


def test_a_stores_name_is_an_identifier_that_is_free() -> None:
    assert store_name("app.users", {}) == "users"
    assert store_name("users", {"users": 1}) == "users_store"
    assert [store_name(name, {}) for name in ("db", "class", "a-b", "1st")] == [
        "db_store",
        "class_store",
        "a_b",
        "_1st",
    ]


def test_demo_needs_nothing(dbkit: Command) -> None:
    said = dbkit.json("demo", DBKIT_URL="postgresql://nobody@127.0.0.1:1/x")["lines"]
    assert said[1].startswith("created ada")
    assert said[-1] == "deleted bob, and his posts with him: 1 left"
    assert dbkit.done("demo", "--url", "memory://").splitlines()[-1] == said[-1]


def test_demo_touches_nothing_that_is_there(dbkit: Command, url: str) -> None:
    assert dbkit.json("demo", "--url", url)["lines"]
    with connect(url, entities=[User]) as db:
        db.create_schema()
        db.store(User).create(User(username="ada", email="ada@example.org"))
        result = dbkit("demo", "--url", url)
        assert (result.exit_code, "users is in this database already" in result.stderr) == (1, True)
        assert db.store(User).count() == 1
