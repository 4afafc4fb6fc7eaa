"""What differs between PyMongo's two clients, Motor and mongomock, behind one face in two colours.

`find` and `aggregate` give all documents at once: dbkit's reads are bounded, and no cursor stays open. Everything else
that the colours share (find_one, insert_one, find_one_and_update, …) is called on the collection itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from .rows import CODEC_OPTIONS

__all__ = ["AsyncDriver", "AsyncMongomock", "AsyncMotor", "AsyncPyMongo", "Driver", "Mongomock", "PyMongo"]

Document = dict[str, Any]

TRANSACTION: dict[str, Any] = {
    "read_concern": ReadConcern("snapshot"),
    "write_concern": WriteConcern("majority"),
}


class AsyncDriver(Protocol):
    """The calls that differ."""

    def connect(self, url: str, **options: Any) -> Any:
        """Return a client; nothing is sent yet."""
        ...

    def database(self, client: Any, name: str) -> Any:
        """Return the database *name*, whose documents come as `rows` reads them."""
        ...

    def time_limit(self, seconds: float) -> Document:
        """Return the options by which the server gives up a `findAndModify` after some time."""
        ...

    async def close(self, client: Any) -> None: ...

    def collection(self, database: Any, name: str, **options: Any) -> Any:
        """Return a collection, whose methods are called as PyMongo's are."""
        ...

    async def find(self, collection: Any, *args: Any, **options: Any) -> list[Document]: ...

    async def aggregate(self, target: Any, pipeline: list[Document], **options: Any) -> list[Document]: ...

    async def command(self, database: Any, command: Document) -> Document: ...

    async def collections(self, database: Any) -> dict[str, Document]:
        """Return each collection's options by its name."""
        ...

    async def create_collection(self, database: Any, name: str, validator: Document) -> None: ...

    async def indexes(self, collection: Any) -> list[Document]: ...

    async def start_session(self, client: Any, *, snapshot: bool) -> Any: ...

    async def start_transaction(self, session: Any) -> None: ...


class Driver(Protocol):
    """The calls that differ."""

    def connect(self, url: str, **options: Any) -> Any:
        """Return a client; nothing is sent yet."""
        ...

    def database(self, client: Any, name: str) -> Any:
        """Return the database *name*, whose documents come as `rows` reads them."""
        ...

    def time_limit(self, seconds: float) -> Document:
        """Return the options by which the server gives up a `findAndModify` after some time."""
        ...

    def close(self, client: Any) -> None: ...

    def collection(self, database: Any, name: str, **options: Any) -> Any:
        """Return a collection, whose methods are called as PyMongo's are."""
        ...

    def find(self, collection: Any, *args: Any, **options: Any) -> list[Document]: ...

    def aggregate(self, target: Any, pipeline: list[Document], **options: Any) -> list[Document]: ...

    def command(self, database: Any, command: Document) -> Document: ...

    def collections(self, database: Any) -> dict[str, Document]:
        """Return each collection's options by its name."""
        ...

    def create_collection(self, database: Any, name: str, validator: Document) -> None: ...

    def indexes(self, collection: Any) -> list[Document]: ...

    def start_session(self, client: Any, *, snapshot: bool) -> Any: ...

    def start_transaction(self, session: Any) -> None: ...


def _create(name: str, validator: Document) -> Document:
    return {"create": name, "validator": validator} if validator else {"create": name}


class PyMongo:
    """`pymongo.MongoClient`."""

    def connect(self, url: str, **options: Any) -> Any:
        from pymongo import MongoClient

        return MongoClient(url, **options)

    def database(self, client: Any, name: str) -> Any:
        return client.get_database(name, codec_options=CODEC_OPTIONS)

    def time_limit(self, seconds: float) -> Document:
        return {"maxTimeMS": round(seconds * 1_000)}

    def close(self, client: Any) -> None:
        client.close()

    def collection(self, database: Any, name: str, **options: Any) -> Any:
        return database.get_collection(name, **options)

    def find(self, collection: Any, *args: Any, **options: Any) -> list[Document]:
        found: list[Document] = collection.find(*args, **options).to_list()
        return found

    def aggregate(self, target: Any, pipeline: list[Document], **options: Any) -> list[Document]:
        found: list[Document] = target.aggregate(pipeline, **options).to_list()
        return found

    def command(self, database: Any, command: Document) -> Document:
        reply: Document = database.command(command)
        return reply

    def collections(self, database: Any) -> dict[str, Document]:
        return {found["name"]: found.get("options", {}) for found in database.list_collections()}

    def create_collection(self, database: Any, name: str, validator: Document) -> None:
        database.command(_create(name, validator))

    def indexes(self, collection: Any) -> list[Document]:
        return list(collection.list_indexes())

    def start_session(self, client: Any, *, snapshot: bool) -> Any:
        return client.start_session(snapshot=snapshot)

    def start_transaction(self, session: Any) -> None:
        session.start_transaction(**TRANSACTION)


