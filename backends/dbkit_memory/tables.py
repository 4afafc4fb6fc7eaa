"""The stored state: every row as a chain of versions, so that each transaction keeps seeing its own snapshot.

The rules are PostgreSQL's (its manual, "Concurrency Control"), in as few words as they have:

* a version belongs to the transaction that wrote it; the newest stands last in its row's chain;
* a transaction sees, of each row, the newest version that it wrote itself or that was committed before its snapshot;
* a row may be written only by one who sees its newest version. Else somebody else wrote it meanwhile, committed or not:
  `Conflict`, at once. So the first one to write wins, no update is lost, and nobody waits while holding a lock;
* an index leads from a key to every row of which *some* kept version has the key; who looks things up there looks at
  the version that it sees;
* versions that no open transaction can see are dropped when a transaction ends.

One lock is held for each verb, never longer, and never while anything is awaited.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from dbkit.answers import depended_on, no_table
from dbkit.errors import (
    Conflict,
    NotFound,
    PreconditionFailed,
    SchemaDrift,
    StoredDataInvalid,
    TransactionAborted,
)
from dbkit.spec import EntitySpec, OnDelete
from dbkit.values import Kind, ValueType

from .evaluate import Row

if TYPE_CHECKING:
    from dbkit.checking import Finding

__all__ = ["Link", "Table", "Tables", "Unique", "Version", "Work"]

R = TypeVar("R")
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Unique:
    """Columns that no two rows share."""

    columns: tuple[str, ...]
    names: str
    """The declared fields, as `DuplicateKey.field` shows them."""


@dataclass(frozen=True, slots=True)
class Link:
    """A column that holds the id of a row of another table."""

    name: str
    """The declared field, as `ReferenceViolation.field` shows it."""
    column: str
    parent: str
    on_delete: OnDelete


@dataclass(slots=True, eq=False)
class Version:
    """A row as one transaction left it; None where it was deleted."""

    row: Row | None
    writer: Work


class Table:
    """The rows of one entity, and the indexes that lead to them."""

    def __init__(self, entity: EntitySpec) -> None:
        self.name = entity.stored
        self.entity = entity.name
        self.id = entity.id.stored
        self.id_name = entity.id.name
        self.description = _describe(entity)
        self.uniques = tuple(
            Unique(tuple(f.stored for f in u.fields), ", ".join(u.names)) for u in entity.uniques
        )
        self.links = tuple(
            Link(f.name, f.stored, f.reference.target.stored, f.reference.on_delete)
            for f in entity.references
            if f.reference is not None and f.reference.check
        )
        self.chains: dict[Any, list[Version]] = {}
        self.indexes: dict[tuple[str, ...], dict[Key, dict[Any, None]]] = {
            u.columns: {} for u in self.uniques
        }
        self.indexes.update({(f.stored,): {} for f in entity.references})
        for index in entity.indexes:
            if all(f.type.kind.is_scalar for f in index.fields):
                self.indexes.setdefault(tuple(f.stored for f in index.fields), {})

    def add_indexes(self, other: Table) -> None:
        """Build the indexes that *other*, a description of the same table, has and this one has not."""
        for columns in other.indexes.keys() - self.indexes.keys():
            index = self.indexes[columns] = {}
            for id, chain in self.chains.items():
                for version in chain:
                    if (key := key_of(version.row, columns)) is not None:
                        index.setdefault(key, {})[id] = None

    def push(self, id: Any, row: Row | None, writer: Work) -> None:
        """Make *row* the newest version; it replaces the one that the same writer left before."""
        chain = self.chains.setdefault(id, [])
        replaced = chain.pop() if chain and chain[-1].writer is writer else None
        chain.append(Version(row, writer))
        for columns, index in self.indexes.items():
            if (key := key_of(row, columns)) is not None:
                index.setdefault(key, {})[id] = None
        if replaced is not None:
            self._forget(id, [replaced])

    def pop(self, id: Any) -> None:
        """Drop the newest version."""
        dropped = self.chains[id].pop()
        self._forget(id, [dropped])

    def prune(self, id: Any, oldest: int) -> None:
        """Drop the versions that nobody can see whose snapshot is *oldest* or newer."""
        chain = self.chains.get(id, [])
        visible = [
            place
            for place, v in enumerate(chain)
            if v.writer.committed is not None and v.writer.committed <= oldest
        ]
        first = visible[-1] if visible else 0
        if visible and chain[first].row is None:
            first += 1  # the row is gone for everybody
        dropped = chain[:first]
        del chain[:first]
        self._forget(id, dropped)

    def _forget(self, id: Any, dropped: Iterable[Version]) -> None:
        """Take the row out of the indexes under every key that only *dropped* versions had."""
        chain = self.chains.get(id, [])
        for version, columns in itertools.product(dropped, self.indexes):
            key, index = key_of(version.row, columns), self.indexes[columns]
            if key is not None and not any(key_of(v.row, columns) == key for v in chain):
                ids = index.get(key, {})
                ids.pop(id, None)
                if not ids:
                    index.pop(key, None)
        if not chain:
            self.chains.pop(id, None)


def key_of(row: Row | None, columns: Sequence[str]) -> Key | None:
    """Return the row's key in an index; None when a part of it is null: such rows are in no index."""
    if row is None:
        return None
    key = tuple(row[c] for c in columns)
    return None if None in key else key


