"""mongomock behind the drivers' face: no server, no sessions, no commands."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any, cast

from bson.codec_options import CodecOptions

from .drivers import PyMongo
from .reads import find_options

__all__ = ["AsyncMongomock", "Mongomock"]

Document = dict[str, Any]


class Mongomock(PyMongo):
    """mongomock: no server, no sessions, no validators."""

    ends_calls = False

    def within(self, seconds: float) -> AbstractContextManager[Any]:
        return nullcontext()

    def connect(self, url: str, **options: Any) -> Any:
        import mongomock

        return cast("Any", mongomock.MongoClient)(tz_aware=True)

    def database(self, client: Any, name: str) -> Any:
        return client.get_database(name)

    def time_limit(self, ms: int) -> Document:
        return {}

    def collection(self, database: Any, name: str, **options: Any) -> Any:
        return database[name]

    def find(self, collection: Any, *args: Any, **options: Any) -> list[Document]:
        options.pop("batch_size", None)
        return list(collection.find(*args, **options))

    def aggregate(self, target: Any, pipeline: list[Document], **options: Any) -> list[Document]:
        return list(target.aggregate(pipeline, **options))

    def insert(self, database: Any, name: str, document: Document, ms: int) -> None:
        database[name].insert_one(document)

    def command(self, database: Any, command: Document, codec: CodecOptions[Any] | None = None) -> Document:
        # It has none: the two that are more than a question about the server.
        if "find" in command:
            found = self.find(database[command["find"]], **find_options(command))
        elif "aggregate" in command:
            found = self.aggregate(database[command["aggregate"]], command["pipeline"])
        else:
            return {}
        return {"cursor": {"id": 0, "firstBatch": found}}

    def collections(self, database: Any) -> dict[str, Document]:
        return {name: {} for name in database.list_collection_names()}

    def create_collection(self, database: Any, name: str, validator: Document) -> None:
        if name not in database.list_collection_names():
            database.create_collection(name)

    def indexes(self, collection: Any) -> list[Document]:
        return [{**found, "key": dict(found["key"])} for found in collection.index_information().values()]

    def open_cursor(self, collection: Any, pipeline: list[Document], batch: int) -> Any:
        return iter(collection.aggregate(pipeline))

    def next_batch(self, cursor: Any, batch: int) -> list[Document]:
        return list(islice(cursor, batch))

    def close_cursor(self, cursor: Any) -> None:
        """Nothing is open: mongomock holds the documents themselves."""


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

    ends_calls = False

    def __init__(self) -> None:
        self._plain = Mongomock()

    def within(self, seconds: float) -> AbstractContextManager[Any]:
        return nullcontext()

    def connect(self, url: str, **options: Any) -> Any:
        return self._plain.connect(url, **options)

    def database(self, client: Any, name: str) -> Any:
        return _AwaitableDatabase(client.get_database(name))

    def time_limit(self, ms: int) -> Document:
        return {}

    async def close(self, client: Any) -> None:
        self._plain.close(client)

    def collection(self, database: Any, name: str, **options: Any) -> Any:
        return database[name]

    async def find(self, collection: Any, *args: Any, **options: Any) -> list[Document]:
        return self._plain.find(collection.target, *args, **options)

    async def aggregate(self, target: Any, pipeline: list[Document], **options: Any) -> list[Document]:
        return self._plain.aggregate(target.target, pipeline, **options)

    async def insert(self, database: Any, name: str, document: Document, ms: int) -> None:
        self._plain.insert(database.target, name, document, ms)

    async def command(
        self, database: Any, command: Document, codec: CodecOptions[Any] | None = None
    ) -> Document:
        return self._plain.command(database.target, command)

    async def collections(self, database: Any) -> dict[str, Document]:
        return self._plain.collections(database.target)

    async def create_collection(self, database: Any, name: str, validator: Document) -> None:
        self._plain.create_collection(database.target, name, validator)

    async def indexes(self, collection: Any) -> list[Document]:
        return self._plain.indexes(collection.target)

    async def open_cursor(self, collection: Any, pipeline: list[Document], batch: int) -> Any:
        return self._plain.open_cursor(collection.target, pipeline, batch)

    async def next_batch(self, cursor: Any, batch: int) -> list[Document]:
        return self._plain.next_batch(cursor, batch)

    async def close_cursor(self, cursor: Any) -> None:
        self._plain.close_cursor(cursor)

    # mongomock has no sessions: its flags refuse what needs one before it comes here.
    async def start_session(self, client: Any, *, snapshot: bool) -> Any:
        raise NotImplementedError  # not reached

    async def start_transaction(self, session: Any) -> None:
        raise NotImplementedError  # not reached
