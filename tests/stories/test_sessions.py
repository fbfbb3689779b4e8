"""Coming to sessions, and not coming: who is paged about and who is not, where somebody is, what moving a session does."""

from tests.support.programme import Programme


async def test_a_missed_session_of_somebody_who_is_well_pages_nobody(programme: Programme) -> None:
    patient = await programme.enrol()
    session = await programme.schedules([patient], kind="individual", in_s=1.0)
    await patient.has(session, "missed")
    week = await programme.ask("sessions", "GET", f"/v1/patients/{patient.patient_id}/attendance")
    assert (week.body["missed"], week.body["missed_in_a_row"], week.body["hours_attended"]) == (1, 1, 0.0)
    # The clinic's work goes on, and no case comes of it: whoever is at risk in the same minute is paged about.
    other = await programme.enrol()
    answer = await other.answers_phq9(item9=3)
    for channel in ("sms", "voice"):
        await programme.ana.is_paged(answer, channel)
    await programme.ana.replies(answer.code)
    assert await programme.cases_of(patient) == []


async def test_nobody_comes_in_without_saying_where_they_are_and_is_told_what_to_do(programme: Programme) -> None:
    patient = await programme.enrol()
    session = await programme.schedules([patient], kind="individual", in_s=60.0)
    path, body = f"/v1/sessions/{session}/join", {"patient_id": patient.patient_id}
    refused = await programme.ask("sessions", "POST", path, body)
    assert (refused.status, refused.problem) == (409, "location-not-confirmed")
    assert "location" in refused.body["detail"]
    assert refused.body["guidance"], "and whom to call"

    joined = await patient.joins(session, location={"country": "US", "region": "US-NY"}, location_confirmed=False)

    assert joined.body["state"] == "joined"
    assert joined.body["room"]["url"].startswith("https://")


async def test_a_session_that_is_moved_is_not_missed_at_its_old_time(programme: Programme) -> None:
    patient = await programme.enrol()
    moved = await programme.schedules([patient], kind="individual", in_s=1.0)
    stays = await programme.schedules([patient], kind="individual", in_s=1.0)
    later = (await patient.has(moved, "scheduled"))["starts_at"].replace("Z", "+00:00")
    told = await programme.ask("sessions", "POST", f"/v1/sessions/{moved}/reschedule", {"starts_at": _next_year(later)})
    assert told.status == 200

    await patient.has(stays, "missed")

    place = await patient.has(moved, "scheduled")
    assert place["starts_at"] > (await patient.has(stays, "missed"))["starts_at"]
    assert place["version"] == 2


async def test_whoever_leaves_by_their_own_will_is_no_page(programme: Programme) -> None:
    patient = await programme.enrol()
    session = await programme.schedules([patient], kind="individual")
    await patient.joins(session)
    await patient.leaves(session)
    assert (await patient.completes(session)).body["state"] == "attended"
    assert await programme.cases_of(patient) == []


async def test_somebody_at_risk_who_is_lost_in_a_session_is_a_page(programme: Programme) -> None:
    patient = await programme.enrol()
    answer = await patient.answers_phq9(item9=1)
    await programme.ana.is_paged(answer)
    await programme.ana.replies(answer.code)
    await programme.risk_is_known(patient)
    session = await programme.schedules([patient], kind="individual")
    await patient.joins(session)

    await patient.leaves(session, lost=True)

    flagged = await programme.is_flagged(patient, "sessions.dropped")
    assert flagged.level == "moderate", "the open case's level"
    await programme.ana.is_paged(flagged)
    await programme.ana.replies(flagged.code)


def _next_year(at: str) -> str:
    return f"{int(at[:4]) + 1}{at[4:10].replace('-02-29', '-02-28')}{at[10:]}"
