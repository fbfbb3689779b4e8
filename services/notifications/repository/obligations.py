"""Obligations in the store: one document each, found by when something is due, written by compare-and-set."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from services.notifications.domain.obligation import Item, Obligation, Try
from shared.storage.documents import Document, Documents
from shared.storage.errors import DuplicateKey
from shared.storage.outbox import Relay, carry_trace
from shared.time.clock import Clock


class StoredObligations:
    """The port Obligations."""

    def __init__(self, documents: Documents, relay: Relay, clock: Clock) -> None:
        self._documents = documents
        self._relay = relay
        self._clock = clock

    async def prepare(self) -> None:
        """Make sure of the indexes."""
        waiting: Document = {"next_s": {"$gt": 0}}
        await self._documents.create_index([("emergency", 1), ("next_s", 1)], name="next", partial=waiting)
        await self._documents.create_index([("patient_id", 1), ("changed_s", -1), ("_id", 1)], name="of_patient")

    async def load(self, obligation_id: str, patient_id: str | None = None) -> Obligation | None:
        query: Document = {"_id": obligation_id}
        if patient_id is not None:
            query["patient_id"] = patient_id
        found = await self._documents.find_one(query)
        return None if found is None else _read(found)

    async def save(self, obligation: Obligation) -> bool:
        entries = [dict(one) for one in obligation.events]
        carry_trace(entries)
        document = _written(obligation, self._clock.now_s())
        if obligation.version == 0:
            try:
                await self._documents.insert({**document, "outbox": entries})
            except DuplicateKey:
                return False
        elif not await self._replaced(document, obligation, entries):
            return False
        self._relay.wake(obligation.obligation_id, obligation.patient_id, entries)
        return True

    async def _replaced(self, document: Document, obligation: Obligation, entries: list[dict[str, Any]]) -> bool:
        """Compare-and-set of everything but the outbox: what waits there to be published is only added to."""
        told = {name: value for name, value in document.items() if name not in ("_id", "patient_id")}
        change: Document = {"$set": told}
        if entries:
            change["$push"] = {"outbox": {"$each": entries}}
        query = {"_id": obligation.obligation_id, "patient_id": obligation.patient_id, "version": obligation.version}
        return await self._documents.update(query, change)

    async def due(self, now_s: float, limit: int, *, emergency: bool = False) -> Sequence[Obligation]:
        query: Document = {"emergency": emergency, "next_s": {"$gt": 0, "$lte": now_s}}
        found = await self._documents.find(query, limit=limit, sort=[("next_s", 1)])
        return [_read(one) for one in found]

    async def open_of(self, patient_id: str, after: str, limit: int) -> Sequence[Obligation]:
        query: Document = {"patient_id": patient_id, "next_s": {"$gt": 0}, "_id": {"$gt": after}}
        return [_read(one) for one in await self._documents.find(query, limit=limit, sort=[("_id", 1)])]

    async def of(self, patient_id: str, limit: int) -> Sequence[Obligation]:
        found = await self._documents.find({"patient_id": patient_id}, limit=limit, sort=[("changed_s", -1), ("_id", 1)])
        return [_read(one) for one in found]


def _written(obligation: Obligation, now_s: float) -> Document:
    return {
        "_id": obligation.obligation_id,
        "patient_id": obligation.patient_id,
        "version": obligation.version + 1,
        "programme_id": obligation.programme_id,
        "kind": obligation.kind,
        "emergency": obligation.emergency,
        "subject_id": obligation.subject_id,
        "facts": {what: dict(fact) for what, fact in obligation.facts.items()},
        "messages": [asdict(one) for one in obligation.items],
        "ended": obligation.ended,
        "next_s": obligation.next_s,
        "changed_s": now_s,
    }


def _read(found: Mapping[str, Any]) -> Obligation:
    return Obligation(
        obligation_id=found["_id"],
        kind=found["kind"],
        subject_id=found["subject_id"],
        patient_id=found["patient_id"],
        programme_id=found["programme_id"],
        facts=found["facts"],
        items=tuple(_item(one) for one in found["messages"]),
        ended=found["ended"],
        version=found["version"],
    )


def _item(told: Mapping[str, Any]) -> Item:
    return Item(**{**told, "tries": tuple(Try(**one) for one in told["tries"])})
