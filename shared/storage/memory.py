"""The store's twin in memory: one process, nothing kept; passes the same conformance suite as MongoDB."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import product
from typing import Any

from shared.storage.documents import Document, Keys
from shared.storage.errors import DuplicateKey
from shared.storage.query import fits, values_at
from shared.storage.update import changed
from shared.time.clock import Clock, SystemClock

SYSTEM_CLOCK = SystemClock()
_SCALARS = (str, int, float, bool, bytes)


class _Index:
    """One index: who holds which key. Documents are found by its first path, and kept apart by all of them when it is unique."""

    def __init__(self, name: str, paths: tuple[str, ...], unique: bool, partial: Mapping[str, Any] | None) -> None:
        self.name = name
        self.unique = unique
        self.first = paths[0]
        self._paths = paths
        self._partial = partial
        self._holders: dict[tuple[str, ...], Any] = {}
        self._by_first: dict[Any, dict[Any, None]] = {}

    def holder(self, document: Mapping[str, Any]) -> Any:
        """The id of another document that stands against this one, or None."""
        if not self.unique:
            return None
        found = (self._holders.get(key) for key in self._keys_of(document))
        return next((one for one in found if one is not None and one != document["_id"]), None)

    def add(self, document: Mapping[str, Any]) -> None:
        """Take note of a document."""
        for key in self._keys_of(document):
            self._holders[key] = document["_id"]
        for value in self._first_values(document):
            self._by_first.setdefault(value, {})[document["_id"]] = None

    def remove(self, document: Mapping[str, Any]) -> None:
        """Forget a document."""
        for key in self._keys_of(document):
            if self._holders.get(key) == document["_id"]:
                del self._holders[key]
        for value in self._first_values(document):
            self._by_first[value].pop(document["_id"], None)

    def ids(self, value: Any) -> Iterable[Any] | None:
        """The ids of all documents with this value at the first path; None when the index cannot tell."""
        if self._partial is not None or not isinstance(value, _SCALARS):
            return None
        return tuple(self._by_first.get(value, ()))

    def _keys_of(self, document: Mapping[str, Any]) -> set[tuple[str, ...]]:
        if not self.unique or (self._partial is not None and not fits(self._partial, document)):
            return set()
        each = [[repr(value) for value in _leaves(values_at(document, path))] or ["None"] for path in self._paths]
        return set(product(*each))

    def _first_values(self, document: Mapping[str, Any]) -> set[Any]:
        return {leaf for leaf in _leaves(values_at(document, self.first)) if isinstance(leaf, _SCALARS)}


class MemoryDocuments:
    """The port Documents over a dictionary."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._documents: dict[Any, Document] = {}
        self._indexes: dict[str, _Index] = {}

    async def insert(self, document: Document) -> None:
        if document["_id"] in self._documents:
            raise DuplicateKey("_id_")
        self._put(_plain(document))

    async def insert_new(self, documents: Sequence[Document]) -> int:
        new = 0
        for document in documents:
            try:
                await self.insert(document)
            except DuplicateKey:
                continue
            new += 1
        return new

    async def find_one(self, query: Document, fields: Mapping[str, Any] | None = None) -> Document | None:
        found = next(self._found(query), None)
        return None if found is None else _shown(found, fields)

    async def find(
        self, query: Document, *, limit: int, sort: Keys = (), fields: Mapping[str, Any] | None = None
    ) -> list[Document]:
        found = list(self._found(query))
        for path, direction in reversed(list(sort)):
            found.sort(key=lambda one: _sort_key(one, path, direction), reverse=direction < 0)
        return [_shown(one, fields) for one in found[:limit]]

    async def replace_if_version(self, query: Document, version: int, document: Document) -> bool:
        found = next(self._found({**query, "version": version}), None)
        if found is None:
            return False
        self._put({"_id": found["_id"], **_plain(document)})
        return True

    async def update(self, query: Document, change: Document, *, upsert: bool = False) -> bool:
        found = next(self._found(query), None)
        if found is None and not upsert:
            return False
        base = found if found is not None else {k: v for k, v in query.items() if not isinstance(v, dict)}
        new = _plain(changed(base, change, datetime.fromtimestamp(self._clock.now_s(), UTC)))
        if found is None and new["_id"] in self._documents:
            raise DuplicateKey("_id_")
        self._put(new)
        return True

    async def update_each(self, changes: Sequence[tuple[Document, Document]]) -> int:
        return sum([await self.update(query, change) for query, change in changes])

    async def count(self, query: Document, limit: int) -> int:
        return sum(1 for _, _ in zip(self._found(query), range(limit), strict=False))

    async def create_index(self, keys: Keys, *, name: str, unique: bool = False, partial: Document | None = None) -> None:
        if name in self._indexes:
            return
        index = _Index(name, tuple(path for path, _ in keys), unique, partial)
        for document in self._documents.values():
            if index.holder(document) is not None:
                raise DuplicateKey(name)
            index.add(document)
        self._indexes[name] = index

    def _found(self, query: Mapping[str, Any]) -> Iterator[Document]:
        return (one for one in self._candidates(query) if fits(query, one))

    def _candidates(self, query: Mapping[str, Any]) -> Iterable[Document]:
        """A part of the documents in which all that fit are to be found."""
        wanted = query.get("_id")
        ids: Iterable[Any] | None = None
        if isinstance(wanted, _SCALARS):
            ids = (wanted,)
        elif isinstance(wanted, Mapping) and set(wanted) == {"$in"}:
            ids = dict.fromkeys(wanted["$in"])
        for index in self._indexes.values():
            if ids is None and index.first in query:
                ids = index.ids(query[index.first])
        if ids is None:
            return self._documents.values()
        return [self._documents[one] for one in ids if one in self._documents]

    def _put(self, document: Document) -> None:
        for index in self._indexes.values():
            if index.holder(document) is not None:
                raise DuplicateKey(index.name)
        former = self._documents.get(document["_id"])
        for index in self._indexes.values():
            if former is not None:
                index.remove(former)
            index.add(document)
        self._documents[document["_id"]] = document


class MemoryStore:
    """The port Store in memory."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._collections: dict[str, MemoryDocuments] = {}

    def documents(self, name: str, *, operations_max: int | None = None) -> MemoryDocuments:
        """A collection; memory needs no bound."""
        return self._collections.setdefault(name, MemoryDocuments(self._clock))

    @property
    def collections(self) -> Mapping[str, MemoryDocuments]:
        """Every collection that was ever asked for, by name."""
        return dict(self._collections)

    async def now_s(self) -> float:
        return self._clock.now_s()

    async def ping(self) -> None:
        return None


def _plain(value: Any) -> Any:
    """A copy as the store would give it back: tuples are arrays, dates are UTC and whole milliseconds."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime):
        at = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return at.replace(microsecond=at.microsecond // 1000 * 1000)
    return value


def _shown(document: Document, fields: Mapping[str, Any] | None) -> Document:
    copy: Document = _plain(document)
    return copy if not fields else {name: value for name, value in copy.items() if name == "_id" or name in fields}


def _leaves(values: Sequence[Any]) -> list[Any]:
    return [leaf for value in values for leaf in (value if isinstance(value, list) else [value])]


def _sort_key(document: Mapping[str, Any], path: str, direction: int) -> tuple[bool, Any]:
    # As MongoDB: an array sorts by its smallest element upwards and by its largest downwards, a missing value first.
    leaves = [leaf for leaf in _leaves(values_at(document, path)) if leaf is not None]
    return (bool(leaves), (min(leaves) if direction > 0 else max(leaves)) if leaves else 0)
