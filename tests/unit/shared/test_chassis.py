"""Every error is a problem document without the caller's own words; health, metrics, tokens, bounded bodies."""

from typing import Annotated, Any

import pytest
from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response
from starlette.types import ASGIApp

from shared.chassis.direct import DirectRoutes
from shared.chassis.http import Problem, authenticate, body_of, caller, etag, if_match, json_response, make_app
from shared.security.auth import Principal, TokenIssuer, TokenVerifier
from tests.unit.shared.asgi import Answer, call

KEY = b"a development key of thirty-two b"
SECRET = "Ada Lovelace"


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    ages: list[int] = []


def guidance(_request: Request) -> dict[str, Any]:
    return {"guidance": ["988"]}


def application(checks: dict[str, bool] | None = None, alarms: dict[str, bool] | None = None) -> ASGIApp:
    app = make_app("test", readiness=lambda: checks or {}, alarms=lambda: alarms or {}, extra_for_all_errors=guidance)
    verifier = TokenVerifier(KEY)

    @app.post("/v1/things")
    async def things(body: Body) -> dict[str, str]:
        return {"name": body.name}

    @app.post("/v1/defect")
    async def defect() -> None:
        raise RuntimeError(SECRET)

    @app.post("/v1/refusal")
    async def refusal() -> None:
        raise Problem(409, "taken", "Taken", extra={"guidance": ["own"], "more": 1}, headers={"Retry-After": "1"})

    @app.post("/v1/private")
    async def private(request: Request) -> dict[str, str]:
        principal = authenticate(request, verifier, roles=("clinician",), scopes=("flag.write",))
        return {"sub": principal.sub}

    async def direct(request: Request) -> Response:
        if request.headers.get("x-fail"):
            raise RuntimeError(SECRET)
        body = await body_of(request, 10)
        return json_response({"id": request.path_params["thing_id"], "length": len(body)})

    return DirectRoutes(app, {("POST", "/v1/direct/{thing_id}/parts"): direct}, extra_for_all_errors=guidance)


def token(role: str = "clinician", scopes: tuple[str, ...] = ("flag.write",), ttl_s: int = 3600) -> str:
    return TokenIssuer(KEY).issue("ana", role, scopes, ttl_s)


@pytest.mark.parametrize(
    ("body", "place", "code"),
    [
        ({"name": 3}, ["body", "name"], "string_type"),
        ({}, ["body", "name"], "missing"),
        ({"name": "x", "ages": [1, SECRET]}, ["body", "ages", 1], "int_parsing"),
        ({"name": "x", SECRET: 1}, ["body", "?"], "extra_forbidden"),
        ({"name": "x", "lovelace": 1}, ["body", "?"], "extra_forbidden"),
    ],
)
async def test_an_invalid_body_is_told_where_and_why_but_not_repeated(body: Any, place: list[Any], code: str) -> None:
    answer = await call(application(), "POST", "/v1/things", body)
    assert (answer.status, answer.problem) == (422, "validation")
    assert answer.json["errors"] == [{"loc": place, "code": code}]
    assert answer.json["guidance"] == ["988"]
    assert b"ovelace" not in answer.body


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [
        ("GET", "/v1/nowhere", 404, "not-found"),
        ("PUT", "/v1/things", 405, "method-not-allowed"),
        ("POST", "/v1/defect", 500, "internal"),
    ],
)
async def test_errors_of_the_framework_and_defects_are_problems_too(method: str, path: str, status: int, slug: str) -> None:
    answer = await call(application(), method, path, {})
    assert (answer.status, answer.problem, answer.json["guidance"]) == (status, slug, ["988"])
    assert SECRET.encode() not in answer.body


async def test_a_problem_keeps_its_own_members_and_headers() -> None:
    answer = await call(application(), "POST", "/v1/refusal", {})
    assert answer.json == {"type": "urn:vigil:problem:taken", "title": "Taken", "status": 409, "guidance": ["own"], "more": 1}
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("sent", "status", "slug"),
    [
        (None, 401, "token-missing"),
        ("nonsense", 401, "token-forged"),
        (token(ttl_s=-1), 401, "token-expired"),
        (token(role="patient"), 403, "forbidden"),
        (token(scopes=()), 403, "forbidden"),
    ],
)
async def test_callers_without_the_right_token_are_refused(sent: str | None, status: int, slug: str) -> None:
    answer = await call(application(), "POST", "/v1/private", {}, token=sent)
    assert (answer.status, answer.problem) == (status, slug)
    assert (answer.headers.get("www-authenticate") == "Bearer") == (status == 401)


async def test_a_caller_with_the_right_token_is_let_in() -> None:
    assert (await call(application(), "POST", "/v1/private", {}, token=token())).json == {"sub": "ana"}


async def test_ready_needs_every_check_and_alarms_only_ring() -> None:
    ready = await call(application({"a": True, "b": True}, {"bus_lost": True}), "GET", "/health/ready")
    assert (ready.status, ready.json["alarms"]) == (200, {"bus_lost": True})
    unready = await call(application({"a": True, "b": False}), "GET", "/health/ready")
    assert (unready.status, unready.json["checks"]) == (503, {"a": True, "b": False})
    assert (await call(application({"a": False}), "GET", "/health/live")).status == 200


async def test_a_process_is_alive_until_something_only_a_new_one_cures() -> None:
    moving = {"bus_handlers_move": True}
    app = make_app("x", readiness=dict, liveness=lambda: moving)
    assert (await call(app, "GET", "/health/live")).json == {"status": "live", "checks": {"bus_handlers_move": True}}
    moving["bus_handlers_move"] = False
    stuck = await call(app, "GET", "/health/live")
    assert (stuck.status, stuck.json["status"]) == (503, "stuck")


