"""Nothing forgets a flag: pending express entries are sent again until both lanes have confirmed or crisis tells of their case."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.contracts.flag import revived
from shared.contracts.flagging import Delivery, KnownFlags, Lanes, already
from shared.storage.errors import StoreUnavailable
from shared.storage.pending import PendingFlag
from shared.telemetry.metrics import EXPRESS_OLDEST_PENDING_S, EXPRESS_PENDING, EXPRESS_RESENT
from shared.time.clock import Clock


@dataclass(frozen=True, slots=True)
class RescanSettings:
    """Bounds of the rescan; seconds and documents."""

    rescan_s: float = 1.0
    # In batches: a clearing costs the store as much as the write did.
    clear_s: float = 0.5
    batch_max: int = 200
    counted_max: int = 10_000


DEFAULT = RescanSettings()


class PendingEntries(Protocol):
    """Where the entries are: `shared.storage.pending.PendingFlags`. Every method raises StoreUnavailable."""

    async def pending(self, after_s: float, limit: int) -> Sequence[PendingFlag]: ...
    async def count_pending(self, limit: int) -> int: ...
    async def clear_pending(self, cleared: Sequence[tuple[str, str, str]]) -> None: ...


class ExpressKeeper:
    """The port FlagWatch; `name` tells the collection in metrics."""

    def __init__(
        self,
        lanes: Lanes,
        entries: PendingEntries,
        clock: Clock,
        settings: RescanSettings = DEFAULT,
        cases: KnownFlags | None = None,
        *,
        name: str = "assessments",
    ) -> None:
        self._lanes = lanes
        self._entries = entries
        self._clock = clock
        self._settings = settings
        self._cases = cases
        self._name = name
        self._to_clear: dict[tuple[str, str, str], None] = {}
        self._scanned_to_s = 0.0

    def watch(self, delivery: Delivery, stored: "asyncio.Future[str]", shard: str | None = None) -> None:
        """Clear the pending entry once its document is stored (the future's result is its id) and both lanes have confirmed,
        whichever comes last."""

        def look(_done: object) -> None:
            if not (stored.done() and delivery.settled.done()) or stored.cancelled() or stored.exception() is not None:
                return
            if delivery.settled.result():
                flag = delivery.flag
                self._to_clear[stored.result(), flag.patient_id if shard is None else shard, flag.flag_id] = None

        stored.add_done_callback(look)
        delivery.settled.add_done_callback(look)

    async def clear_once(self) -> int:
        """Clear what both lanes have confirmed; how many entries. Raises StoreUnavailable, then they are tried again."""
        batch = list(self._to_clear)[: self._settings.batch_max]
        if not batch:
            return 0
        await self._entries.clear_pending(batch)
        for cleared in batch:
            self._to_clear.pop(cleared, None)
            self._lanes.forget(cleared[2])
        return len(batch)

    async def rescan_once(self) -> int:
        """Send a page of the flags that wait again, the next page next time; how many. Raises StoreUnavailable."""
        now_s, now_mono_s = self._clock.now_s(), self._clock.monotonic_s()
        from_start = self._scanned_to_s == 0.0
        page = await self._entries.pending(self._scanned_to_s, self._settings.batch_max)
        whole = len(page) < self._settings.batch_max
        # In pages that go round: flags that nobody takes must not hide the younger ones behind them.
        self._scanned_to_s = 0.0 if whole else float(page[-1].entry["at"])
        # Younger ones are on their first way; those of the future (this clock was set back) are not young.
        due = [found for found in page if not 0.0 <= now_s - float(found.entry["at"]) < self._settings.rescan_s]
        known = await self._in_a_case(due)
        for found in due:
            where = (found.document_id, found.shard, found.flag_id)
            if found.flag_id in known:
                self._to_clear[where] = None
            elif where not in self._to_clear:
                self.watch(self._lanes.resend(revived(found.entry, now_s, now_mono_s)), already(found.document_id), found.shard)
                EXPRESS_RESENT.inc()
        if from_start:
            waiting = len(due) if whole else await self._entries.count_pending(self._settings.counted_max)
            EXPRESS_PENDING.labels(self._name).set(waiting)
            oldest_s = now_s - float(due[0].entry["at"]) if due else 0.0
            EXPRESS_OLDEST_PENDING_S.labels(self._name).set(max(0.0, oldest_s))
        return len(due)

    async def _in_a_case(self, due: Sequence[PendingFlag]) -> Collection[str]:
        """Flags that crisis itself has told of: whatever the lanes did not confirm, they have arrived."""
        if not due or self._cases is None:
            return ()
        try:
            return await self._cases.known({found.flag_id: str(found.entry["event"]["patient_id"]) for found in due})
        except StoreUnavailable:
            # Sending once more is never wrong.
            return ()
