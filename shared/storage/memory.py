"""The store's twin in memory: one process, nothing kept; passes the same conformance suite as MongoDB."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from typing import Any

from shared.storage.documents import Document, Keys
from shared.storage.errors import DuplicateKey
from shared.storage.query import fits, values_at
from shared.storage.update import changed
from shared.time.clock import Clock


@dataclass(frozen=True, slots=True)
class _Unique:
    name: str
    paths: tuple[str, ...]
    partial: Mapping[str, Any] | None

    def keys_of(self, document: Mapping[str, Any]) -> set[tuple[str, ...]]:
        if self.partial is not None and not fits(self.partial, document):
            return set()
        each = [[repr(value) for value in _leaves(values_at(document, path))] or ["None"] for path in self.paths]
        return set(product(*each))


class MemoryDocuments:
    """The port Documents over a dictionary."""

    def __init__(self) -> None:
        self._documents: dict[Any, Document] = {}
        self._uniques: dict[str, _Unique] = {}

    async def insert(self, document: Document) -> None:
        if document["_id"] in self._documents:
            raise DuplicateKey("_id_")
        self._check(document)
        self._documents[document["_id"]] = _plain(document)

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
        new = {"_id": found["_id"], **_plain(document)}
        self._check(new)
        self._documents[found["_id"]] = new
        return True

    async def update(self, query: Document, change: Document, *, upsert: bool = False) -> bool:
        found = next(self._found(query), None)
        if found is None and not upsert:
            return False
        base = found if found is not None else {k: v for k, v in query.items() if not isinstance(v, dict)}
        new = _plain(changed(base, change))
        if found is None and new["_id"] in self._documents:
            raise DuplicateKey("_id_")
        self._check(new)
        self._documents[new["_id"]] = new
        return True

    async def update_each(self, changes: Sequence[tuple[Document, Document]]) -> int:
        return sum([await self.update(query, change) for query, change in changes])

    async def count(self, query: Document, limit: int) -> int:
        return sum(1 for _, _ in zip(self._found(query), range(limit), strict=False))

    async def create_index(self, keys: Keys, *, name: str, unique: bool = False, partial: Document | None = None) -> None:
        if unique:
            self._uniques[name] = _Unique(name, tuple(path for path, _ in keys), partial)

    def _found(self, query: Mapping[str, Any]) -> Iterator[Document]:
        return (one for one in self._documents.values() if fits(query, one))

    def _check(self, document: Mapping[str, Any]) -> None:
        for unique in self._uniques.values():
            keys = unique.keys_of(document)
            if any(one["_id"] != document["_id"] and keys & unique.keys_of(one) for one in self._documents.values()):
                raise DuplicateKey(unique.name)


class MemoryStore:
    """The port Store in memory."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._collections: dict[str, MemoryDocuments] = {}

    def documents(self, name: str, *, operations_max: int | None = None) -> MemoryDocuments:
        """A collection; memory needs no bound."""
        return self._collections.setdefault(name, MemoryDocuments())

    async def now_s(self) -> float:
        return self._clock.now_s()

    async def ping(self) -> None:
        return None


def _plain(value: Any) -> Any:
    """A copy as the store would give it back: tuples are arrays."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return deepcopy(value)


def _shown(document: Document, fields: Mapping[str, Any] | None) -> Document:
    copy: Document = _plain(document)
    return copy if not fields else {name: value for name, value in copy.items() if name == "_id" or name in fields}


def _leaves(values: Sequence[Any]) -> list[Any]:
    return [leaf for value in values for leaf in (value if isinstance(value, list) else [value])]


def _sort_key(document: Mapping[str, Any], path: str, direction: int) -> tuple[bool, Any]:
    # As MongoDB: an array sorts by its smallest element upwards and by its largest downwards, a missing value first.
    leaves = [leaf for leaf in _leaves(values_at(document, path)) if leaf is not None]
    return (bool(leaves), (min(leaves) if direction > 0 else max(leaves)) if leaves else 0)
