"""The outbox that rides in an aggregate's own document: what to publish is written with the state, in one document write.

Published right after the write; a scan finds what a crash or a dead bus left behind. An entry is removed after it was
published, without touching the document's version. An entry may be published twice (its id is the readers' dedupe key),
never not at all.
"""

import asyncio
import functools
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from pydantic import BaseModel

from shared.contracts.envelope import Envelope
from shared.storage.documents import Document, Documents
from shared.storage.errors import StoreUnavailable
from shared.storage.scan import OutboxScan, ScanSettings
from shared.telemetry.metrics import OUTBOX_FAILURES, OUTBOX_PUBLISHED
from shared.telemetry.traces import current_traceparent
from shared.time.clock import Clock, iso

Entry = Mapping[str, Any]
_log = structlog.get_logger(__name__)


def entry_of(event: BaseModel, event_id: str, at_s: float, cause: Envelope | None = None) -> dict[str, Any]:
    """An event as an entry of its document's outbox, with the trace it was made in.

    `event_id` is what readers know it again by: derive it from what caused it. `cause` is the event that this one answers.
    """
    entry: dict[str, Any] = {
        "id": event_id,
        "type": event.TYPE,  # type: ignore[attr-defined]
        "at": at_s,
        "time": iso(at_s),
        "data": event.model_dump(mode="json"),
    }
    if cause is not None:
        entry |= {"causation_id": cause.id, "correlation_id": cause.correlation_id or cause.id}
    carry_trace([entry])
    return entry


def carry_trace(entries: Iterable[dict[str, Any]]) -> None:
    """Let entries that are about to be written go on in the current trace, unless they are in one already."""
    traceparent = current_traceparent()
    if traceparent is not None:
        for entry in entries:
            entry.setdefault("traceparent", traceparent)


@dataclass(frozen=True, slots=True)
class Pending:
    """Entries of one document, in the order in which they were written; each has an `id` and an `at` (epoch seconds)."""

    document_id: str
    shard_key: str
    entries: tuple[Entry, ...]

    @property
    def since_s(self) -> float:
        """When the oldest of them was written."""
        return min((float(entry["at"]) for entry in self.entries), default=0.0)


class NotPublished(Exception):
    """The bus did not take an entry now; it stays in its document and is tried again."""


