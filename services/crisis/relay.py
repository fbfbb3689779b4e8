"""What case documents' outboxes become: lines of the timeline, events on the bus; then the entries are cleared.

Entries written within one beat leave together: one write of lines, one of clearings, however many cases. `sweep` finds what
a crash left behind. A line has its place (case, seq) and an event its id, so doing it twice changes nothing.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

import structlog

from services.crisis.clock import CrisisClock
from services.crisis.domain.case import Case, case_id_of
from services.crisis.ports import Left, StoreSilent
from shared.contracts.envelope import Envelope
from shared.contracts.topics import CASES, Topic
from shared.storage.scan import OutboxScan, ScanSettings

SWEEP_EVERY_S = 1.0
SWEPT_MAX = 100
# What waits beyond this is left to the sweep: it is in the store already.
WAITING_MAX = 20_000
log = structlog.get_logger("crisis.relay")


class OutboxStore(Protocol):
    """The store's side of the outbox."""

    async def project(self, left: Sequence[Left]) -> None:
        """Put the lines among these entries into the timeline; lines already there stay as they are."""
        ...

    async def clear(self, left: Sequence[Left]) -> None:
        """Remove these entries from their documents."""
        ...

    async def left_behind(self, limit: int, since_s: float = 0.0) -> list[Left]:
        """Entries of documents written since then that were not cleared in time, oldest first."""
        ...

    async def timeline(self, case_id: str, patient_id: str) -> list[dict[str, Any]]:
        """The lines of a case in order."""
        ...


class Publisher(Protocol):
    """The bus's side."""

    async def publish(self, topic: Topic, key: str, envelope: Envelope, data: dict[str, Any]) -> None:
        """Publish one event; raises ConnectionError."""
        ...


class CaseRelay:
    """Projects outboxes, a beat at a time."""

    def __init__(self, store: OutboxStore, bus: Publisher, clock: CrisisClock, beat_s: float) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._beat_s = beat_s
        self._waiting: list[Left] = []
        self._entries = 0

    def wake(self, case_id: str, patient_id: str, entries: Sequence[dict[str, Any]]) -> None:
        """Project these entries with the next beat; never waits."""
        if entries and self._entries < WAITING_MAX:
            self._waiting.append(Left(case_id, patient_id, tuple(entries)))
            self._entries += len(entries)

    async def run(self) -> None:
        """Project what was written, every beat, for ever."""
        while True:
            await self._clock.sleep(self._beat_s)
            await self.flush()

    async def flush(self) -> None:
        """Project all that waits now."""
        left, self._waiting, self._entries = self._waiting, [], 0
        if left:
            await self._project(left)

    async def sweep(self) -> None:
        """Find and project what a crash (or a silent bus) left behind, for ever."""
        scan: OutboxScan[Left] = OutboxScan(
            "cases",
            page=lambda since_s, limit: self._store.left_behind(limit, since_s),
            since_s=lambda left: left.since_s,
            take=self._project,
            now_s=self._clock.now,
            sleep=self._clock.sleep,
            silent=StoreSilent,
            settings=ScanSettings(SWEEP_EVERY_S, SWEPT_MAX),
        )
        await scan.run()

    async def timeline(self, case: Case, within_s: float) -> list[dict[str, Any]]:
        """The stored timeline of a case; empty when the store is silent or slow."""
        for flag in sorted(case.flags.values(), key=lambda f: (f.at, f.flag_id)):
            reading = asyncio.ensure_future(self._store.timeline(case_id_of(flag.flag_id), case.patient_id))
            done, _ = await asyncio.wait((reading,), timeout=within_s)
            if not done or reading.exception() is not None:
                reading.add_done_callback(_noted)
                return []
            if reading.result():
                return reading.result()
        return []

    async def _project(self, left: Sequence[Left]) -> None:
        try:
            await self._store.project(left)
            told = await asyncio.gather(*(self._publish(one) for one in left))
            await self._store.clear([one for one, all_told in zip(left, told, strict=True) if all_told])
        except StoreSilent:
            log.info("outbox_left_for_the_sweep", cases=len(left))

    async def _publish(self, left: Left) -> bool:
        """Publish a case's events in their order; False when the bus did not take all of them."""
        sends = [
            self._bus.publish(CASES, left.patient_id, _envelope(entry, left.patient_id), entry["data"])
            for entry in left.entries
            if entry["kind"] == "event"
        ]
        results = await asyncio.gather(*sends, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, ConnectionError):
                raise result
        return not any(isinstance(result, ConnectionError) for result in results)


def _envelope(entry: dict[str, Any], patient_id: str) -> Envelope:
    return Envelope(
        id=entry["id"],
        type=entry["type"],
        source="vigil/crisis",
        time=entry["time"],
        subject=patient_id,
        programme_id=entry["programme_id"],
        traceparent=entry.get("traceparent"),
    )


def _noted(reading: "asyncio.Future[list[dict[str, Any]]]") -> None:
    if not reading.cancelled():
        reading.exception()
