"""A store of migrations in memory, for what the engine does by itself: it records operations, and can be killed anywhere.

`fake://name` commits a step together with its state, `fakedoc://name` does not. What survives a kill is in `Server`.
"""

from __future__ import annotations

import copy
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dbkit import Database, Features, IntegrityError, Locked, ServerInfo
from dbkit._sync.database import Stores
from dbkit.connect import options_of
from dbkit.migrations.differences import Difference
from dbkit.migrations.operations import Operation
from dbkit.migrations.state import State
from dbkit.migrations.store import Rendered
from dbkit.migrations.words import words_of
from dbkit.options import Options
from dbkit.registry import plugin
from dbkit.spec import Schema
from dbkit.statement import Hook
from dbkit.url import URL, parse_url

__all__ = ["PLUGIN", "FakeStore", "Killed", "Server", "server"]


class Killed(BaseException):
    """What a kill is here: nothing catches it."""


@dataclass
class Server:
    """What outlives a migrator."""

    state: State | None = None
    log: list[str] = field(default_factory=list)
    """What was done and committed, in words."""
    data: str | None = None
    """The URL of a SQLite file for data steps."""
    calls: int = 0
    kill_at: int | None = None
    """Before which call the process dies."""
    fail_on: str | None = None
    """The words of the operation that fails."""
    is_locked: bool = False
    before_transaction: list[Any] = field(default_factory=list)
    """Functions, each called once, before a transaction begins: another migrator."""

    def call(self) -> None:
        """Count a call; die at the chosen one."""
        if self.kill_at is not None and self.calls == self.kill_at:
            raise Killed
        self.calls += 1


SERVERS: dict[str, Server] = {}


def server(name: str) -> Server:
    """Return the server of that name."""
    return SERVERS.setdefault(name, Server())


class FakeStore:
    """One migrator's connection."""

    hook: Hook | None = None
    server = ServerInfo("Fake", "1")

    def __init__(self, url: URL, options: Options) -> None:
        del options
        self.name = url.backend
        self.is_transactional = url.backend == "fake"
        self.language = "sql" if self.is_transactional else "mongodb"
        self._world = server(url.database)
        self._open: Stores | None = None

    def open(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    @contextmanager
    def lock(self, timeout_s: float) -> Generator[None]:
        self._world.call()
        if self._world.is_locked:
            raise Locked(f"another migrator ran for {timeout_s:g} s", backend=self.name)
        yield

    def state(self) -> State | None:
        self._world.call()
        return self._world.state

    def save(self, state: State) -> None:
        self._world.call()
        there = self._world.state.revision if self._world.state is not None else 0
        if state.revision != there + 1:
            raise Locked("somebody else changed the state", backend=self.name)
        # What is stored is JSON.
        self._world.state = State.from_json(state.to_json())
        self._world.call()

    @contextmanager
    def transaction(self) -> Generator[None]:
        if not self.is_transactional:
            yield
            return
        if self._world.before_transaction:
            self._world.before_transaction.pop(0)()
        with self._all_or_nothing():
            yield

    @contextmanager
    def _all_or_nothing(self) -> Generator[None]:
        world = self._world
        before = world.state, copy.copy(world.log)
        try:
            yield
            world.call()
        except BaseException:
            world.state, world.log = before
            raise

    def apply(self, operation: Operation) -> int:
        return self._do(words_of(operation))

    def _do(self, words: str) -> int:
        self._world.call()
        if words == self._world.fail_on:
            raise IntegrityError(f"cannot {words}")
        if self.is_transactional or words not in self._world.log:
            self._world.log.append(words)
        self._world.call()
        return 0

    def render(self, operation: Operation) -> list[Rendered]:
        return [Rendered(f"-- {words_of(operation)}")]

    def sql(self, text: str) -> int:
        return self._do(text.strip())

    def statements(self, text: str) -> list[str]:
        return [part.strip() for part in text.split(";") if part.strip()]

    def command(self, command: Mapping[str, Any]) -> Mapping[str, Any]:
        self._do(f"{next(iter(command))} {next(iter(command.values()))}")
        return {"ok": 1.0}

    def stores(self, schema: Schema) -> Stores:
        return self._database(schema) if self._open is None else self._open

    def _database(self, schema: Schema) -> Database:
        assert self._world.data is not None
        url = parse_url(self._world.data)
        chosen = plugin(url.backend)
        options = options_of(url, chosen)
        return Database(url, chosen.backend(url, options), schema, options, None).open()

    @contextmanager
    def batch(self, schema: Schema) -> Generator[Stores]:
        database = self._database(schema)
        try:
            with self._all_or_nothing(), database.transaction() as tx:
                self._open = tx
                yield tx
        finally:
            self._open = None
            database.close()

    def differences(self, schema: Schema) -> list[Difference]:
        del schema
        return []

    def ddl(self, schema: Schema) -> list[str]:
        return [f"create {entity.stored}" for entity in schema]


class _Plugin:
    """A plugin for migrations alone: nothing here asks it for a backend."""

    QUERY_KEYS: frozenset[str] = frozenset()
    FEATURES: Mapping[str, Features] = {}

    def backend(self, url: URL, options: Options) -> Any:
        raise NotImplementedError

    def async_backend(self, url: URL, options: Options) -> Any:
        raise NotImplementedError

    def migration_store(self, url: URL, options: Options) -> FakeStore:
        return FakeStore(url, options)


PLUGIN = _Plugin()
