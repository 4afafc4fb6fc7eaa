"""What the migration stores of SQLite and PostgreSQL share: one held connection, its transactions, the state's row.

A step's transaction sees each statement's own moment (READ COMMITTED on PostgreSQL): after an ALTER has waited for its
lock, a snapshot from before would not see the rows that were written meanwhile, and they would be left out.
"""

from __future__ import annotations

import copy
import json
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Generic, Literal, TypeVar

from dbkit.errors import (
    DbkitError,
    InvalidInput,
    Locked,
    OutOfRange,
    TransactionAborted,
    TransactionError,
    Unsupported,
)
from dbkit.migrations.differences import Difference
from dbkit.migrations.operations import AddIndex, DropIndex, Operation, SetValidator
from dbkit.migrations.state import STATE_NAME, State
from dbkit.migrations.store import Rendered
from dbkit.spec import EntitySpec, Schema
from dbkit.statement import Hook, ServerInfo, Statement

from .._sync.backend import SqlBackend
from .._sync.connection import Connection
from ..compiler import Compiler
from ..errors import Verb
from ..schema import Tables
from .held import HeldStores, OnePool
from .parts import statements, tokens
from .refusals import in_a_migration

__all__ = ["Kind", "SqlMigrationStore"]

C = TypeVar("C", bound=Connection)
Kind = Literal["step", "batch", "state"]
"""What a transaction is for: a whole step, a batch of its data, or the state alone."""

_CONTROL = frozenset({"BEGIN", "COMMIT", "ROLLBACK", "END", "START", "SAVEPOINT", "RELEASE", "ABORT"})
_KEPT_SCHEMAS = 32


