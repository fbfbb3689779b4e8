"""The generator: shots at planned moments, whatever became of the ones before; latency counts from the planned moment."""

import asyncio
import gc
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from shared.time.ids import page_code

# A timer wakes up to a millisecond late; the last stretch before a shot is spent looking at the clock.
_LOOK_AHEAD_S = 0.0015
_ANSWER_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Request:
    """One POST, ready to be sent."""

    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Shot:
    """One sample: times are milliseconds of CLOCK_MONOTONIC, which the simulator's entries carry too."""

    chain: str
    request: Request
    planned_ms: float = 0.0
    sent_ms: float = 0.0
    answered_ms: float = 0.0
    status: int = 0
    answer: bytes = b""
    paged_ms: dict[str, float] = field(default_factory=dict)

    @property
    def code(self) -> str | None:
        """The code on the pages of the flag that the answer names; None when it names none (or nobody answered)."""
        if not self.answer:
            return None
        told = orjson.loads(self.answer)
        flag = told.get("flag")
        return None if flag is None else str(told.get("code") or page_code(flag["flag_id"]))

    @property
    def answer_ms(self) -> float | None:
        """Planned moment → 201; None when another answer came, or none."""
        return self.answered_ms - self.planned_ms if self.status == 201 else None

    @property
    def page_ms(self) -> float | None:
        """Planned moment → the first page is at the provider; None when none came."""
        return min(self.paged_ms.values()) - self.planned_ms if self.paged_ms else None


def now_ms() -> float:
    """CLOCK_MONOTONIC, milliseconds."""
    return time.monotonic() * 1000.0


def interleaved(by_chain: Mapping[str, Sequence[Shot]], seed: int) -> list[Shot]:
    """One shot of each chain after the other, in an order drawn anew for each round: none always runs in another's wake."""
    order = random.Random(seed)
    shots: list[Shot] = []
    for round_ in zip(*by_chain.values(), strict=True):
        mixed = list(round_)
        order.shuffle(mixed)
        shots.extend(mixed)
    return shots


async def fire(session: aiohttp.ClientSession, shots: Sequence[Shot], rate_per_s: float) -> None:
    """Send each shot at its moment, `rate_per_s` of them a second; return when all are answered (or never will be)."""
    begin_ms = now_ms() + 50.0
    under_way: list[asyncio.Task[None]] = []
    gc.collect()
    gc.disable()
    try:
        for number, shot in enumerate(shots):
            shot.planned_ms = begin_ms + number * 1000.0 / rate_per_s
            await _until(shot.planned_ms)
            under_way.append(asyncio.create_task(_send(session, shot)))
        await asyncio.gather(*under_way)
    finally:
        gc.enable()


async def fire_at_once(session: aiohttp.ClientSession, shots: Sequence[Shot]) -> None:
    """Send all of them in the same moment."""
    planned_ms = now_ms()
    for shot in shots:
        shot.planned_ms = planned_ms
    await asyncio.gather(*(_send(session, shot) for shot in shots))


async def warm_up(session: aiohttp.ClientSession, urls: Sequence[str], connections: int) -> None:
    """Open so many connections to each address; raises aiohttp.ClientError."""

    async def touch(url: str) -> None:
        async with session.get(url) as answer:
            await answer.read()

    for url in urls:
        await asyncio.gather(*(touch(url) for _ in range(connections)))


def assign_pages(shots: Sequence[Shot], pages: Sequence[Mapping[str, Any]], code_on: Callable[[Any], str | None]) -> None:
    """Note on each shot when its first page on each channel reached the simulator."""
    by_code = {code: shot for shot in shots if (code := shot.code) is not None}
    for page in pages:
        shot = by_code.get(code_on(page) or "")
        if shot is not None:
            channel, at_ms = str(page["channel"]), float(page["monotonic_ms"])
            shot.paged_ms[channel] = min(at_ms, shot.paged_ms.get(channel, at_ms))


async def _until(moment_ms: float) -> None:
    ahead_s = (moment_ms - now_ms()) / 1000.0 - _LOOK_AHEAD_S
    if ahead_s > 0:
        await asyncio.sleep(ahead_s)
    while now_ms() < moment_ms:  # noqa: ASYNC110 - time is what is waited for
        await asyncio.sleep(0)


async def _send(session: aiohttp.ClientSession, shot: Shot) -> None:
    request = shot.request
    shot.sent_ms = now_ms()
    try:
        async with session.post(request.url, data=request.body, headers=request.headers) as answer:
            shot.answer = await answer.read()
            shot.status = answer.status
    except (aiohttp.ClientError, TimeoutError, OSError):
        shot.status = 0
    shot.answered_ms = now_ms()


def generator_session(connections: int) -> aiohttp.ClientSession:
    """A session whose connections stay warm for a whole run."""
    timeout = aiohttp.ClientTimeout(total=_ANSWER_WITHIN_S)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=600.0), timeout=timeout)
