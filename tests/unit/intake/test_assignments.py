"""What a patient is to answer: assigned once, over both clock changes, answered, overdue, taken back; nothing is ever lost."""

from collections.abc import Sequence
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from services.intake.domain import assignments
from services.intake.domain.assignments import SERIES_MAX, Answered, Order
from services.intake.gateways.instruments import load_registry
from shared.contracts.assessment import AssessmentAssigned
from shared.time.clock import ManualClock, epoch_s, iso
from tests.unit.intake.house import ENROLMENT
from tests.unit.intake.programme import Programme

DAY_S = 86_400.0
# A Monday, 08:00 in New York, three weeks before its clocks go forward.
MONDAY = "2026-02-16T08:00:00-05:00"
WEEKLY = {"instrument": "phq9", "due_from": MONDAY, "every_days": 7, "times": 4}
CONTACTS = {name: ENROLMENT[name] for name in ("name", "phone", "location")}


def at(told: str) -> ManualClock:
    return ManualClock(epoch_s(told))


async def states(programme: Programme, patient: str) -> list[str]:
    """The states of a patient's assignments, the earliest first."""
    return [one["state"] for one in (await programme("GET", f"/v1/patients/{patient}/assignments")).json["items"]][::-1]


async def test_an_assignment_is_told_open_answered_and_known_again() -> None:
    programme = Programme(at("2026-02-16T07:00:00-05:00"))
    house = programme.house
    patient = await house.enrol()
    path = f"/v1/patients/{patient}/assignments"
    body = {"instrument": "phq9", "due_from": MONDAY, "due_by": "2026-02-18T08:00:00-05:00"}
    first = await programme("POST", path, body, idempotency_key="a")
    again = await programme("POST", path, body, idempotency_key="a")
    assert (first.status, again.status, again.json) == (201, 200, first.json)
    (one,) = first.json["items"]
    assert (one["due_from"], one["due_by"], one["state"]) == (
        "2026-02-16T13:00:00.000000Z",
        "2026-02-18T13:00:00.000000Z",
        "ahead",
    )
    (told,) = [AssessmentAssigned.model_validate(data) for data in programme.told(AssessmentAssigned.TYPE)]
    assert (told.assignment_id, told.instrument, told.withdrawn) == (one["assignment_id"], "phq9", False)
    assert (await programme("POST", path, body | {"instrument": "gad7"}, idempotency_key="a")).problem == "key-used"
    await house.send(patient, q9=0, key="too early")
    assert await states(programme, patient) == ["ahead"]
    programme.clock.advance(2 * 3600.0)
    assert await states(programme, patient) == ["open"]
    programme.clock.advance(3 * DAY_S)
    assert await states(programme, patient) == ["overdue"]
    word = await house.send(patient, q9=0, key="at last")
    read = (await programme("GET", path)).json["items"]
    assert word.document is not None
    assert [(one["state"], one["assessment_id"]) for one in read] == [("completed", word.document["_id"])]
    assert len(programme.told(AssessmentAssigned.TYPE)) == 1


async def test_eight_stays_eight_when_the_clocks_change_and_after_a_move() -> None:
    programme = Programme(at("2026-02-16T07:00:00-05:00"))
    patient = await programme.house.enrol()
    told = await programme("POST", f"/v1/patients/{patient}/assignments", WEEKLY)
    hours = [(one["due_from"][11:16], one["due_by"][11:16]) for one in told.json["items"]]
    # New York goes forward on 8 March: the last begins at 12:00 UTC, and the one before ends then.
    assert hours == [("13:00", "13:00"), ("13:00", "13:00"), ("13:00", "12:00"), ("12:00", "12:00")]
    moved = CONTACTS | {"zone": "America/Los_Angeles"}
    assert (await programme("PUT", f"/v1/patients/{patient}/contacts", moved)).status == 200
    read = (await programme("GET", f"/v1/patients/{patient}/assignments")).json["items"]
    assert read[::-1] == told.json["items"], "what was told stays what it was"


async def test_one_sheet_answers_all_that_is_open_of_its_instrument_and_nothing_ahead_or_else() -> None:
    programme = Programme(at("2026-02-24T08:00:01-05:00"))
    patient = await programme.house.enrol()
    await programme("POST", f"/v1/patients/{patient}/assignments", WEEKLY)
    other = WEEKLY | {"instrument": "gad7", "times": 1}
    await programme("POST", f"/v1/patients/{patient}/assignments", other)
    first = await programme.house.send(patient, q9=1, key="a")
    assert sorted(await states(programme, patient)) == ["ahead", "ahead", "completed", "completed", "overdue"]
    programme.clock.advance(7 * DAY_S)
    assert first.document is not None
    corrected = await programme.house.send(patient, q9=2, key="b", corrects=first.document["_id"])
    assert corrected.kind == "stored"
    assert sorted(await states(programme, patient)).count("completed") == 2, "a correction answers no question of today"


