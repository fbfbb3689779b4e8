"""Who delivers pages here, by channel: what a deployment has set up, and nothing that would only fail."""

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from services.crisis.app.wrapping import Wrap
from services.crisis.gateways.pages import MailPages, TwilioPages, WebhookPages
from services.crisis.ports import PageProvider
from services.crisis.settings import CrisisSettings
from services.crisis.times import Times
from shared.providers.mail import MailServer
from shared.providers.twilio import TwilioAccount
from shared.providers.webhook import webhook_key
from shared.time.clock import SystemClock


@dataclass(frozen=True, slots=True)
class Providers:
    """The providers by name, and the names that deliver on each channel in the order of choice."""

    by_name: Mapping[str, PageProvider]
    by_channel: Mapping[str, tuple[str, ...]]

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels on which something can be delivered."""
        return tuple(self.by_channel)


def providers_of(
    settings: CrisisSettings, times: Times, account: TwilioAccount, session: aiohttp.ClientSession, own_url: str, wrap: Wrap
) -> Providers:
    """Text and voice always; webhooks with a key to sign them, mail with a server to hand it in at."""
    found: list[TwilioPages | WebhookPages | MailPages] = [TwilioPages("twilio", account, session, own_url)]
    if settings.webhook_key_file is not None:
        key = webhook_key(settings.webhook_key_file.read_bytes())
        found.append(WebhookPages("webhook", session, key, SystemClock()))
    server = mail_server(settings)
    if server is not None:
        found.append(MailPages("mail", server, times.provider_attempt))
    by_channel: dict[str, tuple[str, ...]] = {}
    for provider in found:
        for channel in provider.channels:
            by_channel[channel] = (*by_channel.get(channel, ()), provider.name)
    return Providers({provider.name: wrap("provider", provider) for provider in found}, by_channel)


def mail_server(settings: CrisisSettings) -> MailServer | None:
    """The server that the settings name, None without one."""
    if not settings.smtp_host:
        return None
    password = settings.smtp_password_file.read_text(encoding="utf-8").strip() if settings.smtp_password_file else None
    return MailServer(
        settings.smtp_host,
        settings.smtp_port,
        settings.smtp_sender,
        settings.smtp_tls,
        settings.smtp_username or None,
        password,
    )
