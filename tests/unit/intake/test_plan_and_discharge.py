"""Care plan, reviews of the safety plan and discharge, as HTTP and the outbox tell them."""

from typing import Any

import pytest

from services.intake.handlers.cases import CaseHandler
from shared.contracts.patient import CarePlanChanged, ContactChanged, PatientDischarged, SafetyPlanReviewed
from tests.unit.intake.house import ENROLMENT
from tests.unit.intake.programme import Programme
from tests.unit.intake.test_cases import ENVELOPE, opened

PLAN = {"template": "three_by_three", "starts_on": "2026-02-02", "weeks": 12, "group_ids": ["g1", "g2"]}


async def test_a_plan_is_told_once_and_again_when_it_is_another() -> None:
    programme = Programme()
    patient = await programme.house.enrol()
    path = f"/v1/patients/{patient}/care-plan"
    first, again = await programme("PUT", path, PLAN), await programme("PUT", path, PLAN)
    assert (first.status, first.json["version"], again.json["version"]) == (200, 2, 2)
    assert {name: first.json["care_plan"][name] for name in PLAN} == PLAN
    other = await programme("PUT", path, PLAN | {"template": "evening"}, if_match='"2"')
    assert (other.status, other.headers["etag"]) == (200, '"3"')
    none = await programme("PUT", path, {"template": None})
    assert none.json["care_plan"]["template"] is None
    told = [CarePlanChanged.model_validate(data) for data in programme.told(CarePlanChanged.TYPE)]
    assert [(one.template, one.starts_on, one.weeks, one.group_ids) for one in told] == [
        ("three_by_three", "2026-02-02", 12, ("g1", "g2")),
        ("evening", "2026-02-02", 12, ("g1", "g2")),
        (None, None, None, ()),
    ]
    sequences = [entry["sequence"] for entry in programme.house.outbox.entries if entry["type"] == CarePlanChanged.TYPE]
    assert sequences == [2, 3, 4]
    read = await programme("GET", f"/v1/patients/{patient}")
    assert (read.json["care_plan"]["template"], read.json["discharged"], read.json["safety_plan"]) == (None, None, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"template": "weekend", "starts_on": "2026-02-02", "weeks": 12},
        {"template": "evening"},
        {"template": "evening", "starts_on": "2026-02-31", "weeks": 12},
        {"template": "evening", "starts_on": "2026-02-02", "weeks": 0},
        {"template": None, "weeks": 3},
        PLAN | {"group_ids": ["with a space"]},
        PLAN | {"patient": "Ada"},
    ],
)
async def test_a_plan_that_is_none_changes_nothing(wrong: dict[str, Any]) -> None:
    programme = Programme()
    patient = await programme.house.enrol()
    answer = await programme("PUT", f"/v1/patients/{patient}/care-plan", wrong)
    assert (answer.status, answer.problem, programme.told(CarePlanChanged.TYPE)) == (422, "validation", [])


async def test_a_plan_of_another_version_of_nobody_and_while_the_store_is_silent() -> None:
    programme = Programme()
    patient = await programme.house.enrol()
    path = f"/v1/patients/{patient}/care-plan"
    assert (await programme("PUT", path, PLAN, if_match='"7"')).problem == "version-has-changed"
    assert (await programme("PUT", "/v1/patients/nobody/care-plan", PLAN)).status == 404
    assert (await programme("PUT", path, PLAN, role="patient", sub=patient)).status == 403
    programme.house.people.silent = True
    silent = await programme("PUT", path, PLAN)
    assert (silent.status, silent.problem, silent.headers["retry-after"]) == (503, "store-unavailable", "1")


async def test_a_discharge_is_told_once_however_often_it_is_asked_for() -> None:
    programme = Programme()
    patient = await programme.house.enrol()
    path = f"/v1/patients/{patient}/discharge"
    first = await programme("POST", path, {"reason": "completed"}, idempotency_key="a")
    again = await programme("POST", path, {"reason": "completed"}, idempotency_key="a")
    elsewhere = await programme("POST", path, {"reason": "completed"})
    assert (first.status, again.json, elsewhere.json) == (200, first.json, first.json)
    assert (first.json["discharged"]["reason"], first.json["discharged"]["by"]) == ("completed", "ana")
    assert (await programme("POST", path, {"reason": "transferred"}, idempotency_key="a")).problem == "key-used"
    other = await programme("POST", path, {"reason": "transferred"}, idempotency_key="b")
    assert (other.status, other.problem, other.json["reason"]) == (409, "already-discharged", "completed")
    told = [PatientDischarged.model_validate(data) for data in programme.told(PatientDischarged.TYPE)]
    assert [one.reason for one in told] == ["completed"]


@pytest.mark.parametrize("reason", ["suicide", "", None, "completed "])
async def test_only_the_reasons_of_the_list_are_reasons(reason: Any) -> None:
    programme = Programme()
    patient = await programme.house.enrol()
    assert (await programme("POST", f"/v1/patients/{patient}/discharge", {"reason": reason})).problem == "validation"


