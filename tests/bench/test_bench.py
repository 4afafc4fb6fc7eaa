"""The benchmark's own logic: nothing here is timed, and no gate on speed runs in `make test` (`make bench-instructions`)."""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from uuid import UUID

import bson
import pytest

from bench.data import Case, Data, fill, plain, remove_new
from bench.instructions import compared
from bench.registry import CONTENDERS, STORES, of_store
from bench.replay import Replay
from bench.report import Ratio, ratio
from bench.worker import Worker
from bench.workloads import BARS, BY_NAME, WORKLOADS


@pytest.fixture(scope="module")
def data() -> Data:
    return Data(users=1_200, posts=9_000)


def test_data_are_the_same_for_the_same_seed(data: Data) -> None:
    again = Data(users=1_200, posts=9_000)
    assert again.users == data.users
    assert again.posts == data.posts
    assert asdict(again.case()) == asdict(data.case())


def test_what_is_expected_has_the_sizes_that_the_workloads_name(data: Data) -> None:
    expected = data.case().expected
    assert len(expected["page"]) == len(expected["deep_page"]) == 50
    assert {len(posts) for posts in expected["posts"]} == {100}
    assert [len(user[-1]) for user in expected["view"]] == [3] * 20
    assert len({count for _, _, count in expected["stats"][2]}) > 1


def test_a_document_and_an_instance_are_shown_alike(data: Data) -> None:
    user = data.users[0]
    document = {"_id": user.id, **dict(zip(user._fields[1:], user[1:], strict=True))}
    assert plain(user) == plain(document)


@pytest.mark.parametrize("name", ["raw", "floor", "dbkit", "floor_async", "dbkit_async"])
def test_contenders_return_what_the_data_say(data: Data, tmp_path: Path, name: str) -> None:
    url = f"sqlite:///{tmp_path / 'bench.db'}"
    fill(url, data)
    worker = Worker("sqlite", name, Case(**asdict(data.case())))
    worker.open(url)
    try:
        assert worker.verify() == []
    finally:
        worker.close()
        worker.end()
        remove_new(url)


def test_a_wrong_result_is_found(data: Data, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'bench.db'}"
    fill(url, data)
    case = data.case()
    case.expected["page"][7][-1] = "another bio"
    worker = Worker("sqlite", "floor", case)
    worker.open(url)
    try:
        assert worker.verify() == ["page: not what the data say"]
    finally:
        worker.close()
        worker.end()


def test_ratios_are_taken_within_one_repeat() -> None:
    times: dict[str, list[float | None]] = {"a": [2.0, None, 30.0], "floor": [1.0, 5.0, 10.0]}
    found = ratio(times, "a", "floor")
    assert found is not None
    assert found.values == [2.0, 3.0]
    assert found.median == 2.5
    assert ratio(times, "b", "floor") is None
    assert str(Ratio([1.0, 2.0, 3.0])) == "2.00 (1.50–2.50)"


def test_the_gate_says_what_left_the_baseline() -> None:
    baseline = {"sqlite": {"get": 1_000, "page": 1_000, "posts": 1_000}}
    counts = {"sqlite": {"get": 1_019, "page": 1_021, "posts": 979, "create": 5}}
    assert compared(counts, baseline) == [
        "sqlite page: 1,021 instructions, +2.1%",
        "sqlite posts: 979 instructions, -2.1%",
        "sqlite create: not in the baseline",
    ]


def test_every_store_has_its_floors_and_every_bar_a_workload() -> None:
    for store in STORES:
        names = {entry.name for entry in of_store(store)}
        assert {"raw", "floor", "dbkit", "raw_async", "floor_async", "dbkit_async"} <= names
    assert len({entry.name for entry in CONTENDERS}) == len(CONTENDERS)
    assert {name for bars in BARS.values() for name in bars} <= set(BY_NAME)
    assert len(BY_NAME) == len(WORKLOADS)


# -- the proxy that replays ------------------------------------------------------------------------------------------------


def _framed(body: bytes, number: int) -> bytes:
    return struct.pack("<iiii", len(body) + 16, number, 0, 2013) + body


def _message(number: int, document: dict[str, object]) -> bytes:
    return _framed(b"\0\0\0\0\0" + bson.encode(document), number)


def _read(connection: socket.socket) -> tuple[int, dict[str, object]]:
    header = connection.recv(16, socket.MSG_WAITALL)
    length, _, answered, _ = struct.unpack("<iiii", header)
    body = connection.recv(length - 16, socket.MSG_WAITALL)
    return answered, bson.decode(body[5:])


@pytest.fixture
def counting_server() -> tuple[int, list[str]]:
    """A server that numbers its answers."""
    listener = socket.create_server(("127.0.0.1", 0))
    asked: list[str] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, listener:
            while header := connection.recv(16, socket.MSG_WAITALL):
                length, number, _, _ = struct.unpack("<iiii", header)
                body = connection.recv(length - 16, socket.MSG_WAITALL)
                asked.append(next(iter(bson.decode(body[5:]))))
                reply = b"\0\0\0\0\0" + bson.encode({"ok": 1.0, "n": len(asked)})
                connection.sendall(struct.pack("<iiii", len(reply) + 16, 0, number, 2013) + reply)

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1], asked


def test_the_same_question_is_answered_from_the_recording(counting_server: tuple[int, list[str]]) -> None:
    port, asked = counting_server
    with (
        Replay("127.0.0.1", port) as replay,
        socket.create_connection(("127.0.0.1", replay.port_of("a"))) as client,
    ):

        def ask(number: int, **more: object) -> tuple[int, object]:
            client.sendall(_message(number, {**more, "lsid": {"id": number.to_bytes(16)}, "$db": "d"}))
            answered, found = _read(client)
            return answered, found["n"]

        assert ask(1, find="users", filter={"_id": 1}) == (1, 1)
        assert ask(2, find="users", filter={"_id": 1}) == (2, 1)
        assert ask(3, find="users", filter={"_id": 2}) == (3, 2)
        assert ask(4, ping=1) == (4, 3)
        assert ask(5, ping=1) == (5, 4)
        # A transaction that was served is served to its end, and replayed as a whole.
        for number in (10, 20):
            first = ask(
                number, insert="users", documents=[{"_id": number}], startTransaction=True, autocommit=False
            )
            assert first[1] == 5
            client.sendall(
                _message(
                    number + 1,
                    {"commitTransaction": 1, "autocommit": False, "lsid": {"id": number.to_bytes(16)}},
                )
            )
            assert _read(client)[1]["n"] == 6
        assert replay.hits() == {"a": {"replayed": 3, "served": 4}}
    assert asked == ["find", "find", "ping", "ping", "insert", "commitTransaction"]


def test_ids_of_created_rows_differ_between_contenders(data: Data) -> None:
    from bench.workloads import Arguments

    case = data.case()
    made: set[UUID] = {user.id for tag in ("a", "b") for user in Arguments(case, tag).new(50)}
    assert len(made) == 100


@pytest.mark.skipif(
    shutil.which("valgrind") is None, reason="NOT COUNTED: valgrind is not installed (apt install valgrind)"
)
def test_valgrind_sees_the_marks(tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = "import os; os.getppid(); sum(range(1000)); os.getppid()"
    command = ["valgrind", "--tool=callgrind", "--dump-before=getppid", f"--callgrind-out-file={out}"]
    subprocess.run([*command, sys.executable, "-S", "-c", code], check=True, capture_output=True)
    assert Path(f"{out}.2").exists()
