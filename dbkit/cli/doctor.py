"""`dbkit doctor`: what is installed, who answers, and what it can keep."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from typing import TYPE_CHECKING, Any

from ..errors import BadURL, DbkitError
from .failures import DONE, REFUSED, SECRETS, Stop
from .options import Debug, Entities, Json, Url
from .output import bad, columns, emit, faint, good
from .settings import Settings

if TYPE_CHECKING:
    from .._sync.database import Database
    from ..features import Features

__all__ = ["doctor"]

_OURS = "dbkit-stores"
# What speaks with each store: distribution, and in which colour.
_DRIVERS: dict[str, tuple[str, ...]] = {
    "memory": (),
    "sqlite": ("aiosqlite",),
    "postgresql": ("psycopg", "psycopg-binary"),
    "mongodb": ("pymongo", "motor"),
    "mongomock": ("mongomock", "pymongo"),
}
_INSTALLED = ("pydantic", "sqlalchemy", "aiosqlite", "psycopg", "pymongo", "motor", "mongomock", "alembic")


@dataclass
class _Report:
    """What was found; its fields are the JSON's keys."""

    dbkit: str
    python: str
    installed: dict[str, str]
    owners: list[str]
    """The distributions that own the name `dbkit`."""
    url: str | None = None
    backend: str | None = None
    driver: dict[str, str] = field(default_factory=dict[str, str])
    server: dict[str, Any] | None = None
    topology: str | None = None
    features_are: str | None = None
    """`"probed"` on the server, or `"declared"` where it could not be asked."""
    features: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    entities: list[str] | None = None
    problems: list[str] = field(default_factory=list[str])


def doctor(url: Url = None, entities: Entities = None, as_json: Json = False, debug: Debug = False) -> None:
    """Show what is installed, who answers, and what it can keep, and why not.

    Nothing is made in the database. With a problem among what it finds, it exits by 1.
    """
    del debug
    report = _Report(
        dbkit=_version(_OURS) or "not installed",
        python=platform.python_version(),
        installed={name: found for name in _INSTALLED if (found := _version(name))},
        owners=owners(),
    )
    if len(report.owners) > 1:
        report.problems.append(
            f"{len(report.owners)} distributions own the name dbkit ({', '.join(report.owners)}), so one has overwritten "
            f"files of the other: pip uninstall {' '.join(report.owners)}, then pip install {_OURS}"
        )
    settings = Settings(url, entities)
    if settings.url_text is not None:
        _look(settings, report)
    emit(as_json, asdict(report), _lines(report))
    Stop(REFUSED if report.problems else DONE)


def owners(installed: Callable[[], Any] = packages_distributions) -> list[str]:
    """Return the distributions that have files in a package `dbkit`: PyPI's `dbkit` is somebody else's."""
    return sorted({name.lower() for name in installed().get("dbkit", ())} | {_OURS})


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _look(settings: Settings, report: _Report) -> None:
    from ..registry import plugin

    parsed = settings.parsed_url
    report.url, report.backend = str(parsed), parsed.backend
    chosen = plugin(parsed.backend)
    report.driver = {
        name: found for name in _DRIVERS.get(parsed.backend, ()) if (found := _version(name)) is not None
    }
    features: Features | None = chosen.FEATURES.get(parsed.backend)
    report.features_are = "declared"
    db = _open(settings, report)
    if db is not None:
        with db:
            features, report.features_are = db.features, "probed"
            report.server = asdict(db.server)
            report.topology = _topology(db)
    if features is not None:
        report.features = {
            flag.name: {"yes": answer.yes, "why": answer.why, "hint": answer.hint, "means": flag.means}
            for flag, answer in features
        }


def _open(settings: Settings, report: _Report) -> Database | None:
    """Open the database for the entities, where they were named; where they do not fit, for none; None: it cannot be."""
    from ..connect import connect
    from ..entity import Record
    from .reaching import must_exist

    class Nothing(Record[int], name="dbkit_doctor"):
        """Never stored: a database is opened for at least one entity."""

    tries: list[list[type[Any]]] = [[Nothing]]
    if settings.has_entities:
        report.entities = [entity.__name__ for entity in settings.entities]
        tries.insert(0, list(settings.entities))
    for entities in tries:
        try:
            must_exist(settings.parsed_url)
            return connect(settings.url, entities=entities)
        except BadURL:
            raise
        except DbkitError as error:
            words = SECRETS.scrub(str(error))
            if words not in report.problems:
                report.problems.append(words)
    return None


def _topology(db: Database) -> str:
    """Return how the server is deployed, as it says itself."""
    ask = _TOPOLOGIES.get(db.url.backend)
    if ask is None:
        return "unknown"
    with db.native() as connection:
        return ask(connection, db)


def _sqlite(connection: Any, db: Database) -> str:
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    return f"{'a file' if db.url.database else 'a temporary file'}, journal_mode {mode}"


def _postgresql(connection: Any, db: Database) -> str:
    del db
    question = "SELECT pg_is_in_recovery(), current_user, has_schema_privilege(current_schema(), 'CREATE')"
    is_standby, role, may_create = tuple(connection.execute(question).fetchone())
    may = "may" if may_create else "may not"
    return f"a {'standby' if is_standby else 'primary'}; the role {role} {may} create tables"


def _mongodb(connection: Any, db: Database) -> str:
    del db
    database = connection[0]
    hello: dict[str, Any] = database.client.admin.command("hello")
    if hello.get("msg") == "isdbgrid":
        return "a sharded cluster"
    if "setName" in hello:
        hosts = len(hello.get("hosts", ())) or 1
        return f"the replica set {hello['setName']} of {hosts} {'node' if hosts == 1 else 'nodes'}"
    return "a standalone server"


_TOPOLOGIES: dict[str, Callable[[Any, Database], str]] = {
    "memory": lambda _connection, _db: "in this process",
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "mongodb": _mongodb,
    "mongomock": lambda _connection, _db: "in this process",
}


def _lines(report: _Report) -> list[str]:
    rows = [
        ("dbkit", f"{report.dbkit} ({_OURS}), Python {report.python}"),
        ("installed", ", ".join(f"{name} {found}" for name, found in report.installed.items())),
    ]
    if report.url is not None:
        driver = ", ".join(f"{name} {found}" for name, found in report.driver.items())
        server = report.server
        rows += [
            ("url", report.url),
            ("driver", driver or "none is needed"),
            ("server", "not reached" if server is None else _server(server)),
        ]
    if report.topology is not None:
        rows.append(("topology", report.topology))
    if report.entities is not None:
        rows.append(("entities", ", ".join(report.entities)))
    lines = columns(rows)
    if report.features:
        told = "" if report.features_are == "probed" else ", as declared: the server was not asked"
        lines += ["", f"what it can keep{told}:"]
        lines += columns(
            [
                (good("yes") if said["yes"] else bad("no "), name, _why(said))
                for name, said in report.features.items()
            ],
            indent="  ",
        )
    if report.url is None:
        lines += ["", faint("say --url, or set DBKIT_URL, to see a server")]
    if report.problems:
        lines += ["", "problems:", *(f"  {bad('!')} {problem}" for problem in report.problems)]
    return lines


def _server(server: dict[str, Any]) -> str:
    from ..statement import ServerInfo

    return str(ServerInfo(**server))


def _why(said: dict[str, Any]) -> str:
    return f"{said['why']} ({said['hint']})" if said["hint"] and not said["yes"] else str(said["why"])
