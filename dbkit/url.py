"""Database URLs: `backend[+driver]://user:password@host:port,host:port/database?key=value`.

Our own parser, as SQLAlchemy's refuses `h1:1,h2:2` and shows a password given as `?password=`, and PyMongo's refuses
`+motor`. A URL never shows its password: not in its repr, not in an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from .errors import BadURL
from .nearest import nearest

__all__ = ["URL", "parse_url", "unknown_key"]

_ALIASES = {"postgres": "postgresql", "sqlite3": "sqlite", "mongo": "mongodb"}
_SCHEME = re.compile(r"[a-z][a-z0-9]*(\+[a-z][a-z0-9]*)*\Z")
_SECRET_KEYS = re.compile(r"pass|secret|key|token|credential|authmechanismproperties", re.IGNORECASE)
_FORBIDDEN_IN_HOST = frozenset(":[]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class URL:
    """A parsed database URL."""

    backend: str
    """`"sqlite"`, `"postgresql"`, `"mongodb"`, …, aliases resolved."""
    driver: str | None = None
    """What stands after `+`: `"motor"`, `"srv"`, `"psycopg"`."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    hosts: tuple[tuple[str, int | None], ...] = ()
    """(host, port or None), in order; an IPv6 host without brackets."""
    database: str = ""
    """The path without its first slash, decoded; for a file `sqlite:///a.db` is `a.db`, `sqlite:////a.db` is `/a.db`."""
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        """The URL with `***` for every secret."""
        return self.render()

    def __repr__(self) -> str:
        return f"URL({self.render()!r})"

    def render(self, *, show_password: bool = False) -> str:
        """Return the URL's text; with *show_password* it is what a driver needs, to be passed on and never shown."""
        scheme = self.backend if self.driver is None else f"{self.backend}+{self.driver}"
        login = ""
        if self.username is not None:
            login = quote(self.username, safe="")
            if self.password is not None:
                login += ":" + (quote(self.password, safe="") if show_password else "***")
            login += "@"
        hosts = ",".join(_host(h, p) for h, p in self.hosts)
        path = "/" + quote(self.database, safe="/") if self.database else ""
        pairs = [
            f"{quote(k, safe='')}={quote(v, safe='') if show_password or not _SECRET_KEYS.search(k) else '***'}"
            for k, v in self.query
        ]
        return f"{scheme}://{login}{hosts}{path}{'?' + '&'.join(pairs) if pairs else ''}"


def _host(host: str, port: int | None) -> str:
    text = f"[{host}]" if ":" in host else quote(host, safe="")
    return text if port is None else f"{text}:{port}"


def parse_url(text: str) -> URL:
    """Parse a database URL.

    Raises:
        BadURL: with what is wrong and how it should look, and without the text itself, which may hold a password.
    """
    if not isinstance(text, str):
        raise BadURL(f"a database URL must be a str, not a {type(text).__name__}")
    scheme, separator, rest = text.partition("://")
    if not separator or not _SCHEME.match(scheme):
        raise BadURL(
            "a database URL must start with a scheme and ://",
            hint="e.g. sqlite:///app.db, postgresql://user:password@host/app, mongodb://host/app, memory://",
        )
    if "#" in rest:
        raise BadURL(
            "a database URL has no fragment", hint="write %23 for a # in a user name, password or path"
        )
    if any(ord(c) < 33 or ord(c) == 127 for c in rest):
        raise BadURL("a database URL has no spaces or control characters", hint="write %20 for a space")
    if _BAD_ESCAPE.search(rest):
        raise BadURL(
            "a % in the URL is not followed by two hexadecimal digits", hint="write %25 for a % itself"
        )
    name, _, driver = scheme.partition("+")
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    # A / or ? in a password ends the authority early: what follows is the rest of the password, and must not become
    # a database's name or a key, which drivers and errors show.
    if authority and "@" in path + query:
        raise _unescaped()
    login, at, hosts = authority.rpartition("@")
    username: str | None = None
    password: str | None = None
    if at:
        user, colon, secret = login.partition(":")
        if "@" in login or ":" in secret:
            raise _unescaped()
        username = _decode(user)
        password = _decode(secret) if colon else None
    return URL(
        backend=_ALIASES.get(name, name),
        driver=driver or None,
        username=username,
        password=password,
        hosts=tuple(_parse_host(h) for h in hosts.split(",")) if hosts else (),
        database=_decode(path) if slash else "",
        query=tuple(_parse_query(query)),
    )


def _unescaped() -> BadURL:
    return BadURL(
        "the URL holds a character that must be escaped in a user name, password, path or value",
        hint="write %40 for @, %3A for :, %2F for /; urllib.parse.quote(password, safe='') does it",
    )


def _decode(text: str) -> str:
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise BadURL("a part of the URL is not UTF-8 once its %-escapes are decoded") from None
    if "\0" in decoded:
        raise BadURL("a part of the URL holds a NUL character")
    return decoded


def _parse_host(text: str) -> tuple[str, int | None]:
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^\[\]:]+))(?::([0-9]{1,5}))?", text)
    if found is None:
        raise BadURL(
            "a host in the URL cannot be read",
            hint="hosts are name, name:port or [IPv6]:port, several joined by commas; a / or : in a password must be escaped",
        )
    port = int(found[3]) if found[3] else None
    if port is not None and not 0 < port < 65_536:
        raise BadURL("a port in the URL is not between 1 and 65535")
    host = found[1] or _decode(found[2])
    if not found[1] and not _FORBIDDEN_IN_HOST.isdisjoint(host):
        raise BadURL("a host in the URL holds an escaped : or bracket", hint="write [IPv6]:port or name:port")
    return host, port


def _parse_query(text: str) -> Iterable[tuple[str, str]]:
    seen: set[str] = set()
    for pair in filter(None, text.split("&")):
        key, equals, value = pair.partition("=")
        name = _decode(key)
        if not equals or not name:
            raise BadURL("what stands after ? in the URL must be key=value, joined by &")
        if name in seen:
            raise BadURL(f"the URL's query has the key {name!r} twice")
        seen.add(name)
        yield name, _decode(value.replace("+", "%2B"))


def unknown_key(key: str, known: Iterable[str]) -> BadURL:
    """Return the error for a query key that no one reads; it suggests the nearest known one."""
    names = sorted(known)
    near = nearest(key, names, cutoff=0.5)
    shown = key if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,40}", key) else "…"
    return BadURL(
        f"unknown key {shown!r} in the URL's query",
        hint=(f"did you mean {near!r}? " if near else "") + f"valid: {', '.join(names)}",
    )
