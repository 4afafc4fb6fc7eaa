"""The private servers: found or started, told apart, killed and started again, and gone whatever happens."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dbkit.testing import _processes, servers
from dbkit.testing.servers import Missing, Server, describe, drop_database, fresh_database

pytestmark = pytest.mark.server

START = {"postgresql": servers.start_postgres, "mongodb": servers.start_mongodb}


def started(kind: str) -> Server:
    server = START[kind]()
    if not server:
        (pytest.fail if servers.missing_is_failure() else pytest.skip)(server.describe())
    return server


@pytest.fixture(scope="module", params=["postgresql", "mongodb"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DBKIT_TEST_POSTGRES_URL", "DBKIT_TEST_MONGODB_URL"):
            patch.delenv(name, raising=False)
        with started(request.param) as server:
            yield server


@pytest.fixture(autouse=True)
def _without_named_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DBKIT_TEST_POSTGRES_URL", "DBKIT_TEST_MONGODB_URL", "DBKIT_MONGOD", "DBKIT_POSTGRES"):
        monkeypatch.delenv(name, raising=False)


def wait_until(holds: Callable[[], bool], within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.01)


def write(url: str, number: int) -> None:
    if url.startswith("postgresql"):
        import psycopg

        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS numbers (n int)")
            connection.execute("INSERT INTO numbers VALUES (%s)", (number,))
    else:
        with contextlib.closing(servers._mongo_client(url)) as client:
            client.get_default_database().numbers.insert_one({"n": number})


def read(url: str, timeout_s: int = 5) -> list[int]:
    if url.startswith("postgresql"):
        import psycopg

        with psycopg.connect(url, connect_timeout=timeout_s) as connection:
            if connection.execute("SELECT to_regclass('numbers')").fetchone() == (None,):
                return []
            return sorted(n for (n,) in connection.execute("SELECT n FROM numbers"))
    limited = f"{url}&socketTimeoutMS={timeout_s * 1000}"
    with contextlib.closing(servers._mongo_client(limited)) as client:
        return sorted(document["n"] for document in client.get_default_database().numbers.find())


def test_databases_are_apart_and_can_be_dropped(server: Server) -> None:
    one, two = fresh_database(server), fresh_database(server)
    write(one, 1)
    write(two, 2)
    assert (read(one), read(two)) == ([1], [2])
    drop_database(server, one)
    if server.kind == "mongodb":
        assert read(one) == []
    assert read(two) == [2]
    drop_database(server, two)


def test_a_database_that_is_not_ours_is_not_dropped(server: Server) -> None:
    with pytest.raises(ValueError, match="it stays"):
        drop_database(server, server.url)


def test_postgres_copies_a_template(server: Server) -> None:
    if server.kind != "postgresql":
        with pytest.raises(ValueError, match="only PostgreSQL"):
            fresh_database(server, template=server.url)
        return
    template = fresh_database(server)
    write(template, 7)
    assert read(fresh_database(server, template=template)) == [7]


def test_what_was_committed_survives_a_kill(server: Server) -> None:
    url = fresh_database(server)
    for number in range(5):
        write(url, number)
    server.kill()
    while_dead = server.is_running
    server.restart()
    assert (while_dead, server.is_running) == (False, True)
    assert read(url) == [0, 1, 2, 3, 4]


def test_a_paused_server_holds_still_and_goes_on(server: Server) -> None:
    url = fresh_database(server)
    write(url, 1)
    server.pause()
    try:
        # psycopg's and PyMongo's own classes: what is tested is that nothing answers.
        with pytest.raises(Exception, match=r"(?i)time"):
            read(url, timeout_s=2)
    finally:
        server.resume()
    assert read(url) == [1]


def test_stop_leaves_neither_process_nor_folder(server: Server) -> None:
    with started(server.kind) as other:
        child = other._child
        assert child is not None
        assert child.pid is not None
        family = [child.pid, *_processes.descendants(child.pid)]
        assert child.folder.exists()
    other.stop()
    wait_until(lambda: not any(_processes._alive(pid) for pid in family))
    assert not child.folder.exists()


# A shell's background job ignores SIGINT, and what it starts inherits that.
KEEP = """
import signal, sys
from dbkit.testing import servers
signal.signal(signal.SIGINT, signal.default_int_handler)
server = {"postgresql": servers.start_postgres, "mongodb": servers.start_mongodb}[sys.argv[1]]()
child = server._child
print(child.pid, child.folder, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, None])
def test_nothing_outlives_its_parent(server: Server, number: int | None) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KEEP, server.kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        pid, folder = parent.stdout.readline().split()
        family = [int(pid), *_processes.descendants(int(pid))]
        if number is None:
            parent.stdin.close()  # a normal end that forgot to stop its server
        else:
            parent.send_signal(number)
        parent.wait(timeout=30)
    wait_until(lambda: not any(_processes._alive(one) for one in family) and not Path(folder).exists())


