"""Places, patients and groups in the store: one document each, found again by patient id (the shard key)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from services.sessions.domain.facts import Change, Event
from services.sessions.domain.group import Group
from services.sessions.domain.patient import Contact, Heard, Plan
from services.sessions.domain.place import Place, document_of, place_of
from services.sessions.domain.times import Times
from shared.contracts.envelope import Envelope
from shared.contracts.flag import Flag, kept
from shared.storage.documents import Document, Documents
from shared.storage.errors import DuplicateKey
from shared.storage.outbox import Relay, entry_of
from shared.time.clock import epoch_s
from shared.time.ids import derived_id

# Bounds of what is read for one patient or session: a year of five sessions a week, and more people than any group has.
PATIENT_PLACES_MAX = 1_000
SESSION_PLACES_MAX = 500
# How far back missed sessions in a row are counted.
ROW_MAX = 30


class StoredPlaces:
    """The port Places."""

    def __init__(self, documents: Documents, relay: Relay, times: Times) -> None:
        self._documents = documents
        self._relay = relay
        self._times = times

    async def prepare(self) -> None:
        """Make sure of the indexes."""
        create = self._documents.create_index
        # Partial: what is over does not weigh on the index that is looked at four times a second.
        await create([("due_s", 1), ("_id", 1)], name="due", partial={"due_s": {"$gt": 0}})
        await create([("patient_id", 1), ("starts_s", 1), ("_id", 1)], name="of_patient")
        await create([("patient_id", 1), ("week", 1)], name="of_week")
        await create([("session_id", 1)], name="of_session")

    async def insert(self, changes: Sequence[Change], cause: Envelope | None = None) -> None:
        documents = [document_of(one.place, self._times) | {"outbox": _entries(one, cause)} for one in changes]
        await self._documents.insert_new(documents)
        # Also of those that were there: the same events under the same ids.
        for document in documents:
            self._relay.wake(document["_id"], document["patient_id"], document["outbox"])

    async def save(self, before: Place, change: Change, *, flag: Flag | None = None, cause: Envelope | None = None) -> bool:
        entries = _entries(change, cause)
        pushed: Document = {"outbox": {"$each": entries}}
        if flag is not None:
            pushed["express"] = kept(flag)
        after = {name: value for name, value in document_of(change.place, self._times).items() if name not in _FIXED}
        query = {"_id": before.place_id, "patient_id": before.patient_id, "version": before.version}
        if not await self._documents.update(query, {"$set": after, "$push": pushed}):
            return False
        self._relay.wake(before.place_id, before.patient_id, entries)
        return True

    async def load(self, place_id: str) -> Place | None:
        found = await self._documents.find_one({"_id": place_id})
        return None if found is None else place_of(found)

    async def of_session(self, session_id: str) -> Sequence[Place]:
        return await self._found({"session_id": session_id}, SESSION_PLACES_MAX)

    async def of_patient(self, patient_id: str, after: tuple[float, str] | None, limit: int) -> Sequence[Place]:
        query: Document = {"patient_id": patient_id}
        if after is not None:
            query["$or"] = _beyond("starts_s", *after)
        return await self._found(query, limit)

    async def of_week(self, patient_id: str, week: str) -> Sequence[Place]:
        return await self._found({"patient_id": patient_id, "week": week}, PATIENT_PLACES_MAX)

    async def from_then_on(self, patient_id: str, from_s: float) -> Sequence[Place]:
        later = {"$gte": from_s}
        query = {"patient_id": patient_id, "$or": [{"starts_s": later}, {"slot_s": later}]}
        return await self._found(query, PATIENT_PLACES_MAX)

    async def states_before(self, patient_id: str, starts_s: float) -> Sequence[str]:
        query = {"patient_id": patient_id, "starts_s": {"$lt": starts_s}}
        found = await self._documents.find(query, limit=ROW_MAX, sort=[("starts_s", -1), ("_id", -1)], fields={"state": 1})
        return [str(one["state"]) for one in found]

    async def due(self, now_s: float, after: tuple[float, str] | None, limit: int) -> Sequence[tuple[float, Place]]:
        query: Document = {"due_s": {"$gt": 0, "$lte": now_s}}
        if after is not None:
            query["$or"] = _beyond("due_s", *after)
        found = await self._documents.find(query, limit=limit, sort=[("due_s", 1), ("_id", 1)])
        return [(float(one["due_s"]), place_of(one)) for one in found]

    async def _found(self, query: Document, limit: int) -> Sequence[Place]:
        found = await self._documents.find(query, limit=limit, sort=[("starts_s", 1), ("_id", 1)])
        return [place_of(one) for one in found]


# A document's identity and its shard key never change.
_FIXED = frozenset({"_id", "place_id", "patient_id"})


def _beyond(field: str, at_s: float, document_id: str) -> list[Document]:
    return [{field: {"$gt": at_s}}, {field: at_s, "_id": {"$gt": document_id}}]


def _entries(change: Change, cause: Envelope | None) -> list[Document]:
    """What is told, as entries of the outbox: an event's id comes from the place and its version, the sequence is that version."""
    return [_entry(change.place, event, cause) for event in change.events]


