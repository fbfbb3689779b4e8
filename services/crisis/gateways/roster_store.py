"""The roster in MongoDB: one document with its outbox, written by compare-and-set; what was changed by whom beside it.

`{_id: "roster", version, book, outbox}`; the book is the JSON text of the document (its names are people's own, which keys of
the store must not be). `{_id: "gaps", version, told, outbox}` remembers which gaps were told. `roster_changes` is append-only.
"""

from collections.abc import Sequence
from typing import Any

from services.crisis.ports import StoredRoster, StoreSilent, ToldGaps
from shared.storage.documents import Documents, Store
from shared.storage.errors import DuplicateKey, StoreUnavailable, bounded

_ROSTER = "roster"
_GAPS = "gaps"
OUTBOX_MAX = 1_000
CHANGES_MAX = 500


class MongoRoster:
    """The port RosterStore over one database; `operation_s` bounds every operation."""

    def __init__(self, store: Store, operation_s: float) -> None:
        self._documents: Documents = store.documents("roster")
        self._changes: Documents = store.documents("roster_changes")
        self._operation_s = operation_s

    async def news(self, version: int, *, unpublished: bool) -> StoredRoster | None:
        """The roster when it is newer than this version or (if asked) something is not published yet; raises StoreSilent."""
        newer = {"version": {"$gt": version}}
        query = {"_id": _ROSTER, "$or": [newer, *([{"outbox.0": {"$exists": True}}] if unpublished else [])]}
        return _stored(await self._one(query))

    async def load(self) -> StoredRoster | None:
        """The roster, None while nobody has written one; raises StoreSilent."""
        return _stored(await self._one({"_id": _ROSTER}))

    async def save(self, book: str, version: int, expected: int | None, outbox: Sequence[dict[str, Any]]) -> bool:
        """Write the book as this version if the store's is the expected one (None: there is none); raises StoreSilent."""
        document = {"_id": _ROSTER, "version": version, "book": book, "outbox": list(outbox)[-OUTBOX_MAX:]}
        return await self._set(document, expected)

    async def published(self, entries: Sequence[dict[str, Any]]) -> None:
        """Keep these entries as changes and remove them from the outbox; raises StoreSilent."""
        with _silence():
            changes = [{"_id": f"{entry['version']:010}", **entry} for entry in entries]
            await bounded(self._changes.insert_new(changes), self._operation_s)
        await self._clear(_ROSTER, [entry["id"] for entry in entries])

    async def changes(self) -> list[dict[str, Any]]:
        """Who changed what, the newest first; raises StoreSilent."""
        with _silence():
            found = await bounded(self._changes.find({}, limit=CHANGES_MAX, sort=[("_id", -1)]), self._operation_s)
        return [{name: value for name, value in one.items() if name != "_id"} for one in found]

    async def told_gaps(self) -> ToldGaps:
        """Which gaps were told, and what of that is not published yet; raises StoreSilent."""
        found = await self._one({"_id": _GAPS})
        return (
            ToldGaps(0, (), ()) if found is None else ToldGaps(found["version"], tuple(found["told"]), tuple(found["outbox"]))
        )

    async def tell_gaps(self, before: ToldGaps, told: Sequence[dict[str, Any]], outbox: Sequence[dict[str, Any]]) -> bool:
        """Remember gaps, with what is to be published of them, if nobody else has meanwhile; raises StoreSilent."""
        document = {"_id": _GAPS, "version": before.version + 1, "told": list(told), "outbox": list(outbox)[-OUTBOX_MAX:]}
        return await self._set(document, before.version or None)

    async def gaps_published(self, entry_ids: Sequence[str]) -> None:
        """Remove entries from the outbox of the gaps; raises StoreSilent."""
        await self._clear(_GAPS, entry_ids)

    async def _one(self, query: dict[str, Any]) -> dict[str, Any] | None:
        with _silence():
            return await bounded(self._documents.find_one(query), self._operation_s)

    async def _set(self, document: dict[str, Any], expected: int | None) -> bool:
        with _silence():
            try:
                if expected is None:
                    await bounded(self._documents.insert(document), self._operation_s)
                    return True
                work = self._documents.replace_if_version({"_id": document["_id"]}, expected, document)
                return await bounded(work, self._operation_s)
            except DuplicateKey:
                return False

    async def _clear(self, document_id: str, entry_ids: Sequence[str]) -> None:
        change = {"$pull": {"outbox": {"id": {"$in": list(entry_ids)}}}}
        with _silence():
            await bounded(self._documents.update({"_id": document_id}, change), self._operation_s)


class _silence:  # noqa: N801 - reads as a statement: `with _silence():`
    """Every way in which the store fails to answer, as StoreSilent."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, StoreUnavailable):
            raise StoreSilent(error.code) from None


def _stored(found: dict[str, Any] | None) -> StoredRoster | None:
    return None if found is None else StoredRoster(found["version"], found["book"], tuple(found["outbox"]))
