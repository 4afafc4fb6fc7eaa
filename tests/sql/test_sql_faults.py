"""What happens to a connection, to the pool and to the data when something breaks: the error's class, the state of both."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any
from uuid import UUID

import psycopg
import pytest

from dbkit import AsyncDatabase, Database, aconnect, connect, errors
from dbkit.statement import Statement
from dbkit.testing.servers import Server, start_postgres
from dbkit_sql._sync import postgres as sync_postgres
from dbkit_sql.adapters import has_input
from dbkit_sql.drivers import AsyncSqliteConnection
from tests.sql.entities import ENTITIES, Post, User

ENDLESS = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c"


@pytest.fixture
def db(postgres_url: str) -> Iterator[Database]:
    """Return a database on PostgreSQL, its schema made."""
    with connect(postgres_url, entities=ENTITIES) as db:
        db.create_schema()
        yield db


def _backend(db: Database | AsyncDatabase) -> Any:
    return db.backend


def _terminate(url: str) -> None:
    """End every other connection of the database, as an administrator would."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )


# -- statements that take too long -------------------------------------------------------------------------------------


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_a_statement_that_takes_too_long_is_stopped(store: str, request: pytest.FixtureRequest) -> None:
    url = "sqlite://" if store == "sqlite" else request.getfixturevalue("postgres_url")
    with connect(url, entities=ENTITIES, timeout_s=0.2) as db:
        started = monotonic()
        with pytest.raises(errors.DeadlineExceeded):
            _backend(db).rows(ENDLESS, (), None)
        assert monotonic() - started < 5
        assert _backend(db).pool.in_use == 0
        db.ping()


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
async def test_a_cancelled_statement_leaves_the_pool_whole(
    store: str, request: pytest.FixtureRequest
) -> None:
    url = "sqlite://" if store == "sqlite" else request.getfixturevalue("postgres_url")
    async with aconnect(url, entities=ENTITIES, timeout_s=0.5, pool_size=1) as db:
        await db.create_schema()
        told: list[Statement] = []
        db.on_statement(told.append)
        task = asyncio.ensure_future(_backend(db).rows(ENDLESS, (), None))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [s.error for s in told] == ["CancelledError"]
        assert _backend(db).pool.in_use == 0
        await db.store(User).create(User(name="after"))
        assert await db.counts(User) == [1]


async def test_a_cancelled_statement_of_sqlite_stops_at_once() -> None:
    async with aconnect("sqlite://", entities=ENTITIES, timeout_s=60, pool_size=1) as db:
        await db.create_schema()

        async def alone() -> None:
            await _backend(db).rows(ENDLESS, (), None)

        async def in_a_transaction() -> None:
            async with db.transaction() as tx:
                await tx.store(User).create(User(name="x"))
                async with tx.native() as connection:
                    await connection.execute_fetchall(ENDLESS)

        for work in (alone, in_a_transaction):
            task = asyncio.ensure_future(work())
            await asyncio.sleep(0.1)
            started = monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert monotonic() - started < 10
            assert _backend(db).pool.in_use == 0
        assert await db.counts(User) == [0]


async def test_a_cancelled_drop_leaves_no_connection_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    async with aconnect("sqlite://", entities=ENTITIES, pool_size=1) as db:
        await db.create_schema()
        begun = asyncio.Event()

        async def slow(self: Any) -> None:
            begun.set()
            await asyncio.sleep(30)

        for name in ("commit", "rollback"):
            monkeypatch.setattr(AsyncSqliteConnection, name, slow)
        task = asyncio.ensure_future(db.drop_schema())
        await begun.wait()
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        monkeypatch.undo()
        assert _backend(db).pool.in_use == 0
        with pytest.raises(errors.ReferenceViolation):
            await db.store(Post).create(Post(user_id=UUID(int=1), title="x"))


