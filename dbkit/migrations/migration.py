"""`m`, what a migration's `up` and `down` are given: schema operations in entities' terms, and data steps.

It checks what it is told and makes values of it; a `Runner` does them (`running.py`) or only says what they would do
(`planning.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pydantic_core import PydanticUndefined

from .._sync.store import Store
from ..entity import spec_of
from ..errors import BadMigration, DbkitError, InvalidInput, MigrationError, Unsupported
from ..fields import suggestion
from ..query import Filter
from ..registry import backends
from ..spec import EntitySpec
from .arguments import (
    FieldGiven,
    checked,
    default_of,
    field_of,
    fields_of,
    found_of,
    index_of,
    plain,
    stored_name,
    unique_of,
)
from .folder import Direction
from .operations import (
    AddField,
    AddIndex,
    AddReference,
    AddUnique,
    CreateCollection,
    DropCollection,
    DropField,
    DropIndex,
    DropReference,
    DropUnique,
    Fill,
    Operation,
    RenameCollection,
    RenameField,
    RetypeField,
    SetValidator,
)

if TYPE_CHECKING:
    from ..entity import Record

__all__ = ["Migration", "Runner", "placed"]

E = TypeVar("E", bound="Record[Any]")
MAX_BATCH = 10_000


@contextmanager
def placed(place: str) -> Generator[None]:
    """Say of an error inside which part of the migration it comes from; somebody may have to mend the rest by hand."""
    try:
        yield
    except DbkitError as error:
        error.message = f"{place}: {error.message}"
        raise


class Runner(Protocol):
    """Does what a migration asks for."""

    def apply(self, operation: Operation) -> int:
        """Do a schema operation; return how many rows it rewrote."""
        ...

    def sql(self, text: str) -> int:
        """Run SQL."""
        ...

    def command(self, command: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run a MongoDB command."""
        ...

    def store(self, entity: type[E]) -> Store[E]:
        """Return the store of *entity* for a data step."""
        ...

    def batches(self, entity: type[E], where: tuple[Filter, ...], size: int) -> Iterator[list[E]]:
        """Yield an entity's rows in batches, each to be committed with the note of how far it came."""
        ...

    def update_each(
        self, entity: type[E], function: Callable[[E], E | None], where: tuple[Filter, ...], size: int
    ) -> int:
        """Replace each row by what *function* makes of it; return how many changed."""
        ...

    def once(self, work: Callable[[], object]) -> None:
        """Run *work* and commit it with the note that it is done."""
        ...


