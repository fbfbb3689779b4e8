"""What becomes of patients: answers over weeks are a trajectory, one that goes down is somebody's business, and nobody who has
left is forgotten."""

from typing import Any
from urllib.parse import quote

from shared.time.clock import iso
from tests.support.canaries import PATIENT
from tests.support.people import FIRST_PAGE_S
from tests.support.programme import TOLD_S, Participant, Programme

_DAY_S = 86_400.0


def answers(*, worst: int, mild: int = 0) -> dict[str, int]:
    """A PHQ-9 with so many items at 3 and so many at 1; never item 9."""
    return {f"q{number}": 3 if number <= worst else 1 if number <= worst + mild else 0 for number in range(1, 10)}


async def weeks_ago(programme: Programme, patient: Participant, weeks: int, **told: int) -> None:
    """A sheet that was answered so many weeks ago, and is handed in now."""
    at = iso(programme.clock.now_s() - weeks * 7 * _DAY_S)
    answer = await patient.answers_phq9(answers=answers(**told), answered_at=at)
    assert answer.status == 201, answer.body


async def follow_ups(programme: Programme, patient: Participant) -> dict[str, str]:
    """The contacts that are owed to a patient, by what became of them."""
    told = await programme.ask("outcomes", "GET", f"/v1/follow-ups?patient_id={quote(patient.patient_id)}")
    assert told.status == 200, told.body
    return {one["contact"]: one["state"] for one in told.body["items"]}


async def checks_in(programme: Programme, patient: Participant, **sent: Any) -> dict[str, Any]:
    """The patient says how they are, once outcomes has heard of them."""
    body: dict[str, Any] = {}

    async def taken() -> bool:
        told = await programme.ask("outcomes", "POST", "/v1/check-ins", sent, role="patient", by=patient.patient_id)
        body.clear()
        body.update(told.body)
        return told.status == 201

    async def known() -> bool:
        told = await programme.ask("outcomes", "GET", f"/v1/trajectories/{quote(patient.patient_id)}")
        return told.status == 200

    await programme.eventually(known, TOLD_S, "outcomes has heard of the patient")
    await programme.eventually(taken, TOLD_S, lambda: f"the check-in is taken; it was told {body}")
    return body


async def test_answers_over_weeks_show_up_as_a_trajectory(programme: Programme) -> None:
    patient = await programme.enrol()
    # Not in the order in which they were answered: a phone that was off hands in its sheets late.
    await weeks_ago(programme, patient, 2, worst=3)
    await weeks_ago(programme, patient, 6, worst=6)
    await weeks_ago(programme, patient, 4, worst=5)
    phq9 = await programme.trajectory_of(patient, "phq9", points=3)
    assert [point["total"] for point in phq9["points"]] == [18, 15, 9]
    assert [point["reliable"] for point in phq9["points"]] == [None, "unchanged", "improved"]
    assert (phq9["change"], phq9["response"], phq9["recovery"], phq9["remission"]) == (-9, True, True, False)


async def test_a_patient_who_gets_reliably_worse_is_somebodys_business(programme: Programme) -> None:
    patient = await programme.enrol()
    await weeks_ago(programme, patient, 3, worst=1)
    await weeks_ago(programme, patient, 0, worst=4)
    answer = await programme.is_flagged(patient, "phq9.reliable_deterioration")
    assert answer.body["flag"]["level"] == "moderate"
    await programme.ana.is_paged(answer)
    phq9 = await programme.trajectory_of(patient, "phq9", points=2)
    assert (phq9["change"], phq9["deteriorated"]) == (9, True)


async def test_how_a_patient_was_is_read_by_their_clinician(programme: Programme) -> None:
    patient = await programme.enrol()
    # A marker that the canaries look for wherever the stack keeps or says something.
    note = f"A walk by the river, {PATIENT['name']}"
    await checks_in(programme, patient, mood=7, note=note)
    told = await programme.ask("outcomes", "GET", f"/v1/check-ins?patient_id={quote(patient.patient_id)}")
    assert [(one["mood"], one["note"], one["flag"]) for one in told.body["items"]] == [(7, note, None)]


async def test_after_a_discharge_a_contact_is_owed_and_becomes_somebodys_task(programme: Programme) -> None:
    patient = await programme.enrol()
    told = await programme.ask("intake", "POST", f"/v1/patients/{patient.patient_id}/discharge", {"reason": "completed"})
    assert told.status in (200, 201), told.body

    async def first_is_told() -> bool:
        return (await follow_ups(programme, patient)).get("24_72h") == "told"

    await programme.eventually(first_is_told, TOLD_S, "the contact of the first three days is due")
    assert (await programme.task_of(patient, "follow_up_contact"))["patient_id"] == patient.patient_id
    assert (await follow_ups(programme, patient))["12m"] == "pending"


async def test_a_supervisor_reads_of_all_patients_and_of_no_few(programme: Programme) -> None:
    patient = await programme.enrol()
    await weeks_ago(programme, patient, 4, worst=5)
    await weeks_ago(programme, patient, 0, worst=1)
    await programme.trajectory_of(patient, "phq9", points=2)
    told = await programme.ask("outcomes", "GET", "/v1/reports/cohort", role="supervisor", by="sue")
    assert told.status == 200
    phq9 = next(one for one in told.body["instruments"] if one["instrument"] == "phq9")
    # In this programme few have been measured twice, whoever else is in it.
    assert phq9["n_paired"] == "<11"
    assert patient.patient_id not in told.text
    refused = await programme.ask("outcomes", "GET", "/v1/reports/cohort")
    assert refused.status == 403


async def test_a_check_in_with_an_urge_pages_in_the_same_request(programme: Programme) -> None:
    patient = await programme.enrol()
    answer = await checks_in(
        programme, patient, mood=2, urges={"suicide": 4, "self_harm": 1}, note=f"{PATIENT['name']} can't sleep"
    )
    assert answer["flag"]["level"] == "high"
    assert answer["guidance"]
    flagged = await programme.is_flagged(patient, "check_in.suicide", within_s=FIRST_PAGE_S)
    assert flagged.body["flag"]["flag_id"] == answer["flag"]["flag_id"]
    await programme.ana.is_paged(flagged)
    await programme.ana.is_paged(flagged, "voice")
