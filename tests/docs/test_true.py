"""What the pages say of the code, held against it: flags, errors, rules, names, commands, links, the tutorial's program."""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import dbkit
import dbkit.blog
import dbkit.errors
from dbkit.blog import Post, PostLine, User
from dbkit.testing import plugin
from dbkit.testing.kit import all_rules
from dbkit.testing.stores import NotRun, Shelf, Store
from tests.docs import pages

ROOT = pages.ROOT
# An entry point's group, a file of a page, a schema object.
NO_MODULES = {"dbkit.backends"}


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        f"docs_tools_{name}", ROOT / "docs" / "tools" / f"{name}.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_flags_are_those_of_the_code() -> None:
    assert tool("flags").page() == text_of("docs/features.md"), "run python docs/tools/flags.py"


def test_a_second_call_compiles_nothing() -> None:
    with dbkit.connect("sqlite://", entities=[User, Post]) as db:
        db.create_schema()
        compiler: Any = getattr(db.backend, "compiler")  # noqa: B009  # SQLite's own, not the protocol's
        author = User(username="ada", email="ada@example.org")
        counted: list[int] = []
        for title in ("one", "two"):
            db.store(User).upsert(author, on=User.email)
            db.store(Post).create(Post(user_id=author.id, title=title))
            db.store(Post).page(Post.title != title, order_by=Post.created_at.desc(), limit=2, into=PostLine)
            counted.append(compiler.compilations)
    assert counted[0] > 0
    assert counted[0] == counted[1]


@pytest.mark.server
def test_the_statements_are_those_that_are_sent(shelf: Shelf) -> None:
    statements = tool("statements")
    found: dict[str, str] = {}
    for number, name in enumerate(statements.STORES):
        store = shelf.store(f"{name} statements {number}", name)
        if isinstance(store, NotRun):
            plugin.missing(store, named=False)
        assert isinstance(store, Store)
        found[name] = statements.plan_on(store.url).statement
    for page in statements.PAGES:
        assert statements.written(page, found) == text_of(page), "run python docs/tools/statements.py"


def test_the_tree_of_errors_is_that_of_the_code() -> None:
    (block,) = pages.blocks("docs/errors.md", "text")
    parents: list[str] = []
    for line in block.code.splitlines():
        found = re.match(r"([│├└─ ]*)(\w+)", line)
        assert found is not None
        depth, name = len(found[1]) // 3, found[2]
        error = getattr(dbkit.errors, name)
        if depth:
            assert error.__bases__[0] is getattr(dbkit.errors, parents[depth - 1])
        parents[depth:] = [name]
    drawn = set(re.findall(r"^[│├└─ ]*(\w+)", block.code, re.MULTILINE))
    assert drawn == set(dbkit.errors.__all__)


def test_what_others_get_wrong_names_what_shows_it() -> None:
    rules = {rule.name for rule in all_rules()}
    names = list(pages.names_in_tables("README.md", "What others get wrong"))
    assert len(names) >= 8
    for name in names:
        assert name in rules or (ROOT / name).exists(), f"{name} is neither a rule nor a file"


@pytest.mark.parametrize(("module", "page"), [(dbkit, "dbkit"), (dbkit.blog, "dbkit.blog")])
def test_the_reference_has_every_public_name(module: ModuleType, page: str) -> None:
    documented = set[str]()
    for path in (ROOT / "docs" / "reference").glob("*.md"):
        documented |= set(
            re.findall(
                rf"^::: {re.escape(page)}\.(?:connect\.)?(\w+)$", path.read_text("utf-8"), re.MULTILINE
            )
        )
    assert documented == set(module.__all__)


def test_modules_that_pages_name_are_there() -> None:
    named = set[str]()
    for page in pages.PAGES:
        named |= set(re.findall(r"\b(dbkit(?:_\w+)?(?:\.\w+)+)\b", text_of(page)))
    for name in sorted(named - NO_MODULES):
        assert resolves(name), f"{name} does not exist"


def resolves(name: str) -> bool:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        try:
            for part in parts[length:]:
                found = getattr(found, part)
        except AttributeError:
            return False
        return True
    return False


def test_targets_and_files_that_pages_name_are_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))
    for page in [*pages.PAGES, "CONTRIBUTING.md"]:
        for line in text_of(page).splitlines():
            for target in re.findall(r"(?:^|`)make ([a-z-]+)", line):
                assert target in targets, f"{page}: make {target}"
            for path in re.findall(r"`((?:examples|tests|tools|docs|dbkit|backends)/[\w/.-]+)`", line):
                assert (ROOT / path).exists(), f"{page}: {path}"


def test_the_readmes_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)", text_of("README.md")):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_pages_name_no_machine() -> None:
    for page in [*pages.PAGES, "CHANGELOG.md", "CONTRIBUTING.md"]:
        assert not re.search(r"/(?:root|home|work|Users)/", text_of(page)), page


def test_the_tutorials_program_prints_what_it_says(
    store: str, new_url: Callable[[], str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (program,) = [b for b in pages.blocks("docs/tutorial.md") if b.file == "expenses.py"]
    (said,) = pages.blocks("docs/tutorial.md", "text")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "expenses.py").write_text(program.code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("expenses")
    try:
        assert module.main("sqlite://" if new_url is None else new_url()) == said.code.splitlines()
    finally:
        sys.modules.pop("expenses", None)


def test_the_example_suite_passes(tmp_path: Path) -> None:
    for block in pages.blocks("docs/howto/testing.md"):
        assert block.file is not None
        (tmp_path / block.file).write_text(block.code, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    done = subprocess.run(
        [*command, "--dbkit-stores", "memory,sqlite", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout
