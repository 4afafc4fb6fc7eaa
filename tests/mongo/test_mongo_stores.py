"""What the backend sends, counts and plans, on a server."""

from __future__ import annotations

from typing import Any

import pytest

from dbkit import Database, connect, errors, everything, via
from dbkit.entity import spec_of
from dbkit.statement import Statement
from dbkit.testing.servers import Server
from dbkit_mongo.explaining import plan_of
from dbkit_mongo.reads import compile_get
from dbkit_mongo.rows import MONGODB
from tests.mongo.entities import Plain, Post, PostLine, PostsOfUser, User, UserWithPosts


@pytest.fixture
def sent(db: Database) -> list[Statement]:
    statements: list[Statement] = []
    db.on_statement(statements.append)
    return statements


def _link(db: Database) -> Any:
    backend: Any = db.backend
    return backend.link


def test_a_second_call_compiles_nothing(db: Database) -> None:
    users, posts = db.store(User), db.store(Post)
    ada = users.create(User(name="ada", age=1))

    def calls(n: int) -> None:
        users.get(ada.id)
        users.find(User.age == n, order_by=User.age)
        users.page(User.age.in_([n, n + 1]), limit=n)
        users.count(User.name.starts_with("x" * n))
        users.update(ada.id, User.age.set(User.age + n), where=User.age > -n)
        posts.create(Post(user_id=ada.id, title=f"t{n}"))
        posts.find(via(Post.user_id, User.name) == f"u{n}", into=PostLine)
        users.upsert(User(name=f"u{n}"), on=User.name)

    calls(1)
    compiled = _link(db).compilations
    calls(2)
    calls(3)
    assert _link(db).compilations == compiled


def test_single_row_verbs_are_single_commands(db: Database, sent: list[Statement]) -> None:
    with connect(str(db.url.render(show_password=True)), entities=[Plain]) as other:
        other.create_schema()
        other.on_statement(sent.append)
        store = other.store(Plain)
        store.create(Plain(id="a"))
        store.get("a")
        store.find(Plain.n == 0)
        store.update("a", Plain.n.set(Plain.n + 1))
        store.upsert(Plain(id="b", word="w"), on=Plain.word)
        store.delete("a")
    assert [s.text.split('"')[1] for s in sent] == [
        "insert",
        "find",
        "find",
        "findAndModify",
        "findAndModify",
        "findAndModify",
    ]
    assert not any(s.error for s in sent)


def test_relations_take_one_command(db: Database, sent: list[Statement]) -> None:
    users = db.store(User)
    for n in range(3):
        ada = users.create(User(name=f"u{n}"))
        db.store(Post).create_many(Post(user_id=ada.id, title=f"t{i}", likes=i) for i in range(5))
    sent.clear()
    found = users.find(into=UserWithPosts, order_by=User.name)
    assert [(len(u.posts), len(u.liked)) for u in found] == [(3, 4)] * 3
    assert sum("aggregate" in s.text for s in sent) == 1


def test_guards_do_not_outlive_their_parent_for_long(db: Database) -> None:
    ada = db.store(User).create(User(name="ada"))
    db.store(Post).create(Post(user_id=ada.id, title="t"))
    with db.native() as (database, _):
        guards = database["_dbkit_guards"]
        assert [("ended" in g, g["n"]) for g in guards.find()] == [(False, 1)]
        db.store(User).delete(ada.id)
        assert [("ended" in g, g["n"]) for g in guards.find()] == [(True, 2)]
        (ttl,) = [i for i in guards.list_indexes() if "expireAfterSeconds" in i]
        assert (ttl["key"], ttl["expireAfterSeconds"]) == ({"ended": 1}, 3_600)
        again = db.store(User).create(ada)
        db.store(Post).create(Post(user_id=again.id, title="t"))
        assert [("ended" in g, g["n"]) for g in guards.find()] == [(False, 3)]


def test_odd_keys_are_stored_literally_by_every_verb(db: Database) -> None:
    # A SecantusDB validator takes a whole field with the keys $ref and $id for no object: here they stand deeper.
    odd = {"$set": {"$inc": 1}, "a.b": 1, "": [{"$x": 1}, {"$ref": "#/x", "$id": {"$oid": 1}}]}
    users = db.store(User)
    ada = users.create(User(name="ada", extra=odd))
    assert users.require(ada.id).extra == odd
    assert users.update(ada.id, User.extra.set({"k": odd})).extra == {"k": odd}
    computed = users.update(ada.id, User.extra.set(odd), User.age.set(User.points * 2))
    assert computed.extra == odd
    marked = users.update(ada.id, User.marks.append(odd), User.points.set(User.points - 0))
    assert marked.marks == [odd]
    assert users.update(ada.id, User.marks.append("$name")).marks == [odd, "$name"]
    assert users.upsert(User(name="ada", extra={"x": odd}), on=User.name).extra == {"x": odd}
    assert users.upsert(User(name="bob", extra=odd, version=3), on=User.name).extra == odd


def test_upsert_keeps_what_stays(db: Database) -> None:
    users = db.store(User)
    for version in (1, 7):
        first = users.upsert(User(name=f"u{version}", version=version, age=1), on=User.name)
        assert (first.version, first.age) == (version, 1)
        second = users.upsert(User(name=f"u{version}", version=version, age=2), on=User.name)
        assert (second.version, second.age) == (version + 1, 2)
        assert (second.id, second.created_at) == (first.id, first.created_at)


def test_a_foreign_document_is_named_without_its_value(db: Database) -> None:
    ada = db.store(User).create(User(name="ada"))
    with db.native() as (database, _):
        database.command("collMod", "users", validator={})
        database.users.update_one({}, {"$set": {"age": "s3cret"}})
    with pytest.raises(errors.StoredDataInvalid) as caught:
        db.store(User).get(ada.id)
    assert (caught.value.entity, caught.value.field) == ("User", "age")
    assert "s3cret" not in str(caught.value)


