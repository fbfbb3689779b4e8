"""What holds for every route of every service: a valid description, a token before a body, a bound, one kind of error, a key."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from openapi_spec_validator import OpenAPIV31SpecValidator

from shared.chassis.entrance import BODY_MAX_BYTES
from tests.support.servers import Servers
from tests.support.stack import StackFactory, StackUnderTest

pytestmark = pytest.mark.asyncio(loop_scope="session")
SERVICES = ("intake", "crisis-0", "sessions", "outcomes", "notifications")
PROBLEM = "application/problem+json"
# POSTs that need no Idempotency-Key, each with what takes its place.
WITHOUT_A_KEY = {
    "/v1/risk-flags": "a flag's id is its identity",
    "/v1/facts": "merging facts is union",
    "/v1/express/heartbeat": "changes nothing",
    "/v1/providers/twilio/status": "the provider's own message id",
    "/v1/providers/twilio/sms": "the provider's own message id",
    "/v1/providers/twilio/voice": "the provider's own call id",
    "/v1/rooms/webhooks/jitsi": "the room's own event id",
    "/v1/patients/{patient_id}/forget": "whoever is forgotten is forgotten",
    "/v1/tasks/{task_id}/close": "a task is closed once",
    "/a/{token}": "taps of one person on one link within a minute are one",
}
# Peers tell each other their whole table.
WIDER = {"/v1/facts"}
_BODIES = ("post", "put", "patch")


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of one service."""

    service: str
    path: str
    method: str
    operation: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.service} {self.method.upper()} {self.path}"

    @property
    def closed(self) -> bool:
        """Whether the description says that it needs a token."""
        return self.operation.get("security") != []


@dataclass(frozen=True, slots=True)
class Api:
    """Every route of a running stack."""

    running: StackUnderTest
    documents: dict[str, dict[str, Any]]
    session: aiohttp.ClientSession

    @property
    def routes(self) -> list[Route]:
        return [
            Route(service, path, method, operation)
            for service, document in self.documents.items()
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
        ]

    async def ask(self, route: Route, body: bytes | None = None, token: str | None = None) -> tuple[int, str, Any]:
        """Status, media type, body."""
        url = self.running.url(route.service) + route.path.replace("{", "").replace("}", "")
        headers = {"Content-Type": "application/json"} | ({} if token is None else {"Authorization": f"Bearer {token}"})
        async with self.session.request(route.method, url, data=body, headers=headers) as response:
            told = await response.json(content_type=None) if response.content_type == PROBLEM else None
            return response.status, response.content_type, told


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def api(servers: Servers) -> AsyncIterator[Api]:
    factory = StackFactory(servers, "every-route")
    running = await factory(replicas=1, programme=True)
    async with aiohttp.ClientSession() as session:
        documents = {}
        for service in SERVICES:
            async with session.get(f"{running.url(service)}/openapi.json") as response:
                documents[service] = await response.json()
        yield Api(running, documents, session)
    await factory.end()


async def test_the_descriptions_are_valid_openapi_3_1(api: Api) -> None:
    for document in api.documents.values():
        assert document["openapi"].startswith("3.1")
        assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []
        assert len(document["paths"]) > 5


async def test_a_token_is_asked_for_before_a_body_is_looked_at(api: Api) -> None:
    wrong = {}
    for route in api.routes:
        if route.closed:
            status, kind, told = await api.ask(route, b"no json" if route.method in _BODIES else None)
            if (status, kind) != (401, PROBLEM) or told["type"] != "urn:vigil:problem:token-missing":
                wrong[route.name] = (status, kind)
    assert wrong == {}


async def test_only_what_brings_its_own_proof_is_open(api: Api) -> None:
    opened = {route.path for route in api.routes if not route.closed}
    signed = {path for path in opened if path.startswith(("/a/", "/v1/providers/", "/v1/rooms/webhooks/"))}
    assert opened - signed == {"/health/live", "/health/ready", "/metrics"}
    for route in api.routes:
        if route.path in signed:
            status, kind, _ = await api.ask(route, b"" if route.method in _BODIES else None)
            assert (status in (403, 404), kind) == (True, PROBLEM), route.name


async def test_no_body_is_longer_than_its_bound(api: Api) -> None:
    token = api.running.token("service", "somebody", ("flag.write", "crisis.peer"))
    wrong = {}
    for route in api.routes:
        if route.method in _BODIES and route.path not in WIDER:
            status, kind, told = await api.ask(route, b"1" * (BODY_MAX_BYTES + 1), token)
            if status not in (403, 413) or kind != PROBLEM:
                wrong[route.name] = (status, kind, told)
    assert wrong == {}


async def test_whatever_is_wrong_is_a_problem_with_a_stable_type(api: Api) -> None:
    token = api.running.token("supervisor", "sue")
    answers = await asyncio.gather(*(api.ask(route, b"[]" if route.method in _BODIES else None, token) for route in api.routes))
    for route, (status, kind, told) in zip(api.routes, answers, strict=True):
        if status >= 400:
            assert kind == PROBLEM, route.name
            assert str(told["type"]).startswith("urn:vigil:problem:"), route.name
            assert (told["status"], bool(told["title"])) == (status, True), route.name
    assert sum(status >= 400 for status, _, _ in answers) > 10


def _heeds_a_key(route: Route) -> bool:
    return any(parameter.get("name") == "Idempotency-Key" for parameter in route.operation.get("parameters", ()))


async def test_every_post_heeds_an_idempotency_key_or_says_what_takes_its_place(api: Api) -> None:
    posts = [route for route in api.routes if route.method == "post"]
    deaf = {route.path for route in posts if not _heeds_a_key(route)}
    assert deaf - set(WITHOUT_A_KEY) == set(), "heed the key (shared.chassis.idempotency), or say here what takes its place"
    assert set(WITHOUT_A_KEY) - deaf == set(), "these are gone, or heed a key by now"


async def test_every_error_is_described_as_a_problem(api: Api) -> None:
    silent = [route.name for route in api.routes if PROBLEM not in str(route.operation["responses"].get("default", {}))]
    assert silent == []
