"""The state is changed by compare-and-set, and one migrator waits for the other."""

# ruff: noqa: PT012  # a step is several statements, and what fails is its end

from __future__ import annotations

import contextlib
import sqlite3
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from dbkit import errors
from dbkit.migrations.operations import (
    CreateCollection,
)
from dbkit.migrations.state import Applied, State
from dbkit.migrations.store import MigrationStore
from dbkit.spec import Schema
from tests.migrations.sql.tables import ORG, native


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


def test_the_lock_of_a_closed_owner_is_free(
    store: MigrationStore, other: MigrationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    turns: list[sqlite3.Connection] = []

    def watched(path: str, **options: Any) -> sqlite3.Connection:
        made: sqlite3.Connection = connect(path, **options)
        if path.endswith("-migrating"):
            turns.append(made)
        return made

    monkeypatch.setattr(sqlite3, "connect", watched)
    with contextlib.ExitStack() as stack:
        stack.enter_context(store.lock(1))
        stack.enter_context(store.transaction())
        store.apply(CreateCollection(ORG))
        # As at a kill, nothing of it is committed, and the lock ends with the connection.
        store._held.raw.close()  # type: ignore[attr-defined]
        for turn in turns:
            turn.close()
        with other.lock(1), other.transaction():
            other.apply(CreateCollection(ORG))
        with pytest.raises((errors.DbkitError, sqlite3.ProgrammingError)):
            store.apply(CreateCollection(ORG))
        with contextlib.suppress(errors.DbkitError, sqlite3.ProgrammingError):
            stack.close()
    assert other.differences(Schema([ORG])) == []
