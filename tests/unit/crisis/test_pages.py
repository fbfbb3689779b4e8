"""Pages leave in the provider's language, and its refusals mean what they say."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs
from xml.etree import ElementTree as Xml

import aiohttp
import pytest
import pytest_asyncio

from services.crisis.gateways.pages import TwilioPages
from services.crisis.ports import PageRefused
from shared.providers.twilio import TwilioAccount
from shared.time.ids import derived_id
from tests.unit.crisis.lane import Lane
from tests.unit.shared.test_twilio import Answer, Session

FIRST = derived_id("flag", "first")


@pytest_asyncio.fixture
async def session() -> AsyncIterator[Session]:
    yield Session(Answer(201, b'{"sid": "SM1"}'))


def pages(session: Any) -> TwilioPages:
    return TwilioPages("twilio", TwilioAccount("http://provider/", "AC1", "token", "+15550000000"), session, "http://me:1/")


async def test_a_text_carries_its_way_back(session: Session) -> None:
    assert await pages(session).send("sms", "+15550100001", "VIGIL high", FIRST) == "SM1"
    ((url, form),) = session.posts
    assert url == "http://provider/2010-04-01/Accounts/AC1/Messages.json"
    assert form == {
        "To": "+15550100001",
        "From": "+15550000000",
        "Body": "VIGIL high",
        "StatusCallback": f"http://me:1/v1/providers/twilio/status?f={FIRST}",
    }


async def test_a_call_speaks_the_text_and_asks_for_a_key(session: Session) -> None:
    await pages(session).send("voice", "+15550100001", "VIGIL <high> & more", FIRST)
    ((url, form),) = session.posts
    assert url.endswith("/Calls.json")
    spoken = Xml.fromstring(form["Twiml"])
    gather = spoken.find("Gather")
    assert gather is not None
    assert gather.get("action") == f"http://me:1/v1/providers/twilio/voice?f={FIRST}"
    assert gather.get("numDigits") == "1"
    assert [said.text for said in spoken.iter("Say")] == ["VIGIL <high> & more. Press 1 to acknowledge.", "VIGIL <high> & more"]


@pytest.mark.parametrize(
    ("answer", "reason", "maybe"),
    [
        (Answer(500, b""), "status_500", False),
        (Answer(fails=aiohttp.ServerDisconnectedError()), "reset", True),
    ],
)
async def test_refusals_keep_what_they_mean(answer: Answer, reason: str, maybe: bool) -> None:
    with pytest.raises(PageRefused) as raised:
        await pages(Session(answer)).send("sms", "+15550100001", "VIGIL high", FIRST)
    assert (raised.value.reason, raised.value.maybe) == (reason, maybe)


async def test_a_page_has_no_patient_in_it() -> None:
    lane = Lane()
    await lane.flagged(lane.flag(patient="Maria-Example-1970"))
    ((channel, address, text),) = lane.phone.pages
    assert (channel, address) == ("sms", "+15550100001")
    assert text.startswith("VIGIL high - ")
    assert "Maria" not in text
    assert parse_qs(text) == {}
    await lane.end()
