"""Tasks, drafts, corrections and licences as HTTP tells them."""

import pytest

from services.intake.gateways.instruments import load_registry
from tests.unit.intake.house import House
from tests.unit.intake.test_api import ANSWERS, Client


async def test_staff_sees_and_closes_the_tasks_of_a_patient() -> None:
    client = Client(House())
    mine, other = await client.house.enrol("mine"), await client.house.enrol("other")
    for key in ("a", "b", "c"):
        told = (await client.send(mine, {"q1": 1}, key)).json
        assert told["tasks"] == ["item9_unknown"]
    await client.send(other, {"q1": 1}, "d")
    await client.house.turns()
    first = (await client("GET", f"/v1/tasks?patient_id={mine}")).json
    rest = (await client("GET", f"/v1/tasks?patient_id={mine}&cursor={first['next']}")).json
    assert ([len(first["items"]), len(rest["items"])], rest["next"]) == ([2, 1], None)
    assert {task["patient_id"] for task in (*first["items"], *rest["items"])} == {mine}
    task = first["items"][0]
    assert (task["kind"], task["instrument"], task["state"], task["closed_by"]) == ("item9_unknown", "phq9", "open", None)
    for _ in range(2):
        closed = await client("POST", f"/v1/tasks/{task['task_id']}/close", {})
        assert (closed.status, closed.json["state"], closed.json["closed_by"]) == (200, "closed", "ana")
    open_now = (await client("GET", f"/v1/tasks?patient_id={mine}&status=open")).json["items"]
    assert task["task_id"] not in [one["task_id"] for one in open_now]
    assert [one["state"] for one in (await client("GET", f"/v1/tasks?patient_id={mine}&status=closed")).json["items"]] == [
        "closed"
    ]


async def test_tasks_are_for_staff() -> None:
    house = House()
    patient = await house.enrol()
    own = Client(house, "patient", patient)
    assert [(await own(*call)).status for call in (("GET", "/v1/tasks"), ("POST", "/v1/tasks/x/close"))] == [403, 403]


async def test_requests_for_tasks_that_make_no_sense() -> None:
    client = Client(House())
    assert (await client("GET", "/v1/tasks?status=done")).problem == "unknown-status"
    assert (await client("GET", "/v1/tasks?cursor=x")).problem == "bad-cursor"
    assert (await client("POST", "/v1/tasks/none/close", {})).status == 404
    client.house.work.silent = True
    assert (await client("GET", "/v1/tasks")).problem == "store-unavailable"


async def test_a_draft_is_saved_read_and_flagged() -> None:
    client = Client(House())
    patient = await client.house.enrol()
    path = f"/v1/patients/{patient}/drafts/phq9"
    assert (await client("GET", path)).status == 404
    saved = await client("PUT", path, {"answers": {"q1": 2}}, idempotency_key="f")
    assert (saved.status, saved.json["flag"]) == (200, None)
    assert saved.json["guidance"]
    flagged = await client("PUT", path, {"answers": {"q1": 2, "q9": 3}}, idempotency_key="f")
    assert flagged.json["flag"]["level"] == "high"
    read = (await client("GET", path)).json
    assert (read["answers"], read["saves"], read["guidance"][0]["phone"]) == ({"q1": 2, "q9": 3}, 2, "988")
    handed_in = await client.send(patient, ANSWERS | {"q1": 2, "q9": 3}, "f")
    assert handed_in.json["flag"] == flagged.json["flag"]
    assert (await client("GET", path)).status == 404


@pytest.mark.parametrize(
    ("options", "status", "slug"),
    [
        ({"raw": b"{"}, 422, "body-unreadable"),
        ({"body": {"answers": {"q9": 7}}}, 422, "answers-invalid"),
        ({"raw": b"x" * 70_000}, 413, "body-too-large"),
    ],
)
async def test_a_draft_that_cannot_be_read_says_so_with_guidance(options: dict[str, object], status: int, slug: str) -> None:
    client = Client(House())
    patient = await client.house.enrol()
    answer = await client("PUT", f"/v1/patients/{patient}/drafts/phq9", **options)
    assert (answer.status, answer.problem) == (status, slug)
    assert {"guidance", "flag", "flagged"} <= answer.json.keys()
    assert answer.json["flagged"] is (slug == "answers-invalid")


async def test_a_patient_writes_only_their_own_drafts() -> None:
    house = House()
    mine, other = await house.enrol("mine"), await house.enrol("other")
    patient = Client(house, "patient", mine)
    assert (await patient("PUT", f"/v1/patients/{mine}/drafts/phq9", {"answers": {"q1": 1}})).status == 200
    assert (await patient("PUT", f"/v1/patients/{other}/drafts/phq9", {"answers": {"q1": 1}})).status == 403
    assert (await patient("GET", f"/v1/patients/{other}/drafts/phq9")).status == 403


async def test_a_correction_is_told_with_what_it_corrects() -> None:
    client = Client(House())
    patient = await client.house.enrol()
    first = (await client.send(patient, ANSWERS | {"q9": 1}, "a")).json
    body = {"instrument": "phq9", "answers": ANSWERS, "corrects": first["assessment_id"]}
    told = await client("POST", f"/v1/patients/{patient}/assessments", body, idempotency_key="b")
    assert (told.status, told.json["tasks"]) == (201, ["correction_lowers_flag"])
    read = (await client("GET", f"/v1/assessments/{told.json['assessment_id']}")).json
    assert (read["corrects"], read["answers"]) == (first["assessment_id"], ANSWERS)


async def test_an_instrument_that_is_not_acknowledged_is_refused_with_what_to_do() -> None:
    client = Client(House(registry=load_registry().registry))
    patient = await client.house.enrol()
    body = {
        "instrument": "cssrs_screener",
        "answers": {"q1": True, "q2": True, "q3": False, "q4": True, "q5": False, "q6": False},
    }
    answer = await client("POST", f"/v1/patients/{patient}/assessments", body)
    assert (answer.status, answer.problem, answer.json["flagged"]) == (422, "licence-not-acknowledged", True)
    assert answer.json["flag"]["level"] == "high"
    assert "cssrs_screener" in answer.json["detail"]
    assert "register with" in answer.json["detail"]
