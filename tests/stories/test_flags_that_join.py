"""A further flag is never silence: it joins the open case, and somebody is paged about it."""

from tests.support.clinic import FIRST_PAGE_S, HEARD_S, Answer, Clinic, Patient


async def _owned_by_ana(clinic: Clinic, item9: int) -> tuple[Patient, Answer]:
    """A patient whose answer ana has been paged about and has taken."""
    patient = await clinic.enrol()
    answer = await patient.answers_phq9(item9=item9)
    for channel in ("sms", "voice") if item9 == 3 else ("sms",):
        await clinic.ana.is_paged(answer, channel)
    await clinic.ana.replies(answer.code)
    await clinic.both_see(patient, owner="ana", state="owned")
    return patient, answer


async def test_a_second_equal_flag_pages_the_owner_and_nobody_else(clinic: Clinic) -> None:
    patient, first = await _owned_by_ana(clinic, item9=3)

    second = await patient.answers_phq9(item9=3)

    assert second.flag_id != first.flag_id
    for channel in ("sms", "voice"):
        await clinic.ana.is_paged(second, channel, level="high")
    await clinic.both_see(patient, code=first.code, owner="ana")
    await clinic.both_hold(patient, first, second)
    assert not await clinic.ben.phone.pages()
    await clinic.ana.replies(second.code)
    await clinic.both_see(patient, state="owned")
    await clinic.both_are_quiet(patient)


async def test_a_second_higher_flag_pages_the_owner_and_everybody_on_the_first_step(clinic: Clinic) -> None:
    patient = await clinic.enrol()
    moderate = await patient.answers_phq9(item9=1)
    await clinic.ana.is_paged(moderate, "sms")
    for channel in ("sms", "voice"):
        await clinic.ben.is_paged(moderate, channel, within_s=clinic.step_s + FIRST_PAGE_S)
    await clinic.ben.replies("1")
    await clinic.both_see(patient, owner="ben", level="moderate")

    high = await patient.answers_phq9(item9=3)

    for person in (clinic.ana, clinic.ben):
        for channel in ("sms", "voice"):
            page = await person.is_paged(high, channel, level="high")
            assert clinic.since_ms(high, page) < clinic.step_s * 1000
    await clinic.both_see(patient, level="high", owner="ben", code=moderate.code)


async def test_the_second_flag_rings_on_with_the_next_person_when_its_owner_is_silent(clinic: Clinic) -> None:
    patient, _ = await _owned_by_ana(clinic, item9=3)
    second = await patient.answers_phq9(item9=3)
    for channel in ("sms", "voice"):
        await clinic.ana.is_paged(second, channel)

    for channel in ("sms", "voice"):
        await clinic.ben.is_paged(second, channel, within_s=2 * clinic.step_s + FIRST_PAGE_S)

    await clinic.ben.replies("1")
    await clinic.both_see(patient, owner="ana", state="owned")
    await clinic.both_are_quiet(patient)


async def test_two_patients_are_two_cases_also_under_one_idempotency_key(clinic: Clinic) -> None:
    first, second = await clinic.enrol(), await clinic.enrol()
    one = await first.answers_phq9(item9=3, key="the-same-key")
    two = await second.answers_phq9(item9=3, key="the-same-key")

    assert (one.status, two.status) == (201, 201)
    assert one.flag_id != two.flag_id
    for answer in (one, two):
        for channel in ("sms", "voice"):
            await clinic.ana.is_paged(answer, channel)
    for mine, theirs in zip(await clinic.both_hold(first, one), await clinic.both_hold(second, two), strict=True):
        assert mine["case_id"] != theirs["case_id"]
    assert [len(await clinic.cases_of(patient)) for patient in (first, second)] == [1, 1]
    await clinic.acknowledge(first)
    await clinic.both_see(first, owner="ana")
    await clinic.both_see(second, owner=None)


async def test_a_flag_after_the_close_opens_a_new_case(clinic: Clinic) -> None:
    patient, first = await _owned_by_ana(clinic, item9=3)
    closed = await clinic.resolve(patient)
    assert (closed.status, closed.body["state"]) == (200, "closed")
    await clinic.both_see(patient, state="closed")

    second = await patient.answers_phq9(item9=3)

    for channel in ("sms", "voice"):
        await clinic.ana.is_paged(second, channel)
    await clinic.both_hold(patient, second)
    for cases in await clinic.on_both(lambda replica: clinic.cases_of(patient, replica)):
        assert [[flag["flag_id"] for flag in case["flags"]] for case in cases] == [[first.flag_id], [second.flag_id]]
        assert [case["state"] == "closed" for case in cases] == [True, False]


async def test_a_replayed_flag_of_a_closed_case_does_nothing(clinic: Clinic) -> None:
    patient = await clinic.enrol()
    answer = await patient.answers_phq9(item9=3, key="sent-once-more")
    for channel in ("sms", "voice"):
        await clinic.ana.is_paged(answer, channel)
    await clinic.resolve(patient)
    before = await clinic.both_see(patient, state="closed")

    again = await patient.answers_phq9(item9=3, key="sent-once-more")
    replayed = [await clinic.replay(answer, replica) for replica in clinic.replicas]

    assert (again.status, again.flag_id) == (200, answer.flag_id)
    assert [(one.status, one.body["known"]) for one in replayed] == [(202, True), (202, True)]
    await clinic.listens(for_s=1.0)
    after = await clinic.on_both(lambda replica: clinic.cases_of(patient, replica))
    assert [[(case["case_id"], case["state"]) for case in cases] for cases in after] == [
        [(case["case_id"], "closed")] for case in before
    ]


async def test_an_acknowledgement_of_one_flag_leaves_the_later_one_ringing(clinic: Clinic) -> None:
    patient, first = await _owned_by_ana(clinic, item9=3)
    second = await patient.answers_phq9(item9=3)
    for channel in ("sms", "voice"):
        await clinic.ana.is_paged(second, channel)

    case = await clinic.sees(patient, within_s=HEARD_S, state="received")

    t3 = {flag["flag_id"]: flag["t3"] for flag in case["flags"]}
    assert t3[first.flag_id] is not None
    assert t3[second.flag_id] is None
