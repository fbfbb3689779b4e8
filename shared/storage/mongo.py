"""MongoDB, and the only file that knows its driver: PyMongo's asyncio API, or Motor by setting.

Writes are acknowledged by a majority with their journal. Every driver error becomes StoreUnavailable or DuplicateKey. At
most `operations_max` operations of one handle are under way and `waiting_max` wait; beyond that the store counts as
unavailable, because a queue without end only hides that it is. Never cancel an operation: see `bounded`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pymongo import AsyncMongoClient, InsertOne, ReadPreference, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from shared.storage.documents import Document, Documents, Keys, Store
from shared.storage.errors import DuplicateKey, StoreError, StoreUnavailable, bounded

__all__ = [
    "Documents",
    "DuplicateKey",
    "MongoDocuments",
    "MongoSettings",
    "MongoStore",
    "Store",
    "StoreError",
    "StoreUnavailable",
    "bounded",
    "connect",
]

Driver = Literal["pymongo", "motor"]
Result = TypeVar("Result")
_DUPLICATE_CODE = 11000


@dataclass(frozen=True, slots=True)
class MongoSettings:
    """Bounds of the driver; milliseconds and operations."""

    server_selection_ms: int = 2000
    connect_ms: int = 500
    socket_ms: int = 5000
    pool_max: int = 32
    pool_min: int = 5
    operations_max: int = 32
    waiting_max: int = 2000


DEFAULT = MongoSettings()


class Gate:
    """Bounds the operations under way and those waiting for their turn."""

    def __init__(self, operations_max: int, waiting_max: int) -> None:
        self._free = asyncio.Semaphore(operations_max)
        self._waiting_max = waiting_max
        self._waiting = 0

    async def run(self, operation: Callable[[], Awaitable[Result]]) -> Result:
        """The operation's result; raises StoreUnavailable, DuplicateKey."""
        if not self._free.locked():
            async with self._free:
                return await _translated(operation)
        if self._waiting >= self._waiting_max:
            raise StoreUnavailable("overloaded")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            return await _translated(operation)
        finally:
            self._free.release()


class MongoDocuments:
    """The port Documents over one collection."""

    def __init__(self, collection: Any, gate: Gate) -> None:
        self._collection = collection
        self._gate = gate

    async def insert(self, document: Document) -> None:
        """Write a new document; raises DuplicateKey, StoreUnavailable."""
        await self._gate.run(lambda: self._collection.insert_one(document))

    async def insert_new(self, documents: Sequence[Document]) -> int:
        """Write those documents that are not there yet, in one round trip; how many were new. Raises StoreUnavailable."""
        if not documents:
            return 0
        operations = [InsertOne(document) for document in documents]

        async def write() -> int:
            try:
                result = await self._collection.bulk_write(operations, ordered=False)
            except BulkWriteError as error:
                details = error.details or {}
                if details.get("writeConcernErrors") or any(
                    failed.get("code") != _DUPLICATE_CODE for failed in details.get("writeErrors", ())
                ):
                    raise
                return int(details.get("nInserted", 0))
            return int(result.inserted_count)

        return await self._gate.run(write)

    async def find_one(self, query: Document, fields: Mapping[str, Any] | None = None) -> Document | None:
        """The first document that fits; raises StoreUnavailable."""
        found: Document | None = await self._gate.run(lambda: self._collection.find_one(query, fields))
        return found

    async def find(
        self, query: Document, *, limit: int, sort: Keys = (), fields: Mapping[str, Any] | None = None
    ) -> list[Document]:
        """At most `limit` documents that fit, in order; raises StoreUnavailable."""

        async def read() -> list[Document]:
            cursor = self._collection.find(query, fields, limit=limit, batch_size=limit)
            if sort:
                cursor = cursor.sort(list(sort))
            found: list[Document] = await cursor.to_list(limit)
            return found

        return await self._gate.run(read)

    async def replace_if_version(self, query: Document, version: int, document: Document) -> bool:
        """Compare-and-set: replace the document `query` finds if its `version` is this one; whether it was.

        The new document carries its own, higher version. Raises DuplicateKey, StoreUnavailable.
        """
        result = await self._gate.run(lambda: self._collection.replace_one({**query, "version": version}, document))
        return int(result.matched_count) == 1

    async def update(self, query: Document, change: Document | Sequence[Document], *, upsert: bool = False) -> bool:
        """Change the first document that fits; whether one fitted (or was made). Raises DuplicateKey, StoreUnavailable."""
        result = await self._gate.run(lambda: self._collection.update_one(query, change, upsert=upsert))
        return int(result.matched_count) == 1 or result.upserted_id is not None

    async def update_each(self, changes: Sequence[tuple[Document, Document]]) -> int:
        """Apply each change to the document its query finds, in one round trip; how many fitted. Raises StoreUnavailable."""
        if not changes:
            return 0
        operations = [UpdateOne(query, change) for query, change in changes]
        result = await self._gate.run(lambda: self._collection.bulk_write(operations, ordered=False))
        return int(result.matched_count)

    async def count(self, query: Document, limit: int) -> int:
        """How many documents fit, counted up to `limit`; raises StoreUnavailable."""
        return int(await self._gate.run(lambda: self._collection.count_documents(query, limit=limit)))

    async def create_index(self, keys: Keys, *, name: str, unique: bool = False, partial: Document | None = None) -> None:
        """Make sure that the index exists; raises StoreUnavailable."""
        options: Document = {"name": name, "unique": unique}
        if partial is not None:
            options["partialFilterExpression"] = partial
        await self._gate.run(lambda: self._collection.create_index(list(keys), **options))


