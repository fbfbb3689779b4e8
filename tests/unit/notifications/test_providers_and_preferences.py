"""What phones say by the provider, signed; what patients prefer; what staff can see of messages."""

from collections.abc import AsyncIterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import pytest_asyncio

from services.notifications.domain.keywords import asked
from shared.chassis.application import SYSTEM_CLOCK
from shared.contracts.sessions import SessionScheduled
from shared.contracts.topics import SESSIONS
from shared.time.ids import fresh_id
from tests.unit.notifications.house import DAY_S, PATIENT, event_of
from tests.unit.notifications.service import Running, running, until

SMS, STATUS = "/v1/providers/twilio/sms", "/v1/providers/twilio/status"
PREFERENCES = f"/v1/patients/{PATIENT}/preferences"


@pytest_asyncio.fixture
async def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    async with running(tmp_path, monkeypatch) as here:
        yield here


async def texts(service: Running, body: str, number: str = "+15550199001") -> str:
    told = await service.provider_says(SMS, {"From": number, "Body": body, "MessageSid": fresh_id()})
    assert told.status == 200, told.body
    return "".join(one.text or "" for one in ElementTree.fromstring(told.body.decode()).iter("Message"))


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("STOP", "stop"), (" stop. ", "stop"), ("Unsubscribe", "stop"), ("CANCEL", "stop"), ("end", "stop"), ("QUIT", "stop"),
        ("start", "start"), ("YES", "start"), ("unstop", "start"), ("help", "help"), ("INFO", "help"),
        ("stop it please", "other"), ("", "other"), ("I need help", "other"),
    ],
)  # fmt: skip
def test_the_words_that_carriers_know(body: str, what: str) -> None:
    assert asked(body) == what


async def test_stop_and_start_hold_at_once_and_are_answered(service: Running) -> None:
    assert "no more messages" in await texts(service, "STOP")
    (kept,) = await service.documents("numbers").find({"stopped": True}, limit=5)
    assert "5550199001" not in repr(kept)
    assert "again" in await texts(service, "START")
    assert await service.documents("numbers").find({"stopped": True}, limit=5) == []
    assert "STOP" in await texts(service, "HELP")


@pytest.mark.parametrize("body", ["hello", "STOP texting my sister", "¿Quién es?", ""])
async def test_anything_else_is_answered_with_whom_to_call(service: Running, body: str) -> None:
    said = await texts(service, body)
    assert "911" in said
    assert "988" in said


async def test_a_forged_callback_changes_nothing(service: Running) -> None:
    for path in (SMS, STATUS):
        told = await service.provider_says(path, {"From": "+15550199001", "Body": "STOP"}, auth="another token")
        assert (told.status, told.problem) == (403, "signature-refused")
    assert await service.documents("numbers").find({"stopped": True}, limit=5) == []


async def test_a_receipt_about_nothing_known_is_taken(service: Running) -> None:
    told = await service.provider_says(f"{STATUS}?o=nothing&i=x", {"MessageSid": "SM1", "MessageStatus": "delivered"})
    assert told.status == 204


async def test_preferences_are_told_and_set(service: Running) -> None:
    told = await service.ask("GET", PREFERENCES, role="patient", sub=PATIENT)
    assert told.json == {
        "channels": ["sms", "email"],
        "quiet_hours": {"from": "21:00", "to": "08:00"},
        "lead_minutes": [1440, 60],
        "set": [],
    }
    mine = {"channels": ["email"], "quiet_hours": {"from": "22:00", "to": "09:30"}, "lead_minutes": [30]}
    set_ = await service.ask("PUT", PREFERENCES, mine, role="patient", sub=PATIENT, if_match=told.headers["etag"])
    assert set_.status == 200
    assert set_.json == {**mine, "set": ["channels", "quiet_hours", "lead_minutes"]}
    late = await service.ask("PUT", PREFERENCES, {}, role="patient", sub=PATIENT, if_match=told.headers["etag"])
    assert (late.status, late.problem) == (412, "preferences-moved")


@pytest.mark.parametrize(
    "body", [{"channels": ["pigeon"]}, {"quiet_hours": {"from": "25:00", "to": "08:00"}}, {"lead_minutes": [0]}, {"more": 1}]
)
async def test_preferences_that_make_no_sense_are_refused(service: Running, body: object) -> None:
    assert (await service.ask("PUT", PREFERENCES, body)).problem == "validation"


async def test_nobody_sees_another_patients(service: Running) -> None:
    for path in (PREFERENCES, f"/v1/notifications?patient_id={PATIENT}"):
        assert (await service.ask("GET", path, role="patient", sub="somebody-else")).status == 403


async def test_what_is_to_be_sent_is_told_without_text_and_address(service: Running) -> None:
    await service.enrol(PATIENT)
    now_s = SYSTEM_CLOCK.now_s()
    await service.say(SESSIONS, event_of(SessionScheduled, now_s + 3 * DAY_S, now_s))

    async def planned() -> list[dict[str, object]]:
        told = await service.ask("GET", f"/v1/notifications?patient_id={PATIENT}")
        return list(told.json["items"])

    items = await until(planned)
    assert {one["template"] for one in items} == {"session_reminder"}
    assert {one["state"] for one in items} == {"planned"}
    assert {str(one["about"]) for one in items} == {"{'kind': 'session', 'id': 'session-1'}"}
    assert "5550199001" not in repr(items)
    assert "appointment" not in repr(items)
