"""Flags that ride in an aggregate's own document until both lanes have them: the array `express`, in any collection."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.storage.documents import Document, Documents

# Flag ids a document remembers: one sheet sent again on another day is another flag.
FLAGS_REMEMBERED = 50


@dataclass(frozen=True, slots=True)
class PendingFlag:
    """A pending express entry and the document it is in; `shard` is the value of that document's shard key."""

    document_id: str
    shard: str
    entry: Mapping[str, Any]

    @property
    def flag_id(self) -> str:
        """The flag's id."""
        return str(self.entry["flag_id"])


class PendingFlags:
    """The pending entries of a collection. Every method raises StoreUnavailable."""

    def __init__(self, documents: Documents, shard_key: str = "patient_id") -> None:
        self._documents = documents
        self._shard_key = shard_key

    async def prepare_pending(self) -> None:
        """Make sure of the index that the rescan needs."""
        # Partial: documents whose entries have all gone do not weigh on it.
        await self._documents.create_index([("express.at", 1)], name="express_at", partial={"express.at": {"$exists": True}})

    async def keep_pending(self, document_id: str, shard: str, entry: Mapping[str, Any]) -> None:
        """Add an entry to an existing document unless it had this flag before; its version does not change."""
        flag_id = entry["flag_id"]
        remembered = {"$each": [flag_id], "$slice": -FLAGS_REMEMBERED}
        await self._documents.update(
            {"_id": document_id, self._shard_key: shard, "flags": {"$ne": flag_id}},
            {"$push": {"express": dict(entry), "flags": remembered}},
        )

    async def pending(self, after_s: float, limit: int) -> Sequence[PendingFlag]:
        """Entries accepted after the moment, oldest first."""
        found = await self._documents.find(
            {"express.at": {"$gt": after_s}},
            limit=limit,
            sort=[("express.at", 1)],
            fields={self._shard_key: 1, "express": 1},
        )
        # A full page ends where its last document begins: what stands later in earlier documents comes with a later page.
        firsts = [min(entry["at"] for entry in one["express"] if entry["at"] > after_s) for one in found]
        end_s = firsts[-1] if len(found) == limit else float("inf")
        flags = [
            PendingFlag(str(one["_id"]), str(one[self._shard_key]), entry)
            for one in found
            for entry in one["express"]
            if after_s < entry["at"] <= end_s
        ]
        return sorted(flags, key=lambda flag: float(flag.entry["at"]))

    async def count_pending(self, limit: int) -> int:
        """How many documents hold entries, counted up to `limit`."""
        return await self._documents.count({"express.at": {"$gt": 0}}, limit)

    async def clear_pending(self, cleared: Sequence[tuple[str, str, str]]) -> None:
        """Remove entries by (document id, shard, flag id), nothing else; the documents' versions do not change."""
        changes: list[tuple[Document, Document]] = [
            ({"_id": document_id, self._shard_key: shard}, {"$pull": {"express": {"flag_id": flag_id}}})
            for document_id, shard, flag_id in cleared
        ]
        await self._documents.update_each(changes)
