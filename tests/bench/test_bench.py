"""The benchmark's own logic: nothing here is timed, and no gate on speed runs in `make test` (`make bench-instructions`)."""

from __future__ import annotations

import json
import shutil
import socket
import struct
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID

import bson
import pytest

import bench.slices
from bench.bars import table
from bench.data import Case, Data, fill, plain, remove_new
from bench.instructions import compared
from bench.registry import CONTENDERS, STORES, Entry, of_store
from bench.replay import Replay
from bench.report import Ratio, page, ratio, with_table
from bench.runner import Cores, measure
from bench.slices import Slices, asked_slice
from bench.worker import Worker
from bench.workloads import BARS, BY_NAME, WORKLOADS

ROOT = Path(__file__).parents[2]


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


@pytest.mark.parametrize("name", ["raw", "floor", "floor_own", "dbkit", "floor_async", "dbkit_async"])
def test_contenders_return_what_the_data_say(data: Data, tmp_path: Path, name: str) -> None:
    url = f"sqlite:///{tmp_path / 'bench.db'}"
    fill(url, data)
    worker = Worker("sqlite", name, Case(**asdict(data.case())))
    worker.open(url)
    try:
        assert worker.verify(writes=False) == {}
        assert worker.verify(writes=True) == {}
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
        assert worker.verify(writes=False) == {"page": "not what the data say"}
    finally:
        worker.close()
        worker.end()


def test_a_contender_that_fails_is_told_and_the_others_go_on(data: Data, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'bench.db'}"
    fill(url, data)
    broken = Entry("broken", "nobody knows it", {"sqlite": "no_such_module"})
    told: list[str] = []
    with (tmp_path / "log").open("wb") as log:
        found = measure(
            "sqlite",
            [broken, next(entry for entry in CONTENDERS if entry.name == "floor")],
            lambda _: (url, url),
            data.case(),
            repeats=2,
            target_s=0.001,
            cores=Cores(None, None),
            clean=lambda: remove_new(url),
            log=log,
            workloads=[BY_NAME["get"], BY_NAME["create"]],
            tell=told.append,
        )
    assert found.failed == {"broken": "its process ended"}
    assert {workload: set(row) for workload, row in found.cpu.items()} == {
        "get": {"floor"},
        "create": {"floor"},
    }
    assert all(len(row["floor"]) == 2 and None not in row["floor"] for row in found.cpu.values())
    assert any("repeat 2 of 2" in line for line in told)


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


def test_the_page_and_the_readme_are_made_of_the_json() -> None:
    """`python -m bench --page docs/performance.json` makes them."""
    results = json.loads((ROOT / "docs" / "performance.json").read_text())
    assert (ROOT / "docs" / "performance.md").read_text() == page(results)
    readme = (ROOT / "README.md").read_text()
    assert "performance: begin" in readme
    assert with_table(readme, results) == readme


def test_the_page_says_where_a_contender_has_another_driver_than_its_floor() -> None:
    results = json.loads((ROOT / "docs" / "performance.json").read_text())
    times = results["stores"]["postgresql"]["cpu_s"]
    for row in times.values():
        row.pop("peewee_async", None)
    assert "asyncpg" not in page(results).partition("## What is compared")[2]
    times["get"]["peewee_async"] = times["get"]["floor_async"]
    assert page(results).count("Peewee + pydantic (async) runs on asyncpg") == 1


def test_runs_stand_beside_the_bars() -> None:
    results = json.loads((ROOT / "docs" / "performance.json").read_text())
    lines = table([results, results])
    assert lines[0].count("| run of ") == 2
    rows = [line for line in lines if "| PostgreSQL | 10,000 rows at once | 0.15 |" in line]
    assert len(rows) == 1
    assert len(lines) == 2 + 3 * 2 * len(WORKLOADS)


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


def _slices(documents: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch) -> Slices:
    class Kept(bench.slices._Kept):
        def __init__(self, *_: object) -> None:
            self.ids = [bytes(str(d["_id"]), "ascii") for d in documents]
            self.documents = [bson.encode(d) for d in documents]
            self.fields = frozenset({"_id", "n"})
            self.namespace, self.tail = b"d.posts", bson.encode({"operationTime": 1})[4:-1]

    monkeypatch.setattr(bench.slices, "_Kept", Kept)
    return Slices(("127.0.0.1", 0))


def _numbers(reply: bytes | None, batch: str) -> tuple[list[int], int]:
    assert reply is not None
    found = bson.decode(reply[5:])
    assert (found["ok"], found["operationTime"], found["cursor"]["ns"]) == (1.0, 1, "d.posts")
    return [d["n"] for d in found["cursor"][batch]], found["cursor"]["id"]


def test_reading_on_from_an_id_is_answered_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    slices = _slices([{"_id": f"{n:04}", "n": n} for n in range(500)], monkeypatch)
    by_id = {"sort": {"_id": 1}}
    first = asked_slice({"find": "posts", "filter": {}, **by_id, "limit": 200})
    assert first is not None
    shown, cursor = _numbers(slices.first("d", first), "firstBatch")
    assert shown == list(range(101))
    assert _numbers(slices.more(cursor), "nextBatch") == (list(range(101, 200)), 0)
    assert slices.more(cursor) is None
    after = {"_id": {"$gt": b"0350"}}
    for asked in (
        {"find": "posts", "filter": after, **by_id, "limit": 200, "batchSize": 201, "maxTimeMS": 9},
        {
            "find": "posts",
            "filter": after,
            **by_id,
            "limit": 200,
            "batchSize": 201,
            "projection": {"_id": 1, "n": 1},
        },
        {
            "aggregate": "posts",
            "pipeline": [{"$match": after}, {"$sort": {"_id": 1}}, {"$limit": 200}],
            "cursor": {"batchSize": 200},
        },
    ):
        found = asked_slice(asked)
        assert found is not None
        assert _numbers(slices.first("d", found), "firstBatch") == (list(range(351, 500)), 0)


NO_SLICES: list[dict[str, Any]] = [
    {"find": "posts", "filter": {}, "sort": {"_id": -1}, "limit": 200},
    {"find": "posts", "filter": {}, "sort": {"_id": 1, "n": 1}, "limit": 200},
    {"find": "posts", "filter": {}, "sort": {"_id": 1}, "limit": 50},
    {"find": "posts", "filter": {}, "sort": {"_id": 1}},
    {"find": "posts", "filter": {}, "sort": {"_id": 1}, "limit": 200, "skip": 3},
    {"find": "posts", "filter": {"n": 1}, "sort": {"_id": 1}, "limit": 200},
    {"find": "posts", "filter": {"_id": {"$gte": b"1"}}, "sort": {"_id": 1}, "limit": 200},
    {"aggregate": "posts", "pipeline": [{"$match": {}}, {"$limit": 200}], "cursor": {}},
    {"insert": "posts"},
]


@pytest.mark.parametrize("fields", NO_SLICES)
def test_other_questions_are_no_slices(fields: dict[str, Any]) -> None:
    assert asked_slice(fields) is None


def test_a_projection_that_leaves_fields_out_is_left_to_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    slices = _slices([{"_id": "1", "n": 1}], monkeypatch)
    asked = asked_slice(
        {"find": "posts", "filter": {}, "sort": {"_id": 1}, "limit": 200, "projection": {"n": 1}}
    )
    assert asked is not None
    assert slices.first("d", asked) is None


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
