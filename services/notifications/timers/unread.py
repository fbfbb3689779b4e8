"""Messages that nobody read by their reply time: the covering clinician is told; where none covers, the patient is, with guidance."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from services.notifications.domain.channels import Channel
from services.notifications.domain.message import Message
from services.notifications.domain.verdict import Text
from services.notifications.ports import NotSent, Sender, Threads
from shared.security.phi import Phi
from shared.time.ids import derived_id

PAGE_MAX = 50
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Covering:
    """Where the covering clinician is told, in the order of trying; empty where none covers."""

    addresses: Mapping[Channel, Phi[str]]
    texts: Mapping[Channel, Text]
    senders: Mapping[Channel, Sender]
    # How long after a failure it is tried again, and how long a try may be without word of its end; seconds.
    again_s: float
    valid_s: float


class UnreadWork:
    """The loop's body; each message is escalated by one replica, which claims it first."""

    def __init__(
        self,
        threads: Threads,
        covering: Covering,
        say: Callable[[Message], Awaitable[None]],
        now_s: Callable[[], Awaitable[float]],
        on_escalated: Callable[[str], None],
    ) -> None:
        self._threads = threads
        self._covering = covering
        self._say = say
        self._now_s = now_s
        self._on_escalated = on_escalated

    async def once(self) -> int:
        """Escalate a page of what nobody read in time; how many. Raises what a silent store raises."""
        now_s = await self._now_s()
        page = await self._threads.unread(now_s, PAGE_MAX)
        for message in page:
            await self._escalate(message, now_s)
        return len(page)

    async def _escalate(self, message: Message, now_s: float) -> None:
        until_s = now_s + self._covering.again_s
        if not await self._threads.settle(message, "escalating", until_s):
            return
        outcome = await self._told(message)
        if outcome != "told" and message.by == "patient":
            await self._say(message)
        ends = outcome in ("told", "nobody_covers")
        claimed = replace(message, due_s=until_s)
        await self._threads.settle(claimed, outcome, None if ends else until_s)
        self._on_escalated(outcome)

    async def _told(self, message: Message) -> str:
        """`told`, `failed`, or `nobody_covers`."""
        ways = [one for one in self._covering.addresses if one in self._covering.senders]
        for channel in ways:
            try:
                await self._covering.senders[channel].send(
                    self._covering.addresses[channel],
                    self._covering.texts[channel],
                    derived_id("unread", message.message_id),
                    "",
                    self._covering.valid_s,
                )
            except NotSent as error:
                _log.warning("covering_not_told", channel=channel, code=error.code)
                continue
            return "told"
        return "failed" if ways else "nobody_covers"
