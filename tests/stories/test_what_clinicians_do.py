"""What clinicians do to a case, and what stands against it."""

from shared.time.clock import epoch_s
from tests.support.clinic import HEARD_S, Answer, Clinic, Patient

_STAGES = ("t0", "t1", "t2", "t3", "t4", "t5")


async def _taken_by_ana(clinic: Clinic) -> tuple[Patient, Answer]:
    patient = await clinic.enrol()
    answer = await patient.answers_phq9(item9=3)
    for channel in ("sms", "voice"):
        await clinic.ana.is_paged(answer, channel)
    await clinic.ana.has_been_reached(answer)
    await clinic.acknowledge(patient)
    # Its version moves once more when a compare-and-set has decided who owns it.
    await clinic.both_see(patient, owner="ana", state="owned", version=3)
    return patient, answer


async def test_a_case_cannot_be_closed_over_a_flag_that_its_closer_has_not_seen(clinic: Clinic) -> None:
    patient, first = await _taken_by_ana(clinic)
    second = await patient.answers_phq9(item9=3)
    for channel in ("sms", "voice"):
        await clinic.ana.is_paged(second, channel)
    await clinic.both_see(patient, state="received")

    refused = await clinic.resolve(patient, flags=[first.flag_id], replica=1)

    assert (refused.status, refused.problem) == (409, "case-stands-against-it")
    assert set(refused.body["open_flags"]) == {first.flag_id, second.flag_id}
    assert (refused.body["owner"], refused.body["state"]) == ("ana", "received")
    await clinic.both_see(patient, state="received")
    closed = await clinic.resolve(patient, flags=[first.flag_id, second.flag_id])
    assert (closed.status, closed.body["state"]) == (200, "closed")
    await clinic.both_see(patient, state="closed")


async def test_a_version_that_has_moved_on_stands_against_closing(clinic: Clinic) -> None:
    patient, _ = await _taken_by_ana(clinic)
    seen = await clinic.case_of(patient)
    await clinic.does("progress", patient, {"code": "calling_patient"})

    refused = await clinic.resolve(patient, version=seen["version"])

    assert refused.status == 409
    assert refused.body["version"] > seen["version"]
    assert (await clinic.resolve(patient, version=refused.body["version"])).status == 200


async def test_from_the_page_to_the_close_every_stage_is_told_on_both_replicas(clinic: Clinic) -> None:
    patient, answer = await _taken_by_ana(clinic)

    assert (await clinic.does("progress", patient, {"code": "calling_patient"})).body["state"] == "owned"
    reached = await clinic.does("contacted", patient, {"result": "reached", "minutes": 12}, replica=1)
    assert (reached.status, reached.body["state"], reached.body["owner"]) == (200, "contacted", "ana")
    await clinic.both_see(patient, state="contacted")
    closed = await clinic.resolve(patient)
    assert (closed.status, closed.body["state"], closed.body["owner"]) == (200, "closed", "ana")

    async def stamped() -> bool:
        cases = await clinic.on_both(lambda replica: clinic.case_of(patient, replica))
        return all(flag[stage] is not None for case in cases for flag in case["flags"] for stage in _STAGES)

    await clinic.eventually(stamped, HEARD_S, "both replicas have heard of every stage")
    for case in await clinic.both_see(patient, state="closed", owner="ana"):
        [flag] = case["flags"]
        stamps = [flag[stage] for stage in _STAGES]
        # Nobody waits for durability: the second unlike copy (t1) may come after a page that is answered at once.
        t0, t1, *others = stamps
        assert [t0, *others] == sorted([t0, *others])
        assert t0 <= t1
        met = {stage: told["met"] for stage, told in flag["budget"].items()}
        # How quick this machine is decides about a quarter of a second, and not about minutes.
        assert met == {"t2": epoch_s(flag["t2"]) <= epoch_s(flag["budget"]["t2"]["due"]), "t3": True, "t4": True, "t5": True}

    wanted = ("flag", "sending", "handed", "receipt", "acknowledged", "owned", "progress", "contacted", "closed")
    timeline = await clinic.timeline_tells(patient, *wanted)
    assert [line["seq"] for line in timeline] == list(range(1, len(timeline) + 1))
    assert answer.flag_id in {line.get("flag_id") for line in timeline}


async def test_asking_for_the_next_step_pages_the_next_person_at_once_and_the_owner_keeps_the_patient(clinic: Clinic) -> None:
    patient, answer = await _taken_by_ana(clinic)

    assert (await clinic.does("escalate", patient, {"why": "two patients at once"})).status == 200

    for channel in ("sms", "voice"):
        await clinic.ben.is_paged(answer, channel)
    await clinic.both_see(patient, owner="ana", state="owned")


async def test_an_offered_case_stays_with_its_owner_until_somebody_takes_it_over(clinic: Clinic) -> None:
    patient, _ = await _taken_by_ana(clinic)

    assert (await clinic.does("accept", patient, by="ben")).status == 409
    assert (await clinic.does("offer", patient, {"to": "sue"}, by="ben")).status == 409
    offered = await clinic.does("offer", patient, {"to": "ben"})
    assert (offered.status, offered.body["owner"]) == (200, "ana")
    await clinic.both_see(patient, owner="ana", version=offered.body["version"])
    assert (await clinic.does("accept", patient, by="sue")).status == 409
    taken = await clinic.does("accept", patient, by="ben", replica=1)
    assert taken.status == 200

    await clinic.both_see(patient, owner="ben")
    await clinic.both_are_quiet(patient)
    assert (await clinic.does("accept", patient, by="ben")).status == 409


async def test_lowering_a_flag_needs_a_second_clinician_and_names_it(clinic: Clinic) -> None:
    patient, answer = await _taken_by_ana(clinic)
    body = {"flags": [answer.flag_id], "level": "moderate", "why": "seen together"}

    assert (await clinic.does("lower", patient, {**body, "second_clinician_id": "ana"})).status == 409
    lowered = await clinic.does("lower", patient, {**body, "second_clinician_id": "ben"})

    assert lowered.status == 200
    await clinic.both_see(patient, level="moderate", owner="ana")


async def test_nobody_without_a_clinicians_token_touches_a_case(clinic: Clinic) -> None:
    patient, _ = await _taken_by_ana(clinic)
    case = await clinic.case_of(patient)

    for role in ("patient", "service"):
        told = await clinic.crisis("POST", f"/v1/cases/{case['case_id']}/acknowledge", {}, by="mallory", role=role)
        assert (told.status, told.problem) == (403, "forbidden")
    bare = await clinic.call("POST", f"{clinic.servers.url('crisis-0')}/v1/cases/{case['case_id']}/acknowledge", {})
    assert bare.status == 401
    await clinic.both_see(patient, owner="ana", version=case["version"])
