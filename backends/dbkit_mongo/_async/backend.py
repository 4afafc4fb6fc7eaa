"""The store: connecting, probing, the schema, claims and transactions; the verbs are its operations in autocommit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from operator import itemgetter
from random import shuffle
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from pymongo.errors import ConfigurationError as DriverConfigurationError
from pymongo.errors import InvalidURI, OperationFailure, PyMongoError

from dbkit.answers import Closed, depended_on, out_of_range
from dbkit.errors import BadURL, Conflict, DbkitError, DuplicateKey, SchemaDrift, Unavailable, Unsupported
from dbkit.features import Features
from dbkit.options import LOCK_WAIT_S, Isolation, Options
from dbkit.query import Claim
from dbkit.spec import EntitySpec, FieldSpec, Schema
from dbkit.statement import Hook, ServerInfo
from dbkit.url import URL

from .. import guards
from ..changes import assigned
from ..connecting import client_options, client_url, database_of
from ..drivers import AsyncDriver
from ..errors import Doing, server_code
from ..identity import check_version, features_of, quirks_of, server_info
from ..rows import Codec
from ..schema import Collection, Index, check_names, collections_of, index_differences, validator_differences
from ..writes import ClaimPlan, compile_claim
from .duplicates import settled
from .link import AsyncLink
from .operations import AsyncMongoOperations, AsyncWork
from .references import refer
from .transaction import AsyncMongoTransaction

if TYPE_CHECKING:
    from dbkit.checking import Finding

__all__ = ["AsyncMongoBackend"]

INDEX_BUILD_S = 3_600.0
CANDIDATES = 10
"""How many documents a claim looks at for each that it wants, as others may take the first ones meanwhile."""
CLAIM_WAIT_MS = 250
"""How long a claim may wait for a document that another one holds, once."""
NAMESPACE_EXISTS, INDEX_CONFLICTS = 48, frozenset({85, 86})


class AsyncMongoBackend(AsyncMongoOperations):
    """MongoDB behind one client."""

    def __init__(
        self, url: URL, options: Options, driver: AsyncDriver, codec: Codec, features: Features
    ) -> None:
        self.name = url.backend
        self.features = features
        self.hook: Hook | None = None
        super().__init__(AsyncLink(self, driver, codec, options.timeout_s))
        self.server = ServerInfo("MongoDB", "?")
        self._database = database_of(url)
        self._url = client_url(url, options)
        self._options = client_options(options, ends_calls=driver.ends_calls)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._database!r}>"

    # -- opening -------------------------------------------------------------------------------------------------------

    async def open(self, schema: Schema) -> None:
        link = self.link
        check_names(schema)
        link.schema = schema
        self._check_references()
        if link.client is None:
            self._connect()
        try:
            await self._probe()
            self._check_references()
        except BaseException:
            await self.disconnect()
            raise

    def _connect(self) -> None:
        link = self.link
        try:
            link.client = link.driver.connect(self._url, **self._options)
        except (InvalidURI, DriverConfigurationError, ValueError, TypeError, OSError):
            # The driver's message may hold the URL, and with it the password.
            raise BadURL(
                "PyMongo does not accept this URL",
                backend=self.name,
                hint="mongodb://user:password@host:port/database?key=value; keys and values as in PyMongo's manual",
            ) from None
        except PyMongoError:
            raise Unavailable("the servers' names cannot be resolved", backend=self.name) from None
        link.database = link.driver.database(link.client, self._database)

    async def _probe(self) -> None:
        link = self.link
        if self.name == "mongomock":
            self.server = ServerInfo("mongomock", version("mongomock"), is_surrogate=True)
            return
        hello = await link.call(Doing('{"hello": 1}'), link.driver.command, link.database, {"hello": 1})
        asking = Doing('{"buildInfo": 1}')
        build = await link.call(asking, link.driver.command, link.database, {"buildInfo": 1})
        check_version(build)
        self.server = server_info(build)
        self.features = features_of(self.features, hello, self.server)
        link.quirks = quirks_of(self.server)

    def _check_references(self) -> None:
        link = self.link
        answer = link.features.checked_references
        for entity in link.schema:
            for child, field in link.schema.children(entity):
                if not answer:
                    raise Unsupported(
                        f"{child.name}.{field.name} is a checked reference, which {self.name} cannot keep here: {answer.why}",
                        backend=self.name,
                        entity=child.name,
                        field=field.name,
                        hint=f"{answer.hint}; or declare field(references=…, check=False)",
                    )

    async def close(self) -> None:
        link = self.link
        if not isinstance(link, Closed):
            # Stores that were kept say the same on every driver; mongomock's client has nothing to close.
            self.link = cast("AsyncLink", Closed())
            await _disconnect(link)

    async def disconnect(self) -> None:
        """Close the client; `open` may come again."""
        await _disconnect(self.link)

    async def ping(self) -> None:
        link = self.link
        await link.call(Doing('{"ping": 1}'), link.driver.command, link.database, {"ping": 1})

    # -- the schema ----------------------------------------------------------------------------------------------------

    async def create_schema(self) -> None:
        link = self.link
        doing = Doing('{"listCollections": 1}')
        there = await link.call(doing, link.driver.collections, link.database)
        for wanted in collections_of(link.schema):
            if wanted.name not in there:
                options = await self._create(wanted)
            else:
                options = there[wanted.name]
            await self._compare(wanted, options)
        link.forget(*(wanted.name for wanted in collections_of(link.schema)))

    async def _create(self, wanted: Collection) -> dict[str, Any]:
        """Make the collection and return its options; where another process was first, those that it gave."""
        link = self.link
        text = f'{{"create": "{wanted.name}", "validator": "…"}}'
        doing = Doing(text, wanted.entity, within_s=INDEX_BUILD_S)
        try:
            await link.call(
                doing, link.driver.create_collection, link.database, wanted.name, wanted.validator
            )
        except DbkitError as error:
            cause = error.__cause__
            if not isinstance(cause, OperationFailure) or server_code(cause) != NAMESPACE_EXISTS:
                raise
            listed = await link.call(Doing('{"listCollections": 1}'), link.driver.collections, link.database)
            return listed[wanted.name]
        return {"validator": wanted.validator}

    async def _compare(self, wanted: Collection, options: dict[str, Any]) -> None:
        link = self.link
        differences: list[str] = []
        if link.features.kept_schema and wanted.validator:
            differences = validator_differences(wanted.validator, options.get("validator"))
        listing = Doing(f'{{"listIndexes": "{wanted.name}"}}', wanted.entity)
        there = await link.call(listing, link.driver.indexes, link.collection(wanted.name))
        missing: list[Index] = []
        for index in wanted.indexes:
            found = index_differences(index, there)
            if found is None:
                missing.append(index)
            else:
                differences += found
        if not differences:
            for index in missing:
                differences += await self._create_index(wanted, index)
        if differences:
            raise SchemaDrift(
                f"the collection {wanted.name!r} is not as declared: {'; '.join(differences)}",
                entity=None if wanted.entity is None else wanted.entity.name,
                hint="migrate it, or drop it where its data may go; create_schema never alters what is there",
            )

    async def _create_index(self, wanted: Collection, index: Index) -> list[str]:
        link = self.link
        text = f'{{"createIndexes": "{wanted.name}", "indexes": [{{"name": "{index.name}"}}]}}'
        doing = Doing(text, wanted.entity, within_s=INDEX_BUILD_S)
        keys = [(key, 1) for key in index.keys]
        try:
            await link.call(doing, link.collection(wanted.name).create_index, keys, **index.options)
        except DbkitError as error:
            cause = error.__cause__
            if not isinstance(cause, OperationFailure) or server_code(cause) not in INDEX_CONFLICTS:
                raise
            return [f"it has another index {index.name}, or one on the same keys"]
        return []

    async def check(self, entities: Sequence[EntitySpec], sample: int | None) -> list[Finding]:
        from .checking import check

        return await check(self.link, entities, sample)

    async def backfill(
        self,
        entity: EntitySpec,
        values: Sequence[tuple[FieldSpec, Any]],
        batch: int,
        told: Callable[[int, int], object],
    ) -> int:
        from .filling import backfill

        return await backfill(self.link, entity, values, batch, told)

    async def drop_schema(self) -> None:
        link = self.link
        there = await link.call(Doing('{"listCollections": 1}'), link.driver.collections, link.database)
        for entity in link.schema.managed:
            # References live in the programs: of another program's there is nothing to see here.
            for child, field in link.schema.children(entity):
                if not child.managed and {child.stored, entity.stored} <= there.keys():
                    raise depended_on(entity, child.stored, field.stored)
        for entity in link.schema.managed:
            doing = Doing(f'{{"drop": "{entity.stored}"}}', entity, within_s=INDEX_BUILD_S)
            await link.call(doing, link.collection(entity.stored).drop)
        if guards.COLLECTION in there:
            # Other programs' entities may have guards there: ours go, and the collection when it is empty.
            collection = link.collection(guards.COLLECTION)
            mine = {"_id.of": {"$in": [e.stored for e in link.schema]}}
            await link.call(Doing(f'{{"delete": "{guards.COLLECTION}"}}'), collection.delete_many, mine)
            finding = Doing(f'{{"find": "{guards.COLLECTION}"}}')
            if await link.call(finding, collection.find_one, {}, {"_id": 1}) is None:
                await link.call(Doing(f'{{"drop": "{guards.COLLECTION}"}}'), collection.drop)
        link.forget()

    # -- claims and transactions ---------------------------------------------------------------------------------------

    async def claim(self, query: Claim) -> list[Any]:
        link = self.link
        link.features.require("claim", backend=self.name, operation="claim", entity=query.entity.name)
        plan: ClaimPlan | None = link.plan(query)
        if plan is None:
            plan = await link.compile(query, compile_claim, lambda made: (made.entity.stored,), link.shapes)
        binds = query.binds
        if plan.out_of_range is not None and await self._aggregate(
            plan.checking, plan.out_of_range(binds), is_joined=False
        ):
            raise out_of_range(plan.entity.name, plan.suspect)
        return plan.shape.instances(await self._claim(plan, binds))

    async def _claim(self, plan: ClaimPlan, binds: tuple[Any, ...]) -> list[dict[str, Any]]:
        """Look for candidates, then claim them one by one; what another one takes or holds meanwhile is passed over.

        One look sorts for all that is wanted, and a claim by `_id` clashes with nobody who claims something else. Workers
        that look at once see the same candidates, so after a miss the next one is drawn by chance.

        A `findAndModify` by itself waits for a transaction that holds its document, which is rare, so it gets little
        time. In a transaction the same clash is an error at once: from then on each is tried in one of its own.
        """
        claimed: list[tuple[int, dict[str, Any]]] = []
        held: list[Any] = []
        limit: int = binds[plan.limit]
        alone = not self.link.quirks.ignores_max_time and not any(
            binds[b] is not None for _, b in plan.parents
        )
        deadline = monotonic() + LOCK_WAIT_S
        seen = 0
        while len(claimed) < limit and monotonic() < deadline:
            # What was claimed may still meet the filter.
            passed = [*held, *(document["_id"] for _, document in claimed)]
            found = await self._candidates(plan, binds, passed, limit - len(claimed))
            candidates = list(enumerate((document["_id"] for document in found), seen))
            if not candidates:
                break
            seen += len(candidates)
            while candidates and len(claimed) < limit:
                place, id = candidates.pop(0)
                try:
                    if alone:
                        document = await _claim_one(self, plan, binds, id)
                    else:
                        document = await self.atomically("claim", _claiming(plan, binds, id))
                except Conflict:
                    document = None
                    if alone:
                        alone = False
                        candidates.insert(0, (place, id))
                        continue
                    held.append(id)
                if document is None:
                    shuffle(candidates)
                else:
                    claimed.append((place, document))
        return [document for _, document in sorted(claimed, key=itemgetter(0))]

    async def _candidates(
        self, plan: ClaimPlan, binds: tuple[Any, ...], passed: list[Any], wanted: int
    ) -> list[dict[str, Any]]:
        return await self.link.call(
            plan.looking,
            self.link.driver.find,
            self.link.collection(plan.entity.stored),
            _but(plan.within(binds), passed),
            {"_id": 1},
            sort=plan.sort,
            limit=CANDIDATES * wanted,
        )

    async def begin(self, *, read_only: bool, isolation: Isolation) -> AsyncMongoTransaction:
        link = self.link
        link.features.require("transactions", backend=self.name, operation="transaction")
        if isolation == "serializable":
            link.features.require("serializable", backend=self.name, operation="transaction")
        return await AsyncMongoTransaction.begin(link)


async def _disconnect(link: AsyncLink) -> None:
    client, link.client = link.client, None
    if client is not None:
        await link.driver.close(client)


def _claiming(plan: ClaimPlan, binds: tuple[Any, ...], id: Any) -> AsyncWork[dict[str, Any] | None]:
    return lambda on: _claim_one(on, plan, binds, id)


async def _claim_one(
    on: AsyncMongoOperations, plan: ClaimPlan, binds: tuple[Any, ...], id: Any
) -> dict[str, Any] | None:
    collection = on.link.collection(plan.entity.stored)
    within = plan.within(binds)
    filter = {"$and": [{"_id": id}, within]} if "_id" in within else {"_id": id, **within}
    update = plan.update(binds)
    try:
        if on.session is None:
            found: dict[str, Any] | None = await on.link.call(
                on.writing(plan.text, plan.entity, waits=True),
                collection.find_one_and_update,
                filter,
                update,
                return_document=True,
                **on.link.driver.time_limit(CLAIM_WAIT_MS),
            )
            return found
        # In a transaction nobody can come between, and SecantusDB finds by `_id` here, where its findAndModify reads all.
        updating = on.writing(plan.updating, plan.entity)
        result = await on.link.call(updating, collection.update_one, filter, update, session=on.session)
    except DuplicateKey as error:
        raise await settled(on, error, plan.entity, assigned(update), {"_id": id}) from error.__cause__
    if not result.matched_count:
        return None
    await refer(on, plan.entity, plan.parents, (binds,))
    finding = Doing(plan.finding, plan.entity)
    document: dict[str, Any] = await on.link.call(
        finding, collection.find_one, {"_id": id}, session=on.session
    )
    return document


def _but(filter: dict[str, Any], passed: list[Any]) -> dict[str, Any]:
    return {"$and": [filter, {"_id": {"$nin": passed}}]} if passed else filter
