"""The loops behind one replica that nobody calls, each begun again when it dies."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog
from aiohttp import ClientSession

from services.crisis.api.facts import facts_by_patient
from services.crisis.app.core import Core
from services.crisis.clock import CrisisClock
from services.crisis.gateways.journal import DiskJournal
from services.crisis.gateways.pages import page_session
from services.crisis.gateways.peers import PeerSilent, table_of
from services.crisis.observed import LOOP_LAG, OPEN_CASES, UNRECORDED
from services.crisis.restore import SegmentExpiry, expire
from shared.time.clock import SystemClock

TIDY_EVERY_S = 5.0
EXPIRE_EVERY_S = 300.0
LOOP_AGAIN_S = 1.0
log = structlog.get_logger("crisis")
Work = Callable[[], Coroutine[Any, Any, None]]


async def kept_running(work: Work, clock: CrisisClock) -> None:
    """A loop that dies of a defect is begun again: without it, something would be silent from then on."""
    while True:
        try:
            return await work()
        except Exception as error:  # see above; whatever it is, it is told at once
            log.critical("a_loop_died", loop=getattr(work, "__qualname__", "?"), exc_info=error)
        await clock.sleep(LOOP_AGAIN_S)


class Upkeep:
    """Catching up with the peers at the start; old flags and old journal segments leave."""

    def __init__(self, core: Core, disk: DiskJournal, peer_urls: tuple[str, ...], token: str) -> None:
        self._core = core
        self._disk = disk
        self._peer_urls = peer_urls
        self._token = token

    async def catch_up(self) -> None:
        """Ask the peers for their table, then look at every case anew, whatever came of that; a peer that did not answer is
        asked until it has: without a store it may be the only one who knows that somebody has a patient."""
        async with page_session() as session:
            try:
                silent = await self._ask(session, self._peer_urls)
            finally:
                self._core.engine.reconsider_all()
            while silent:
                await self._core.clock.sleep(self._core.times.peer_again)
                silent = await self._ask(session, silent)

    async def tidy(self) -> None:
        """Closed flags that are old leave memory; gauges are set."""
        core = self._core
        while True:
            await core.clock.sleep(TIDY_EVERY_S)
            core.table.forget_old(core.clock.now())
            OPEN_CASES.set(core.table.open_count())
            UNRECORDED.set(core.clerk.waiting)
            LOOP_LAG.set(core.engine.lag_s())

    async def expire(self) -> None:
        """Journal segments that hold nothing any more are removed."""
        core = self._core
        expiry = SegmentExpiry(core.table, lambda one: not core.observed.store_silent and core.clerk.recorded(one))
        while True:
            await core.clock.sleep(EXPIRE_EVERY_S)
            try:
                gone = await expire(self._disk, expiry, SystemClock().now_s() - core.times.known)
            except OSError as error:
                core.observed.on_disk_trouble(error)
                continue
            if gone:
                log.info("journal_segments_removed", count=gone)

    async def _ask(self, session: ClientSession, urls: Sequence[str]) -> list[str]:
        """Hear the tables of these peers; those that did not tell all of it."""
        told = await asyncio.gather(*(self._hear_table(session, url) for url in urls), return_exceptions=True)
        for one in told:
            if isinstance(one, BaseException) and not isinstance(one, PeerSilent):
                raise one
        return [url for url, one in zip(urls, told, strict=True) if isinstance(one, PeerSilent)]

    async def _hear_table(self, session: ClientSession, url: str) -> None:
        async for told in table_of(session, url, self._token, self._core.times.peer_table):
            for patient_id, items in facts_by_patient(told, self._core.clock.now()).items():
                self._core.engine.hear(patient_id, items)
