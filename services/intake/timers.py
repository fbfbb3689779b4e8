"""Time into intake: pending flags are sent again, confirmed ones cleared, indexes made once the store answers."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

import structlog

from services.intake.handlers.rewrap import Rewrapper
from services.intake.ports import StoreSilent
from shared.bus.keeper import ExpressKeeper
from shared.security.keks import KekFile, KeyUnavailable
from shared.storage.errors import StoreUnavailable
from shared.time.clock import Clock

RETRY_S = 0.5
_log = structlog.get_logger(__name__)


class StoreWatch:
    """Whether the store answers, as the timers see it; logs only the change."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.silent = True

    def heard(self) -> None:
        """The store has answered."""
        if self.silent:
            _log.info("store_reached")
        self.silent = False
        self.reached.set()

    def missed(self) -> None:
        """The store has not answered."""
        if not self.silent:
            _log.warning("store_silent")
        self.silent = True


async def every(seconds: float, work: Callable[[], Awaitable[object]], clock: Clock, watch: StoreWatch | None = None) -> None:
    """Do the work again and again; a silent store is waited for, a defect is logged and does not end it."""
    while True:
        await clock.sleep(seconds)
        try:
            await work()
        except (StoreSilent, StoreUnavailable):
            if watch is not None:
                watch.missed()
        except Exception:  # noqa: BLE001 - a loop that keeps flags alive must not die of anything
            _log.exception("timer_failed")
        else:
            if watch is not None:
                watch.heard()


async def until_done(work: Sequence[Callable[[], Awaitable[object]]], clock: Clock, watch: StoreWatch) -> None:
    """Do each work once, trying again while the store is silent."""
    for one in work:
        while True:
            try:
                await one()
            except StoreSilent:
                await clock.sleep(RETRY_S)
            else:
                watch.heard()
                break


def express_timers(
    keeper: ExpressKeeper, clock: Clock, watch: StoreWatch, *, rescan_s: float, clear_s: float
) -> Sequence[Awaitable[None]]:
    """The loops of the express lane's second half."""
    return (every(rescan_s, keeper.rescan_once, clock, watch), every(clear_s, keeper.clear_once, clock))


def key_timers(
    keks: KekFile, rewrapper: Rewrapper, clock: Clock, *, look_s: float, rewrap_s: float
) -> Sequence[Awaitable[None]]:
    """The loops that look at the file of key-encryption keys, and wrap data keys anew after a rotation."""

    async def look() -> None:
        keks.refresh()

    async def rewrap() -> None:
        # Without a key-encryption key there is nothing to wrap with; the file's own trouble is told where it is read.
        with contextlib.suppress(KeyUnavailable):
            await rewrapper.rewrap_once()

    return (every(look_s, look, clock), every(rewrap_s, rewrap, clock))
