"""Every Python block of the README and the docs runs, and prints what it says, on each store with only the URL changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs import pages

WITH_CODE = [page for page in pages.PAGES if pages.blocks(page)]


@pytest.mark.parametrize("page", WITH_CODE)
def test_a_page_runs(
    page: str,
    store: str,
    new_url: Callable[[], str] | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    pages.run(page, store, new_url, tmp_path)


def test_what_does_not_run_says_why() -> None:
    for page in WITH_CODE:
        for block in pages.blocks(page):
            assert block.not_run is None or len(block.not_run) > 10, f"{page}:{block.line}"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print(1 + 1)  # 3\n", r":2 prints '2', not '3'"),
        ("print(\n    1 + 1,\n)  # 3\n", r":2 prints '2', not '3'"),
        ("for n in 1, 2:\n    print(n)  # 1, 3\n", r":3 prints '1, 2', not '1, 3'"),
        ("if False:\n    print(1)  # 1\n", r":3 prints '\(nothing\)', not '1'"),
        ("print(1)\n", r":2 a print that says nothing"),
    ],
)
def test_a_wrong_promise_is_noticed(
    code: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text(f"```python\n{code}```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=message):
        pages.run(os.fspath(page), "sqlite", None, tmp_path)
