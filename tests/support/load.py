"""Flags at a steady rate, sent whatever becomes of them; and what the phones say about each one afterwards."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from deploy.local.percentiles import percentile
from shared.time.clock import SystemClock
from tests.support.clinic import ECHO_MS, Answer, Clinic
from tests.support.device import Page

REPEATS_PER_MINUTE_MAX = 6
_MINUTE_MS = 60_000.0
_LOOK_EVERY_S = 0.02
_CLOCK = SystemClock()


async def flags_under(
    clinic: Clinic,
    *,
    per_s: float,
    for_s: float,
    events: Sequence[tuple[float, Callable[[], Awaitable[object]]]],
    item9: int = 3,
) -> list[Answer]:
    """Raise `per_s` flags a second for so long, one patient each, open loop; `events` happen at their seconds."""
    count = int(per_s * for_s)
    patients = await asyncio.gather(*(clinic.enrol() for _ in range(count)))
    started_s = _CLOCK.monotonic_s()

    async def at(second: float, work: Callable[[], Awaitable[object]]) -> object:
        await _CLOCK.sleep(max(0.0, started_s + second - _CLOCK.monotonic_s()))
        return await work()

    happening = [asyncio.create_task(at(second, event)) for second, event in events]
    asking = [
        asyncio.create_task(at(number / per_s, lambda one=patient: one.answers_phq9(item9=item9)))  # type: ignore[misc]
        for number, patient in enumerate(patients)
    ]
    answers = await asyncio.gather(*asking)
    await asyncio.gather(*happening)
    return [answer for answer in answers if isinstance(answer, Answer)]


@dataclass(frozen=True, slots=True)
class Paged:
    """What became of a number of flags: times to the first page per flag and channel, milliseconds.

    A duplicate says what this phone was told before; a late repeat is one that comes when no two replicas can have met.
    """

    flags: int
    pages: int
    duplicates: int
    late_repeats: int
    lost: tuple[str, ...]
    times_ms: tuple[float, ...]
    repeats_max: int

    @property
    def p50_ms(self) -> float:
        """Half of the first pages were quicker."""
        return percentile(sorted(self.times_ms), 0.50) if self.times_ms else float("nan")

    @property
    def p99_ms(self) -> float:
        """Nearly all of the first pages were quicker."""
        return percentile(sorted(self.times_ms), 0.99) if self.times_ms else float("nan")

    @property
    def max_ms(self) -> float:
        """The slowest first page."""
        return max(self.times_ms, default=float("nan"))


async def paged(
    clinic: Clinic, answers: Sequence[Answer], channels: Sequence[str], within_s: float, since_ms: float = 0.0
) -> Paged:
    """Wait until every flag was paged on every channel (or so long), then count; times from pressing send or, if that was
    later, from `since_ms`."""

    def missing(pages: Sequence[Page]) -> list[str]:
        there = {(page.code, page.channel) for page in pages}
        return [f"{a.code} {channel}" for a in answers for channel in channels if (a.code, channel) not in there]

    until_s = _CLOCK.monotonic_s() + within_s
    pages = await clinic.phone.pages()
    while missing(pages) and _CLOCK.monotonic_s() < until_s:
        await _CLOCK.sleep(_LOOK_EVERY_S)
        pages = await clinic.phone.pages()
    return counted(answers, pages, tuple(missing(pages)), since_ms)


def counted(answers: Sequence[Answer], pages: Sequence[Page], lost: tuple[str, ...], since_ms: float) -> Paged:
    """Pages of these flags: firsts, duplicates, and how many came again within a minute on one phone and channel."""
    sent_ms = {answer.code: answer.sent_at_ms for answer in answers}
    by_ring: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for page in pages:
        if page.code in sent_ms:
            by_ring[page.code, page.channel, page.to].append(page.at_ms)
    times = [max(0.0, min(rung) - max(sent_ms[code], since_ms)) for (code, _, _), rung in by_ring.items()]
    late = sum(at - min(rung) > ECHO_MS for rung in by_ring.values() for at in rung)
    repeats = [_most_in_a_minute(sorted(rung)[1:]) for rung in by_ring.values()]
    count = sum(len(rung) for rung in by_ring.values())
    return Paged(len(answers), count, count - len(by_ring), late, lost, tuple(times), max(repeats, default=0))


def _most_in_a_minute(again_ms: Sequence[float]) -> int:
    return max((sum(begin <= at < begin + _MINUTE_MS for at in again_ms) for begin in again_ms), default=0)
