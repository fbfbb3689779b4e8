"""What a person does with a phone: reply to a text, press keys in a call, read the answer."""

from dataclasses import dataclass, field
from typing import Any

from deploy.local.phone.calls import Calls
from deploy.local.phone.phones import Phones
from deploy.local.phone.settings import PhoneSettings
from deploy.local.phone.twilio_form import API_VERSION
from deploy.local.phone.twiml import NotTwiml, read_twiml
from deploy.local.phone.webhooks import Delivery, Webhooks
from shared.time.ids import fresh_id


class NoCall(Exception):
    """Nobody ever called this phone: there is nothing to press a key in."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a reply or key press.

    status: the receiver's HTTP status, None when nobody took it · delivered_to: the URL that took it · answers: what
    appeared on the phone · attempts: [{url, status, error_code}] · error: 12100 when the answer was no TwiML.
    """

    status: int | None
    delivered_to: str | None
    answers: list[str] = field(default_factory=list)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    error: int | None = None


class Conversation:
    """The person's side of the phones."""

    def __init__(self, settings: PhoneSettings, phones: Phones, calls: Calls, webhooks: Webhooks) -> None:
        self._settings = settings
        self._phones = phones
        self._calls = calls
        self._webhooks = webhooks

    async def reply(self, number: str, body: str) -> Outcome:
        """Text our number from this phone; the texts of the answer appear on the phone."""
        our_number = self._phones.our_number(number, self._settings.default_number)
        sid = "SM" + fresh_id().replace("-", "")
        form = {
            "AccountSid": self._settings.account_sid,
            "ApiVersion": API_VERSION,
            "Body": body,
            "From": number,
            "MessageSid": sid,
            "NumMedia": "0",
            "NumSegments": "1",
            "SmsMessageSid": sid,
            "SmsSid": sid,
            "SmsStatus": "received",
            "To": our_number,
        }
        delivery = await self._webhooks.deliver("sms", self._phones.text_urls(number), form)
        texts, error = _texts(delivery)
        for text in texts:
            self._show(number, our_number, "sms", text)
        return Outcome(delivery.status, delivery.delivered_to, texts, delivery.attempts, error)

    async def press(self, number: str, digits: str) -> Outcome:
        """Press keys in this phone's last call: they go to its Gather's action, else to the number's URL; then the fallbacks.

        Raises NoCall when no call was ever made to this phone.
        """
        call = self._phones.lines.get(number)
        if call is None:
            raise NoCall
        number_urls = self._phones.urls(number).for_keys()
        urls = [call.action, call.fallback_url, *number_urls[1:]] if call.action else number_urls
        form = {**self._calls.form(call), "Digits": digits, "FinishedOnKey": ""}
        delivery = await self._webhooks.deliver("voice", list(dict.fromkeys(url for url in urls if url)), form)
        said: list[str] = []
        error = None
        gathers = False
        if delivery.delivered_to is not None:
            try:
                twiml = read_twiml(delivery.document, delivery.delivered_to)
            except NotTwiml:
                error = 12100
            else:
                said = [twiml.said] if twiml.said else []
                gathers = twiml.gathers
                call.action = twiml.action or call.action
        for text in said:
            self._show(number, call.sender, "voice", text)
        if delivery.delivered_to is not None and not gathers:
            self._calls.hang_up(call)
        return Outcome(delivery.status, delivery.delivered_to, said, delivery.attempts, error)

    def _show(self, number: str, our_number: str, channel: str, text: str) -> None:
        self._phones.write(
            {**self._phones.stamp(), "kind": "answer", "to": number, "from": our_number, "channel": channel, "body": text}
        )


def _texts(delivery: Delivery) -> tuple[list[str], int | None]:
    """The texts of an answer: TwiML's Messages, or a plain text as it is; with 12100 when it is neither.

    A 2xx that is no TwiML still counts as delivered: sent again, the reply would be two replies.
    """
    if delivery.delivered_to is None or not delivery.document.strip():
        return [], None
    if delivery.content_type == "text/plain":
        return [delivery.document.strip()], None
    try:
        return read_twiml(delivery.document).messages, None
    except NotTwiml:
        return [], 12100
