"""A patient presses for help, with no form at all: somebody is paged, whatever came with the press and whatever is dead."""

from typing import Any

import aiohttp
import pytest

from deploy.local.stack import MONGOD
from shared.time.ids import fresh_id
from tests.support.clinic import FIRST_PAGE_S, HEARD_S, Answer, Clinic, Patient
from tests.support.faults import DEAD_STORE
from tests.support.stack import StackFactory

BACK_S = 20.0


async def presses(
    clinic: Clinic, patient: Patient, body: bytes = b"", *, replica: int = 0, key: str | None = None, level: str = "high"
) -> Answer:
    """The patient presses; what the phone app is told."""
    headers = {"Authorization": f"Bearer {clinic.servers.token('patient', patient.patient_id)}"}
    if key is not None:
        headers["Idempotency-Key"] = key
    sent_at_ms = clinic.now_ms()
    url = f"{clinic.servers.url(f'crisis-{replica}')}/v1/sos"
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as response:
        told: dict[str, Any] = await response.json()
    assert response.status == 202, told
    assert told["guidance"]
    flag = {"flag": {"flag_id": told["flag_id"], "level": level}, "guidance": told["guidance"]}
    return clinic.expects(Answer(202, flag, patient=patient, sent_at_ms=sent_at_ms, told_at_ms=clinic.now_ms()))


async def test_the_clinician_on_call_is_paged_and_the_patient_is_told_whom_to_call_in_their_language(clinic: Clinic) -> None:
    patient = await clinic.enrol(locale="es-US", track="veterans")

    async def known() -> bool:
        # Crisis hears of the enrolment within moments; until then a press is answered in both languages.
        return str((await presses(clinic, patient, key="one")).guidance[0]["text_to"]) == "838255"

    pressed = await presses(clinic, patient, key="one")
    for channel in ("sms", "voice"):
        page = await clinic.ana.is_paged(pressed, channel, level="high")
        assert clinic.since_ms(pressed, page) < clinic.step_s * 1000
    assert pressed.guidance[0]["phone"] == "988"
    await clinic.eventually(known, HEARD_S, "the veterans' line is told")
    spanish = (await presses(clinic, patient, key="one")).guidance
    assert spanish[0]["label"].startswith("Línea de Crisis para Veteranos")
    await clinic.both_hold(patient, pressed)
    await clinic.ana.replies(pressed.code)
    await clinic.both_see(patient, owner="ana", state="owned", level="high")


@pytest.mark.parametrize(
    "body", [b"aaaaaaah", b'{"patient_id": 7, "text_code": [', b"x" * 300_000], ids=["words", "broken", "large"]
)
async def test_a_press_that_nobody_can_read_pages_too(clinic: Clinic, body: bytes) -> None:
    patient = await clinic.enrol()
    pressed = await presses(clinic, patient, body, replica=1)
    for channel in ("sms", "voice"):
        await clinic.ana.is_paged(pressed, channel, level="high")
    await clinic.ana.replies(pressed.code)
    await clinic.both_see(patient, owner="ana")


async def test_danger_now_is_imminent_and_a_second_press_with_the_same_key_is_the_same_flag(clinic: Clinic) -> None:
    patient = await clinic.enrol()
    nobody = await clinic.call("POST", f"{clinic.servers.url('crisis-0')}/v1/sos", {"text_code": "danger_now"})
    assert (nobody.status, nobody.body["guidance"][0]["phone"]) == (401, "988"), "without a token: whom to call, and no page"
    first = await presses(clinic, patient, b'{"text_code": "danger_now"}', key="k", level="imminent")
    for channel in ("sms", "voice"):
        await clinic.ana.is_paged(first, channel, level="imminent")
    again = await presses(clinic, patient, b'{"text_code": "danger_now"}', key="k", replica=1, level="imminent")
    assert again.flag_id == first.flag_id
    await clinic.ana.replies(first.code)
    await clinic.both_see(patient, owner="ana", level="imminent")
    await clinic.both_hold(patient, first)


@pytest.mark.real_stack
async def test_with_the_store_dead_a_press_pages_and_the_case_is_in_the_store_when_it_is_back(stack: StackFactory) -> None:
    running = await stack(profile="test", own_mongo=True)
    running.allow_errors(*DEAD_STORE)
    async with Clinic(running) as clinic:
        patient = Patient(clinic, fresh_id())
        await running.kill(MONGOD)
        pressed = await presses(clinic, patient, b"help")
        for channel in ("sms", "voice"):
            await clinic.ana.is_paged(pressed, channel)
        for channel in ("sms", "voice"):
            await clinic.ben.is_paged(pressed, channel, within_s=clinic.step_s + FIRST_PAGE_S)
        await clinic.ben.has_been_reached(pressed)
        await clinic.ben.replies("1")
        await clinic.both_see(patient, owner="ben", state="owned")
        await running.restart(MONGOD)
        await clinic.both_see(patient, within_s=BACK_S, owner="ben", state="owned")
        await clinic.close_everything()
        await clinic.expect_no_surprises()
