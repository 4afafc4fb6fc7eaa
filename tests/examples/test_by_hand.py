"""Each example is a program: by hand, with a URL or without one."""

import subprocess
import sys
from pathlib import Path

import pytest

import examples

FOLDER = Path(next(iter(examples.__path__)))


def run(folder: Path, name: str, *arguments: str) -> str:
    command = [sys.executable, str(FOLDER / name), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False, cwd=folder)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stderr == ""
    assert list(folder.iterdir()) == []
    return ran.stdout


def test_the_tour(tmp_path: Path) -> None:
    assert run(tmp_path, "quickstart.py") == run(tmp_path, "quickstart.py", "memory://")


def test_a_queue(tmp_path: Path) -> None:
    assert "100 of 100 jobs claimed, 0 twice, 0 lost" in run(tmp_path, "job_queue.py", "--jobs", "100")


@pytest.mark.slow
def test_transfers_by_processes_that_are_killed(tmp_path: Path) -> None:
    said = run(tmp_path, "transfer_money.py", "--workers", "2", "--transfers", "4")
    assert "1 workers finished, 1 were killed" in said
    assert said.endswith("total before 20000.00, after 20000.00: kept\n")


@pytest.mark.parametrize(
    "name", ["transfer_money.py", "job_queue.py", "git_history.py", "compare_backends.py"]
)
def test_help_is_what_the_program_says_of_itself(tmp_path: Path, name: str) -> None:
    assert f"python examples/{name}" in run(tmp_path, name, "--help")
