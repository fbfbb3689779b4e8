"""However somebody says "I have the patient", everything stops ringing, on both replicas."""

from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

import pytest

from shared.time.clock import epoch_s
from tests.support.clinic import FIRST_PAGE_S, Answer, Clinic, Told
from tests.support.device import Page
from tests.support.stack import StackUnderTest


async def _by_a_bare_one(clinic: Clinic, answer: Answer, page: Page) -> str:
    return await clinic.ana.replies("1")


async def _by_code(clinic: Clinic, answer: Answer, page: Page) -> str:
    return await clinic.ana.replies(f" {answer.code.lower()} on my way")


async def _by_key(clinic: Clinic, answer: Answer, page: Page) -> str:
    return await clinic.ana.presses("1")


async def _by_link(clinic: Clinic, answer: Answer, page: Page) -> str:
    return (await clinic.follows(page.link)).text


async def _by_api(clinic: Clinic, answer: Answer, page: Page) -> str:
    assert answer.patient is not None
    told = await clinic.acknowledge(answer.patient, replica=1)
    assert (told.status, told.body["state"], told.body["owner"]) == (200, "owned", "ana")
    return f"You have {answer.code}"


@pytest.mark.parametrize("way", [_by_a_bare_one, _by_code, _by_key, _by_link, _by_api])
async def test_an_acknowledgement_stops_everything_on_both_replicas(
    clinic: Clinic, way: Callable[[Clinic, Answer, Page], Awaitable[str]]
) -> None:
    patient = await clinic.enrol()
    answer = await patient.answers_phq9(item9=3)
    page = await clinic.ana.is_paged(answer, "sms")
    await clinic.ana.is_paged(answer, "voice")
    await clinic.ana.has_been_reached(answer)

    assert f"You have {answer.code}" in await way(clinic, answer, page)

    cases = await clinic.both_see(patient, owner="ana", state="owned", version=3)
    await clinic.both_are_quiet(patient)
    assert len({case["case_id"] for case in cases}) == 1
    assert all(epoch_s(case["t3"]) >= epoch_s(case["t2"]) for case in cases)


async def test_after_an_acknowledgement_the_next_person_is_never_paged(clinic: Clinic) -> None:
    patient = await clinic.enrol()
    answer = await patient.answers_phq9(item9=3)
    await clinic.ana.is_paged(answer, "sms")
    await clinic.ana.is_paged(answer, "voice")
    await clinic.ana.replies("1")

    await clinic.listens(for_s=clinic.step_s + 0.5)


async def test_looking_at_the_link_changes_nothing_and_pressing_the_button_acts(clinic: Clinic) -> None:
    patient = await clinic.enrol()
    answer = await patient.answers_phq9(item9=3)
    page = await clinic.ana.is_paged(answer, "sms")
    await clinic.ana.is_paged(answer, "voice")
    before = await clinic.both_see(patient, state="received")

    for _ in range(3):
        shown = await clinic.looks_at(page.link)
        assert shown.status == 200
        assert answer.code in shown.text
    after = await clinic.on_both(lambda replica: clinic.case_of(patient, replica))
    assert [(case["state"], case["owner"], case["version"]) for case in after] == [
        ("received", None, case["version"]) for case in before
    ]

    assert (await clinic.follows(page.link)).status == 200
    await clinic.both_see(patient, owner="ana", state="owned")


async def test_whoever_acknowledges_late_hears_who_has_the_patient(clinic: Clinic) -> None:
    patient = await clinic.enrol()
    answer = await patient.answers_phq9(item9=3)
    for channel in ("sms", "voice"):
        await clinic.ana.is_paged(answer, channel)
    for channel in ("sms", "voice"):
        await clinic.ben.is_paged(answer, channel, within_s=clinic.step_s + FIRST_PAGE_S)
    await clinic.ben.has_been_reached(answer)
    await clinic.ben.replies("1")
    await clinic.both_see(patient, owner="ben")

    said = await clinic.ana.replies("1")

    assert "taken by Ben Okafor" in said
    await clinic.both_see(patient, owner="ben", state="owned", roles={"owner": "ben", "second": "ana"})


async def test_imminent_danger_rings_on_until_two_people_of_distinct_roles_have_the_patient(clinic: Clinic) -> None:
    patient = await clinic.enrol()
    flag = await clinic.another_service_flags(patient, "imminent")
    for channel in ("sms", "voice"):
        await clinic.ana.is_paged(flag, channel, level="imminent")
    await clinic.ana.replies(flag.code)
    await clinic.both_see(patient, owner="ana", state="owned")

    # Ben is a clinician like Ana, Sue a supervisor.
    for person, steps in ((clinic.ben, 1), (clinic.sue, 2)):
        for channel in ("sms", "voice"):
            await person.is_paged(flag, channel, within_s=steps * clinic.step_s + FIRST_PAGE_S)
    await clinic.ben.replies(flag.code)
    await clinic.sees(patient, owner="ana", roles={"owner": "ana", "second": "ben"})
    case = await clinic.case_of(patient)
    assert epoch_s(case["next_due"]) < clinic.clock.now_s() + 60.0, "two of one role are not enough"
    await clinic.sue.replies(flag.code)

    await clinic.both_see(patient, owner="ana", state="owned")
    await clinic.both_are_quiet(patient, for_s=30.0)


