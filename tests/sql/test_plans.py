"""The hot queries' plans use an index, on both servers, and what the planners say is read rightly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from dbkit import Database, Entity, Mapped, View, any_related, connect, field, related, via
from dbkit.statement import Plan
from dbkit.testing.servers import Server, drop_database, fresh_database
from dbkit_sql.plans import postgres_plan, sqlite_plan
from tests.sql.entities import ENTITIES, Note, Post, PostLine, User, UserWithPosts

pytestmark = pytest.mark.timeout(120)


class Shelf(Entity, name="plan_shelves"):
    pass


class Box(Entity, name="plan_boxes"):
    shelf: Mapped[UUID] = field(references=lambda: Shelf)
    rank: Mapped[int] = field(default=0)


class ShelfWithBoxes(View[Shelf]):
    boxes: Mapped[list[Box]] = related(Box, Box.shelf, order_by=Box.rank, limit=3)


def _filled(url: str) -> Iterator[Database]:
    with connect(url, entities=ENTITIES) as db:
        db.create_schema()
        users = [
            User(id=UUID(int=n + 1), name=f"u{n:04}", email=f"u{n}@x.org", age=n % 90 if n % 7 else None)
            for n in range(2_000)
        ]
        db.store(User).create_many(users)
        db.store(Post).create_many(
            Post(user_id=users[n % 500].id, title=f"t{n}", likes=n % 11) for n in range(6_000)
        )
        db.store(Note).create_many(Note(user_id=users[n].id, rank=n) for n in range(500))
        with db.native() as connection:
            connection.execute("ANALYZE")
        yield db


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def db(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Return a database with some thousand rows whose statistics are fresh."""
    if request.param == "sqlite":
        yield from _filled("sqlite://")
        return
    server: Server = request.getfixturevalue("postgres_server")
    url = fresh_database(server)
    try:
        yield from _filled(url)
    finally:
        drop_database(server, url)


def _uses(plan: Plan, *indexes: str) -> None:
    assert not plan.scans, plan
    assert not plan.sorted_in_memory, plan
    for index in indexes:
        assert any(index in used for used in plan.indexes), plan


def test_finding_by_a_key_uses_it(db: Database) -> None:
    users = db.store(User).explain()
    assert "ux_users__name" in users.find(User.name == "u7").indexes
    assert any("email__casefold" in i for i in users.find_one(User.email.equals_casefold("U7@x.org")).indexes)
    assert not users.find(User.id == UUID(int=7)).scans


def test_a_page_of_children_is_a_range_of_the_reference(db: Database) -> None:
    posts = db.store(Post)
    mine = Post.user_id == UUID(int=3)
    _uses(posts.explain().page(mine, limit=5), "ix_posts__user_id")
    cursor = posts.page(mine, limit=5).next_cursor
    assert cursor is not None
    _uses(posts.explain().page(mine, limit=5, after=cursor), "ix_posts__user_id")
    _uses(posts.explain().page(mine, order_by=Post.id.desc(), limit=5), "ix_posts__user_id")


@pytest.mark.parametrize("key", [User.age, User.age.desc()], ids=["asc", "desc"])
def test_nullable_orders_are_the_indexes(db: Database, key: Any) -> None:
    users = db.store(User)
    _uses(users.explain().page(order_by=key, limit=20), "ix_users__age")
    page = users.page(order_by=key, limit=20)
    assert page.next_cursor is not None
    plan = users.explain().page(order_by=key, limit=20, after=page.next_cursor)
    # Each branch is a range of the index; of few equal rows the planner may sort them itself.
    assert (plan.scans, plan.indexes) == ((), ("ix_users__age",)), plan


def test_a_unique_order_needs_no_further_key(db: Database) -> None:
    users = db.store(User)
    _uses(users.explain().page(order_by=User.name, limit=20), "ux_users__name")
    page = users.page(order_by=User.name.desc(), limit=20)
    assert page.next_cursor is not None
    _uses(users.explain().page(order_by=User.name.desc(), limit=20, after=page.next_cursor), "ux_users__name")


def test_prefixes_are_ranges(db: Database) -> None:
    assert "ux_users__name" in db.store(User).explain().find(User.name.starts_with("u000")).indexes


def test_parents_are_reached_by_their_ids(db: Database) -> None:
    plan = db.store(Post).explain().find(Post.user_id == UUID(int=3), limit=5, into=PostLine)
    assert not plan.scans, plan
    plan = db.store(Post).explain().find(via(Post.user_id, User.name) == "u0007", limit=5)
    assert any("ux_users__name" in i or "users" in i for i in plan.indexes), plan


def test_children_are_reached_by_the_reference(db: Database) -> None:
    plan = db.store(User).explain().find(User.name == "u0007", any_related(Post.user_id, Post.likes > 3))
    assert not plan.scans, plan


