"""A proxy on loopback that records a MongoDB server's replies, and answers the same questions with them.

A stand-in for MongoDB is slow and takes its time from the machine that is measured; the client's cost does not depend on
who answers. Each contender has a port of its own; what one has asked is recorded for all. A question is the same when its
command is, apart from what a driver makes anew for each: the session, the clock, numbers of transactions and requests, and,
in writes, the documents. What was not asked yet goes to the server; what is about the connection always does.

Two replies are not the stand-in's own. Reading on from an id is answered in slices (`bench.slices`). And what the stand-in
says of its build leaves out that it is one: else dbkit would go round its weaknesses (reads of several collections in a
transaction), where on MongoDB it asks by read concern "snapshot", which the stand-in accepts.

`python -m bench.replay HOST PORT` is the process: a line "open NAME" in, a line with a port out; "hits" in, JSON out.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import bson
from bson.raw_bson import RawBSONDocument

from .slices import Slices, asked_slice

if TYPE_CHECKING:
    from .runner import Cores

__all__ = ["Replay"]

_HEADER = struct.Struct("<iiii")
_OP_MSG = 2013
_REPLAYED = frozenset(
    [
        "find",
        "aggregate",
        "getMore",
        "count",
        "distinct",
        "insert",
        "update",
        "delete",
        "findAndModify",
        "findandmodify",
        "commitTransaction",
    ]
)
_VOLATILE = frozenset(
    # The last is what a call has left of its time.
    {"lsid", "$clusterTime", "txnNumber", "$db", "$readPreference", "apiVersion", "maxTimeMS"}
)


class Replay:
    """The proxy's process."""

    def __init__(self, host: str, port: int) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "bench.replay", host, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _ask(self, line: str) -> str:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(line + "\n")
        self._child.stdin.flush()
        return self._child.stdout.readline()

    def pin(self, cores: Cores) -> None:
        """Put it on the servers' core."""
        cores.pin_server(self._child.pid)

    def port_of(self, name: str) -> int:
        """Return the port of a contender."""
        return int(self._ask(f"open {name}"))

    def hits(self) -> dict[str, dict[str, int]]:
        """Return how many questions of each contender were answered by a recording, and how many by the server."""
        found: dict[str, dict[str, int]] = json.loads(self._ask("hits"))
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.close()
        try:
            self._child.wait(5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child.stdout.close()


class _Tape:
    """The recordings, which all share, as one contender plays them."""

    def __init__(self, replies: dict[Any, bytes], slices: Slices) -> None:
        self.replies = replies
        self.slices = slices
        self.counts = {"replayed": 0, "served": 0}
        self.fetched: dict[Any, int] = {}
        """How often a cursor was asked for more since its first batch."""


def _received(connection: socket.socket, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = connection.recv(min(size, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _message(connection: socket.socket) -> tuple[bytes, bytes]:
    header = _received(connection, 16)
    return header, _received(connection, _HEADER.unpack(header)[0] - 16)


class _Question:
    """What a client's message asks for."""

    def __init__(self, body: bytes) -> None:
        document = RawBSONDocument(body[5 : 5 + struct.unpack_from("<i", body, 5)[0]])
        self.fields: dict[str, Any] = {k: v for k, v in document.items() if k not in _VOLATILE}
        self.command = next(iter(self.fields))
        self.database = str(document.get("$db", ""))
        lsid: Any = document.get("lsid")
        self.session: bytes = bytes(lsid["id"]) if lsid else b""
        self.rest = body[5 + len(document.raw) :]
        self.in_transaction = "autocommit" in self.fields

    def key(self, tape: _Tape) -> Any:
        """Return what the question is the same by."""
        kept = dict(self.fields)
        size: Any = len(self.rest)
        if self.command == "getMore":
            cursor = kept["getMore"]
            number = tape.fetched[cursor] = tape.fetched.get(cursor, 0) + 1
            return ("getMore", cursor, number)
        if self.command == "insert":
            # The ids and names differ each time: a question is known by how many documents came with its fields, and by
            # how many digits the length of the rest has, which is enough to tell one document from a bulk.
            documents = kept.pop("documents", ())
            size = (len(documents), len(str(size)))
        elif self.command in {"findAndModify", "findandmodify"}:
            kept.pop("update", None)
        elif self.command == "update":
            # Which documents, and not what becomes of them.
            given = [*kept.pop("updates", ()), *_sequence(self.rest)]
            return (self.command, bson.encode(kept), tuple(bson.encode(each["q"]) for each in given))
        return (self.command, bson.encode(kept), size)


def _sequence(section: bytes) -> list[dict[str, Any]]:
    """Return the documents of a message's second part: https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/."""
    if not section or section[0] != 1:
        return []
    end = 1 + struct.unpack_from("<i", section, 1)[0]
    return bson.decode_all(section[section.index(0, 5) + 1 : end])


def _cursor_of(reply: bytes) -> int:
    found = RawBSONDocument(reply[5 : 5 + struct.unpack_from("<i", reply, 5)[0]]).get("cursor")
    return int(found["id"]) if found is not None else 0


class _Line:
    """One client's connection and its own connection to the server."""

    def __init__(self, tape: _Tape, client: socket.socket, server: tuple[str, int]) -> None:
        self._tape = tape
        self._client = client
        self._server = socket.create_connection(server)
        for each in (self._client, self._server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # By session: what a transaction has asked so far, and whether it was all replayed.
        self._chains: dict[Any, tuple[Any, bool]] = {}

    def run(self) -> None:
        try:
            while True:
                header, body = _message(self._client)
                self._answer(header, body)
        except (EOFError, OSError):
            self._client.close()
            self._server.close()

    def _answer(self, header: bytes, body: bytes) -> None:
        _, number, _, code = _HEADER.unpack(header)
        if code != _OP_MSG:
            self._serve(header, body)
            return
        question = _Question(body)
        if question.command.lower() == "buildinfo":
            self._say_built(header, body)
            return
        if question.command not in _REPLAYED:
            self._serve(header, body)
            return
        tape = self._tape
        sliced = self._sliced(question)
        if sliced is not None:
            tape.counts["replayed"] += 1
            self._client.sendall(_HEADER.pack(len(sliced) + 16, 0, number, _OP_MSG) + sliced)
            return
        key = question.key(tape)
        must_serve = False
        if question.in_transaction:
            session = question.session
            before, was_replayed = self._chains.get(session, (None, True))
            if question.fields.get("startTransaction"):
                before, was_replayed = None, True
            # A transaction is replayed from its first statement to its last, or served whole.
            key = hash((before, key))
            must_serve = not was_replayed
            self._chains[session] = (key, was_replayed and key in tape.replies)
        reply = None if must_serve else tape.replies.get(key)
        if reply is None:
            tape.counts["served"] += 1
            reply = self._serve(header, body)
            tape.replies[key] = reply
        else:
            tape.counts["replayed"] += 1
            self._client.sendall(_HEADER.pack(len(reply) + 16, 0, number, _OP_MSG) + reply)
        if question.command in {"find", "aggregate"}:
            tape.fetched.pop(_cursor_of(reply), None)

    def _sliced(self, question: _Question) -> bytes | None:
        if question.in_transaction:
            return None
        if question.command == "getMore":
            return self._tape.slices.more(int(question.fields["getMore"]))
        asked = asked_slice(question.fields)
        return None if asked is None else self._tape.slices.first(question.database, asked)

    def _say_built(self, header: bytes, body: bytes) -> None:
        self._server.sendall(header + body)
        answer, reply = _message(self._server)
        said = bson.decode(reply[5:])
        said = {key: value for key, value in said.items() if "secantus" not in key.lower()}
        reply = reply[:5] + bson.encode(said)
        _, number, answered, code = _HEADER.unpack(answer)
        self._client.sendall(_HEADER.pack(len(reply) + 16, number, answered, code) + reply)

    def _serve(self, header: bytes, body: bytes) -> bytes:
        self._server.sendall(header + body)
        if len(body) >= 4 and struct.unpack_from("<I", body)[0] & 2 and _HEADER.unpack(header)[3] == _OP_MSG:
            return b""  # moreToCome: the client wants no reply
        answer, reply = _message(self._server)
        self._client.sendall(answer + reply)
        return reply


def _listen(tape: _Tape, server: tuple[str, int]) -> int:
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_Line(tape, client, server).run, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return int(listener.getsockname()[1])


def main() -> None:
    """Listen, as the parent says, until it says no more."""
    server = (sys.argv[1], int(sys.argv[2]))
    tapes: dict[str, _Tape] = {}
    replies: dict[Any, bytes] = {}
    slices = Slices(server)
    for line in sys.stdin:
        verb, _, name = line.strip().partition(" ")
        if verb == "open":
            tapes[name] = _Tape(replies, slices)
            answer: Any = _listen(tapes[name], server)
        else:
            answer = {name: tape.counts for name, tape in tapes.items()}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