@dataclass(slots=True, eq=False)
class Work:
    """A transaction: what it sees, and what it has written. Used under the lock only."""

    tables: Tables
    read_only: bool = False
    snapshot: int | None = None
    """The commit after which it sees nothing more; taken at its first operation."""
    committed: int | None = None
    ended: bool = False
    written: dict[tuple[Table, Any], None] = field(default_factory=dict)

    def sees(self, version: Version) -> bool:
        """Whether *version* is its own, or was committed before its snapshot."""
        if version.writer is self:
            return True
        assert self.snapshot is not None
        return version.writer.committed is not None and version.writer.committed <= self.snapshot

    def seen(self, chain: Sequence[Version]) -> Row | None:
        """Return the row that it sees in a chain of versions."""
        for version in reversed(chain):
            if self.sees(version):
                return version.row
        return None

    def row(self, table: str, id: Any) -> Row | None:
        """Return the row with this id, or None."""
        return self.seen(self.tables.table(table).chains.get(id, ()))

    def rows(self, table: str) -> Iterator[Row]:
        """Return all rows, in the order in which they came."""
        for chain in self.tables.table(table).chains.values():
            row = self.seen(chain)
            if row is not None:
                yield row

    def having(self, table: str, columns: tuple[str, ...], key: Key) -> Iterator[Row]:
        """Return the rows that have *key* in *columns*, which must be an index."""
        found = self.tables.table(table)
        for id in found.indexes[columns].get(key, ()):
            row = self.seen(found.chains[id])
            if row is not None and key_of(row, columns) == key:
                yield row

    def referring(self, table: str, column: str, id: Any) -> Iterator[Row]:
        """Return the rows of *table* whose *column* holds *id*."""
        return self.having(table, (column,), (id,))

    def may_write(self, table: Table, id: Any) -> bool:
        """Whether nobody else has written the row since the snapshot."""
        chain = table.chains.get(id)
        return not chain or self.sees(chain[-1])

    def write(self, table: Table, id: Any, row: Row | None) -> None:
        """Leave *row* under *id*, None to delete it.

        Raises:
            Conflict: somebody else wrote the row since the snapshot.
        """
        if not self.may_write(table, id):
            raise changed_meanwhile(table)
        table.push(id, row, self)
        self.written[table, id] = None


def changed_meanwhile(table: Table) -> Conflict:
    """Return the error for a row, a key or a parent that another transaction wrote since the snapshot."""
    return Conflict(
        f"another transaction is changing {table.name!r}, or has changed it since the snapshot, in the same place"
    )


