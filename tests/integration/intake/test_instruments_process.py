"""Instruments, drafts, corrections and tasks on a real store: what the twin in memory promises, MongoDB keeps."""

from typing import Any

import aiohttp
import pytest

from deploy.local.processes import eventually
from shared.contracts.assessment import AssessmentCompleted
from shared.contracts.topics import ASSESSMENTS, RISK
from tests.integration.intake.conftest import WITHIN_S, Intake
from tests.integration.intake.test_intake_process import appears, heard

SCREENER = {"q1": True, "q2": True, "q3": False, "q4": False, "q5": False, "q6": False}


async def sheet(intake: Intake, patient: str, key: str, **body: Any) -> tuple[int, Any]:
    return await intake.call("POST", f"/v1/patients/{patient}/assessments", body, key)


async def tasks(intake: Intake, patient: str, count: int) -> list[dict[str, Any]]:
    """The patient's tasks once there are so many, newest first."""
    found: list[dict[str, Any]] = []

    async def there() -> bool:
        status, told = await intake.call("GET", f"/v1/tasks?patient_id={patient}")
        assert status == 200
        found[:] = told["items"]
        return len(found) >= count

    assert await eventually(there, WITHIN_S), found
    return found


async def test_a_screener_flags_and_its_event_has_codes_and_no_answer(intake: Intake) -> None:
    await intake.start(VIGIL_INTAKE_LICENCES_ACKNOWLEDGED="cssrs_screener")
    patient = await intake.enrol()
    status, told = await sheet(intake, patient, "a", instrument="cssrs_screener", answers=SCREENER | {"q4": True})
    assert (status, told["band"], told["flag"]["level"]) == (201, "high", "high")
    await heard(intake, told["flag"]["flag_id"])
    (risk,) = await appears(intake, RISK, 1)
    assert risk["rule"] == "cssrs_screener.q4"
    (event,) = await appears(intake, ASSESSMENTS, 1)
    completed = AssessmentCompleted.model_validate(event)
    assert (completed.instrument, completed.total, completed.codes["colour"]) == ("cssrs_screener", None, "red")
    status, refused = await sheet(intake, patient, "b", instrument="who5", answers={"q1": 5})
    assert (status, refused["type"]) == (422, "urn:vigil:problem:licence-not-acknowledged")
    log = (intake.home / "log").read_text()
    assert log.count('"instrument_refused"') == 8, "nine licences need an acknowledgement and one has it"
    assert "instrument_file_refused" not in log


async def test_tasks_outlive_a_kill_between_answer_and_opening(intake: Intake) -> None:
    await intake.start(kill_at="assessments.insert.after")
    patient = await intake.enrol()
    intake.arm()
    with pytest.raises(aiohttp.ClientError):
        await sheet(intake, patient, "a", instrument="phq9", instrument_version="9", answers={"q9": 0})
    assert await intake.ended() == -9
    await intake.start()
    (task,) = await tasks(intake, patient, 1)
    assert (task["kind"], task["state"]) == ("unknown_version", "open")
    status, again = await sheet(intake, patient, "a", instrument="phq9", instrument_version="9", answers={"q9": 0})
    assert (status, again["status"], again["assessment_id"]) == (200, "unscored", task["source_id"])
    assert len(await tasks(intake, patient, 1)) == 1
    status, closed = await intake.call("POST", f"/v1/tasks/{task['task_id']}/close", {})
    assert (status, closed["closed_by"]) == (200, "ana")


async def test_drafts_are_saved_over_each_other_and_their_flags_stay(intake: Intake) -> None:
    await intake.start()
    patient = await intake.enrol()
    path = f"/v1/patients/{patient}/drafts/phq9"
    flags = []
    for answers in ({"q1": 1}, {"q9": 1}, {"q9": 1, "q2": 1}, {"q9": 3}, {"q9": 0}):
        status, told = await intake.call("PUT", path, {"answers": answers}, "form")
        assert status == 200, told
        flags.append(told["flag"])
    assert [flag and flag["level"] for flag in flags] == [None, "moderate", "moderate", "high", None]
    assert flags[1] == flags[2]
    status, read = await intake.call("GET", path)
    assert (status, read["answers"], read["saves"]) == (200, {"q9": 0}, 5)
    for flag in (flags[1], flags[3]):
        await heard(intake, flag["flag_id"])
    await intake.settles()
    assert {one["ce_id"] for one in await appears(intake, RISK, 2)} == {flags[1]["flag_id"], flags[3]["flag_id"]}


async def test_a_draft_left_alone_is_judged_after_a_while(intake: Intake) -> None:
    soon = {"VIGIL_INTAKE_DRAFT_ABANDONED_S": "1", "VIGIL_INTAKE_DRAFT_LOOK_S": "0.2"}
    await intake.start(VIGIL_INTAKE_LICENCES_ACKNOWLEDGED="cssrs_screener", **soon)
    patient = await intake.enrol()
    body = {"answers": {"q1": True, "q2": True}}
    status, told = await intake.call("PUT", f"/v1/patients/{patient}/drafts/cssrs_screener", body, "form")
    assert (status, told["flag"]["level"]) == (200, "low")
    records = await appears(intake, RISK, 2)
    assert [(one["level"], one["rule"]) for one in records][1:] == [("high", "cssrs_screener.q4.unconfirmed")]
    await heard(intake, records[1]["ce_id"])
    await intake.settles()


async def test_a_correction_that_lowers_is_a_task_and_both_sheets_stay(intake: Intake) -> None:
    await intake.start()
    patient = await intake.enrol()
    _, first = await intake.send(patient, 3)
    status, second = await sheet(
        intake, patient, "b", instrument="phq9", answers={f"q{n}": 0 for n in range(1, 10)}, corrects=first["assessment_id"]
    )
    assert (status, second["tasks"]) == (201, ["correction_lowers_flag"])
    (task,) = await tasks(intake, patient, 1)
    assert (task["source_id"], task["codes"]) == (second["assessment_id"], {"before": "high", "now": None})
    status, page = await intake.call("GET", f"/v1/patients/{patient}/assessments")
    assert [(one["assessment_id"], one["corrects"]) for one in page["items"]] == [
        (second["assessment_id"], first["assessment_id"]),
        (first["assessment_id"], None),
    ]
    await intake.settles()


async def test_a_deployments_own_file_that_cannot_be_used_rings_and_the_rest_works(intake: Intake) -> None:
    (intake.home / "own.yaml").write_text("id: own_scale\n")
    await intake.start(VIGIL_INTAKE_INSTRUMENTS_DIR=str(intake.home))
    _, ready = await intake.call("GET", "/health/ready")
    assert ready["alarms"]["instrument_file_refused"] is True
    patient = await intake.enrol()
    status, told = await intake.send(patient, 3)
    assert (status, told["flag"]["level"]) == (201, "high")
    assert "instrument_file_refused" in (intake.home / "log").read_text()
