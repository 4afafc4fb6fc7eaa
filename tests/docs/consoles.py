"""Runs the commands of a page, one after the other, in a folder of its own.

A block of the language `console` holds lines that begin with `$ `, each with what it prints below it, where `…` stands for
anything, over several lines where it stands alone in one. Nothing below it: what it prints is not compared. A block with the
note `<!-- file: path -->` is written to that file when its turn comes.
"""

from __future__ import annotations

import contextlib
import io
import re
import runpy
import shlex
import sys
from collections.abc import Generator
from pathlib import Path

from typer.testing import CliRunner

from dbkit.cli.app import app
from tests.docs import pages

LANGUAGES = ("console", "python", "toml", "sql", "json")


def run(page: str, folder: Path) -> int:
    """Run the page's commands in *folder*, the current one, and return how many ran."""
    found = [block for language in LANGUAGES for block in pages.blocks(page, language)]
    ran = 0
    for block in sorted(found, key=lambda b: b.line):
        if block.file is not None:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code, encoding="utf-8")
        elif block.language == "console":
            for command, expected in _commands(block.code):
                printed = _printed(command, folder)
                assert not expected or re.fullmatch(_pattern(expected), printed.rstrip()), (
                    f"{page}:{block.line} $ {command}\n{printed}"
                )
                ran += 1
    return ran


def _commands(code: str) -> list[tuple[str, str]]:
    parts = re.split(r"^\$ ", code, flags=re.MULTILINE)[1:]
    return [(command.strip(), printed.rstrip()) for command, _, printed in (p.partition("\n") for p in parts)]


def _pattern(expected: str) -> str:
    lines = [
        "(?s:.*)" if line.strip() == "…" else ".*".join(map(re.escape, line.split("…")))
        for line in expected.splitlines()
    ]
    return "\n".join(lines)


def _printed(command: str, folder: Path) -> str:
    name, *arguments = shlex.split(command, comments=True)
    with _fresh_modules(folder):
        if name == "python":
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                runpy.run_path(arguments[0], run_name="__main__")
            return said.getvalue()
        assert name == "dbkit"
        runner = CliRunner(env={"DBKIT_URL": None, "NO_COLOR": "1", "COLUMNS": "200"})
        return runner.invoke(app, arguments).output


@contextlib.contextmanager
def _fresh_modules(folder: Path) -> Generator[None]:
    """Import the page's files as they are now: each of its commands would be a process of its own."""
    paths, writes = sys.path[:], sys.dont_write_bytecode
    sys.path.insert(0, str(folder))
    # Compiled files are told apart by second and size, which is too coarse for a page.
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode = paths, writes
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if file is not None and Path(file).is_relative_to(folder):
                del sys.modules[name]
