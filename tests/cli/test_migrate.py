"""`dbkit migrate …`: every verb by the command, on every store; what it refuses, and by which exit code."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bson import json_util

from dbkit import connect
from dbkit.blog import Post, User
from dbkit.cli import migrate

from .conftest import Command

HISTORY = str(Path(__file__).resolve().parents[2] / "examples" / "migrations")
NOTES = """
from dbkit import Entity, Mapped, field


class Note(Entity, name="notes"):
    text: Mapped[str] = field(default="")
{more}

ENTITIES = [Note]
"""
STEP = """
from dbkit import Entity, Mapped, field
from dbkit.migrations import Migration

transactional = {transactional}


class Note(Entity, name="notes"):
    text: Mapped[str] = field(default="")


def up(m: Migration) -> None:
    m.create_collection(Note)
    {after}


def down(m: Migration) -> None:
    m.drop_collection(Note)
"""


class TestVerbs:
    """The blog's six migrations, by the command, on every store."""

    def test_up_and_down_again(self, dbkit: Command, url: str) -> None:
        at = ["--url", url, "--path", HISTORY]
        assert dbkit.json("migrate", "version", *at)["pending"][0] == "0001_create"
        planned = dbkit.json("migrate", "plan", *at)["steps"]
        assert [step["version"] for step in planned] == [1, 2, 3, 4, 5, 6]
        assert all(part["words"] for step in planned for part in step["parts"])
        assert dbkit.json("migrate", "version", *at)["version"] == 0

        ran = dbkit.json("migrate", "up", *at)
        assert (ran["version"], ran["dirty"]) == (6, False)
        assert [(r["version"], r["direction"]) for r in ran["ran"]] == [(n, "up") for n in range(1, 7)]
        assert dbkit.done("migrate", "up", *at) == "nothing to do: at version 6\n"
        assert dbkit.json("migrate", "version", *at) == {
            "version": 6,
            "dirty": False,
            "target": 6,
            "pending": [],
        }
        differs = dbkit.json("migrate", "diff", "--check", *at, "--entities", dbkit.entities)
        assert differs["differs"] is False

        states = dbkit.json("migrate", "history", *at)["migrations"]
        assert {state["state"] for state in states} == {"applied"}
        assert all(state["applied_at"] and state["duration_ms"] >= 0 for state in states)

        assert dbkit.json("migrate", "steps", "-1", *at)["version"] == 5
        assert dbkit.json("migrate", "goto", "3", *at)["version"] == 3
        assert dbkit.json("migrate", "steps", "2", *at)["version"] == 5
        assert dbkit.json("migrate", "down", "--yes", *at)["version"] == 0
        assert dbkit.json("migrate", "plan", "--down", *at)["steps"] == []

    @pytest.mark.parametrize(
        ("step", "said"),
        [
            ("raise RuntimeError('secret words')", "RuntimeError in line 14"),
            (
                "m.add_index(Note.txet)",
                "AttributeError in line 14: Note has no field 'txet': did you mean 'text'?",
            ),
            ("1 / 0", "ZeroDivisionError in line 14"),
        ],
    )
    def test_what_a_step_raised_is_seen_when_asked_for(
        self, step: str, said: str, dbkit: Command, folder: Path
    ) -> None:
        (folder / "migrations").mkdir(exist_ok=True)
        (folder / "migrations" / "0001_a.py").write_text(
            STEP.format(transactional=True, after=step), encoding="utf-8"
        )
        result = dbkit("migrate", "up", "--url", "sqlite:///y.db")
        assert result.exit_code == 1
        assert said in result.stderr
        assert "secret" not in result.stderr
        assert "--debug shows the " in result.stderr
        shown = dbkit("migrate", "up", "--debug", "--url", "sqlite:///y.db").stderr
        assert "--debug" not in shown
        assert "Traceback" in shown

    def test_people_read_lines(self, dbkit: Command) -> None:
        at = ["--url", "sqlite:///x.db", "--path", HISTORY]
        planned = dbkit.done("migrate", "plan", "--steps", "1", "--url", "sqlite://", "--path", HISTORY)
        assert "0001_create up, in one transaction" in planned
        assert "CREATE TABLE users" in planned
        ran = dbkit.done("migrate", "goto", "2", *at).splitlines()
        assert [line.split()[:2] for line in ran[:2]] == [
            ["0001_create", "up"],
            ["0002_email_unique_without_case", "up"],
        ]
        assert ran[-1] == "at version 2"
        assert "4 to run: 0003_add_bio" in dbkit.done("migrate", "version", *at)
        lines = dbkit.done("migrate", "history", *at).splitlines()
        assert [line.split()[1] for line in lines] == ["applied"] * 2 + ["pending"] * 4


