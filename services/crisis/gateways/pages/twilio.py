"""The port PageProvider over Twilio: receipts and key presses come back to this replica's own URL."""

from urllib.parse import quote

import aiohttp

from services.crisis.ports import PageRefused
from shared.providers.refusal import ProviderRefused
from shared.providers.twilio import Twilio, TwilioAccount

# A first page must never queue behind a connection limit: the pool is larger than any burst the roster can cause.
CONNECTIONS_MAX = 512


def page_session() -> aiohttp.ClientSession:
    """A session of the pager's own, with connections that stay warm."""
    connector = aiohttp.TCPConnector(limit=CONNECTIONS_MAX, keepalive_timeout=600.0, ttl_dns_cache=300)
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None, sock_connect=1.0))


class TwilioPages:
    """Hands pages to one Twilio account."""

    channels = ("sms", "voice")

    def __init__(self, name: str, account: TwilioAccount, session: aiohttp.ClientSession, own_url: str) -> None:
        self.name = name
        self._twilio = Twilio(account, session)
        self._own_url = own_url.rstrip("/")

    async def send(self, channel: str, address: str, text: str, reference: str) -> str:
        """Hand one page over; returns the provider's id for it, raises PageRefused."""
        if channel not in self.channels:
            raise PageRefused("no_provider", maybe=False)
        about = quote(reference, safe="")
        status_url = f"{self._own_url}/v1/providers/twilio/status?f={about}"
        try:
            if channel == "voice":
                key_url = f"{self._own_url}/v1/providers/twilio/voice?f={about}"
                return await self._twilio.call(address, text, key_url, status_url)
            return await self._twilio.message(address, text, status_url)
        except ProviderRefused as refused:
            raise PageRefused(refused.reason, maybe=refused.maybe) from None
