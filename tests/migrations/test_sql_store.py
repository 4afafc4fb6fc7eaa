"""The migration stores of SQLite and PostgreSQL: state, lock, transactions, data, differences, statements."""

# ruff: noqa: PT012  # a step is several statements, and what fails is its end

from __future__ import annotations

import contextlib
import enum
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import pytest

from dbkit import Embedded, Mapped, ObjectId, Record, connect, errors, everything, field
from dbkit.entity import spec_of
from dbkit.migrations.operations import (
    AddField,
    AddIndex,
    AddReference,
    AddUnique,
    CreateCollection,
    DropCollection,
    DropField,
    DropIndex,
    DropReference,
    RenameField,
    RetypeField,
)
from dbkit.migrations.state import Applied, State
from dbkit.migrations.store import MigrationStore
from dbkit.options import Options
from dbkit.spec import Schema
from dbkit.testing.servers import Server, drop_database, fresh_database
from dbkit.url import parse_url
from dbkit_sql.migrating.parts import column_rest, statements
from dbkit_sql.plugin import migration_store


class Org(Record[str], name="orgs"):
    id: Mapped[str] = field(max_length=40)


class Member(Record[int], name="members"):
    id: Mapped[int]
    org: Mapped[str] = field(references=lambda: Org, on_delete="cascade", max_length=40)
    boss: Mapped[int | None] = field(default=None, references=lambda: Member, on_delete="set_null")
    name: Mapped[str] = field(max_length=20)


class Task(Record[int], name="tasks"):
    id: Mapped[int]
    member: Mapped[int] = field(references=lambda: Member, on_delete="cascade")


ORG, MEMBER, TASK = (spec_of(entity) for entity in (Org, Member, Task))
SCHEMA = Schema([ORG, MEMBER, TASK])


def opened(url: str) -> MigrationStore:
    store = migration_store(parse_url(url), Options(timeout_s=5))
    store.open()
    return store


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the URL of an empty database of one's own."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/db.sqlite"
        return
    server: Server = request.getfixturevalue("postgres_server")
    made = fresh_database(server)
    yield made
    drop_database(server, made)


@pytest.fixture
def store(url: str) -> Iterator[MigrationStore]:
    made = opened(url)
    yield made
    made.close()
    made.close()


@pytest.fixture
def other(url: str) -> Iterator[MigrationStore]:
    """Another migrator on the same database."""
    made = opened(url)
    yield made
    made.close()


def begun(url: str) -> None:
    """Make the tables and a few rows."""
    with connect(url, entities=[Org, Member, Task]) as db:
        db.create_schema()
        db.store(Org).create_many([Org(id="a"), Org(id="b")])
        db.store(Member).create_many(
            [Member(id=1, org="a", name="Ada"), Member(id=2, org="b", boss=1, name="ada")]
        )
        db.store(Task).create_many([Task(id=1, member=1), Task(id=2, member=2)])


def counts(url: str) -> list[int]:
    with connect(url, entities=[Org, Member, Task]) as db:
        return db.counts(Org, Member, Task)


def native(url: str, text: str) -> list[Any]:
    with connect(url, entities=[Org]) as db, db.native() as connection:
        cursor = connection.execute(text)
        return cursor.fetchall() if cursor.description else []


# -- state and lock ----------------------------------------------------------------------------------------------------


def test_the_state_is_changed_by_compare_and_set(
    store: MigrationStore, other: MigrationStore, url: str
) -> None:
    assert store.state() is None
    applied = Applied(1, "first", "abc", datetime(2024, 1, 1, tzinfo=UTC), 12)
    first = State().changed(version=1, applied=(applied,))
    store.save(first)
    assert store.state() == other.state() == first
    with pytest.raises(errors.Locked):
        other.save(State().changed(version=2))
    second = first.changed(dirty=True, target=2)
    with store.transaction():
        store.save(second)
    with pytest.raises(errors.Locked), other.transaction():
        other.save(first.changed(version=2))
    assert other.state() == second
    # What somebody mends by hand are the columns.
    native(url, 'UPDATE "_dbkit_migrations" SET version = 7')
    found = store.state()
    assert found is not None
    assert (found.version, found.revision, found.applied) == (7, 2, (applied,))


