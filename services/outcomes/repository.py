"""Outcomes' ports over documents: sheets, places, cases and lives, all found by patient id (the shard key)."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from services.outcomes.domain.episodes import Life
from services.outcomes.domain.sheets import Sheet, sheet_document, stored_sheet
from services.outcomes.ports import AlreadyThere, Conflict, StoreSilent, Told
from shared.contracts.envelope import Envelope
from shared.storage.documents import Document, Documents
from shared.storage.errors import DuplicateKey, StoreUnavailable
from shared.storage.outbox import Relay, entry_of
from shared.storage.pending import PendingFlags
from shared.time.clock import Clock

# A batch that others wrote into is joined again, so often at the most.
CONFLICTS_MAX = 20
# Documents of one read; whatever is more comes with the next.
PAGE_MAX = 1_000


class Joinable(Protocol):
    """A projection that can take in another one of the same thing."""

    @property
    def patient_id(self) -> str: ...
    def join(self: "Kept", other: "Kept") -> "Kept": ...


Kept = TypeVar("Kept", bound=Joinable)
Read = TypeVar("Read")
Found = TypeVar("Found")


class StoredProjections(Generic[Kept]):
    """The port Projections. `document_of` and `stored` are the two ways between a projection and its document."""

    def __init__(
        self,
        documents: Documents,
        document_of: Callable[[Kept], Document],
        stored: Callable[[Mapping[str, Any]], Kept],
        *,
        clock: Clock,
        relay: Relay | None = None,
    ) -> None:
        self._documents = documents
        self._document_of = document_of
        self._stored = stored
        self._clock = clock
        self._relay = relay

    async def prepare(self) -> None:
        """Make sure of the index that finds everything of a patient."""
        await self._documents.create_index([("patient_id", 1), ("_id", 1)], name="patient")

    async def load(self, key: str, patient_id: str) -> tuple[Kept | None, int]:
        found = await self._documents.find_one({"_id": key, "patient_id": patient_id})
        return (None, 0) if found is None else (self._stored(found), int(found["version"]))

    async def save(self, kept: Kept, version: int, told: Sequence[Told] = ()) -> bool:
        document = self._document(kept)
        entries = [entry_of(one.event, one.event_id, self._clock.now_s()) for one in told]
        if version == 0:
            try:
                await self._documents.insert(document | {"version": 1, "outbox": entries})
            except DuplicateKey:
                return False
            saved = True
        else:
            query, change = _change(document, version)
            if entries:
                change["$push"] = {"outbox": {"$each": entries}}
            saved = await self._documents.update(query, change)
        if saved and self._relay is not None:
            self._relay.wake(document["_id"], kept.patient_id, entries)
        return saved

    async def join_all(self, kept: Sequence[Kept]) -> int:
        left = {str(self._document(one)["_id"]): one for one in kept}
        news = 0
        for _ in range(CONFLICTS_MAX):
            fresh, changes = await self._news(left)
            wanted = len(fresh) + len(changes)
            if wanted == 0:
                return news
            done = await self._documents.insert_new(fresh) if fresh else 0
            done += await self._documents.update_each(changes) if changes else 0
            news += done
            if done == wanted:
                return news
        raise Conflict("join_all")

    async def _news(self, kept: Mapping[str, Kept]) -> tuple[list[Document], list[tuple[Document, Document]]]:
        """What of these is new: documents to write, changes to make."""
        found = await self._documents.find({"_id": {"$in": list(kept)}}, limit=len(kept))
        known = {str(one["_id"]): one for one in found}
        fresh = [self._document(one) | {"version": 1, "outbox": []} for key, one in kept.items() if key not in known]
        changes = []
        for key, document in known.items():
            before = self._stored(document)
            after = before.join(kept[key])
            if after != before:
                changes.append(_change(self._document(after), int(document["version"])))
        return fresh, changes

    def _document(self, kept: Kept) -> Document:
        # What is not there is not written: an index of what is due holds only what is.
        return {name: value for name, value in self._document_of(kept).items() if name != "due_s" or value is not None}

    async def of_patient(self, patient_id: str) -> list[Kept]:
        return await _all_of(self._documents, {"patient_id": patient_id}, self._stored)

    async def after(self, key: str | None, limit: int) -> Sequence[tuple[str, Kept]]:
        return await _page(self._documents, key, limit, self._stored)


class StoredLives(StoredProjections[Life]):
    """The port Lives."""

    async def prepare(self) -> None:
        """Make sure of the indexes that find a patient, and what is due."""
        await super().prepare()
        await self._documents.create_index([("due_s", 1)], name="due", partial={"due_s": {"$exists": True}})

    async def due(self, now_s: float, limit: int) -> Sequence[str]:
        found = await self._documents.find({"due_s": {"$lte": now_s}}, limit=limit, sort=[("due_s", 1)], fields={"due_s": 1})
        return [str(one["_id"]) for one in found]


class StoredSheets:
    """The port Sheets: one document each, written once."""

    def __init__(self, documents: Documents, relay: Relay | None, clock: Clock) -> None:
        self._documents, self._relay, self._clock = documents, relay, clock

    async def prepare(self) -> None:
        """Make sure of the indexes that find a patient's sheets."""
        await self._documents.create_index([("patient_id", 1), ("instrument", 1), ("_id", 1)], name="patient_instrument")
        await self._documents.create_index([("patient_id", 1), ("_id", 1)], name="patient")

    async def of_instrument(self, patient_id: str, instrument: str) -> list[Sheet]:
        return await _all_of(self._documents, {"patient_id": patient_id, "instrument": instrument}, stored_sheet)

    async def of_patient(self, patient_id: str) -> list[Sheet]:
        return await _all_of(self._documents, {"patient_id": patient_id}, stored_sheet)

    async def insert(
        self, sheet: Sheet, told: Sequence[Told] = (), cause: Envelope | None = None, express: Sequence[Mapping[str, Any]] = ()
    ) -> bool:
        entries = [entry_of(one.event, one.event_id, self._clock.now_s(), cause) for one in told]
        document = sheet_document(sheet) | {"outbox": entries}
        if express:
            document |= {"express": [dict(one) for one in express], "flags": [one["flag_id"] for one in express]}
        try:
            await self._documents.insert(document)
        except DuplicateKey:
            return False
        if self._relay is not None:
            self._relay.wake(sheet.assessment_id, sheet.patient_id, entries)
        return True

    async def insert_all(self, sheets: Sequence[Sheet]) -> int:
        return await self._documents.insert_new([sheet_document(sheet) | {"outbox": []} for sheet in sheets])

    async def after(self, key: str | None, limit: int) -> Sequence[tuple[str, Sheet]]:
        return await _page(self._documents, key, limit, stored_sheet)


