"""Database URLs: what is read, what is refused and how, and that no text ever shows a secret."""

from __future__ import annotations

import pickle
import traceback
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbkit.connect import connect
from dbkit.entity import Entity
from dbkit.errors import BadURL, ConfigurationError
from dbkit.fields import Mapped, field
from dbkit.url import URL, parse_url, unknown_key


class Thing(Entity, name="url_things"):
    name: Mapped[str] = field(default="")


READ = {
    "memory://": URL("memory"),
    "sqlite://": URL("sqlite"),
    "sqlite:///app.db": URL("sqlite", database="app.db"),
    "sqlite:////var/lib/app.db": URL("sqlite", database="/var/lib/app.db"),
    "sqlite:///my%20app.db?timeout_s=3": URL("sqlite", database="my app.db", query=(("timeout_s", "3"),)),
    "postgres://h/d": URL("postgresql", hosts=(("h", None),), database="d"),
    "postgresql://u:p@h:5433/d?sslmode=require": URL(
        "postgresql", None, "u", "p", (("h", 5433),), "d", (("sslmode", "require"),)
    ),
    "postgresql+psycopg://h/d": URL("postgresql", "psycopg", hosts=(("h", None),), database="d"),
    "postgresql://u@/d?host=%2Frun": URL("postgresql", username="u", database="d", query=(("host", "/run"),)),
    "postgresql://u:@h/d": URL("postgresql", None, "u", "", (("h", None),), "d"),
    "postgresql://[::1]:5432,[fe80::2]/d": URL(
        "postgresql", hosts=(("::1", 5432), ("fe80::2", None)), database="d"
    ),
    "mongodb://h1:1,h2:2/d?replicaSet=rs0&w=majority": URL(
        "mongodb",
        hosts=(("h1", 1), ("h2", 2)),
        database="d",
        query=(("replicaSet", "rs0"), ("w", "majority")),
    ),
    "mongodb+srv://cluster.example.net/d": URL(
        "mongodb", "srv", hosts=(("cluster.example.net", None),), database="d"
    ),
    "mongodb+motor://h": URL("mongodb", "motor", hosts=(("h", None),)),
    "mongodb://h/?appName=a%26b": URL("mongodb", hosts=(("h", None),), query=(("appName", "a&b"),)),
    "mongodb://h/d?tag=a+b": URL("mongodb", hosts=(("h", None),), database="d", query=(("tag", "a+b"),)),
    "postgresql://%2Fvar%2Frun%2Fpg/d": URL("postgresql", hosts=(("/var/run/pg", None),), database="d"),
    "postgresql://m%C3%BCller:%E2%82%AC@h/d": URL("postgresql", None, "müller", "€", (("h", None),), "d"),
}


@pytest.mark.parametrize("text", READ)
def test_a_url_is_read(text: str) -> None:
    assert parse_url(text) == READ[text]
    assert parse_url(READ[text].render(show_password=True)) == READ[text]


REFUSED = {
    "": "scheme",
    "app.db": "scheme",
    "sqlite:app.db": "scheme",
    "://h/d": "scheme",
    "PostgreSQL://h/d": "scheme",
    "postgre sql://h": "scheme",
    "postgresql+://h": "scheme",
    "postgresql://h/d#x": "fragment",
    "postgresql://h/my db": "%20",
    "postgresql://h/d\n": "%20",
    "postgresql://h/d%zz": "%25",
    "postgresql://h/d%": "%25",
    "postgresql://h/%ff": "UTF-8",
    "postgresql://h/a%00b": "NUL",
    "postgresql://h:0/d": "port",
    "postgresql://h:65536/d": "port",
    "postgresql://h:123456/d": "host",
    "postgresql://h:port/d": "host",
    "postgresql://h1,,h2/d": "host",
    "postgresql://[::1/d": "host",
    "postgresql://::1/d": "host",
    "postgresql://h%3A1/d": "host",
    "postgresql://h/d?sslmode": "key=value",
    "postgresql://h/d?=x": "key=value",
    "postgresql://h/d?a=1&a=2": "twice",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_read_is_refused_with_how_to_mend_it(text: str) -> None:
    with pytest.raises(BadURL) as caught:
        parse_url(text)
    assert REFUSED[text] in str(caught.value)


def test_other_types_are_refused() -> None:
    for value in (None, b"sqlite://", 3, URL("sqlite")):
        with pytest.raises(BadURL, match=r"must be a str, not a \w+"):
            parse_url(value)  # type: ignore[arg-type]


# -- round trips -------------------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
names = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True).filter(
    lambda s: s not in {"postgres", "sqlite3", "mongo"}
)
ipv6 = st.ip_addresses(v=6).map(str)
hostnames = texts.filter(lambda s: s != "" and not set(s) & set(":[]"))
urls = st.builds(
    URL,
    backend=names,
    driver=st.none() | names,
    username=st.none() | texts,
    password=st.none() | texts,
    hosts=st.lists(st.tuples(hostnames | ipv6, st.none() | st.integers(1, 65535)), max_size=3).map(tuple),
    database=texts,
    query=st.dictionaries(texts.filter(bool), texts, max_size=3).map(lambda d: tuple(d.items())),
).filter(lambda u: u.password is None or u.username is not None)