def test_a_step_that_fails_leaves_nothing(store: MigrationStore, url: str) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction():
        store.apply(CreateCollection(ORG))
        store.save(State().changed(version=1))
        store.sql("INSERT INTO orgs (id) VALUES ('x')")
        raise ZeroDivisionError
    assert store.state() is None
    assert [d.kind for d in store.differences(Schema([ORG]))] == ["missing collection"]
    with store.transaction():
        store.apply(CreateCollection(ORG))
    with pytest.raises(errors.TransactionError), store.transaction(), store.transaction():
        pass


def test_an_error_that_is_caught_still_ends_the_step(store: MigrationStore) -> None:
    with pytest.raises(errors.TransactionAborted), store.transaction():
        store.apply(CreateCollection(ORG))
        with contextlib.suppress(errors.DbkitError):
            store.apply(CreateCollection(ORG))
    assert store.differences(Schema([ORG]))


def test_one_migrator_waits_for_the_other(store: MigrationStore, other: MigrationStore) -> None:
    went: list[str] = []
    inside = threading.Event()

    def first() -> None:
        with store.lock(5), store.transaction():
            inside.set()
            store.save(State().changed(version=1))
            with pytest.raises(errors.Locked), other.lock(0.2), other.transaction():
                went.append("never")
            went.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(10)
    thread.join(10)
    with other.lock(5), other.transaction():
        found = other.state()
        assert found is not None
        assert found.version == 1
        went.append("second")
    assert went == ["first", "second"]


def test_the_lock_of_a_closed_owner_is_free(store: MigrationStore, other: MigrationStore) -> None:
    with contextlib.ExitStack() as stack:
        stack.enter_context(store.lock(1))
        stack.enter_context(store.transaction())
        store.apply(CreateCollection(ORG))
        # As at a kill, nothing of it is committed, and the lock ends with the connection.
        store._held.raw.close()  # type: ignore[attr-defined]
        if store.name == "sqlite":
            store._turn.close()  # type: ignore[attr-defined]
        with other.lock(1), other.transaction():
            other.apply(CreateCollection(ORG))
        with pytest.raises((errors.DbkitError, sqlite3.ProgrammingError)):
            store.apply(CreateCollection(ORG))
        with contextlib.suppress(errors.DbkitError, sqlite3.ProgrammingError):
            stack.close()
    assert other.differences(Schema([ORG])) == []


# -- what operations refuse --------------------------------------------------------------------------------------------


class Named(Record[int], name="members"):
    id: Mapped[int]
    name: Mapped[str] = field(max_length=20, unique="casefold")


class Short(Record[int], name="members"):
    id: Mapped[int]
    name: Mapped[Literal["Ada", "Bob"]]


class Numbered(Record[int], name="members"):
    id: Mapped[int]
    name: Mapped[int]


class Bossed(Record[int], name="members"):
    id: Mapped[int]
    boss: Mapped[int]


class Loose(Record[int], name="tasks"):
    id: Mapped[int]
    member: Mapped[int]


class Unborn(Record[int], name="members"):
    id: Mapped[int]
    born: Mapped[date]


def _field(entity: Any, name: str) -> Any:
    return spec_of(entity).by_name[name]


