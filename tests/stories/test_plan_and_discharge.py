"""A care plan lays out sessions and questionnaires, a discharge takes back what is ahead, and neither ever silences a case."""

from typing import Any
from urllib.parse import quote

from shared.time.clock import iso
from tests.support.people import FIRST_PAGE_S, Patient
from tests.support.programme import TOLD_S, Programme

_DAY_S = 86_400.0


async def assigns(programme: Programme, patient: Patient, *, every_days: int, times: int) -> list[dict[str, Any]]:
    """A PHQ-9 to be answered so many times, the first one from now on."""
    body = {"instrument": "phq9", "due_from": iso(programme.clock.now_s()), "every_days": every_days, "times": times}
    told = await programme.ask("intake", "POST", f"/v1/patients/{patient.patient_id}/assignments", body)
    assert told.status == 201, told.body
    return list(told.body["items"])


async def assignments(programme: Programme, patient: Patient) -> list[str]:
    """The states of a patient's assignments, the earliest first."""
    told = await programme.ask("intake", "GET", f"/v1/patients/{patient.patient_id}/assignments")
    return [one["state"] for one in told.body["items"]][::-1]


async def discharges(programme: Programme, patient: Patient, reason: str, **why: str) -> tuple[int, str | None]:
    """Let a patient go, once intake has heard of every flag of theirs: the status, and the problem if there is one."""
    path = f"/v1/patients/{patient.patient_id}/discharge"
    told = await programme.ask("intake", "POST", path, {"reason": reason, **why})
    return told.status, told.problem if told.status >= 400 else None


async def ahead(programme: Programme, patient: Patient) -> list[str]:
    """The states of this patient's sessions that have not begun."""
    now = iso(programme.clock.now_s())
    return [one["state"] for one in await programme.sessions_of(patient) if one["starts_at"] > now]


async def test_a_care_plan_makes_sessions_and_a_discharge_ends_what_is_ahead(programme: Programme) -> None:
    patient = await programme.enrol()
    await programme.gives_plan(patient, "three_by_three", weeks=2)

    async def planned() -> bool:
        return len(await ahead(programme, patient)) >= 3

    await programme.eventually(planned, TOLD_S, "the plan's sessions are ahead of the patient")
    await assigns(programme, patient, every_days=7, times=3)
    assert await assignments(programme, patient) == ["open", "ahead", "ahead"]
    answered = await patient.answers_phq9(item9=0)
    assert answered.status == 201
    assert await assignments(programme, patient) == ["completed", "ahead", "ahead"]

    assert await discharges(programme, patient, "completed") == (200, None)

    assert await assignments(programme, patient) == ["completed", "withdrawn", "withdrawn"]

    async def nothing_ahead() -> bool:
        return set(await ahead(programme, patient)) <= {"cancelled"}

    await programme.eventually(nothing_ahead, TOLD_S, "no session is ahead of whoever has left")
    again = await programme.ask("intake", "PUT", f"/v1/patients/{patient.patient_id}/care-plan", {"template": None})
    assert (again.status, again.problem) == (409, "patient-discharged")


async def test_the_second_session_missed_in_a_row_opens_the_supervisors_task(programme: Programme) -> None:
    patient = await programme.enrol()
    first = await programme.schedules([patient], in_s=1.0)
    await patient.has(first, "missed")
    await programme.task_of(patient, "call_now")
    second = await programme.schedules([patient], in_s=1.0)
    await patient.has(second, "missed")
    task = await programme.task_of(patient, "missed_in_a_row")
    assert (task["codes"]["consecutive"], task["codes"]["role"]) == (2, "supervisor")
    closed = await programme.ask("intake", "POST", f"/v1/tasks/{task['task_id']}/close", role="supervisor", by="sue")
    assert (closed.status, closed.body["closed_by"]) == (200, "sue")
    path = f"/v1/tasks?status=open&patient_id={quote(patient.patient_id)}"
    kinds = [one["kind"] for one in (await programme.ask("intake", "GET", path)).body["items"]]
    assert "re_engagement" not in kinds


async def test_a_patient_in_danger_is_not_let_go_without_a_word_and_the_case_goes_on(programme: Programme) -> None:
    patient = await programme.enrol()
    answer = await patient.answers_phq9(item9=3)
    await programme.ana.is_paged(answer)
    await programme.ana.is_paged(answer, "voice")
    assert await discharges(programme, patient, "stepped_up") == (409, "discharge-needs-why")

    assert await discharges(programme, patient, "stepped_up", why="admitted tonight, Quillfeather knows") == (200, None)

    # Nobody has taken the case: the second person is paged as if nothing had been said.
    for channel in ("sms", "voice"):
        await programme.ben.is_paged(answer, channel, within_s=programme.step_s + FIRST_PAGE_S)
    assert (await programme.acknowledge(patient, by="ben")).status == 200
    await programme.both_see(patient, state="owned", owner="ben")


async def test_a_safety_plan_that_was_gone_through_is_told(programme: Programme) -> None:
    patient = await programme.enrol()
    told = await programme.ask("intake", "POST", f"/v1/patients/{patient.patient_id}/safety-plan/reviews")
    assert (told.status, told.body["safety_plan"]["reviews"]) == (200, 1)
    shown = await programme.ask("intake", "GET", f"/v1/patients/{patient.patient_id}")
    assert shown.body["safety_plan"]["by"] == "ana"
