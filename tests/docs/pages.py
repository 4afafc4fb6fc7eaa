"""Runs the Python blocks of a page, one after the other, as one program.

A page is written for SQLite. On another store each database URL in it becomes one of that store; nothing else changes.

What a page promises is checked: a `print(…)  # text` must print that text, where `…` stands for anything. Lines above a
block say what is special about it:

    <!-- only: sqlite -->          it runs on this store alone (several are separated by commas)
    <!-- not run: why -->          it does not run; it must still be Python
    <!-- alone -->                 it starts a program of its own
    <!-- file: name.py -->         it is also written to this file, for the commands of the page
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from dbkit import Database

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted(
    path.relative_to(ROOT).as_posix() for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
)
_FENCE = re.compile(
    r"^(?P<notes>(?:[ ]*<!--[^\n]*-->\n)*)(?P<indent>[ ]*)```(?P<language>[a-z]+)[^\n]*\n(?P<code>.*?)^(?P=indent)```[ ]*$",
    re.MULTILINE | re.DOTALL,
)
_NOTE = re.compile(r"<!--\s*(?P<name>only|not run|alone|file)(?::\s*(?P<value>.*?))?\s*-->")
# A URL with a query shows something about URLs; it stays.
_URL = re.compile(r'"(?:sqlite|memory|postgresql|mongodb)://[^"?]*"')
_EXPECTED = re.compile(r"\)\s\s+#\s(?P<text>.*)$")
_SAYS_NOTHING = "a print that says nothing: print(…)  # what it prints"


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    """Of its first line of code."""
    language: str
    code: str
    only: tuple[str, ...]
    not_run: str | None
    alone: bool
    file: str | None


def blocks(page: str, language: str = "python") -> list[Block]:
    """Return the page's blocks in this language."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found: list[Block] = []
    for match in _FENCE.finditer(text):
        if match["language"] != language:
            continue
        notes = {n["name"]: n["value"] or "" for n in _NOTE.finditer(match["notes"])}
        cut = len(match["indent"])
        code = "\n".join(line[cut:] for line in match["code"].splitlines()) + "\n"
        only = tuple(filter(None, (name.strip() for name in notes.get("only", "").split(","))))
        line = text.count("\n", 0, match.start("code")) + 1
        found.append(
            Block(page, line, language, code, only, notes.get("not run"), "alone" in notes, notes.get("file"))
        )
    return found


class Printed:
    """Compares what a page prints with what it says that it prints."""

    def __init__(self) -> None:
        self.lines: dict[int, list[str]] = {}

    def __call__(self, *values: object, sep: str = " ", **_: Any) -> None:
        line = sys._getframe(1).f_lineno
        self.lines.setdefault(line, []).append(sep.join(map(str, values)))

    def check(self, block: Block) -> None:
        """Compare what the block printed with the comments behind its calls, however many lines a call has."""
        lines = block.code.splitlines()
        for node in ast.walk(ast.parse(block.code)):
            if not (
                isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            ):
                continue
            number = node.lineno + block.line - 1
            printed = self.lines.get(number)
            expected = _EXPECTED.search(lines[(node.end_lineno or node.lineno) - 1])
            where = f"{block.page}:{number}"
            if expected is None:
                assert printed is None, f"{where} {_SAYS_NOTHING}"
                continue
            text = ", ".join(printed or ["(nothing)"])
            pattern = ".*".join(re.escape(part) for part in expected["text"].split("…"))
            assert re.fullmatch(pattern, text, re.DOTALL), (
                f"{where} prints {text!r}, not {expected['text']!r}"
            )


def run(page: str, store: str, new_url: Callable[[], str] | None, folder: Path) -> int:
    """Run a page's blocks on *store* in the current folder, and return how many ran.

    *new_url* gives the URL of a fresh database; None leaves the page's own URLs as they are.
    """
    ran = 0
    urls = _Urls(new_url)
    module, printed = _program(), Printed()
    try:
        for block in blocks(page):
            if block.not_run is not None:
                compile(block.code, f"{page}:{block.line}", "exec")
                continue
            if block.only and store not in block.only:
                continue
            if block.alone:
                urls, module, printed = _Urls(new_url), _program(), Printed()
            code = _URL.sub(urls, block.code)
            if block.file is not None:
                path = folder / block.file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(code, encoding="utf-8")
            vars(module)["print"] = printed
            # The file's own line numbers, so that a traceback points into the page.
            exec(compile("\n" * (block.line - 1) + code, ROOT / page, "exec"), vars(module))
            printed.check(block)
            ran += 1
    finally:
        sys.modules.pop(_NAME, None)
        # A page that failed half-way leaves its database open; so may one that shows something else.
        for value in list(vars(module).values()):
            if isinstance(value, Database):
                value.close()
    return ran


class _Urls:
    """Gives each database of a page its place on the store."""

    def __init__(self, new_url: Callable[[], str] | None) -> None:
        self._new_url = new_url
        self._known: dict[str, str] = {}

    def __call__(self, found: re.Match[str]) -> str:
        url = found[0]
        if self._new_url is None:
            return url
        # A database without a name is another one each time.
        key = f"{url} {len(self._known)}" if url in {'"sqlite://"', '"memory://"'} else url
        if key not in self._known:
            self._known[key] = f'"{self._new_url()}"'
        return self._known[key]


_NAME = "dbkit_docs_page"


def _program() -> ModuleType:
    # Pydantic looks a class's names up in its module.
    module = ModuleType(_NAME)
    sys.modules[_NAME] = module
    return module


def names_in_tables(page: str, heading: str) -> Iterator[str]:
    """Yield the backticked names in the last column of the tables under a heading."""
    text = (ROOT / page).read_text(encoding="utf-8")
    section = re.split(r"^## ", text.partition(f"## {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")][2:]
    for row in rows:
        last = row.strip().strip("|").rsplit("|", 1)[-1]
        yield from re.findall(r"`([^`]+)`", last)
