"""A patient at risk misses a session: somebody is paged, somebody is to call, and the patient is asked whether all is well."""

from tests.support.programme import Programme


async def test_a_missed_session_of_somebody_at_risk_is_a_page_a_task_and_a_message(programme: Programme) -> None:
    patient, other = await programme.enrol(), await programme.enrol()
    answer = await patient.answers_phq9(item9=1)
    await programme.ana.is_paged(answer)
    await programme.ana.replies(answer.code)
    await patient.is_told("in touch")
    await programme.risk_is_known(patient)

    session = await programme.schedules([patient, other], in_s=1.0)
    await other.joins(session)
    await patient.has(session, "missed")

    flagged = await programme.is_flagged(patient, "sessions.missed")
    assert flagged.level == "high", "one level above the open case's"
    for channel in ("sms", "voice"):
        await programme.ana.is_paged(flagged, channel)
    await programme.ana.replies(flagged.code)
    task = await programme.task_of(patient, "call_now")
    assert task["codes"]["level"] == "moderate"
    await patient.is_told("We missed you")
    await other.has(session, "joined")