async def test_a_bare_one_with_two_cases_lists_their_codes_and_takes_neither(clinic: Clinic) -> None:
    first, second = await clinic.enrol(), await clinic.enrol()
    one, two = await first.answers_phq9(item9=3), await second.answers_phq9(item9=3)
    for answer in (one, two):
        for channel in ("sms", "voice"):
            await clinic.ana.is_paged(answer, channel)
        await clinic.ana.has_been_reached(answer)

    said = (await clinic.ana.phone.reply("1"))["answers"][0]

    assert one.code in said
    assert two.code in said
    for patient in (first, second):
        cases = await clinic.both_see(patient)
        assert [case["owner"] for case in cases] == [None, None]

    assert f"You have {two.code}" in await clinic.ana.replies(two.code)
    await clinic.both_see(second, owner="ana", state="owned")
    await clinic.both_see(first, owner=None)


async def test_an_answer_that_was_asked_back_takes_no_page_that_comes_later(clinic: Clinic) -> None:
    patients = [await clinic.enrol() for _ in range(2)]
    answers = [await patient.answers_phq9(item9=3) for patient in patients]
    for answer in answers:
        for channel in ("sms", "voice"):
            await clinic.ana.is_paged(answer, channel)
        await clinic.ana.has_been_reached(answer)
    await clinic.ana.phone.reply("1")
    for patient in patients:
        await clinic.resolve(patient)

    later = await clinic.enrol()
    answer = await later.answers_phq9(item9=3)
    for channel in ("sms", "voice"):
        await clinic.ana.is_paged(answer, channel)

    await clinic.both_see(later, state="received", owner=None)


async def test_a_forged_callback_is_refused_and_nothing_changes(clinic: Clinic) -> None:
    patient = await clinic.enrol()
    answer = await patient.answers_phq9(item9=3)
    page = await clinic.ana.is_paged(answer, "sms")
    await clinic.ana.is_paged(answer, "voice")
    before = await clinic.both_see(patient, state="received")

    reply = {"From": clinic.ana.number, "Body": "1", "MessageSid": "SM00000000000000000000000000000001"}
    key = {"From": "+15550000000", "To": clinic.ana.number, "Digits": "1", "CallSid": "CA00000000000000000000000000000001"}
    receipt = {"MessageSid": page.page_id, "MessageStatus": "undelivered"}
    forms = {"sms": reply, f"voice?f={answer.flag_id}": key, f"status?f={answer.flag_id}": receipt}
    told = [
        await _callback(clinic, replica, path, form, signature)
        for replica in clinic.replicas
        for path, form in forms.items()
        for signature in (None, "c2lnbmVkIGJ5IG5vYm9keQ==")
    ]
    assert {(one.status, one.problem) for one in told} == {(403, "signature-refused")}
    assert page.link is not None
    forged_link = await clinic.call("POST", page.link[:-4] + "AAAA")
    assert (forged_link.status, forged_link.problem) == (404, "no-such-link")

    after = await clinic.on_both(lambda replica: clinic.case_of(patient, replica))
    assert [(c["state"], c["owner"], c["version"]) for c in after] == [(c["state"], None, c["version"]) for c in before]


@pytest.mark.real_stack
async def test_a_reply_reaches_the_living_replica_when_the_first_one_is_dead(
    clinic: Clinic, story_stack: StackUnderTest
) -> None:
    patient = await clinic.enrol()
    answer = await patient.answers_phq9(item9=3)
    await clinic.ana.is_paged(answer, "sms")
    await clinic.ana.is_paged(answer, "voice")
    await clinic.both_see(patient, state="received")
    await story_stack.kill("crisis-0")

    told = await clinic.ana.phone.reply("1")
    clinic.acted()

    assert told["delivered_to"].startswith(story_stack.url("crisis-1"))
    assert f"You have {answer.code}" in told["answers"][0]
    await clinic.sees(patient, replica=1, owner="ana", state="owned")
    await story_stack.restart("crisis-0")
    await clinic.both_see(patient, owner="ana", state="owned")
    await clinic.both_are_quiet(patient)


async def _callback(clinic: Clinic, replica: int, path: str, form: dict[str, str], signature: str | None) -> Told:
    url = f"{clinic.servers.url(f'crisis-{replica}')}/v1/providers/twilio/{path}"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    if signature is not None:
        headers["X-Twilio-Signature"] = signature
    return await clinic.call("POST", url, headers=headers, data=urlencode(form))
