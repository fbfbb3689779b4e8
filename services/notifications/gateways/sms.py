"""SMS over Twilio, by the same adapter that crisis pages with, from a number of its own."""

import aiohttp

from services.notifications.domain.channels import Channel
from services.notifications.domain.provider_codes import of_twilio
from services.notifications.domain.verdict import Text
from services.notifications.ports import NotSent
from shared.providers.refusal import ProviderRefused
from shared.providers.twilio import Twilio, TwilioAccount
from shared.security.phi import Phi

# Twilio keeps a message for ten hours at most.
VALID_MAX_S = 36_000


class TwilioSender:
    """The port Sender for text messages."""

    name = "twilio"
    channel: Channel = "sms"

    def __init__(self, account: TwilioAccount, session: aiohttp.ClientSession) -> None:
        self._twilio = Twilio(account, session)

    async def send(self, to: Phi[str], text: Text, notification_id: str, receipt_at: str, valid_s: float) -> str:
        valid = max(1, min(int(valid_s), VALID_MAX_S))
        try:
            return await self._twilio.message(to.open(), text.body, receipt_at or None, valid_s=valid)
        except ProviderRefused as refused:
            meaning = of_twilio(refused.status, refused.code)
            code = refused.reason if refused.code is None else str(refused.code)
            raise NotSent(code, meaning.fate, maybe=refused.maybe, rest_s=meaning.rest_s) from None
