"""The port PageProvider over mail: a copy for whoever looks, never the only way where minutes count. There is no receipt."""

from services.crisis.ports import PageRefused
from shared.providers.mail import Mailbox, MailServer
from shared.providers.refusal import ProviderRefused
from shared.time.ids import fresh_id

# The page's text up to its link: level, code and time.
_SUBJECT_PARTS = 3


class MailPages:
    """Hands pages to one mail server."""

    channels = ("email",)

    def __init__(self, name: str, server: MailServer, step_s: float) -> None:
        self.name = name
        self._mailbox = Mailbox(server, step_s)

    async def send(self, channel: str, address: str, text: str, reference: str) -> str:
        """Hand one page over; returns its Message-ID, raises PageRefused."""
        if channel not in self.channels:
            raise PageRefused("no_provider", maybe=False)
        subject = " - ".join(text.split(" - ")[:_SUBJECT_PARTS])
        try:
            return await self._mailbox.send(address, subject, f"{text}\n", fresh_id())
        except ProviderRefused as refused:
            raise PageRefused(refused.reason, maybe=refused.maybe) from None
