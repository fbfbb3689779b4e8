"""The simulator as the product's sender sees it: Twilio's API, its receipts, its faults."""

import asyncio
import base64
import re
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
import pytest_asyncio
from aiohttp import ClientConnectionError, ClientSession

from tests.support.device import Phone
from tests.support.phone_process import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    OUR_NUMBER,
    PAGE_TEXT,
    PhoneProcess,
    Receiver,
    message,
    phone_process,
    provider_session,
)

CLINICIAN = "+15550100001"
OTHER = "+15550100002"


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PhoneProcess]:
    folder: Path = tmp_path_factory.mktemp("phone")
    with phone_process(folder, "--receipt-delay-ms", "5") as process:
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


async def counted(simulator: PhoneProcess, sample: str) -> float:
    """The value of one sample of `/metrics`; 0 when it has not been counted yet."""
    async with ClientSession() as session, session.get(f"{simulator.url}/metrics") as answer:
        found = re.search(rf"^{re.escape(sample)} ([0-9.e+]+)$", await answer.text(), re.MULTILINE)
    return float(found[1]) if found else 0.0


async def all_receipts_sent(phone: Phone, simulator: PhoneProcess) -> None:
    """Wait until no status callback waits or is under way."""
    async with asyncio.timeout(10):
        while await counted(simulator, "phone_receipts_pending"):
            await phone.items(None, after=10**15, wait_s=0.05)


@pytest.mark.asyncio
async def test_a_message_is_answered_as_twilio_does_and_stands_on_the_phone(
    simulator: PhoneProcess, phone: Phone, sender: ClientSession
) -> None:
    async with sender.post(simulator.account("Messages"), data=message(CLINICIAN)) as answer:
        told = await answer.json()
        assert answer.status == 201
    assert re.fullmatch(r"SM[0-9a-f]{32}", told["sid"])
    assert (told["status"], told["to"], told["from"], told["account_sid"]) == ("queued", CLINICIAN, OUR_NUMBER, ACCOUNT_SID)
    assert told["uri"] == f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/{told['sid']}.json"

    page = await phone.device(CLINICIAN).expect_page(within_s=1, channel="sms")
    assert (page.page_id, page.body, page.level, page.code, page.ack_by) == (told["sid"], PAGE_TEXT, "high", "K7Q0M2", "12:30")
    assert page.link == "http://127.0.0.1:8103/a/t0k3n"
    assert page.segments == 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", page.at)
    assert [one.page_id for one in await phone.pages()] == [told["sid"]]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("auth_token", "sid", "status", "code"),
    [
        (None, ACCOUNT_SID, 401, 20003),
        ("another token", ACCOUNT_SID, 401, 20003),
        (AUTH_TOKEN, "AC-another", 404, 20404),
    ],
)
async def test_another_account_is_refused(
    simulator: PhoneProcess, phone: Phone, auth_token: str | None, sid: str, status: int, code: int
) -> None:
    async with (
        provider_session(auth_token) as session,
        session.post(simulator.account("Messages", sid), data=message(CLINICIAN)) as answer,
    ):
        told = await answer.json()
        assert (answer.status, told["code"], told["status"]) == (status, code, status)
    assert await phone.pages() == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("resource", "form", "code"),
    [
        ("Messages", {"From": OUR_NUMBER, "Body": "text"}, 21604),
        ("Messages", {"To": CLINICIAN, "From": OUR_NUMBER}, 21602),
        ("Messages", {"To": "5550100001", "From": OUR_NUMBER, "Body": "text"}, 21211),
        ("Messages", {"To": CLINICIAN, "Body": "text"}, 21603),
        ("Messages", {"To": CLINICIAN, "From": OUR_NUMBER, "Body": "x" * 1601}, 21617),
        ("Messages", {"To": CLINICIAN, "From": OUR_NUMBER, "Body": "text", "StatusCallback": "nowhere"}, 21609),
        ("Calls", {"From": OUR_NUMBER, "Twiml": "<Response/>"}, 21201),
        ("Calls", {"To": CLINICIAN, "Twiml": "<Response/>"}, 21213),
        ("Calls", {"To": CLINICIAN, "From": OUR_NUMBER}, 21205),
    ],
)
async def test_a_form_that_lacks_something_is_refused_by_twilios_code(
    simulator: PhoneProcess, phone: Phone, sender: ClientSession, resource: str, form: dict[str, str], code: int
) -> None:
    async with sender.post(simulator.account(resource), data=form) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, code)
    assert await phone.pages() == []