def test_what_does_not_fit_is_refused_with_counts(store: MigrationStore, url: str) -> None:
    begun(url)
    named, short = spec_of(Named), spec_of(Short)
    refused: list[tuple[Any, type[errors.DbkitError], str]] = [
        (
            AddUnique(named, named.uniques[0]),
            errors.DuplicateKey,
            "2 rows of Named have the same name as another one",
        ),
        (
            RetypeField(short, _field(Short, "name")),
            errors.StoredDataInvalid,
            "1 row of 'members' does not fit",
        ),
        (RetypeField(spec_of(Numbered), _field(Numbered, "name")), errors.InvalidInput, "no lossless change"),
        (RetypeField(spec_of(Bossed), _field(Bossed, "boss")), errors.StoredDataInvalid, "is null in 1 row"),
        (
            AddField(spec_of(Unborn), _field(Unborn, "born")),
            errors.InvalidInput,
            "2 rows would have no value",
        ),
        (DropCollection("orgs"), errors.ReferenceViolation, "still referred to by members.org"),
        (DropField("members", "id"), errors.InvalidInput, "is the table's key"),
        (DropField("members", "nope"), errors.SchemaDrift, "is not there"),
        (DropCollection("nope"), errors.SchemaDrift, "is not there"),
        (CreateCollection(ORG), errors.SchemaDrift, "is there already"),
        (RenameField(MEMBER, _field(Member, "name"), "boss"), errors.SchemaDrift, "is there already"),
        (AddReference(MEMBER, _field(Member, "org")), errors.SchemaDrift, "is there already"),
    ]
    for operation, kind, words in refused:
        with pytest.raises(kind, match=words) as raised, store.transaction():
            store.apply(operation)
        assert "Ada" not in str(raised.value)
        assert raised.value.backend == store.name
    assert [d.words for d in store.differences(SCHEMA)] == []


def test_orphans_are_counted(store: MigrationStore, url: str) -> None:
    begun(url)
    loose = spec_of(Loose)
    with store.transaction():
        store.apply(DropCollection("tasks"))
        store.apply(CreateCollection(loose))
        store.sql("INSERT INTO tasks (id, member) VALUES (1, 1), (2, 98), (3, 99)")
    words = "2 rows of 'tasks' refer by member to 'members'"
    with pytest.raises(errors.ReferenceViolation, match=words), store.transaction():
        store.apply(AddReference(TASK, _field(Task, "member")))
    with pytest.raises(errors.ReferenceViolation), store.transaction():
        # Without a check of its own, by a data step.
        store.apply(CreateCollection(spec_of(Unborn2)))
        store.sql("INSERT INTO unborn (id, member) VALUES (1, 97)")


class Unborn2(Record[int], name="unborn"):
    id: Mapped[int]
    member: Mapped[int] = field(references=lambda: Member)


def test_again_does_nothing_outside_a_transaction(store: MigrationStore, url: str) -> None:
    begun(url)
    named = spec_of(Named)
    renamed = spec_of(Renamed)
    for _ in range(2):
        store.apply(CreateCollection(ORG))
        store.apply(RenameField(renamed, _field(Renamed, "label"), "name"))
        store.apply(AddIndex(renamed, renamed.indexes[0], is_concurrent=True))
    for _ in range(2):
        store.apply(DropIndex(renamed, renamed.indexes[0], is_concurrent=True))
        store.apply(RenameField(named, _field(Named, "name"), "label"))
        store.apply(DropField("members", "nope"))
    sent: list[str] = []
    store.hook = lambda statement: sent.append(statement.text)
    for operation in (DropReference, AddReference):
        for _ in range(2):
            store.apply(operation(TASK, _field(Task, "member")))
    if store.name == "postgresql":
        # Writers wait for a moment only: the rows are looked at by a statement of its own.
        assert [text[-9:] for text in sent if "ADD CONSTRAINT" in text] == ["NOT VALID"]
        assert len([text for text in sent if "VALIDATE CONSTRAINT" in text]) == 2
        assert "BEGIN" not in sent[-4:]
    assert [d.words for d in store.differences(SCHEMA)] == []


class Renamed(Record[int], name="members"):
    id: Mapped[int]
    label: Mapped[str] = field(max_length=20, index=True)


