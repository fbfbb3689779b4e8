"""What a provider's answer means: accepted, certainly not, or perhaps."""

import asyncio
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import parse_qs
from xml.etree import ElementTree as Xml

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from twilio.request_validator import RequestValidator

from shared.providers.refusal import ProviderRefused
from shared.providers.twilio import SignatureCheck, Twilio, TwilioAccount, answer, spoken, spoken_answer


class Answer:
    """One answer of the provider: a status and a body, or a way to fail before or within it."""

    def __init__(
        self,
        status: int = 201,
        body: bytes = b"",
        *,
        fails: BaseException | None = None,
        breaks_off: BaseException | None = None,
    ) -> None:
        self.status = status
        self._body = body
        self._fails = fails
        self._breaks_off = breaks_off

    async def __aenter__(self) -> Self:
        if self._fails is not None:
            raise self._fails
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def read(self) -> bytes:
        if self._breaks_off is not None:
            raise self._breaks_off
        return self._body


class Session:
    """aiohttp's session as far as it is used."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.posts: list[tuple[str, dict[str, str]]] = []
        self.options: dict[str, Any] = {}

    def post(self, url: str, *, data: bytes, **options: Any) -> Answer:
        self.posts.append((url, {name: values[0] for name, values in parse_qs(data.decode()).items()}))
        self.options = options
        return self._answer


def sent(told: Answer) -> "asyncio.Future[str]":
    account = TwilioAccount("http://provider", "AC1", "token")
    twilio = Twilio(account, cast(aiohttp.ClientSession, Session(told)))
    return asyncio.ensure_future(twilio.message("+15550100001", "text", "http://me/status"))


REFUSED = OSError(111, "refused")
KEY = cast(ConnectionKey, None)


@pytest.mark.parametrize(
    ("told", "sid"),
    [
        (Answer(201, b'{"sid": "SM1"}'), "SM1"),
        (Answer(200, b'{"sid": "SM1"}'), "SM1"),
        (Answer(202, b""), ""),
        (Answer(201, b"<html>"), ""),
        (Answer(201, b"[]"), ""),
        (Answer(201, b'{"id": 1}'), ""),
        (Answer(201, breaks_off=aiohttp.ClientPayloadError()), ""),
        (Answer(201, breaks_off=ConnectionResetError()), ""),
    ],
)
async def test_accepted_is_accepted(told: Answer, sid: str) -> None:
    assert await sent(told) == sid


@pytest.mark.parametrize(
    ("told", "reason", "maybe"),
    [
        (Answer(400), "status_400", False),
        (Answer(401), "status_401", False),
        (Answer(429), "status_429", False),
        (Answer(500), "status_500", False),
        (Answer(503), "status_503", False),
        (Answer(302, b'{"sid": "SM1"}'), "status_302", False),
        (Answer(fails=aiohttp.ClientConnectorError(KEY, REFUSED)), "unreachable", False),
        (Answer(fails=aiohttp.ConnectionTimeoutError()), "unreachable", False),
        (Answer(fails=aiohttp.ServerDisconnectedError()), "reset", True),
        (Answer(fails=aiohttp.ClientOSError(104, "reset")), "reset", True),
        (Answer(fails=aiohttp.ServerTimeoutError()), "reset", True),
        (Answer(fails=ConnectionResetError()), "reset", True),
    ],
)
async def test_an_error_status_never_rang_and_a_broken_line_may_have(told: Answer, reason: str, maybe: bool) -> None:
    with pytest.raises(ProviderRefused) as raised:
        await sent(told)
    assert (raised.value.reason, raised.value.maybe) == (reason, maybe)


async def test_a_redirect_is_not_followed_into_a_page_that_never_was() -> None:
    session = Session(Answer(201, b'{"sid": "SM1"}'))
    await Twilio(TwilioAccount("http://provider", "AC1", "token"), cast(aiohttp.ClientSession, session)).message("+1", "t", "u")
    assert session.options["allow_redirects"] is False
    assert session.options["headers"]["Authorization"].startswith("Basic ")


@pytest.mark.parametrize("text", ["plain", 'a "quoted" <tag> & more', "umlaut äöü"])
def test_twiml_says_exactly_the_text(text: str) -> None:
    assert [said.text for said in Xml.fromstring(answer(text)).iter("Message")] == [text]
    assert [said.text for said in Xml.fromstring(spoken_answer(text)).iter("Say")] == [text]
    gather = Xml.fromstring(spoken(text, "http://me/voice?f=1&g=2")).find("Gather")
    assert gather is not None
    assert gather.get("action") == "http://me/voice?f=1&g=2"
    assert list(Xml.fromstring(answer(None))) == []


def test_a_signature_holds_for_its_own_url_and_form_only() -> None:
    check, form = SignatureCheck("token"), {"From": "+1", "Body": "1"}
    signature = RequestValidator("token").compute_signature("http://me/sms", form)
    assert check.holds("http://me/sms", form, signature)
    assert not check.holds("http://me/sms", {**form, "Body": "2"}, signature)
    assert not check.holds("http://you/sms", form, signature)
    assert not SignatureCheck("other").holds("http://me/sms", form, signature)
    assert not check.holds("http://me/sms", form, None)
    assert not check.holds("http://me/sms", form, "")
