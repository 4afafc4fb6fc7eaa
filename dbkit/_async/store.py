"""The generic store: one entity's verbs, the same on every backend; what it reads stands in `reads.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload
from uuid import UUID

from ..building import (
    canonical_id,
    changes_of,
    check_limit,
    check_own_fields,
    filter_of,
    id_output,
    ids_of,
    read_spec,
    replacing,
    rows_of,
    sort_keys,
    stored_instance,
    unique_key_of,
    write_filter,
)
from ..entity import row_of
from ..errors import (
    DuplicateKey,
    InvalidInput,
    NotFound,
    OperationalError,
    OutcomeUnknown,
    PreconditionFailed,
    StaleVersion,
    TooLarge,
    TransactionError,
)
from ..keys import OpenKey, open_keys
from ..options import MAX_ROWS_TOUCHED, MAX_ROWS_UNASKED
from ..query import (
    Claim,
    Compare,
    DeleteMany,
    DeleteOne,
    Filter,
    Find,
    In,
    Insert,
    Order,
    Path,
    UpdateMany,
    UpdateOne,
    Upsert,
    all_of,
)
from ..values import utc_now
from .backend import AsyncBackend
from .reads import AsyncReads

if TYPE_CHECKING:
    from ..entity import Record
    from ..fields import Mapped, OrderBy
    from ..objectid import ObjectId
    from ..query import Change
    from ..views import Into

__all__ = ["AsyncStore"]

E = TypeVar("E", bound="Record[Any]")
V = TypeVar("V")
# By the type of the id, so that a wrong one is an error in the editor.
RU = TypeVar("RU", bound="Record[UUID]")
RS = TypeVar("RS", bound="Record[str]")
RI = TypeVar("RI", bound="Record[int]")
RO = TypeVar("RO", bound="Record[ObjectId]")


class AsyncStore(AsyncReads[E]):
    """The rows of one entity: in autocommit (`db.store(E)`), or inside a transaction (`tx.store(E)`).

    A store holds no state and costs nothing to make. A verb that touches one row is atomic; `create_many`,
    `update_many` and `delete_many` are all or nothing; a read with its relations sees one committed instant.
    Every verb raises `InvalidInput` before any I/O for what no store could do, and `OperationalError` when the
    store cannot be reached.
    """

    # -- by id ---------------------------------------------------------------------------------------------------------
    # Here and not in `AsyncReads`: mypy solves a self type that a base class declares by Any, and misses a wrong id.

    @overload
    async def get(self: AsyncStore[RU], id: UUID) -> RU | None: ...

    @overload
    async def get(self: AsyncStore[RS], id: str) -> RS | None: ...

    @overload
    async def get(self: AsyncStore[RI], id: int) -> RI | None: ...

    @overload
    async def get(self: AsyncStore[RO], id: ObjectId) -> RO | None: ...

    @overload
    async def get(self: AsyncStore[RU], id: UUID, *, into: Into[RU, V]) -> V | None: ...

    @overload
    async def get(self: AsyncStore[RS], id: str, *, into: Into[RS, V]) -> V | None: ...

    @overload
    async def get(self: AsyncStore[RI], id: int, *, into: Into[RI, V]) -> V | None: ...

    @overload
    async def get(self: AsyncStore[RO], id: ObjectId, *, into: Into[RO, V]) -> V | None: ...

    async def get(self, id: Any, *, into: Any = None) -> Any:
        """Return the entity with this id, or None."""
        return await self._get("get", id, into)

    async def _get(self, operation: str, id: Any, into: Any) -> Any:
        spec = self._spec
        key = canonical_id(spec, id, operation)
        read = spec.read if into is None else read_spec(spec, into, operation)
        return await self._executor.read(operation, spec.name, self._operations.get, read, key)

    @overload
    async def require(self: AsyncStore[RU], id: UUID) -> RU: ...

    @overload
    async def require(self: AsyncStore[RS], id: str) -> RS: ...

    @overload
    async def require(self: AsyncStore[RI], id: int) -> RI: ...

    @overload
    async def require(self: AsyncStore[RO], id: ObjectId) -> RO: ...

    @overload
    async def require(self: AsyncStore[RU], id: UUID, *, into: Into[RU, V]) -> V: ...

    @overload
    async def require(self: AsyncStore[RS], id: str, *, into: Into[RS, V]) -> V: ...

    @overload
    async def require(self: AsyncStore[RI], id: int, *, into: Into[RI, V]) -> V: ...

    @overload
    async def require(self: AsyncStore[RO], id: ObjectId, *, into: Into[RO, V]) -> V: ...

    async def require(self, id: Any, *, into: Any = None) -> Any:
        """Return the entity with this id.

        Raises:
            NotFound: there is none.
        """
        found = await self._get("require", id, into)
        if found is None:
            raise NotFound(
                f"there is no {self._spec.name} with this id", operation="require", entity=self._spec.name
            )
        return found

    @overload
    async def get_many(self: AsyncStore[RU], ids: Iterable[UUID]) -> dict[UUID, RU]: ...

    @overload
    async def get_many(self: AsyncStore[RS], ids: Iterable[str]) -> dict[str, RS]: ...

    @overload
    async def get_many(self: AsyncStore[RI], ids: Iterable[int]) -> dict[int, RI]: ...

    @overload
    async def get_many(self: AsyncStore[RO], ids: Iterable[ObjectId]) -> dict[ObjectId, RO]: ...

    @overload
    async def get_many(self: AsyncStore[RU], ids: Iterable[UUID], *, into: Into[RU, V]) -> dict[UUID, V]: ...

    @overload
    async def get_many(self: AsyncStore[RS], ids: Iterable[str], *, into: Into[RS, V]) -> dict[str, V]: ...

    @overload
    async def get_many(self: AsyncStore[RI], ids: Iterable[int], *, into: Into[RI, V]) -> dict[int, V]: ...

    @overload
    async def get_many(
        self: AsyncStore[RO], ids: Iterable[ObjectId], *, into: Into[RO, V]
    ) -> dict[ObjectId, V]: ...

    async def get_many(self, ids: Iterable[Any], *, into: Any = None) -> dict[Any, Any]:
        """Return the entities with these ids by id, in the order of *ids*; ids that are not there are left out.

        Raises:
            TooLarge: more than 1,000 different ids.
        """
        spec = self._spec
        wanted = ids_of(spec, ids)
        read = read_spec(spec, into, "get_many")
        if not wanted:
            return {}
        key = id_output(spec, read)
        query = Find(read, In(Path.of(spec, spec.id), tuple(wanted)), ())
        items = await self._executor.read("get_many", spec.name, self._operations.find, query)
        found = {getattr(item, key): item for item in items}
        return {id: found[id] for id in wanted if id in found}

    # -- writes --------------------------------------------------------------------------------------------------------

    async def create(self, entity: E) -> E:
        """Store a new entity and return it as it is stored. Atomic.

        Outside a transaction a reply that was lost is resolved by sending it again: the same id with an equal row is
        success.

        Raises:
            DuplicateKey: the id or a unique key is taken.
            ReferenceViolation: what it refers to is not there.
            TooLarge: the entity has more than 15 MiB.
            OutcomeUnknown: the connection broke, and again when it was resent.
        """
        spec = self._spec
        try:
            row = row_of(spec, entity)
        except InvalidInput as error:
            await self._executor.refuse("create", spec.name, error)
            raise
        query = Insert(spec, row)
        try:
            await self._executor.write("create", spec.name, self._operations.insert, query)
        except OutcomeUnknown as lost:
            if self._executor.in_transaction:
                raise
            await self._resend(query, lost)
        stored: E = stored_instance(spec, entity, row)
        return stored

    async def _resend(self, query: Insert, lost: OutcomeUnknown) -> None:
        spec = self._spec
        try:
            await self._executor.write("create", spec.name, self._operations.insert, query)
        except DuplicateKey:
            key = query.row[spec.columns.index(spec.id)]
            found = await self._executor.read("create", spec.name, self._operations.get, spec.read, key)
            if found is None or row_of(spec, found) != query.row:
                raise
        except OperationalError:
            raise lost from None

    async def create_many(self, entities: Iterable[E], *, batched: bool = False) -> int:
        """Store new entities, all or none, and return how many.

        Args:
            batched: allow more than 10,000, written in steps of 10,000, each all or nothing: after an error the
                earlier steps stay.

        Raises:
            TooLarge: more than 10,000 without *batched*; nothing is written.
            DuplicateKey, ReferenceViolation: as `create`.
        """
        spec = self._spec
        try:
            rows = rows_of(spec, entities, batched=batched)
        except InvalidInput as error:
            await self._executor.refuse("create_many", spec.name, error)
            raise
        done = 0
        for start in range(0, len(rows), MAX_ROWS_TOUCHED):
            part = rows[start : start + MAX_ROWS_TOUCHED]
            done += await self._executor.write(
                "create_many", spec.name, self._operations.insert_many, spec, part
            )
        return done

    @overload
    async def update(self: AsyncStore[RU], id: UUID, *changes: Change, where: Filter | None = None) -> RU: ...

    @overload
    async def update(self: AsyncStore[RS], id: str, *changes: Change, where: Filter | None = None) -> RS: ...

    @overload
    async def update(self: AsyncStore[RI], id: int, *changes: Change, where: Filter | None = None) -> RI: ...

    @overload
    async def update(
        self: AsyncStore[RO], id: ObjectId, *changes: Change, where: Filter | None = None
    ) -> RO: ...

    async def update(self, id: Any, *changes: Change, where: Filter | None = None) -> Any:
        """Change the fields named in *changes*, if *where* holds, and return the entity as it is then. Atomic.

        Raises:
            NotFound: no row has this id.
            PreconditionFailed: *where* does not hold; the row is unchanged.
            OutOfRange: a computed value leaves the field's bounds; the row is unchanged.
            DuplicateKey, ReferenceViolation: as `create`.
        """
        spec = self._spec
        key = canonical_id(spec, id, "update")
        condition = None if where is None else filter_of(spec, (where,), "update")
        try:
            made = changes_of(spec, changes, "update")
            keys = open_keys(spec, made)
        except InvalidInput as error:
            await self._executor.refuse("update", spec.name, error)
            raise
        if keys:
            row = Compare(Path.of(spec, spec.id), "eq", key)
            await self._check_keys("update", keys, row if condition is None else all_of(row, condition))
        query = UpdateOne(spec, key, condition, made)
        return await self._executor.write("update", spec.name, self._operations.update, query)

    async def _check_keys(
        self,
        operation: str,
        keys: Sequence[OpenKey],
        where: Filter | None,
        order: tuple[Order, ...] = (),
        limit: int = MAX_ROWS_TOUCHED,
    ) -> None:
        """Raise TooLarge where the change of one text of a key makes it too long with what is stored in the others.

        A row that another writer changes between this read and the write is not looked at again: no store loses anything
        by it, and PostgreSQL refuses what it cannot index.
        """
        spec = self._spec
        query = Find(spec.read, where, order, limit)
        for stored in await self._executor.read(operation, spec.name, self._operations.find, query):
            for key in keys:
                try:
                    key.check(stored)
                except TooLarge as error:
                    await self._executor.refuse(operation, spec.name, error)
                    raise

    async def update_many(
        self, *where: Filter, changes: Sequence[Change] | Change, batched: bool = False
    ) -> int:
        """Change all entities for which the filters hold, all or none, and return how many matched.

        Args:
            batched: allow more than 10,000, written in steps, each all or nothing. A row that comes to match, or no
                longer does, while this runs may be missed; each row is changed at most once.

        Raises:
            TooLarge: more than 10,000 match; nothing is written.
            OutOfRange: a computed value of any row leaves the field's bounds; nothing is written.
        """
        spec = self._spec
        condition = write_filter(spec, where, "update_many")
        try:
            made = changes_of(spec, changes, "update_many")
            keys = open_keys(spec, made)
        except InvalidInput as error:
            await self._executor.refuse("update_many", spec.name, error)
            raise
        if not batched:
            if keys:
                await self._check_keys("update_many", keys, condition)
            query = UpdateMany(spec, condition, made)
            return await self._executor.write("update_many", spec.name, self._operations.update_many, query)
        done = 0
        async for part in self._batches("update_many", condition):
            if keys:
                await self._check_keys("update_many", keys, part)
            query = UpdateMany(spec, part, made)
            done += await self._executor.write("update_many", spec.name, self._operations.update_many, query)
        return done

    async def _batches(self, operation: str, condition: Filter | None) -> AsyncIterator[Filter]:
        """Yield filters that take the rows of *condition*, at most 1,000 each, in the order of their ids."""
        spec = self._spec
        by_id = Path.of(spec, spec.id)
        query = Find(spec.read, condition, (Order(by_id),), MAX_ROWS_UNASKED, page=True)
        while True:
            rows = await self._executor.read(operation, spec.name, self._operations.page, query)
            if rows.items:
                chosen = In(by_id, tuple(item.id for item in rows.items))
                yield chosen if condition is None else all_of(chosen, condition)
            if rows.last is None:
                return
            query = Find(spec.read, condition, query.order, MAX_ROWS_UNASKED, after=rows.last, page=True)

    async def replace(self, entity: E) -> E:
        """Replace all fields of the stored entity with this id but `created_at`, and return it as it is then. Atomic.

        Raises:
            NotFound: no row has this id.
            StaleVersion: the entity is `Versioned` and the row was changed since *entity* was read.
            DuplicateKey, ReferenceViolation: as `create`.
        """
        spec = self._spec
        try:
            row = row_of(spec, entity)
        except InvalidInput as error:
            await self._executor.refuse("replace", spec.name, error)
            raise
        condition, changes = replacing(spec, row)
        query = UpdateOne(spec, row[spec.columns.index(spec.id)], condition, changes)
        try:
            replaced: E = await self._executor.write("replace", spec.name, self._operations.update, query)
        except PreconditionFailed as error:
            raise StaleVersion(
                f"this {spec.name} was changed since it was read",
                backend=error.backend,
                operation="replace",
                entity=spec.name,
                field="version",
                hint="read it again, apply the change to what is there now, and replace that",
            ) from error
        return replaced

    async def upsert(self, entity: E, *, on: Mapped[Any] | Sequence[Mapped[Any]]) -> E:
        """Create the entity, or replace the row that has the same unique key, and return what is stored. Atomic.

        On a match the stored `id` and `created_at` stay, all else is replaced, `version` is the stored one + 1.
        `updated_at` is now in both cases.

        Args:
            on: the fields of one declared unique key, or the id; none of them null.

        Raises:
            DuplicateKey: another unique key is taken by another row.
            ReferenceViolation: what it refers to is not there.
        """
        spec = self._spec
        key = unique_key_of(spec, on)
        try:
            values = list(row_of(spec, entity))
        except InvalidInput as error:
            await self._executor.refuse("upsert", spec.name, error)
            raise
        for field, name in zip(key.fields, key.names, strict=True):
            if values[spec.columns.index(field)] is None:
                raise InvalidInput(
                    f"upsert on {spec.name}.{name} needs a value there: null never matches",
                    entity=spec.name,
                    field=name,
                    operation="upsert",
                )
        if spec.timestamped:
            values[spec.columns.index(spec.by_name["updated_at"])] = utc_now()
        query = Upsert(spec, tuple(values), key)
        stored: E = await self._executor.write("upsert", spec.name, self._operations.upsert, query)
        return stored

    @overload
    async def delete(self: AsyncStore[RU], id: UUID, *, where: Filter | None = None) -> bool: ...

    @overload
    async def delete(self: AsyncStore[RS], id: str, *, where: Filter | None = None) -> bool: ...

    @overload
    async def delete(self: AsyncStore[RI], id: int, *, where: Filter | None = None) -> bool: ...

    @overload
    async def delete(self: AsyncStore[RO], id: ObjectId, *, where: Filter | None = None) -> bool: ...

    async def delete(self, id: Any, *, where: Filter | None = None) -> bool:
        """Delete the entity with this id, if *where* holds, and what cascades from it. Atomic.

        Returns whether it was there and *where* held.

        Raises:
            ReferenceViolation: rows that restrict it still refer to it; nothing is deleted.
            TooLarge: more than 10,000 rows would go with it; nothing is deleted.
        """
        spec = self._spec
        key = canonical_id(spec, id, "delete")
        condition = None if where is None else filter_of(spec, (where,), "delete")
        query = DeleteOne(spec, key, condition)
        return await self._executor.write("delete", spec.name, self._operations.delete, query)

    async def delete_many(self, *where: Filter, batched: bool = False) -> int:
        """Delete all entities for which the filters hold, and what cascades from them, all or none.

        Returns how many entities matched, what cascaded not counted.

        Args:
            batched: allow more than 10,000, deleted in steps, each all or nothing.

        Raises:
            TooLarge: more than 10,000 rows would be deleted, cascades included; nothing is.
            ReferenceViolation: rows that restrict one of them still refer to it; nothing is deleted.
        """
        spec = self._spec
        condition = write_filter(spec, where, "delete_many")
        if not batched:
            query = DeleteMany(spec, condition)
            return await self._executor.write("delete_many", spec.name, self._operations.delete_many, query)
        done = 0
        async for part in self._batches("delete_many", condition):
            query = DeleteMany(spec, part)
            done += await self._executor.write("delete_many", spec.name, self._operations.delete_many, query)
        return done

    async def claim(
        self, *where: Filter, changes: Sequence[Change] | Change, order_by: OrderBy = None, limit: int = 1
    ) -> list[E]:
        """Change up to *limit* (1 to 1,000) entities that no other worker is changing, and return them, in order.

        No row goes to two workers, and no worker waits for another: what another one holds is passed over. *changes*
        must make the filters false, or the row will be claimed again.

        Raises:
            TransactionError: inside a transaction; a claim is one step of its own.
        """
        spec = self._spec
        if self._executor.in_transaction:
            raise TransactionError(
                "claim inside a transaction",
                operation="claim",
                entity=spec.name,
                hint="claim by db.store(…), then work on what was claimed in a transaction",
            )
        condition = write_filter(spec, where, "claim")
        order = sort_keys(spec, order_by, "claim")
        check_own_fields(spec, condition, order, "claim")
        made = changes_of(spec, changes, "claim")
        most = check_limit(limit, "claim", spec.name, least=1, most=1_000)
        keys = open_keys(spec, made)
        if keys:
            await self._check_keys("claim", keys, condition, order, most)
        query = Claim(spec, condition, made, order, most)
        backend = cast(
            "AsyncBackend", self._operations
        )  # outside a transaction the operations are the backend's own
        items: list[E] = await self._executor.write("claim", spec.name, backend.claim, query)
        return items
