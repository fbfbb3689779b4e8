"""Patients and answer sheets in MongoDB: one document each, found again by patient id (the shard key)."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypeVar

from services.intake.domain.assignments import Answered
from services.intake.domain.documents import UNSCORED
from services.intake.domain.patient import card_of
from services.intake.domain.record import Card
from services.intake.ports import AlreadyThere, Document, StoreSilent
from shared.security.sealing import WRAPPED
from shared.storage.documents import Documents
from shared.storage.errors import DuplicateKey, StoreUnavailable
from shared.storage.outbox import MongoOutbox, carry_trace
from shared.storage.pending import FLAGS_REMEMBERED, PendingFlags

Result = TypeVar("Result")
KEYS_PAGE = 100
# Sheets that are looked through for a patient's assignments, the earliest first: beyond it what was answered looks unanswered,
# and somebody asks.
ANSWERED_MAX = 1_000


class MongoAssessments(PendingFlags):
    """The port Assessments, and the flags that wait in its documents.

    `documents` serves answers, `reads` the readers: they never wait behind each other.
    """

    def __init__(self, documents: Documents, reads: Documents) -> None:
        super().__init__(documents)
        self._reads = reads

    async def prepare(self) -> None:
        """Make sure of the indexes; raises StoreSilent."""
        await _heard(self._documents.create_index([("patient_id", 1), ("accepted_s", -1), ("_id", -1)], name="of_patient"))
        open_drafts: Document = {"left_open.at": {"$gt": 0}}
        await _heard(self._documents.create_index([("left_open.at", 1)], name="left_open", partial=open_drafts))
        await _heard(self.prepare_pending())
        await _heard(self._documents.create_index([("key", 1)], name="own_key", partial={"key": {"$gt": ""}}))

    async def forget_keys(self, patient_id: str) -> int:
        """Forget the keys of a patient's refused sheets, a page of them."""
        found = await _heard(
            self._reads.find({"patient_id": patient_id, "key": {"$gt": ""}}, limit=KEYS_PAGE, fields={"patient_id": 1})
        )
        changes: list[tuple[Document, Document]] = [
            ({"_id": one["_id"], "patient_id": patient_id}, {"$set": {"key": None}}) for one in found
        ]
        return await _heard(self._reads.update_each(changes))

    async def stale_keys(self, kek_id: str, after: str, limit: int) -> Sequence[Document]:
        """Refused sheets whose key has to be wrapped anew."""
        query, fields = _wrapped_by_another(kek_id, after), {"patient_id": 1, "key": 1}
        return await _heard(self._reads.find(query, limit=limit, sort=[("_id", 1)], fields=fields))

    async def replace_key(self, document_id: str, patient_id: str, old: str, new: str) -> None:
        """Change a refused sheet's key if it is the old one still."""
        await _heard(self._reads.update({"_id": document_id, "patient_id": patient_id, "key": old}, {"$set": {"key": new}}))

    async def insert(self, document: Document) -> None:
        """Write a new document."""
        carry_trace(document["outbox"])
        await _heard(self._documents.insert(document))

    async def load(self, document_id: str, patient_id: str | None = None) -> Document | None:
        """One document; with the patient id the read goes to one shard."""
        query = {"_id": document_id} if patient_id is None else {"_id": document_id, "patient_id": patient_id}
        source = self._reads if patient_id is None else self._documents
        return await _heard(source.find_one(query))

    async def of_patient(self, patient_id: str, before: tuple[float, str] | None, limit: int) -> Sequence[Document]:
        """Accepted sheets, newest first."""
        query: Document = {"patient_id": patient_id, "rejected": None}
        if before is not None:
            query["$or"] = _older("accepted_s", *before)
        return await _heard(self._reads.find(query, limit=limit, sort=[("accepted_s", -1), ("_id", -1)]))

    async def answered(self, patient_id: str, instruments: Sequence[str], since_s: float) -> Sequence[Answered]:
        """The port AnsweredSheets."""
        if not instruments:
            return []
        query: Document = {"patient_id": patient_id, "rejected": None, "accepted_s": {"$gte": since_s}}
        fields = dict.fromkeys(("instrument", "accepted_s", "status", "corrects"), 1)
        found = await _heard(
            self._reads.find(
                query | {"instrument": {"$in": list(instruments)}}, limit=ANSWERED_MAX, sort=[("accepted_s", 1)], fields=fields
            )
        )
        return [
            Answered(one["instrument"], one["accepted_s"], one["_id"])
            for one in found
            if one["status"] != UNSCORED and not one.get("corrects")
        ]

    async def save_draft(self, document: Document) -> None:
        """Put a draft in the place of the one before it; its flags and its pending entries are only added to."""
        query = {"_id": document["_id"], "patient_id": document["patient_id"]}
        told = {
            name: value for name, value in document.items() if name not in ("_id", "patient_id", "version", "flags", "express")
        }
        change: Document = {"$set": told, "$inc": {"version": 1, "saves": 1}}
        for entry in document["express"]:
            flag_id = entry["flag_id"]
            raised = {"express": {"$each": [entry]}, "flags": {"$each": [flag_id], "$slice": -FLAGS_REMEMBERED}}
            try:
                await _heard(
                    self._documents.update(query | {"flags": {"$ne": flag_id}}, change | {"$push": raised}, upsert=True)
                )
            except AlreadyThere:
                # This flag was raised by an earlier save.
                continue
            return
        await _heard(self._documents.update(query, change, upsert=True))

    async def abandoned_drafts(self, before_s: float, limit: int) -> Sequence[Document]:
        """Drafts that left something open, oldest first; what was answered is not read."""
        fields = dict.fromkeys(("patient_id", "record_id", "instrument", "accepted_s", "left_open"), 1)
        query: Document = {"left_open.at": {"$gt": 0, "$lt": before_s}}
        return await _heard(self._documents.find(query, limit=limit, sort=[("left_open.at", 1)], fields=fields))

    async def handed_in_since(self, patient_id: str, instrument: str, since_s: float) -> bool:
        """Whether such a sheet was accepted since."""
        query = {"patient_id": patient_id, "accepted_s": {"$gte": since_s}, "rejected": None, "instrument": instrument}
        return await _heard(self._documents.count(query, 1)) > 0

    async def settle_draft(self, document_id: str, patient_id: str, flag_id: str, entry: Mapping[str, Any] | None) -> bool:
        """Settle what a draft left open; a save in between has the last word."""
        change: Document = {"$set": {"left_open": None}}
        if entry is not None:
            change["$push"] = {"express": dict(entry), "flags": {"$each": [flag_id], "$slice": -FLAGS_REMEMBERED}}
        query = {"_id": document_id, "patient_id": patient_id, "left_open.flag_id": flag_id}
        return await _heard(self._documents.update(query, change))

    async def keep_pending(self, document_id: str, patient_id: str, entry: Mapping[str, Any]) -> None:
        """Add an entry unless the document had this flag before; raises StoreSilent."""
        await _heard(super().keep_pending(document_id, patient_id, entry))