class SqlMigrationStore(ABC, Generic[C]):
    """A store that commits a step together with its state."""

    name: str
    language = "sql"
    is_transactional = True

    def __init__(self, backend: SqlBackend[C]) -> None:
        self.name = backend.name
        self.server: ServerInfo = backend.server
        self.hook: Hook | None = None
        self._main = backend
        backend.hook = self._tell
        self._held: C | None = None
        self._open: Kind | None = None
        self._doomed = False
        self._backends: dict[tuple[int, ...], SqlBackend[C]] = {}

    # -- what each does its own way ------------------------------------------------------------------------------------

    @abstractmethod
    def _settle(self, connection: C) -> None:
        """Prepare the held connection: statements may take as long as they take."""

    @abstractmethod
    def _begin(self, kind: Kind) -> None:
        """Begin a write transaction."""

    @abstractmethod
    def _check(self) -> None:
        """Look, before a step commits, at what is put off until then."""

    @abstractmethod
    def _commit(self) -> None:
        """Commit."""

    @abstractmethod
    def _after(self) -> None:
        """Clean up after a transaction, however it ended."""

    @abstractmethod
    def _translate(self, error: BaseException, verb: Verb, tables: Tables) -> DbkitError | None:
        """Return what a driver's error means."""

    @abstractmethod
    def _refused(self, error: BaseException) -> str | None:
        """Return what the server says of a statement's text and names; such words hold no stored values."""

    @abstractmethod
    def _has_table(self, stored: str) -> bool:
        """Return whether there is such a table."""

    @abstractmethod
    def _state_ddl(self) -> str:
        """Return the statement that makes the state's table where it is not there."""

    @abstractmethod
    def _run(self, text: str) -> int:
        """Run one statement of the user's as it is, and return how many rows it changed, or 0."""

    @abstractmethod
    def _operate(self, operation: Operation, *, again: bool) -> int:
        """Do a schema operation inside the open transaction; *again*: what is done already is left as it is."""

    @abstractmethod
    def _is_gentle(self, operation: Operation) -> bool:
        """Whether the operation is done statement by statement where no transaction is open, to lock others less."""

    @abstractmethod
    def _index_concurrently(self, operation: AddIndex | DropIndex) -> None:
        """Make or drop an index outside a transaction."""

    @abstractmethod
    def _compared(self, schema: Schema) -> list[Difference]:
        """Return how the database differs."""

    @abstractmethod
    def _before_store(self, entity: EntitySpec) -> None:
        """Prepare for the use of an entity's store inside the open transaction."""

    @abstractmethod
    def _before_write(self) -> None:
        """Prepare for a store's write inside the open transaction."""

    @abstractmethod
    def render(self, operation: Operation) -> list[Rendered]:
        """Return what `apply` would send, reading only."""

    @property
    @abstractmethod
    def _mark(self) -> str:
        """The placeholder of a value."""

    # -- life ----------------------------------------------------------------------------------------------------------

    def _tell(self, statement: Statement) -> None:
        if self.hook is not None:
            self.hook(statement)

    def open(self) -> None:
        """Connect and probe."""
        if self._held is not None:
            return
        self._main.open(Schema(()))
        self.server = self._main.server
        try:
            self._held = self._main.taken()
            with self._told():
                self._settle(self._held)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        held, self._held = self._held, None
        if held is not None:
            self._main.pool.discard(held)
        self._backends.clear()
        self._main.close()

    @property
    def _connection(self) -> C:
        if self._held is None:
            raise TransactionError("the migration store is not open", backend=self.name)
        return self._held

    @contextmanager
    def _told(self, entity: EntitySpec | None = None, tables: Tables | None = None) -> Generator[None]:
        """Raise what a driver's error inside means."""
        try:
            yield
        except DbkitError as error:
            error.backend = error.backend or self.name
            raise
        except Exception as error:
            verb = Verb(entity, writes=self._open is None)
            translated = self._translate(error, verb, tables or self._main.compiler.tables)
            if translated is None:
                raise
            translated.backend = self.name
            raise in_a_migration(translated) from error

    # -- transactions --------------------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Run the block in one write transaction."""
        with self._within("step"):
            yield

    @contextmanager
    def batch(self, schema: Schema) -> Generator[HeldStores[C]]:
        """Run the block in one transaction of its own where none is open."""
        if self._open is not None:
            yield self.stores(schema)
            return
        with self._within("batch"):
            yield self.stores(schema)

    @contextmanager
    def _within(self, kind: Kind) -> Generator[None]:
        if self._open is not None:
            raise TransactionError("a migration's transactions do not nest", backend=self.name)
        connection = self._connection
        try:
            with self._told():
                self._begin(kind)
            self._open, self._doomed = kind, False
            yield
            if self._doomed:
                raise TransactionAborted(
                    "an earlier error ended this transaction, and was not let out of the migration",
                    backend=self.name,
                    hint="let the error leave up() or down(): all of the step is rolled back",
                )
            with self._told():
                self._check()
            self._open = None
            with self._told():
                self._commit()
        except BaseException:
            self._open = None
            # The first error is raised, whatever becomes of the connection; a broken one has rolled back by itself.
            with suppress(Exception):
                connection.rollback()
            raise
        finally:
            with suppress(Exception):
                self._after()

    def _doom(self) -> None:
        self._doomed = True

    # -- the state -----------------------------------------------------------------------------------------------------

    def state(self) -> State | None:
        """Return the stored state."""
        with self._told():
            if not self._has_table(STATE_NAME):
                return None
            rows = self._connection.rows(
                f'SELECT revision, version, dirty, state FROM "{STATE_NAME}" WHERE id = 1'  # noqa: S608
            )
        if not rows:
            return None
        revision, version, dirty, text = rows[0]
        stored: dict[str, Any] = json.loads(text)
        # The columns are what somebody mends by hand in an emergency.
        return State.from_json({**stored, "revision": revision, "version": version, "dirty": dirty})

    def save(self, state: State) -> None:
        """Store *state* by compare-and-set."""
        if self._open is None:
            with self._within("state"):
                self._save(state)
        else:
            self._save(state)

    def _save(self, state: State) -> None:
        table, mark = f'"{STATE_NAME}"', self._mark
        text = json.dumps(state.to_json(), ensure_ascii=False)
        values = (state.revision, state.version, state.dirty, text)
        with self._told():
            if state.revision <= 1 and not self._has_table(STATE_NAME):
                self._connection.change(self._state_ddl())
            if state.revision <= 1:
                insert = (
                    f"INSERT INTO {table} (id, revision, version, dirty, state) "  # noqa: S608
                    f"VALUES (1, {mark}, {mark}, {mark}, {mark}) ON CONFLICT (id) DO NOTHING"
                )
                changed = self._connection.change(insert, values)
            else:
                update = (
                    f"UPDATE {table} SET revision = {mark}, version = {mark}, dirty = {mark}, state = {mark} "  # noqa: S608
                    f"WHERE id = 1 AND revision = {mark}"
                )
                changed = self._connection.change(update, (*values, state.revision - 1))
        if changed != 1:
            self._doom()
            raise Locked(
                "another migrator changed the migrations' state meanwhile",
                backend=self.name,
                hint="look at `dbkit migrate version`, then run it again",
            )

    # -- the work ------------------------------------------------------------------------------------------------------

    def apply(self, operation: Operation) -> int:
        """Do one schema operation and return how many rows it rewrote."""
        if isinstance(operation, SetValidator):
            return 0
        if isinstance(operation, AddIndex | DropIndex) and operation.is_concurrent and self._open is None:
            with self._told(operation.entity):
                self._index_concurrently(operation)
            return 0
        if self._open == "step":
            return self._operated(operation, again=False)
        if self._open is None and self._is_gentle(operation):
            return self._operated(operation, again=True)
        if self._open is not None:
            raise TransactionError("a batch changes data, not the schema", backend=self.name)
        with self._within("step"):
            return self._operated(operation, again=True)

    def _operated(self, operation: Operation, *, again: bool) -> int:
        try:
            with self._told(getattr(operation, "entity", None)):
                return self._operate(operation, again=again)
        except DbkitError as error:
            self._doom()
            self._explain(error)
            raise

    def _explain(self, error: DbkitError) -> None:
        """Add the server's own words to an error, where they are about names: those of a migration are its author's."""
        said = None if error.__cause__ is None else self._refused(error.__cause__)
        if said is not None:
            error.message = f"{error.message}: {said}"

    def sql(self, text: str) -> int:
        """Run SQL, one or more statements."""
        found = self.statements(text)
        if self._open is not None:
            for statement in found:
                self._refuse_control(statement)
        changed = 0
        for statement in found:
            try:
                with self._told():
                    changed = self._run(statement)
            except DbkitError as error:
                self._doom()
                if isinstance(error, OutOfRange):
                    # The text is the author's, and so is the CHECK.
                    error.message = "a row breaks a CHECK, or a bound of its column's type"
                self._explain(error)
                error.operation = error.operation or "sql"
                raise
        return changed

    def _refuse_control(self, statement: str) -> None:
        found = self._tokens(statement)
        first = next(t.text.upper() for t in found if t.kind not in ("space", "comment"))
        if first in _CONTROL:
            raise InvalidInput(
                f"{first} in a migration that is one transaction already",
                backend=self.name,
                operation="sql",
                hint="leave it out; or say transactional = False in the migration's file",
            )

    def _tokens(self, text: str) -> Any:
        return tokens(text, postgres=self._main.dialect.alters_constraints)

    def statements(self, text: str) -> list[str]:
        """Split SQL text into its statements."""
        return statements(text, postgres=self._main.dialect.alters_constraints)

    def command(self, command: Mapping[str, Any]) -> Mapping[str, Any]:
        """Refuse: a SQL store has no commands."""
        raise Unsupported("MongoDB's commands are not for a SQL store", backend=self.name, hint="m.sql(…)")

    def stores(self, schema: Schema) -> HeldStores[C]:
        """Return dbkit's stores of *schema*'s entities on this connection."""
        connection = self._connection
        key = tuple(entity.token for entity in schema)
        backend = self._backends.get(key)
        if backend is None:
            if len(self._backends) >= _KEPT_SCHEMAS:
                self._backends.clear()
            backend = copy.copy(self._main)
            backend.compiler = Compiler(Tables(backend.dialect, schema))
            backend.pool = OnePool(connection)
            self._backends[key] = backend
        doom = None if self._open is None else self._doom
        return HeldStores(
            backend, connection, schema, doom=doom, before=self._before_store, before_write=self._before_write
        )

    def differences(self, schema: Schema) -> list[Difference]:
        """Return how the database differs from what `create_schema()` would make, reading only."""
        with self._told():
            return self._compared(schema)

    def ddl(self, schema: Schema) -> list[str]:
        """Return the statements that `create_schema()` would send into an empty database, without I/O."""
        tables = Tables(self._main.dialect, schema)
        managed = {entity.token for entity in schema.managed}
        order = [entity for entity in schema.parents_first() if entity.token in managed]
        made: list[str] = []
        for entity in order:
            namespace = tables.namespace(entity)
            if namespace is not None and f"CREATE SCHEMA {namespace}" not in made:
                made.append(f"CREATE SCHEMA {namespace}")
            made += tables.create(entity)
        for entity in order:
            made += tables.refer(entity)
        return [self._shown(statement) for statement in made]

    def _shown(self, statement: str) -> str:
        return statement
