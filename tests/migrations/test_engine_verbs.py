"""The verbs on a store that records: their meanings, what is refused, what a failure or a kill at any call leaves."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbkit import (
    BadMigration,
    ConfigurationError,
    DbkitError,
    Dirty,
    EditedMigration,
    InvalidInput,
    Locked,
    MigrationError,
    MigrationFailed,
    MissingMigration,
    NoSuchVersion,
    OutOfOrder,
    Unsupported,
    registry,
)
from dbkit.migrations import Event, Migrator, Version
from tests.migrations.fake import PLUGIN, Killed, Server, server

NAMES = itertools.count()
STEP = """
from dbkit import Entity, Mapped, field
from dbkit.migrations import Migration

class Thing(Entity, name="t{n}"):
    label: Mapped[str | None] = field(default=None)

def up(m: Migration) -> None:
    m.create_collection(Thing)
    m.add_index(Thing.label)

def down(m: Migration) -> None:
    m.drop_index(Thing.label)
    m.drop_collection(Thing)
"""


@pytest.fixture(autouse=True)
def _backends(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fake", "fakedoc"):
        monkeypatch.setitem(registry._registered, name, PLUGIN)


@pytest.fixture(params=["fake", "fakedoc"])
def url(request: pytest.FixtureRequest) -> str:
    return f"{request.param}:///{next(NAMES)}"


def world(url: str) -> Server:
    return server(url.rpartition("/")[2])


def write(path: Path, *numbers: int) -> Path:
    for n in numbers:
        (path / f"{n:04}_t{n}.py").write_text(STEP.replace("{n}", str(n)), encoding="utf-8")
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path, 1, 2, 3)


@pytest.fixture
def migrator(url: str, path: Path) -> Iterator[Migrator]:
    with Migrator(url, path) as opened:
        yield opened


def where(migrator: Migrator) -> tuple[int, bool]:
    version = migrator.version()
    return version.number, version.dirty


def made(*numbers: int) -> list[str]:
    return [words for n in numbers for words in (f"create t{n}", f"make the index of t{n}: label")]


def test_up_down_steps_and_goto(migrator: Migrator, url: str) -> None:
    assert where(migrator) == (0, False)
    assert [(r.version, r.direction) for r in migrator.steps(2)] == [(1, "up"), (2, "up")]
    assert [(r.version, r.direction) for r in migrator.steps(-1)] == [(2, "down")]
    assert [r.stem for r in migrator.up()] == ["0002_t2", "0003_t3"]
    assert migrator.up() == []
    assert [(r.version, r.direction) for r in migrator.goto(1)] == [(3, "down"), (2, "down")]
    assert migrator.goto(1) == []
    assert migrator.steps(0) == []
    assert [r.version for r in migrator.goto(3)] == [2, 3]
    assert [e.state for e in migrator.history()] == ["applied"] * 3
    assert [r.version for r in migrator.down()] == [3, 2, 1]
    assert where(migrator) == (0, False)
    assert [e.state for e in migrator.history()] == ["pending"] * 3
    assert world(url).log[:4] == made(1, 2)


@pytest.mark.parametrize(
    ("verb", "count", "said"),
    [
        ("steps", 3, "3 steps up were asked for, but there are 2 pending"),
        ("steps", -2, "2 steps down were asked for, but there are 1 applied"),
        ("goto", 9, "no migration has version 9 (the nearest: 2, 3)"),
        ("goto", -1, "no migration has version -1"),
        ("force", 9, "no migration has version 9"),
    ],
)
def test_beyond_the_end_nothing_is_done(
    migrator: Migrator, url: str, verb: str, count: int, said: str
) -> None:
    migrator.steps(1)
    before = list(world(url).log)
    with pytest.raises(NoSuchVersion) as caught:
        getattr(migrator, verb)(count)
    assert said in str(caught.value)
    assert (where(migrator), world(url).log) == ((1, False), before)


def test_edited_missing_and_out_of_order_files_are_refused_by_name(
    migrator: Migrator, url: str, path: Path
) -> None:
    migrator.steps(2)
    before = list(world(url).log)
    file = path / "0001_t1.py"
    text = file.read_bytes()
    file.write_bytes(text + b"# edited\n")
    for verb in (migrator.up, migrator.down):
        with pytest.raises(EditedMigration, match="0001_t1 was edited after it was applied here"):
            verb()
    assert [e.state for e in migrator.history()] == ["edited", "applied", "pending"]
    file.write_bytes(text.replace(b"\n", b"\r\n"))
    assert [e.state for e in migrator.history()] == ["applied", "applied", "pending"]

    file.unlink()
    with pytest.raises(MissingMigration, match=r"version 1 \(t1\) was applied here, but has no file"):
        migrator.up()
    assert [e.state for e in migrator.history()] == ["missing", "applied", "pending"]
    assert migrator.history()[0].stem == "1_t1"

    file.write_bytes(text)
    (path / "0002_t2.py").rename(path / "0003_later.py")
    with pytest.raises(BadMigration, match="has the version of"):
        migrator.up()
    assert (where(migrator), world(url).log) == ((2, False), before)


def test_a_pending_file_below_an_applied_one_is_out_of_order(url: str, tmp_path: Path) -> None:
    write(tmp_path, 20260101000000, 20260301000000)
    with Migrator(url, tmp_path) as migrator:
        migrator.up()
        write(tmp_path, 20260201000000)
        for verb in (migrator.up, lambda: migrator.goto(20260201000000), lambda: migrator.steps(1)):
            with pytest.raises(OutOfOrder, match="20260201000000_t20260201000000 was never applied here"):
                verb()
        assert [e.state for e in migrator.history()] == ["applied", "out of order", "applied"]
        migrator.goto(20260101000000)  # the way out that the hint shows
        assert [r.version for r in migrator.up()] == [20260201000000, 20260301000000]


def test_a_failure_leaves_the_version_before_or_dirty_with_the_way_out(migrator: Migrator, url: str) -> None:
    world(url).fail_on = "make the index of t2: label"
    if migrator.is_transactional:
        with pytest.raises(MigrationFailed) as failed:
            migrator.up()
        assert str(failed.value) == (
            "0002_t2 failed on its way up: cannot make the index of t2: label "
            "(rolled back: the database is at version 1, clean)"
        )
        assert (where(migrator), world(url).log) == ((1, False), made(1))
    else:
        with pytest.raises(Dirty) as dirty:
            migrator.up()
        assert (dirty.value.version, dirty.value.target) == (1, 2)
        assert str(dirty.value) == (
            "0002_t2 stopped half-way up: cannot make the index of t2: label (to run it again: "
            "`dbkit migrate force 1`, then `dbkit migrate up`; mended by hand to its end: `dbkit migrate force 2`)"
        )
        assert migrator.version() == Version(1, dirty=True, target=2)
        assert [e.state for e in migrator.history()] == ["applied", "dirty", "pending"]
        for verb in (migrator.up, migrator.down, lambda: migrator.steps(1), lambda: migrator.goto(0)):
            with pytest.raises(Dirty, match=r"0002_t2 stopped half-way up \(to run it again"):
                verb()
        migrator.force(1)
    world(url).fail_on = None
    assert [r.version for r in migrator.up()] == [2, 3]
    assert world(url).log == made(1, 2, 3)


def test_a_dirty_ones_plan_says_what_is_done(url: str, path: Path) -> None:
    world(url).fail_on = "make the index of t2: label"
    with Migrator(url, path) as migrator:
        with pytest.raises(MigrationFailed if migrator.is_transactional else Dirty):
            migrator.up()
        first, *others = (part.words for step in migrator.plan() for part in step.parts)
        assert first == ("create t2" if migrator.is_transactional else "create t2: done already")
        assert others == [*made(2, 3)[1:]]


def test_the_way_back_can_fail_too(url: str, path: Path) -> None:
    with Migrator(url, path) as migrator:
        migrator.up()
        world(url).fail_on = "drop t3"
        with pytest.raises(MigrationFailed if migrator.is_transactional else Dirty) as caught:
            migrator.down()
        if migrator.is_transactional:
            assert where(migrator) == (3, False)
        else:
            assert "`dbkit migrate force 3`, then `dbkit migrate goto 2`" in str(caught.value)
            assert migrator.version() == Version(3, dirty=True, target=2)
            migrator.force(3)
        world(url).fail_on = None
        assert [r.version for r in migrator.down()] == [3, 2, 1]


def test_what_the_migration_s_own_code_raises_is_named_without_its_words(url: str, tmp_path: Path) -> None:
    text = "def up(m):\n    m.sql('x', on='sql'); m.mongo({'x': 1}, on='fakedoc')\n    raise ValueError('secret')\n\ndef down(m): ..."
    (tmp_path / "0001_a.py").write_text(text, encoding="utf-8")
    with Migrator(url, tmp_path) as migrator, pytest.raises(MigrationError) as caught:
        migrator.up()
    assert "ValueError in line 3" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert isinstance(caught.value.__cause__, ValueError)


def test_where_nothing_was_sent_nothing_is_dirty(url: str, tmp_path: Path) -> None:
    (tmp_path / "0001_a.py").write_text("def up(m): 1 / 0\ndef down(m): ...\n", encoding="utf-8")
    with Migrator(url, tmp_path) as migrator:
        with pytest.raises(MigrationFailed, match="ZeroDivisionError in line 1"):
            migrator.up()
        assert where(migrator) == (0, False)


def test_force_believes_and_records_the_files_as_they_are(migrator: Migrator, path: Path) -> None:
    assert migrator.force(2) == Version(2, dirty=False, target=2)
    assert [(e.state, e.duration_ms) for e in migrator.history()] == [
        ("applied", 0),
        ("applied", 0),
        ("pending", None),
    ]
    (path / "0001_t1.py").write_text(STEP.replace("{n}", "11"), encoding="utf-8")
    assert migrator.history()[0].state == "edited"
    migrator.force(2)
    assert migrator.history()[0].state == "applied"
    assert [r.version for r in migrator.up()] == [3]
    assert migrator.force(0).number == 0
    assert {e.state for e in migrator.history()} == {"pending"}


def test_everything_is_checked_before_anything_runs(url: str, path: Path) -> None:
    (path / "0004_bad.py").write_text("def up(m): ...\n", encoding="utf-8")
    with Migrator(url, path) as migrator:
        for text, said in (
            ("def up(m): ...\n", r"0004_bad.py: has no function down\(m\)"),
            ("def up(m): ...\ndef down(m) ...\n", "0004_bad.py: SyntaxError"),
            ("import nothing_there\n", "0004_bad.py: line 1: ModuleNotFoundError"),
            ("async def up(m): ...\ndef down(m): ...\n", "up is a coroutine or a generator"),
            ("def up(m): ...\ndef down(m): yield\n", "down is a coroutine or a generator"),
            ("transactional = 1\ndef up(m): ...\ndef down(m): ...\n", "transactional is True or False"),
        ):
            (path / "0004_bad.py").write_text(text, encoding="utf-8")
            with pytest.raises(BadMigration, match=said):
                migrator.up()
        (path / "0004_bad.py").unlink()
        other = "sql" if migrator.language == "mongodb" else "json"
        variant = ".mongodb" if other == "json" else ""
        for direction in ("up", "down"):
            (path / f"0004_x{variant}.{direction}.{other}").write_text("[]", encoding="utf-8")
        with pytest.raises(BadMigration, match=f"0004_x has no form for {migrator.backend}"):
            migrator.up()
        assert where(migrator) == (0, False)
        assert world(url).log == []


def test_sql_and_commands_in_files(tmp_path: Path) -> None:
    (tmp_path / "0001_a.up.sql").write_text("CREATE TABLE a;\nCREATE TABLE b", encoding="utf-8")
    (tmp_path / "0001_a.down.sql").write_text("DROP TABLE a", encoding="utf-8")
    (tmp_path / "0001_a.mongodb.up.json").write_text('[{"create": "a"}, {"create": "b"}]', encoding="utf-8")
    (tmp_path / "0001_a.mongodb.down.json").write_text('{"drop": "a"}', encoding="utf-8")
    url = f"fake:///{next(NAMES)}"
    with Migrator(url, tmp_path) as migrator:
        migrator.up()
        assert world(url).log == ["CREATE TABLE a", "CREATE TABLE b"]
        migrator.down()
        (tmp_path / "0001_a.down.sql").write_text("-- dbkit: transactional = maybe\n", encoding="utf-8")
        migrator.force(1)
        with pytest.raises(BadMigration, match=r"0001_a.down.sql: the directive is not known"):
            migrator.down()
        (tmp_path / "0001_a.down.sql").write_text("DROP TABLE a; COMMIT", encoding="utf-8")
        migrator.force(1)
        with pytest.raises(BadMigration, match="statement 2 begins or ends a transaction"):
            migrator.down()
        (tmp_path / "0001_a.down.sql").write_text(
            "-- dbkit: transactional = false\nCOMMIT;", encoding="utf-8"
        )
        migrator.force(1)
        world(url).log.clear()
        world(url).kill_at = world(url).calls + 6
        with pytest.raises(Killed):
            migrator.down()
        world(url).kill_at = None
        assert migrator.version() == Version(1, dirty=True, target=0)


def test_the_lock_is_waited_for_and_nobody_runs_twice(url: str, path: Path) -> None:
    with Migrator(url, path, lock_timeout_s=3) as one, Migrator(url, path) as other:
        world(url).is_locked = True
        with pytest.raises(Locked, match="another migrator ran for 3 s"):
            one.up()
        world(url).is_locked = False
        if one.is_transactional:
            # As on SQLite, where a step's own transaction is the lock: the other one comes between two of them.
            world(url).before_transaction = [lambda: None, lambda: other.steps(1)]
            assert [r.version for r in one.up()] == [1, 3]
            assert world(url).log == made(1, 2, 3)
            world(url).before_transaction = [other.down]
            with pytest.raises(NoSuchVersion):
                one.steps(-3)
            world(url).before_transaction = [lambda: None, other.up]
            assert [r.version for r in one.steps(2)] == [1]  # where it would lead to is passed already
            assert where(one) == (3, False)


def test_somebody_who_took_the_lock_over_stops_this_one(path: Path) -> None:
    url = f"fakedoc:///{next(NAMES)}"
    (path / "0002_t2.py").write_text(
        "from tests.migrations.fake import server\n"
        f"w = server({url.rpartition('/')[2]!r})\n"
        "def up(m):\n    m.mongo({'x': 1}, on='fakedoc')\n    w.state = w.state.changed()\n\ndef down(m): ...\n",
        encoding="utf-8",
    )
    with Migrator(url, path) as migrator, pytest.raises(Locked, match="somebody else changed the state"):
        migrator.up()


@pytest.mark.parametrize("direction", ["up", "down"])
def test_killed_at_any_call_it_is_clean_or_dirty_and_the_commands_mend_it(
    url: str, path: Path, direction: str
) -> None:
    outcomes = {"clean": 0, "dirty": 0}
    with Migrator(url, path) as migrator:
        for k in itertools.count():
            there = world(url)
            there.state, there.log, there.kill_at = None, [], None
            if direction == "down":
                migrator.up()
            there.calls, there.kill_at = 0, k
            try:
                migrator.up() if direction == "up" else migrator.down()
                break
            except Killed:
                pass
            there.kill_at = None
            number, dirty = where(migrator)
            if direction == "up" and migrator.is_transactional:
                assert there.log == made(*range(1, number + 1))
            outcomes["dirty" if dirty else "clean"] += 1
            if dirty:
                assert not migrator.is_transactional
                with pytest.raises(Dirty) as caught:
                    migrator.up()
                assert f"`dbkit migrate force {number}`" in str(caught.value)
                migrator.force(number)
            migrator.up() if direction == "up" else migrator.down()
            assert where(migrator) == (3 if direction == "up" else 0, False)
            if direction == "up":
                assert there.log == made(1, 2, 3)
    assert outcomes["clean"] > 5
    assert (outcomes["dirty"] > 5) is (not migrator.is_transactional)


def test_stop_ends_before_the_next_statement(url: str, path: Path) -> None:
    heard: list[Event] = []

    def hear(event: Event) -> None:
        heard.append(event)
        if event.words == "create t2":
            opened.stop()

    with Migrator(url, path, on_event=hear) as opened:
        with pytest.raises(MigrationFailed if opened.is_transactional else Dirty, match="it was stopped"):
            opened.up()
        assert where(opened) == (1, not opened.is_transactional)
        kinds = [(e.kind, e.words) for e in heard]
        assert kinds[:4] == [
            ("begin", "0001_t1 up"),
            ("operation", "create t1"),
            ("operation", "make the index of t1: label"),
            ("end", "0001_t1 up"),
        ]
        assert kinds[-1] == ("operation", "create t2")


def test_what_cannot_be_migrated_or_is_not_open(path: Path) -> None:
    with pytest.raises(Unsupported, match="create_schema"):
        Migrator("memory://", path)
    migrator = Migrator(f"fake:///{next(NAMES)}", path)
    with pytest.raises(ConfigurationError, match="not open"):
        migrator.up()
    with migrator, pytest.raises(InvalidInput, match="steps takes an int"):
        migrator.steps(True)
    with migrator:
        assert "fake" in repr(migrator)
        assert str(migrator.server) == "Fake 1"
        assert (migrator.backend, migrator.language) == ("fake", "sql")
    assert issubclass(MigrationError, DbkitError)
