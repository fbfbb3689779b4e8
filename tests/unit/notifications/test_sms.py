"""What Twilio is told of a message, and what its refusals mean."""

from typing import Any, cast
from urllib.parse import parse_qsl

import aiohttp
import orjson
import pytest

from services.notifications.domain.provider_codes import of_mail, of_receipt
from services.notifications.domain.verdict import Text
from services.notifications.gateways.sms import VALID_MAX_S, TwilioSender
from services.notifications.ports import NotSent
from shared.providers.twilio import TwilioAccount
from shared.security.phi import PatientPhone


class Answer:
    """One answer of the provider."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        self.status = status
        self._body = body

    async def read(self) -> bytes:
        return orjson.dumps(self._body)

    async def __aenter__(self) -> "Answer":
        return self

    async def __aexit__(self, *_error: object) -> None:
        return


class Session:
    """Keeps what was posted."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.form: dict[str, str] = {}

    def post(self, _url: str, *, data: bytes, **_options: Any) -> Answer:
        self.form = dict(parse_qsl(data.decode()))
        return self._answer


async def send(answer: Answer, valid_s: float = 600.0) -> tuple[str, dict[str, str]]:
    session = Session(answer)
    sender = TwilioSender(
        TwilioAccount("http://provider", "AC1", "token", "+15550000001"), cast(aiohttp.ClientSession, session)
    )
    told = await sender.send(PatientPhone("+15550199001"), Text("Hello"), "n1", "http://me/status?o=1", valid_s)
    return told, session.form


@pytest.mark.parametrize(("valid_s", "told"), [(600.4, "600"), (0.2, "1"), (10**6, str(VALID_MAX_S))])
async def test_nobody_delivers_it_after_its_window(valid_s: float, told: str) -> None:
    provider_id, form = await send(Answer(201, {"sid": "SM1"}), valid_s)
    assert provider_id == "SM1"
    assert form == {
        "To": "+15550199001",
        "From": "+15550000001",
        "Body": "Hello",
        "StatusCallback": "http://me/status?o=1",
        "ValidityPeriod": told,
    }


@pytest.mark.parametrize(
    ("status", "code", "fate"),
    [
        (400, 21211, "dead"), (400, 21610, "stopped"), (400, 21614, "dead"), (400, 30007, "refused"), (400, 1, "refused"),
        (401, 20003, "retry"), (404, 20404, "retry"), (429, 20429, "retry"), (500, None, "retry"), (503, None, "retry"),
    ],
)  # fmt: skip
async def test_what_a_refusal_means(status: int, code: int | None, fate: str) -> None:
    with pytest.raises(NotSent) as refused:
        await send(Answer(status, {} if code is None else {"code": code}))
    assert (refused.value.fate, refused.value.maybe) == (fate, False)
    assert refused.value.code == (f"status_{status}" if code is None else str(code))


def test_receipts_and_mailboxes() -> None:
    assert [of_receipt(code).fate for code in (30003, 30005, 30006, 30008, None)] == ["dead"] * 3 + ["refused"] * 2
    assert of_receipt(30003).rest_s is not None
    assert of_receipt(30005).rest_s is None
    assert [of_mail(status).fate for status in (550, 554, 451, None)] == ["dead", "refused", "retry", "retry"]