class MongoStore:
    """The port Store over one database; made by `connect`."""

    def __init__(self, client: Any, database: str, driver: Driver, settings: MongoSettings) -> None:
        self._client = client
        self._driver = driver
        self._settings = settings
        self._database = client.get_database(
            database,
            read_preference=ReadPreference.PRIMARY,
            write_concern=WriteConcern("majority", j=True),
            read_concern=ReadConcern("majority"),
        )
        self._gate = Gate(settings.operations_max, settings.waiting_max)

    def documents(self, name: str, *, operations_max: int | None = None) -> MongoDocuments:
        """A collection; with `operations_max` it has a bound of its own, so that others never wait behind it."""
        gate = self._gate if operations_max is None else Gate(operations_max, self._settings.waiting_max)
        return MongoDocuments(self._database.get_collection(name), gate)

    async def now_s(self) -> float:
        """The store's own clock (`$$NOW`), seconds since the epoch; raises StoreUnavailable."""
        ask = {"aggregate": 1, "pipeline": [{"$documents": [{"now": "$$NOW"}]}], "cursor": {}}
        answer = await self._gate.run(lambda: self._database.command(ask))
        return float(answer["cursor"]["firstBatch"][0]["now"].timestamp())

    async def ping(self) -> None:
        """Return when the store answers; raises StoreUnavailable."""
        await self._gate.run(lambda: self._database.command({"ping": 1}))

    async def drop(self) -> None:
        """Remove the whole database: for tests. Raises StoreUnavailable."""
        await self._gate.run(lambda: self._client.drop_database(self._database.name))

    async def close(self) -> None:
        """Close every connection."""
        closing = self._client.close()
        if closing is not None:
            await closing

    async def __aenter__(self) -> "MongoStore":
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()


def connect(uri: str, database: str, *, driver: str = "pymongo", settings: MongoSettings = DEFAULT) -> MongoStore:
    """The database behind a URI; returns at once, connections follow with the first operation. Raises ValueError."""
    options: Document = {
        "serverSelectionTimeoutMS": settings.server_selection_ms,
        "connectTimeoutMS": settings.connect_ms,
        "socketTimeoutMS": settings.socket_ms,
        "maxPoolSize": settings.pool_max,
        "minPoolSize": settings.pool_min,
        "retryWrites": True,
        "retryReads": True,
        "tz_aware": True,
        "uuidRepresentation": "standard",
        "appname": database,
    }
    if driver == "pymongo":
        return MongoStore(AsyncMongoClient(uri, **options), database, "pymongo", settings)
    if driver == "motor":
        # Past its end of life: loaded only where it is asked for.
        from motor.motor_asyncio import AsyncIOMotorClient

        return MongoStore(AsyncIOMotorClient(uri, **options), database, "motor", settings)
    raise ValueError("the Mongo driver is pymongo or motor")


async def _translated(operation: Callable[[], Awaitable[Result]]) -> Result:
    # Drivers quote documents in their errors; nothing of that may travel on, so the cause is cut off.
    try:
        return await operation()
    except DuplicateKeyError as error:
        raise DuplicateKey(_index_of(error.details)) from None
    except BulkWriteError as error:
        failed = (error.details or {}).get("writeErrors", ())
        if failed and all(one.get("code") == _DUPLICATE_CODE for one in failed):
            raise DuplicateKey(_index_of(failed[0])) from None
        raise StoreUnavailable("BulkWriteError") from None
    except PyMongoError as error:
        raise StoreUnavailable(type(error).__name__) from None


def _index_of(details: Mapping[str, Any] | None) -> str | None:
    # `E11000 duplicate key error collection: db.name index: name_1 dup key: …`
    text = str((details or {}).get("errmsg", ""))
    _, found, rest = text.partition(" index: ")
    return rest.split(" ", 1)[0] if found else None