def test_children_and_a_total_have_plans_of_their_own(db: Database) -> None:
    users = db.store(User)
    plan = users.explain().page(
        User.name >= "u1990", order_by=User.name, limit=3, total=True, into=UserWithPosts
    )
    children, total = plan.further
    assert plan.parts == (plan, children, total)
    assert any("ix_posts__user_id" in index for index in children.indexes), children
    assert children.scans == ()
    assert (total.statement.split("(")[0], total.scans) == ("SELECT count", ())
    # The children's statement is that of as many parents as there are; of none it is shown as for one.
    one = users.explain().get(UUID(int=1), into=UserWithPosts)
    none = users.explain().get(UUID(int=9_999), into=UserWithPosts)
    assert [part.statement for part in none.parts] == [part.statement for part in one.parts]


def test_children_without_an_index_are_said_to_be_read_whole(sql_url: str) -> None:
    with connect(sql_url, entities=[Shelf, Box]) as db:
        db.create_schema()
        with db.native() as connection:
            connection.execute("DROP INDEX ix_plan_boxes__shelf")
        shelf = db.store(Shelf).create(Shelf())
        plan = db.store(Shelf).explain().get(shelf.id, into=ShelfWithBoxes)
        assert plan.scans == ()
        assert [part.scans for part in plan.further] == [("plan_boxes",)]


def test_compound_indexes_have_their_order(db: Database) -> None:
    plan = db.store(Note).explain().page(Note.user_id == UUID(int=3), order_by=Note.rank, limit=5)
    _uses(plan, "ix_notes__user_id__rank")


def test_what_no_index_serves_is_said(db: Database) -> None:
    plan = db.store(Post).explain().find(Post.title.contains("9"), order_by=Post.likes, limit=5)
    assert plan.sorted_in_memory
    assert plan.scans == ("posts",)


def test_what_was_looked_at_is_counted_where_the_server_runs_the_read(db: Database) -> None:
    posts = db.store(Post).explain()
    plans = [
        posts.count(Post.title.contains("9")),
        posts.find(Post.user_id == UUID(int=3), limit=5),
        db.store(User).explain().find(User.name == "u0007"),
        db.store(User).explain().find(User.name == "nobody"),
    ]
    counts = [None] * 4 if db.server.name == "SQLite" else [6_000, 5, 1, 0]
    assert [plan.examined for plan in plans] == counts


def test_sqlite_plans_are_read() -> None:
    rows = [
        (2, 0, 0, "SCAN t USING COVERING INDEX ix_t__a"),
        (3, 0, 0, "SEARCH u USING INDEX sqlite_autoindex_u_1 (id=?)"),
        (4, 0, 0, "SEARCH v USING INTEGER PRIMARY KEY (rowid=?)"),
        (5, 0, 0, "SCAN w"),
        (6, 0, 0, "SCAN 2 CONSTANT ROWS"),
        (7, 0, 0, "SCAN each_0 VIRTUAL TABLE INDEX 1:"),
        (8, 0, 0, "USE TEMP B-TREE FOR ORDER BY"),
    ]
    plan = sqlite_plan("SELECT", rows, {"t", "u", "v", "w"})
    assert plan.indexes == ("ix_t__a", "sqlite_autoindex_u_1", "v.rowid")
    assert plan.scans == ("w",)
    assert plan.sorted_in_memory


def test_postgres_plans_are_read() -> None:
    answer: list[dict[str, Any]] = [
        {
            "Plan": {
                "Node Type": "Incremental Sort",
                "Plans": [
                    {
                        "Node Type": "Bitmap Heap Scan",
                        "Relation Name": "s",
                        "Actual Rows": 1.5,
                        "Actual Loops": 4,
                        "Rows Removed by Index Recheck": 2.25,
                        "Plans": [{"Node Type": "Bitmap Index Scan", "Index Name": "i", "Actual Rows": 9}],
                    },
                    {
                        "Node Type": "Seq Scan",
                        "Relation Name": "t",
                        "Actual Rows": 3,
                        "Actual Loops": 1,
                        "Rows Removed by Filter": 7,
                    },
                    {"Node Type": "Index Scan", "Relation Name": "u", "Actual Rows": 0, "Actual Loops": 0},
                ],
            }
        }
    ]
    plan = postgres_plan("SELECT", answer)
    assert (plan.indexes, plan.scans, plan.sorted_in_memory) == (("i",), ("t",), False)
    answer[0]["Plan"]["Plans"][1]["Schema"] = "app"
    assert postgres_plan("SELECT", answer, {"s", "app.t"}).scans == ("app.t",)
    assert postgres_plan("SELECT", answer, {"app.s", "t"}).scans == ("t",)
    assert plan.examined == 25
    del answer[0]["Plan"]["Plans"][1]["Actual Loops"]
    assert postgres_plan("SELECT", answer).examined is None
