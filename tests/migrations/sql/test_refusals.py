"""What operations refuse, with counts, and what they do again outside a transaction."""

# ruff: noqa: PT012  # a step is several statements, and what fails is its end

from __future__ import annotations

from datetime import date
from typing import Any, Literal

import pytest

from dbkit import Mapped, Record, connect, errors, field
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
from dbkit.migrations.store import MigrationStore
from tests.migrations.sql.tables import MEMBER, ORG, SCHEMA, TASK, Member, Org, Task, begun, field_of, native


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
            RetypeField(short, field_of(Short, "name")),
            errors.StoredDataInvalid,
            "1 row of 'members' does not fit",
        ),
        (
            RetypeField(spec_of(Numbered), field_of(Numbered, "name")),
            errors.InvalidInput,
            "no lossless change",
        ),
        (
            RetypeField(spec_of(Bossed), field_of(Bossed, "boss")),
            errors.StoredDataInvalid,
            "is null in 1 row",
        ),
        (
            AddField(spec_of(Unborn), field_of(Unborn, "born")),
            errors.InvalidInput,
            "2 rows would have no value",
        ),
        (DropCollection("orgs"), errors.ReferenceViolation, "still referred to by members.org"),
        (DropField("members", "id"), errors.InvalidInput, "is the table's key"),
        (DropField("members", "nope"), errors.SchemaDrift, "is not there"),
        (DropCollection("nope"), errors.SchemaDrift, "is not there"),
        (CreateCollection(ORG), errors.SchemaDrift, "is there already"),
        (RenameField(MEMBER, field_of(Member, "name"), "boss"), errors.SchemaDrift, "is there already"),
        (AddReference(MEMBER, field_of(Member, "org")), errors.SchemaDrift, "is there already"),
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
        store.apply(AddReference(TASK, field_of(Task, "member")))
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
        store.apply(RenameField(renamed, field_of(Renamed, "label"), "name"))
        store.apply(AddIndex(renamed, renamed.indexes[0], is_concurrent=True))
    for _ in range(2):
        store.apply(DropIndex(renamed, renamed.indexes[0], is_concurrent=True))
        store.apply(RenameField(named, field_of(Named, "name"), "label"))
        store.apply(DropField("members", "nope"))
    sent: list[str] = []
    store.hook = lambda statement: sent.append(statement.text)
    for operation in (DropReference, AddReference):
        for _ in range(2):
            store.apply(operation(TASK, field_of(Task, "member")))
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
