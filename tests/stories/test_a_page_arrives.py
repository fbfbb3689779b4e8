"""An answer becomes a page on the phone of whoever is on call."""

import re

from tests.support.clinic import Clinic


async def test_a_high_answer_rings_the_first_person_by_text_and_by_voice(clinic: Clinic) -> None:
    patient = await clinic.enrol()
    answer = await patient.answers_phq9(item9=3)
    assert (answer.status, answer.level, answer.flagged) == (201, "high", True)

    text = await clinic.ana.is_paged(answer, "sms", level="high")
    voice = await clinic.ana.is_paged(answer, "voice", level="high")

    assert text.code == voice.code == answer.code
    await clinic.both_see(patient, state="received", level="high")


async def test_the_text_of_a_page_says_level_code_time_and_link_and_nothing_of_the_patient(clinic: Clinic) -> None:
    patient = await clinic.enrol(name="Zebulon Quixley", phone="+15550987654")
    answer = await patient.answers_phq9(item9=3)
    page = await clinic.ana.is_paged(answer)

    assert re.fullmatch(rf"VIGIL high - {answer.code} - ack by \d\d:\d\d - http://\S+/a/[\w-]{{1,40}}", page.body)
    assert len(page.body) <= 160
    assert page.segments == 1
    for private in ("Zebulon", "Quixley", "987654", patient.patient_id):
        assert private not in page.body
    await clinic.ana.is_paged(answer, "voice")


async def test_a_moderate_answer_sends_a_text_and_rings_no_voice(clinic: Clinic) -> None:
    patient = await clinic.enrol()
    answer = await patient.answers_phq9(item9=1)
    assert (answer.status, answer.level) == (201, "moderate")

    await clinic.ana.is_paged(answer, "sms", level="moderate")
    await clinic.ana.is_left_alone(for_s=1.0, about=answer, channel="voice")
