"""The one scan for outbox entries that a crash, a silent store or a dead bus left in their documents; every service uses it.

It goes round in pages, oldest first: entries that nobody takes must not hide the younger ones behind them. Whether an entry is
already on its way is for whoever takes it to know; taking one twice publishes it twice, which every reader bears.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from shared.telemetry.metrics import OUTBOX_LEFT_BEHIND, OUTBOX_OLDEST_S

Item = TypeVar("Item")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """Bounds of a scan; seconds and documents."""

    every_s: float = 2.0
    page_max: int = 200


DEFAULT = ScanSettings()


class OutboxScan(Generic[Item]):
    """`page(since_s, limit)` finds documents whose entries have waited since then or later, oldest first; `since_s(item)` says
    how long one has; `take` does with them what would have been done right after their write. `silent` is what `page` and
    `take` raise while the store says nothing."""

    def __init__(
        self,
        name: str,
        *,
        page: Callable[[float, int], Awaitable[Sequence[Item]]],
        since_s: Callable[[Item], float],
        take: Callable[[Sequence[Item]], Awaitable[object]],
        now_s: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        silent: type[Exception],
        settings: ScanSettings = DEFAULT,
    ) -> None:
        self._name = name
        self._page = page
        self._since_s = since_s
        self._take = take
        self._now_s = now_s
        self._sleep = sleep
        self._silent = silent
        self._settings = settings
        self._from_s = 0.0
        self._store_silent = False

    async def run(self) -> None:
        """Scan for ever; a silent store is waited for and told of once."""
        while True:
            await self._sleep(self._settings.every_s)
            try:
                await self.once()
            except self._silent as silence:
                if not self._store_silent:
                    _log.info("outbox_not_scanned", outbox=self._name, error=type(silence).__name__)
                self._store_silent = True
            else:
                self._store_silent = False

    async def once(self) -> int:
        """Take a page of what is left behind, the next page next time; how many. Raises what a silent store raises."""
        begins = self._from_s
        page = await self._page(begins, self._settings.page_max)
        if begins == 0.0:
            OUTBOX_OLDEST_S.labels(self._name).set(max(0.0, self._now_s() - self._since_s(page[0])) if page else 0.0)
        last_s = self._since_s(page[-1]) if page else begins
        if len(page) < self._settings.page_max or last_s < begins:
            self._from_s = 0.0
        else:
            # Documents of the same moment may stand on the next page; a page full of one moment is passed.
            self._from_s = last_s if last_s > begins else math.nextafter(begins, math.inf)
        if page:
            OUTBOX_LEFT_BEHIND.labels(self._name).inc(len(page))
            await self._take(page)
        return len(page)