def outcome(text: str) -> URL | BadURL:
    try:
        return parse_url(text)
    except BadURL as error:
        return error


@given(urls)
def test_what_is_rendered_reads_as_it_was(url: URL) -> None:
    assert parse_url(url.render(show_password=True)) == url


@given(st.text(max_size=60) | st.from_regex(r"[a-z]{1,5}://[ -~]{0,40}", fullmatch=True))
def test_any_text_is_read_or_refused(text: str) -> None:
    url = outcome(text)
    if isinstance(url, URL):
        assert parse_url(url.render(show_password=True)) == url


# -- secrets -----------------------------------------------------------------------------------------------------------

ODD_PASSWORDS = [
    "hunter2XYZ",
    "p@ss/w:XYZ#1?&=%+ ,;[]",
    "%41XYZ%zz",
    "пароль-XYZ-€",
    "XYZ\nnewline\ttab",
    "'; drop table XYZ; --",
    "{XYZ}",
    "XYZ@evil.example/db?x=1",
    "12/XYZ",
    "12?XYZ=1",
]


def shown(error: BaseException) -> str:
    """Return all that a log, a traceback or a queue could get of *error*, chained errors included."""
    parts = ["".join(traceback.format_exception(error)), repr(error), str(error), repr(error.__dict__)]
    parts += [
        repr(error.args),
        pickle.dumps(error).decode("latin-1"),
        repr(pickle.loads(pickle.dumps(error))),
    ]
    return "\n".join(parts)


@pytest.mark.parametrize("password", ODD_PASSWORDS)
def test_a_password_is_kept_and_never_shown(password: str) -> None:
    quoted = quote(password, safe="")
    url = parse_url(f"postgresql://me:{quoted}@h/d?password={quoted}&sslpassword={quoted}")
    assert url.password == password
    assert dict(url.query) == {"password": password, "sslpassword": password}
    for text in (str(url), repr(url), f"{url}", f"{url!r:>300}"):
        assert "XYZ" not in text
        assert "me" in text


@given(texts.filter(lambda s: len(s) > 3))
def test_no_password_is_ever_shown(password: str) -> None:
    marked = f"XYZ{password}ZYX"
    url = URL(
        "postgresql", None, "me", marked, (("h", 1),), "d", (("sslPassword", marked), ("token", marked))
    )
    assert "XYZ" not in str(url) + repr(url)
    again = parse_url(url.render(show_password=True))
    assert again.password == marked


@pytest.mark.parametrize("password", ODD_PASSWORDS)
def test_a_password_that_was_not_escaped_is_not_shown_either(password: str) -> None:
    """Whatever is read as host, port, path or key then is refused without being repeated, or is the password."""
    for text in (
        f"postgresql://me:{password}@h/d",
        f"postgresql://me:{password}@h:5432/d?sslmode=require",
        f"mongodb://me:{password}@h1:1,h2:2/d",
        f"mongodb://{password}@h/d",
    ):
        url = outcome(text)
        if isinstance(url, BadURL):
            assert "XYZ" not in shown(url), shown(url)
        else:
            assert "XYZ" in (url.password or url.username or "")
            assert "XYZ" not in repr((url.hosts, url.database, url.query))


@pytest.mark.parametrize("password", ODD_PASSWORDS)
@pytest.mark.parametrize(
    "text",
    [
        "nosuch://me:{}@h/d",
        "memory://me:{}@h/d?nosuch=1",
        "sqlite://me:{}@h/d?pool_size=many",
        "sqlite://me:{}@h/d?pool_size=0",
        "sqlite://me:{}@h/d?allow=everything",
        "sqlite://me:{}@h/d?nosuch={}",
        "sqlite:///d?password={}",
    ],
)
def test_connecting_by_a_wrong_url_shows_no_password(password: str, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        connect(text.replace("{}", quote(password, safe="")), entities=[Thing])
    assert "XYZ" not in shown(caught.value)


# -- keys --------------------------------------------------------------------------------------------------------------


def test_an_unknown_key_suggests_the_nearest() -> None:
    error = unknown_key("poolsize", ["pool_size", "timeout_s"])
    assert str(error) == (
        "unknown key 'poolsize' in the URL's query (did you mean 'pool_size'? valid: pool_size, timeout_s)"
    )
    assert str(unknown_key("zzz", ["b", "a"])) == "unknown key 'zzz' in the URL's query (valid: a, b)"


@pytest.mark.parametrize("key", ["p@ss", "a b", "x" * 60, "0day", "é"])
def test_an_unknown_key_that_is_no_name_is_not_repeated(key: str) -> None:
    assert key not in str(unknown_key(key, ["pool_size"]))