class Migration:
    """What `up(m)` and `down(m)` work with.

    Fields are given as their class has them, `User.bio`, or as `(User, "bio")`. The classes stand in the migration's own
    file: they are the entities as they are at that point of the history, and need hold only what the step is about.

    Attributes:
        backend: the store's name: `"sqlite"`, `"postgresql"`, `"mongodb"`.
        language: `"sql"` or `"mongodb"`.
        is_transactional: whether the step commits or is rolled back as a whole.
        version: this migration's.
        direction: `"up"` or `"down"`.
    """

    def __init__(
        self,
        runner: Runner,
        *,
        backend: str,
        language: str,
        is_transactional: bool,
        version: int,
        direction: Direction,
    ) -> None:
        self._runner = runner
        self.backend = backend
        self.language = language
        self.is_transactional = is_transactional
        self.version = version
        self.direction = direction

    def __repr__(self) -> str:
        return f"<Migration {self.version} {self.direction} on {self.backend}>"

    # -- collections ---------------------------------------------------------------------------------------------------

    def create_collection(self, entity: type[Any]) -> None:
        """Make the table or collection with all that its class declares."""
        self._runner.apply(CreateCollection(spec_of(entity)))

    def drop_collection(self, collection: type[Any] | str) -> None:
        """Remove a table or collection **and all data in it**."""
        self._runner.apply(DropCollection(stored_name(collection, "drop_collection")))

    def rename_collection(self, entity: type[Any], *, was: str) -> None:
        """Give the table or collection *was* the name of *entity*; its keys and checks are named anew."""
        self._runner.apply(RenameCollection(spec_of(entity), stored_name(was, "rename_collection")))

    def set_validator(self, entity: type[Any]) -> None:
        """MongoDB: set the validator of the whole collection as its class declares it; nothing on SQL."""
        self._runner.apply(SetValidator(spec_of(entity)))

    # -- fields --------------------------------------------------------------------------------------------------------

    def add_field(
        self, field: FieldGiven, *, default: Any = PydanticUndefined, fill: Fill | None = None
    ) -> int:
        """Add a field with its checks, key, index and reference; return how many rows got a value.

        Args:
            field: the field, as the migration's class declares it.
            default: what rows that are there get; unless given what the class says, or None where the field may be None.
            fill: makes that value of each row (an instance of the class, with the default in the new field's place).

        Raises:
            InvalidInput: the field cannot be None, and neither is given; nothing was sent.
        """
        entity, spec = field_of(field, "add_field")
        value: Any = None
        if fill is None:
            value, fill = default_of(entity, spec, default, "add_field")
        else:
            if default is not PydanticUndefined:
                value = default_of(entity, spec, default, "add_field")[0]
            fill = checked(entity, spec, "add_field", fill)
        return self._runner.apply(AddField(entity, spec, value, fill))

    def drop_field(self, field: FieldGiven | str, stored: str | None = None) -> None:
        """Remove a field **with its data**, and the keys, indexes and references that it is part of.

        `m.drop_field(User.bio)`, or by stored names `m.drop_field("users", "bio")`.
        """
        if isinstance(field, str):
            self._runner.apply(DropField(stored_name(field, "drop_field"), stored_name(stored, "drop_field")))
            return
        entity, spec = field_of(field, "drop_field")
        if spec is entity.id:
            raise InvalidInput(
                f"{entity.name}.id cannot be dropped", operation="drop_field", entity=entity.name
            )
        self._runner.apply(DropField(entity.stored, spec.stored))

    def rename_field(self, field: FieldGiven, *, was: str) -> None:
        """Give the stored field *was* the stored name of *field*; what it is part of follows."""
        entity, spec = field_of(field, "rename_field")
        self._runner.apply(RenameField(entity, spec, stored_name(was, "rename_field")))

    def retype_field(
        self, field: FieldGiven, *, using: Fill | None = None, was: Any = None, default: Any = None
    ) -> int:
        """Give a field another type, nullability, length or scale; return how many rows were rewritten.

        Every value must fit the new type: the first that does not fails the step.

        Args:
            field: the field, as the migration's class declares it now.
            using: makes the new value of the stored one, which is never None; without it the store's own lossless change
                is made, where there is one.
            was: the field before: of another class, `was=UserBefore.age`, or its type, `was=int | None`.
            default: what None becomes where the field cannot be None any more.
        """
        entity, spec = field_of(field, "retype_field")
        found = found_of(was, entity, spec, "retype_field")
        value: Any = None
        if default is not None:
            value = default_of(entity, spec, default, "retype_field")[0]
        if using is not None:
            using = checked(entity, spec, "retype_field", using)
        return self._runner.apply(RetypeField(entity, spec, found, using, value))

    # -- keys, indexes, references -------------------------------------------------------------------------------------

    def add_unique(self, *fields: FieldGiven) -> None:
        """Make a unique key; a duplicate that is there fails the step, without changing anything."""
        entity, specs = fields_of(fields, "add_unique")
        self._runner.apply(AddUnique(entity, unique_of(entity, specs)))

    def drop_unique(self, *fields: FieldGiven) -> None:
        """Remove a unique key."""
        entity, specs = fields_of(fields, "drop_unique")
        self._runner.apply(DropUnique(entity, unique_of(entity, specs)))

    def add_index(self, *fields: FieldGiven, concurrently: bool = False) -> None:
        """Make an index. *concurrently* does not block writes meanwhile, and asks for `transactional = False`."""
        entity, specs = fields_of(fields, "add_index")
        self._check_concurrent(concurrently)
        self._runner.apply(AddIndex(entity, index_of(entity, specs), concurrently))

    def drop_index(self, *fields: FieldGiven, concurrently: bool = False) -> None:
        """Remove an index."""
        entity, specs = fields_of(fields, "drop_index")
        self._check_concurrent(concurrently)
        self._runner.apply(DropIndex(entity, index_of(entity, specs), concurrently))

    def _check_concurrent(self, concurrently: bool) -> None:
        # https://www.postgresql.org/docs/current/sql-createindex.html: not within a transaction block.
        if concurrently and self.backend == "postgresql" and self.is_transactional:
            raise BadMigration(
                "PostgreSQL makes and drops an index concurrently outside a transaction only",
                backend=self.backend,
                hint="say `transactional = False` in the migration's file, and give the index a migration of its own",
            )

    def add_reference(self, field: FieldGiven) -> None:
        """Check a reference from now on; an orphan that is there fails the step."""
        self._runner.apply(AddReference(*self._reference(field, "add_reference")))

    def drop_reference(self, field: FieldGiven) -> None:
        """Check a reference no more; the field stays."""
        self._runner.apply(DropReference(*self._reference(field, "drop_reference")))

    def _reference(self, field: FieldGiven, operation: str) -> tuple[EntitySpec, Any]:
        entity, spec = field_of(field, operation)
        if spec.reference is None:
            raise InvalidInput(
                f"{entity.name}.{spec.name} declares no references=",
                operation=operation,
                entity=entity.name,
                field=spec.name,
                hint="field(references=lambda: Parent)",
            )
        return entity, spec

    # -- the store's own language --------------------------------------------------------------------------------------

    def sql(self, text: str, *, on: str | Sequence[str] | None = None) -> int:
        """Run SQL, one or more statements; return how many rows the last one changed.

        Args:
            text: the SQL.
            on: the backends for which it is, `"postgresql"`, or "sql" for all that speak it; on any other nothing is
                done. None: every store, so MongoDB refuses it.
        """
        if not self._is_for(on, "sql", "m.sql", "sqlite"):
            return 0
        return self._runner.sql(text)

    def mongo(
        self, *commands: Mapping[str, Any], on: str | Sequence[str] | None = None
    ) -> list[Mapping[str, Any]]:
        """Run MongoDB commands; return the replies. SQL stores refuse them, unless `on="mongodb"` leaves them out."""
        if not self._is_for(on, "mongodb", "m.mongo", "mongodb"):
            return []
        replies: list[Mapping[str, Any]] = []
        for number, command in enumerate(commands, 1):
            with placed(f"command {number}, {next(iter(command), '?')!r}"):
                replies.append(self._runner.command(command))
        return replies

    def _is_for(self, on: str | Sequence[str] | None, language: str, verb: str, example: str) -> bool:
        if on is not None:
            named = {on} if isinstance(on, str) else set(on)
            known = {*backends(), "sql"}
            for name in named - known:
                raise InvalidInput(f"on= names {name!r}, no backend", hint=suggestion(name, known))
            return bool({self.backend, self.language} & named)
        if self.language != language:
            raise Unsupported(
                f"{verb} is not for {self.backend}",
                backend=self.backend,
                operation=verb,
                hint=f'say for which stores it is: {verb}(…, on="{example}")',
            )
        return True

    # -- data ----------------------------------------------------------------------------------------------------------

    def store(self, entity: type[E]) -> Store[E]:
        """Return the store of an entity that is declared in the migration's own file.

        In a step that is no transaction what it writes stays when a later statement fails, and is done again when the
        step is run again: `once`, `batches` and `update_each` keep note of what is done.
        """
        return self._runner.store(entity)

    def batches(self, entity: type[E], *where: Filter, batch: int = 500) -> Iterator[list[E]]:
        """Yield the rows of *entity* that match, in the order of their ids, in lists of at most *batch*.

        Where the step is no transaction, each turn of the loop is one: what is written in it (by `m.store`) commits
        together with the note of how far it came, and after a crash the loop goes on behind it. It may not be left
        before its end.
        """
        return self._runner.batches(entity, where, _size(batch))

    def update_each(
        self, entity: type[E], function: Callable[[E], E | None], *where: Filter, batch: int = 500
    ) -> int:
        """Write what *function* makes of each row that matches; return how many rows changed.

        Resumable as `batches` is. *function* returns a changed copy (`user.evolve(bio="")`), or None to leave the row as
        it is; only the fields that differ are written.
        """
        called = plain(function, "update_each's function")
        return self._runner.update_each(entity, called, where, _size(batch))

    def once(self, work: Callable[[], object]) -> None:
        """Run *work*, and where the step is no transaction commit its writes together with the note that it is done."""
        self._runner.once(plain(work, "once's function"))

    def irreversible(self, why: str) -> None:
        """Refuse: for a `down` that cannot be.

        Raises:
            MigrationError: always.
        """
        raise MigrationError(f"{self.version} cannot be undone: {why}", backend=self.backend)


def _size(batch: int) -> int:
    if not 1 <= batch <= MAX_BATCH:
        raise InvalidInput(f"batch= is 1 to {MAX_BATCH:,} rows")
    return batch
