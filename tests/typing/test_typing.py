"""What mypy and pyright, both strict, make of uses of the public face.

`good.py` has uses that must pass; in `bad.py` each line marked `# E:` must be an error, and no other line may be one.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FILES = ("models.py", "good.py", "bad.py")
MARK = re.compile(r"# E: \w")

Lines = dict[str, set[int]]
Messages = list[str]


def marked() -> Lines:
    return {
        name: {n for n, line in enumerate((HERE / name).read_text().splitlines(), 1) if MARK.search(line)}
        for name in FILES
    }


def run(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=HERE, capture_output=True, text=True, check=False, timeout=170
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def mypy(folder: Path, *plugins: str) -> tuple[Lines, Messages]:
    config = folder / "mypy.ini"
    config.write_text(
        "[mypy]\nstrict = true\nexplicit_package_bases = true\nfollow_imports = silent\n"
        f"mypy_path = {ROOT}:{HERE}\nplugins = {', '.join(plugins)}\n"
    )
    cache = ROOT / ".mypy_cache" / "-".join(["typing", *plugins])
    out = run("mypy", f"--config-file={config}", f"--cache-dir={cache}", *FILES)
    found: Lines = {name: set() for name in FILES}
    messages: Messages = []
    for name, line, text in re.findall(r"^(\w+\.py):(\d+): error: (.*)$", out, re.MULTILINE):
        found[name].add(int(line))
        messages.append(f"{name}:{line}: {text}")
    return found, messages


def mypy_plain(folder: Path) -> tuple[Lines, Messages]:
    return mypy(folder)


def mypy_with_plugins(folder: Path) -> tuple[Lines, Messages]:
    return mypy(folder, "dbkit.mypy", "pydantic.mypy")


def pyright(folder: Path) -> tuple[Lines, Messages]:
    config = folder / "pyrightconfig.json"
    prefix = Path(sys.prefix)
    config.write_text(
        json.dumps(
            {
                "include": [str(HERE / name) for name in FILES],
                "extraPaths": [str(ROOT), str(HERE)],
                "typeCheckingMode": "strict",
                "pythonVersion": "3.11",
                "venvPath": str(prefix.parent),
                "venv": prefix.name,
                # The assignments of bad.py are there for their types.
                "reportUnusedVariable": False,
            }
        )
    )
    report = json.loads(run("basedpyright", "-p", str(config), "--outputjson"))
    found: Lines = {name: set() for name in FILES}
    messages: Messages = []
    for finding in report["generalDiagnostics"]:
        if finding["severity"] == "error":
            name, line = Path(finding["file"]).name, finding["range"]["start"]["line"] + 1
            found[name].add(line)
            messages.append(f"{name}:{line}: {finding['message']}")
    return found, messages


@pytest.mark.slow
@pytest.mark.parametrize("checker", [mypy_plain, mypy_with_plugins, pyright])
def test_a_checker_finds_what_is_wrong_and_nothing_else(
    checker: Callable[[Path], tuple[Lines, Messages]], tmp_path: Path
) -> None:
    wanted = marked()
    assert len(wanted["bad.py"]) > 60
    found, messages = checker(tmp_path)
    missed = {name: sorted(wanted[name] - found[name]) for name in FILES if wanted[name] - found[name]}
    surplus = [m for m in messages if int(m.split(":")[1]) not in wanted[m.split(":")[0]]]
    assert not missed, f"not found: {missed}"
    assert not surplus, "\n".join(surplus)
