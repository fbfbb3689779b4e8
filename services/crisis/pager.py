"""Pages on their way out: the words, the provider, the hedge."""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Mapping

from services.crisis.clock import CrisisClock
from services.crisis.domain.budget import BUDGETS
from services.crisis.domain.decide import Page
from services.crisis.domain.page_text import page_text
from services.crisis.domain.reference import reference_to
from services.crisis.domain.roster import Roster
from services.crisis.ports import PageProvider, PageRefused
from services.crisis.times import Times
from shared.time.ids import page_code

# Enough samples that the 99th is a sample and not the maximum of a handful.
_LATENCIES_KEPT = 500
_LATENCIES_NEEDED = 100
# What others take says nothing about when a phone should have rung.
_PHONES = frozenset({"sms", "voice", "push"})


class Pager:
    """Hands pages to providers, each try bounded by `provider_attempt`."""

    def __init__(
        self,
        *,
        clock: CrisisClock,
        times: Times,
        roster: Callable[[], Roster],
        providers: Mapping[str, PageProvider],
        link: Callable[[str, str, float], str],
        by_channel: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        """`by_channel` names the providers of each channel in the order of choice; without it all deliver on every one."""
        self._clock = clock
        self._times = times
        self._roster = roster
        self._providers = dict(providers)
        self.names = tuple(providers)
        self.by_channel: Mapping[str, tuple[str, ...]] = dict(by_channel or {})
        self._link = link
        self._latencies_s: deque[float] = deque(maxlen=_LATENCIES_KEPT)
        self._hedge_s = times.hedge_floor

    def choose(self, page: Page) -> str:
        """The provider for this page: another one than the last sender's when there is one."""
        names = self.by_channel.get(page.attempt.channel) or self.names
        return next((name for name in names if name != page.avoid_provider), names[0])

    def hedge_s(self) -> float:
        """How long somebody's unfinished try silences the others: twice the measured p99, within floor and cap."""
        return self._hedge_s

    async def send(self, page: Page, provider: str, sending_at: float) -> tuple[str, str, str]:
        """Hand the page over; returns the provider's id and the digests of address and body, raises PageRefused."""
        attempt = page.attempt
        person = self._roster().people.get(attempt.person)
        address = person.address(attempt.channel) if person is not None else None
        if person is None or address is None:
            raise PageRefused("not_on_roster", maybe=False)
        budget = BUDGETS[page.level]
        ack_by = page.flag.at + budget.t3
        if ack_by < sending_at:
            ack_by = sending_at + self._roster().policies[page.level].interval_s
        link = self._link(page.flag.flag_id, attempt.person, sending_at + self._times.link_life)
        text = page_text(page.level, page_code(page.flag.flag_id), ack_by, person.zone, link)
        started = self._clock.now()
        work = self._providers[provider].send(attempt.channel, address, text, reference_to(page.flag.flag_id, attempt))
        try:
            provider_id = await asyncio.wait_for(work, self._times.provider_attempt)
        except TimeoutError:
            raise PageRefused("timeout", maybe=True) from None
        if attempt.channel in _PHONES:
            self._learn(self._clock.now() - started)
        return provider_id, _digest(address), _digest(text)

    def _learn(self, latency_s: float) -> None:
        self._latencies_s.append(latency_s)
        if len(self._latencies_s) < _LATENCIES_NEEDED or len(self._latencies_s) % 10:
            return
        p99 = sorted(self._latencies_s)[int(len(self._latencies_s) * 0.99) - 1]
        self._hedge_s = min(max(2.0 * p99, self._times.hedge_floor), self._times.hedge_cap)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