def test_the_watcher_ends_a_server_that_it_was_not_yet_told_of(tmp_path: Path) -> None:
    if not Path("/proc/self/cmdline").exists():
        pytest.skip("only /proc shows another process's command line")
    folder = tmp_path / "data"
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()", folder], stdin=subprocess.PIPE
    ) as child:
        command = [sys.executable, "-I", "-S", _processes.__file__, str(os.getpid())]
        line = f'{{"folder": "{folder}", "pid": null, "polite": {int(signal.SIGTERM)}, "forget": false}}\n'
        subprocess.run(command, input=line, text=True, check=True, timeout=30)
        assert child.wait(timeout=10) == -signal.SIGTERM
    assert not folder.exists()


def test_a_server_is_named_by_its_url(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = servers._URL_VARIABLE[server.kind]
    monkeypatch.setenv(variable, server.url)
    named = START[server.kind]()
    assert named
    assert (named.name, named.version, named.is_surrogate) == (
        server.name,
        server.version,
        server.is_surrogate,
    )
    assert not named.is_private
    assert variable in named.describe()
    for refused in (named.kill, named.restart, named.pause, named.resume):
        with pytest.raises(servers.ServerFailed, match=variable):
            refused()
    named.stop()
    assert read(fresh_database(server)) == []


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("postgresql", "postgresql://me:s3cret@127.0.0.1:1/bank?connect_timeout=1"),
        ("postgresql", "postgresql://me:s3%zzcret@127.0.0.1:1/bank"),
        ("mongodb", "mongodb://me:s3cret@127.0.0.1:1/bank?serverSelectionTimeoutMS=100"),
        ("mongodb", "mongodb://me:s3@cret@127.0.0.1:1/bank"),
    ],
)
def test_a_named_server_that_does_not_answer_has_no_substitute(
    kind: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = {"postgresql": "DBKIT_TEST_POSTGRES_URL", "mongodb": "DBKIT_TEST_MONGODB_URL"}[kind]
    monkeypatch.setenv(variable, url)
    missing = START[kind]()
    assert isinstance(missing, Missing)
    assert not missing
    assert variable in missing.describe()
    assert "cret" not in missing.describe()


def test_a_wrong_program_has_no_substitute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DBKIT_MONGOD", str(tmp_path / "mongod"))
    monkeypatch.setenv("DBKIT_POSTGRES", str(tmp_path))
    assert "DBKIT_MONGOD" in servers.start_mongodb().describe()
    assert "DBKIT_POSTGRES" in servers.start_postgres().describe()


def test_a_surrogate_in_mongods_place_is_called_by_its_own_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It also takes the way of a real mongod: its options, and making the replica set."""
    secantus = Path(sysconfig.get_path("scripts")) / "secantusd-py"
    if not secantus.exists():
        (pytest.fail if servers.missing_is_failure() else pytest.skip)("SecantusDB is not installed")
    mongod = tmp_path / "mongod"
    # mongod --dbpath $2 --port $4 …
    mongod.write_text(f'#!/bin/sh\nexec "{secantus}" --storage-path "$2" --port "$4"\n', encoding="utf-8")
    mongod.chmod(0o755)
    monkeypatch.setenv("DBKIT_MONGOD", str(mongod))
    with started("mongodb") as server:
        assert (server.name, server.is_surrogate) == ("SecantusDB", True)
        assert "by DBKIT_MONGOD" in server.describe()


def test_a_server_that_ends_at_once_shows_its_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mongod = tmp_path / "mongod"
    mongod.write_text("#!/bin/sh\necho this is no database; exit 3\n", encoding="utf-8")
    mongod.chmod(0o755)
    monkeypatch.setenv("DBKIT_MONGOD", str(mongod))
    missing = servers.start_mongodb()
    assert isinstance(missing, Missing)
    assert "this is no database" in missing.reason


def test_postgres_starts_from_an_environment_that_others_cannot_enter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A virtual environment in the home folder of root is such a one."""
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root runs PostgreSQL as another user")

    def never(path: Path) -> bool:
        return False

    monkeypatch.setattr(servers, "others_may_enter", never)
    with started("postgresql") as server:
        child = server._child
        assert child is not None
        assert child.command[0].startswith(str(child.folder))
        assert read(fresh_database(server)) == []


IDENTITIES: list[tuple[dict[str, Any], tuple[str, str, bool]]] = [
    ({"version": "8.0.4", "gitVersion": "bc35ab4305d9920d9d0491c1c9ef9b72383d31f9", "storageEngines": ["wiredTiger"]},
     ("MongoDB", "8.0.4", False)),
    ({"version": "8.2.11", "secantusVersion": "0.7.0b3", "gitVersion": "0" * 40}, ("SecantusDB", "0.7.0b3", True)),
    ({"version": "7.0.77", "ferretdb": {"version": "v2.0.0"}, "gitVersion": "a1b2"}, ("FerretDB", "v2.0.0", True)),
    ({"version": "7.0.0", "gitVersion": "a1b2"}, ("a server that says it is MongoDB", "7.0.0", True)),
    ({}, ("a server that says it is MongoDB", "of unknown version", True)),
]  # fmt: skip


@pytest.mark.parametrize(("build_info", "identity"), IDENTITIES)
def test_only_mongodb_is_called_mongodb(build_info: dict[str, Any], identity: tuple[str, str, bool]) -> None:
    assert servers.identify_mongodb(build_info) == identity


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p%40@h:1/old?sslmode=disable", "postgresql://u:p%40@h:1/new?sslmode=disable"),
        ("mongodb://h1:1,h2:2/?replicaSet=rs0", "mongodb://h1:1,h2:2/new?replicaSet=rs0"),
        ("mongodb://h", "mongodb://h/new"),
        ("mongodb://u:p@h/users", "mongodb://u:p@h/new?authSource=users"),
        ("mongodb+srv://u:p@h/?w=1", "mongodb+srv://u:p@h/new?w=1&authSource=admin"),
        ("mongodb://u:p@h/users?authSource=admin", "mongodb://u:p@h/new?authSource=admin"),
    ],
)
def test_a_database_takes_its_servers_url_along(url: str, expected: str) -> None:
    assert servers._with_database(url, "new") == expected


