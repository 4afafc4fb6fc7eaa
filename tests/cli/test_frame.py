"""Options and their sources, exit codes, errors in two lines, and that no password is ever shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dbkit import BadURL, Dirty, SchemaDrift, Unavailable
from dbkit.cli.failures import Misuse, Secrets, code_of
from dbkit.url import parse_url

from .conftest import Command

PASSWORD = "hunter2-Geheim!"
PROJECT = '[tool.dbkit]\nentities = "{models}:ENTITIES"\npath = "steps"\nurl = "memory://"\n'


def test_help_is_quick_and_needs_no_driver(folder: Path) -> None:
    code = (
        "import sys; sys.argv = ['dbkit', '--help']\n"
        "from dbkit.cli import main\n"
        "assert main() == 0\n"
        "print(sorted({'sqlalchemy', 'alembic', 'psycopg', 'pymongo', 'aiosqlite'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
    for name in ("doctor", "schema", "explain", "shell", "demo"):
        assert name in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["doctor", "--url", "sqlite://"], 0, "SQLite"),
        (["doctor", "--url", f"postgresql://u:{PASSWORD}@127.0.0.1:1/x?timeout_s=1"], 1, "cannot be reached"),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_exit_codes_of_a_process(arguments: list[str], code: int, said: str, folder: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "DBKIT_URL"}
    command = [sys.executable, "-c", "import sys; from dbkit.cli import main; sys.exit(main())", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env=environment, cwd=folder
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr


def test_codes() -> None:
    assert [code_of(e) for e in (Unavailable("x"), ValueError("x"))] == [1, 1]
    assert [code_of(e) for e in (Misuse("x"), BadURL("x"))] == [2, 2]
    assert [code_of(Dirty("x")), code_of(SchemaDrift("x"))] == [3, 4]


# -- where things come from ------------------------------------------------------------------------------------------------


def test_the_url_comes_from_the_option_then_the_environment_then_the_project(
    dbkit: Command, folder: Path
) -> None:
    assert dbkit.json("doctor")["url"] is None
    (folder / "pyproject.toml").write_text(PROJECT.format(models=dbkit.models), encoding="utf-8")
    assert dbkit.json("doctor")["backend"] == "memory"
    assert dbkit.json("doctor", DBKIT_URL="sqlite://")["backend"] == "sqlite"
    assert dbkit.json("doctor", "--url", "sqlite://", DBKIT_URL="memory://")["url"] == "sqlite://"


def test_the_project_is_found_from_a_folder_below(
    dbkit: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "pyproject.toml").write_text(PROJECT.format(models=dbkit.models), encoding="utf-8")
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    assert dbkit.json("doctor")["entities"] == ["User", "Post"]
    assert dbkit.json("migrate", "create", "x")["files"] == [f"{folder.as_posix()}/steps/0001_x.py"]
    project = PROJECT.format(models=dbkit.models).replace("memory://", "sqlite:///here.db")
    (folder / "pyproject.toml").write_text(project, encoding="utf-8")
    dbkit.done("migrate", "up")
    assert dbkit.json("check", code=4)["entities"] == ["User", "Post"]
    assert (folder / "here.db").exists()
    assert not (folder / "below" / "here.db").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[tool.dbkit]\nentites = "a:B"\n', "did you mean 'entities'?"),
        ("[tool.dbkit]\npath = 3\n", "must be a text"),
        ("[tool]\ndbkit = 3\n", "no table"),
        ("[tool\n", "cannot be read"),
        (f'[tool.dbkit]\nurl = "postgresql://u:{PASSWORD}@h/x"\n', "holds a password"),
    ],
)
def test_a_project_file_that_is_wrong(content: str, said: str, dbkit: Command, folder: Path) -> None:
    (folder / "pyproject.toml").write_text(content, encoding="utf-8")
    result = dbkit("doctor")
    assert result.exit_code == 2
    assert said in result.stderr
    assert PASSWORD not in result.output


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("nowhere:ENTITIES", "no module 'nowhere'"),
        ("{m}:ENTITES", "did you mean 'ENTITIES'?"),
        ("{m}:NOTHING", "is empty"),
        ("{m}:User", "a list or tuple of entity classes"),
        ("{m}", "does not name a list"),
        ("needs_more:ENTITIES", "it needs not_installed_here"),
        ("fails:ENTITIES", "importing fails failed: ZeroDivisionError"),
    ],
)
def test_entities_that_cannot_be_had(named: str, said: str, dbkit: Command, folder: Path) -> None:
    (folder / "needs_more.py").write_text("import not_installed_here\n", encoding="utf-8")
    (folder / "fails.py").write_text("1 / 0\n", encoding="utf-8")
    result = dbkit("explain", "User", "--url", "memory://", "--entities", named.format(m=dbkit.models))
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) <= 2


def test_what_is_missing_is_asked_for(dbkit: Command) -> None:
    result = dbkit("explain", "User")
    assert (result.exit_code, result.stderr.splitlines()[0]) == (2, "dbkit: which entities?")
    result = dbkit("explain", "User", "--entities", dbkit.entities)
    assert (result.exit_code, result.stderr.splitlines()[0]) == (2, "dbkit: which database?")


# -- errors ----------------------------------------------------------------------------------------------------------------


def test_an_error_is_two_lines_and_as_json_a_document(dbkit: Command) -> None:
    arguments = [
        "explain",
        "User",
        "--url",
        "memory://",
        "--entities",
        dbkit.entities,
        "--where",
        "usernme=x",
    ]
    result = dbkit(*arguments)
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "dbkit: User has no field 'usernme'",
        "  did you mean 'username'? valid: bio, created_at, email, id, updated_at, username",
    ]
    said = dbkit.json(*arguments, code=2)
    assert {
        "error": "Misuse",
        "exit_code": 2,
        "message": "User has no field 'usernme'",
    }.items() <= said.items()
    said = dbkit.json("nonsense", code=2)
    assert (said["error"], said["exit_code"]) == ("Misuse", 2)


def test_an_unexpected_error_hides_its_traceback_until_it_is_asked_for(
    dbkit: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(f"cannot connect to postgresql://u:{PASSWORD}@h/x with {PASSWORD}")

    monkeypatch.setattr("dbkit.cli.doctor._look", fail)
    url = f"postgresql://u:{PASSWORD}@h/x".replace("!", "%21")
    result = dbkit("doctor", "--url", url)
    assert result.exit_code == 1
    assert result.stderr.startswith(
        "dbkit: unexpected RuntimeError: cannot connect to postgresql://u:***@h/x"
    )
    assert "--debug" in result.stderr
    assert "Traceback" not in result.stderr
    result = dbkit("doctor", "--url", url, "--debug")
    assert "Traceback" in result.stderr
    said = json.loads(dbkit("doctor", "--url", url, "--debug", "--json").stdout)
    assert "Traceback" in said["traceback"]


def test_secrets_are_taken_out_whatever_brought_them() -> None:
    secrets = Secrets()
    secrets.learn(parse_url("postgresql://u:p%40ss@h/x?sslpassword=another"))
    text = "p@ss p%40ss another passage postgresql://me:some@thing@h/x?password=third&b=1"
    assert secrets.scrub(text) == "*** *** *** passage postgresql://me:***@h/x?password=***&b=1"


@pytest.mark.parametrize(
    "arguments",
    [
        ["doctor", f"postgresql://u:{PASSWORD}@h/x"],
        ["doctor", "--url", f"postgresql://u:{PASSWORD}/@h/x"],
        ["doctor", "--url", f"postgresql://u:{PASSWORD}@127.0.0.1:1/x?timeout_s=1"],
        ["doctor", "--url", f"mongodb://u:{PASSWORD}@127.0.0.1:1/x?timeout_s=0.2"],
        ["doctor", "--url", f"nonsense://u:{PASSWORD}@h/x"],
        ["doctor", "--url", f"postgresql://u:{PASSWORD}@h/x?nonsense={PASSWORD}"],
        ["demo", "--url", f"postgresql://u:{PASSWORD}@127.0.0.1:1/x?timeout_s=1"],
        ["--url", f"postgresql://u:{PASSWORD}@h/x", "doctor"],
    ],
)
@pytest.mark.parametrize("more", [[], ["--debug"], ["--json"]])
def test_no_password_is_shown(arguments: list[str], more: list[str], dbkit: Command) -> None:
    result = dbkit(*arguments, *more)
    assert result.exit_code in {1, 2}
    assert PASSWORD not in result.output
    assert "Geheim" not in result.output
