"""Versions, conflicts and the rules between rows: every interleaving of transactions must end in a lawful state."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from dbkit.errors import (
    ConfigurationError,
    Conflict,
    DbkitError,
    DuplicateKey,
    InvalidInput,
    NotFound,
    ReferenceViolation,
    SchemaDrift,
    TransactionAborted,
)
from dbkit.query import (
    AnyRelated,
    Arithmetic,
    Assign,
    Compare,
    Constant,
    DeleteMany,
    DeleteOne,
    Expression,
    FieldValue,
    Find,
    Insert,
    Order,
    Path,
    UpdateOne,
)
from dbkit.spec import EntitySpec, FieldSpec, IndexSpec, OnDelete, Reference, Schema, UniqueKey
from dbkit.values import Kind, ValueType
from dbkit_memory._sync.backend import MemoryBackend, MemoryOperations, MemoryTransaction
from dbkit_memory.tables import Tables, key_of

INT = ValueType(Kind.INT)


class Parent(BaseModel):
    id: int
    code: int | None
    n: int


class Child(BaseModel):
    id: int
    parent: int | None
    tag: int | None


def make(on_delete: OnDelete = "restrict", *, check: bool = True) -> tuple[EntitySpec, EntitySpec]:
    def int_field(name: str, *, null: bool = False, reference: Reference | None = None) -> FieldSpec:
        return FieldSpec(name, name, INT.optional() if null else INT, reference=reference)

    code = int_field("code", null=True)
    parents = EntitySpec(
        "Parent",
        "parents",
        Parent,
        (int_field("id"), code, int_field("n")),
        uniques=(UniqueKey((code,), ("code",)),),
    )
    reference = int_field("parent", null=True, reference=Reference(lambda: parents, on_delete, check))
    tag = int_field("tag", null=True)
    children = EntitySpec(
        "Child", "children", Child, (int_field("id"), reference, tag), indexes=(IndexSpec((tag,)),)
    )
    return parents, children


@dataclass
class World:
    on_delete: OnDelete = "restrict"
    check: bool = True
    tables: Tables = field(default_factory=Tables)

    def __post_init__(self) -> None:
        self.parents, self.children = make(self.on_delete, check=self.check)
        self.store = MemoryBackend(self.tables)
        self.store.open(Schema([self.parents, self.children]))
        self.store.create_schema()

    def begin(self, *, read_only: bool = False) -> MemoryTransaction:
        return self.store.begin(read_only=read_only, isolation="snapshot")

    def parent(self, at: MemoryOperations, id: int, code: int | None = None) -> None:
        at.insert(Insert(self.parents, (id, code, 0)))

    def child(self, at: MemoryOperations, id: int, parent: int | None = None) -> None:
        at.insert(Insert(self.children, (id, parent, None)))

    def set(self, at: MemoryOperations, id: int, name: str, value: int | None) -> Any:
        f = self.parents.by_name[name]
        return at.update(
            UpdateOne(self.parents, id, None, (Assign(self.parents, f, Constant(value, f.type)),))
        )

    def add(self, at: MemoryOperations, id: int) -> Any:
        n = self.parents.by_name["n"]
        expression: Expression = Arithmetic("add", FieldValue(Path(self.parents, n)), Constant(1, INT), INT)
        return at.update(UpdateOne(self.parents, id, None, (Assign(self.parents, n, expression),)))

    def move(self, at: MemoryOperations, id: int, parent: int | None) -> Any:
        f = self.children.by_name["parent"]
        return at.update(
            UpdateOne(self.children, id, None, (Assign(self.children, f, Constant(parent, f.type)),))
        )

    def delete(self, at: MemoryOperations, id: int) -> bool:
        return at.delete(DeleteOne(self.parents, id, None))

    def delete_child(self, at: MemoryOperations, id: int) -> bool:
        return at.delete(DeleteOne(self.children, id, None))

    def all(self, at: MemoryOperations) -> tuple[list[Any], list[Any]]:
        return tuple(  # type: ignore[return-value]
            at.find(Find(entity.read, None, (Order(Path(entity, entity.id)),)))
            for entity in (self.parents, self.children)
        )


@pytest.fixture
def world() -> World:
    return World()


# -- snapshots ---------------------------------------------------------------------------------------------------------


def test_a_snapshot_is_taken_at_the_first_operation_and_kept(world: World) -> None:
    tx = world.begin()
    world.parent(world.store, 1)
    assert tx.get(world.parents.read, 1) == Parent(id=1, code=None, n=0)
    world.add(world.store, 1)
    world.parent(world.store, 2)
    assert world.all(tx) == ([Parent(id=1, code=None, n=0)], [])
    tx.commit()
    assert world.all(world.store) == ([Parent(id=1, code=None, n=1), Parent(id=2, code=None, n=0)], [])


def test_own_writes_are_seen_and_nobody_elses(world: World) -> None:
    world.parent(world.store, 1)
    tx = world.begin()
    world.add(tx, 1)
    world.add(tx, 1)
    world.parent(tx, 2, code=5)
    assert [p.n for p in world.all(tx)[0]] == [2, 0]
    assert [p.n for p in world.all(world.store)[0]] == [0]
    by_code = Compare(Path(world.parents, world.parents.by_name["code"]), "eq", 5)
    assert len(tx.find(Find(world.parents.read, by_code, ()))) == 1
    assert world.store.find(Find(world.parents.read, by_code, ())) == []
    tx.rollback()
    assert [p.n for p in world.all(world.store)[0]] == [0]
    check_tidy(world)


def test_an_index_leads_a_snapshot_to_its_own_versions_only(world: World) -> None:
    for id in (1, 2):
        world.parent(world.store, id)
    world.child(world.store, 10, 1)
    tx = world.begin()
    world.all(tx)
    world.move(world.store, 10, 2)
    reference = world.children.by_name["parent"]
    has_children = Find(world.parents.read, AnyRelated(world.children, reference, None), ())
    assert [p.id for p in tx.find(has_children)] == [1]
    assert [p.id for p in world.store.find(has_children)] == [2]


# -- write conflicts ---------------------------------------------------------------------------------------------------


def test_the_first_to_write_wins(world: World) -> None:
    world.parent(world.store, 1)
    first, second = world.begin(), world.begin()
    world.add(first, 1)
    with pytest.raises(Conflict):
        world.add(second, 1)
    first.commit()
    assert world.add(world.store, 1).n == 2


def test_a_row_that_was_committed_since_the_snapshot_is_not_overwritten(world: World) -> None:
    world.parent(world.store, 1)
    tx = world.begin()
    world.all(tx)
    world.add(world.store, 1)
    with pytest.raises(Conflict):
        world.add(tx, 1)


def test_a_row_that_was_deleted_since_the_snapshot_is_a_conflict(world: World) -> None:
    world.parent(world.store, 1)
    tx = world.begin()
    world.all(tx)
    world.delete(world.store, 1)
    with pytest.raises(Conflict):
        world.delete(tx, 1)


def test_rows_apart_are_written_side_by_side(world: World) -> None:
    world.parent(world.store, 1)
    world.parent(world.store, 2)
    first, second = world.begin(), world.begin()
    world.add(first, 1)
    world.add(second, 2)
    first.commit()
    second.commit()
    assert [p.n for p in world.all(world.store)[0]] == [1, 1]


def test_a_failed_write_ends_the_transaction_and_frees_its_rows(world: World) -> None:
    world.parent(world.store, 1, code=1)
    tx = world.begin()
    world.add(tx, 1)
    with pytest.raises(DuplicateKey):
        world.parent(tx, 2, code=1)
    assert world.add(world.store, 1).n == 1
    with pytest.raises(TransactionAborted):
        world.all(tx)
    with pytest.raises(TransactionAborted):
        tx.commit()
    tx.rollback()


def test_an_answer_does_not_end_the_transaction(world: World) -> None:
    tx = world.begin()
    with pytest.raises(NotFound):
        world.add(tx, 1)
    world.parent(tx, 1)
    tx.commit()
    assert len(world.all(world.store)[0]) == 1


def test_a_read_only_transaction_refuses_to_write(world: World) -> None:
    tx = world.begin(read_only=True)
    with pytest.raises(InvalidInput, match="read_only"):
        world.parent(tx, 1)


# -- unique keys -------------------------------------------------------------------------------------------------------


def test_null_never_conflicts(world: World) -> None:
    world.parent(world.store, 1)
    world.parent(world.store, 2)
    assert len(world.all(world.store)[0]) == 2


def test_a_duplicate_names_the_field(world: World) -> None:
    world.parent(world.store, 1, code=7)
    with pytest.raises(DuplicateKey) as by_code:
        world.parent(world.store, 2, code=7)
    with pytest.raises(DuplicateKey) as by_id:
        world.parent(world.store, 1)
    assert (by_code.value.field, by_id.value.field) == ("code", "id")


def test_a_key_that_an_open_transaction_took_is_a_conflict(world: World) -> None:
    tx = world.begin()
    world.parent(tx, 1, code=7)
    with pytest.raises(Conflict):
        world.parent(world.store, 2, code=7)
    tx.rollback()
    world.parent(world.store, 2, code=7)


def test_a_key_that_an_open_transaction_gave_up_is_a_conflict(world: World) -> None:
    world.parent(world.store, 1, code=7)
    tx = world.begin()
    world.set(tx, 1, "code", 8)
    with pytest.raises(Conflict):
        world.parent(world.store, 2, code=7)
    with pytest.raises(Conflict):
        world.parent(world.store, 2, code=8)
    world.parent(tx, 3, code=7)
    tx.commit()
    with pytest.raises(DuplicateKey):
        world.parent(world.store, 2, code=7)


def test_a_snapshot_never_shows_two_rows_with_one_key(world: World) -> None:
    world.parent(world.store, 1, code=7)
    tx = world.begin()
    world.all(tx)
    world.delete(world.store, 1)
    with pytest.raises(Conflict):
        world.parent(tx, 2, code=7)


# -- references --------------------------------------------------------------------------------------------------------


def test_inserting_a_child_bars_deleting_its_parent(world: World) -> None:
    world.parent(world.store, 1)
    tx = world.begin()
    world.child(tx, 10, 1)
    with pytest.raises(Conflict):
        world.delete(world.store, 1)
    tx.commit()
    with pytest.raises(ReferenceViolation):
        world.delete(world.store, 1)


def test_deleting_a_parent_bars_inserting_a_child(world: World) -> None:
    world.parent(world.store, 1)
    tx = world.begin()
    world.delete(tx, 1)
    with pytest.raises(Conflict):
        world.child(world.store, 10, 1)
    tx.commit()
    with pytest.raises(ReferenceViolation):
        world.child(world.store, 10, 1)


@pytest.mark.parametrize("on_delete", ["restrict", "cascade", "set_null"])
def test_a_child_that_is_not_seen_bars_deleting_its_parent(on_delete: OnDelete) -> None:
    world = World(on_delete)
    world.parent(world.store, 1)
    tx = world.begin()
    world.all(tx)
    world.child(world.store, 10, 1)
    with pytest.raises(Conflict):
        world.delete(tx, 1)


def test_a_parent_that_is_not_seen_any_more_bars_inserting_a_child(world: World) -> None:
    world.parent(world.store, 1)
    tx = world.begin()
    world.all(tx)
    world.delete(world.store, 1)
    with pytest.raises(Conflict):
        world.child(tx, 10, 1)


def test_a_parent_that_is_not_committed_is_no_parent(world: World) -> None:
    tx = world.begin()
    world.parent(tx, 1)
    with pytest.raises(ReferenceViolation):
        world.child(world.store, 10, 1)


def test_a_reference_that_changes_is_checked_like_a_new_one(world: World) -> None:
    world.parent(world.store, 1)
    world.parent(world.store, 2)
    world.child(world.store, 10, 1)
    with pytest.raises(ReferenceViolation) as caught:
        world.move(world.store, 10, 9)
    assert caught.value.field == "parent"
    tx = world.begin()
    world.delete(tx, 2)
    with pytest.raises(Conflict):
        world.move(world.store, 10, 2)
    tx.rollback()
    world.move(tx := world.begin(), 10, 2)
    with pytest.raises(Conflict):
        world.delete(world.store, 2)
    tx.commit()
    assert world.delete(world.store, 1)


def test_an_unrelated_update_of_a_parent_is_no_conflict(world: World) -> None:
    world.parent(world.store, 1)
    writer, inserter = world.begin(), world.begin()
    world.all(inserter)
    world.add(writer, 1)
    world.child(inserter, 10, 1)
    writer.commit()
    world.child(inserter, 11, 1)
    inserter.commit()
    assert len(world.all(world.store)[1]) == 2


def test_an_unchecked_reference_is_not_looked_at() -> None:
    world = World(check=False)
    world.child(world.store, 10, 1)
    world.parent(world.store, 1)
    assert world.delete(world.store, 1)
    assert world.all(world.store)[1] == [Child(id=10, parent=1, tag=None)]


@pytest.mark.parametrize(
    ("on_delete", "left"), [("cascade", []), ("set_null", [Child(id=10, parent=None, tag=None)])]
)
def test_what_deleting_a_parent_does_to_its_child(on_delete: OnDelete, left: list[Child]) -> None:
    world = World(on_delete)
    world.parent(world.store, 1)
    world.child(world.store, 10, 1)
    assert world.delete(world.store, 1)
    assert world.all(world.store)[1] == left
    check_tidy(world)


def test_restrict_is_checked_at_the_verbs_end() -> None:
    """Parent and child in one verb may go together, and a row may refer to itself."""
    int_null = INT.optional()
    node: EntitySpec
    reference = FieldSpec("parent", "parent", int_null, reference=Reference(lambda: node))
    id = FieldSpec("id", "id", INT)
    tag = FieldSpec("tag", "tag", int_null)
    node = EntitySpec("Node", "nodes", Child, (id, reference, tag))
    store = MemoryBackend(Tables())
    store.open(Schema([node]))
    store.create_schema()
    store.insert_many(node, [(1, 2, None), (2, 3, None), (3, 3, None)])
    with pytest.raises(ReferenceViolation):
        store.delete(DeleteOne(node, 2, None))
    with pytest.raises(ReferenceViolation):
        store.delete_many(DeleteMany(node, Compare(Path(node, id), "ge", 2)))
    assert store.counts([node]) == [3]
    assert store.delete_many(DeleteMany(node, None)) == 3


# -- all interleavings -------------------------------------------------------------------------------------------------


def check_tidy(world: World) -> None:
    """With no transaction open, there is one version of each row, and indexes lead to these and to nothing else."""
    tables = world.tables
    assert not tables._open
    assert not tables._superseded
    for table in tables._tables.values():
        wanted: dict[Any, dict[Any, dict[Any, None]]] = {columns: {} for columns in table.indexes}
        for id, chain in table.chains.items():
            (version,) = chain
            assert version.row is not None
            assert version.writer.committed is not None
            for columns, index in wanted.items():
                key = key_of(version.row, columns)
                if key is not None:
                    index.setdefault(key, {})[id] = None
        assert table.indexes == wanted


WHO = st.integers(0, 3)
"""Whose step it is: three transactions, and 0 for autocommit."""
VERB = st.sampled_from(
    ["parent", "child", "add", "code", "move", "delete", "delete_child", "look", "commit", "rollback"]
)


@given(
    st.sampled_from(["restrict", "cascade", "set_null"]),
    st.lists(st.tuples(WHO, VERB, st.integers(1, 3), st.integers(1, 2)), max_size=40),
)
@settings(max_examples=300, deadline=None)
def test_every_interleaving_is_lawful(on_delete: OnDelete, steps: list[tuple[int, str, int, int]]) -> None:
    """Snapshots stay as they were, but for own writes; no orphan, no duplicate; nothing stays behind."""
    world = World(on_delete)
    for id in (1, 2):
        world.parent(world.store, id, code=id)
        world.child(world.store, 10 + id)
    open_: dict[int, MemoryTransaction] = {}
    looked: dict[int, Any] = {}
    for who, verb, a, b in steps:
        at: MemoryOperations = world.store if who == 0 else open_.setdefault(who, world.begin())
        if verb == "look":
            seen = world.all(at)
            assert who == 0 or looked.setdefault(who, seen) == seen
            continue
        looked.pop(who, None)
        try:
            if verb in ("commit", "rollback"):
                if who:
                    getattr(open_.pop(who), verb)()
            elif verb == "parent":
                world.parent(at, a, code=b)
            elif verb == "child":
                world.child(at, 10 + a, b)
            elif verb == "add":
                world.add(at, a)
            elif verb == "code":
                world.set(at, a, "code", b)
            elif verb == "move":
                world.move(at, 10 + a, b)
            elif verb == "delete":
                world.delete(at, a)
            else:
                world.delete_child(at, 10 + a)
        except NotFound:
            continue
        except DbkitError:
            if who:
                open_.pop(who).rollback()
        check_lawful(world.all(world.store))
        for tx in open_.values():
            check_lawful(world.all(tx))
    for tx in open_.values():
        tx.rollback()
    check_tidy(world)


@given(
    st.lists(st.tuples(WHO, st.sampled_from(["add", "commit", "rollback"]), st.integers(1, 2)), max_size=40)
)
@settings(max_examples=200, deadline=None)
def test_no_update_is_lost(steps: list[tuple[int, str, int]]) -> None:
    world = World()
    counted = {1: 0, 2: 0}
    for id in counted:
        world.parent(world.store, id)
    open_: dict[int, MemoryTransaction] = {}
    added: dict[int, list[int]] = {}
    for who, verb, id in steps:
        if verb == "add":
            at: MemoryOperations = world.store if who == 0 else open_.setdefault(who, world.begin())
            try:
                world.add(at, id)
                added.setdefault(who, []).append(id)
            except Conflict:
                if who:
                    open_.pop(who).rollback()
                    added.pop(who, None)
        elif who in open_:
            getattr(open_.pop(who), verb)()
            if verb == "rollback":
                added.pop(who, None)
        if who == 0 or verb == "commit":
            for one in added.pop(who, []):
                counted[one] += 1
    assert {p.id: p.n for p in world.all(world.store)[0]} == counted


def test_threads_lose_nothing() -> None:
    """Real threads, each with its transactions: the increments that were committed are all there."""
    world = World()
    world.parent(world.store, 1)
    done: list[int] = []

    def work() -> None:
        for _ in range(100):
            tx = world.begin()
            try:
                world.add(tx, 1)
                tx.commit()
                done.append(1)
            except Conflict:
                tx.rollback()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert world.all(world.store)[0][0].n == len(done) > 0
    check_tidy(world)


def check_lawful(state: tuple[list[Any], list[Any]]) -> None:
    parents, children = state
    codes = [p.code for p in parents if p.code is not None]
    assert len(codes) == len(set(codes))
    assert {c.parent for c in children} - {None} <= {p.id for p in parents}


# -- schema ------------------------------------------------------------------------------------------------------------


def test_a_table_is_used_after_it_was_created() -> None:
    parents, _ = make()
    store = MemoryBackend(Tables())
    store.open(Schema([parents]))
    with pytest.raises(ConfigurationError, match="create_schema"):
        store.get(parents.read, 1)


def test_another_program_with_the_same_entity_shares_the_table_and_one_with_another_does_not(
    world: World,
) -> None:
    world.parent(world.store, 1, code=1)
    again = World(tables=world.tables)
    assert len(again.all(again.store)[0]) == 1
    with pytest.raises(SchemaDrift, match="reference parent"):
        World("cascade", tables=world.tables)


def test_an_index_that_only_the_later_program_has_is_built(world: World) -> None:
    world.child(world.store, 10)
    table = world.tables.table("children")
    del table.indexes["parent",], table.indexes["tag",]
    world.child(world.store, 11)
    world.parent(world.store, 1)
    world.store.create_schema()
    world.move(world.store, 11, 1)
    check_tidy(world)
    assert set(table.indexes) == {("parent",), ("tag",)}
