"""Clocks and the only place where anything sleeps."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What rules and engines may ask of time."""

    def now_s(self) -> float:
        """Seconds since the Unix epoch, as this process believes them."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that never run backwards; only differences mean anything."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds of this clock."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now_s(self) -> float:
        return time.time()

    def monotonic_s(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock that moves only when a test moves it.

    `sleep` parks the caller until `advance` has passed its moment.
    """

    def __init__(self, now_s: float = 1_700_000_000.0) -> None:
        self._now_s = now_s
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now_s(self) -> float:
        return self._now_s

    def monotonic_s(self) -> float:
        return self._now_s

    async def sleep(self, seconds: float) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._now_s + seconds, waiter))
        await waiter

    def advance(self, seconds: float) -> None:
        """Move time forward and wake who is due."""
        self._now_s += seconds
        due = [waiter for at, waiter in self._sleepers if at <= self._now_s]
        self._sleepers = [(at, waiter) for at, waiter in self._sleepers if at > self._now_s]
        for waiter in due:
            if not waiter.done():
                waiter.set_result(None)


def iso(at_s: float) -> str:
    """Epoch seconds as ISO 8601 UTC with microseconds and a `Z`."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def epoch_s(text: str) -> float:
    """ISO 8601 (with an offset or `Z`) as epoch seconds; raises ValueError when it has no zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs its zone, for example 2026-01-31T08:00:00Z")
    return moment.timestamp()