def test_a_concurrent_index_mends_what_a_kill_left(store: MigrationStore, url: str) -> None:
    begun(url)
    spec = spec_of(Indexed)
    if store.name == "postgresql":
        with pytest.raises(errors.Unsupported), store.transaction():
            store.apply(AddIndex(spec, spec.indexes[0], is_concurrent=True))
        native(url, "CREATE INDEX ix_members__name ON members (name, id)")
        native(url, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_members__name'::regclass")
    with store.lock(1):
        store.apply(AddIndex(spec, spec.indexes[0], is_concurrent=True))
    with connect(url, entities=[Org, IndexedMember]) as db:
        db.create_schema()
    if store.name == "postgresql":
        assert native(url, "SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]


class Indexed(Record[int], name="members"):
    id: Mapped[int]
    name: Mapped[str] = field(max_length=20, index=True)


class IndexedMember(Record[int], name="members"):
    id: Mapped[int]
    org: Mapped[str] = field(references=lambda: Org, on_delete="cascade", max_length=40)
    boss: Mapped[int | None] = field(default=None, references=lambda: IndexedMember, on_delete="set_null")
    name: Mapped[str] = field(max_length=20, index=True)


# -- data --------------------------------------------------------------------------------------------------------------


def test_stores_write_in_the_steps_transaction(store: MigrationStore, url: str) -> None:
    begun(url)
    with pytest.raises(ZeroDivisionError), store.transaction():
        store.stores(SCHEMA).store(Org).create(Org(id="c"))
        raise ZeroDivisionError
    assert counts(url) == [2, 2, 2]
    with store.transaction():
        stores = store.stores(SCHEMA)
        stores.store(Org).create(Org(id="c"))
        assert stores.counts(Org) == [3]
        assert stores.store(Member).update(2, Member.name.set("Eve")).name == "Eve"
    store.stores(SCHEMA).store(Org).delete("c")
    assert counts(url) == [2, 2, 2]
    with pytest.raises(errors.DuplicateKey), store.transaction():
        store.stores(SCHEMA).store(Org).create(Org(id="a"))


def test_deletions_take_children_along(store: MigrationStore, url: str) -> None:
    begun(url)
    with store.transaction():
        orgs = store.stores(SCHEMA).store(Org)
        store.apply(AddField(spec_of(WithNote), _field(WithNote, "note"), "x"))
        assert orgs.delete("a") is True
        # Its member went, with the task; who had that boss has none.
        assert store.stores(SCHEMA).counts(Org, Member, Task) == [1, 1, 1]
        assert [m.boss for m in store.stores(SCHEMA).store(Member).find()] == [None]
        store.apply(DropField("members", "note"))
    assert counts(url) == [1, 1, 1]
    with store.transaction():
        store.sql("DELETE FROM orgs")
    assert counts(url) == [0, 0, 0]


class WithNote(Record[int], name="members"):
    id: Mapped[int]
    note: Mapped[str] = field(max_length=5)


def test_a_batch_commits_with_its_note(store: MigrationStore, url: str) -> None:
    begun(url)
    store.save(State().changed())
    with pytest.raises(ZeroDivisionError), store.batch(SCHEMA) as stores:
        stores.store(Org).create(Org(id="c"))
        found = store.state()
        assert found is not None
        store.save(found.changed(target=5))
        raise ZeroDivisionError
    found = store.state()
    assert found is not None
    assert found.target == 0
    with store.batch(SCHEMA) as stores:
        stores.store(Org).delete("a")
        assert store.stores(Schema([ORG])).store(Org).count() == 1
        store.save(found.changed(target=5))
    assert counts(url) == [1, 1, 1]
    with store.transaction(), store.batch(SCHEMA) as stores:
        stores.store(Org).delete_many(everything())
    assert counts(url) == [0, 0, 0]


def test_sql_is_run_as_it_stands(store: MigrationStore, url: str) -> None:
    begun(url)
    with store.transaction():
        assert (
            store.sql("UPDATE members SET name = 'a%b'; -- 100 %\nUPDATE tasks SET member = 1 WHERE id = 2;")
            == 1
        )
        assert store.sql("CREATE VIEW everyone AS SELECT name FROM members WHERE name LIKE 'a%'") == 0
    assert native(url, "SELECT count(*) FROM everyone") == [(2,)]
    for text in ("BEGIN; SELECT 1", "/* so */ COMMIT"):
        with pytest.raises(errors.InvalidInput, match="one transaction already"), store.transaction():
            store.sql(text)
    with pytest.raises(errors.DbkitError, match="nowhere") as raised, store.transaction():
        store.sql("DELETE FROM nowhere")
    assert raised.value.operation == "sql"
    assert "create_schema" not in str(raised.value)
    with (
        pytest.raises(
            errors.IntegrityError, match=r"a CHECK is not fulfilled by the rows \(constraint ck_members__name"
        ),
        store.transaction(),
    ):
        store.sql(f"UPDATE members SET name = '{'x' * 21}'")
    with pytest.raises(errors.ConfigurationError) as raised, store.transaction():
        store.stores(Schema([spec_of(AppUser)])).store(AppUser).count()
    assert "create_schema" not in str(raised.value)
    with pytest.raises(errors.Unsupported):
        store.command({"ping": 1})


def test_triggers_and_foreign_indexes_survive_a_rebuild(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/db.sqlite"
    begun(url)
    native(url, "CREATE INDEX mine ON members (name COLLATE NOCASE) WHERE boss IS NULL")
    native(url, "CREATE TRIGGER noted AFTER INSERT ON members BEGIN SELECT CASE WHEN 1 THEN 2 END; END")
    native(url, "CREATE VIEW seen AS SELECT name FROM members")
    before = native(
        url, "SELECT name, sql FROM sqlite_schema WHERE name IN ('mine', 'noted', 'seen') ORDER BY 1"
    )
    store = opened(url)
    with store.transaction():
        store.apply(AddField(spec_of(WithNote), _field(WithNote, "note"), "x"))
    after = native(
        url, "SELECT name, sql FROM sqlite_schema WHERE name IN ('mine', 'noted', 'seen') ORDER BY 1"
    )
    assert after == before
    store.close()


def test_orphans_from_before_are_not_this_migrations(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/db.sqlite"
    begun(url)
    raw = sqlite3.connect(tmp_path / "db.sqlite")
    raw.execute("INSERT INTO tasks (id, member) VALUES (77, 4711)")
    raw.commit()
    raw.close()
    store = opened(url)
    with store.transaction():
        store.apply(AddField(spec_of(WithNote), _field(WithNote, "note"), "x"))
    with pytest.raises(errors.ReferenceViolation, match="1 row of 'tasks'"), store.transaction():
        store.sql("INSERT INTO tasks (id, member) VALUES (78, 4712)")
    store.close()


# -- differences -------------------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "r"


class Part(Embedded):
    n: Mapped[int]


class Everything(Record[UUID], name="all_types"):
    id: Mapped[UUID]
    oid: Mapped[ObjectId]
    text: Mapped[str]
    short: Mapped[str | None] = field(max_length=9)
    whole: Mapped[int]
    small: Mapped[int | None] = field(ge=-5, lt=10)
    positive: Mapped[int] = field(ge=1)
    real: Mapped[float]
    part: Mapped[float] = field(ge=0.0, le=1.5)
    price: Mapped[Decimal] = field(max_digits=9, decimal_places=2)
    share: Mapped[Decimal] = field(max_digits=18, decimal_places=6, ge=0, le=1)
    flag: Mapped[bool]
    at: Mapped[datetime | None]
    day: Mapped[date]
    hour: Mapped[time]
    span: Mapped[timedelta]
    raw: Mapped[bytes]
    digest: Mapped[bytes] = field(max_length=32)
    things: Mapped[list[Any]] = field(max_length=4)
    extra: Mapped[dict[str, Any]]
    numbers: Mapped[list[int]]
    dates: Mapped[dict[str, date | None]]


class Opaque(Record[UUID], name="opaque"):
    id: Mapped[UUID]
    colour: Mapped[Colour]
    address: Mapped[Part]
    nested: Mapped[list[Part]]


class Bare(Record[UUID], name="all_types"):
    id: Mapped[UUID]


class BareOpaque(Record[UUID], name="opaque"):
    id: Mapped[UUID]


def test_a_column_tells_its_type(store: MigrationStore, url: str) -> None:
    with connect(url, entities=[Everything, Opaque]) as db:
        db.create_schema()
    found = {d.stored[0]: d for d in store.differences(Schema([spec_of(Bare)]))}
    assert {d.kind for d in found.values()} == {"undeclared field"}
    for f in spec_of(Everything).fields:
        if f.name != "id":
            got = found[f.stored].found
            assert got is not None, f.name
            assert (got.kind, got.nullable, got.max_length) == (
                f.type.kind,
                f.type.nullable,
                f.type.max_length,
            )
            assert got.element == f.type.element, f.name
            if f.type.kind.is_number:
                assert got.bounds == f.type.bounds, f.name
                assert got.decimal_places == f.type.decimal_places
    # What is inside JSON no catalogue shows, nor which values an Enum has.
    opaque = {d.stored[0]: d.found for d in store.differences(Schema([spec_of(BareOpaque)]))}
    assert opaque["address"] is opaque["nested"] is None
    assert opaque["colour"] is None


class MemberBefore(Record[int], name="members", unique=[("org", "name")], indexes=[("name", "boss")]):
    id: Mapped[int]
    org: Mapped[str] = field(references=lambda: Org, max_length=40)
    boss: Mapped[int | None] = field(default=None, ge=0)
    name: Mapped[str] = field(max_length=30, unique="casefold")
    note: Mapped[str] = field(unique="casefold", index=True)


def test_each_difference_is_told_once(store: MigrationStore, url: str) -> None:
    begun(url)
    with connect(url, entities=[Org, MemberBefore]) as db, pytest.raises(errors.SchemaDrift) as raised:
        db.create_schema()
    assert "column note is missing" in str(raised.value)
    found = store.differences(Schema([ORG, spec_of(MemberBefore)]))
    told = {(d.kind, d.field.name if d.field else None, d.stored) for d in found}
    assert told == {
        ("missing field", "note", ()),
        ("changed field", "boss", ("boss",)),
        ("changed field", "name", ("name",)),
        ("undeclared reference", "boss", ("boss",)),
        ("changed reference", "org", ("org",)),
        ("missing unique", "name", ()),
        ("missing unique", None, ()),
        ("missing index", None, ()),
        ("undeclared index", "boss", ("boss",)),
        ("undeclared index", "org", ("org",)),
    }
    there = {d.stored[0]: (d.found_target, d.found_on_delete) for d in found if "reference" in d.kind}
    assert there == {"boss": ("members", "set_null"), "org": ("orgs", "cascade")}
    backwards = store.differences(SCHEMA)
    assert backwards == []
    with connect(url, entities=[Org, Member, Task]) as db:
        db.drop_schema()
    with connect(url, entities=[Org, MemberBefore]) as db:
        db.create_schema()
    told = {
        (d.kind, d.field.name if d.field else None, d.stored)
        for d in store.differences(Schema([ORG, MEMBER]))
    }
    assert told == {
        ("undeclared field", None, ("note",)),
        # They go with the field, and are told for who wants it back.
        ("undeclared unique", None, ("note__casefold",)),
        ("undeclared index", None, ("note",)),
        ("changed field", "boss", ("boss",)),
        ("changed field", "name", ("name",)),
        ("missing reference", "boss", ()),
        ("changed reference", "org", ("org",)),
        ("undeclared unique", "name", ("name__casefold",)),
        ("undeclared unique", None, ("org", "name")),
        ("undeclared index", None, ("name", "boss")),
        ("missing index", None, ()),
    }


def test_ddl_makes_what_create_schema_makes(store: MigrationStore, url: str) -> None:
    with store.transaction():
        for statement in store.ddl(SCHEMA):
            store.sql(statement)
    assert store.differences(SCHEMA) == []


class Chicken(Record[int], name="chickens"):
    id: Mapped[int]
    egg: Mapped[int | None] = field(default=None, references=lambda: Egg, on_delete="set_null")


class Egg(Record[int], name="eggs"):
    id: Mapped[int]
    chicken: Mapped[int | None] = field(default=None, references=lambda: Chicken)


def test_two_that_refer_to_each_other(store: MigrationStore) -> None:
    both = Schema([spec_of(Chicken), spec_of(Egg)])
    shown = [r.text for e in both for r in store.render(CreateCollection(e))]
    assert len(shown) >= 4
    with store.transaction():
        store.apply(CreateCollection(spec_of(Chicken)))
        store.apply(CreateCollection(spec_of(Egg)))
    assert store.differences(both) == []


class AppUser(Record[int], name="app.users"):
    id: Mapped[int]
    name: Mapped[str] = field(index=True)


class AppPost(Record[int], name="app.posts"):
    id: Mapped[int]
    author: Mapped[int] = field(references=lambda: AppUser, unique=True)
    title: Mapped[str] = field(unique="casefold", max_length=20)


class AppPostNamed(Record[int], name="app.articles"):
    id: Mapped[int]
    writer: Mapped[int] = field(references=lambda: AppUser, unique=True)
    title: Mapped[str] = field(unique="casefold", max_length=20)


def test_tables_in_a_schema(store: MigrationStore, url: str) -> None:
    from dbkit.migrations.operations import RenameCollection

    user, post, article = spec_of(AppUser), spec_of(AppPost), spec_of(AppPostNamed)
    with store.transaction():
        store.apply(CreateCollection(user))
        store.apply(CreateCollection(post))
    assert store.differences(Schema([user, post])) == []
    with connect(url, entities=[AppUser, AppPost]) as db:
        db.create_schema()
        db.store(AppUser).create(AppUser(id=1, name="x"))
        db.store(AppPost).create(AppPost(id=1, author=1, title="T"))
    with store.transaction():
        store.apply(RenameField(spec_of(AppWriter), _field(AppWriter, "writer"), "author"))
        store.apply(RenameCollection(article, "app.posts"))
    assert [d.words for d in store.differences(Schema([user, article]))] == []
    with connect(url, entities=[AppUser, AppPostNamed]) as db:
        db.create_schema()
        assert db.store(AppPostNamed).require(1).writer == 1
    with store.transaction():
        store.apply(DropCollection("app.articles"))
        store.apply(DropCollection("app.users"))


class AppWriter(Record[int], name="app.posts"):
    id: Mapped[int]
    writer: Mapped[int] = field(references=lambda: AppUser, unique=True)


# -- text --------------------------------------------------------------------------------------------------------------


def test_statements_are_split_where_they_end() -> None:
    trigger = (
        "/* ; */\n        CREATE TRIGGER t AFTER INSERT ON a WHEN CASE new.x WHEN 1 THEN 1 ELSE 0 END BEGIN\n          "
        "UPDATE a SET x = CASE WHEN 1 THEN ';' END; SELECT 1;\n        END"
    )
    assert statements(
        """-- one; two
        create table a (x text default ';', "b;" int); /* ; */
        CREATE TRIGGER t AFTER INSERT ON a WHEN CASE new.x WHEN 1 THEN 1 ELSE 0 END BEGIN
          UPDATE a SET x = CASE WHEN 1 THEN ';' END; SELECT 1;
        END;
        select 'it''s; x', [c;d], `e;f`; -- end
        ;"""
    ) == [
        "-- one; two\n        create table a (x text default ';', \"b;\" int)",
        trigger,
        "select 'it''s; x', [c;d], `e;f`",
    ]
    assert statements(
        "create function f() returns int as $$ begin return 1; end; $$ language plpgsql; do $x$ begin; $$; end $x$;"
        "/* a /* b; */ ; */ select E'a\\'; b', a[1], $1; create function g() returns int begin atomic select 1; "
        "select case when true then 1 end; end; begin; commit",
        postgres=True,
    ) == [
        "create function f() returns int as $$ begin return 1; end; $$ language plpgsql",
        "do $x$ begin; $$; end $x$",
        "/* a /* b; */ ; */ select E'a\\'; b', a[1], $1",
        "create function g() returns int begin atomic select 1; select case when true then 1 end; end",
        "begin",
        "commit",
    ]


def test_a_column_keeps_what_is_not_its_type() -> None:
    said = {
        "a TEXT NOT NULL /* DEFAULT 1 */": "",
        'a "CHECK"': "",
        "a INT NOT  NULL DEFAULT NULL": "DEFAULT NULL",
        "a varchar(3) UNIQUE NOT NULL CHECK (a IS NOT NULL) REFERENCES b ON DELETE SET NULL": (
            "UNIQUE CHECK ( a IS NOT NULL ) REFERENCES b ON DELETE SET NULL"
        ),
        "id INTEGER PRIMARY KEY AUTOINCREMENT": "PRIMARY KEY AUTOINCREMENT",
    }
    assert {text: column_rest(text) for text in said} == said


def test_alembic_is_asked_for_by_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    found = importlib.util.find_spec

    def without_alembic(name: str) -> Any:
        return None if name == "alembic" else found(name)

    monkeypatch.setattr(importlib.util, "find_spec", without_alembic)
    with pytest.raises(errors.MissingDriver, match="migrations"):
        migration_store(parse_url("postgresql://localhost/x"), Options())
    assert migration_store(parse_url("sqlite:///x.db"), Options()).name == "sqlite"


# -- tables that dbkit did not make ------------------------------------------------------------------------------------


class Guest(Record[int], name="guests"):
    id: Mapped[int]
    label: Mapped[str] = field(max_length=20)
    room: Mapped[int | None] = field(default=None, ge=0, index=True)


def test_foreign_tables_keep_what_they_have(store: MigrationStore, url: str) -> None:
    serial = "INTEGER PRIMARY KEY AUTOINCREMENT" if store.name == "sqlite" else "bigserial PRIMARY KEY"
    spec = spec_of(Guest)
    with store.transaction():
        store.sql(
            f"""CREATE TABLE guests (
                id {serial}, -- the key, counted
                "full name" text DEFAULT 'x, (y)' CHECK ("full name" <> 'name'), /* a, b */
                name text NOT NULL UNIQUE DEFAULT NULL CHECK (name IS NOT NULL),
                age integer DEFAULT 7, CHECK (age > 0 OR name = 'age'), UNIQUE (age, name) -- last
            );
            CREATE INDEX by_age ON guests (age DESC);
            INSERT INTO guests (name) VALUES ('Ada'), ('Bob')"""
        )
        store.apply(AddField(spec, spec.by_name["room"], None))
        store.apply(RenameField(spec, spec.by_name["label"], "name"))
        store.apply(RetypeField(spec, spec.by_name["label"]))
        store.apply(DropField("guests", "full name"))
        assert store.sql("INSERT INTO guests (label, room) VALUES ('Eve', 3)") == 1
    with connect(url, entities=[Guest]) as db:
        found = db.store(Guest).find()
    assert [(g.id, g.label, g.room) for g in found] == [(1, "Ada", None), (2, "Bob", None), (3, "Eve", 3)]
    assert native(url, "SELECT DISTINCT age FROM guests") == [(7,)]
    for refused in ("('Ada', 1, 9)", "('Zed', -1, 9)", f"('{'z' * 21}', 1, 9)"):
        with pytest.raises(errors.DbkitError), store.transaction():
            store.sql(f"INSERT INTO guests (label, room, age) VALUES {refused}")
    with pytest.raises(errors.DbkitError), store.transaction():
        store.sql("INSERT INTO guests (label, age) VALUES ('Zed', 0)")
    indexes = native(
        url,
        "SELECT sql FROM sqlite_schema WHERE name = 'by_age'"
        if store.name == "sqlite"
        else "SELECT indexdef FROM pg_indexes WHERE indexname = 'by_age'",
    )
    assert "age DESC" in indexes[0][0]
    told = {(d.kind, d.stored) for d in store.differences(Schema([spec]))}
    assert ("undeclared field", ("age",)) in told
