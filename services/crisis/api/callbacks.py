"""What phones and providers say: signed callbacks, and one-tap links that are safe against pre-fetching."""

import hashlib
from collections.abc import Callable
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from services.crisis.api.link_page import answered, nowhere, question
from services.crisis.clock import CrisisClock
from services.crisis.domain.page_text import ACK_DIGIT
from services.crisis.domain.reference import referred
from services.crisis.domain.replies import Reply, essence
from services.crisis.domain.roster import Roster
from services.crisis.handlers import Handlers
from services.crisis.traces import FlagTraces
from shared.chassis.http import Problem, body_of
from shared.providers.twilio import SignatureCheck, answer, spoken_answer
from shared.security.links import ForgedLink, Link, person_of, read_link
from shared.time.ids import fresh_id, page_code

_TWIML = "application/xml"
_DELIVERED = {"delivered": "delivered", "read": "delivered", "completed": "delivered"}
_UNDELIVERED = {"undelivered", "failed", "busy", "no-answer", "canceled"}
FORM_MAX_FIELDS = 100
FORM_MAX_BYTES = 64 * 1024
# One person's taps on one link within this count as one answer; a later one is a new acknowledgement.
_TAPS_S = 60.0


class Callbacks:
    """Routes without a bearer token: the provider's signature or the link's own proves them."""

    def __init__(
        self,
        *,
        handlers: Handlers,
        clock: CrisisClock,
        roster: Callable[[], Roster],
        signature: SignatureCheck,
        own_url: str,
        link_key: bytes,
        on_forged: Callable[[str], None],
        traces: FlagTraces | None = None,
        on_receipt: Callable[[str, str, str], None] = lambda reference, provider_id, outcome: None,
    ) -> None:
        """`on_receipt` hears of every receipt too: test pages are no flags."""
        self._handlers = handlers
        self._clock = clock
        self._roster = roster
        self._signature = signature
        self._own_url = own_url.rstrip("/")
        self._link_key = link_key
        self._on_forged = on_forged
        self._traces = traces or FlagTraces("")
        self._on_receipt = on_receipt

    async def status(self, request: Request) -> Response:
        """A receipt: 204."""
        form = await self._signed_form(request)
        provider_id = form.get("MessageSid") or form.get("CallSid") or ""
        word = (form.get("MessageStatus") or form.get("CallStatus") or "").lower()
        outcome = _DELIVERED.get(word) or ("undelivered" if word in _UNDELIVERED else None)
        if outcome is not None and provider_id:
            page = referred(request.query_params.get("f", ""))
            with self._traces.receipt(page.flag_id, provider_id, outcome):
                self._handlers.receipt(page, provider_id, outcome)
            self._on_receipt(page.flag_id, provider_id, outcome)
        return Response(status_code=204)

    async def sms(self, request: Request) -> Response:
        """An answer by text; 200 with TwiML, an empty one to numbers that are on nobody's roster."""
        form = await self._signed_form(request)
        person = self._roster().person_at(form.get("From", ""))
        if person is None:
            return Response(answer(None), media_type=_TWIML)
        reply_id = form.get("MessageSid") or fresh_id()
        reply = Reply(reply_id, person.id, essence(form.get("Body", "")), None, "sms", self._clock.now())
        said = self._handlers.reply(reply)
        return Response(answer(said or "Noted. Nothing is known here under that answer yet."), media_type=_TWIML)

    async def voice(self, request: Request) -> Response:
        """A key pressed in a call; 200 with TwiML."""
        form = await self._signed_form(request)
        person = self._roster().person_at(form.get("To", "")) or self._roster().person_at(form.get("From", ""))
        if person is None or form.get("Digits") != ACK_DIGIT:
            return Response(spoken_answer("Not acknowledged. Press 1 to acknowledge."), media_type=_TWIML)
        reply_id = f"{form.get('CallSid') or fresh_id()}:{form['Digits']}"
        reply = Reply(
            reply_id, person.id, "", referred(request.query_params.get("f", "")).flag_id or None, "voice", self._clock.now()
        )
        return Response(spoken_answer(self._handlers.reply(reply) or "Noted."), media_type=_TWIML)

    async def show_link(self, request: Request) -> Response:
        """GET shows what the link would do; nothing happens by looking (phones fetch links on their own)."""
        try:
            link, person_id = self._link(request)
        except Problem as problem:
            return nowhere(request, problem)
        return question(page_code(link.flag_id), self._roster().people[person_id].name)

    async def follow_link(self, request: Request) -> Response:
        """POST acknowledges."""
        try:
            link, person_id = self._link(request)
        except Problem as problem:
            return nowhere(request, problem)
        now = self._clock.now()
        tap = hashlib.sha256(f"{request.path_params['token']}|{int(now // _TAPS_S)}".encode()).hexdigest()[:24]
        return answered(self._handlers.reply(Reply(f"link:{tap}", person_id, "", link.flag_id, "link", now)) or "Noted.")

    def _link(self, request: Request) -> tuple[Link, str]:
        try:
            link = read_link(self._link_key, request.path_params["token"])
        except ForgedLink:
            self._on_forged("link")
            raise Problem(404, "no-such-link", "No such link", "use the newest link you were sent") from None
        if link.expires_h * 3600 < self._clock.now():
            raise Problem(410, "link-expired", "The link has expired", "use the newest link you were sent")
        person_id = person_of(link, self._roster().people)
        if person_id is None:
            raise Problem(404, "no-such-link", "No such link", "the person it was made for is not on the roster")
        return link, person_id

    async def _signed_form(self, request: Request) -> dict[str, str]:
        raw = await body_of(request, FORM_MAX_BYTES)
        try:
            form = dict(parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=FORM_MAX_FIELDS))
        except ValueError:
            raise Problem(400, "not-a-form", "The body is no form", "send application/x-www-form-urlencoded") from None
        query = request.url.query
        url = f"{self._own_url}{request.url.path}{'?' + query if query else ''}"
        if not self._signature.holds(url, form, request.headers.get("x-twilio-signature")):
            self._on_forged("callback")
            raise Problem(403, "signature-refused", "The signature does not hold", "callbacks must be signed by the provider")
        return form
