"""The verbs against real servers: both colours, two processes at once, and processes killed between any two statements."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from dbkit import Dirty, Locked, NoSuchVersion
from dbkit.migrations import AsyncMigrator, Event, Migrator, Version
from dbkit.testing.servers import drop_database, fresh_database
from tests.migrations import people
from tests.migrations.people import LAST, Person
from tests.migrations.worker import Worker

STORES = ["sqlite", "postgresql", "mongodb"]
RUNS = int(os.environ.get("DBKIT_KILL_RUNS", "0"))
"""How many kills on each store and in each direction; 0: a few, spread over the whole."""


class Databases:
    """Databases of one's own on one store."""

    def __init__(self, request: pytest.FixtureRequest, kind: str, folder: Path) -> None:
        self.kind = kind
        self._folder = folder
        self._server = None if kind == "sqlite" else request.getfixturevalue(f"{_SERVERS[kind]}_server")
        self._made: list[str] = []

    def __call__(self) -> str:
        """Return the URL of a new one."""
        if self._server is None:
            url = f"sqlite:///{self._folder}/{len(self._made)}.db"
        else:
            url = fresh_database(self._server)
        self._made.append(url)
        return url

    def drop(self, url: str) -> None:
        """Drop one."""
        if self._server is None:
            Path(url.removeprefix("sqlite:///")).unlink()
        else:
            drop_database(self._server, url)
        self._made.remove(url)

    def close(self) -> None:
        """Drop all."""
        for url in list(self._made):
            self.drop(url)


_SERVERS = {"postgresql": "postgres", "mongodb": "mongo"}


@pytest.fixture(params=STORES)
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Databases]:
    made = Databases(request, request.param, tmp_path)
    yield made
    made.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "migrations").mkdir()
    return people.write(tmp_path / "migrations")


class Awaited:
    """A migrator whose verbs are awaited, whichever it is."""

    def __init__(self, made: Migrator | AsyncMigrator) -> None:
        self._made = made

    async def __aenter__(self) -> Self:
        if isinstance(self._made, AsyncMigrator):
            await self._made.open()
        else:
            self._made.open()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self("close")

    async def __call__(self, verb: str, *args: Any, **options: Any) -> Any:
        result = getattr(self._made, verb)(*args, **options)
        return await result if isinstance(self._made, AsyncMigrator) else result


@pytest.mark.parametrize("colour", [Migrator, AsyncMigrator])
async def test_every_verb(databases: Databases, path: Path, colour: type[Migrator | AsyncMigrator]) -> None:
    url = databases()
    async with Awaited(colour(url, path, entities=[Person])) as migrate:
        assert await migrate("version") == Version(0, dirty=False, target=0)
        planned = await migrate("plan")
        assert [step.version for step in planned] == [1, 2, 3, 4]
        assert all(part.words for step in planned for part in step.parts)
        assert any("people" in statement.text for statement in planned[0].statements)
        assert people.schema(url) == people.schema(databases())  # a plan makes nothing
        schemas: dict[int, list[str]] = {0: people.schema(url)}
        for version in range(1, LAST + 1):
            assert [r.version for r in await migrate("steps", 1)] == [version]
            schemas[version] = people.schema(url)
        assert [e.state for e in await migrate("history")] == ["applied"] * LAST
        end = people.contents(url)
        assert [(row["full_name"], row["score"]) for row in end] == [
            (f"Ann {n}{'!' * (n > 2)}", 6) for n in range(1, 8)
        ]
        assert (await migrate("diff")).is_empty
        with pytest.raises(NoSuchVersion):
            await migrate("steps", 1)
        for version in reversed(range(LAST)):
            await migrate("goto", version)
            assert people.schema(url) == schemas[version]
            assert [r.version for r in await migrate("up")] == list(range(version + 1, LAST + 1))
            assert people.schema(url) == schemas[LAST]
            await migrate("goto", version)
        assert await migrate("down") == []
        assert (await migrate("version")).number == 0
        assert await migrate("force", 2) == Version(2, dirty=False, target=2)
        await migrate("force", 0)
        await migrate("up")
        assert people.contents(url) == end


