"""What the APIs say of themselves is whole, and holds against a fuzzer: whatever fits the description, or nearly, is never a 5xx.

The services are composed in this process, over a bus and a store in memory that never die: a 503 is as wrong as a 500. The stream,
which has no end, is left to its own tests.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import pytest_asyncio
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from jsonschema import Draft202012Validator
from schemathesis import Case
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from starlette.types import ASGIApp

from deploy.local.phone.openapi import document as phone_document
from services.crisis.app.routes import EXAMPLES as OF_CRISIS
from services.intake.api.enrolment import EnrolmentTold
from services.intake.app import EXAMPLES as OF_INTAKE
from shared.chassis.description import examples_in, operation_id, operations
from tests.support.composed import Composed, ask, composed
from tests.support.runs import Run

pytestmark = pytest.mark.asyncio(loop_scope="session")
PROGRAMME = ("sessions", "outcomes", "notifications")
SERVICES = ("intake", "crisis-0", *PROGRAMME)
PROBLEM = "application/problem+json"
ENDLESS = {"/v1/stream"}
# Waits half a minute for the receipts of somebody's phones.
SLOW = {"/v1/people/{entry_id}/test"}
# One flag or many: two shapes of one answer.
FREE_FORM = ("/v1/risk-flags",)
# Each for every operation, with data that fits and with data that does not.
EXAMPLES = 10
_ANSWERED_S = 10.0
# Who may do what: a supervisor's token opens the most, a service's the lanes and the peers.
_SCOPES = ("flag.write", "crisis.peer")


@dataclass(frozen=True, slots=True)
class Described:
    """Composed services and what its services say of themselves."""

    running: Composed
    known: dict[str, str]
    documents: dict[str, dict[str, Any]]

    def operations(self) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
        """Every (service, path, method, operation)."""
        for service, document in self.documents.items():
            for path, method, operation in operations(document):
                yield service, path, method, operation


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def described(run: Run) -> AsyncIterator[Described]:
    async with composed(run.home("described-routes").path, PROGRAMME) as running:
        answers = {name: await ask(running.apps[name], "GET", "/openapi.json", {}) for name in SERVICES}
        known = await _a_patient_with_an_open_case(running)
        yield Described(running, known, {name: json.loads(answer.text) for name, answer in answers.items()})


async def _a_patient_with_an_open_case(running: Composed) -> dict[str, str]:
    """What path parameters may be called that lead somewhere: found by the same way that people take."""
    intake, headers = running.apps["intake"], {"Content-Type": "application/json"}
    headers["Authorization"] = f"Bearer {running.issuer.issue('ana', 'clinician')}"
    example = EnrolmentTold.model_config["json_schema_extra"]["examples"][0]  # type: ignore[index]
    enrolled = await ask(intake, "POST", "/v1/patients", headers, json.dumps(example).encode())
    patient_id = json.loads(enrolled.text)["patient_id"]
    sheet = {"instrument": "phq9", "answers": {f"q{number}": 3 for number in range(1, 10)}}
    told = await ask(intake, "POST", f"/v1/patients/{patient_id}/assessments", headers, json.dumps(sheet).encode())
    answer = json.loads(told.text)
    known = {"patient_id": patient_id, "assessment_id": answer["assessment_id"], "entry_id": "ana"}
    known["identifier"] = answer["flag"]["flag_id"]
    await _until_200(running.apps["crisis-0"], f"/v1/cases/{known['identifier']}", headers)
    await _until_200(intake, "/health/ready", {})
    return known


async def _until_200(app: ASGIApp, path: str, headers: Mapping[str, str]) -> None:
    async with asyncio.timeout(_ANSWERED_S):
        while (await ask(app, "GET", path, headers)).status != 200:  # noqa: ASYNC110 - no event tells when
            await asyncio.sleep(0)


async def test_every_operation_is_named_tagged_and_summed_up_in_a_sentence(described: Described) -> None:
    wrong = []
    for service, path, method, operation in described.operations():
        named = operation.get("operationId") == operation_id(method, path)
        if not (named and operation.get("tags") and " " in operation.get("summary", "")):
            wrong.append(f"{service} {method.upper()} {path}: {operation.get('summary')!r}")
    assert wrong == [], "write the route's docstring: its first sentence is its summary"
    for document in described.documents.values():
        names = [operation["operationId"] for _, _, operation in operations(document)]
        assert len(names) == len(set(names))


async def test_every_parameter_and_every_body_has_an_example_that_fits_its_schema(described: Described) -> None:
    wrong = []
    for service, path, method, operation in described.operations():
        document = described.documents[service]
        for parameter in operation.get("parameters", ()):
            example = parameter.get("example", (parameter.get("schema", {}).get("examples") or [None])[0])
            if example is None or not _fits(example, parameter["schema"], document):
                wrong.append(f"{service} {method.upper()} {path}: {parameter['name']}")
        for told in operation.get("requestBody", {}).get("content", {}).values():
            examples = _examples(told, document)
            if not examples or not all(_fits(example, told["schema"], document) for example in examples):
                wrong.append(f"{service} {method.upper()} {path}: body")
    assert wrong == [], "parameters: shared/chassis/description.py; bodies: `examples` of their model"


async def test_every_answer_has_an_example_that_fits_its_schema(described: Described) -> None:
    assert _unexampled_answers(described.operations(), described.documents) == [], (
        "write it into the service's api/examples.yaml, under the operation's name"
    )


async def test_no_example_is_of_an_operation_that_is_gone(described: Described) -> None:
    for service, file in (("intake", OF_INTAKE), ("crisis-0", OF_CRISIS)):
        names = {operation["operationId"] for _, _, operation in operations(described.documents[service])}
        assert set(examples_in(file)) - names == set()


async def test_the_phone_simulators_description_has_examples_too() -> None:
    documents = {"phone": phone_document()}
    told = [("phone", path, method, operation) for path, method, operation in operations(documents["phone"])]
    assert _unexampled_answers(told, documents) == []
    bodies = [content for *_, one in told for content in one.get("requestBody", {}).get("content", {}).values()]
    assert len(bodies) == 6
    assert all(_fits(content["example"], content["schema"], documents["phone"]) for content in bodies)
    parameters = [parameter for item in documents["phone"]["paths"].values() for parameter in item.get("parameters", ())]
    assert all(_fits(one["schema"]["examples"][0], one["schema"], documents["phone"]) for one in parameters)


def _unexampled_answers(
    told: Iterable[tuple[str, str, str, dict[str, Any]]], documents: dict[str, dict[str, Any]]
) -> list[str]:
    wrong = []
    for service, path, method, operation in told:
        answers = {status: answer for status, answer in operation["responses"].items() if status.startswith("2")}
        contents = [content for answer in answers.values() for content in answer.get("content", {}).values()]
        fine = answers and (contents or "204" in answers)
        if not fine or not all(
            "example" in one and _fits(one["example"], one.get("schema", {}), documents[service]) for one in contents
        ):
            wrong.append(f"{service} {method.upper()} {path}")
    return wrong


async def test_every_error_is_a_problem_and_every_closed_route_says_so(described: Described) -> None:
    for service, path, method, operation in described.operations():
        document = described.documents[service]
        errors = {status: told for status, told in operation["responses"].items() if status == "default" or status >= "400"}
        assert "default" in errors, f"{service} {method.upper()} {path}"
        assert all(PROBLEM in told["content"] for told in errors.values()), f"{service} {method.upper()} {path}"
        security = operation.get("security", document["security"])
        assert security in ([], [{"bearer": []}]), f"{service} {method.upper()} {path}"


def _examples(told: dict[str, Any], document: dict[str, Any]) -> list[Any]:
    if "example" in told:
        return [told["example"]]
    schema = _resolved(told["schema"], document)
    if "examples" in schema:
        return list(schema["examples"])
    properties = {name: _resolved(one, document) for name, one in schema.get("properties", {}).items()}
    told_of = {name: one["examples"][0] for name, one in properties.items() if "examples" in one}
    return [told_of] if told_of else []


def _resolved(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    found: Any = document
    for part in schema["$ref"].removeprefix("#/").split("/") if "$ref" in schema else ():
        found = found[part]
    return found if "$ref" in schema else schema


def _fits(example: Any, schema: dict[str, Any], document: dict[str, Any]) -> bool:
    return bool(Draft202012Validator({**schema, "components": document.get("components", {})}).is_valid(example))


# The fuzzer


@dataclass
class Fuzzer:
    """Sends what a generator makes of one service's description, and remembers which answers were wrong."""

    app: ASGIApp
    known: Mapping[str, str]
    tokens: tuple[str, str]
    loop: asyncio.AbstractEventLoop
    sent: int = 0
    compared: set[str] = field(default_factory=set)
    wrong: dict[str, str] = field(default_factory=dict)

    def run(self, document: dict[str, Any]) -> None:
        """Every operation, with data that fits the description and with data that does not."""
        schema = schemathesis.openapi.from_dict(document)
        for result in schema.get_all_operations():
            assert isinstance(result, Ok), "an operation that cannot be read"
            operation = result.ok()
            if operation.path in ENDLESS:
                continue
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                self._try(operation.as_strategy(generation_mode=mode))

    def _try(self, cases: Any) -> None:
        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=cases)
        def send(case: Case[Any]) -> None:
            self._send(case, self.tokens[self.sent % 2])

        try:
            send()
        except Unsatisfiable:
            # Nothing can be made that does not fit: a route without parameters and body.
            return

    def _send(self, case: Case[Any], token: str) -> None:
        if self.sent % 3 and case.path not in SLOW:
            # Two of three should lead somewhere.
            case.path_parameters = {name: self.known.get(name, value) for name, value in (case.path_parameters or {}).items()}
        told = case.as_transport_kwargs(base_url="http://t", headers={"Authorization": f"Bearer {token}"})
        told["cookies"] = {}
        try:
            request = requests.Request(**told).prepare()
        except (requests.exceptions.InvalidHeader, requests.exceptions.InvalidURL, UnicodeError):
            return  # no client can send that
        body = request.body or b""
        raw = body.encode() if isinstance(body, str) else bytes(cast(bytes, body))
        asking = ask(
            self.app, str(request.method), str(request.url), {name: str(value) for name, value in request.headers.items()}, raw
        )
        answer = asyncio.run_coroutine_threadsafe(asking, self.loop).result(_ANSWERED_S)
        self.sent += 1
        name = f"{case.method} {case.operation.path}"
        if answer.status >= 500:
            self.wrong[name] = f"{answer.status} {answer.text[:200]} to {request.url} {raw[:300]!r}"
        elif answer.status >= 400 and answer.kind != PROBLEM:
            self.wrong[name] = f"{answer.status} as {answer.kind or 'nothing'}"
        elif answer.status < 300 and answer.kind == "application/json":
            self._compare(name, case.operation.definition.raw, json.loads(answer.text))

    def _compare(self, name: str, operation: dict[str, Any], answer: Any) -> None:
        """An example that names other fields than the answer does is a lie."""
        told = next(response for status, response in operation["responses"].items() if status.startswith("2"))
        example = told.get("content", {}).get("application/json", {}).get("example")
        if example is None:
            return
        if isinstance(answer, dict) and set(example) != set(answer) and not name.endswith(FREE_FORM):
            self.wrong[name] = f"its example names {sorted(example)}, the answer {sorted(answer)}"
        self.compared.add(name)


@pytest.mark.parametrize("service", SERVICES)
async def test_whatever_is_sent_is_answered_and_never_with_a_5xx(described: Described, service: str) -> None:
    issuer = described.running.issuer
    tokens = issuer.issue("sue", "supervisor"), issuer.issue("somebody", "service", _SCOPES)
    # A patient of its own: a case of all that the services before have sent would be slow to write down.
    known = described.known | await _a_patient_with_an_open_case(described.running)
    fuzzer = Fuzzer(described.running.apps[service], known, tokens, asyncio.get_running_loop())
    await asyncio.to_thread(fuzzer.run, described.documents[service])
    assert fuzzer.wrong == {}
    assert fuzzer.sent > 100
    assert len(fuzzer.compared) > 3, "examples were compared with what is really answered"