async def test_only_a_clinician_discharges() -> None:
    programme = Programme()
    patient = await programme.house.enrol()
    path = f"/v1/patients/{patient}/discharge"
    for role, sub in (("service", "sessions"), ("patient", patient)):
        assert (await programme("POST", path, {"reason": "completed"}, role=role, sub=sub)).status == 403
    assert (await programme("POST", path, {"reason": "completed"}, role="supervisor", sub="sue")).status == 200


async def test_with_an_open_case_a_discharge_says_why_and_the_case_goes_on() -> None:
    programme = Programme()
    house = programme.house
    patient = await house.enrol()
    flag = (await house.send(patient, q9=3)).flag
    assert flag is not None
    await CaseHandler(house.cases).heard(opened(flag.flag_id, patient=patient), ENVELOPE)
    path = f"/v1/patients/{patient}/discharge"
    refused = await programme("POST", path, {"reason": "stepped_up"})
    assert (refused.status, refused.problem, programme.told(PatientDischarged.TYPE)) == (409, "discharge-needs-why", [])
    words = "admitted tonight, Quillfeather knows"
    told = await programme("POST", path, {"reason": "stepped_up", "why": words})
    assert (told.status, told.json["discharged"]["with_open_case"]) == (200, True)
    assert (await house.cases.load(patient))[0].open, "a discharge closes no case"
    stored = await house.patients.load(patient)
    assert "Quillfeather" not in str(stored), "what is said about a patient is sealed"
    read = await programme("GET", f"/v1/patients/{patient}")
    assert read.json["discharged"]["why"] == words
    assert "why" not in str(await _seen_by_the_patient(programme, patient))


async def test_a_flag_that_no_case_has_yet_counts_as_an_open_case() -> None:
    programme = Programme()
    patient = await programme.house.enrol()
    await programme.house.send(patient, q9=3)
    refused = await programme("POST", f"/v1/patients/{patient}/discharge", {"reason": "completed"})
    assert refused.problem == "discharge-needs-why"


async def test_words_about_a_discharge_wait_for_the_key_and_a_discharge_without_words_does_not() -> None:
    programme = Programme()
    patient, other = await programme.house.enrol("a"), await programme.house.enrol("b")
    programme.house.keys.keks = None
    told = {"reason": "completed", "why": "moved away"}
    assert (await programme("POST", f"/v1/patients/{patient}/discharge", told)).problem == "sealing-unavailable"
    assert (await programme("POST", f"/v1/patients/{other}/discharge", {"reason": "completed"})).status == 200


async def test_whoever_has_left_has_no_new_plan_but_is_heard_as_before() -> None:
    programme = Programme()
    house = programme.house
    patient = await house.enrol()
    await programme("POST", f"/v1/patients/{patient}/discharge", {"reason": "completed"})
    assert (await programme("PUT", f"/v1/patients/{patient}/care-plan", PLAN)).problem == "patient-discharged"
    word = await house.send(patient, q9=3)
    assert (word.kind, word.flagged) == ("stored", True)
    assert {told["flag_id"] for told in house.bus.flags} == {word.flag.flag_id if word.flag else None}
    assert (await programme("POST", f"/v1/patients/{patient}/safety-plan/reviews")).status == 200


async def test_a_review_is_counted_once_a_request() -> None:
    programme = Programme()
    patient = await programme.house.enrol()
    path = f"/v1/patients/{patient}/safety-plan/reviews"
    for _ in range(2):
        assert (await programme("POST", path, idempotency_key="a")).json["safety_plan"]["reviews"] == 1
    assert (await programme("POST", path, idempotency_key="b")).json["safety_plan"]["reviews"] == 2
    told = [SafetyPlanReviewed.model_validate(data) for data in programme.told(SafetyPlanReviewed.TYPE)]
    assert [one.by for one in told] == ["ana", "ana"]
    assert len({entry["id"] for entry in programme.house.outbox.entries}) == len(programme.house.outbox.entries)


async def test_a_move_is_told_with_zone_and_locale_and_keeps_what_is_not_told() -> None:
    programme = Programme()
    patient = await programme.house.enrol()
    path = f"/v1/patients/{patient}/contacts"
    contacts = {name: ENROLMENT[name] for name in ("name", "phone", "location")}
    assert (await programme("PUT", path, contacts | {"zone": "America/Los_Angeles"})).status == 200
    assert (await programme("PUT", path, contacts | {"locale": "es-US"})).status == 200
    assert (await programme("PUT", path, contacts | {"zone": "Mars/Olympus"})).problem == "validation"
    told = [ContactChanged.model_validate(data) for data in programme.told(ContactChanged.TYPE)]
    assert [(one.zone, one.locale, one.routing.language) for one in told] == [
        ("America/Los_Angeles", "en-US", "en"),
        ("America/Los_Angeles", "es-US", "es"),
    ]
    read = (await programme("GET", f"/v1/patients/{patient}")).json
    assert (read["zone"], read["locale"]) == ("America/Los_Angeles", "es-US")


async def _seen_by_the_patient(programme: Programme, patient: str) -> Any:
    return (await programme("GET", f"/v1/patients/{patient}", role="patient", sub=patient)).json
