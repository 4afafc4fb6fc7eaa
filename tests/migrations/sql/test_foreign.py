"""Tables that dbkit did not make keep what they have."""

# a step is several statements, and what fails is its end

from __future__ import annotations

import pytest

from dbkit import Mapped, Record, connect, errors, field
from dbkit.entity import spec_of
from dbkit.migrations.operations import (
    AddField,
    DropField,
    RenameField,
    RetypeField,
)
from dbkit.migrations.store import MigrationStore
from dbkit.spec import Schema
from tests.migrations.sql.tables import native


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