@pytest.mark.asyncio
async def test_the_receipt_is_signed_and_goes_to_the_url_of_its_message(
    simulator: PhoneProcess, phone: Phone, sender: ClientSession
) -> None:
    async with Receiver() as receiver:
        callback = f"{receiver.url}/status?replica=2&note=a%20b"
        async with sender.post(simulator.account("Messages"), data=message(CLINICIAN, StatusCallback=callback)) as answer:
            sid = (await answer.json())["sid"]
        receipt = await receiver.expect("/status", MessageSid=sid)
    assert receipt.form["MessageStatus"] == "delivered"
    assert (receipt.form["To"], receipt.form["From"], receipt.form["AccountSid"]) == (CLINICIAN, OUR_NUMBER, ACCOUNT_SID)
    assert receiver.forged == []


@pytest.mark.asyncio
async def test_a_failed_receipt_is_tried_again_and_a_refused_one_is_not(
    simulator: PhoneProcess, phone: Phone, sender: ClientSession
) -> None:
    async with Receiver() as receiver:
        receiver.answers["/tired"] = [(503, "", "text/plain"), (500, "", "text/plain"), (200, "", "text/plain")]
        receiver.answers["/refuses"] = [(400, "", "text/plain")]
        taken = await counted(simulator, 'phone_receipts_total{outcome="taken"}')
        refused = await counted(simulator, 'phone_receipts_total{outcome="refused"}')
        for path in ("/tired", "/refuses"):
            await sender.post(simulator.account("Messages"), data=message(CLINICIAN, StatusCallback=receiver.url + path))
        await all_receipts_sent(phone, simulator)
        assert await counted(simulator, 'phone_receipts_total{outcome="taken"}') == taken + 1
        assert await counted(simulator, 'phone_receipts_total{outcome="refused"}') == refused + 1
        assert (len(receiver.at("/tired")), len(receiver.at("/refuses"))) == (3, 1)


@pytest.mark.asyncio
async def test_a_frozen_receiver_does_not_hold_up_the_receipts_of_another(
    simulator: PhoneProcess, phone: Phone, sender: ClientSession
) -> None:
    async with Receiver() as frozen, Receiver() as alive:
        frozen.frozen.add("/status")
        for _ in range(12):
            await sender.post(simulator.account("Messages"), data=message(CLINICIAN, StatusCallback=frozen.url + "/status"))
        await frozen.expect("/status")
        await sender.post(simulator.account("Messages"), data=message(OTHER, StatusCallback=alive.url + "/status"))
        await alive.expect("/status", within_s=5, To=OTHER)


@pytest.mark.asyncio
async def test_without_receipts_the_page_comes_and_nothing_confirms_it(
    simulator: PhoneProcess, phone: Phone, sender: ClientSession
) -> None:
    async with Receiver() as receiver:
        await phone.break_down("no_receipt")
        form = message(CLINICIAN, StatusCallback=receiver.url + "/status")
        async with sender.post(simulator.account("Messages"), data=form) as answer:
            assert answer.status == 201
        await phone.device(CLINICIAN).expect_page(within_s=1)
        await phone.mend()
        await sender.post(simulator.account("Messages"), data=message(OTHER, StatusCallback=receiver.url + "/status"))
        await receiver.expect("/status", To=OTHER)
        await all_receipts_sent(phone, simulator)
        assert [received.form["To"] for received in receiver.received] == [OTHER]


@pytest.mark.asyncio
async def test_an_undelivered_page_is_accepted_and_its_receipt_says_so(
    simulator: PhoneProcess, phone: Phone, sender: ClientSession
) -> None:
    async with Receiver() as receiver:
        await phone.break_down("undelivered")
        callback = receiver.url + "/status"
        async with sender.post(simulator.account("Messages"), data=message(CLINICIAN, StatusCallback=callback)) as answer:
            assert answer.status == 201
        call = {"To": CLINICIAN, "From": OUR_NUMBER, "Twiml": "<Response/>", "StatusCallback": callback}
        async with sender.post(simulator.account("Calls"), data=call) as answer:
            assert answer.status == 201
        receipt = await receiver.expect("/status", MessageStatus="undelivered")
        await receiver.expect("/status", CallStatus="no-answer")
    assert receipt.form["ErrorCode"] == "30003"
    assert await phone.pages() == []