async def test_a_cancelled_transaction_is_rolled_back(postgres_url: str) -> None:
    async with aconnect(postgres_url, entities=ENTITIES, pool_size=1) as db:
        await db.create_schema()

        async def work() -> None:
            async with db.transaction() as tx:
                await tx.store(User).create(User(name="x"))
                async with tx.native() as connection:
                    await connection.execute("SELECT pg_sleep(30)")

        task = asyncio.ensure_future(work())
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await db.counts(User) == [0]
        assert _backend(db).pool.in_use == 0


# -- connections that break --------------------------------------------------------------------------------------------


def test_a_connection_that_was_closed_while_idle_is_not_used(
    db: Database, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_postgres, "_TRUSTED_S", 0.0)
    for call in (
        lambda: db.store(User).count(),
        lambda: db.store(User).update_many(User.age == 1, changes=User.age.set(2)),
        lambda: db.store(User).create_many([User(name="x")]),
        db.ping,
    ):
        _terminate(postgres_url)
        call()
    assert _backend(db).pool.in_use == 0


def test_a_read_on_a_broken_connection_is_unavailable(db: Database, postgres_url: str) -> None:
    reads: list[Callable[[], Any]] = [lambda: db.store(User).count(), lambda: db.store(User).find(), db.ping]
    for read in reads:
        db.ping()
        _terminate(postgres_url)
        with pytest.raises(errors.Unavailable) as raised:
            read()
        assert raised.value.retryable
        assert isinstance(raised.value.__cause__, psycopg.Error)
        read()
    assert _backend(db).pool.in_use == 0


def test_a_write_on_a_broken_connection_is_unknown(db: Database, postgres_url: str) -> None:
    users = db.store(User)
    ada = users.create(User(name="ada"))
    writes: list[Callable[[], Any]] = [
        lambda: users.update(ada.id, User.age.set(1)),
        lambda: users.update_many(User.age == 1, changes=User.age.set(2)),
        lambda: users.delete(ada.id),
        lambda: users.create_many([User(name="x")]),
        lambda: users.upsert(User(name="y"), on=User.name),
    ]
    for write in writes:
        db.ping()
        _terminate(postgres_url)
        with pytest.raises(errors.OutcomeUnknown) as raised:
            write()
        assert not raised.value.retryable
    # Here the connection was closed before: nothing happened.
    assert users.find() == [ada]
    assert _backend(db).pool.in_use == 0


def test_create_is_sent_again(db: Database, postgres_url: str) -> None:
    db.ping()
    _terminate(postgres_url)
    made = db.store(User).create(User(name="ada"))
    assert db.store(User).find() == [made]


def test_a_transaction_on_a_broken_connection_is_rolled_back(db: Database, postgres_url: str) -> None:
    def write() -> None:
        with db.transaction() as tx:
            tx.store(User).create(User(name="a"))
            _terminate(postgres_url)
            tx.store(User).create(User(name="b"))

    def read() -> None:
        with db.transaction() as tx:
            tx.store(User).create(User(name="a"))
            _terminate(postgres_url)
            with pytest.raises(errors.Unavailable):
                tx.store(User).count()

    # Nothing is in doubt: COMMIT was never sent.
    with pytest.raises(errors.Unavailable):
        write()
    with pytest.raises(errors.TransactionAborted):
        read()
    assert db.store(User).count() == 0
    assert _backend(db).pool.in_use == 0


