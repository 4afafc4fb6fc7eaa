"""`--rename` as it is typed."""

from __future__ import annotations

import pytest

from dbkit.cli.diff import _renamed
from dbkit.cli.failures import Misuse


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("users.fullname=users.name", ("users.name", "users.fullname")),
        ("users.fullname=name", ("users.name", "users.fullname")),
        ("people=users", ("users", "people")),
    ],
)
def test_renames(typed: str, meant: tuple[str, str]) -> None:
    assert _renamed(typed) == meant


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("users", "takes OLD=NEW"),
        ("mail=users.email", r"takes a field with its table \(--rename users.mail=users.email\)"),
    ],
)
def test_what_is_no_rename(typed: str, said: str) -> None:
    with pytest.raises(Misuse, match=said):
        _renamed(typed)
