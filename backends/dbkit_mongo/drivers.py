"""What differs between PyMongo's two clients and Motor, behind one face in two colours.

`find` and `aggregate` give all documents at once: dbkit's reads are bounded, and no cursor stays open. Everything else that
the colours share (find_one, insert_one, find_one_and_update, …) is called on the collection itself.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

import pymongo
from bson.codec_options import CodecOptions
from pymongo.errors import (
    DuplicateKeyError,
    NotPrimaryError,
    WriteConcernError,
    WriteError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from .errors import is_refused
from .rows import CODEC_OPTIONS
from .watch import Watch

__all__ = [
    "AsyncDriver",
    "AsyncMotor",
    "AsyncPyMongo",
    "Driver",
    "PyMongo",
    "check_insertion",
]

Document = dict[str, Any]

DUPLICATE = 11_000
TRANSACTION: dict[str, Any] = {
    "read_concern": ReadConcern("snapshot"),
    "write_concern": WriteConcern("majority"),
}


class AsyncDriver(Protocol):
    """The calls that differ."""

    ends_calls: bool
    """Whether `within` ends whatever runs in it, so that sockets need no limits of their own."""

    def within(self, seconds: float) -> AbstractContextManager[Any]:
        """Bound the calls in the block, as a whole."""
        ...

    def connect(self, url: str, **options: Any) -> Any:
        """Return a client; nothing is sent yet."""
        ...

    def database(self, client: Any, name: str) -> Any:
        """Return the database *name*, whose documents come as `rows` reads them."""
        ...

    def time_limit(self, ms: int) -> Document:
        """Return the options, the same as an argument and in a command, by which the server gives up after some time."""
        ...

    async def close(self, client: Any) -> None: ...

    def collection(self, database: Any, name: str, **options: Any) -> Any:
        """Return a collection, whose methods are called as PyMongo's are."""
        ...

    async def find(self, collection: Any, *args: Any, **options: Any) -> list[Document]: ...

    async def aggregate(self, target: Any, pipeline: list[Document], **options: Any) -> list[Document]: ...

    async def insert(self, database: Any, name: str, document: Document, ms: int) -> None:
        """Insert a document outside transactions; the server gives up after some time."""
        ...

    async def command(
        self, database: Any, command: Document, codec: CodecOptions[Any] | None = None
    ) -> Document: ...

    async def collections(self, database: Any) -> dict[str, Document]:
        """Return each collection's options by its name."""
        ...

    async def create_collection(self, database: Any, name: str, validator: Document) -> None: ...

    async def indexes(self, collection: Any) -> list[Document]: ...

    async def open_cursor(self, collection: Any, pipeline: list[Document], batch: int) -> Any:
        """Return a cursor over what the pipeline gives, for collections that are read whole."""
        ...

    async def next_batch(self, cursor: Any, batch: int) -> list[Document]:
        """Return the cursor's next documents; none at its end."""
        ...

    async def close_cursor(self, cursor: Any) -> None: ...

    async def start_session(self, client: Any, *, snapshot: bool) -> Any: ...

    async def start_transaction(self, session: Any) -> None: ...


