"""The commands that pages show run and print what stands below them; the command's reference is that of the command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs import consoles, pages
from tests.docs.test_true import text_of, tool

WITH_COMMANDS = [page for page in pages.PAGES if pages.blocks(page, "console")]


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_a_pages_commands_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert consoles.run(page, tmp_path) > 0


def test_a_wrong_promise_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text("```console\n$ dbkit doctor --url memory://\nnothing\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"page\.md:2 \$ dbkit doctor"):
        consoles.run(str(page), tmp_path)


def test_the_reference_is_that_of_the_command() -> None:
    commands = tool("commands")
    assert commands.page() == text_of("docs/reference/cli.md"), "run python docs/tools/commands.py"


def test_commands_that_pages_name_are_there() -> None:
    known = set(re.findall(r"^## dbkit (.+)$", text_of("docs/reference/cli.md"), re.MULTILINE))
    groups = {name.split()[0] for name in known if " " in name}
    for page in pages.PAGES:
        for group, verb in re.findall(
            r"(?:`|\$ |&& )dbkit ([a-z]+)(?: ([a-z]+))?", text_of(page), re.MULTILINE
        ):
            name = f"{group} {verb}" if group in groups else group
            assert name in known or (group in groups and not verb), f"{page}: dbkit {name}"
