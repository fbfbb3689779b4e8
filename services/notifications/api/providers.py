"""`/v1/providers/twilio/…`: what phones and the provider say; the provider's signature proves it."""

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from services.notifications.domain.provider_codes import of_receipt
from services.notifications.handlers.inbound import InboundHandler, ReceiptHandler
from services.notifications.ports import ContactsClosed, NotSent
from shared.chassis.http import Problem, body_of
from shared.providers.twilio import SignatureCheck, answer
from shared.security.phi import PatientPhone
from shared.time.ids import fresh_id

FORM_MAX_FIELDS = 100
FORM_MAX_BYTES = 64 * 1024
_TWIML = "application/xml"
_DELIVERED = frozenset({"delivered", "read"})
_UNDELIVERED = frozenset({"undelivered", "failed", "canceled"})
_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {"type": "object", "additionalProperties": {"type": "string"}},
            }
        },
    }
}


def _documented(example: dict[str, str]) -> dict[str, Any]:
    content = _FORM["requestBody"]["content"]["application/x-www-form-urlencoded"]
    told = {**content, "example": example}
    return {"requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": told}}}


def providers_router(
    inbound: InboundHandler,
    receipts: ReceiptHandler,
    signature: SignatureCheck,
    public_url: str,
    on_forged: Callable[[], None],
) -> APIRouter:
    """Routes without a bearer token."""
    router = APIRouter(tags=["providers"])

    async def signed(request: Request) -> dict[str, str]:
        raw = await body_of(request, FORM_MAX_BYTES)
        try:
            form = dict(parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=FORM_MAX_FIELDS))
        except ValueError:
            raise Problem(400, "not-a-form", "The body is no form", "send application/x-www-form-urlencoded") from None
        query = request.url.query
        url = f"{public_url.rstrip('/')}{request.url.path}{'?' + query if query else ''}"
        if not signature.holds(url, form, request.headers.get("x-twilio-signature")):
            on_forged()
            raise Problem(403, "signature-refused", "The signature does not hold", "callbacks must be signed by the provider")
        return form

    @router.post(
        "/v1/providers/twilio/status",
        status_code=204,
        response_class=Response,
        openapi_extra=_documented({"MessageSid": "SM0123456789abcdef0123456789abcdef", "MessageStatus": "delivered"}),
    )
    async def status(
        request: Request,
        o: Annotated[str, Query(examples=["4c0d1f5e-2b7a-5f0e-9d63-0a5f3f1c7b29"])] = "",
        i: Annotated[str, Query(examples=["1"])] = "",
    ) -> Response:
        """A receipt: 204. `o` and `i` name the message, as its callback URL did."""
        form = await signed(request)
        word, provider_id = form.get("MessageStatus", "").lower(), form.get("MessageSid", "")
        if o and i and provider_id and word in _DELIVERED | _UNDELIVERED:
            await receipts.heard(o, i, provider_id, None if word in _DELIVERED else _error(form))
        return Response(status_code=204)

    @router.post(
        "/v1/providers/twilio/sms",
        response_class=Response,
        responses={200: {"content": {_TWIML: {"example": "<Response><Message>…</Message></Response>"}}}},
        openapi_extra=_documented({"From": "+15550100009", "Body": "STOP", "MessageSid": "SM0123456789abcdef0123456789abcdef"}),
    )
    async def sms(request: Request) -> Response:
        """A text from a phone: 200 with TwiML. STOP, START and HELP hold for that number at once."""
        form = await signed(request)
        try:
            text_id = form.get("MessageSid") or fresh_id()
            said = await inbound.text(PatientPhone(form.get("From", "")), form.get("Body", ""), text_id)
        except ContactsClosed:
            # The provider tries the number's fallback URL, or tells its sender.
            raise Problem(503, "contacts-closed", "Nothing can be kept now; send it again") from None
        return Response(answer(said), media_type=_TWIML)

    return router


def _error(form: dict[str, str]) -> NotSent:
    told = form.get("ErrorCode", "")
    code = int(told) if told.isdigit() else None
    meaning = of_receipt(code)
    return NotSent(told if code is not None else "undelivered", meaning.fate, rest_s=meaning.rest_s)