class Driver(Protocol):
    """The calls that differ."""

    ends_calls: bool
    """Whether `within` ends whatever runs in it, so that sockets need no limits of their own."""

    def within(self, seconds: float) -> AbstractContextManager[Any]:
        """Bound the calls in the block, as a whole."""
        ...

    def connect(self, url: str, **options: Any) -> Any:
        """Return a client; nothing is sent yet."""
        ...

    def database(self, client: Any, name: str) -> Any:
        """Return the database *name*, whose documents come as `rows` reads them."""
        ...

    def time_limit(self, ms: int) -> Document:
        """Return the options, the same as an argument and in a command, by which the server gives up after some time."""
        ...

    def close(self, client: Any) -> None: ...

    def collection(self, database: Any, name: str, **options: Any) -> Any:
        """Return a collection, whose methods are called as PyMongo's are."""
        ...

    def find(self, collection: Any, *args: Any, **options: Any) -> list[Document]: ...

    def aggregate(self, target: Any, pipeline: list[Document], **options: Any) -> list[Document]: ...

    def insert(self, database: Any, name: str, document: Document, ms: int) -> None:
        """Insert a document outside transactions; the server gives up after some time."""
        ...

    def command(
        self, database: Any, command: Document, codec: CodecOptions[Any] | None = None
    ) -> Document: ...

    def collections(self, database: Any) -> dict[str, Document]:
        """Return each collection's options by its name."""
        ...

    def create_collection(self, database: Any, name: str, validator: Document) -> None: ...

    def indexes(self, collection: Any) -> list[Document]: ...

    def open_cursor(self, collection: Any, pipeline: list[Document], batch: int) -> Any:
        """Return a cursor over what the pipeline gives, for collections that are read whole."""
        ...

    def next_batch(self, cursor: Any, batch: int) -> list[Document]:
        """Return the cursor's next documents; none at its end."""
        ...

    def close_cursor(self, cursor: Any) -> None: ...

    def start_session(self, client: Any, *, snapshot: bool) -> Any: ...

    def start_transaction(self, session: Any) -> None: ...


def _create(name: str, validator: Document) -> Document:
    return {"create": name, "validator": validator} if validator else {"create": name}


def _insert(name: str, document: Document, ms: int) -> Document:
    # PyMongo's `insert_one` takes no maxTimeMS, and so would wait for another's transaction without limit.
    # https://www.mongodb.com/docs/manual/reference/command/insert/
    return {
        "insert": name,
        "documents": [document],
        "ordered": True,
        "maxTimeMS": ms,
        "writeConcern": {"w": "majority"},
    }


def check_insertion(reply: Document) -> None:
    """Raise what PyMongo's `insert_one` would for the server's answer to an `insert` of one document."""
    unconfirmed = reply.get("writeConcernError")
    if unconfirmed:
        # Before the other, unlike PyMongo: where the row is a duplicate of itself, sent again, it may still be lost.
        raise WriteConcernError(unconfirmed.get("errmsg"), unconfirmed.get("code"), unconfirmed)
    failed = reply.get("writeErrors")
    if failed:
        error = failed[-1]
        if error.get("code") == DUPLICATE:
            raise DuplicateKeyError(error.get("errmsg"), DUPLICATE, error)
        raise WriteError(error.get("errmsg"), error.get("code"), error)


GRACE_S = 1.0
"""The driver's own limits are reached first: they tell a pool that is full from a server that is not there."""


class PyMongo:
    """`pymongo.MongoClient`."""

    ends_calls = False

    def within(self, seconds: float) -> AbstractContextManager[Any]:
        # The server is told what is left (maxTimeMS), so that it does not go on alone.
        # https://www.mongodb.com/docs/languages/python/pymongo-driver/current/connect/connection-options/csot/
        return pymongo.timeout(seconds)

    def connect(self, url: str, **options: Any) -> Any:
        from pymongo import MongoClient

        return MongoClient(url, **options)

    def database(self, client: Any, name: str) -> Any:
        return client.get_database(name, codec_options=CODEC_OPTIONS)

    def time_limit(self, ms: int) -> Document:
        return {"maxTimeMS": ms}

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

    def insert(self, database: Any, name: str, document: Document, ms: int) -> None:
        command = _insert(name, document, ms)
        try:
            reply = database.command(command)
        except NotPrimaryError as error:
            if not is_refused(error):
                raise
            # As PyMongo does for its `insert_one`: nothing was written, and there is a new primary.
            reply = database.command(command)
        check_insertion(reply)

    def command(self, database: Any, command: Document, codec: CodecOptions[Any] | None = None) -> Document:
        reply: Document = database.command(command, codec_options=codec)
        return reply

    def collections(self, database: Any) -> dict[str, Document]:
        return {found["name"]: found.get("options", {}) for found in database.list_collections()}

    def create_collection(self, database: Any, name: str, validator: Document) -> None:
        database.command(_create(name, validator))

    def indexes(self, collection: Any) -> list[Document]:
        return list(collection.list_indexes())

    def open_cursor(self, collection: Any, pipeline: list[Document], batch: int) -> Any:
        return collection.aggregate(pipeline, batchSize=batch)

    def next_batch(self, cursor: Any, batch: int) -> list[Document]:
        found: list[Document] = cursor.to_list(batch)
        return found

    def close_cursor(self, cursor: Any) -> None:
        cursor.close()

    def start_session(self, client: Any, *, snapshot: bool) -> Any:
        return client.start_session(snapshot=snapshot)

    def start_transaction(self, session: Any) -> None:
        session.start_transaction(**TRANSACTION)


