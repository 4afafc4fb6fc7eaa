"""SQL text: where statements end, and what of a column is not its type."""

# a step is several statements, and what fails is its end

from __future__ import annotations

from typing import Any

import pytest

from dbkit import errors
from dbkit.options import Options
from dbkit.url import parse_url
from dbkit_sql.migrating.parts import column_rest, statements
from dbkit_sql.plugin import migration_store


def test_statements_are_split_where_they_end() -> None:
    trigger = (
        "/* ; */\n        CREATE TRIGGER t AFTER INSERT ON a WHEN CASE new.x WHEN 1 THEN 1 ELSE 0 END BEGIN\n          "
        "UPDATE a SET x = CASE WHEN 1 THEN ';' END; SELECT 1;\n        END"
    )
    assert statements(
        """-- one; two
        create table a (x text default ';', "b;" int); /* ; */
        CREATE TRIGGER t AFTER INSERT ON a WHEN CASE new.x WHEN 1 THEN 1 ELSE 0 END BEGIN
          UPDATE a SET x = CASE WHEN 1 THEN ';' END; SELECT 1;
        END;
        select 'it''s; x', [c;d], `e;f`; -- end
        ;"""
    ) == [
        "-- one; two\n        create table a (x text default ';', \"b;\" int)",
        trigger,
        "select 'it''s; x', [c;d], `e;f`",
    ]
    assert statements(
        "create function f() returns int as $$ begin return 1; end; $$ language plpgsql; do $x$ begin; $$; end $x$;"
        "/* a /* b; */ ; */ select E'a\\'; b', a[1], $1; create function g() returns int begin atomic select 1; "
        "select case when true then 1 end; end; begin; commit",
        postgres=True,
    ) == [
        "create function f() returns int as $$ begin return 1; end; $$ language plpgsql",
        "do $x$ begin; $$; end $x$",
        "/* a /* b; */ ; */ select E'a\\'; b', a[1], $1",
        "create function g() returns int begin atomic select 1; select case when true then 1 end; end",
        "begin",
        "commit",
    ]


def test_a_column_keeps_what_is_not_its_type() -> None:
    said = {
        "a TEXT NOT NULL /* DEFAULT 1 */": "",
        'a "CHECK"': "",
        "a INT NOT  NULL DEFAULT NULL": "DEFAULT NULL",
        "a varchar(3) UNIQUE NOT NULL CHECK (a IS NOT NULL) REFERENCES b ON DELETE SET NULL": (
            "UNIQUE CHECK ( a IS NOT NULL ) REFERENCES b ON DELETE SET NULL"
        ),
        "id INTEGER PRIMARY KEY AUTOINCREMENT": "PRIMARY KEY AUTOINCREMENT",
    }
    assert {text: column_rest(text) for text in said} == said


def test_alembic_is_asked_for_by_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    found = importlib.util.find_spec

    def without_alembic(name: str) -> Any:
        return None if name == "alembic" else found(name)

    monkeypatch.setattr(importlib.util, "find_spec", without_alembic)
    with pytest.raises(errors.MissingDriver, match="migrations"):
        migration_store(parse_url("postgresql://localhost/x"), Options())
    assert migration_store(parse_url("sqlite:///x.db"), Options()).name == "sqlite"
