"""A loopback TCP proxy that loses what it is told to lose: a request before it arrives, or the reply to it."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

__all__ = ["Proxy"]


class Proxy:
    """Stands before the server that *url* names; `proxy.url` leads through it.

    A MongoDB client asks the server for the addresses of its replica set, and would go past the proxy: hence
    `directConnection`.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        login, at, _ = parts.netloc.rpartition("@")
        assert parts.hostname is not None
        assert parts.port is not None
        self._target = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        query = parts.query
        if parts.scheme.startswith("mongodb") and "directConnection=" not in query:
            query = "&".join(filter(None, [query, "directConnection=true"]))
        self.url = urlunsplit((parts.scheme, f"{login}{at}127.0.0.1:{port}", parts.path, query, ""))
        self._lock = threading.Lock()
        self._plans: list[tuple[bytes, bool]] = []
        self._sockets: set[socket.socket] = set()
        self._is_open = True
        self.cuts = 0
        """How often something was lost."""
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_reply(self, marker: bytes) -> None:
        """Let the next request that has *marker* in it arrive, and break the connection when the reply comes."""
        with self._lock:
            self._plans.append((marker, True))

    def lose_request(self, marker: bytes) -> None:
        """Break the connection at the next request that has *marker* in it, which does not arrive."""
        with self._lock:
            self._plans.append((marker, False))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_open = False
        self._listener.close()
        with self._lock:
            left = list(self._sockets)
        for one in left:
            _close(one)

    def _accept(self) -> None:
        while self._is_open:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target, timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            with self._lock:
                self._sockets |= {client, server}
            swallow = threading.Event()
            for pair in ((client, server, swallow, True), (server, client, swallow, False)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(
        self, source: socket.socket, target: socket.socket, swallow: threading.Event, is_request: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if is_request:
                    planned = self._planned(data)
                    if planned is False:
                        break
                    if planned:
                        swallow.set()
                elif swallow.is_set():
                    break
                target.sendall(data)
        for one in (source, target):
            _close(one)
        with self._lock:
            self._sockets -= {source, target}

    def _planned(self, data: bytes) -> bool | None:
        """Return whether this request arrives and its reply is lost, is lost itself (False), or nothing (None)."""
        with self._lock:
            if self._plans and self._plans[0][0] in data:
                self.cuts += 1
                return self._plans.pop(0)[1]
        return None


def _close(one: socket.socket) -> None:
    # shutdown wakes the thread that waits in recv; close alone does not.
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
