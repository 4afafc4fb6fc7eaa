"""Data steps: stores, batches and SQL inside a step."""

# ruff: noqa: PT012  # a step is several statements, and what fails is its end

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from dbkit import Mapped, Record, errors, everything, field
from dbkit.entity import spec_of
from dbkit.migrations.operations import (
    AddField,
    DropField,
)
from dbkit.migrations.state import State
from dbkit.migrations.store import MigrationStore
from dbkit.spec import Schema
from tests.migrations.sql.tables import (
    ORG,
    SCHEMA,
    AppUser,
    Member,
    Org,
    Task,
    begun,
    counts,
    field_of,
    native,
    opened,
)


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
        store.apply(AddField(spec_of(WithNote), field_of(WithNote, "note"), "x"))
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
        store.apply(AddField(spec_of(WithNote), field_of(WithNote, "note"), "x"))
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
        store.apply(AddField(spec_of(WithNote), field_of(WithNote, "note"), "x"))
    with pytest.raises(errors.ReferenceViolation, match="1 row of 'tasks'"), store.transaction():
        store.sql("INSERT INTO tasks (id, member) VALUES (78, 4712)")
    store.close()