class MongoPatients:
    """The port Patients; `cards` serves the hot path, `documents` everything else."""

    def __init__(self, documents: Documents, cards: Documents) -> None:
        self._documents = documents
        self._cards = cards

    async def insert(self, document: Document) -> None:
        """Write a new patient."""
        carry_trace(document["outbox"])
        await _heard(self._documents.insert(document))

    async def load(self, patient_id: str) -> Document | None:
        """One patient."""
        return await _heard(self._documents.find_one({"_id": patient_id}))

    async def card(self, patient_id: str) -> Card | None:
        """Routing codes, country and wrapped key; the contacts are not read."""
        found = await _heard(self._cards.find_one({"_id": patient_id}, {"routing": 1, "country": 1, "key": 1}))
        return None if found is None else card_of(found)

    async def prepare(self) -> None:
        """Make sure of the index that finds keys to be wrapped anew; raises StoreSilent."""
        await _heard(self._documents.create_index([("key", 1)], name="key", partial={"key": {"$gt": ""}}))

    async def replace(self, document: Document, version: int) -> bool:
        """Compare-and-set."""
        carry_trace(document["outbox"])
        return await _heard(self._documents.replace_if_version({"_id": document["_id"]}, version, document))

    async def stale_keys(self, kek_id: str, after: str, limit: int) -> Sequence[Document]:
        """Patients whose key has to be wrapped anew."""
        return await _heard(self._documents.find(_wrapped_by_another(kek_id, after), limit=limit, sort=[("_id", 1)]))


def _wrapped_by_another(kek_id: str, after: str) -> Document:
    # `w1.<KEK id>.…`: what stands before the first such token or after the last one; `/` is the character after the dot.
    first, beyond = f"{WRAPPED}.{kek_id}.", f"{WRAPPED}.{kek_id}/"
    return {"_id": {"$gt": after}, "key": {"$gt": ""}, "$or": [{"key": {"$lt": first}}, {"key": {"$gte": beyond}}]}


class MongoTasks:
    """The port Tasks."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    async def prepare(self) -> None:
        """Make sure of the indexes; raises StoreSilent."""
        for name, keys in (("of_patient", [("patient_id", 1)]), ("newest", [])):
            await _heard(self._documents.create_index([*keys, ("opened_s", -1), ("_id", -1)], name=name))

    async def insert(self, document: Document) -> None:
        """Open a task."""
        await _heard(self._documents.insert(document))

    async def load(self, task_id: str) -> Document | None:
        """One task."""
        return await _heard(self._documents.find_one({"_id": task_id}))

    async def page(
        self, patient_id: str | None, state: str | None, before: tuple[float, str] | None, limit: int
    ) -> Sequence[Document]:
        """Tasks, newest first."""
        query: Document = {} if patient_id is None else {"patient_id": patient_id}
        if state is not None:
            query["state"] = state
        if before is not None:
            query["$or"] = _older("opened_s", *before)
        return await _heard(self._documents.find(query, limit=limit, sort=[("opened_s", -1), ("_id", -1)]))

    async def close(self, task_id: str, by: str, at: str) -> None:
        """Close a task if it is open."""
        changed = {"state": "closed", "closed_by": by, "closed_at": at}
        await _heard(self._documents.update({"_id": task_id, "state": "open"}, {"$set": changed, "$inc": {"version": 1}}))


def _older(field: str, at_s: float, document_id: str) -> list[Document]:
    return [{field: {"$lt": at_s}}, {field: at_s, "_id": {"$lt": document_id}}]


async def prepare_outbox(outbox: MongoOutbox) -> None:
    """Make sure of an outbox's index; raises StoreSilent."""
    await _heard(outbox.prepare())


async def _heard(work: Awaitable[Result]) -> Result:
    try:
        return await work
    except StoreUnavailable:
        raise StoreSilent from None
    except DuplicateKey:
        raise AlreadyThere from None
