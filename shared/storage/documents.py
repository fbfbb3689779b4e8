"""The port to documents: what services may ask of a store. Twins: MongoDB (`mongo.py`) and memory (`memory.py`).

Queries and changes are MongoDB's own, in the part of that language which both twins speak: equality, `$gt $gte $lt $lte $ne
$in $exists $or`, dotted paths through arrays; `$set $unset $inc $currentDate $push ($each, $slice) $pull`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

Document = dict[str, Any]
Keys = Sequence[tuple[str, int]]


class Documents(Protocol):
    """One collection. Every method raises StoreUnavailable; what was asked may have happened all the same."""

    async def insert(self, document: Document) -> None:
        """Write a new document; raises DuplicateKey."""
        ...

    async def insert_new(self, documents: Sequence[Document]) -> int:
        """Write those documents that are not there yet, in one round trip; how many were new."""
        ...

    async def find_one(self, query: Document, fields: Mapping[str, Any] | None = None) -> Document | None:
        """The first document that fits."""
        ...

    async def find(
        self, query: Document, *, limit: int, sort: Keys = (), fields: Mapping[str, Any] | None = None
    ) -> list[Document]:
        """At most `limit` documents that fit, in order."""
        ...

    async def replace_if_version(self, query: Document, version: int, document: Document) -> bool:
        """Compare-and-set: replace the document `query` finds if its `version` is this one; whether it was. Raises
        DuplicateKey. The new document carries its own, higher version."""
        ...

    async def update(self, query: Document, change: Document, *, upsert: bool = False) -> bool:
        """Change the first document that fits; whether one fitted (or was made). Raises DuplicateKey."""
        ...

    async def update_each(self, changes: Sequence[tuple[Document, Document]]) -> int:
        """Apply each change to the document its query finds, in one round trip; how many fitted."""
        ...

    async def count(self, query: Document, limit: int) -> int:
        """How many documents fit, counted up to `limit`."""
        ...

    async def create_index(self, keys: Keys, *, name: str, unique: bool = False, partial: Document | None = None) -> None:
        """Make sure that the index exists."""
        ...


class Store(Protocol):
    """One database."""

    def documents(self, name: str, *, operations_max: int | None = None) -> Documents:
        """A collection; with `operations_max` it has a bound of its own, so that others never wait behind it."""
        ...

    async def now_s(self) -> float:
        """The store's own clock, seconds since the epoch; raises StoreUnavailable."""
        ...

    async def ping(self) -> None:
        """Return when the store answers; raises StoreUnavailable."""
        ...