async def test_a_discharge_takes_back_what_is_not_answered_and_keeps_what_is() -> None:
    programme = Programme(at("2026-02-24T08:00:01-05:00"))
    patient = await programme.house.enrol()
    path = f"/v1/patients/{patient}/assignments"
    await programme("POST", path, WEEKLY, idempotency_key="a")
    await programme.house.send(patient, q9=0)
    assert (await programme("POST", f"/v1/patients/{patient}/discharge", {"reason": "completed"})).status == 200
    assert await states(programme, patient) == ["completed", "completed", "withdrawn", "withdrawn"]
    told = [AssessmentAssigned.model_validate(data) for data in programme.told(AssessmentAssigned.TYPE)]
    assert [one.withdrawn for one in told] == [False] * 4 + [True] * 2
    assert {one.assignment_id for one in told[4:]} == {one.assignment_id for one in told[2:4]}
    programme.clock.advance(20 * DAY_S)
    await programme.house.send(patient, q9=0, key="later")
    assert await states(programme, patient) == ["completed", "completed", "withdrawn", "withdrawn"]
    assert (await programme("POST", path, WEEKLY, idempotency_key="b")).problem == "patient-discharged"
    assert (await programme("POST", path, WEEKLY, idempotency_key="a")).status == 200, "a repetition is told what it made"


async def test_a_series_is_taken_back_as_far_as_it_is_not_answered_and_no_other() -> None:
    programme = Programme(at("2026-02-24T08:00:01-05:00"))
    patient = await programme.house.enrol()
    path = f"/v1/patients/{patient}/assignments"
    series = (await programme("POST", path, WEEKLY, idempotency_key="a")).json["items"][0]["series_id"]
    other = (await programme("POST", path, WEEKLY | {"times": 1, "due_from": "2026-03-20T08:00:00-04:00"})).json["items"]
    await programme.house.send(patient, q9=0)
    for _ in range(2):
        told = await programme("POST", f"{path}/{series}/withdraw")
        assert (told.status, [one["state"] for one in told.json["items"]]) == (
            200,
            ["completed", "completed", "withdrawn", "withdrawn"],
        )
    taken_back = [data["assignment_id"] for data in programme.told(AssessmentAssigned.TYPE) if data["withdrawn"]]
    assert taken_back == [one["assignment_id"] for one in told.json["items"][2:]]
    assert (await programme("GET", f"{path}?status=ahead")).json["items"] == other
    assert (await programme("POST", f"{path}/nothing/withdraw")).problem == "not-found"
    assert (await programme("POST", f"{path}/{series}/withdraw", role="patient", sub=patient)).status == 403


async def test_what_cannot_be_assigned() -> None:
    programme = Programme(at(MONDAY))
    patient = await programme.house.enrol()
    path = f"/v1/patients/{patient}/assignments"
    wrong: Sequence[tuple[dict[str, Any], str]] = (
        (WEEKLY | {"instrument": "phq10"}, "unknown-instrument"),
        ({"instrument": "phq9", "due_from": MONDAY}, "validation"),
        ({"instrument": "phq9", "due_from": MONDAY, "due_by": MONDAY}, "validation"),
        ({"instrument": "phq9", "due_from": MONDAY, "due_by": MONDAY[:-6], "every_days": 7}, "validation"),
        ({"instrument": "phq9", "due_from": MONDAY, "due_by": "2026-02-17T08:00:00Z", "times": 3}, "validation"),
        (WEEKLY | {"times": 61}, "validation"),
    )
    for body, slug in wrong:
        answer = await programme("POST", path, body)
        assert (answer.status, answer.problem) == (422, slug), body
    assert (await programme("POST", "/v1/patients/nobody/assignments", WEEKLY)).status == 404
    assert (await programme("GET", "/v1/patients/nobody/assignments")).status == 404
    assert (await programme("GET", path, role="patient", sub="somebody")).status == 403
    assert (await programme("GET", path, role="patient", sub=patient)).json == {"items": [], "next": None}
    assert (await programme("GET", f"{path}?cursor=x")).problem == "bad-cursor"
    programme.assignments._registry = load_registry().registry
    locked = await programme("POST", path, WEEKLY | {"instrument": "cssrs_screener"})
    assert locked.problem == "unknown-instrument", "nobody is asked what may not be used here"


