"""Twilio's REST API: Messages and Calls. The page is on the phone when its request arrives, the 201 leaves at once, the receipt later."""

import base64
import hmac
import socket
import struct

from aiohttp import web

from deploy.local.phone.callbacks import Receipts
from deploy.local.phone.calls import Calls
from deploy.local.phone.counts import Counts
from deploy.local.phone.faults import Fault, Faults
from deploy.local.phone.page_text import segments
from deploy.local.phone.phones import Item, Phones
from deploy.local.phone.settings import PhoneSettings
from deploy.local.phone.twilio_form import (
    API_VERSION,
    Form,
    TwilioError,
    call_resource,
    check_call,
    check_message,
    message_resource,
    read_form,
)
from shared.time.ids import fresh_id

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class _Dropped(TwilioError):
    """A hang is over."""


class TwilioApi:
    """The two resources a pager creates."""

    def __init__(
        self, settings: PhoneSettings, phones: Phones, faults: Faults, receipts: Receipts, calls: Calls, counts: Counts
    ) -> None:
        self._settings = settings
        self._phones = phones
        self._faults = faults
        self._receipts = receipts
        self._calls = calls
        self._requests = counts.requests
        pair = f"{settings.account_sid}:{settings.auth_token}".encode()
        self._authorization = b"Basic " + base64.b64encode(pair)

    async def create_message(self, request: web.Request) -> web.StreamResponse:
        """`POST …/Messages.json`: 201 and a text on the phone."""
        item = self._phones.stamp()
        try:
            form, fault = await self._admit(request, "Messages")
            check_message(form)
        except TwilioError as error:
            return self._refuse("Messages", error)
        sid = "SM" + fresh_id().replace("-", "")
        self._fill(item, form, "sms", sid)
        item["body"] = form.fields["Body"]
        count = item["segments"] = segments(item["body"])
        if fault.mode != "undelivered":
            self._phones.write(item)
        self._confirm_message(sid, form, fault)
        body = message_resource(sid, self._settings.account_sid, form, count, item["at_ms"])
        return await self._answer(request, "Messages", fault, body)

    async def create_call(self, request: web.Request) -> web.StreamResponse:
        """`POST …/Calls.json`: 201 and a call that says its TwiML."""
        item = self._phones.stamp()
        try:
            form, fault = await self._admit(request, "Calls")
            check_call(form)
        except TwilioError as error:
            return self._refuse("Calls", error)
        sid = "CA" + fresh_id().replace("-", "")
        self._fill(item, form, "voice", sid)
        self._calls.ring(sid, form, item, fault.mode)
        body = call_resource(sid, self._settings.account_sid, form, item["at_ms"])
        return await self._answer(request, "Calls", fault, body)

    async def _admit(self, request: web.Request, resource: str) -> tuple[Form, Fault]:
        """Check the account, read the form, apply the faults that accept nothing."""
        given = request.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(given, self._authorization):
            raise TwilioError(401, 20003, "Authenticate")
        if request.match_info["sid"] != self._settings.account_sid:
            raise TwilioError(404, 20404, f"The requested resource {request.path} was not found")
        form = read_form(await request.read())
        fault = self._faults.of(resource, form.fields)
        if fault.mode == "hang":
            await self._faults.hold(fault.ms if fault.ms is not None else self._settings.hang_ms)
            _reset(request)
            raise _Dropped(503, 20503, "Nobody reads this: the connection is gone")
        if fault.mode in ("500", "429"):
            if fault.ms:
                await self._faults.hold(fault.ms)
            if fault.mode == "500":
                raise TwilioError(500, 20500, "An internal server error has occurred")
            raise TwilioError(429, 20429, "Too Many Requests")
        return form, fault

    def _fill(self, item: Item, form: Form, channel: str, sid: str) -> None:
        item["kind"] = "page"
        item["to"] = form.fields["To"]
        item["from"] = form.get("From") or self._settings.default_number
        item["channel"] = channel
        item["page_id"] = sid

    def _confirm_message(self, sid: str, form: Form, fault: Fault) -> None:
        url = form.get("StatusCallback")
        if url is None or fault.mode == "no_receipt":
            return
        statuses = ["undelivered" if fault.mode == "undelivered" else "delivered"]
        if self._settings.receipt_sent:
            statuses.insert(0, "sent")
        for status in statuses:
            receipt = {
                "AccountSid": self._settings.account_sid,
                "ApiVersion": API_VERSION,
                "From": form.get("From") or self._settings.default_number,
                "MessageSid": sid,
                "MessageStatus": status,
                "SmsSid": sid,
                "SmsStatus": status,
                "To": form.fields["To"],
            }
            if status == "undelivered":
                receipt["ErrorCode"] = "30003"
            self._receipts.send(url, receipt, self._settings.receipt_delay_ms)

    async def _answer(self, request: web.Request, resource: str, fault: Fault, body: bytes) -> web.StreamResponse:
        self._requests.labels(resource, "accepted" if fault.mode == "ok" else fault.mode).inc()
        if fault.ms:
            await self._faults.hold(fault.ms)
        if fault.mode == "reset_after_accept":
            _reset(request)
        return web.Response(body=body, status=201, content_type="application/json")

    def _refuse(self, resource: str, error: TwilioError) -> web.Response:
        self._requests.labels(resource, "hang" if isinstance(error, _Dropped) else str(error.status)).inc()
        headers = {"WWW-Authenticate": 'Basic realm="Twilio API"'} if error.status == 401 else None
        return web.Response(body=error.body(), status=error.status, content_type="application/json", headers=headers)


def _reset(request: web.Request) -> None:
    """End the connection with a TCP reset: the sender sees no answer and no orderly close."""
    transport = request.transport
    if transport is None:
        return
    endpoint: socket.socket | None = transport.get_extra_info("socket")
    if endpoint is not None:
        endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()
