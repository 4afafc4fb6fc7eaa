"""MongoDB's side of migrations: one migrator's client, its lease, its state, its operations."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar, cast

from dbkit._sync.database import Database, Stores
from dbkit._sync.store import Store
from dbkit._sync.transaction import Transaction
from dbkit.entity import Record
from dbkit.errors import Unsupported
from dbkit.migrations.differences import Difference
from dbkit.migrations.operations import Operation, RenameCollection, RenameField, RetypeField
from dbkit.migrations.state import State
from dbkit.migrations.store import Rendered
from dbkit.options import Options
from dbkit.spec import Schema
from dbkit.statement import Hook, ServerInfo
from dbkit.url import URL

from .._sync.backend import MongoBackend
from .._sync.link import Call, Link
from .._sync.transaction import MongoTransaction
from ..drivers import PyMongo
from ..errors import Doing
from ..features import FEATURES
from ..rows import MONGODB
from ..schema import check_names
from .changing import plan_rename, plan_rename_collection, plan_retype
from .commands import native
from .differences import differences_of
from .drafts import Draft
from .lease import Lease
from .notes import Notebook
from .planning import Look, plan
from .rendering import as_text, assuming, create_commands
from .running import Runner
from .steps import Rewrite, Step, Transform

__all__ = ["MongoMigrationStore"]

T = TypeVar("T")
E = TypeVar("E", bound="Record[Any]")


class _Guarded(Link):
    """A link that sends nothing after its migrator's lease has run out."""

    migrator: MongoMigrationStore

    def call(self, doing: Doing, function: Call[T], *args: Any, **kwargs: Any) -> T:
        self.migrator.lease.check()
        self.owner.hook = self.migrator.hook
        return super().call(doing, function, *args, **kwargs)


class _Driver(PyMongo):
    """Tells the lease of each session that a transaction will be in."""

    def __init__(self, migrator: MongoMigrationStore) -> None:
        self._migrator = migrator

    def start_session(self, client: Any, *, snapshot: bool) -> Any:
        session = super().start_session(client, snapshot=snapshot)
        if not snapshot:
            self._migrator.lease.note(session.session_id["id"])
        return session


class _Backend(MongoBackend):
    """A backend that sends by a guarded link."""

    def __init__(self, url: URL, options: Options, migrator: MongoMigrationStore) -> None:
        driver = _Driver(migrator)
        super().__init__(url, options, driver, MONGODB, FEATURES["mongodb"])
        self.link: _Guarded = _Guarded(self, driver, MONGODB, options.timeout_s)
        self.link.migrator = migrator

    def close(self) -> None:
        """Close the client; what the migrator made on the link may be opened again."""
        self.disconnect()


class _Lent(_Backend):
    """A backend on the migrator's client: nothing is connected, nothing closed."""

    def __init__(self, url: URL, options: Options, owner: _Backend) -> None:
        own = owner.link
        super().__init__(url, options, own.migrator)
        self.link.client, self.link.database, self.link.quirks = own.client, own.database, own.quirks
        self.features, self.server = owner.features, owner.server

    def open(self, schema: Schema) -> None:
        check_names(schema)
        self.link.schema = schema
        self._check_references()

    def close(self) -> None:
        """Leave the client to its owner."""


class _InBatch:
    """Stores inside a batch's transaction; a migration may have several classes of one collection, so several schemas."""

    def __init__(self, database: Database, batch: Transaction) -> None:
        self._database = database
        self._executor, of_batch = batch._begun()
        link, session = cast("_Lent", database.backend).link, cast("MongoTransaction", of_batch).session
        self._operations = MongoTransaction(link, session, in_transaction=True)

    def store(self, entity: type[E]) -> Store[E]:
        """Return the store of *entity* inside the transaction."""
        database = self._database
        return Store(database.spec(entity), self._operations, self._executor, database.cursors)

    def counts(self, *entities: type[Any]) -> list[int]:
        """Return how many documents each has, as the transaction sees them."""
        specs = [self._database.spec(entity) for entity in entities]
        return self._executor.read("counts", None, self._operations.counts, specs) if specs else []


