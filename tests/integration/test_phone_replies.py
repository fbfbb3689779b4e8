"""The simulator as a person uses it: replies, calls, key presses, and where they go when a receiver is dead."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import ClientSession

from tests.support.device import Phone
from tests.support.phone_process import (
    ACCOUNT_SID,
    OUR_NUMBER,
    PhoneProcess,
    Receiver,
    message,
    phone_process,
    provider_session,
)

CLINICIAN = "+15550100001"
ANSWER = '<?xml version="1.0" encoding="UTF-8"?><Response><Message>{}</Message></Response>'
ASK = '<Response><Gather numDigits="1" action="{}"><Say>VIGIL high. Code K 7 Q 0 M 2.</Say><Say>Press 1.</Say></Gather></Response>'


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PhoneProcess]:
    folder: Path = tmp_path_factory.mktemp("phone")
    with phone_process(folder, "--receipt-delay-ms", "5", "--reply-timeout-s", "3", "--call-hold-ms", "60000") as process:
        yield process


@pytest_asyncio.fixture
async def phone(simulator: PhoneProcess) -> AsyncIterator[Phone]:
    async with Phone(simulator.url) as phone:
        await phone.forget()
        yield phone


@pytest_asyncio.fixture
async def sender(simulator: PhoneProcess) -> AsyncIterator[ClientSession]:
    async with provider_session() as session:
        yield session


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest_asyncio.fixture
async def fallback() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest.mark.asyncio
async def test_a_reply_is_signed_comes_from_the_phone_and_its_answer_appears_there(
    simulator: PhoneProcess, phone: Phone, sender: ClientSession, receiver: Receiver
) -> None:
    receiver.answers["/sms"] = [(200, ANSWER.format("Acknowledged K7Q0M2 &amp; thanks"), "text/xml")]
    device = phone.device(CLINICIAN)
    await device.use_urls(receiver.url + "/sms")
    await sender.post(simulator.account("Messages"), data={**message(CLINICIAN), "From": "+15005550099"})
    told = await device.reply("1")
    assert (told["status"], told["delivered_to"], told["answers"]) == (
        200,
        receiver.url + "/sms",
        ["Acknowledged K7Q0M2 & thanks"],
    )
    assert await device.expect_answer(containing="K7Q0M2", channel="sms") == "Acknowledged K7Q0M2 & thanks"
    form = receiver.at("/sms")[0].form
    # To is our number: the one that paged this phone.
    assert (form["From"], form["To"], form["Body"], form["AccountSid"]) == (CLINICIAN, "+15005550099", "1", ACCOUNT_SID)
    assert form["MessageSid"].startswith("SM")
    assert receiver.forged == []
    answer = (await phone.items(CLINICIAN))[-1]
    assert (answer["kind"], answer["channel"], "page_id" in answer) == ("answer", "sms", False)
    assert len(await phone.pages()) == 1


@pytest.mark.asyncio
async def test_a_reply_goes_to_the_fallback_when_the_first_receiver_is_dead(
    phone: Phone, receiver: Receiver, fallback: Receiver
) -> None:
    fallback.answers["/b"] = [(200, ANSWER.format("taken here"), "text/xml")]
    await receiver.stop()
    await phone.device(CLINICIAN).use_urls(receiver.url + "/a", fallback.url + "/b")
    told = await phone.device(CLINICIAN).reply("K7Q0M2")
    assert (told["delivered_to"], told["answers"]) == (fallback.url + "/b", ["taken here"])
    form = fallback.at("/b")[0].form
    assert (form["Body"], form["ErrorCode"], form["ErrorUrl"]) == ("K7Q0M2", "11205", receiver.url + "/a")
    assert fallback.forged == []


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [500, 503, 403])
async def test_a_reply_goes_to_the_fallback_when_the_first_receiver_says_no(
    phone: Phone, receiver: Receiver, fallback: Receiver, status: int
) -> None:
    receiver.answers["/a"] = [(status, "", "text/plain")]
    await phone.device(CLINICIAN).use_urls(receiver.url + "/a", fallback.url + "/b")
    told = await phone.device(CLINICIAN).reply("1")
    assert told["delivered_to"] == fallback.url + "/b"
    assert [attempt["status"] for attempt in told["attempts"]] == [status, 200]
    assert fallback.at("/b")[0].form["ErrorCode"] == "11200"


@pytest.mark.asyncio
async def test_a_reply_goes_to_the_fallback_when_the_first_receiver_is_frozen(
    phone: Phone, receiver: Receiver, fallback: Receiver
) -> None:
    receiver.frozen.add("/a")
    await phone.device(CLINICIAN).use_urls(receiver.url + "/a", fallback.url + "/b")
    assert (await phone.device(CLINICIAN).reply("1"))["delivered_to"] == fallback.url + "/b"


@pytest.mark.asyncio
async def test_a_reply_that_nobody_takes_says_so(phone: Phone, receiver: Receiver) -> None:
    await receiver.stop()
    await phone.device(CLINICIAN).use_urls(receiver.url + "/a", receiver.url + "/b")
    status, told = await phone.call("POST", f"/_phone/{CLINICIAN}/reply", {"body": "1"})
    assert (status, told["status"], told["delivered_to"], len(told["attempts"])) == (502, None, None, 2)
    with pytest.raises(AssertionError, match="reached nobody"):
        await phone.device(CLINICIAN).reply("1")


@pytest.mark.asyncio
async def test_a_2xx_that_is_no_twiml_is_delivered_once_and_marked(
    phone: Phone, receiver: Receiver, fallback: Receiver
) -> None:
    receiver.answers["/a"] = [(200, "<html>", "text/html")]
    await phone.device(CLINICIAN).use_urls(receiver.url + "/a", fallback.url + "/b")
    told = await phone.device(CLINICIAN).reply("1")
    assert (told["delivered_to"], told["answers"], told["error"]) == (receiver.url + "/a", [], 12100)
    assert fallback.received == []


@pytest.mark.asyncio
async def test_a_call_says_its_text_and_tells_its_progress(
    simulator: PhoneProcess, phone: Phone, sender: ClientSession, receiver: Receiver
) -> None:
    form = [
        ("To", CLINICIAN),
        ("From", OUR_NUMBER),
        ("Twiml", ASK.format(receiver.url + "/voice")),
        ("StatusCallback", receiver.url + "/status"),
    ]
    form += [("StatusCallbackEvent", event) for event in ("initiated", "ringing", "answered", "completed")]
    async with sender.post(simulator.account("Calls"), data=form) as answer:
        told = await answer.json()
        assert (answer.status, told["status"], told["sid"][:2]) == (201, "queued", "CA")
    page = await phone.device(CLINICIAN).expect_page(within_s=5, channel="voice")
    assert (page.body, page.level, page.code) == ("VIGIL high. Code K 7 Q 0 M 2. Press 1.", "high", "K7Q0M2")
    assert page.page_id == told["sid"]
    for status in ("initiated", "ringing", "in-progress"):
        receipt = await receiver.expect("/status", CallSid=told["sid"], CallStatus=status)
        assert (receipt.form["To"], receipt.form["From"], receipt.form["Direction"]) == (CLINICIAN, OUR_NUMBER, "outbound-api")
    await phone.device(CLINICIAN).press("1")
    await receiver.expect("/status", CallSid=told["sid"], CallStatus="completed")
    assert receiver.forged == []


@pytest.mark.asyncio
async def test_keys_go_to_the_gathers_action_and_the_answer_is_heard(
    simulator: PhoneProcess, phone: Phone, sender: ClientSession, receiver: Receiver
) -> None:
    receiver.answers["/voice"] = [(200, "<Response><Say>You have it.</Say><Hangup/></Response>", "text/xml")]
    twiml = ASK.format(receiver.url + "/voice?case=7&amp;step=1")
    await sender.post(simulator.account("Calls"), data={"To": CLINICIAN, "From": OUR_NUMBER, "Twiml": twiml})
    device = phone.device(CLINICIAN)
    page = await device.expect_page(within_s=5)
    told = await device.press("1")
    assert (told["delivered_to"], told["answers"]) == (receiver.url + "/voice?case=7&step=1", ["You have it."])
    assert await device.expect_answer(channel="voice") == "You have it."
    form = receiver.at("/voice")[0].form
    assert (form["Digits"], form["CallSid"], form["To"], form["From"]) == ("1", page.page_id, CLINICIAN, OUR_NUMBER)
    assert form["CallStatus"] == "in-progress"


@pytest.mark.asyncio
async def test_keys_go_to_the_fallback_when_the_action_is_dead(
    simulator: PhoneProcess, phone: Phone, sender: ClientSession, receiver: Receiver, fallback: Receiver
) -> None:
    await receiver.stop()
    device = phone.device(CLINICIAN)
    await device.use_urls(receiver.url + "/providers/sms", fallback.url + "/providers/sms")
    call = {"To": CLINICIAN, "From": OUR_NUMBER, "Twiml": ASK.format(receiver.url + "/providers/voice")}
    await sender.post(simulator.account("Calls"), data=call)
    await device.expect_page(within_s=5)
    # A number has one URL here: its .../sms stands for .../voice when keys are pressed.
    assert (await device.press("1"))["delivered_to"] == fallback.url + "/providers/voice"


@pytest.mark.asyncio
async def test_keys_without_a_gather_go_to_the_numbers_url(
    simulator: PhoneProcess, phone: Phone, sender: ClientSession, receiver: Receiver
) -> None:
    device = phone.device(CLINICIAN)
    await device.use_urls(receiver.url + "/hook")
    await sender.post(
        simulator.account("Calls"), data={"To": CLINICIAN, "From": OUR_NUMBER, "Twiml": "<Response><Say>Hi</Say></Response>"}
    )
    await device.expect_page(within_s=5)
    await device.press("12#")
    assert receiver.at("/hook")[0].form["Digits"] == "12#"


@pytest.mark.asyncio
async def test_a_call_by_url_fetches_its_twiml_signed(
    simulator: PhoneProcess, phone: Phone, sender: ClientSession, receiver: Receiver
) -> None:
    receiver.answers["/twiml"] = [(200, ASK.format("voice"), "text/xml")]
    await sender.post(simulator.account("Calls"), data={"To": CLINICIAN, "From": OUR_NUMBER, "Url": receiver.url + "/twiml"})
    device = phone.device(CLINICIAN)
    page = await device.expect_page(within_s=5, channel="voice")
    assert (page.code, receiver.at("/twiml")[0].form["CallSid"]) == ("K7Q0M2", page.page_id)
    assert (await device.press("1"))["delivered_to"] == receiver.url + "/voice"


@pytest.mark.asyncio
async def test_a_call_whose_twiml_is_broken_is_heard_as_an_error(
    simulator: PhoneProcess, phone: Phone, sender: ClientSession
) -> None:
    await sender.post(simulator.account("Calls"), data={"To": CLINICIAN, "From": OUR_NUMBER, "Twiml": "<Response><Say>"})
    page = await phone.device(CLINICIAN).expect_page(within_s=5, containing="application error")
    assert page.code is None
    assert (await phone.items(CLINICIAN))[0]["error"] == 12100


@pytest.mark.asyncio
async def test_control_requests_that_make_no_sense_are_refused(phone: Phone) -> None:
    for method, path, body, status in (
        ("POST", f"/_phone/{CLINICIAN}/press", {"digits": "1"}, 409),
        ("POST", f"/_phone/{CLINICIAN}/press", {"digits": "one"}, 400),
        ("POST", f"/_phone/{CLINICIAN}/reply", {"body": "1"}, 400),
        ("POST", f"/_phone/{CLINICIAN}/reply", {}, 400),
        ("POST", f"/_phone/{CLINICIAN}/reply", ["1"], 400),
        ("PUT", f"/_phone/{CLINICIAN}", {"url": "nowhere"}, 400),
        ("GET", "/_phone/nobody/pages", None, 400),
        ("GET", "/_phone/pages?after=x", None, 400),
        ("GET", "/_phone/pages?wait_ms=99999999", None, 400),
        ("PUT", "/_phone/faults", {"mode": "on fire"}, 400),
        ("PUT", "/_phone/faults", {"mode": "hang", "ms": -1}, 400),
        ("PUT", "/_phone/faults", {"mode": "500", "times": 0}, 400),
        ("PUT", "/_phone/faults", {"mode": "500", "path": "Faxes"}, 400),
        ("GET", "/_phone/auto", None, 404),
    ):
        answered, told = await phone.call(method, path, body)
        assert (answered, told["status"]) == (status, status), (method, path, told)
