"""Gaps before they happen: a look at the coming days after every change and every few minutes, each gap told once."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import structlog

from services.crisis.clock import CrisisClock
from services.crisis.domain.gaps import CoverageGap, gaps_of
from services.crisis.observed import GAP_AHEAD, GAP_NEXT, GAPS_TOLD
from services.crisis.oncall.duty import Duty
from services.crisis.ports import RosterEvents, RosterStore, StoreSilent, ToldGaps
from services.crisis.times import Times
from shared.contracts.levels import LEVELS
from shared.time.clock import iso
from shared.time.ids import fresh_id

LOOK_S = 1.0
# Gaps that are remembered as told; more of them and the oldest are told again.
TOLD_MAX = 500
_MINUTE_S = 60.0
log = structlog.get_logger("crisis.roster")


class Foresight:
    """Looks for gaps, measures them, and tells of each of them once, whichever replica sees it first."""

    def __init__(
        self, *, duty: Duty, store: RosterStore, events: RosterEvents, clock: CrisisClock, times: Times, programme_id: str
    ) -> None:
        self._duty = duty
        self._store = store
        self._events = events
        self._clock = clock
        self._times = times
        self._programme_id = programme_id
        self.gaps: tuple[CoverageGap, ...] = ()
        self._seen: object = None
        self._again_at = 0.0

    async def run(self) -> None:
        """Look after every change and every `gap_scan`, for ever."""
        while True:
            if self._duty.book is not self._seen or self._clock.now() >= self._again_at:
                await self.look()
            await self._clock.sleep(LOOK_S)

    async def look(self) -> None:
        """One look ahead; a silent store or bus is asked again with the next."""
        self._seen, now = self._duty.book, self._clock.now()
        self._again_at = now + self._times.gap_scan
        self.gaps = await self.ahead(self._times.gap_ahead)
        for level in LEVELS:
            of_level = [gap for gap in self.gaps if gap.level == level]
            GAP_AHEAD.labels(level).set(sum(gap.ends_at - gap.starts_at for gap in of_level))
            GAP_NEXT.labels(level).set(min((max(0.0, gap.starts_at - now) for gap in of_level), default=-1.0))
        try:
            await self._tell(now)
        except (StoreSilent, ConnectionError):
            self._again_at = now + LOOK_S * 5

    async def ahead(self, seconds: float) -> tuple[CoverageGap, ...]:
        """The gaps from now on, for so long. With many rosters that takes longer than a page may wait: not on the loop."""
        start, book = self._clock.now() // _MINUTE_S * _MINUTE_S, self._duty.reached()
        found = await asyncio.to_thread(lambda: list(gaps_of(book, start, start + seconds)))
        return tuple(sorted(found, key=lambda gap: (gap.starts_at, gap.level, gap.step)))

    async def _tell(self, now: float) -> None:
        before = await self._store.told_gaps()
        told = [CoverageGap(**one) for one in before.told]
        # A gap that was filled and comes back is news again; one that only moved is not.
        still = [one for one in told if any(one.overlaps(gap) for gap in self.gaps)]
        new = [gap for gap in self.gaps if not any(gap.overlaps(one) for one in still)]
        entries = [self._entry(gap, now) for gap in new]
        if new or len(still) != len(told):
            known = [asdict(gap) for gap in (*still, *new)][-TOLD_MAX:]
            if not await self._store.tell_gaps(before, known, (*before.outbox, *entries)):
                self._again_at = now
                return
            for gap in new:
                GAPS_TOLD.labels(gap.level).inc()
                log.warning("coverage_gap_foreseen", level=gap.level, step=gap.step, starts_at=iso(gap.starts_at))
        await self._publish(before, entries)

    async def _publish(self, before: ToldGaps, entries: Sequence[dict[str, Any]]) -> None:
        waiting = (*before.outbox, *entries)
        for entry in waiting:
            await self._events.gap_foreseen(entry)
        if waiting:
            await self._store.gaps_published([entry["id"] for entry in waiting])

    def _entry(self, gap: CoverageGap, now: float) -> dict[str, Any]:
        return {
            "id": fresh_id(),
            "programme_id": self._programme_id,
            "level": gap.level,
            "step": gap.step,
            "starts_at": iso(gap.starts_at),
            "ends_at": None if gap.goes_on else iso(gap.ends_at),
            "roster_version": self._duty.book.version,
            "at": iso(now),
        }