@pytest.mark.asyncio
@pytest.mark.parametrize(("mode", "status", "code"), [("500", 500, 20500), ("429", 429, 20429)])
async def test_an_error_status_accepts_nothing(
    simulator: PhoneProcess, phone: Phone, sender: ClientSession, mode: str, status: int, code: int
) -> None:
    await phone.break_down(mode, ms=20)
    for resource in ("Messages", "Calls"):
        async with sender.post(simulator.account(resource), data=message(CLINICIAN, Twiml="<Response/>")) as answer:
            assert (answer.status, (await answer.json())["code"]) == (status, code)
    assert await phone.pages() == []
    await phone.mend()
    async with sender.post(simulator.account("Messages"), data=message(CLINICIAN)) as answer:
        assert answer.status == 201


@pytest.mark.asyncio
async def test_a_hang_gives_no_answer_and_ends_with_a_dropped_connection(simulator: PhoneProcess, phone: Phone) -> None:
    await phone.break_down("hang")
    async with provider_session(timeout_s=0.3) as impatient:
        with pytest.raises(TimeoutError):
            await impatient.post(simulator.account("Messages"), data=message(CLINICIAN))
    await phone.break_down("hang", ms=50)
    async with provider_session() as patient:
        with pytest.raises(ClientConnectionError):
            await patient.post(simulator.account("Messages"), data=message(CLINICIAN))
    assert await phone.pages() == []


@pytest.mark.asyncio
async def test_reset_after_accept_puts_the_page_on_the_phone_and_resets_the_connection(
    simulator: PhoneProcess, phone: Phone
) -> None:
    await phone.break_down("reset_after_accept")
    endpoint = urlsplit(simulator.account("Messages"))
    body = urlencode(message(CLINICIAN))
    credentials = base64.b64encode(f"{ACCOUNT_SID}:{AUTH_TOKEN}".encode()).decode()
    head = f"POST {endpoint.path} HTTP/1.1\r\nHost: {endpoint.netloc}\r\nAuthorization: Basic {credentials}\r\n"
    head += f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"

    def send() -> bytes:
        with socket.create_connection((endpoint.hostname, endpoint.port or 80), timeout=10) as connection:
            connection.sendall((head + body).encode())
            return connection.recv(1024)

    # An orderly close would give b"" here.
    with pytest.raises(ConnectionResetError):
        await asyncio.to_thread(send)
    await phone.device(CLINICIAN).expect_page(within_s=1)


@pytest.mark.asyncio
async def test_a_slow_answer_leaves_the_page_on_the_phone_at_once(
    simulator: PhoneProcess, phone: Phone, sender: ClientSession
) -> None:
    await phone.break_down("ok", ms=60_000)
    request = asyncio.create_task(sender.post(simulator.account("Messages"), data=message(CLINICIAN)))
    await phone.device(CLINICIAN).expect_page(within_s=5)
    assert not request.done()
    await phone.mend()
    assert (await request).status == 201


@pytest.mark.asyncio
async def test_a_fault_can_be_meant_for_some_requests_only(
    simulator: PhoneProcess, phone: Phone, sender: ClientSession
) -> None:
    async def status(resource: str, **fields: str) -> int:
        async with sender.post(simulator.account(resource), data=message(CLINICIAN, Twiml="<Response/>", **fields)) as answer:
            return answer.status

    await phone.break_down("500", path="Messages")
    assert [await status("Messages"), await status("Calls")] == [500, 201]
    await phone.break_down("500", sender="http://127.0.0.1:8103")
    assert await status("Messages", StatusCallback="http://127.0.0.1:8103/status") == 500
    assert await status("Messages", StatusCallback="http://127.0.0.1:8113/status") == 201
    await phone.break_down("429", times=2)
    assert [await status("Messages") for _ in range(3)] == [429, 429, 201]
    await phone.break_down("429", to=OTHER)
    assert await status("Messages") == 201