class Tables:
    """All tables of one database, and the transactions that are open on them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tables: dict[str, Table] = {}
        self._commits = 0
        self._open: set[Work] = set()
        self._superseded: deque[tuple[int, Table, Any]] = deque()
        """Rows that were written, with the commit that did it: their older versions are to be dropped."""

    # -- transactions --

    def autocommit(self, action: Callable[[Work], R]) -> R:
        """Run *action* in a transaction of its own: it happens wholly, at one instant, or not at all."""
        with self._lock:
            work = Work(self)
            self._start(work)
            try:
                result = action(work)
            except BaseException:
                self._end(work, commit=False)
                raise
            self._end(work, commit=True)
            return result

    def inside(self, work: Work, action: Callable[[Work], R], *, writes: bool = False) -> R:
        """Run *action* in an open transaction. A write that fails ends it, as it does on the servers."""
        with self._lock:
            self._start(work)
            try:
                return action(work)
            except (NotFound, PreconditionFailed, StoredDataInvalid):
                raise  # answers: nothing failed
            except BaseException:
                if writes:
                    self._end(work, commit=False)
                raise

    def commit(self, work: Work) -> None:
        """Make the transaction's writes visible to every later snapshot, at one instant."""
        with self._lock:
            if work.ended:
                raise ended()
            self._end(work, commit=True)

    def rollback(self, work: Work) -> None:
        """Undo the transaction's writes; the second time does nothing."""
        with self._lock:
            if not work.ended:
                self._end(work, commit=False)

    def _start(self, work: Work) -> None:
        if work.ended:
            raise ended()
        if work.snapshot is None:
            work.snapshot = self._commits
            self._open.add(work)

    def _end(self, work: Work, *, commit: bool) -> None:
        work.ended = True
        if commit and work.written:
            self._commits += 1
            work.committed = self._commits
            self._superseded.extend((self._commits, table, id) for table, id in work.written)
        elif not commit:
            for table, id in work.written:
                table.pop(id)
        work.written.clear()
        self._open.discard(work)
        self._vacuum()

    def _vacuum(self) -> None:
        oldest = min((w.snapshot for w in self._open if w.snapshot is not None), default=self._commits)
        while self._superseded and self._superseded[0][0] <= oldest:
            _, table, id = self._superseded.popleft()
            table.prune(id, oldest)

    # -- schema --

    def table(self, name: str) -> Table:
        """Return the table, or raise `ConfigurationError` where `create_schema` was not called."""
        try:
            return self._tables[name]
        except KeyError:
            raise no_table(name) from None

    def links_to(self, table: Table) -> list[tuple[Table, Link]]:
        """Return the checked references to *table*."""
        return [(t, link) for t in self._tables.values() for link in t.links if link.parent == table.name]

    def create(self, entities: Iterable[EntitySpec]) -> None:
        """Make the tables that are missing; `SchemaDrift`, and none made, where one differs from its entity."""
        with self._lock:
            made = [(entity.name, Table(entity)) for entity in entities]
            for entity, new in made:
                there = self._tables.get(new.name)
                if there is not None and there.description != new.description:
                    raise _drift(entity, there, new)
            for _, new in made:
                self._tables.setdefault(new.name, new).add_indexes(new)

    def check(self, entities: Iterable[EntitySpec]) -> list[Finding]:
        """Say which tables are missing, or made for other declarations."""
        from dbkit.checking import Finding

        with self._lock:
            made: list[Finding] = []
            for entity in entities:
                there = self._tables.get(entity.stored)
                if there is None:
                    words, hint = f"there is no table {entity.stored!r}", "db.create_schema() makes it"
                    made.append(Finding(entity.name, None, "missing collection", words, hint=hint))
                elif parts := _differing(there, Table(entity)):
                    made.append(
                        Finding(entity.name, None, "type", f"its table differs in: {'; '.join(parts)}")
                    )
            return made

    def drop(self, entities: Iterable[EntitySpec]) -> None:
        """Remove the tables with all that is in them; all of them, or none where another table refers to one."""
        going = {entity.stored: entity for entity in entities}
        with self._lock:
            for table in self._tables.values():
                for link in table.links if table.name not in going else ():
                    if link.parent in going and link.parent in self._tables:
                        raise depended_on(going[link.parent], table.name, link.column)
            for entity in going.values():
                self._tables.pop(entity.stored, None)


def ended() -> TransactionAborted:
    """Return the error for a transaction that an earlier error, or its end, has closed."""
    return TransactionAborted("this transaction has ended; everything that was not committed is rolled back")


# -- drift -------------------------------------------------------------------------------------------------------------


def _describe(entity: EntitySpec) -> dict[str, Any]:
    """Return what must be equal in two programs that share a table, part by part."""
    parts: dict[str, Any] = {f"column {f.stored}": _type(f.type) for f in entity.columns}
    for unique in entity.uniques:
        parts[f"unique key {', '.join(sorted(f.stored for f in unique.fields))}"] = True
    for f in entity.references:
        if f.reference is not None and f.reference.check:
            parts[f"reference {f.stored}"] = (f.reference.target.stored, f.reference.on_delete)
    return parts


def _type(type: ValueType | None) -> Any:
    if type is None:
        return None
    model = {f.stored: _type(f.type) for f in type.model.fields} if type.model is not None else None
    choices = None if type.choices is None else sorted(type.choices, key=str)
    digits = (type.max_digits, type.decimal_places) if type.kind is Kind.DECIMAL else None
    limits = (type.max_length, digits, type.ge, type.gt, type.le, type.lt)
    return (type.kind, type.nullable, choices, limits, _type(type.element), model)


def _differing(there: Table, new: Table) -> list[str]:
    parts = {**there.description, **new.description}
    return sorted(p for p in parts if there.description.get(p) != new.description.get(p))


def _drift(entity: str, there: Table, new: Table) -> SchemaDrift:
    return SchemaDrift(
        f"table {new.name!r} differs from its entity in: {'; '.join(_differing(there, new))}",
        entity=entity,
        hint="create_schema() never alters; change the entity back, or drop_schema() and create it again",
    )
