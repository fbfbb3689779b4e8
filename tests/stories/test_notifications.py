"""What patients are told that is no page: reminders that follow the plan and keep to their wishes, guidance that waits for nothing."""

from datetime import datetime
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from deploy.local.noon import where_it_is_noon
from shared.time.clock import iso
from tests.support.programme import TOLD_S, Participant, Programme

_HOUR_S = 3600.0


def around_now(programme: Programme) -> dict[str, str]:
    """Quiet hours from an hour ago to an hour from now, on the clock of patients who are awake."""
    now_s = programme.clock.now_s()
    zone = ZoneInfo(where_it_is_noon(now_s))
    begins, ends = (f"{datetime.fromtimestamp(now_s + ahead_s, zone):%H:%M}" for ahead_s in (-_HOUR_S, _HOUR_S))
    return {"from": begins, "to": ends}


async def messages(programme: Programme, patient: Participant) -> list[dict[str, Any]]:
    """What a clinician sees of a patient's messages, the latest due first."""
    told = await programme.ask("notifications", "GET", f"/v1/notifications?patient_id={quote(patient.patient_id)}")
    assert told.status == 200, told.body
    return list(told.body["items"])


async def sees(programme: Programme, patient: Participant, template: str, state: str, reason: str | None) -> None:
    """A clinician sees a message of this kind in this state, for this reason."""
    found: list[dict[str, Any]] = []

    async def there() -> bool:
        nonlocal found
        found = await messages(programme, patient)
        return any((one["template"], one["state"], one["reason"]) == (template, state, reason) for one in found)

    def what() -> str:
        told = [(one["template"], one["state"], one["reason"]) for one in found]
        return f"{template} is {state} ({reason}); told are {told}"

    await programme.eventually(there, TOLD_S, what)


async def prefers(programme: Programme, patient: Participant, **told: Any) -> None:
    """The patient says what they want."""
    path = f"/v1/patients/{quote(patient.patient_id)}/preferences"
    answer = await programme.ask("notifications", "PUT", path, told, role="patient", by=patient.patient_id)
    assert answer.status == 200, answer.body


async def test_a_reminder_arrives_before_a_session(programme: Programme) -> None:
    patient = await programme.enrol()
    await programme.schedules([patient], in_s=_HOUR_S / 2, kind="individual")
    page = await patient.is_told("You have an appointment today at")
    assert page.segments == 1
    await sees(programme, patient, "session_reminder", "delivered", None)
    assert patient.number not in repr(await messages(programme, patient))


async def test_a_moved_session_moves_its_reminder(programme: Programme) -> None:
    patient = await programme.enrol()
    session = await programme.schedules([patient], in_s=50 * _HOUR_S, kind="individual")
    await sees(programme, patient, "session_reminder", "planned", None)
    body = {"starts_at": iso(programme.clock.now_s() + _HOUR_S / 2)}
    moved = await programme.ask("sessions", "POST", f"/v1/sessions/{session}/reschedule", body)
    assert moved.status == 200, moved.body
    await patient.is_told("You have an appointment today at")
    await sees(programme, patient, "session_reminder", "cancelled", "moved")


async def test_a_cancelled_session_takes_its_reminders_along(programme: Programme) -> None:
    patient = await programme.enrol()
    session = await programme.schedules([patient], in_s=50 * _HOUR_S, kind="individual")
    await sees(programme, patient, "session_reminder", "planned", None)
    told = await programme.ask("sessions", "POST", f"/v1/sessions/{session}/cancel", {"reason": "cancelled"})
    assert told.status == 200, told.body
    await sees(programme, patient, "session_reminder", "cancelled", "cancelled")


async def test_quiet_hours_hold_a_reminder_and_never_a_page_or_its_guidance(programme: Programme) -> None:
    patient = await programme.enrol()
    await prefers(programme, patient, quiet_hours=around_now(programme))
    session = await programme.schedules([patient], in_s=1.0, kind="individual")
    await sees(programme, patient, "session_reminder", "dropped", "quiet_hours")
    await patient.has(session, "missed")
    await sees(programme, patient, "session_missed", "held", "quiet_hours")
    answer = await patient.answers_phq9(item9=1)
    await programme.ana.is_paged(answer)
    await patient.is_told("call 911, or call or text 988")
    assert [one["body"] for one in await programme.phone.items(patient.number) if "missed" in one["body"]] == []


async def test_stop_holds_reminders_and_not_guidance(programme: Programme) -> None:
    patient = await programme.enrol()
    await programme.schedules([patient], in_s=_HOUR_S / 2, kind="individual")
    await patient.is_told("You have an appointment")
    assert "no more messages" in await patient.replies("STOP")
    await programme.schedules([patient], in_s=_HOUR_S / 3, kind="individual")
    await sees(programme, patient, "session_reminder", "dropped", "stopped")
    await programme.ana.is_paged(await patient.answers_phq9(item9=1))
    await patient.is_told("call 911, or call or text 988")
    assert "again" in await patient.replies("START")
    await programme.schedules([patient], in_s=_HOUR_S / 4, kind="individual")
    await patient.is_told("You have an appointment")


async def test_a_text_that_nobody_reads_is_answered_with_whom_to_call(programme: Programme) -> None:
    patient = await programme.enrol()
    await programme.schedules([patient], in_s=_HOUR_S / 2, kind="individual")
    await patient.is_told("You have an appointment")
    said = await patient.replies("who is this?")
    assert "911" in said
    assert "988" in said


async def test_a_missed_session_becomes_a_message_and_a_second_one(programme: Programme) -> None:
    patient = await programme.enrol()
    session = await programme.schedules([patient], in_s=1.0)
    await patient.has(session, "missed")
    await patient.is_told("We missed you today", within_s=20.0)
    await patient.is_told("We hope to hear from you today", within_s=20.0)


async def test_a_dead_number_is_marked_and_somebody_has_to_find_out(programme: Programme) -> None:
    patient = await programme.enrol()
    await programme.phone.break_down("undelivered", to=patient.number)
    await programme.schedules([patient], in_s=_HOUR_S / 2, kind="individual")
    await programme.task_of(patient, "patient_unreachable")
    await sees(programme, patient, "session_reminder", "failed", "dead_30003")


async def test_a_provider_that_fails_is_tried_again(programme: Programme) -> None:
    patient = await programme.enrol()
    await programme.phone.break_down("500", to=patient.number, times=2)
    await programme.schedules([patient], in_s=_HOUR_S / 2, kind="individual")
    await patient.is_told("You have an appointment", within_s=20.0)


async def test_a_message_that_must_be_seen_is_a_page(programme: Programme) -> None:
    patient = await programme.enrol()
    path, body = f"/v1/threads/{quote(patient.patient_id)}/messages", {"text": "I want to die, Quillfeather says"}
    told = await programme.ask("notifications", "POST", path, body, role="patient", by=patient.patient_id)
    assert told.status == 201, told.body
    assert {"staffed_hours", "expected_reply_by", "guidance"} <= set(told.body)
    flagged = await programme.is_flagged(patient, "message.screen.wants_to_die")
    assert flagged.level == "high"
    await programme.ana.is_paged(flagged)
    await programme.ana.is_paged(flagged, "voice")
    read = await programme.ask("notifications", "GET", path)
    assert body["text"] in [one["text"] for one in read.body["items"]]