class AsyncPyMongo:
    """`pymongo.AsyncMongoClient`."""

    ends_calls = True

    def __init__(self) -> None:
        self._watches: dict[float, Watch] = {}

    def within(self, seconds: float) -> AbstractContextManager[Any]:
        # Any limit of PyMongo's, a socket's too, costs this client a task more for each message (`asyncio.wait_for`), a
        # tenth of a call. Cancelling closes the connection, and with it the server ends what it does.
        # https://www.mongodb.com/docs/manual/reference/method/db.collection.find/#client-disconnection
        watch = self._watches.get(seconds)
        if watch is None:
            watch = self._watches[seconds] = Watch(seconds + GRACE_S)
        return watch.call()

    def connect(self, url: str, **options: Any) -> Any:
        from pymongo import AsyncMongoClient

        return AsyncMongoClient(url, **options)

    def database(self, client: Any, name: str) -> Any:
        return client.get_database(name, codec_options=CODEC_OPTIONS)

    def time_limit(self, ms: int) -> Document:
        return {"maxTimeMS": ms}

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

    async def insert(self, database: Any, name: str, document: Document, ms: int) -> None:
        command = _insert(name, document, ms)
        try:
            reply = await database.command(command)
        except NotPrimaryError as error:
            if not is_refused(error):
                raise
            # As PyMongo does for its `insert_one`: nothing was written, and there is a new primary.
            reply = await database.command(command)
        check_insertion(reply)

    async def command(
        self, database: Any, command: Document, codec: CodecOptions[Any] | None = None
    ) -> Document:
        reply: Document = await database.command(command, codec_options=codec)
        return reply

    async def collections(self, database: Any) -> dict[str, Document]:
        return {found["name"]: found.get("options", {}) async for found in await database.list_collections()}

    async def create_collection(self, database: Any, name: str, validator: Document) -> None:
        await database.command(_create(name, validator))

    async def indexes(self, collection: Any) -> list[Document]:
        return [found async for found in await collection.list_indexes()]

    async def open_cursor(self, collection: Any, pipeline: list[Document], batch: int) -> Any:
        return await collection.aggregate(pipeline, batchSize=batch)

    async def next_batch(self, cursor: Any, batch: int) -> list[Document]:
        found: list[Document] = await cursor.to_list(batch)
        return found

    async def close_cursor(self, cursor: Any) -> None:
        await cursor.close()

    async def start_session(self, client: Any, *, snapshot: bool) -> Any:
        return client.start_session(snapshot=snapshot)

    async def start_transaction(self, session: Any) -> None:
        await session.start_transaction(**TRANSACTION)


class AsyncMotor(AsyncPyMongo):
    """`motor.motor_asyncio.AsyncIOMotorClient`: the synchronous client in threads, which nobody can cancel."""

    ends_calls = False

    def within(self, seconds: float) -> AbstractContextManager[Any]:
        return pymongo.timeout(seconds)

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

    async def open_cursor(self, collection: Any, pipeline: list[Document], batch: int) -> Any:
        return collection.aggregate(pipeline, batchSize=batch)

    async def start_session(self, client: Any, *, snapshot: bool) -> Any:
        return await client.start_session(snapshot=snapshot)

    async def start_transaction(self, session: Any) -> None:
        session.start_transaction(**TRANSACTION)
