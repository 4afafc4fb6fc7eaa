"""`--rename` as it is typed."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from dbkit.cli.diff import _renamed
from dbkit.cli.failures import Misuse

from .conftest import Command


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
        (
            "users.mial=email",
            "users.mial cannot be renamed to users.email: it is not there, or is declared itself",
        ),
        ("users.mail=eamil", "users.mail cannot be renamed to users.eamil, which is not declared"),
        ("peple=users", "peple cannot be renamed to users"),
    ],
)
def test_what_cannot_be_renamed_is_told_in_the_order_it_was_typed(
    typed: str, said: str, dbkit: Command, folder: Path
) -> None:
    with contextlib.closing(sqlite3.connect(folder / "a.db")) as connection:
        connection.execute("CREATE TABLE users (id BLOB PRIMARY KEY, mail TEXT)")
    at = ["--url", "sqlite:///a.db", "--entities", dbkit.entities]
    result = dbkit("migrate", "diff", "--rename", typed, *at)
    assert result.exit_code == 1
    assert said in result.stderr
    assert "renames" not in result.stderr.splitlines()[0]
    assert "valid: mail" not in result.stderr


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
