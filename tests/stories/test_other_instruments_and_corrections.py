"""What else can say that somebody is in danger: a screener, a sheet nobody knows, a correction, a form left half way."""

from typing import Any

import pytest

from shared.time.ids import fresh_id
from tests.support.clinic import HEARD_S, Answer, Clinic, Patient

SCREENER = {"q1": True, "q2": True, "q3": False, "q4": False, "q5": False, "q6": False}
QUIET = {f"q{number}": 0 for number in range(1, 10)}


async def _screened(patient: Patient, **answers: bool) -> Answer:
    return await patient.answers_phq9(answers=SCREENER | answers, instrument="cssrs_screener")


async def _tasks(clinic: Clinic, patient: Patient, kind: str) -> list[dict[str, Any]]:
    """The open tasks of a patient, once there is one of this kind."""
    found: list[dict[str, Any]] = []

    async def there() -> bool:
        told = await clinic.intake("GET", f"/v1/tasks?patient_id={patient.patient_id}&status=open")
        found[:] = told.body["items"]
        return any(task["kind"] == kind for task in found)

    await clinic.eventually(there, HEARD_S, lambda: f"a task {kind}; there are {found}")
    return found


@pytest.mark.parametrize(("item", "level"), [("q4", "high"), ("q5", "imminent")])
async def test_a_positive_screener_rings_by_text_and_by_voice(clinic: Clinic, item: str, level: str) -> None:
    patient = await clinic.enrol()
    answer = await _screened(patient, **{item: True})

    assert (answer.status, answer.level) == (201, level)
    assert (answer.body["total"], answer.body["band"]) == (None, "high")
    for channel in ("sms", "voice"):
        await clinic.ana.is_paged(answer, channel, level=level)
    [flag] = (await clinic.case_of(patient))["flags"]
    assert flag["rule"] == f"cssrs_screener.{item}"


async def test_a_screener_broken_off_at_the_gravest_questions_rings(clinic: Clinic) -> None:
    patient = await clinic.enrol()
    answer = await patient.answers_phq9(answers={"q1": True, "q2": True, "q6": False}, instrument="cssrs_screener")

    assert (answer.status, answer.level, answer.body["extra"]["route_as"]) == (201, "high", "high_unconfirmed")
    for channel in ("sms", "voice"):
        await clinic.ana.is_paged(answer, channel, level="high")


async def test_a_version_that_nobody_knows_is_kept_flagged_and_a_task(clinic: Clinic) -> None:
    patient = await clinic.enrol()
    answer = await patient.answers_phq9(item9=3, instrument_version="2031")

    assert (answer.status, answer.level, answer.body["status"]) == (201, "high", "unscored")
    for channel in ("sms", "voice"):
        await clinic.ana.is_paged(answer, channel, level="high")
    [task] = await _tasks(clinic, patient, "unknown_version")
    assert task["source_id"] == answer.body["assessment_id"]
    closed = await clinic.intake("POST", f"/v1/tasks/{task['task_id']}/close", {})
    assert (closed.status, closed.body["state"]) == (200, "closed")


async def test_an_instrument_nobody_has_acknowledged_is_refused_and_what_it_watches_is_not(clinic: Clinic) -> None:
    patient = await clinic.enrol()
    answer = await patient.answers_phq9(answers={f"q{number}": 5 for number in range(1, 6)}, instrument="who5")

    assert (answer.status, answer.problem) == (422, "licence-not-acknowledged")
    assert "who5" in answer.body["detail"]
    assert answer.guidance


async def test_a_correction_that_raises_rings_and_one_that_lowers_takes_nothing_back(clinic: Clinic) -> None:
    patient = await clinic.enrol()
    first = await patient.answers_phq9(item9=1)
    await clinic.ana.is_paged(first, "sms", level="moderate")

    worse = await patient.answers_phq9(item9=3, corrects=first.body["assessment_id"])
    for channel in ("sms", "voice"):
        await clinic.ana.is_paged(worse, channel, level="high")
    better = await patient.answers_phq9(item9=0, corrects=worse.body["assessment_id"])

    assert (better.status, better.level, better.body["tasks"]) == (201, None, ["correction_lowers_flag"])
    [task] = await _tasks(clinic, patient, "correction_lowers_flag")
    assert task["codes"] == {"before": "high", "now": None}
    assert [case["level"] for case in await clinic.both_hold(patient, first, worse)] == ["high", "high"]


async def test_a_form_half_way_rings_and_handing_it_in_is_not_a_second_flag(clinic: Clinic) -> None:
    patient = await clinic.enrol()
    key, path = fresh_id(), f"/v1/patients/{patient.patient_id}/drafts/phq9"
    saved = await clinic.intake("PUT", path, {"answers": {"q1": 1}}, key)
    assert (saved.status, saved.body["flag"]) == (200, None)

    sent_at_ms = clinic.now_ms()
    saved = await clinic.intake("PUT", path, {"answers": {"q1": 1, "q9": 3}}, key)
    draft = clinic.expects(Answer(saved.status, saved.body, patient=patient, sent_at_ms=sent_at_ms))
    assert draft.level == "high"
    for channel in ("sms", "voice"):
        await clinic.ana.is_paged(draft, channel, level="high")

    handed_in = await patient.answers_phq9(answers=QUIET | {"q1": 1, "q9": 3}, key=key)
    assert (handed_in.status, handed_in.flag_id) == (201, draft.flag_id)
    await clinic.ana.is_left_alone(for_s=0.5, about=draft)
