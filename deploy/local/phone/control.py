"""The control side: read the phones, reply, press keys, break and mend the provider, forget everything."""

import re
from dataclasses import asdict
from typing import Any

import orjson
from aiohttp import web

from deploy.local.phone.auto_answer import AutoAnswer
from deploy.local.phone.callbacks import Receipts
from deploy.local.phone.conversation import Conversation, NoCall, Outcome
from deploy.local.phone.faults import OK, Fault, Faults, read_fault
from deploy.local.phone.phones import Item, NumberUrls, Phones
from deploy.local.phone.settings import PhoneSettings

_NUMBER = re.compile(r"\+[1-9][0-9]{3,14}")
_DIGITS = re.compile(r"[0-9*#]{1,32}")


class _Refused(Exception):
    """A control request that makes no sense."""


class Control:
    """`/_phone…`: JSON in and out, problem+json for what is wrong."""

    def __init__(
        self,
        settings: PhoneSettings,
        phones: Phones,
        faults: Faults,
        receipts: Receipts,
        conversation: Conversation,
        auto: AutoAnswer | None,
    ) -> None:
        self._settings = settings
        self._phones = phones
        self._faults = faults
        self._receipts = receipts
        self._conversation = conversation
        self._auto = auto

    async def all_pages(self, request: web.Request) -> web.Response:
        """`GET /_phone/pages[?after=SEQ][&wait_ms=…]`: the entries of all phones."""
        return await self._pages(request, None)

    async def pages(self, request: web.Request) -> web.Response:
        """`GET /_phone/{e164}/pages[?after=SEQ][&wait_ms=…]`: the entries of one phone; `wait_ms` waits for a newer one."""
        try:
            number = _number(request)
        except _Refused as error:
            return problem(400, str(error))
        return await self._pages(request, number)

    async def _pages(self, request: web.Request, number: str | None) -> web.Response:
        try:
            after = int(request.query.get("after", "0"))
            wait_ms = int(request.query.get("wait_ms", "0"))
        except ValueError:
            return problem(400, "after and wait_ms must be whole numbers")
        if not 0 <= wait_ms <= self._settings.watch_max_ms:
            return problem(400, f"wait_ms must be from 0 to {self._settings.watch_max_ms}")
        found: list[Item] = self._phones.items(number, after)
        if not found and wait_ms:
            found = await self._phones.watch(number, after, wait_ms / 1000)
        return answer({"items": found, "forgotten": self._phones.forgotten})

    async def reply(self, request: web.Request) -> web.Response:
        """`POST /_phone/{e164}/reply {body}` → `{status, delivered_to, answers, attempts, error}`; 502 when nobody took it."""
        try:
            number, body = _number(request), await _text(request, "body")
            if not self._phones.text_urls(number):
                raise _Refused("this number has no URL: PUT /_phone/{e164} {url, fallback_url}")
        except _Refused as error:
            return problem(400, str(error))
        return _told(await self._conversation.reply(number, body))

    async def press(self, request: web.Request) -> web.Response:
        """`POST /_phone/{e164}/press {digits}`: like `reply`; 409 when this phone was never called."""
        try:
            number, digits = _number(request), await _text(request, "digits")
            if not _DIGITS.fullmatch(digits):
                raise _Refused("digits are 0-9, * and #")
        except _Refused as error:
            return problem(400, str(error))
        try:
            return _told(await self._conversation.press(number, digits))
        except NoCall:
            return problem(409, "no call was ever made to this phone")

    async def show_phone(self, request: web.Request) -> web.Response:
        """`GET /_phone/{e164}`: `{url, fallback_url}`, where this phone's replies go."""
        try:
            return answer(asdict(self._phones.urls(_number(request))))
        except _Refused as error:
            return problem(400, str(error))

    async def set_phone(self, request: web.Request) -> web.Response:
        """`PUT /_phone/{e164} {url, fallback_url}`: URLs of its own for one phone."""
        try:
            number, body = _number(request), await _object(request)
            urls = NumberUrls(_url(body, "url"), _url(body, "fallback_url"))
        except _Refused as error:
            return problem(400, str(error))
        self._phones.set_urls(number, urls)
        return answer(asdict(self._phones.urls(number)))

    async def show_faults(self, _request: web.Request) -> web.Response:
        """`GET /_phone/faults`: the fault in force."""
        return answer(_fault(self._faults.current))

    async def set_faults(self, request: web.Request) -> web.Response:
        """`PUT /_phone/faults {mode, ms?, sender?, path?, to?, times?}`: see `Fault`."""
        try:
            fault = read_fault(await _object(request), self._settings.fault_max_ms)
        except (_Refused, ValueError) as error:
            return problem(400, str(error))
        self._faults.set(fault)
        return answer(_fault(fault))

    async def forget(self, _request: web.Request) -> web.Response:
        """`DELETE /_phone`: forget pages, calls, receipts that wait, phones' own URLs and the fault in force."""
        self._phones.forget()
        self._receipts.forget()
        self._faults.set(OK)
        return web.Response(status=204)

    async def auto(self, _request: web.Request) -> web.Response:
        """`GET /_phone/auto`: see `AutoAnswer.report`; 404 without `--auto-answer`."""
        if self._auto is None:
            return problem(404, "this simulator was started without --auto-answer")
        return answer(self._auto.report())


def answer(body: object, status: int = 200) -> web.Response:
    """A JSON answer."""
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


def problem(status: int, detail: str) -> web.Response:
    """A problem+json answer (RFC 9457)."""
    body = {"type": "about:blank", "status": status, "detail": detail}
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/problem+json")


def _told(outcome: Outcome) -> web.Response:
    return answer(asdict(outcome), 200 if outcome.delivered_to is not None else 502)


def _fault(fault: Fault) -> dict[str, Any]:
    return {name: value for name, value in asdict(fault).items() if value is not None}


def _number(request: web.Request) -> str:
    """The phone in the path; a `+` that a client turned into a space, or left out, is put back."""
    number = "+" + request.match_info["e164"].strip().lstrip("+")
    if not _NUMBER.fullmatch(number):
        raise _Refused("a phone is named by its E.164 number, for example +15550100001")
    return number


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise _Refused("the body must be a JSON object")
    return body


async def _text(request: web.Request, name: str) -> str:
    value = (await _object(request)).get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value:
        raise _Refused(f"{name} must be a text that is not empty")
    return value


def _url(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value.startswith(("http://", "https://")):
        raise _Refused(f"{name} must be an http(s) URL")
    return value