class AsyncPyMongo:
    """`pymongo.AsyncMongoClient`."""

    def connect(self, url: str, **options: Any) -> Any:
        from pymongo import AsyncMongoClient

        return AsyncMongoClient(url, **options)

    def database(self, client: Any, name: str) -> Any:
        return client.get_database(name, codec_options=CODEC_OPTIONS)

    def time_limit(self, seconds: float) -> Document:
        return {"maxTimeMS": round(seconds * 1_000)}

    async def close(self, client: Any) -> None:
        await client.close()

    def collection(self, database: Any, name: str, **options: Any) -> Any:
        return database.get_collection(name, **options)

    async def find(self, collection: Any, *args: Any, **options: Any) -> list[Document]:
        found: list[Document] = await collection.find(*args, **options).to_list()
        return found

    async def aggregate(self, target: Any, pipeline: list[Document], **options: Any) -> list[Document]:
        found: list[Document] = await (await target.aggregate(pipeline, **options)).to_list()
        return found

    async def command(self, database: Any, command: Document) -> Document:
        reply: Document = await database.command(command)
        return reply

    async def collections(self, database: Any) -> dict[str, Document]:
        return {found["name"]: found.get("options", {}) async for found in await database.list_collections()}

    async def create_collection(self, database: Any, name: str, validator: Document) -> None:
        await database.command(_create(name, validator))

    async def indexes(self, collection: Any) -> list[Document]:
        return [found async for found in await collection.list_indexes()]

    async def start_session(self, client: Any, *, snapshot: bool) -> Any:
        return client.start_session(snapshot=snapshot)

    async def start_transaction(self, session: Any) -> None:
        await session.start_transaction(**TRANSACTION)


class AsyncMotor(AsyncPyMongo):
    """`motor.motor_asyncio.AsyncIOMotorClient`."""

    def connect(self, url: str, **options: Any) -> Any:
        from motor.motor_asyncio import AsyncIOMotorClient

        return AsyncIOMotorClient(url, **options)

    async def close(self, client: Any) -> None:
        client.close()

    async def find(self, collection: Any, *args: Any, **options: Any) -> list[Document]:
        found: list[Document] = await collection.find(*args, **options).to_list(None)
        return found

    async def aggregate(self, target: Any, pipeline: list[Document], **options: Any) -> list[Document]:
        found: list[Document] = await target.aggregate(pipeline, **options).to_list(None)
        return found

    async def indexes(self, collection: Any) -> list[Document]:
        return [found async for found in collection.list_indexes()]

    async def start_session(self, client: Any, *, snapshot: bool) -> Any:
        return await client.start_session(snapshot=snapshot)

    async def start_transaction(self, session: Any) -> None:
        session.start_transaction(**TRANSACTION)


class Mongomock(PyMongo):
    """mongomock: no server, no sessions, no validators."""

    def connect(self, url: str, **options: Any) -> Any:
        import mongomock

        return cast("Any", mongomock.MongoClient)(tz_aware=True)

    def database(self, client: Any, name: str) -> Any:
        return client.get_database(name)

    def time_limit(self, seconds: float) -> Document:
        return {}

    def collection(self, database: Any, name: str, **options: Any) -> Any:
        return database[name]

    def find(self, collection: Any, *args: Any, **options: Any) -> list[Document]:
        options.pop("batch_size", None)
        options.pop("max_time_ms", None)
        return list(collection.find(*args, **options))

    def aggregate(self, target: Any, pipeline: list[Document], **options: Any) -> list[Document]:
        options.pop("maxTimeMS", None)
        return list(target.aggregate(pipeline, **options))

    def command(self, database: Any, command: Document) -> Document:
        return {}

    def collections(self, database: Any) -> dict[str, Document]:
        return {name: {} for name in database.list_collection_names()}

    def create_collection(self, database: Any, name: str, validator: Document) -> None:
        if name not in database.list_collection_names():
            database.create_collection(name)

    def indexes(self, collection: Any) -> list[Document]:
        return [{**found, "key": dict(found["key"])} for found in collection.index_information().values()]


class _Awaitable:
    """A mongomock object whose methods are awaited."""

    def __init__(self, target: Any) -> None:
        self.target = target

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.target, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return method(*args, **kwargs)

        return call


class _AwaitableDatabase(_Awaitable):
    """A mongomock database whose collections' methods are awaited."""

    @property
    def name(self) -> str:
        return str(self.target.name)

    def __getitem__(self, name: str) -> Any:
        return _Awaitable(self.target[name])


class AsyncMongomock:
    """mongomock behind `await`; nothing else runs meanwhile, as it does no I/O."""

    def __init__(self) -> None:
        self._plain = Mongomock()

    def connect(self, url: str, **options: Any) -> Any:
        return self._plain.connect(url, **options)

    def database(self, client: Any, name: str) -> Any:
        return _AwaitableDatabase(client.get_database(name))

    def time_limit(self, seconds: float) -> Document:
        return {}

    async def close(self, client: Any) -> None:
        self._plain.close(client)

    def collection(self, database: Any, name: str, **options: Any) -> Any:
        return database[name]

    async def find(self, collection: Any, *args: Any, **options: Any) -> list[Document]:
        return self._plain.find(collection.target, *args, **options)

    async def aggregate(self, target: Any, pipeline: list[Document], **options: Any) -> list[Document]:
        return self._plain.aggregate(target.target, pipeline, **options)

    async def command(self, database: Any, command: Document) -> Document:
        return {}

    async def collections(self, database: Any) -> dict[str, Document]:
        return self._plain.collections(database.target)

    async def create_collection(self, database: Any, name: str, validator: Document) -> None:
        self._plain.create_collection(database.target, name, validator)

    async def indexes(self, collection: Any) -> list[Document]:
        return self._plain.indexes(collection.target)

    async def start_session(self, client: Any, *, snapshot: bool) -> Any:
        raise NotImplementedError

    async def start_transaction(self, session: Any) -> None:
        raise NotImplementedError
