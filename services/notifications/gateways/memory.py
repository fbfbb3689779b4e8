"""Twins of the providers in memory: what was sent is kept, and the next answers can be chosen."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.notifications.domain.channels import Channel
from services.notifications.domain.verdict import Text
from services.notifications.ports import NotSent
from shared.security.phi import Phi


@dataclass(frozen=True, slots=True)
class Sent:
    """One message that was accepted."""

    to: Phi[str]
    text: Text
    notification_id: str
    receipt_at: str
    valid_s: float
    provider_id: str


@dataclass
class MemorySender:
    """The port Sender; `refusals` are raised first, one a message."""

    channel: Channel = "sms"
    name: str = "memory"
    sent: list[Sent] = field(default_factory=list)
    refusals: list[NotSent] = field(default_factory=list)
    # Accepts, and gives no id.
    nameless: bool = False

    async def send(self, to: Phi[str], text: Text, notification_id: str, receipt_at: str, valid_s: float) -> str:
        if self.refusals:
            raise self.refusals.pop(0)
        provider_id = f"{self.channel}-{len(self.sent) + 1}"
        self.sent.append(Sent(to, text, notification_id, receipt_at, valid_s, provider_id))
        return "" if self.nameless else provider_id

    @property
    def bodies(self) -> Sequence[str]:
        """What was said."""
        return [one.text.body for one in self.sent]