async def test_a_patient_has_a_bounded_number_of_series() -> None:
    programme = Programme(at(MONDAY))
    patient = await programme.house.enrol()
    path = f"/v1/patients/{patient}/assignments"
    once = WEEKLY | {"times": 1}
    for number in range(SERIES_MAX):
        assert (await programme("POST", path, once, idempotency_key=str(number))).status == 201
    full = await programme("POST", path, once, idempotency_key="one more")
    assert (full.status, full.problem) == (409, "too-many-assignments")
    stored = await programme.house.patients.load(patient)
    assert stored is not None
    assert len(orjson.dumps(stored["assignments"])) < 40_000, "a patient's document stays small"


async def test_assignments_come_in_pages_and_by_state() -> None:
    programme = Programme(at("2026-02-24T08:00:01-05:00"), page_max=2)
    patient = await programme.house.enrol()
    path = f"/v1/patients/{patient}/assignments"
    for key in ("a", "b"):
        await programme("POST", path, WEEKLY | {"times": 3}, idempotency_key=key)
    pages = [(await programme("GET", path)).json]
    while pages[-1]["next"]:
        pages.append((await programme("GET", f"{path}?cursor={pages[-1]['next']}")).json)
    ids = [one["assignment_id"] for page in pages for one in page["items"]]
    assert ([len(page["items"]) for page in pages], len(set(ids))) == ([2, 2, 2], 6)
    ahead = (await programme("GET", f"{path}?status=ahead")).json["items"]
    assert [one["state"] for one in ahead] == ["ahead", "ahead"]


@settings(max_examples=40)
@given(st.lists(st.sampled_from(["assign", "plan", "move", "restart", "answer", "day"]), max_size=14))
async def test_whatever_else_happens_no_assignment_is_lost_or_made_twice(steps: list[str]) -> None:
    programme = Programme(at("2026-02-16T08:00:01-05:00"))
    patient = await programme.house.enrol()
    path = f"/v1/patients/{patient}/assignments"
    wanted: dict[str, str] = {}
    series = moves = answers = 0
    for step in steps:
        if step == "assign":
            series += 1
            for status in (201, 200):
                told = await programme("POST", path, WEEKLY | {"times": 2}, idempotency_key=str(series))
                assert told.status == status
            wanted |= {one["assignment_id"]: one["due_from"] for one in told.json["items"]}
        elif step == "plan":
            plan = {"template": "evening", "starts_on": "2026-02-02", "weeks": 1 + len(wanted)}
            assert (await programme("PUT", f"/v1/patients/{patient}/care-plan", plan)).status == 200
        elif step == "move":
            moves += 1
            zone = ("Europe/Vienna", "America/New_York")[moves % 2]
            assert (await programme("PUT", f"/v1/patients/{patient}/contacts", CONTACTS | {"zone": zone})).status == 200
        elif step == "restart":
            programme.house.restart()
        elif step == "answer":
            answers += 1
            assert (await programme.house.send(patient, q9=0, key=f"k{answers}")).kind == "stored"
        else:
            programme.clock.advance(DAY_S)
        read = (await programme("GET", path)).json["items"]
        assert {one["assignment_id"]: one["due_from"] for one in read} == wanted
    told_ids = [data["assignment_id"] for data in programme.told(AssessmentAssigned.TYPE)]
    assert sorted(told_ids) == sorted(wanted)


def test_the_first_sheet_since_it_began_answers_an_assignment_whatever_the_order_of_reading() -> None:
    document = {"patient_id": "p", "programme_id": "d", "version": 1, "zone": "America/New_York", "outbox": []}
    order = Order("phq9", epoch_s(MONDAY), every_days=7, times=2)
    kept = assignments.assigned(document, order, series_id="s", digest="d", by="ana", now_s=epoch_s(MONDAY))
    begins = [one.due_from_s for one in assignments.assignments_of(assignments.series_of(kept)[0])]
    sheets = [Answered("phq9", begins[1] + 5, "late"), Answered("phq9", begins[0], "first"), Answered("gad7", begins[1], "x")]
    for read in (sheets, sheets[::-1]):
        found = assignments.shown(kept, read, begins[1])
        assert [(one["assessment_id"], one["completed_at"]) for one in found[::-1]] == [
            ("first", iso(begins[0])),
            ("late", iso(begins[1] + 5)),
        ]
