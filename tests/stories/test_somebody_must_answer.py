"""A page that nobody answers goes on to the next person, round after round, until somebody has the patient."""

import json
from pathlib import Path

from tests.support.clinic import EARLY_MS, FIRST_PAGE_S, Clinic
from tests.support.stack import EmbeddedFactory, StackFactory

ROUND_S = 6.0  # three steps of two seconds


async def test_the_second_person_is_paged_after_the_step_and_not_before(clinic: Clinic) -> None:
    patient = await clinic.enrol()
    answer = await patient.answers_phq9(item9=3)
    for channel in ("sms", "voice"):
        await clinic.ana.is_paged(answer, channel)

    for channel in ("sms", "voice"):
        page = await clinic.ben.is_paged(answer, channel, within_s=clinic.step_s + FIRST_PAGE_S)
        assert clinic.since_ms(answer, page) >= clinic.step_s * 1000 - EARLY_MS

    await clinic.ben.has_been_reached(answer)
    assert (await clinic.ben.replies("1")).startswith("You have")
    await clinic.both_see(patient, owner="ben", state="owned")


async def test_at_moderate_the_voice_rings_with_the_second_step(clinic: Clinic) -> None:
    patient = await clinic.enrol()
    answer = await patient.answers_phq9(item9=2)
    await clinic.ana.is_paged(answer, "sms", level="moderate")

    await clinic.ben.is_paged(answer, "sms", within_s=clinic.step_s + FIRST_PAGE_S)
    await clinic.ben.is_paged(answer, "voice")
    assert {page.channel for page in await clinic.ana.phone.pages()} == {"sms"}


async def test_nobody_answers_for_three_rounds_and_it_is_still_ringing(clinic: Clinic) -> None:
    patient = await clinic.enrol()
    answer = await patient.answers_phq9(item9=3)
    people = (clinic.ana, clinic.ben, clinic.sue)

    async def rounds_rung() -> set[int]:
        pages = [page for page in await clinic.phone.pages() if page.code == answer.code]
        return {int(clinic.since_ms(answer, page) // (ROUND_S * 1000)) for page in pages}

    async def third_round() -> bool:
        return {0, 1, 2} <= await rounds_rung()

    await clinic.eventually(third_round, 2.5 * ROUND_S, "the phones ring in the third round")
    await clinic.acknowledge(patient)
    await clinic.both_are_quiet(patient)
    for person in people:
        pages = await person.phone.consume_all()
        assert {page.channel for page in pages} == {"sms", "voice"}
        assert all(page.code == answer.code for page in pages)


async def test_with_nobody_on_call_the_next_step_and_the_fallback_pool_ring_at_once(
    own_stack: EmbeddedFactory | StackFactory, tmp_path: Path
) -> None:
    running = await own_stack(
        profile="test", env={"*": {"VIGIL_CRISIS_ROSTER_FILE": str(_roster_without_a_first_person(tmp_path))}}
    )
    async with Clinic(running) as clinic:
        patient = await clinic.enrol()
        answer = await patient.answers_phq9(item9=3)

        for person in (clinic.ben, clinic.sue):
            for channel in ("sms", "voice"):
                page = await person.is_paged(answer, channel)
                assert clinic.since_ms(answer, page) < clinic.step_s * 1000
        await clinic.both_see(patient, state="received")
        await clinic.timeline_tells(patient, "gap")

        await clinic.close_everything()
        await clinic.expect_no_surprises()


def _roster_without_a_first_person(folder: Path) -> Path:
    """The first step names somebody who has no way to be reached; ben is on the second, sue in the fallback pool."""

    def person(name: str, number: str | None) -> dict[str, object]:
        kinds = ("sms", "voice") if number else ()
        methods = [{"id": f"{name}-{kind}", "kind": kind, "address": number} for kind in kinds]
        return {"id": name, "zone": "America/New_York", "roles": ["clinician"], "contact_methods": methods}

    steps = [{"after_s": 0, "people": ["ana"]}, {"after_s": 60, "people": ["ben"]}]
    policy = {"steps": steps, "fallback": ["sue"], "interval_s": 60}
    people = [person("ana", None), person("ben", "+15550100002"), person("sue", "+15550100003")]
    document = {"version": 1, "people": people, "policies": dict.fromkeys(("low", "moderate", "high", "imminent"), policy)}
    path = folder / "roster.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path
