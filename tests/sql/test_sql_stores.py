"""What both SQL stores do and no other store's rule shows: odd names, floats at their ends, cascades that cross."""

from __future__ import annotations

import sqlite3
from typing import Any
from uuid import UUID

import psycopg
import pytest

from dbkit import Database, Entity, Mapped, Record, View, connect, errors, everything, field, related, via
from dbkit.statement import Statement
from dbkit_sql._sync import verbs
from tests.sql.entities import ENTITIES, Post, User, UserWithPosts

DRIVER_ERRORS = (sqlite3.IntegrityError, psycopg.IntegrityError, psycopg.DataError)


class Org(Record[str], name="orgs"):
    """At the top."""

    id: Mapped[str] = field(max_length=20)


class Member(Entity, name="members"):
    """Goes with its organisation."""

    org: Mapped[str] = field(references=lambda: Org, on_delete="cascade", max_length=20)


class Paper(Entity, name="papers"):
    """Goes with its organisation too, and keeps its author from being deleted alone."""

    org: Mapped[str] = field(references=lambda: Org, on_delete="cascade", max_length=20)
    author: Mapped[UUID] = field(references=lambda: Member)


class Node(Record[int], name="total"):
    """A tree; its table has a name that a statement could want for itself."""

    id: Mapped[int]
    parent: Mapped[int | None] = field(default=None, references=lambda: Node)


class Twig(Entity, name="total_1"):
    """Named as an alias of its parent's table could be."""

    node: Mapped[int] = field(references=lambda: Node, on_delete="cascade")


class NodeWithTwigs(Node, View[Node]):
    """With its children."""

    twigs: Mapped[list[Twig]] = related(Twig, Twig.node, limit=3)


def _open(url: str, *entities: Any) -> Database:
    db = connect(url, entities=entities)
    db.create_schema()
    return db


def test_a_child_that_restricts_may_go_by_another_way(sql_url: str) -> None:
    with _open(sql_url, Org, Member, Paper) as db:
        for name in ("a", "b"):
            db.store(Org).create(Org(id=name))
            author = db.store(Member).create(Member(org=name))
            db.store(Paper).create(Paper(org=name, author=author.id))
        with pytest.raises(errors.ReferenceViolation) as raised:
            db.store(Member).delete_many(everything())
        assert raised.value.field == "author"
        assert db.store(Org).delete("a") is True
        with db.transaction() as tx:
            assert tx.store(Org).delete_many(Org.id == "b") == 1
        assert db.counts(Org, Member, Paper) == [0, 0, 0]


def test_a_tree_is_made_in_any_order_and_deleted_at_once(sql_url: str) -> None:
    with _open(sql_url, Node, Twig) as db:
        nodes = db.store(Node)
        assert nodes.create_many([Node(id=3, parent=2), Node(id=2, parent=1), Node(id=1)]) == 3
        with pytest.raises(errors.ReferenceViolation) as raised:
            nodes.create_many([Node(id=5, parent=4), Node(id=6)])
        assert raised.value.field == "parent"
        with pytest.raises(errors.ReferenceViolation):
            nodes.delete(2)
        assert nodes.count() == 3
        with db.transaction() as tx:
            tx.store(Node).create_many([Node(id=8, parent=7), Node(id=7)])
        assert nodes.delete_many(everything()) == 5


def test_no_name_of_a_table_is_taken_by_a_statement(sql_url: str) -> None:
    with _open(sql_url, Node, Twig) as db:
        db.store(Node).create_many([Node(id=1), Node(id=2, parent=1)])
        db.store(Twig).create_many([Twig(node=1), Twig(node=1), Twig(node=2)])
        assert db.store(Twig).count(via(Twig.node, Node.parent) == 1) == 1
        assert [len(n.twigs) for n in db.store(Node).find(into=NodeWithTwigs)] == [2, 1]
        assert db.store(Node).update_many(Node.parent == 1, changes=Node.parent.set(None)) == 1
        assert db.store(Twig).update_many(via(Twig.node, Node.parent) == None, changes=Twig.node.set(2)) == 3  # noqa: E711
        assert db.store(Node).delete_many(Node.id == 2) == 1
        assert db.counts(Node, Twig) == [1, 0]


def test_floats_at_their_ends(sql_url: str) -> None:
    with _open(sql_url, *ENTITIES) as db:
        users = db.store(User)

        def product(rate: float, factor: float) -> float:
            made = users.create(User(name=str(users.count()), rate=rate))
            return users.update(made.id, User.rate.set(User.rate * factor)).rate

        for rate, factor in (
            (1e-300, 1e-300),
            (5e-324, 5e-324),
            (5e-324, 0.5),
            (1e-200, 1e-120),
            (1e10, 1e-320),
            (-1e-300, 1e-300),
        ):
            assert product(rate, factor) == rate * factor + 0.0
            assert str(product(rate, factor)) == str(rate * factor + 0.0)
        for rate, factor in ((1e200, 1e200), (-1e308, 10.0)):
            with pytest.raises(errors.OutOfRange) as raised:
                product(rate, factor)
            assert raised.value.field == "rate"