@pytest.mark.parametrize("committed", [True, False])
def test_the_server_is_asked_after_a_lost_commit(
    db: Database, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    commit = sync_postgres.PostgresConnection.commit

    def lost(connection: sync_postgres.PostgresConnection) -> None:
        if committed:
            commit(connection)
        connection.raw.close()
        raise psycopg.OperationalError("the reply is lost")

    def work() -> None:
        with db.transaction() as tx:
            tx.store(User).create(User(name="ada"))
            monkeypatch.setattr(sync_postgres.PostgresConnection, "commit", lost)

    if committed:
        work()
    else:
        with pytest.raises(errors.Unavailable) as raised:
            work()
        assert "rolled back" in str(raised.value)
    monkeypatch.setattr(sync_postgres.PostgresConnection, "commit", commit)
    assert db.store(User).count() == int(committed)
    assert _backend(db).pool.in_use == 0


def test_a_lost_commit_after_reads_only_is_none(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(connection: sync_postgres.PostgresConnection) -> None:
        connection.raw.close()
        raise psycopg.OperationalError("the reply is lost")

    with db.transaction() as tx:
        assert tx.store(User).count() == 0
        monkeypatch.setattr(sync_postgres.PostgresConnection, "commit", lost)


# -- servers that die, freeze, refuse ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """Return a server that may be killed."""
    server = start_postgres()
    if not server or not server.is_private:
        pytest.skip("a server of one's own cannot be started here")
    with server:
        yield server


def test_a_frozen_server_is_given_up(own_server: Server) -> None:
    with connect(own_server.url, entities=ENTITIES, timeout_s=0.5) as db:
        db.create_schema()
        own_server.pause()
        try:
            started = monotonic()
            with pytest.raises(errors.Unavailable):
                db.store(User).count()
            with pytest.raises(errors.OperationalError):
                db.store(User).count()
            assert monotonic() - started < 10
        finally:
            own_server.resume()
        db.ping()
        assert _backend(db).pool.in_use == 0


def test_a_server_that_died_is_found_again(own_server: Server) -> None:
    with connect(own_server.url, entities=ENTITIES, timeout_s=5) as db:
        db.create_schema()
        made = db.store(User).create(User(name=f"n{monotonic()}"))
        own_server.kill()
        try:
            for _ in range(2):
                with pytest.raises(errors.Unavailable):
                    db.store(User).count()
            with pytest.raises((errors.Unavailable, errors.OutcomeUnknown)):
                db.store(User).delete(made.id)
        finally:
            own_server.restart()
        assert db.store(User).get(made.id) == made
        assert _backend(db).pool.in_use == 0


def test_no_secret_is_told_when_a_connection_is_refused(postgres_url: str) -> None:
    host, _, _ = postgres_url.rpartition("/")
    place = host.rpartition("@")[2]
    urls = {
        f"postgresql://postgres:s3cr%25zz@{place}/no_such_database": errors.ConfigurationError,
        f"postgresql://no_such_role:s3cr%25zz@{place}/postgres": errors.ConfigurationError,
        "postgresql://postgres:s3cr%25zz@127.0.0.1:9/postgres?connect_timeout=2": errors.Unavailable,
        f"postgresql://postgres:s3cr%25zz@{place}/postgres?sslmode=never": errors.BadURL,
    }
    for url, expected in urls.items():
        with pytest.raises(errors.DbkitError) as raised:
            connect(url, entities=ENTITIES)
        assert type(raised.value) is expected, url
        error: BaseException | None = raised.value
        while error is not None:
            assert "s3cr" not in f"{error} {error!r}"
            assert error.__suppress_context__ or error.__context__ is None
            error = error.__cause__


def test_a_database_of_another_encoding_is_refused(postgres_url: str) -> None:
    name = "dbkit_ascii"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(
            f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'".encode()
        )
        try:
            with pytest.raises(errors.Unsupported, match="encoding"):
                connect(f"{postgres_url.rpartition('/')[0]}/{name}", entities=ENTITIES)
        finally:
            connection.execute(f"DROP DATABASE {name} (FORCE)".encode())


# -- locks -------------------------------------------------------------------------------------------------------------


def test_changing_a_parents_key_does_not_keep_children_out(db: Database, postgres_url: str) -> None:
    ada = db.store(User).create(User(name="ada", email="a@x.org"))
    with connect(postgres_url, entities=ENTITIES, timeout_s=2) as other, db.transaction() as tx:
        tx.store(User).update(ada.id, User.name.set("eve"), User.email.set("e@x.org"))
        other.store(Post).create(Post(user_id=ada.id, title="meanwhile"))
    assert db.counts(Post) == [1]


def test_ints_of_any_size_share_one_prepared_statement(postgres_url: str) -> None:
    with connect(postgres_url, entities=ENTITIES, pool_size=1) as db:
        db.create_schema()
        for age in (1, 200, 30_000, 2**31, 2**40, 2**62) * 3:
            db.store(Post).count(Post.likes == age)
        rows = _backend(db).rows(
            "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%%likes =%%'", (), None
        )
        assert rows == [(1,)]


# -- SQLite's file -----------------------------------------------------------------------------------------------------


def test_a_temporary_database_is_removed() -> None:
    from pathlib import Path

    with connect("sqlite://", entities=ENTITIES) as db:
        db.create_schema()
        path = Path(_backend(db)._settings.path)
        assert path.exists()
        with db.native() as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
            assert connection.execute("PRAGMA busy_timeout").fetchone() == (5000,)
    assert not path.exists()
    assert not path.parent.exists()


def test_a_file_that_cannot_be_opened(tmp_path: Any) -> None:
    with pytest.raises(errors.Unavailable) as raised:
        connect(f"sqlite:///{tmp_path}/missing/a.db", entities=ENTITIES)
    assert not raised.value.retryable
    (tmp_path / "text.db").write_text(
        "this is no database, only some text that is longer than a header " * 20
    )
    with pytest.raises(errors.ConfigurationError):
        connect(f"sqlite:///{tmp_path}/text.db", entities=ENTITIES)


def test_a_reading_transaction_of_sqlite_cannot_write() -> None:
    import sqlite3

    with connect("sqlite://", entities=ENTITIES) as db:
        db.create_schema()
        with (
            db.transaction(read_only=True) as tx,
            tx.native() as connection,
            pytest.raises(sqlite3.OperationalError),
        ):
            connection.execute("DELETE FROM users")
        db.store(User).create(User(name="x"))


def test_a_connection_that_may_only_read_is_not_passed_on() -> None:
    with connect("sqlite://", entities=ENTITIES, pool_size=1) as db:
        db.create_schema()
        raises = True

        def hook(statement: Statement) -> None:
            if raises and "query_only = ON" in statement.text:
                raise ZeroDivisionError

        db.on_statement(hook)
        with pytest.raises(ZeroDivisionError), db.transaction(read_only=True):
            pass
        raises = False
        db.store(User).create(User(name="x"))
        assert _backend(db).pool.in_use == 0


def test_a_table_that_is_altered_is_read_on(postgres_url: str) -> None:
    with connect(postgres_url, entities=ENTITIES, pool_size=3) as db:
        db.create_schema()
        made = db.store(User).create(User(name="x", age=3))
        pool = _backend(db).pool
        for connection in [pool.acquire() for _ in range(3)]:
            pool.release(connection)
        for _ in range(30):
            db.store(User).get(made.id)
            db.store(User).page(total=True)
            db.store(User).update(made.id, User.age.set(4))
            pool._idle.rotate()

        def alter(kind: str) -> None:
            with psycopg.connect(postgres_url, autocommit=True) as other:
                other.execute(f"ALTER TABLE users ALTER COLUMN age TYPE {kind}".encode())

        alter("smallint")
        assert db.store(User).require(made.id).age == 4
        alter("bigint")
        assert db.store(User).page(total=True).total == 1
        alter("smallint")
        assert db.store(User).update(made.id, User.age.set(5)).age == 5
        alter("bigint")
        # In a transaction it is a conflict: the whole is run again.
        assert db.run_in_transaction(lambda tx: tx.store(User).require(made.id)).age == 5
        assert pool.in_use == 0


def test_a_socket_beyond_what_select_knows() -> None:
    resource = pytest.importorskip("resource")
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 2_000:
        pytest.skip("so many files are not allowed here")
    here, there = socket.socketpair()
    with here, there:
        os.dup2(here.fileno(), 1_999)
        try:
            assert not has_input(1_999)
            there.send(b"x")
            assert has_input(1_999)
        finally:
            os.close(1_999)
