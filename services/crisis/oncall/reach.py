"""Whether a person can be reached at all: one test page on each of their ways, and what came of it.

A test page belongs to no flag and no case. It says so, asks for nothing, and is never repeated.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from services.crisis.clock import CrisisClock
from services.crisis.domain.book import Book
from services.crisis.domain.roster import ContactMethod
from services.crisis.observed import TEST_PAGES
from services.crisis.ports import PageProvider, PageRefused
from services.crisis.times import Times
from shared.time.ids import fresh_id

TEXT = "VIGIL TEST - no patient, no case, nothing to do. This way of reaching you works."
# Channels whose providers say what became of a page; on the others their acceptance is all that can be known.
_RECEIPTED = frozenset({"sms", "voice"})
_WORKS = frozenset({"delivered", "accepted"})
TESTS_AT_ONCE = 16

Word = Literal["delivered", "accepted", "undelivered", "no_receipt", "refused", "no_provider"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a test page on one way; `reason` is a code where it was refused, `waited_ms` until this was known."""

    method_id: str
    channel: str
    verdict: Word
    reason: str | None
    waited_ms: float

    @property
    def works(self) -> bool:
        """Whether this way works, as far as anybody can know."""
        return self.verdict in _WORKS


class ReachBusy(Exception):
    """The person is being tested already, or too many people at once (409)."""


@dataclass(slots=True)
class _Waiting:
    """A test page out there: what its provider said of it, whenever that comes."""

    outcomes: dict[str, str]
    heard: asyncio.Event


class Reach:
    """Sends test pages through the providers that real pages go by."""

    def __init__(
        self,
        *,
        clock: CrisisClock,
        times: Times,
        book: Callable[[], Book],
        providers: Mapping[str, PageProvider],
        by_channel: Mapping[str, tuple[str, ...]],
    ) -> None:
        self._clock = clock
        self._times = times
        self._book = book
        self._providers = dict(providers)
        self._by_channel = dict(by_channel)
        self._waiting: dict[str, _Waiting] = {}
        self._running: set[str] = set()

    def receipt(self, reference: str, provider_id: str, outcome: str) -> None:
        """A provider says what became of a page; those of real pages mean nothing here."""
        waiting = self._waiting.get(reference)
        if waiting is not None:
            waiting.outcomes.setdefault(provider_id, outcome)
            waiting.heard.set()

    async def test(self, person_id: str) -> list[Verdict]:
        """Page a person on all their ways at once and wait for the receipts; raises KeyError, ReachBusy."""
        person = self._book().people[person_id]
        if person_id in self._running or len(self._running) >= TESTS_AT_ONCE:
            raise ReachBusy
        self._running.add(person_id)
        try:
            return list(await asyncio.gather(*(self._try(method) for method in person.contact_methods)))
        finally:
            self._running.discard(person_id)

    async def _try(self, method: ContactMethod) -> Verdict:
        started = self._clock.now()
        word, reason = await self._page(method)
        TEST_PAGES.labels(method.kind, word).inc()
        return Verdict(method.id, method.kind, word, reason, round((self._clock.now() - started) * 1000.0, 1))

    async def _page(self, method: ContactMethod) -> tuple[Word, str | None]:
        names = self._by_channel.get(method.kind, ())
        if not names:
            return "no_provider", None
        # A test is a reference of its own: its receipt can never be taken for that of a page.
        reference = fresh_id()
        waiting = self._waiting[reference] = _Waiting({}, asyncio.Event())
        try:
            work = self._providers[names[0]].send(method.kind, method.address, TEXT, reference)
            provider_id = await asyncio.wait_for(work, self._times.provider_attempt)
            if method.kind not in _RECEIPTED:
                return "accepted", None
            return await self._receipt(waiting, provider_id), None
        except PageRefused as refused:
            return "refused", refused.reason
        except TimeoutError:
            return "refused", "timeout"
        finally:
            del self._waiting[reference]

    async def _receipt(self, waiting: _Waiting, provider_id: str) -> Word:
        try:
            async with asyncio.timeout(self._times.receipt):
                while provider_id not in waiting.outcomes:
                    waiting.heard.clear()
                    await waiting.heard.wait()
        except TimeoutError:
            return "no_receipt"
        return "delivered" if waiting.outcomes[provider_id] == "delivered" else "undelivered"
