"""Whoever takes a case sees where the patient last confirmed to be: help has to be sent there, not to the place on file."""

from typing import Any

from tests.support.clinic import Told
from tests.support.programme import TOLD_S, Programme

ELSEWHERE = {"country": "US", "region": "US-NJ"}


async def test_a_case_shows_the_place_of_the_session_that_the_patient_has_joined(programme: Programme) -> None:
    patient = await programme.enrol()
    session = await programme.schedules([patient], kind="individual")
    await patient.joins(session, location=ELSEWHERE, location_confirmed=False)

    answer = await patient.answers_phq9(item9=3)
    for channel in ("sms", "voice"):
        await programme.ana.is_paged(answer, channel)
    await programme.ana.replies(answer.code)
    await programme.both_see(patient, owner="ana")
    case = await programme.case_of(patient)

    for replica in programme.replicas:
        told = Told(0, {})

        async def shown(replica: int = replica) -> bool:
            nonlocal told
            told = await programme.crisis("GET", f"/v1/cases/{case['case_id']}/contacts", replica=replica)
            # Contacts and place come by topics of their own, in any order.
            return told.status == 200 and None not in (told.body["last_place"], told.body["contacts"])

        await programme.eventually(shown, TOLD_S, f"crisis-{replica} shows where the patient is")
        place: dict[str, Any] = told.body["last_place"]
        assert (place["location"], place["session_id"], place["stale"]) == (ELSEWHERE, session, False)
        assert told.body["contacts"]["location"] != ELSEWHERE, "the place on file is shown beside it"