class OutboxStore(Protocol):
    """Where the documents are."""

    async def pending(self, before_s: float, limit: int, since_s: float = 0.0) -> Sequence[Pending]:
        """Documents with entries written between these moments, oldest first; raises StoreUnavailable."""
        ...

    async def clear(self, published: Sequence[Pending]) -> None:
        """Remove these entries and nothing else; raises StoreUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """Bounds of the relay; seconds and documents."""

    scan_s: float = 2.0
    # Younger entries are still on their way right after their write.
    settled_s: float = 2.0
    batch_max: int = 200
    # What was written within a beat leaves together: one request to the bus instead of many.
    beat_s: float = 0.05
    at_once: int = 16
    waiting_max: int = 5_000
    # In batches: a clearing costs the store as much as the write did.
    clear_every_s: float = 0.5


DEFAULT = RelaySettings()


class MongoOutbox:
    """An array of entries in each document of a collection; `prepare` makes the index the scan needs."""

    def __init__(self, documents: Documents, *, field: str = "outbox", shard_key: str = "patient_id") -> None:
        self._documents = documents
        self._field = field
        self._shard_key = shard_key

    async def prepare(self) -> None:
        """Make sure of the index; raises StoreUnavailable."""
        at = f"{self._field}.at"
        # Partial: documents whose entries have all gone do not weigh on it.
        await self._documents.create_index([(at, 1)], name=f"{self._field}_at", partial={at: {"$exists": True}})

    async def pending(self, before_s: float, limit: int, since_s: float = 0.0) -> Sequence[Pending]:
        at = f"{self._field}.at"
        found = await self._documents.find(
            {at: {"$gte": since_s, "$lt": before_s}}, limit=limit, sort=[(at, 1)], fields={self._field: 1, self._shard_key: 1}
        )
        return [Pending(str(one["_id"]), str(one[self._shard_key]), tuple(one[self._field])) for one in found]

    async def clear(self, published: Sequence[Pending]) -> None:
        changes: list[tuple[Document, Document]] = [
            (
                {"_id": one.document_id, self._shard_key: one.shard_key},
                {"$pull": {self._field: {"id": {"$in": [entry["id"] for entry in one.entries]}}}},
            )
            for one in published
        ]
        await self._documents.update_each(changes)


class Relay:
    """Publishes the entries of documents: one document's in their order, several documents at once.

    `publish` hands one entry to whoever it is for and returns when that has it; it raises NotPublished for "not now".
    """

    def __init__(
        self,
        store: OutboxStore,
        publish: Callable[[str, Entry], Awaitable[None]],
        clock: Clock,
        settings: RelaySettings = DEFAULT,
        *,
        name: str = "outbox",
    ) -> None:
        self._store = store
        self._publish = publish
        self._clock = clock
        self._settings = settings
        self._waiting: OrderedDict[str, Pending] = OrderedDict()
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._published: list[Pending] = []
        self._beat: asyncio.TimerHandle | None = None
        self._scan: OutboxScan[Pending] = OutboxScan(
            name,
            page=self._left_behind,
            since_s=lambda one: one.since_s,
            take=self._take_up,
            now_s=clock.now_s,
            sleep=clock.sleep,
            silent=StoreUnavailable,
            settings=ScanSettings(settings.scan_s, settings.batch_max),
        )

    def wake(self, document_id: str, shard_key: str, entries: Sequence[Entry]) -> None:
        """Publish these entries, just written, soon; never waits. When `waiting_max` documents wait, the scan finds them."""
        if not entries:
            return
        known = self._waiting.get(document_id)
        if known is not None:
            entries = (*known.entries, *entries)
        elif len(self._waiting) >= self._settings.waiting_max:
            return
        self._waiting[document_id] = Pending(document_id, shard_key, tuple(entries))
        if self._beat is None:
            self._beat = asyncio.get_running_loop().call_later(self._settings.beat_s, self._on_beat)

    async def run(self) -> None:
        """Clear and scan, for ever; what was published right after its write needs no loop."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_clearing())
            group.create_task(self._scan.run())

    async def flush(self, within_s: float) -> bool:
        """Before going away: publish what waits and clear what was published; whether all of it was done in time."""
        try:
            async with asyncio.timeout(within_s):
                self._kick()
                while self._waiting or self._under_way:
                    await self._clock.sleep(0.01)
                await self._clear()
        except (TimeoutError, StoreUnavailable):
            return False
        return True

    async def scan_once(self) -> int:
        """Take up a page of what a crash or a dead bus left behind; how many documents that were. Raises StoreUnavailable."""
        return await self._scan.once()

    async def _left_behind(self, since_s: float, limit: int) -> Sequence[Pending]:
        return await self._store.pending(self._clock.now_s() - self._settings.settled_s, limit, since_s)

    async def _take_up(self, found: Sequence[Pending]) -> None:
        left = [one for one in found if one.document_id not in self._under_way and one.document_id not in self._waiting]
        # What is published and only not cleared yet needs no second publishing.
        cleared_soon = {(one.document_id, entry["id"]) for one in self._published for entry in one.entries}
        for one in left:
            entries = [entry for entry in one.entries if (one.document_id, entry["id"]) not in cleared_soon]
            self.wake(one.document_id, one.shard_key, entries)

    def _on_beat(self) -> None:
        self._beat = None
        self._kick()

    def _kick(self) -> None:
        while self._waiting and len(self._under_way) < self._settings.at_once:
            # One document's entries must leave in their order: skip those that are in hand already.
            document_id = next((known for known in self._waiting if known not in self._under_way), None)
            if document_id is None:
                return
            one = self._waiting.pop(document_id)
            task = asyncio.get_running_loop().create_task(self._publish_all(one))
            self._under_way[document_id] = task
            task.add_done_callback(functools.partial(self._ended, document_id))

    def _ended(self, document_id: str, _done: object) -> None:
        self._under_way.pop(document_id, None)
        self._kick()

    async def _publish_all(self, one: Pending) -> None:
        done: list[Entry] = []
        try:
            for entry in one.entries:
                await self._publish(one.shard_key, entry)
                done.append(entry)
        except NotPublished:
            OUTBOX_FAILURES.inc()
        except Exception:  # noqa: BLE001 - a defect in one entry must not stop the relay; the entry stays, is counted and seen
            OUTBOX_FAILURES.inc()
            _log.exception("outbox_entry_failed", document_id=one.document_id)
        if done:
            OUTBOX_PUBLISHED.labels("relay").inc(len(done))
            self._published.append(Pending(one.document_id, one.shard_key, tuple(done)))

    async def _keep_clearing(self) -> None:
        while True:
            await self._clock.sleep(self._settings.clear_every_s)
            try:
                await self._clear()
            except StoreUnavailable as error:
                _log.info("outbox_not_cleared", code=error.code)

    async def _clear(self) -> None:
        while self._published:
            batch = self._published[: self._settings.batch_max]
            await self._store.clear(batch)
            del self._published[: len(batch)]
