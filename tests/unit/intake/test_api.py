"""Intake's HTTP as the contract says it, without a socket."""

from typing import Any

import pytest
from starlette.types import ASGIApp

from services.intake.api.assessments import ANSWERS_PATH, assessments_router, post_answers
from services.intake.api.drafts import drafts_router
from services.intake.api.patients import patients_router
from services.intake.api.tasks import tasks_router
from shared.chassis.direct import DirectRoutes
from shared.chassis.http import make_app
from shared.security.auth import TokenIssuer, TokenVerifier
from tests.unit.intake.house import ENROLMENT, House
from tests.unit.shared.asgi import Answer, call

KEY = b"a development key of thirty-two b"
ANSWERS = {f"q{n}": 0 for n in range(1, 10)}
EXTRA = {"guidance": ["988"], "flag": None, "flagged": False}


class Client:
    """A caller with a token."""

    def __init__(self, house: House, role: str = "clinician", sub: str = "ana") -> None:
        self.house = house
        self.token = TokenIssuer(KEY).issue(sub, role)
        verifier = TokenVerifier(KEY)
        app = make_app("intake", readiness=dict, extra_for_all_errors=lambda _request: EXTRA)
        post = post_answers(house.handler, verifier)
        app.include_router(assessments_router(post, house.queries, verifier, house.guidance))
        app.include_router(drafts_router(house.handler, house.queries, verifier, house.guidance))
        app.include_router(tasks_router(house.tasks, house.task_queries, verifier))
        app.include_router(patients_router(house.enrolment, house.forgetting, house.queries, verifier))
        self.app: ASGIApp = DirectRoutes(app, {("POST", ANSWERS_PATH): post}, extra_for_all_errors=lambda _request: EXTRA)

    async def send(self, patient_id: str, answers: Any, key: str = "k") -> Answer:
        body = {"instrument": "phq9", "answers": answers}
        return await self("POST", f"/v1/patients/{patient_id}/assessments", body, idempotency_key=key)

    async def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        return await call(self.app, method, path, body, token=self.token, **options)


async def test_a_sheet_is_taken_repeated_and_read() -> None:
    client = Client(House())
    patient = await client.house.enrol()
    first = await client.send(patient, ANSWERS | {"q9": 1})
    assert first.status == 201
    told = first.json
    assert (told["status"], told["total"], told["band"], told["flag"]["level"]) == ("complete", 1, "minimal", "moderate")
    assert told["guidance"][0].keys() == {"label", "phone", "text_to"}
    again = await client.send(patient, ANSWERS | {"q9": 1})
    assert (again.status, again.json) == (200, told)
    read = (await client("GET", f"/v1/assessments/{told['assessment_id']}")).json
    assert (read["patient_id"], read["answers"], read["guidance"][0]["phone"]) == (patient, ANSWERS | {"q9": 1}, "988")


@pytest.mark.parametrize(
    ("answers", "key", "status", "slug", "flagged"),
    [
        (ANSWERS | {"q9": 4}, "b", 422, "answers-invalid", True),
        (ANSWERS | {"q1": 4}, "b", 422, "answers-invalid", False),
        (ANSWERS | {"q9": 3}, "a", 409, "key-used", True),
        (ANSWERS | {"q1": 3}, "a", 409, "key-used", False),
    ],
)
async def test_refusals_say_flag_flagged_and_guidance(answers: Any, key: str, status: int, slug: str, flagged: bool) -> None:
    client = Client(House())
    patient = await client.house.enrol()
    await client.send(patient, ANSWERS, key="a")
    answer = await client.send(patient, answers, key=key)
    assert (answer.status, answer.problem, answer.json["flagged"]) == (status, slug, flagged)
    assert (answer.json["flag"] is not None) == flagged
    assert answer.json["guidance"]


async def test_an_unknown_patient_and_a_silent_store() -> None:
    client = Client(House())
    unknown = await client.send("nobody", ANSWERS | {"q9": 1})
    assert (unknown.status, unknown.problem, unknown.json["flagged"]) == (404, "unknown-patient", True)
    patient = await client.house.enrol()
    client.house.sheets.silent = True
    silent = await client.send(patient, ANSWERS | {"q9": 1})
    assert (silent.status, silent.problem, silent.json["flagged"]) == (503, "not-confirmed", True)
    assert silent.headers["retry-after"] == "1"
    assert silent.json["guidance"]


@pytest.mark.parametrize(
    ("options", "status", "slug"),
    [
        ({"raw": b"{"}, 422, "body-unreadable"),
        ({"raw": b"x" * 70_000}, 413, "body-too-large"),
        ({"raw": b"[]"}, 422, "answers-invalid"),
    ],
)
async def test_a_body_that_is_no_sheet(options: Any, status: int, slug: str) -> None:
    answer = await Client(House())("POST", "/v1/patients/p/assessments", **options)
    assert (answer.status, answer.problem) == (status, slug)
    assert {"guidance", "flag", "flagged"} <= answer.json.keys()


