"""From URLs to what the drivers take."""

from __future__ import annotations

import pytest

from dbkit.errors import BadURL
from dbkit.options import Options
from dbkit.url import parse_url
from dbkit_sql.settings import postgres_settings, sqlite_settings


def test_a_sqlite_url_is_a_path() -> None:
    def path(url: str) -> str:
        return sqlite_settings(parse_url(url), Options()).path

    assert path("sqlite:///app.db") == "app.db"
    assert path("sqlite:////var/app.db") == "/var/app.db"
    assert path("sqlite://") == ""
    assert path("sqlite:///a%20b.db") == "a b.db"


@pytest.mark.parametrize("url", ["sqlite://host/a.db", "sqlite+aiosqlite:///a.db", "sqlite:///:memory:"])
def test_what_sqlite_cannot_mean(url: str) -> None:
    with pytest.raises(BadURL):
        sqlite_settings(parse_url(url), Options())


def test_pragmas_are_checked() -> None:
    url = parse_url("sqlite:///a.db")
    made = sqlite_settings(url, Options(driver=(("synchronous", "normal"), ("cache_size", "-8000"))))
    assert made.pragmas == {"foreign_keys": "ON", "synchronous": "normal", "cache_size": "-8000"}
    for key, value in (("synchronous", "1; DROP TABLE x"), ("cache_size", "x"), ("sslmode", "require")):
        with pytest.raises(BadURL):
            sqlite_settings(url, Options(driver=((key, value),)))


def test_a_postgres_url_is_parameters() -> None:
    url = parse_url("postgresql://us%40er:p%25w@h1:1,h2/db")
    made = postgres_settings(url, Options(timeout_s=4, driver=(("sslmode", "require"),)))
    assert made.parameters["host"] == "h1,h2"
    assert made.parameters["port"] == "1,"
    assert made.parameters["user"] == "us@er"
    assert made.parameters["password"] == "p%w"
    assert made.parameters["dbname"] == "db"
    assert made.parameters["sslmode"] == "require"
    assert "statement_timeout = 4000" in made.session
    assert "p%w" not in repr(made)


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(BadURL, match="sslmode"):
        postgres_settings(parse_url("postgresql://h/db"), Options(driver=(("sslmod", "x"),)))
    with pytest.raises(BadURL):
        postgres_settings(parse_url("postgresql+asyncpg://h/db"), Options())
