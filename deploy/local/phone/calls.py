"""The life of a call: rings, is answered at once, says its text, waits for keys, is over."""

import asyncio

from deploy.local.phone.callbacks import Receipts
from deploy.local.phone.phones import Call, Item, Phones
from deploy.local.phone.settings import PhoneSettings
from deploy.local.phone.twilio_form import API_VERSION, CALL_EVENTS, Form, rfc2822
from deploy.local.phone.twiml import NotTwiml, Twiml, read_twiml
from deploy.local.phone.webhooks import Webhooks
from shared.time.clock import Clock

_STATUS_OF_EVENT = {"initiated": "initiated", "ringing": "ringing", "answered": "in-progress", "completed": "completed"}


class Calls:
    """Rings phones; keeps the last call of each phone, so that a person may press a key late."""

    def __init__(self, settings: PhoneSettings, phones: Phones, receipts: Receipts, webhooks: Webhooks, clock: Clock) -> None:
        self._settings = settings
        self._phones = phones
        self._receipts = receipts
        self._webhooks = webhooks
        self._clock = clock
        self._fetches: set[asyncio.Task[None]] = set()

    def ring(self, sid: str, form: Form, item: Item, mode: str) -> None:
        """Put the call on its phone: at once when it brought its TwiML, else when its Url has been fetched."""
        call = Call(
            sid,
            item["to"],
            item["from"],
            fallback_url=form.get("FallbackUrl"),
            status_callback=None if mode == "no_receipt" else form.get("StatusCallback"),
            era=self._phones.era,
            events=tuple(event for event in CALL_EVENTS if event in form.events) or ("completed",),
        )
        if mode == "undelivered":
            self._tell(call, "completed", self._settings.receipt_delay_ms, status="no-answer")
            return
        document = form.get("Twiml")
        if document is not None:
            self._answer(call, item, document, None)
            return
        fetch = asyncio.create_task(self._fetch(call, item, form.fields["Url"]))
        self._fetches.add(fetch)
        fetch.add_done_callback(self._fetches.discard)

    async def _fetch(self, call: Call, item: Item, url: str) -> None:
        urls = [url] if call.fallback_url is None else [url, call.fallback_url]
        delivery = await self._webhooks.deliver("voice", urls, self.form(call))
        if call.era == self._phones.era:
            self._answer(call, item, delivery.document, delivery.delivered_to)

    def _answer(self, call: Call, item: Item, document: str, base_url: str | None) -> None:
        try:
            twiml = read_twiml(document, base_url)
        except NotTwiml:
            # Who picks up hears the provider's own apology.
            twiml = Twiml(said="An application error has occurred. Goodbye.")
            item["error"] = 12100
        call.action = twiml.action
        item["body"] = twiml.said
        self._phones.lines[call.to] = call
        self._phones.write(item)
        delay_ms = self._settings.receipt_delay_ms
        for event in ("initiated", "ringing", "answered"):
            self._tell(call, event, delay_ms)
        hold_ms = self._settings.call_hold_ms if twiml.gathers else 0.0
        asyncio.get_running_loop().call_later(hold_ms / 1000, self.hang_up, call)

    def hang_up(self, call: Call) -> None:
        """The call is over; said once, and not at all when the phones have been emptied since."""
        if not call.over and call.era == self._phones.era:
            call.over = True
            self._tell(call, "completed", self._settings.receipt_delay_ms)

    def form(self, call: Call, status: str = "in-progress") -> dict[str, str]:
        """The fields that Twilio sends with every request about a call (outbound: To is the phone, From our number)."""
        return {
            "AccountSid": self._settings.account_sid,
            "ApiVersion": API_VERSION,
            "CallSid": call.sid,
            "CallStatus": status,
            "Direction": "outbound-api",
            "From": call.sender,
            "To": call.to,
            "Called": call.to,
            "Caller": call.sender,
        }

    def _tell(self, call: Call, event: str, delay_ms: float, status: str | None = None) -> None:
        if call.status_callback is None or event not in call.events:
            return
        form = self.form(call, status or _STATUS_OF_EVENT[event])
        form["CallbackSource"] = "call-progress-events"
        form["SequenceNumber"] = str(call.sequence)
        form["Timestamp"] = rfc2822(int(self._clock.now_s()))
        if event == "completed":
            form["CallDuration"] = "0" if status else "1"
        call.sequence += 1
        self._receipts.send(call.status_callback, form, delay_ms)

    async def stop(self) -> None:
        """Give up the fetches under way."""
        for fetch in self._fetches:
            fetch.cancel()
        await asyncio.gather(*self._fetches, return_exceptions=True)
