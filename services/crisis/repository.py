"""Cases in MongoDB: one document per case, compare-and-set on `version`, two unique indexes.

`(patient_id)` is unique where open; `(patient_id, flags.flag_id)` over all documents, closed ones too, so that a replayed
flag cannot reopen anything. Outbox entries ride in the same document write; clearing them does not bump the version. The
timeline is a collection of its own. `updated_at` is the store's own clock.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog

from services.crisis.domain.encoding import Garbled, from_record, records_in, to_document
from services.crisis.domain.facts import Flag
from services.crisis.ports import Conflict, Left, StoredCase, StoreSilent
from shared.storage.mongo import Documents, DuplicateKey, Store, StoreUnavailable, bounded

OPEN_AT_ONCE = 1_000
NOTES_MAX = 1_000
TIMELINE_MAX = 5_000
CASES_PER_PATIENT_MAX = 100
_IN_ORDER = [("updated_at", 1), ("_id", 1)]
log = structlog.get_logger("crisis.repository")

_HAS_OUTBOX = "outbox.0"


class MongoCases:
    """The port Cases, and the outbox's store side, over one database.

    `operation_s` bounds every operation; outbox entries older than `sweep_after_s` count as left behind.
    """

    def __init__(self, store: Store, operation_s: float, sweep_after_s: float = 2.0) -> None:
        self._store = store
        self._operation_s = operation_s
        self._sweep_after_s = sweep_after_s
        self._cases: Documents = store.documents("cases")
        self._timeline: Documents = store.documents("timeline")
        self._notes: Documents = store.documents("notes")

    async def ready(self) -> None:
        """Return when the indexes exist; raises StoreSilent."""
        with _silence():
            await self._cases.create_index([("patient_id", 1)], name="one_open_case", unique=True, partial={"open": True})
            await self._cases.create_index([("patient_id", 1), ("flags.flag_id", 1)], name="a_flag_once", unique=True)
            await self._cases.create_index([("updated_at", 1)], name="changed")
            # One entry per document that has an outbox, not one per outbox entry: each write would touch a dozen.
            await self._cases.create_index([("updated_at", 1)], name="left_behind", partial={_HAS_OUTBOX: {"$exists": True}})
            await self._timeline.create_index([("case_id", 1), ("line.seq", 1)], name="line", unique=True)
            await self._notes.create_index([("flag_id", 1), ("at", 1)], name="of_flag")

    async def store_now(self) -> float:
        """The store's own clock; raises StoreSilent."""
        with _silence():
            return await bounded(self._store.now_s(), self._operation_s)

    async def insert(self, case: StoredCase, outbox: Sequence[dict[str, Any]], next_due: float | None) -> None:
        """Write a new case; raises Conflict, StoreSilent."""
        await self._write({"_id": case.case_id, "patient_id": case.patient_id, "version": 0}, case, outbox, next_due, True)

    async def replace(self, case: StoredCase, outbox: Sequence[dict[str, Any]], next_due: float | None) -> None:
        """Write the next version; raises Conflict, StoreSilent."""
        query = {"_id": case.case_id, "patient_id": case.patient_id, "version": case.version - 1, "open": True}
        await self._write(query, case, outbox, next_due, False)

    async def load(self, patient_id: str, flag_ids: Sequence[str]) -> tuple[StoredCase, ...]:
        """The patient's open document and those holding one of the flags; raises StoreSilent."""
        query: dict[str, Any] = {"patient_id": patient_id, "$or": [{"open": True}]}
        if flag_ids:
            query["$or"].append({"flags.flag_id": {"$in": list(flag_ids)}})
        # The open one first: it must be among those read, however many closed ones hold one of the flags.
        order = [("open", -1), ("_id", 1)]
        with _silence():
            found = await bounded(self._cases.find(query, limit=CASES_PER_PATIENT_MAX, sort=order), self._operation_s)
        try:
            return tuple(_stored(document) for document in found)
        except Garbled:
            # A newer version wrote something this one does not know. Writing over it would lose that: leave it alone.
            log.error("case_unreadable", case_ids=[document["_id"] for document in found])
            raise StoreSilent("unreadable") from None

    async def changed_since(self, at: float, limit: int, known: Mapping[str, int]) -> tuple[StoredCase, ...]:
        """Documents written after a store time that are news to the caller, oldest first, read `limit` at a time; raises
        StoreSilent."""
        news: dict[str, None] = {}
        query: dict[str, Any] = {"updated_at": {"$gt": datetime.fromtimestamp(at, UTC)}}
        fields = {"version": 1, "updated_at": 1}
        while True:
            with _silence():
                # Heads first: most of what changed was written by the caller itself.
                reading = self._cases.find(query, limit=limit, sort=_IN_ORDER, fields=fields)
                heads = await bounded(reading, self._operation_s)
            news.update(dict.fromkeys(head["_id"] for head in heads if known.get(head["_id"], 0) < head["version"]))
            if len(heads) < limit:
                break
            last = heads[-1]
            query = {"$or": [{"updated_at": {"$gt": last["updated_at"]}}, _same_moment_after(last)]}
        found: list[StoredCase] = []
        ids = list(news)
        for begin in range(0, len(ids), limit):
            wanted = {"_id": {"$in": ids[begin : begin + limit]}}
            with _silence():
                documents = await bounded(self._cases.find(wanted, limit=limit, sort=_IN_ORDER), self._operation_s)
            found += _readable(documents)
        return tuple(found)

    async def all_open(self) -> tuple[StoredCase, ...]:
        """Every open document; raises StoreSilent."""
        found: list[StoredCase] = []
        after = ""
        while True:
            query = {"open": True, "_id": {"$gt": after}}
            with _silence():
                documents = await bounded(self._cases.find(query, limit=OPEN_AT_ONCE, sort=[("_id", 1)]), self._operation_s)
            found += _readable(documents)
            if len(documents) < OPEN_AT_ONCE:
                return tuple(found)
            after = documents[-1]["_id"]

    async def holding(self, flags: Sequence[tuple[str, str]]) -> tuple[StoredCase, ...]:
        """The documents, closed ones too, that hold one of these flags (patient, flag); raises StoreSilent."""
        patients, ids = list(dict.fromkeys(p for p, _ in flags)), list(dict.fromkeys(f for _, f in flags))
        query = {"patient_id": {"$in": patients}, "flags.flag_id": {"$in": ids}}
        with _silence():
            # A flag is in one document at most.
            documents = await bounded(self._cases.find(query, limit=max(1, len(ids))), self._operation_s)
        return tuple(_readable(documents))

    # The outbox

    async def project(self, left: Sequence[Left]) -> None:
        """Put lines into the timeline; lines already there stay as they are. Raises StoreSilent."""
        documents = [
            {
                "_id": f"{one.case_id}:{entry['line']['seq']}",
                "case_id": one.case_id,
                "patient_id": one.patient_id,
                "line": entry["line"],
            }
            for one in left
            for entry in one.entries
            if entry["kind"] == "timeline"
        ]
        with _silence():
            await self._timeline.insert_new(documents)

    async def clear(self, left: Sequence[Left]) -> None:
        """Remove entries that were projected and published; raises StoreSilent."""
        changes: list[tuple[dict[str, Any], dict[str, Any]]] = [
            (
                {"_id": one.case_id, "patient_id": one.patient_id},
                {"$pull": {"outbox": {"id": {"$in": [entry["id"] for entry in one.entries]}}}},
            )
            for one in left
        ]
        with _silence():
            await self._cases.update_each(changes)

    async def left_behind(self, limit: int, since_s: float = 0.0) -> list[Left]:
        """Entries of documents written since then whose outbox was not cleared in time, oldest first; raises StoreSilent."""
        with _silence():
            before = datetime.fromtimestamp(await self._store.now_s() - self._sweep_after_s, UTC)
            since = datetime.fromtimestamp(since_s, UTC)
            query = {_HAS_OUTBOX: {"$exists": True}, "updated_at": {"$gte": since, "$lt": before}}
            fields = {"patient_id": 1, "outbox": 1, "updated_at": 1}
            found = await self._cases.find(query, limit=limit, sort=[("updated_at", 1)], fields=fields)
        return [Left(d["_id"], d["patient_id"], tuple(d["outbox"]), d["updated_at"].timestamp()) for d in found]

    async def timeline(self, case_id: str, patient_id: str) -> list[dict[str, Any]]:
        """The lines of a case in order; raises StoreSilent."""
        with _silence():
            query = {"case_id": case_id, "patient_id": patient_id}
            found = await self._timeline.find(query, limit=TIMELINE_MAX, sort=[("line.seq", 1)])
        return [document["line"] for document in found]

    # Notes

    async def keep_note(self, note: dict[str, Any]) -> None:
        """Write a note once; raises StoreSilent."""
        with _silence():
            await bounded(self._notes.insert_new([{"_id": note["note_id"], **note}]), self._operation_s)

    async def drop_note(self, note_id: str) -> None:
        """Take a note back; raises StoreSilent."""
        with _silence():
            change = {"$set": {"withdrawn": True}}
            await bounded(self._notes.update({"_id": note_id}, change), self._operation_s)

    async def notes_of(self, flag_ids: Sequence[str]) -> list[dict[str, Any]]:
        """The notes on these flags, the oldest first; raises StoreSilent."""
        query = {"flag_id": {"$in": list(flag_ids)}, "withdrawn": {"$ne": True}}
        with _silence():
            found = await bounded(self._notes.find(query, limit=NOTES_MAX, sort=[("at", 1)]), self._operation_s)
        return [{name: value for name, value in note.items() if name != "_id"} for note in found]

    async def _write(
        self,
        query: dict[str, Any],
        case: StoredCase,
        outbox: Sequence[dict[str, Any]],
        next_due: float | None,
        new: bool,
    ) -> None:
        change = {
            "$set": {
                "open": case.open,
                "version": case.version,
                **to_document(case.items),
                "timeline_seq": case.timeline_seq,
                "timeline_hash": case.timeline_hash,
                "next_due": None if next_due is None else datetime.fromtimestamp(next_due, UTC),
            },
            "$push": {"outbox": {"$each": list(outbox)}},
            "$currentDate": {"updated_at": True},
        }
        flag_ids = [item.flag_id for item in case.items if isinstance(item, Flag)]
        with _silence():
            try:
                if await bounded(self._cases.update(query, change, upsert=new), self._operation_s):
                    return
            except DuplicateKey:
                pass
        raise Conflict(await self.load(case.patient_id, flag_ids))


class _silence:  # noqa: N801 - reads as a statement: `with _silence():`
    """Every way in which the store fails to answer, as StoreSilent."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, StoreUnavailable):
            raise StoreSilent(error.code) from None


def _same_moment_after(head: dict[str, Any]) -> dict[str, Any]:
    return {"updated_at": head["updated_at"], "_id": {"$gt": head["_id"]}}


def _readable(documents: list[dict[str, Any]]) -> list[StoredCase]:
    """Those that this version understands; one that it does not must not hide the others."""
    found = []
    for document in documents:
        try:
            found.append(_stored(document))
        except Garbled:
            log.error("case_unreadable", case_ids=[document["_id"]])
    return found


def _stored(document: dict[str, Any]) -> StoredCase:
    items = tuple(from_record(record) for record in records_in(document))
    return StoredCase(
        document["_id"],
        document["patient_id"],
        document["open"],
        document["version"],
        items,
        document["timeline_seq"],
        document["timeline_hash"],
    )
