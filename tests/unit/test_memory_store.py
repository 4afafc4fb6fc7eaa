"""`memory://` as a store: names, hooks, plans, copies, limits; both colours on the same rows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from dbkit import (
    BadURL,
    ConfigurationError,
    Conflict,
    Database,
    DuplicateKey,
    Embedded,
    Entity,
    Group,
    InvalidInput,
    Mapped,
    OperationalError,
    SchemaDrift,
    TooLarge,
    TransactionError,
    Unsupported,
    Versioned,
    View,
    aconnect,
    any_of,
    connect,
    count,
    everything,
    field,
    key,
    related,
    via,
)
from dbkit.building import changes_of
from dbkit.entity import spec_of
from dbkit.query import UpdateOne
from dbkit.statement import Plan, Statement
from dbkit_memory.tables import Tables


class Part(Embedded):
    labels: Mapped[list[str]] = field(default_factory=list)


class Box(Entity, Versioned, name="memory_boxes", unique=[("a", "b")]):
    a: Mapped[int | None] = field(default=None)
    b: Mapped[int | None] = field(default=None)
    code: Mapped[str | None] = field(default=None, unique="casefold")
    state: Mapped[str] = field(default="new", index=True, max_length=20)
    extra: Mapped[dict[str, Any]] = field(default_factory=dict)
    part: Mapped[Part | None] = field(default=None)
    notes: Mapped[list[str]] = field(default_factory=list)


class Slip(Entity, name="memory_slips"):
    first: Mapped[UUID | None] = field(default=None, references=lambda: Box, on_delete="set_null")
    box: Mapped[UUID | None] = field(default=None, references=lambda: Box, on_delete="cascade")
    other: Mapped[UUID | None] = field(default=None, references=lambda: Box, on_delete="set_null")
    n: Mapped[int] = field(default=0)


class BoxWithSlips(Box, View[Box]):
    slips: Mapped[list[Slip]] = related(Slip, Slip.box, order_by=Slip.n.desc(), limit=2)


class AllSlips(View[Box]):
    id: Mapped[UUID] = via(Box.id)
    slips: Mapped[list[Slip]] = related(Slip, Slip.box)


class SlipLine(View[Slip]):
    n: Mapped[int] = via(Slip.n)
    code: Mapped[str | None] = via(Slip.box, Box.code)
    box: Mapped[Box | None] = via(Slip.box, Box)


ENTITIES: list[type[Any]] = [Box, Slip]


@pytest.fixture
def db() -> Iterator[Database]:
    with connect("memory://", entities=ENTITIES) as db:
        db.create_schema()
        yield db


# -- names -------------------------------------------------------------------------------------------------------------


def test_databases_of_one_name_share_their_rows_and_those_without_do_not() -> None:
    name = f"memory://{uuid4().hex}"
    with connect(name, entities=ENTITIES) as one:
        one.create_schema()
        one.store(Box).create(Box(code="x"))
        with connect(name, entities=ENTITIES) as two:
            assert two.store(Box).count() == 1
    with connect(name, entities=ENTITIES) as later:
        assert later.store(Box).count() == 1
        later.drop_schema()
        with pytest.raises(ConfigurationError, match="create_schema"):
            later.store(Box).count()
    with connect("memory://", entities=ENTITIES) as private:
        private.create_schema()
        assert private.store(Box).count() == 0


@pytest.mark.parametrize(
    "url", ["memory://a,b", "memory://a/b", "memory://a:1", "memory://u@a", "memory+x://a", "memory://?x=1"]
)
def test_a_url_that_says_more_than_a_name_is_refused(url: str) -> None:
    with pytest.raises(BadURL):
        connect(url, entities=ENTITIES)


async def test_both_colours_see_the_same_rows() -> None:
    name = f"memory://{uuid4().hex}"
    with connect(name, entities=ENTITIES) as db:
        db.create_schema()
        made = db.store(Box).create(Box(code="x"))
        async with aconnect(name, entities=ENTITIES) as other:
            assert await other.store(Box).get(made.id) == made
            async with other.transaction() as tx:
                await tx.store(Box).update(made.id, Box.state.set("old"))
                with pytest.raises(Conflict), db.transaction() as mine:
                    mine.store(Box).update(made.id, Box.state.set("gone"))
        assert db.store(Box).require(made.id).state == "old"


def test_an_entity_that_changed_is_drift() -> None:
    name = f"memory://{uuid4().hex}"

    class Other(Entity, name="memory_boxes"):
        a: Mapped[str] = field(default="")

    with connect(name, entities=[Box]) as db:
        db.create_schema()
    with connect(name, entities=[Other]) as db, pytest.raises(SchemaDrift, match="column a;"):
        db.create_schema()


# -- copies ------------------------------------------------------------------------------------------------------------


def test_nobody_holds_what_is_stored(db: Database) -> None:
    boxes = db.store(Box)
    given = Box(extra={"a": [{"b": 1}]}, part=Part(labels=["x"]), notes=["n"])
    before = given.model_copy(deep=True)
    boxes.create(given)
    given.extra["a"][0]["b"] = 2
    given.notes.append("m")
    assert given.part is not None
    given.part.labels.append("y")
    for _ in range(2):
        read = boxes.require(given.id)
        assert read == before
        read.extra["a"][0]["b"] = 3
        read.notes.append("o")
        assert read.part is not None
        read.part.labels.append("z")


def test_literals_of_changes_are_copied_too(db: Database) -> None:
    boxes = db.store(Box)
    made = boxes.create(Box())
    literal: dict[str, Any] = {"a": [1]}
    boxes.update(made.id, Box.extra.set(literal))
    literal["a"].append(2)
    assert boxes.require(made.id).extra == {"a": [1]}


# -- reads -------------------------------------------------------------------------------------------------------------


def test_views_reach_children_and_parents(db: Database) -> None:
    box = db.store(Box).create(Box(code="x"))
    slips = [Slip(box=box.id, n=n) for n in range(3)]
    db.store(Slip).create_many([*slips, Slip(n=9)])
    (seen,) = db.store(Box).find(into=BoxWithSlips)
    assert [s.n for s in seen.slips] == [2, 1]
    lines = db.store(Slip).find(Slip.n > 1, order_by=Slip.n, into=SlipLine)
    assert [(line.n, line.code, line.box) for line in lines] == [(2, "x", box), (9, None, None)]


def test_a_relation_without_limit_is_too_large_beyond_a_thousand(db: Database) -> None:
    box = db.store(Box).create(Box())
    db.store(Slip).create_many(Slip(box=box.id) for _ in range(1_000))
    assert len(db.store(Box).require(box.id, into=AllSlips).slips) == 1_000
    db.store(Slip).create(Slip(box=box.id))
    with pytest.raises(TooLarge, match="slips"):
        db.store(Box).get(box.id, into=AllSlips)


def test_lookups_take_an_index_and_give_what_a_scan_gives(db: Database) -> None:
    boxes = db.store(Box)
    boxes.create_many(Box(a=i % 3, b=i, code=f"c{i}", state="new" if i % 2 else "old") for i in range(30))
    for where, index in (
        ((Box.a == 1) & (Box.b == 4), "memory_boxes.a, b"),
        (Box.code.equals_casefold("C4"), "memory_boxes.code"),
        (Box.state == "old", "memory_boxes.state"),
        (Box.state.in_(["old", "gone"]), "memory_boxes.state"),
    ):
        plan = boxes.explain().find(where)
        assert plan.indexes[0].startswith(index)
        assert plan.scans == ()
        assert boxes.find(where)
        assert boxes.find(where) == boxes.find(any_of(where, Box.a == 100)), "an or is a scan"
    assert boxes.explain().count(Box.a == 1).scans == ("memory_boxes",)


def test_a_plan_reads_like_the_query(db: Database) -> None:
    plan = (
        db.store(Slip)
        .explain()
        .page(~(Slip.n == 3), via(Slip.box, Box.state).starts_with("n"), order_by=Slip.n.desc(), limit=5)
    )
    assert plan.statement == (
        "page memory_slips where not (n == ?) and box.state starts with ? order by n desc, id desc limit ?"
    )
    assert plan.sorted_in_memory
    assert db.store(Slip).explain().page(total=True).statement == (
        "page memory_slips order by id limit ?, and count all"
    )
    box = db.store(Box).create(Box())
    assert db.store(Box).explain().get(box.id) == Plan(
        "get memory_boxes where id == ?", ("memory_boxes.id",), 1, sorted_in_memory=False
    )


def test_the_hook_hears_each_verb_and_no_value(db: Database) -> None:
    heard: list[Statement] = []
    db.on_statement(heard.append)
    boxes = db.store(Box)
    boxes.create(Box(code="secret"))
    with pytest.raises(DuplicateKey):
        boxes.create(Box(code="SECRET"))
    boxes.find(Box.code == "secret")
    with db.transaction() as tx:
        tx.store(Box).delete_many(everything())
    assert [(s.text, s.error) for s in heard] == [
        ("insert memory_boxes", None),
        ("insert memory_boxes", "DuplicateKey"),
        ("find memory_boxes where code == ? order by id limit ?", None),
        ("delete memory_boxes", None),
        ("commit", None),
    ]


# -- writes ------------------------------------------------------------------------------------------------------------


def test_a_condition_guards_a_delete(db: Database) -> None:
    box = db.store(Box).create(Box(a=1))
    assert not db.store(Box).delete(box.id, where=Box.a == 2)
    assert db.store(Box).delete(box.id, where=Box.a == 1)
    assert not db.store(Box).delete(box.id)


def test_an_upsert_keeps_id_and_creation_and_sees_its_key_only(db: Database) -> None:
    boxes = db.store(Box)
    old, other = boxes.create(Box(code="Straße", a=1)), boxes.create(Box(code="b", a=1, b=1))
    new = boxes.upsert(Box(code="STRASSE", a=2), on=Box.code)
    assert (new.id, new.created_at, new.version, new.a, new.code) == (
        old.id,
        old.created_at,
        2,
        2,
        "STRASSE",
    )
    with pytest.raises(DuplicateKey) as caught:
        boxes.upsert(Box(code="strasse", a=1, b=1), on=Box.code)
    assert caught.value.field == "a, b"
    assert boxes.upsert(Box(id=other.id, code="c"), on=Box.id).id == other.id
    assert boxes.count() == 2


def test_cascades_count(db: Database) -> None:
    box = db.store(Box).create(Box())
    db.store(Slip).create_many(Slip(box=box.id) for _ in range(9_999))
    extra = db.store(Slip).create(Slip(box=box.id))
    with pytest.raises(TooLarge):
        db.store(Box).delete(box.id)
    assert db.counts(Box, Slip) == [1, 10_000]
    db.store(Slip).delete(extra.id)
    assert db.store(Box).delete(box.id)
    assert db.counts(Box, Slip) == [0, 0]


def test_a_child_that_goes_by_one_reference_and_is_nulled_by_another_counts_once(db: Database) -> None:
    box = db.store(Box).create(Box())
    db.store(Slip).create_many(Slip(first=box.id, box=box.id, other=box.id) for _ in range(9_999))
    assert db.store(Box).delete(box.id)
    assert db.counts(Box, Slip) == [0, 0]


def test_a_row_grows_to_16_mib_only(db: Database) -> None:
    boxes = db.store(Box)
    made = boxes.create(Box())
    for _ in range(15):
        boxes.update(made.id, Box.notes.append("x" * 2**20))
    with pytest.raises(TooLarge):
        boxes.update(made.id, Box.notes.append("é" * 2**19))
    assert len(boxes.require(made.id).notes) == 15


def test_claims_pass_over_what_others_hold(db: Database) -> None:
    boxes = db.store(Box)
    made = [boxes.create(Box(a=n, b=n)) for n in range(3)]
    holder = db.backend.begin(read_only=False, isolation="snapshot")
    query = UpdateOne(
        spec_of(Box), made[0].id, None, changes_of(spec_of(Box), Box.state.set("held"), "update")
    )
    holder.update(query)
    claimed = boxes.claim(Box.state == "new", changes=Box.state.set("mine"), order_by=Box.a, limit=2)
    assert [b.a for b in claimed] == [1, 2]
    assert {b.state for b in claimed} == {"mine"}
    holder.rollback()
    assert [b.a for b in boxes.claim(Box.state == "new", changes=Box.state.set("mine"))] == [0]


def test_serializable_is_refused(db: Database) -> None:
    with (
        connect("memory://", entities=ENTITIES, allow="serializable") as other,
        pytest.raises(Unsupported, match="write skew"),
    ):
        other.transaction(isolation="serializable")


# -- tasks -------------------------------------------------------------------------------------------------------------


async def test_tasks_get_their_turn() -> None:
    """A task that does nothing but verbs does not stop the others."""
    async with aconnect("memory://", entities=ENTITIES) as db:
        await db.create_schema()
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticker = asyncio.create_task(tick())
        for _ in range(10):
            await db.store(Box).count()
        ticker.cancel()
        assert ticks >= 10


async def test_a_cancelled_task_leaves_nothing_open() -> None:
    async with aconnect("memory://", entities=ENTITIES) as db:
        await db.create_schema()
        made = await db.store(Box).create(Box())
        written = asyncio.Event()

        async def work() -> None:
            async with db.transaction() as tx:
                await tx.store(Box).update(made.id, Box.state.set("mine"))
                written.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(work())
        await written.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with db.native() as tables:
            assert isinstance(tables, Tables)
            assert not tables._open
        assert (await db.store(Box).require(made.id)).state == "new"


def test_an_asynchronous_function_in_a_plain_transaction_is_refused(db: Database) -> None:
    async def work(tx: Any) -> None:
        tx.store(Box).create(Box())

    with pytest.raises(InvalidInput, match="none of it was run"):
        _ = db.run_in_transaction(work)
    assert db.store(Box).count() == 0


def test_a_database_is_not_closed_inside_its_own_transaction(db: Database) -> None:
    with db.transaction() as tx:
        tx.store(Box).create(Box(state="kept"))
        with pytest.raises(TransactionError, match="inside this task's own open transaction"):
            db.close()
    assert db.store(Box).count() == 1


def test_a_closed_database_says_so(db: Database) -> None:
    db.close()
    for use in (db.open, db.ping, lambda: db.store(Box)):
        with pytest.raises(OperationalError, match=r"the database is closed \(connect again\)"):
            use()


class BoxesByState(Group[Box]):
    state: Mapped[str] = key(Box.state)
    boxes: Mapped[int] = count()


def test_a_groups_own_field_is_for_having(db: Database) -> None:
    with pytest.raises(
        InvalidInput, match=r"filter on BoxesByState \(group\(BoxesByState, …\) takes .* having="
    ):
        db.store(Box).find(BoxesByState.boxes > 1)
    with pytest.raises(InvalidInput, match="having=… on the group's own fields"):
        db.store(Box).find(BoxesByState.boxes > 1, Box.state == "new")
    with pytest.raises(InvalidInput, match="takes filters on the entity"):
        db.store(Box).group(BoxesByState, having=Box.state == "new")


def test_one_in_the_place_of_many_is_told(db: Database) -> None:
    with pytest.raises(ConfigurationError, match=r"entities=\[Box\]"):
        connect("memory://", entities=Box)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidInput, match="a list of entities, not one"):
        db.store(Box).create_many(Box())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidInput, match=r"Box was expected, not dict \(an instance of Box\)"):
        db.store(Box).create({"a": 1})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidInput, match="order_by takes fields, not a filter"):
        db.store(Box).find(order_by=Box.a == 1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidInput, match=r"Box\.a: ") as raised:
        db.store(Box).update(uuid4(), Box.a.set(Box.a + (2**70)))
    assert raised.value.field == "a"