def _entry(place: Place, event: Event, cause: Envelope | None) -> Document:
    event_id = derived_id(place.place_id, event.TYPE, str(place.version))
    return entry_of(event, event_id, epoch_s(event.at), cause) | {"sequence": place.version}


class StoredPatients:
    """The ports Patients and KnownFlags."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    async def load(self, patient_id: str) -> tuple[Heard, int]:
        found = await self._documents.find_one({"_id": patient_id})
        return (Heard(patient_id), 0) if found is None else (_heard_of(found), int(found["version"]))

    async def heard_of(self, patient_ids: Sequence[str]) -> Mapping[str, Heard]:
        if not patient_ids:
            return {}
        found = await self._documents.find({"_id": {"$in": list(patient_ids)}}, limit=len(patient_ids))
        return {str(one["_id"]): _heard_of(one) for one in found}

    async def save(self, heard: Heard, version: int) -> bool:
        # Maps whose keys come from elsewhere are kept as lists: a key may not be any text in a document.
        told = asdict(heard) | {"flags": [[flag_id, level] for flag_id, level in heard.flags.items()]}
        document = {"_id": heard.patient_id, "version": version + 1, **told}
        if version > 0:
            return await self._documents.replace_if_version({"_id": heard.patient_id}, version, document)
        try:
            await self._documents.insert(document)
        except DuplicateKey:
            return False
        return True

    async def known(self, flags: Mapping[str, str]) -> Collection[str]:
        """Which of these flags (flag id → patient id) crisis has told of."""
        heard = await self.heard_of(sorted(set(flags.values())))
        return {flag_id for flag_id, patient_id in flags.items() if patient_id in heard and flag_id in heard[patient_id].flags}


def _heard_of(document: Mapping[str, Any]) -> Heard:
    contact, plan = document["contact"], document["plan"]
    discharged, resolved = document["discharged"], document["resolved"]
    return Heard(
        patient_id=document["_id"],
        programme_id=document["programme_id"],
        enrolled=document["enrolled"],
        contact=None if contact is None else Contact(**contact),
        plan=None if plan is None else Plan(**plan | {"group_ids": tuple(plan["group_ids"])}),
        discharged=None if discharged is None else (int(discharged[0]), float(discharged[1])),
        flags=dict(document["flags"]),
        resolved=None if resolved is None else (str(resolved[0]), resolved[1]),
        forgotten=document["forgotten"],
    )


class StoredGroups:
    """The port Groups."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    async def load(self, group_id: str) -> Group | None:
        found = await self._documents.find_one({"_id": group_id})
        return None if found is None else _group_of(found)

    async def some(self, group_ids: Sequence[str]) -> Mapping[str, Group]:
        if not group_ids:
            return {}
        found = await self._documents.find({"_id": {"$in": list(group_ids)}}, limit=len(group_ids))
        return {str(one["_id"]): _group_of(one) for one in found}

    async def save(self, group: Group, version: int | None) -> bool:
        there = await self.load(group.group_id)
        if version is not None and (there.version if there is not None else 0) != version:
            return False
        document = {"_id": group.group_id, **asdict(group), "version": 1 if there is None else there.version + 1}
        if there is not None:
            return await self._documents.replace_if_version({"_id": group.group_id}, there.version, document)
        try:
            await self._documents.insert(document)
        except DuplicateKey:
            return False
        return True


def _group_of(document: Mapping[str, Any]) -> Group:
    told = {name: value for name, value in document.items() if name != "_id"}
    return Group(**told | {"facilitators": tuple(document["facilitators"])})