def test_reports_say_what_is_there_and_what_is_not() -> None:
    surrogate = Server(
        "mongodb", "mongodb://u:s3cret@h", "SecantusDB", "0.7.0b3", is_surrogate=True, origin="private"
    )
    missing = Missing("postgresql", "psycopg is not installed", "pip install psycopg")
    assert describe([surrogate, missing]) == (
        "SecantusDB 0.7.0b3, a surrogate: not MongoDB (private)\n"
        "PostgreSQL: not run: psycopg is not installed (pip install psycopg)"
    )
    assert "s3cret" not in repr(surrogate)


@pytest.mark.parametrize(("value", "fails"), [("true", True), ("1", True), ("", False), ("false", False)])
def test_a_missing_server_fails_in_ci(value: str, fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", value)
    assert servers.missing_is_failure() is fails


def test_importing_it_imports_no_driver() -> None:
    code = "import sys, dbkit.testing.servers; print({'psycopg', 'pymongo', 'bson', 'sqlalchemy'} & sys.modules.keys())"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "set()\n"
    )


def test_developers_keep_servers_by_one_command() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "dbkit.testing.servers"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        shown: list[str] = []
        with contextlib.closing(process.stdout):
            for line in process.stdout:
                shown.append(line)
                if line.startswith("running"):
                    process.terminate()
        code = process.wait(timeout=30)
    assert any("DBKIT_TEST_POSTGRES_URL" in line for line in shown), shown
    assert code == (2 if any("not run" in line for line in shown) else 0)
