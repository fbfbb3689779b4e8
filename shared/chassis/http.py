"""The HTTP side of a service: application, bearer tokens, bounded bodies, health, metrics."""

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.chassis.problems import (
    PROBLEM_JSON,
    ExtraForErrors,
    Problem,
    ProblemDocument,
    install_problem_handlers,
    problem_response,
)
from shared.security.auth import NotAuthenticated, Principal, TokenVerifier
from shared.telemetry.metrics import HTTP_REQUEST_SECONDS

__all__ = ["Problem", "authenticate", "body_of", "json_response", "make_app", "problem_response"]

BODY_MAX_BYTES = 65_536
States = Callable[[], Mapping[str, bool]]


def make_app(
    name: str,
    *,
    readiness: States,
    alarms: States | None = None,
    extra_for_all_errors: ExtraForErrors | None = None,
    version: str = "0.1.0",
    registry: CollectorRegistry = REGISTRY,
) -> FastAPI:
    """An application with health, metrics, OpenAPI 3.1 at `/openapi.json` and problem+json for every error.

    `readiness` names what must be true to be ready (any false → 503); `alarms` (true = ringing) are reported beside it and
    never make the service unready. `extra_for_all_errors` adds members to every error body.
    """
    app = FastAPI(title=f"Vigil {name}", version=version, docs_url=None, redoc_url=None, responses=_PROBLEM_RESPONSES)
    install_problem_handlers(app, extra_for_all_errors)
    app.add_middleware(_Measured)

    @app.get("/health/live", tags=["health"])
    async def live() -> Response:
        return json_response({"status": "live"})

    @app.get("/health/ready", tags=["health"])
    async def ready() -> Response:
        checks = dict(readiness())
        fine = all(checks.values())
        ringing = dict(alarms()) if alarms is not None else {}
        body = {"status": "ready" if fine else "unready", "checks": checks, "alarms": ringing}
        return json_response(body, 200 if fine else 503)

    @app.get("/metrics", tags=["health"])
    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response written by orjson."""
    return Response(orjson.dumps(body), status, headers, "application/json")


def authenticate(
    request: Request, verifier: TokenVerifier, *, roles: Sequence[str] = (), scopes: Sequence[str] = ()
) -> Principal:
    """Who calls, with one of `roles` (none named: any) and all of `scopes`; raises Problem 401 or 403."""
    try:
        principal = verifier.verify_header(request.headers.get("authorization"))
    except NotAuthenticated as error:
        slug = error.code.replace("_", "-")
        raise Problem(401, slug, "A valid bearer token is needed", headers={"WWW-Authenticate": "Bearer"}) from None
    if (roles and principal.role not in roles) or not principal.scopes.issuperset(scopes):
        raise Problem(403, "forbidden", "This caller may not do that")
    return principal


async def body_of(request: Request, limit_bytes: int = BODY_MAX_BYTES) -> bytes:
    """The body of a request; raises Problem 413 as soon as it is longer than the limit."""
    declared = request.headers.get("content-length")
    if declared is not None and declared.isdigit() and int(declared) > limit_bytes:
        raise Problem(413, "body-too-large", "The body is too large", f"At most {limit_bytes} bytes are read.")
    chunks: list[bytes] = []
    length = 0
    async for chunk in request.stream():
        length += len(chunk)
        if length > limit_bytes:
            raise Problem(413, "body-too-large", "The body is too large", f"At most {limit_bytes} bytes are read.")
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


class _Measured:
    """Times every request under its route's template; a plain ASGI layer costs microseconds."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        status = 500

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, observed)
        finally:
            template = getattr(scope.get("route"), "path", "unmatched")
            HTTP_REQUEST_SECONDS.labels(scope["method"], template, status).observe(perf_counter() - started)


_PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {"description": "A problem", "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
}


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, routes=app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = ProblemDocument.model_json_schema()
        # FastAPI documents its own shape for 422; ours is a problem like every other error.
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        for operations in document["paths"].values():
            for operation in operations.values():
                shape = operation["responses"].get("422", {}).get("content", {}).get("application/json", {}).get("schema", {})
                if shape.get("$ref", "").endswith("HTTPValidationError"):
                    del operation["responses"]["422"]
        app.openapi_schema = document
    return app.openapi_schema