def test_many_parents_are_read_in_portions(sql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs, "_PARENTS_AT_ONCE", 4)
    with _open(sql_url, *ENTITIES) as db:
        users = [User(name=f"u{n}") for n in range(11)]
        db.store(User).create_many(users)
        db.store(Post).create_many(
            Post(user_id=u.id, title=f"{u.name}.{n}", likes=n + 4) for u in users for n in range(3)
        )
        found = db.store(User).find(order_by=User.id, into=UserWithPosts)
        assert [[p.title for p in u.posts] for u in found] == [[f"{u.name}.2", f"{u.name}.1"] for u in users]


def test_an_upsert_keeps_the_stored_id_though_another_row_has_the_new_one(sql_url: str) -> None:
    with _open(sql_url, *ENTITIES) as db:
        users = db.store(User)
        ada, bob = users.create(User(name="ada")), users.create(User(name="bob"))
        made = users.upsert(ada.evolve(name="bob", age=7), on=User.name)
        assert (made.id, made.name, made.age, made.version) == (bob.id, "bob", 7, 2)
        assert users.require(ada.id) == ada


def test_what_is_written_by_others_is_kept_to_the_schema(sql_url: str) -> None:
    with _open(sql_url, *ENTITIES) as db:
        user = db.store(User).create(User(name="ada"))
        bad = [
            "age = 1000",
            "name = NULL",
            "tags = '{}'",
            "extra = '[]'",
            f"name = '{'x' * 81}'",
            "age = 'x'",
        ]
        for assignment in bad:
            with db.native() as connection, pytest.raises(DRIVER_ERRORS):
                connection.execute(f"UPDATE users SET {assignment}")
        assert db.store(User).get(user.id) == user


def test_a_drift_names_each_part(sql_url: str) -> None:
    class Other(Entity, name="users", unique=[("name", "rank")]):
        name: Mapped[str | None] = field(default=None, max_length=80)
        rank: Mapped[str] = field(default="")
        rate: Mapped[int] = field(default=0)

    with _open(sql_url, *ENTITIES) as db, connect(_same(db, sql_url), entities=[Other]) as other:
        with pytest.raises(errors.SchemaDrift) as raised:
            other.create_schema()
        message = str(raised.value)
        for part in (
            "column name",
            "column rank is missing",
            "column rate",
            "column age is not declared",
            "unique key name, rank is missing",
        ):
            assert part in message
        assert db.store(User).count() == 0


def test_another_reference_is_a_drift(sql_url: str) -> None:
    class Kept(Entity, name="posts"):
        user_id: Mapped[UUID] = field(references=lambda: User)
        title: Mapped[str]
        likes: Mapped[int] = field(default=0)

    class Bounded(Entity, name="posts"):
        user_id: Mapped[UUID] = field(references=lambda: User, on_delete="cascade")
        title: Mapped[str]
        likes: Mapped[int] = field(default=0, ge=0)

    with _open(sql_url, *ENTITIES) as db:
        for entity, part in ((Kept, "in: reference user_id ("), (Bounded, "check of likes")):
            with connect(_same(db, sql_url), entities=[User, entity]) as other:
                with pytest.raises(errors.SchemaDrift) as raised:
                    other.create_schema()
                assert part in str(raised.value)


def _same(db: Database, url: str) -> str:
    if url != "sqlite://":
        return url
    backend: Any = db.backend
    return f"sqlite:///{backend._settings.path}"


def test_hooks_see_text_and_time_and_no_value(sql_url: str) -> None:
    with _open(sql_url, *ENTITIES) as db:
        seen: list[Statement] = []
        db.on_statement(seen.append)
        made = db.store(User).create(User(name="s3cret-name"))
        with pytest.raises(errors.DuplicateKey):
            db.store(User).create(User(name="s3cret-name"))
        db.store(User).create_many([User(name="s3cret-1"), User(name="s3cret-2")])
        db.store(User).get(made.id, into=UserWithPosts)
        assert seen
        assert not any("s3cret" in s.text for s in seen)
        assert all(s.duration_s >= 0 and s.backend == db.backend.name for s in seen)
        assert [s.error for s in seen if s.error] != []


def test_a_missing_schema_is_said(sql_url: str) -> None:
    with connect(sql_url, entities=ENTITIES) as db:
        for call in (
            lambda: db.store(User).find(),
            lambda: db.store(User).create(User(name="x")),
            lambda: db.store(User).create_many([User(name="x")]),
            lambda: db.counts(Post),
        ):
            with pytest.raises(errors.ConfigurationError, match="create_schema") as raised:
                call()
            assert "'users'" in str(raised.value) or "'posts'" in str(raised.value)


def test_a_native_connection_leaves_no_trace(sql_url: str) -> None:
    with _open(sql_url, *ENTITIES) as db:
        with db.native() as connection:
            connection.execute("BEGIN")
            connection.execute("DELETE FROM posts")
        db.store(User).create(User(name="x"))
        assert db.store(User).count() == 1
        pool: Any = db.backend
        assert pool.pool.in_use == 0