async def test_a_patient_reaches_only_what_is_their_own() -> None:
    house = House()
    mine, other = await house.enrol("mine"), await house.enrol("other")
    staff, patient = Client(house), Client(house, "patient", mine)
    theirs = (await staff.send(other, ANSWERS)).json["assessment_id"]
    own = (await patient.send(mine, ANSWERS)).json["assessment_id"]
    assert (await patient("GET", f"/v1/assessments/{own}")).status == 200
    assert (await patient("GET", f"/v1/patients/{mine}/assessments")).status == 200
    refused = await patient.send(other, ANSWERS)
    assert (refused.status, refused.problem, refused.json["flagged"]) == (403, "forbidden", False)
    assert (await patient("GET", f"/v1/assessments/{theirs}")).status == 404
    assert (await patient("GET", f"/v1/patients/{other}/assessments")).status == 403
    assert (await patient("GET", f"/v1/patients/{other}")).status == 403
    assert (await patient("POST", "/v1/patients", ENROLMENT)).status == 403


async def test_contacts_are_for_those_who_care_for_the_patient() -> None:
    house = House()
    patient_id = await house.enrol()
    told = (await Client(house)("GET", f"/v1/patients/{patient_id}")).json
    assert (told["name"], told["phone"], told["location"]["region"]) == ("Ada Lovelace", "+15550100199", "CA")
    own = await Client(house, "patient", patient_id)("GET", f"/v1/patients/{patient_id}")
    assert own.status == 200
    assert b"Ada" not in own.body
    assert b"0199" not in own.body
    assert (await Client(house)("GET", "/v1/patients/nobody")).status == 404


async def test_enrolment_is_idempotent_under_its_key() -> None:
    client = Client(House())
    first = await client("POST", "/v1/patients", ENROLMENT, idempotency_key="a")
    again = await client("POST", "/v1/patients", ENROLMENT, idempotency_key="a")
    other = await client("POST", "/v1/patients", ENROLMENT | {"name": "B"}, idempotency_key="a")
    without = [await client("POST", "/v1/patients", ENROLMENT) for _ in range(2)]
    assert [answer.status for answer in (first, again, other, *without)] == [201, 200, 409, 201, 201]
    assert first.json == again.json
    assert len({answer.json["patient_id"] for answer in (first, *without)}) == 3
    client.house.people.silent = True
    assert (await client("POST", "/v1/patients", ENROLMENT)).problem == "store-unavailable"


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"phone": "911"}, ["body", "phone"]),
        ({"zone": "Mars/Olympus"}, ["body", "zone"]),
        ({"location": {"country": "us", "region": "CA"}}, ["body", "location", "country"]),
        ({"emergency_contact": {"name": "B"}}, ["body", "emergency_contact", "phone"]),
    ],
)
async def test_an_enrolment_that_cannot_be_used(change: Any, place: list[str]) -> None:
    answer = await Client(House())("POST", "/v1/patients", ENROLMENT | change)
    assert (answer.status, [error["loc"] for error in answer.json["errors"]]) == (422, [place])


async def test_pages_of_sheets_go_back_in_time() -> None:
    client = Client(House())
    patient = await client.house.enrol()
    sent = [(await client.send(patient, ANSWERS, key=str(number))).json["assessment_id"] for number in range(5)]
    await client.send(patient, ANSWERS | {"q9": 9}, key="refused")
    read: list[str] = []
    path = f"/v1/patients/{patient}/assessments"
    page = (await client("GET", path)).json
    while True:
        assert len(page["items"]) <= 2
        read += [item["assessment_id"] for item in page["items"]]
        if page["next"] is None:
            break
        page = (await client("GET", f"{path}?cursor={page['next']}")).json
    assert read == sent[::-1]
    assert (await client("GET", f"{path}?cursor=nonsense")).problem == "bad-cursor"


async def test_routine_work_beyond_its_bound_is_503_with_guidance_and_a_time_to_come_back() -> None:
    client = Client(House(routine_max=0))
    answer = await client.send("somebody", ANSWERS)
    assert (answer.status, answer.problem, answer.headers["retry-after"]) == (503, "busy", "1")
    assert {"guidance", "flag", "flagged"} <= answer.json.keys()
    assert (await client("GET", "/v1/patients/somebody")).problem == "busy"
    assert (await client.send("somebody", ANSWERS | {"q9": 3})).json["flagged"] is True


async def test_the_hot_route_is_in_the_description() -> None:
    described = (await call(Client(House()).app, "GET", "/openapi.json")).json
    assert {"get", "post"} == set(described["paths"]["/v1/patients/{patient_id}/assessments"])