class StoredCheckIns:
    """The port CheckIns."""

    def __init__(self, documents: Documents, relay: Relay, clock: Clock) -> None:
        self._documents, self._relay, self._clock = documents, relay, clock
        self._flags = PendingFlags(documents)

    async def prepare(self) -> None:
        """Make sure of the index that finds a patient's check-ins."""
        await self._documents.create_index([("patient_id", 1), ("recorded_s", -1), ("_id", -1)], name="patient_recorded")

    async def insert(self, document: Document, told: Sequence[Told]) -> None:
        entries = [entry_of(one.event, one.event_id, self._clock.now_s()) for one in told]
        try:
            await _heard(self._documents.insert(document | {"outbox": entries}))
        except DuplicateKey:
            raise AlreadyThere from None
        self._relay.wake(document["_id"], document["patient_id"], entries)

    async def load(self, check_in_id: str, patient_id: str) -> Document | None:
        return await _heard(self._documents.find_one({"_id": check_in_id, "patient_id": patient_id}))

    async def keep_flag(self, document_id: str, patient_id: str, entry: Mapping[str, Any]) -> None:
        await _heard(self._flags.keep_pending(document_id, patient_id, entry))

    async def page(self, patient_id: str, before: tuple[float, str] | None, limit: int) -> Sequence[Document]:
        query: Document = {"patient_id": patient_id, "rejected": None}
        if before is not None:
            at_s, last = before
            query["$or"] = [{"recorded_s": {"$lt": at_s}}, {"recorded_s": at_s, "_id": {"$lt": last}}]
        return await _heard(self._documents.find(query, limit=limit, sort=[("recorded_s", -1), ("_id", -1)]))


async def _heard(work: Awaitable[Found]) -> Found:
    try:
        return await work
    except StoreUnavailable:
        raise StoreSilent from None


def _change(document: Document, version: int) -> tuple[Document, Document]:
    """The change that puts a document's own members in the place of that version's; its outbox is not touched."""
    change: Document = {
        "$set": {name: value for name, value in document.items() if name not in ("_id", "patient_id")},
        "$inc": {"version": 1},
    }
    if "due_s" not in document:
        change["$unset"] = {"due_s": ""}
    return {"_id": document["_id"], "patient_id": document["patient_id"], "version": version}, change


async def _all_of(documents: Documents, query: Document, stored: Callable[[Mapping[str, Any]], Read]) -> list[Read]:
    """Everything that fits, page by page: a patient's life is not cut short."""
    found: list[Read] = []
    last: str | None = None
    while True:
        wanted = query if last is None else query | {"_id": {"$gt": last}}
        page = await documents.find(wanted, limit=PAGE_MAX, sort=[("_id", 1)])
        found += [stored(one) for one in page]
        if len(page) < PAGE_MAX:
            return found
        last = str(page[-1]["_id"])


async def _page(
    documents: Documents, key: str | None, limit: int, stored: Callable[[Mapping[str, Any]], Read]
) -> Sequence[tuple[str, Read]]:
    query: Document = {}
    if key is not None:
        patient_id, _, document_id = key.partition("\n")
        query = {"$or": [{"patient_id": {"$gt": patient_id}}, {"patient_id": patient_id, "_id": {"$gt": document_id}}]}
    found = await documents.find(query, limit=limit, sort=[("patient_id", 1), ("_id", 1)])
    return [(f"{one['patient_id']}\n{one['_id']}", stored(one)) for one in found]
