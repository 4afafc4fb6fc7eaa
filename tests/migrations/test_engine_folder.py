"""The folder: which files are migrations, and which are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from dbkit import BadMigration, InvalidInput, MissingMigration
from dbkit.migrations.folder import Folder, create

PAIR = ("0001_a.up.sql", "0001_a.down.sql")


def folder(path: Path, *names: str) -> Path:
    for name in names:
        (path / name).write_text(f"-- {name.split('.', 1)[1]}\n", encoding="utf-8")
    return path


def test_versions_stand_in_order_and_other_files_are_nobodys_business(tmp_path: Path) -> None:
    (tmp_path / "9_folder.py").mkdir()
    names = (
        "0002_b.py",
        *PAIR,
        "README.md",
        "__init__.py",
        "helpers.py",
        ".0003_hidden.py",
        "0001_a.sql.orig",
    )
    read = Folder.read(folder(tmp_path, *names))
    assert [(f.version, f.name, f.stem) for f in read] == [(1, "a", "0001_a"), (2, "b", "0002_b")]
    assert [p.name for p in read.files[0].paths] == ["0001_a.down.sql", "0001_a.up.sql"]
    assert read.find(2) is read.files[1]
    assert read.find(3) is None


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("0001_a.py", "1_b.py"), "1_b.py has the version of 0001_a.py"),
        (("0001_a.py", *PAIR), "0001_a.py has the version of 0001_a.down.sql"),
        (("0001_a.up.sql",), "0001_a.up.sql has no down (add 0001_a.down.sql)"),
        (("0001_a.down.sql",), "0001_a.down.sql has no up (add 0001_a.up.sql)"),
        ((*PAIR, "0001_a.mongodb.up.json"), "has no down (add 0001_a.mongodb.down.json)"),
        (("0001_a.postgres.up.sql",), "did you mean 'postgresql'?"),
        (("0001_a.oracle.up.sql",), "is for 'oracle', which no backend is called"),
        (("0001_a.mongodb.up.sql",), "is SQL, which MongoDB does not read"),
        (("0001_a.up.json",), "says so (0001_a.mongodb.up.json)"),
        (("0001_a.sql",), "0001_a.sql is no migration's name"),
        (("0001-a.py",), "0001-a.py is no migration's name"),
        (("0000_a.py",), "version 0 is the empty database"),
        (("add_bio.up.sql",), "add_bio.up.sql has no number (0001_add_bio.up.sql)"),
    ],
)
def test_what_is_refused_by_name(tmp_path: Path, names: tuple[str, ...], said: str) -> None:
    with pytest.raises(BadMigration) as caught:
        Folder.read(folder(tmp_path, *names))
    assert said in str(caught.value)


def test_a_folder_that_is_not_there_and_a_file_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(BadMigration, match="no folder"):
        Folder.read(tmp_path / "none")
    (tmp_path / "0001_a.py").write_bytes(b"\xff\xfe")
    with pytest.raises(BadMigration, match="not UTF-8"):
        Folder.read(tmp_path)


def test_a_number_that_is_missing_is_named_and_times_have_none(tmp_path: Path) -> None:
    folder(tmp_path, "0002_a.py", "0003_b.py", "20260101000000_c.py", "20260301000000_d.py")
    assert [f.version for f in Folder.read(tmp_path)] == [2, 3, 20260101000000, 20260301000000]
    folder(tmp_path, "0005_e.py")
    with pytest.raises(MissingMigration, match="no migration has the number 4: 0005_e follows 0003_b"):
        Folder.read(tmp_path)


def test_the_store_s_own_variant_stands_before_the_general_one(tmp_path: Path) -> None:
    read = Folder.read(folder(tmp_path, *PAIR, "0001_a.sqlite.up.sql")).files[0]
    assert read.source("up", "sqlite", "sql").variant == "sqlite"
    assert read.source("down", "sqlite", "sql").variant is None
    assert read.source("up", "postgresql", "sql").variant is None
    with pytest.raises(BadMigration, match="0001_a has no form for mongodb"):
        read.source("up", "mongodb", "mongodb")


def test_a_checksum_is_of_what_runs_here_whatever_its_newlines(tmp_path: Path) -> None:
    folder(tmp_path, *PAIR)
    before = Folder.read(tmp_path).files[0]
    (tmp_path / PAIR[0]).write_bytes(b"\xef\xbb\xbf-- up.sql\r\n")
    folder(tmp_path, "0001_a.mongodb.up.json", "0001_a.mongodb.down.json", "0001_a.sqlite.up.sql")
    after = Folder.read(tmp_path).files[0]
    sums = [
        after.checksum("postgresql", "sql"),
        after.checksum("sqlite", "sql"),
        after.checksum("mongodb", "mongodb"),
    ]
    assert sums[0] == before.checksum("postgresql", "sql")
    assert len(set(sums)) == 3


def test_create_numbers_as_the_folder_does(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "migrations"
    assert [p.name for p in create(path, "Create users!")] == ["0001_create_users.py"]
    assert [p.name for p in create(path, "add bio", form="sql")] == [
        "0002_add_bio.up.sql",
        "0002_add_bio.down.sql",
    ]
    (timed,) = create(path, "later", numbering="timestamp")
    assert len(timed.name) == len("20261123235959_later.py")
    (next_one,) = create(path, "x", source="'''X.'''\n")
    assert int(next_one.name.split("_")[0]) > int(timed.name.split("_")[0])
    assert next_one.read_text(encoding="utf-8") == "'''X.'''\n"
    assert len(Folder.read(path).files) == 4
    with pytest.raises(InvalidInput, match="would stand before"):
        create(path, "y", numbering="sequence")
    with pytest.raises(InvalidInput, match="says what it does"):
        create(path, "…")
    with pytest.raises(InvalidInput, match="form="):
        create(path, "y", form="toml")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="Python file"):
        create(path, "y", form="sql", source="")
