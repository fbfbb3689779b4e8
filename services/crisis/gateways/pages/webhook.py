"""The port PageProvider over webhooks: somebody else's alarm system makes the noise. There is no receipt."""

import aiohttp

from services.crisis.ports import PageRefused
from shared.providers.refusal import ProviderRefused
from shared.providers.webhook import Webhook
from shared.time.clock import Clock
from shared.time.ids import fresh_id


class WebhookPages:
    """Posts pages under the deployment's webhook key."""

    channels = ("webhook",)

    def __init__(self, name: str, session: aiohttp.ClientSession, key: bytes, clock: Clock) -> None:
        self.name = name
        self._webhook = Webhook(session, key)
        self._clock = clock

    async def send(self, channel: str, address: str, text: str, reference: str) -> str:
        """Hand one page over; returns the id it went out under, raises PageRefused."""
        if channel not in self.channels:
            raise PageRefused("no_provider", maybe=False)
        identity = fresh_id()
        notice = {"type": "vigil.page.v1", "id": identity, "reference": reference, "text": text}
        try:
            return await self._webhook.post(address, identity, notice, self._clock.now_s())
        except ProviderRefused as refused:
            raise PageRefused(refused.reason, maybe=refused.maybe) from None