def test_two_processes_at_once_run_everything_once(folder: Path) -> None:
    at = ["migrate", "up", "--json", "--url", "sqlite:///both.db", "--path", HISTORY]
    command = [sys.executable, "-c", "import sys; from dbkit.cli import main; sys.exit(main())", *at]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder) for _ in range(2)]
    said = [json.loads(process.communicate(timeout=60)[0]) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert [one["version"] for one in said] == [6, 6]
    assert sorted(ran["version"] for one in said for ran in one["ran"]) == [1, 2, 3, 4, 5, 6]


class TestRefusals:
    def test_steps_beyond_the_end_do_nothing(self, dbkit: Command) -> None:
        at = ["--url", "sqlite:///x.db", "--path", HISTORY]
        assert dbkit.json("migrate", "steps", "7", *at, code=1)["error"] == "NoSuchVersion"
        assert dbkit.json("migrate", "steps", "-1", *at, code=1)["error"] == "NoSuchVersion"
        assert dbkit.json("migrate", "goto", "9", *at, code=1)["error"] == "NoSuchVersion"
        assert dbkit.json("migrate", "version", *at)["version"] == 0

    @pytest.mark.parametrize(
        "arguments",
        [
            ["goto"],
            ["goto", "-1"],
            ["steps", "many"],
            ["force", "x"],
            ["create"],
            ["up", "--lock-timeout", "-1"],
        ],
    )
    def test_usage(self, arguments: list[str], dbkit: Command) -> None:
        assert dbkit("migrate", *arguments, "--url", "sqlite:///x.db").exit_code == 2

    def test_plans_options_exclude_each_other(self, dbkit: Command) -> None:
        result = dbkit("migrate", "plan", "--down", "--to", "3", "--url", "sqlite:///x.db")
        assert (result.exit_code, "exclude each other" in result.stderr) == (2, True)

    def test_an_edited_file_is_named(self, dbkit: Command, folder: Path) -> None:
        step = _step(folder, "0001_notes", after="pass")
        dbkit.done("migrate", "up", "--url", "sqlite:///x.db")
        step.write_text(step.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
        said = dbkit.json("migrate", "up", "--url", "sqlite:///x.db", code=1)
        assert said["error"] == "EditedMigration"
        assert "0001_notes" in said["message"]

    def test_a_folder_that_is_not_there(self, dbkit: Command) -> None:
        result = dbkit("migrate", "up", "--url", "sqlite:///x.db")
        assert result.exit_code == 1
        assert "dbkit migrate create" in result.stderr
        assert dbkit.json("migrate", "version", "--url", "sqlite:///x.db")["version"] == 0

    def test_memory_has_no_history(self, dbkit: Command) -> None:
        result = dbkit("migrate", "up", "--url", "memory://", "--path", HISTORY)
        assert (result.exit_code, "create_schema()" in result.stderr) == (1, True)

    def test_a_failed_step_leaves_nothing_where_it_is_transactional(
        self, dbkit: Command, folder: Path
    ) -> None:
        at = ["--url", "sqlite:///x.db"]
        _step(folder, "0001_notes", after="pass")
        step = _step(folder, "0002_others", after="raise RuntimeError('on purpose')")
        step.write_text(step.read_text(encoding="utf-8").replace('"notes"', '"others"'), encoding="utf-8")
        # What ran before is told, and stays.
        assert dbkit.done("migrate", "up", *at, code=1) == "0001_notes  up\n"
        assert dbkit.json("migrate", "up", *at, code=1)["error"] == "MigrationFailed"
        found = dbkit.json("migrate", "version", *at)
        assert (found["version"], found["dirty"], found["pending"]) == (1, False, ["0002_others"])


def test_dirty_blocks_and_says_the_way_out(dbkit: Command, url: str, folder: Path) -> None:
    # On SQLite every operation of `m` can be part of a transaction, and is; what is left are SQL files that say otherwise.
    write = _sql_step if url.startswith("sqlite") else _python_step
    write(folder, fails=True)
    at = ["--url", url]
    result = dbkit("migrate", "up", *at)
    assert result.exit_code == 3
    assert "dbkit migrate force 0" in result.stderr
    assert "dbkit migrate up" in result.stderr
    assert dbkit.json("migrate", "up", *at, code=3)["error"] == "Dirty"
    assert dbkit.json("migrate", "version", *at, code=3)["dirty"] is True
    assert "dirty" in dbkit.done("migrate", "version", *at, code=3)
    assert dbkit.json("migrate", "plan", *at, code=3)["dirty"] is True
    write(folder, fails=False)
    assert dbkit.json("migrate", "force", "0", *at) == {"version": 0, "dirty": False}
    assert dbkit.json("migrate", "up", *at)["version"] == 1


# -- asking ----------------------------------------------------------------------------------------------------------------


def test_down_asks_on_a_terminal_only(dbkit: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = ["--url", "sqlite:///x.db"]
    _step(folder, "0001_notes", after="pass")
    dbkit.done("migrate", "up", *at)
    monkeypatch.setattr(migrate, "is_terminal", lambda: True)
    result = dbkit("migrate", "down", *at, typed="n\n")
    assert result.exit_code == 1
    assert "Undo all migrations of sqlite:///x.db, from 1 to 0" in result.output
    assert dbkit.json("migrate", "version", *at)["version"] == 1
    assert dbkit("migrate", "down", *at, typed="y\n").exit_code == 0
    dbkit.done("migrate", "up", *at)
    assert dbkit.json("migrate", "down", "--yes", *at)["version"] == 0


def test_a_signal_ends_the_work_between_two_statements(capsys: pytest.CaptureFixture[str]) -> None:
    class Work:
        stopped = 0

        def stop(self) -> None:
            self.stopped += 1

    work: Any = Work()
    before = signal.getsignal(signal.SIGTERM)
    with migrate._stopped_by_signals(work):
        signal.raise_signal(signal.SIGTERM)
        assert work.stopped == 1
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
    assert "once more" in capsys.readouterr().err


# -- files -----------------------------------------------------------------------------------------------------------------


def test_create_numbers_on(dbkit: Command, folder: Path) -> None:
    assert dbkit.json("migrate", "create", "add notes")["files"] == ["migrations/0001_add_notes.py"]
    made = dbkit.json("migrate", "create", "tune", "--sql")["files"]
    assert made == ["migrations/0002_tune.up.sql", "migrations/0002_tune.down.sql"]
    (named,) = dbkit.json("migrate", "create", "later", "--timestamp", "--path", "others")["files"]
    assert len(Path(named).name.partition("_")[0]) == 14


def test_diff_writes_the_migration_that_closes_the_difference(dbkit: Command, folder: Path) -> None:
    at = ["--url", "sqlite:///x.db"]
    both = [*at, "--entities", "notes_1:ENTITIES"]
    (folder / "notes_1.py").write_text(NOTES.format(more=""), encoding="utf-8")
    made = dbkit.json("migrate", "diff", "create", *both)
    assert (made["differs"], made["losses"]) == (True, [])
    assert made["files"] == ["migrations/0001_create.py"]
    assert dbkit.json("migrate", "diff", "--check", *both, code=4)["differs"] is True
    twice = dbkit.json("migrate", "diff", "again", *both, code=1)
    assert twice["message"] == "0001_create did not run here, and would be written again"
    dbkit.done("migrate", "up", *at)
    assert "as the entities declare it" in dbkit.done("migrate", "diff", *both)
    assert dbkit.json("migrate", "diff", "--check", *both)["differs"] is False


def test_diff_asks_about_renames_and_loses_nothing_unasked(
    dbkit: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = ["--url", "sqlite:///x.db"]
    for number, more in ((1, ""), (2, "    body: Mapped[str | None] = field(default=None)\n")):
        (folder / f"notes_{number}.py").write_text(NOTES.format(more=more), encoding="utf-8")
    renamed = (folder / "notes_1.py").read_text(encoding="utf-8").replace("text:", "words:")
    (folder / "notes_3.py").write_text(renamed, encoding="utf-8")
    dbkit.done("migrate", "diff", "create", *at, "--entities", "notes_1:ENTITIES")
    dbkit.done("migrate", "up", *at)

    entities = ["--entities", "notes_3:ENTITIES"]
    lossy = dbkit.json("migrate", "diff", "words", *at, *entities, code=1)
    assert lossy["losses"]
    assert "files" not in lossy
    result = dbkit("migrate", "diff", "words", *at, *entities, "--rename", "notes.text")
    assert (result.exit_code, "OLD=NEW" in result.stderr) == (2, True)
    with monkeypatch.context() as patch:
        patch.setattr("dbkit.cli.diff.is_terminal", lambda: True)
        result = dbkit("migrate", "diff", "words", *at, *entities, typed="7\n1\n")
    assert result.exit_code == 0, result.output
    source = (folder / "migrations" / "0002_words.py").read_text(encoding="utf-8")
    assert 'was="text"' in source
    (folder / "migrations" / "0002_words.py").unlink()
    made = dbkit.json("migrate", "diff", "words", *at, *entities, "--rename", "notes.text=words")
    assert 'was="text"' in made["source"]
    dbkit.done("migrate", "up", *at)
    assert dbkit.json("migrate", "diff", "--check", *at, *entities)["differs"] is False


def test_what_schema_prints_makes_the_schema(dbkit: Command, url: str) -> None:
    at = ["--url", url, "--entities", dbkit.entities]
    found = dbkit.json("schema", *at)
    with connect(url, entities=[User, Post]) as db, db.native() as connection:
        for statement in found["statements"]:
            if found["language"] == "sql":
                connection.execute(statement)
            else:
                connection[0].command(json_util.loads(statement))
    with connect(url, entities=[User, Post]) as db:
        db.create_schema()
        assert db.counts(User, Post) == [0, 0]
    text = dbkit.done("schema", *at)
    assert text.count(";\n") == len(found["statements"]) if found["language"] == "sql" else json.loads(text)


def _python_step(folder: Path, *, fails: bool) -> None:
    _step(folder, "0001_notes", transactional=False, after="raise RuntimeError('x')" if fails else "pass")


def _sql_step(folder: Path, *, fails: bool) -> None:
    up = "-- dbkit: transactional = false\nCREATE TABLE IF NOT EXISTS notes (id TEXT);\n"
    path = folder / "migrations" / "0001_notes.up.sql"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{up}INSERT INTO nowhere VALUES (1);\n" if fails else up, encoding="utf-8")
    path.with_name("0001_notes.down.sql").write_text("DROP TABLE notes;\n", encoding="utf-8")


def _step(folder: Path, stem: str, *, after: str, transactional: bool = True) -> Path:
    path = folder / "migrations" / f"{stem}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(STEP.format(transactional=transactional, after=after), encoding="utf-8")
    return path
