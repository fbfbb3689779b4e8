"""A safety answer counts however the rest of the sheet looks: incomplete, out of range, from somebody unknown."""

import pytest

from tests.support.clinic import Answer, Clinic


async def _rings_and_guides(clinic: Clinic, answer: Answer) -> None:
    for channel in ("sms", "voice"):
        await clinic.ana.is_paged(answer, channel, level="high")
    assert answer.guidance
    assert {"label", "phone", "text_to"} <= answer.guidance[0].keys()


async def test_item_9_counts_in_a_form_that_is_incomplete(clinic: Clinic) -> None:
    patient = await clinic.enrol()
    answer = await patient.answers_phq9(answers={"q1": 1, "q9": 3})

    assert (answer.status, answer.level) == (201, "high")
    assert (answer.body["status"], answer.body["total"]) == ("incomplete", None)
    await _rings_and_guides(clinic, answer)


@pytest.mark.parametrize("value", [7, -1, "3", 2.5])
async def test_an_item_9_out_of_range_is_refused_and_flagged_high(clinic: Clinic, value: object) -> None:
    patient = await clinic.enrol()
    answer = await patient.answers_phq9(item9=value)

    assert (answer.status, answer.level, answer.flagged) == (422, "high", True)
    await _rings_and_guides(clinic, answer)
    [flag] = (await clinic.case_of(patient))["flags"]
    assert flag["rule"] == "phq9.q9.out_of_range"


async def test_an_answer_of_an_unknown_patient_is_refused_and_flagged(clinic: Clinic) -> None:
    stranger = clinic.stranger()
    answer = await stranger.answers_phq9(item9=3)

    assert (answer.status, answer.level, answer.flagged) == (404, "high", True)
    await _rings_and_guides(clinic, answer)
    assert (await clinic.case_of(stranger))["code"] == answer.code


async def test_a_harmless_answer_pages_nobody_and_still_guides(clinic: Clinic) -> None:
    patient = await clinic.enrol()
    answer = await patient.answers_phq9(item9=0)

    assert (answer.status, answer.level, answer.flagged) == (201, None, False)
    assert answer.guidance
    await clinic.phone.quiet_for(0.5)
    assert await clinic.cases_of(patient) == []
