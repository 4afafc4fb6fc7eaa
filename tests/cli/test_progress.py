"""How far work came is shown on a terminal, on the standard error, and nowhere else."""

from __future__ import annotations

import io
import sys

import pytest

from dbkit.cli import progress
from dbkit.migrations import Event


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Called by the test itself: before it runs, pytest's capture puts its own stream there."""
    made = Terminal()
    monkeypatch.setattr(sys, "stderr", made)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    return made


def test_a_terminal_sees_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = terminal(monkeypatch)
    with progress.watching(False) as tell:
        assert tell is not None
        tell(Event("0003_add_bio", "up", "batch", "User: 500 rows", 1500))
    assert "0003_add_bio up: User: 500 rows" in seen.getvalue()
    assert "1,500 rows" in seen.getvalue()


def test_a_terminal_sees_how_much_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = terminal(monkeypatch)
    with progress.bar(False, "Note.stars") as show:
        assert show is not None
        show(3, 12)
    assert "Note.stars" in seen.getvalue()
    assert "3/12" in seen.getvalue()


@pytest.mark.parametrize("is_quiet", [True, False])
def test_nobody_else_sees_anything(is_quiet: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.watching(is_quiet) as tell, progress.bar(is_quiet, "x") as show:
        assert (tell, show) == (None, None)
    assert capsys.readouterr().err == ""