class MongoMigrationStore:
    """`dbkit.migrations.store.MigrationStore` on MongoDB. It commits nothing as a whole: operations can be run again."""

    name = "mongodb"
    language = "mongodb"
    is_transactional = False

    def __init__(self, url: URL, options: Options) -> None:
        self._url, self._options = url, options
        self.hook: Hook | None = None
        """Told of each command, the lease's heartbeat left out."""
        self._backend = _Backend(url, options, self)
        link = self._backend.link
        self.lease = Lease(link)
        self._notebook = Notebook(link)
        self._runner = Runner(link, self._notebook)
        self._batch: Transaction | None = None
        self.server = ServerInfo("MongoDB", "?")
        """Known after `open`."""

    def open(self) -> None:
        """Connect and probe. Makes nothing in the database."""
        self._backend.open(Schema(()))
        self.server = self._backend.server

    def close(self) -> None:
        """Close the client; the second call does nothing."""
        self._backend.close()

    # -- one at a time -----------------------------------------------------------------------------------------------------

    @contextmanager
    def lock(self, timeout_s: float) -> Generator[None]:
        """Hold the lease inside the block; wait for another migrator at most *timeout_s*, then `Locked`."""
        with self.lease.held(timeout_s, self._notebook.fence):
            yield

    def state(self) -> State | None:
        """Return the stored state; None where nothing was ever migrated."""
        return self._notebook.state()

    def save(self, state: State) -> None:
        """Store the state by compare-and-set; inside a `batch` together with what its stores write.

        Raises:
            Locked: somebody else changed it meanwhile.
        """
        if self._batch is None:
            self._notebook.save(state)
            return
        executor, operations = self._batch._begun()
        session = cast("MongoTransaction", operations).session
        executor.write("migrate", None, self._notebook.save, state, session)

    def transaction(self) -> Any:
        """Do nothing: DDL is in no transaction."""
        return nullcontext()

    # -- the work ----------------------------------------------------------------------------------------------------------

    def apply(self, operation: Operation) -> int:
        """Do one schema operation and return how many documents it rewrote. What is done already is not done again."""
        return sum(self._runner.run(step) for step in self._steps(operation, self._runner.look))

    def render(self, operation: Operation) -> list[Rendered]:
        """Return the commands that `apply` would send; it counts the documents that they rewrite."""
        missing: set[str] = set()

        def look(name: str) -> Draft:
            draft = self._runner.look(name)
            if not draft.exists:
                missing.add(name)
            return draft

        steps = self._steps(operation, assuming(operation, look))
        shown: list[Rendered] = []
        for step in steps:
            text = as_text(step)
            if text is None or any(text == other.text for other in shown):
                # The second passage, for what comes meanwhile.
                continue
            counts = isinstance(step, Rewrite | Transform) and step.collection not in missing
            touches = self._runner.count(step) if counts and isinstance(step, Rewrite | Transform) else None
            shown.append(Rendered(text, touches))
        return shown

    def _steps(self, operation: Operation, look: Look) -> list[Step]:
        if isinstance(operation, RenameField):
            return plan_rename(operation, look, self._notebook.get)
        if isinstance(operation, RenameCollection):
            return plan_rename_collection(operation, look, self._notebook.get)
        if isinstance(operation, RetypeField):
            return plan_retype(operation, look, self._notebook.get)
        return plan(operation, look)

    def sql(self, text: str) -> int:
        """Refuse: it has no SQL."""
        raise Unsupported(
            "MongoDB runs no SQL", backend=self.name, hint="m.mongo({…}), or a file .mongodb.up.json"
        )

    def statements(self, text: str) -> list[str]:
        """Refuse: it has no SQL."""
        self.sql(text)
        return []

    def command(self, command: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run one command, which may hold Extended JSON, and return the reply."""
        sent = native(command)
        return self._runner.command(sent, is_admin=next(iter(sent), "") == "renameCollection", is_slow=True)

    def _database(self, schema: Schema) -> Database:
        return Database(
            self._url, _Lent(self._url, self._options, self._backend), schema, self._options, None
        ).open()

    def stores(self, schema: Schema) -> Stores:
        """Return dbkit's stores of the schema's entities in autocommit; inside a `batch`, its own."""
        database = self._database(schema)
        return database if self._batch is None else _InBatch(database, self._batch)

    @contextmanager
    def batch(self, schema: Schema) -> Generator[Stores]:
        """Run the block in one transaction, `save` inside it included.

        A standalone server has none: there what the block writes and its `save` are single writes, so that a crash
        between them lets a batch be done again.

        Raises:
            Conflict: a program changed the same documents meanwhile: run the block again.
        """
        database = self._database(schema)
        if not database.features.transactions:
            yield database
            return
        with database.transaction() as tx:
            self._batch = tx
            try:
                yield tx
            finally:
                self._batch = None

    def differences(self, schema: Schema) -> list[Difference]:
        """Return how the database differs from what `create_schema()` would make for *schema*, reading only."""
        there = self._runner.collections()
        return [
            difference
            for entity in schema.managed
            for difference in differences_of(
                entity,
                Draft(
                    entity.stored,
                    there.get(entity.stored),
                    self._runner.indexes(entity.stored) if entity.stored in there else (),
                ),
            )
        ]

    def ddl(self, schema: Schema) -> list[str]:
        """Return the commands that `create_schema()` would send into an empty database, without I/O."""
        return create_commands(schema)