def test_two_processes_migrate_at_once(databases: Databases, path: Path) -> None:
    wanted = databases()
    with Migrator(wanted, path) as migrator:
        migrator.up()
    end = people.contents(wanted)
    with Worker() as one, Worker() as other:
        for _ in range(20 if RUNS else 3):
            url = databases()
            one.begin(url, path)
            other.begin(url, path)
            answers = [one.end(), other.end()]
            assert [answer["error"] for answer in answers] == [None, None]
            assert sorted(answers[0]["ran"] + answers[1]["ran"]) == [1, 2, 3, 4]
            assert people.contents(url) == end
            databases.drop(url)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_who_comes_between_two_statements_outside_a_transaction_waits(
    request: pytest.FixtureRequest, kind: str, tmp_path: Path
) -> None:
    databases = Databases(request, kind, tmp_path)
    url, path = databases(), tmp_path / "migrations"
    path.mkdir()
    head = "-- dbkit: transactional = false\n"
    (path / "0001_two.up.sql").write_text(head + "CREATE TABLE a (x INT);\nCREATE TABLE b (x INT);\n")
    (path / "0001_two.down.sql").write_text(head + "DROP TABLE a;\nDROP TABLE b;\n")
    came: list[str] = []

    def between(event: Event) -> None:
        if event.kind == "operation":
            assert other.version().dirty
            for verb in (other.up, lambda: other.force(1)):
                with pytest.raises(Locked, match="another migrator"):
                    verb()
            came.append(event.direction)

    with Migrator(url, path, on_event=between) as one, Migrator(url, path, lock_timeout_s=0.05) as other:
        assert [r.version for r in one.up()] == [1]
        assert other.up() == []
        one.down()
        assert [r.version for r in other.up()] == [1]
    assert came == ["up", "up", "down", "down"]
    databases.close()


@pytest.mark.parametrize("verb", ["up", "down"])
def test_killed_after_any_statement_it_is_clean_or_dirty_and_the_printed_commands_mend_it(
    databases: Databases, path: Path, verb: str
) -> None:
    outcomes = {"clean": 0, "dirty": 0, "done": 0}
    with Worker(lease_s=1) as worker:
        url = databases()
        count = worker.run(url, path)["statements"]
        top, schema = people.contents(url), people.schema(url)
        if verb == "down":
            count = worker.run(url, path, "down")["statements"]
        databases.drop(url)
        few = {"sqlite": 6, "postgresql": 8, "mongodb": 5}[databases.kind] if verb == "up" else 3
        runs = RUNS or few
        for run in range(runs):
            kill_after = 1 + run * count // runs if runs <= count else 1 + run % count
            url = databases()
            if verb == "down":
                worker.run(url, path)
            answer = worker.run(url, path, verb, kill_after)
            with Migrator(url, path) as migrator:
                version = migrator.version()
                outcome = "dirty" if version.dirty else "clean" if answer["status"] else "done"
                outcomes[outcome] += 1
                if outcome == "dirty":
                    _follow_the_commands(migrator, version)
                if verb == "down":
                    migrator.down()
                    assert people.contents(url) == []
                migrator.up()
                assert migrator.version() == Version(LAST, dirty=False, target=LAST)
            assert people.contents(url) == top, f"killed after {kill_after} of {count} statements"
            assert people.schema(url) == schema, f"killed after {kill_after} of {count} statements"
            databases.drop(url)
    assert outcomes["clean"]
    # On SQLite every step commits as a whole.
    assert bool(outcomes["dirty"]) is (databases.kind != "sqlite")
    if RUNS:
        print(f"{databases.kind} {verb}: {count} statements, {outcomes}")


def _follow_the_commands(migrator: Migrator, version: Version) -> None:
    with pytest.raises(Dirty) as caught:
        migrator.up()
    forced, then = (
        part.strip("`")
        for part in str(caught.value).partition("run it again: ")[2].split("; ")[0].split(", then ")
    )
    assert forced == f"dbkit migrate force {version.number}"
    migrator.force(version.number)
    if then == "dbkit migrate up":
        migrator.up()
    else:
        assert then == f"dbkit migrate goto {version.target}"
        migrator.goto(version.target)


async def test_a_cancelled_migration_stops_before_its_next_statement(
    databases: Databases, path: Path
) -> None:
    url = databases()
    loop = asyncio.get_running_loop()
    reached = asyncio.Event()

    def hear(event: Event) -> None:
        if event.kind == "batch":
            loop.call_soon_threadsafe(reached.set)

    async with AsyncMigrator(url, path, on_event=hear) as migrator:
        task = asyncio.create_task(migrator.up())
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        version = await migrator.version()
        if version.dirty:
            assert databases.kind == "mongodb"
            await migrator.force(version.number)
        assert version.number < LAST
        await migrator.up()
    assert len(people.contents(url)) == 7
