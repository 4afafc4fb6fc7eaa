"""The built wheel, in a fresh environment, without this checkout: what a user gets from `pip install dbkit-stores`.

Only the core's own dependencies are installed, so it also shows that memory and SQLite need no extra.
"""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"dbkit", "dbkit_memory", "dbkit_mongo", "dbkit_sql"}

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path) -> Path:
    """The interpreter of an environment that has the wheel, and what it asks for, and nothing else."""
    environment = wheel.parent / "environment"
    run(sys.executable, "-m", "venv", environment, cwd=wheel.parent)
    python = environment / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel, cwd=wheel.parent)
    return python


def test_it_holds_all_packages_with_their_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    for package, folder in ((p, ROOT / p if p == "dbkit" else ROOT / "backends" / p) for p in PACKAGES):
        sources = {f"{package}/{path.relative_to(folder).as_posix()}" for path in folder.rglob("*.py")}
        assert sources <= names


def test_memory_and_sqlite_need_no_extra(python: Path, tmp_path: Path) -> None:
    code = """
import importlib.metadata as m
import dbkit, dbkit_memory, dbkit_sql
backends = {e.name: e for e in m.entry_points(group="dbkit.backends")}
assert {"memory", "sqlite", "postgresql", "mongodb", "mongomock"} <= backends.keys(), backends
for name in ("memory", "sqlite"):
    backends[name].load()
import sys
print(sorted({"psycopg", "pymongo", "pytest"} & sys.modules.keys()))
"""
    assert run(python, "-I", "-W", "error", "-c", code, cwd=tmp_path).strip() == "[]"


def test_the_command_says_which_extra_it_needs(python: Path, tmp_path: Path) -> None:
    command = python.with_name("dbkit.exe" if sys.platform == "win32" else "dbkit")
    done = subprocess.run(
        [command, "--help"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr == "the dbkit command needs typer: pip install 'dbkit-stores[cli]'\n"


def test_the_readmes_first_example_runs(python: Path, tmp_path: Path) -> None:
    example = re.search(
        r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert example is not None, "README.md has no Python example"
    script = tmp_path / "example.py"
    script.write_text(example[1], encoding="utf-8")
    run(python, "-I", "-W", "error", script, cwd=tmp_path)
