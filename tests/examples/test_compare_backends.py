"""The demo: what it shows, what it writes, and its exit codes."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import examples
from dbkit.testing.servers import Server
from examples.comparison import answers, figure
from examples.comparison.answers import Answer
from examples.comparison.control import Caught
from examples.comparison.outcome import Line, Outcome
from examples.comparison.refusals import Refusal
from examples.comparison.stores import Missing
from tests.examples import odd_repository

PROGRAM = Path(next(iter(examples.__path__))) / "compare_backends.py"


def run(folder: Path, *arguments: str, **environment: str) -> tuple[subprocess.CompletedProcess[str], Any]:
    written = folder / "demo.json"
    command = [sys.executable, str(PROGRAM), "--quick", "--json", str(written), *arguments]
    ran = subprocess.run(
        command,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"} | environment,
    )
    return ran, json.loads(written.read_text(encoding="utf-8")) if written.exists() else None


Ran = tuple[subprocess.CompletedProcess[str], Any]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, postgres_server: Server, mongo_server: Server) -> Ran:
    folder = tmp_path_factory.mktemp("demo")
    found = run(
        folder,
        DEMO_REPO=str(odd_repository.odd(folder / "odd.git")),
        DBKIT_TEST_POSTGRES_URL=postgres_server.url,
        DBKIT_TEST_MONGODB_URL=mongo_server.url,
    )
    assert (folder / "demo.png").read_bytes().startswith(b"\x89PNG")
    return found


@pytest.mark.server
@pytest.mark.slow
class TestOnAllStores:
    def test_all_is_the_same(self, ran: Ran) -> None:
        process, data = ran
        assert process.returncode == 0, process.stdout + process.stderr
        assert {question["verdict"] for question in data["questions"]} == {"same"}
        assert len(data["questions"]) == 10
        assert process.stdout.startswith("dbkit: one program on several stores")

    def test_the_control_is_caught_and_what_cannot_be_is_refused(self, ran: Ran) -> None:
        _, data = ran
        assert all(control["by"] for control in data["control"])
        assert {"Unsupported", "InvalidInput", "TooLarge"} <= {
            refusal["error"] for refusal in data["refused"]
        }

    def test_a_repository_of_oddities_is_answered_for(self, ran: Ran) -> None:
        _, data = ran
        answers = data["questions"][-1]["answers"]
        assert len(answers) == 4
        assert answers["sqlite"].startswith("36 commits #")

    def test_it_says_what_the_call_becomes_and_costs(self, ran: Ran) -> None:
        _, data = ran
        statements = {call["label"]: call["statement"] for call in data["call"]}
        assert "GROUP BY" in statements["postgresql"]
        assert "$group" in statements["mongodb"]
        assert [cost["call"] for cost in data["client_cpu"]] == ["get", "page of 50"] * 3

    def test_a_surrogate_is_called_one(self, ran: Ran, mongo_server: Server) -> None:
        process, _ = ran
        assert ("surrogate*" in process.stdout) == mongo_server.is_surrogate

    def test_no_line_is_wider_than_a_hundred_columns(self, ran: Ran) -> None:
        process, _ = ran
        assert max(map(len, process.stdout.splitlines()[2:])) <= 100


def test_a_server_that_cannot_be_had_is_not_run_and_told_by_the_exit_code(tmp_path: Path) -> None:
    url = "postgresql://127.0.0.1:1/none"
    process, data = run(tmp_path, "--stores", "memory,postgresql", DBKIT_TEST_POSTGRES_URL=url)
    assert process.returncode == 2, process.stdout + process.stderr
    assert "not run" in process.stdout
    assert [missing["label"] for missing in data["not_run"]] == ["postgresql"]


def test_something_is_on_the_screen_within_a_second() -> None:
    started = time.monotonic()
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), "--stores", "memory"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        took = time.monotonic() - started
        process.kill()
    # Loose, as the machine that runs the tests may be busy.
    assert took < 5


def test_an_unknown_store_is_named(tmp_path: Path) -> None:
    process, _ = run(tmp_path, "--stores", "memory,oracle")
    assert process.returncode == 2
    assert "oracle: no store" in process.stderr


class TestOutcome:
    def outcome(self, *said: Answer, expected: Answer | None = None) -> Outcome:
        given = {f"store {n}": answer for n, answer in enumerate(said)}
        line = Line("how many", "", given, expected, answers.verdict(given, expected))
        return Outcome(list(given), [], [], lines=[line])

    def test_the_same_is_0(self) -> None:
        assert self.outcome(answers.of("3"), answers.of("3"), expected=answers.of("3")).exit_code == 0

    def test_types_count(self) -> None:
        found = self.outcome(answers.of("3", 3), answers.of("3", 3.0), answers.of("3", 3))
        assert found.exit_code == 1
        assert [found.lines[0].is_other(f"store {n}") for n in range(3)] == [False, True, False]

    def test_what_all_have_wrong_is_1_where_plain_python_knows_better(self) -> None:
        found = self.outcome(answers.of("3"), answers.of("3"), expected=answers.of("4"))
        assert found.exit_code == 1
        assert found.lines[0].is_other("store 0")

    def test_a_failure_is_no_other_stores_answer(self) -> None:
        assert self.outcome(answers.failed(ValueError()), answers.failed(ValueError())).exit_code == 1

    def test_a_control_that_is_not_caught_is_1(self) -> None:
        found = self.outcome(answers.of("3"))
        found.control = [Caught("nulls last", [])]
        assert found.exit_code == 1

    def test_what_went_through_and_should_not_have_is_1(self) -> None:
        found = self.outcome(answers.of("3"))
        found.refusals = [Refusal("db.transaction()", "mongomock", "", "it went through", "")]
        assert found.exit_code == 1

    def test_a_missing_store_is_2_unless_something_differs(self) -> None:
        found = self.outcome(answers.of("3"))
        found.missing = [Missing("mongodb", "MongoDB", "not there")]
        assert found.exit_code == 2
        found.control = [Caught("nulls last", [])]
        assert found.exit_code == 1

    def test_a_figure_without_costs_and_with_differences(self, tmp_path: Path) -> None:
        found = self.outcome(answers.of("3"), answers.of("4"))
        found.missing = [Missing(label, label, "not there") for label in found.asked]
        figure.draw(found, tmp_path / "figure.png")
        assert (tmp_path / "figure.png").stat().st_size > 1_000