def test_explain_names_the_index(db: Database) -> None:
    plan = db.store(User).explain().find(User.name == "ada")
    assert plan.indexes == ("unique_name",)
    assert plan.scans == ()
    assert db.store(User).explain().find(User.rate > 1.0).scans == ("users",)


@pytest.mark.real_mongod
def test_pages_are_index_ranges(db: Database, mongo_server: Server) -> None:
    if mongo_server.is_surrogate:
        pytest.skip(f"real_mongod: {mongo_server.name} explains no sorted index scans")
    users = db.store(User)
    users.create_many(User(name=f"u{n}", age=n % 5 or None) for n in range(200))
    page = users.page(order_by=User.age.desc(), limit=10)
    plan = users.explain().page(order_by=User.age.desc(), limit=10, after=page.next_cursor)
    assert (plan.scans, plan.sorted_in_memory) == ((), False)
    assert plan.examined is not None
    assert plan.examined <= 30


def test_native_is_in_the_transaction(db: Database) -> None:
    def insert_and_stop() -> None:
        with db.transaction() as tx, tx.native() as (database, session):
            database.plain.insert_one({"_id": 1}, session=session)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        insert_and_stop()
    with db.native() as (database, session):
        assert session is None
        assert database.plain.find_one() is None


def test_claims_leave_nothing_and_take_nothing_twice(db: Database) -> None:
    users = db.store(User)
    users.create_many(User(name=f"u{n}") for n in range(7))
    taken = [
        u.name for _ in range(4) for u in users.claim(User.points == 0, changes=User.points.set(1), limit=2)
    ]
    assert sorted(taken) == [f"u{n}" for n in range(7)]
    assert len(users.claim(everything(), changes=User.age.set(1), limit=100)) == 7


# -- plans in all forms --------------------------------------------------------------------------------------------------

GET = compile_get(spec_of(User).read, MONGODB, {})
SCAN = {"stage": "COLLSCAN"}
INDEX = {"stage": "FETCH", "inputStage": {"stage": "IXSCAN", "indexName": "i"}}
STATS = {"totalDocsExamined": 7}


def _planner(plan: Any) -> dict[str, Any]:
    return {"namespace": "db.users", "winningPlan": plan}


PLANS: list[tuple[Any, tuple[str, ...], tuple[str, ...], bool, int | None]] = [
    ({"queryPlanner": _planner(SCAN), "executionStats": STATS}, (), ("users",), False, 7),
    ({"queryPlanner": _planner({"queryPlan": INDEX})}, ("i",), (), False, None),
    ({"queryPlanner": _planner({"stage": "SORT", "inputStage": INDEX})}, ("i",), (), True, None),
    ({"queryPlanner": _planner({"stage": "IDHACK"})}, ("_id_",), (), False, None),
    (
        {"queryPlanner": _planner({"stage": "EXPRESS_IXSCAN", "indexName": "_id_"})},
        ("_id_",),
        (),
        False,
        None,
    ),
    (
        {"queryPlanner": _planner({"stage": "SORT_MERGE", "inputStages": [INDEX, INDEX]})},
        ("i",),
        (),
        False,
        None,
    ),
    (
        {
            "stages": [
                {"$cursor": {"queryPlanner": _planner(INDEX), "executionStats": STATS}},
                {
                    "$lookup": {"from": "posts"},
                    "indexesUsed": ["j"],
                    "collectionScans": 0,
                    "totalDocsExamined": 3,
                },
                {
                    "$lookup": {"from": "tags"},
                    "indexesUsed": [],
                    "collectionScans": 2,
                    "totalDocsExamined": 5,
                },
                {"$sort": {}},
            ]
        },
        ("i", "j"),
        ("tags",),
        True,
        15,
    ),
    (
        {"shards": {"s0": {"queryPlanner": _planner(INDEX), "executionStats": STATS}}},
        ("i",),
        (),
        False,
        7,
    ),
]


@pytest.mark.parametrize(("raw", "indexes", "scans", "sorts", "examined"), PLANS)
def test_plans_are_read_in_all_their_forms(
    raw: Any, indexes: tuple[str, ...], scans: tuple[str, ...], sorts: bool, examined: int | None
) -> None:
    plan = plan_of(GET, raw)
    assert (plan.indexes, plan.scans, plan.sorted_in_memory, plan.examined) == (
        indexes,
        scans,
        sorts,
        examined,
    )


def test_parents_are_joined_to_groups_or_before_what_asks_for_them(db: Database) -> None:
    users = [User(name=name) for name in ("ada", "bob", "cyd")]
    db.store(User).create_many(users)
    posts = db.store(Post)
    posts.create_many(Post(user_id=users[n].id, title="t") for n in (0, 1, 1, 2, 2, 2))
    group, (ada, bob, cyd) = PostsOfUser, (user.id for user in users)
    assert [
        (g.author, g.user_id, g.posts) for g in posts.group(group, order_by=group.posts.desc(), limit=2)
    ] == [
        ("cyd", cyd, 3),
        ("bob", bob, 2),
    ]
    assert [g.author for g in posts.group(group, order_by=group.author.desc(), limit=2)] == ["cyd", "bob"]
    by_author = posts.group(group, having=(group.author != "bob") & (group.posts < 3))
    assert [(g.author, g.user_id, g.posts) for g in by_author] == [("ada", ada, 1)]
    assert [g.author for g in posts.group(group, having=group.posts > 1, limit=1)] == ["bob"]