async def direct(path: str = "/v1/direct/7/parts", **options: Any) -> Answer:
    return await call(application(), "POST", path, **options)


async def test_a_direct_route_has_its_parameter_its_bound_and_the_same_problems() -> None:
    assert (await direct(raw=b"0123456789")).json == {"id": "7", "length": 10}
    too_long = await direct(raw=b"0123456789x")
    assert (too_long.status, too_long.problem, too_long.json["guidance"]) == (413, "body-too-large", ["988"])
    broken = await direct(raw=b"", x_fail="1")
    assert (broken.status, broken.problem, broken.json["guidance"]) == (500, "internal", ["988"])
    assert SECRET.encode() not in broken.body


@pytest.mark.parametrize("path", ["/v1/direct//parts", "/v1/direct/7/8/parts", "/v1/direct/7"])
async def test_a_path_that_does_not_fit_a_direct_route_goes_to_the_application(path: str) -> None:
    assert (await direct(path)).problem == "not-found"


async def test_metrics_name_the_route_never_the_path() -> None:
    app = application()
    await call(app, "POST", "/v1/direct/patient-4711/parts", raw=b"")
    await call(app, "GET", "/v1/patient-4711")
    metrics = await call(app, "GET", "/metrics", accept="application/openmetrics-text")
    assert metrics.headers["content-type"].startswith("application/openmetrics-text")
    assert b'route="/v1/direct/{thing_id}/parts"' in metrics.body
    assert b"patient-4711" not in metrics.body


async def test_the_description_is_openapi_3_1_with_problems_for_errors() -> None:
    described = (await call(application(), "GET", "/openapi.json")).json
    assert described["openapi"].startswith("3.1")
    responses = described["paths"]["/v1/things"]["post"]["responses"]
    assert responses["default"]["content"]["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}
    assert "422" not in responses
    assert "HTTPValidationError" not in described["components"]["schemas"]


def guarded() -> ASGIApp:
    """An application that asks everybody for a token, but those who bring their own proof."""
    verifier = TokenVerifier(KEY)
    app = make_app(
        "test", readiness=dict, verifier=verifier, open_paths=("/v1/hooks/",), body_max_bytes=64, extra_for_all_errors=guidance
    )
    clinician = caller(verifier, roles=("clinician",))

    @app.post("/v1/things")
    async def things(body: Body, who: Annotated[Principal, Depends(clinician)]) -> dict[str, str]:
        return {"name": body.name, "by": who.sub}

    @app.put("/v1/things/{number}")
    async def replace(request: Request, number: int) -> Response:
        version = if_match(request)
        return json_response({"version": version}, headers=etag(version or 1))

    @app.post("/v1/hooks/sms")
    async def hook(request: Request) -> dict[str, int]:
        return {"length": len(await request.body())}

    return app


@pytest.mark.parametrize("raw", [b'{"name": 3}', b"no json", b"x" * 1000])
async def test_without_a_token_a_body_is_not_even_looked_at(raw: bytes) -> None:
    answer = await call(guarded(), "POST", "/v1/things", raw=raw)
    assert (answer.status, answer.problem, answer.json["guidance"]) == (401, "token-missing", ["988"])


async def test_without_the_role_a_body_is_not_validated() -> None:
    answer = await call(guarded(), "POST", "/v1/things", {"name": 3}, token=token(role="patient"))
    assert (answer.status, answer.problem) == (403, "forbidden")
    assert (await call(guarded(), "POST", "/v1/things", {"name": 3}, token=token())).status == 422
    assert (await call(guarded(), "POST", "/v1/things", {"name": "x"}, token=token())).json == {"name": "x", "by": "ana"}


@pytest.mark.parametrize("path", ["/v1/nowhere", "/v1/hooks", "/healthy"])
async def test_a_path_that_nobody_opened_is_closed(path: str) -> None:
    assert (await call(guarded(), "GET", path)).status == 401
    assert (await call(guarded(), "GET", path, token=token())).status == 404


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics", "/openapi.json"])
async def test_whoever_watches_needs_no_token(path: str) -> None:
    assert (await call(guarded(), "GET", path)).status == 200


async def test_a_body_is_bounded_before_it_is_kept() -> None:
    for declared in ({}, {"content_length": "65"}, {"content_length": "nonsense"}):
        answer = await call(guarded(), "POST", "/v1/hooks/sms", raw=b"x" * 65, **declared)
        assert (answer.status, answer.problem, answer.json["guidance"]) == (413, "body-too-large", ["988"])
    assert (await call(guarded(), "POST", "/v1/hooks/sms", raw=b"x" * 64)).json == {"length": 64}


@pytest.mark.parametrize(
    ("told", "status", "version"), [('"7"', 200, 7), ("7", 200, 7), ("*", 200, None), ('W/"7"', 412, None)]
)
async def test_if_match_names_a_version(told: str, status: int, version: int | None) -> None:
    answer = await call(guarded(), "PUT", "/v1/things/3", {}, token=token(), if_match=told)
    assert answer.status == status
    if status == 200:
        assert (answer.json["version"], answer.headers["etag"]) == (version, f'"{version or 1}"')
    else:
        assert answer.problem == "not-a-version"


async def test_the_description_says_who_needs_a_token() -> None:
    described = (await call(guarded(), "GET", "/openapi.json")).json
    assert described["security"] == [{"bearer": []}]
    assert "security" not in described["paths"]["/v1/things"]["post"]
    assert described["paths"]["/v1/hooks/sms"]["post"]["security"] == []
    assert described["paths"]["/health/live"]["get"]["security"] == []
