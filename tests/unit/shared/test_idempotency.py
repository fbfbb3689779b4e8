"""A POST that comes again is known by its caller, route and key; what it makes has the same id, what it says the same digest."""

from typing import Any

import pytest
from fastapi import Request
from pydantic import BaseModel

from shared.chassis.idempotency import Posted, key_used, posted
from shared.security.auth import Principal

ANA, BEN = Principal("ana", "clinician"), Principal("ben", "clinician")


class Body(BaseModel):
    name: str
    ages: dict[str, int] = {}
    note: str | None = None


class Route:
    """The framework's route, as far as it matters."""

    path = "/v1/things/{thing_id}"


def told(who: Principal = ANA, key: str | None = "k", body: BaseModel | None = None, method: str = "POST") -> Posted:
    headers = [] if key is None else [(b"idempotency-key", key.encode())]
    scope: dict[str, Any] = {"type": "http", "method": method, "path": "/v1/things/7", "headers": headers, "route": Route}
    return posted(Request(scope), who, body)


def test_the_same_request_makes_the_same_thing() -> None:
    assert told().id_in("default", "p-1") == told().id_in("default", "p-1")
    assert told().route == "POST /v1/things/{thing_id}"


@pytest.mark.parametrize(
    "other",
    [
        told(who=BEN).id_in("default", "p-1"),
        told(key="K").id_in("default", "p-1"),
        told(method="PUT").id_in("default", "p-1"),
        told().id_in("default", "p-2"),
        told().id_in("other", "p-1"),
    ],
)
def test_another_caller_key_route_subject_or_programme_makes_another(other: str) -> None:
    assert other != told().id_in("default", "p-1")


@pytest.mark.parametrize("key", [None, ""])
def test_without_a_key_every_request_makes_a_new_thing(key: str | None) -> None:
    assert told(key=key).id_in("default") != told(key=key).id_in("default")


@pytest.mark.parametrize("key", ["x" * 10_000, "a\x1fb", "ключ".encode().decode("latin-1")])
def test_a_key_is_any_text(key: str) -> None:
    assert len(Posted("ana", "POST /", key, "d").id_in("default")) == 36


def test_a_digest_is_of_what_was_said_not_of_how() -> None:
    one = told(body=Body.model_validate_json('{"name": "x", "ages": {"a": 1, "b": 2}}'))
    other = told(body=Body.model_validate_json('{"ages":{"b":2,"a":1},"note":null,"name":"x"}'))
    assert one.digest == other.digest
    assert told(body=Body(name="y")).digest != told(body=Body(name="x")).digest
    assert told().digest == told().digest


def test_a_used_key_is_a_conflict() -> None:
    problem = key_used()
    assert (problem.status, problem.slug) == (409, "key-used")
