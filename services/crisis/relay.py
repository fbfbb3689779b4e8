"""What a case document's outbox becomes: lines of the timeline, events on the bus; then the entry is cleared.

Called right after a write; `sweep` finds what a crash left behind. A line has its place (case, seq) and an event its id, so
doing it twice changes nothing.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

import structlog

from services.crisis.domain.case import Case, case_id_of
from services.crisis.ports import StoreSilent
from shared.contracts.envelope import Envelope
from shared.contracts.topics import CASES, Topic

PROJECTIONS_AT_ONCE = 8
SWEEP_EVERY_S = 1.0
SWEPT_MAX = 100
log = structlog.get_logger("crisis.relay")


class OutboxStore(Protocol):
    """The store's side of the outbox."""

    async def project(self, case_id: str, patient_id: str, lines: Sequence[dict[str, Any]]) -> None: ...
    async def clear(self, case_id: str, patient_id: str, entry_ids: Sequence[str]) -> None: ...
    async def left_behind(self, limit: int) -> list[tuple[str, str, list[dict[str, Any]]]]: ...
    async def timeline(self, case_id: str, patient_id: str) -> list[dict[str, Any]]: ...


class Publisher(Protocol):
    """The bus's side."""

    async def publish(self, topic: Topic, key: str, envelope: Envelope, data: dict[str, Any]) -> None: ...


class CaseRelay:
    """Projects outboxes, a bounded number at once."""

    def __init__(self, store: OutboxStore, bus: Publisher) -> None:
        self._store = store
        self._bus = bus
        self._gate = asyncio.Semaphore(PROJECTIONS_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    def wake(self, case_id: str, patient_id: str, entries: Sequence[dict[str, Any]]) -> None:
        """Project these entries soon; never waits."""
        if entries:
            task = asyncio.get_running_loop().create_task(self._project(case_id, patient_id, entries))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def timeline(self, case: Case, within_s: float) -> list[dict[str, Any]]:
        """The stored timeline of a case; empty when the store is silent."""
        ids = [case_id_of(flag.flag_id) for flag in sorted(case.flags.values(), key=lambda f: (f.at, f.flag_id))]
        for case_id in ids:
            try:
                lines = await asyncio.wait_for(self._store.timeline(case_id, case.patient_id), within_s)
            except (StoreSilent, TimeoutError):
                return []
            if lines:
                return lines
        return []

    async def sweep(self) -> None:
        """Find and project what a crash left behind, for ever."""
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            try:
                left = await self._store.left_behind(SWEPT_MAX)
            except StoreSilent:
                continue
            for case_id, patient_id, entries in left:
                await self._project(case_id, patient_id, entries)

    async def _project(self, case_id: str, patient_id: str, entries: Sequence[dict[str, Any]]) -> None:
        async with self._gate:
            try:
                lines = [entry["line"] for entry in entries if entry["kind"] == "timeline"]
                if lines:
                    await self._store.project(case_id, patient_id, lines)
                for entry in entries:
                    if entry["kind"] == "event":
                        await self._bus.publish(CASES, patient_id, _envelope(entry, patient_id), entry["data"])
                await self._store.clear(case_id, patient_id, [entry["id"] for entry in entries])
            except (StoreSilent, ConnectionError, TimeoutError):
                log.info("outbox_left_for_the_sweep")


def _envelope(entry: dict[str, Any], patient_id: str) -> Envelope:
    return Envelope(entry["id"], entry["type"], "vigil/crisis", entry["time"], patient_id, entry["programme_id"])
