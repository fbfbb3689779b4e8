"""The port Peers over the express pumps: facts go at once, and again every `resend` until a peer confirms."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
import structlog

from services.crisis.domain.encoding import reply_to_wire, to_wire
from services.crisis.domain.facts import Fact, Flag
from services.crisis.domain.replies import Reply
from shared.bus.express import LaneFailed, Pump
from shared.time.clock import SystemClock

log = structlog.get_logger("crisis.peers")


_monotonic_s = SystemClock().monotonic_s


@dataclass(frozen=True, slots=True)
class Told:
    """One item on its way to a peer; rendered when it is sent, so that its age is right then.

    `told_at_s` is the crisis clock's, `since_s` the monotonic clock's: the crisis clock may be set while this waits, and its
    stamp would be one of the old time.
    """

    patient_id: str
    item: Flag | Fact
    told_at_s: float
    since_s: float

    def wire(self, _now_s: float) -> dict[str, Any]:
        """The item with its age."""
        now_s = self.told_at_s + _monotonic_s() - self.since_s
        return to_wire(self.item, now_s) | {"patient_id": self.patient_id}


@dataclass(frozen=True, slots=True)
class ToldReply:
    """A person's answer that could not be resolved here."""

    reply: Reply
    told_at_s: float
    since_s: float

    def wire(self, _now_s: float) -> dict[str, Any]:
        """The answer with its age."""
        return reply_to_wire(self.reply, self.told_at_s + _monotonic_s() - self.since_s)


class PumpedPeers:
    """Tells every peer and listener through a pump of its own."""

    def __init__(self, pumps: Sequence[Pump], now: Callable[[], float]) -> None:
        self._pumps = tuple(pumps)
        self._now = now

    def spread(self, patient_id: str, items: Sequence[Flag | Fact]) -> None:
        """Tell all of them; never waits."""
        now_s, since_s = self._now(), _monotonic_s()
        for pump in self._pumps:
            for item in items:
                pump.submit(Told(patient_id, item, now_s, since_s)).add_done_callback(_heard)

    def pass_on(self, reply: Reply) -> None:
        """Pass an unresolved answer to all of them."""
        for pump in self._pumps:
            pump.submit(ToldReply(reply, self._now(), _monotonic_s())).add_done_callback(_heard)


def _heard(telling: "asyncio.Future[Mapping[str, Any]]") -> None:
    error = None if telling.cancelled() else telling.exception()
    if isinstance(error, LaneFailed) and error.code != "stopped":
        # The pump sends again whatever may still be heard: this a peer refused (an older version?) or the queue was full.
        log.error("peer_not_told", code=error.code)


@asynccontextmanager
async def pumps_to(
    urls: Sequence[str],
    token: str,
    resend_s: float,
    now: Callable[[], float],
    identity: Callable[[], Mapping[str, str | None]],
) -> AsyncIterator[tuple[Pump, ...]]:
    """One pump per peer and listener, started and kept warm."""
    async with AsyncExitStack() as stack:
        pumps = [
            Pump(
                url,
                "/v1/facts",
                token=token,
                wrap=lambda facts: {"facts": facts},
                clock=SystemClock(),
                now=now,
                resend_s=resend_s,
                identity=identity,
            )
            for url in urls
        ]
        yield tuple([await stack.enter_async_context(pump) for pump in pumps])


class PeerSilent(Exception):
    """A peer stopped answering before it had told everything."""


async def table_of(
    session: aiohttp.ClientSession, url: str, token: str, timeout_s: float
) -> AsyncIterator[list[dict[str, Any]]]:
    """What a peer knows, as wire facts, page by page (each within `timeout_s`); raises PeerSilent after the pages that came."""
    place: str | None = ""
    while place is not None:
        try:
            async with session.get(
                f"{url}/v1/facts",
                params={"after": place},
                headers={"Authorization": f"Bearer {token}"},
                timeout=aiohttp.ClientTimeout(total=timeout_s),
            ) as response:
                if response.status != 200:
                    raise PeerSilent
                body = orjson.loads(await response.read())
            facts, place = list(body["facts"]), body.get("next")
        except (aiohttp.ClientError, OSError, TimeoutError, KeyError, TypeError, ValueError):
            raise PeerSilent from None
        yield facts
