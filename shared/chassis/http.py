"""The HTTP side of a service: application, callers and their roles, versions, health, metrics, its description."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.responses import Response

from shared.chassis.description import describe, examples_in, with_whole_examples
from shared.chassis.entrance import BODY_MAX_BYTES, OPEN_PATHS, Entrance, body_of, verified
from shared.chassis.problems import (
    PROBLEM_JSON,
    ExtraForErrors,
    Problem,
    ProblemDocument,
    install_problem_handlers,
    problem_response,
)
from shared.security.auth import Principal, TokenVerifier

__all__ = [
    "BODY_MAX_BYTES",
    "Problem",
    "authenticate",
    "body_of",
    "caller",
    "etag",
    "if_match",
    "json_response",
    "make_app",
    "problem_response",
]

States = Callable[[], Mapping[str, bool]]


def make_app(
    name: str,
    *,
    readiness: States,
    alarms: States | None = None,
    liveness: States | None = None,
    verifier: TokenVerifier | None = None,
    open_paths: Sequence[str] = (),
    body_max_bytes: int = BODY_MAX_BYTES,
    extra_for_all_errors: ExtraForErrors | None = None,
    examples: Path | None = None,
    version: str = "0.1.0",
    registry: CollectorRegistry = REGISTRY,
) -> FastAPI:
    """An application with health, metrics, OpenAPI 3.1 at `/openapi.json` and problem+json for every error.

    `readiness` names what must be true to be ready (any false → 503); `alarms` (true = ringing) are reported beside it and
    never make the service unready; `liveness` names what only a new process cures (any false → 503). With a `verifier` every path
    needs a valid token, but for those that begin with one of `open_paths` (and health, metrics, description).
    `extra_for_all_errors` adds members to every error body; `examples` is a file with an example of what each route answers.
    """
    app = FastAPI(title=f"Vigil {name}", version=version, docs_url=None, redoc_url=None, responses=_PROBLEM_RESPONSES)
    install_problem_handlers(app, extra_for_all_errors)
    app.add_middleware(
        Entrance,
        verifier=verifier,
        open_paths=open_paths,
        body_max_bytes=body_max_bytes,
        extra_for_all_errors=extra_for_all_errors,
    )

    @app.get("/health/live", tags=["health"])
    async def live() -> Response:
        """Whether this process is worth keeping; only a new one cures what is false."""
        checks = dict(liveness()) if liveness is not None else {}
        fine = all(checks.values())
        return json_response({"status": "live" if fine else "stuck", "checks": checks}, 200 if fine else 503)

    @app.get("/health/ready", tags=["health"])
    async def ready() -> Response:
        """Whether requests belong here; `alarms` ring beside it and never make a service unready."""
        checks = dict(readiness())
        fine = all(checks.values())
        ringing = dict(alarms()) if alarms is not None else {}
        body = {"status": "ready" if fine else "unready", "checks": checks, "alarms": ringing}
        return json_response(body, 200 if fine else 503)

    @app.get("/metrics", tags=["health"])
    async def metrics(request: Request) -> Response:
        """Everything this process counts, for Prometheus."""
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    opened = (*OPEN_PATHS, *open_paths) if verifier is not None else ("",)
    app.openapi = lambda: _openapi(app, opened, examples)  # type: ignore[method-assign]
    return app


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response written by orjson."""
    return Response(orjson.dumps(body), status, headers, "application/json")


def authenticate(
    request: Request, verifier: TokenVerifier, *, roles: Sequence[str] = (), scopes: Sequence[str] = ()
) -> Principal:
    """Who calls, with one of `roles` (none named: any) and all of `scopes`; raises Problem 401 or 403."""
    principal = verified(verifier, request.headers.get("authorization"))
    if (roles and principal.role not in roles) or not principal.scopes.issuperset(scopes):
        raise Problem(403, "forbidden", "This caller may not do that")
    return principal


def caller(verifier: TokenVerifier, *, roles: Sequence[str] = (), scopes: Sequence[str] = ()) -> Callable[[Request], Principal]:
    """`authenticate` as a dependency: `who: Annotated[Principal, Depends(caller(…))]` is settled before the body is looked at."""

    def who(request: Request) -> Principal:
        return authenticate(request, verifier, roles=roles, scopes=scopes)

    return who


def etag(version: int) -> dict[str, str]:
    """The `ETag` header of a resource's version."""
    return {"ETag": f'"{version}"'}


def if_match(request: Request) -> int | None:
    """The version that `If-Match` asks for; None without one or for `*`. Raises Problem 412 for what is no version of ours."""
    told = request.headers.get("if-match")
    if told is None or told.strip() == "*":
        return None
    digits = told.strip().strip('"')
    if not digits.isdigit() or len(digits) > 18:
        raise Problem(412, "not-a-version", "If-Match names no version of this service", "send the ETag that you were given")
    return int(digits)


_PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {"description": "A problem", "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
}


def _openapi(app: FastAPI, opened: tuple[str, ...], examples: Path | None) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = with_whole_examples(get_openapi(title=app.title, version=app.version, routes=app.routes), app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = ProblemDocument.model_json_schema()
        # FastAPI documents its own shape for 422; ours is a problem like every other error.
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        document["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
        document["security"] = [{"bearer": []}]
        for path, operations in document["paths"].items():
            for operation in operations.values():
                if path.startswith(opened):
                    operation["security"] = []
                shape = operation["responses"].get("422", {}).get("content", {}).get("application/json", {}).get("schema", {})
                if shape.get("$ref", "").endswith("HTTPValidationError"):
                    del operation["responses"]["422"]
        app.openapi_schema = describe(document, examples_in(examples))
    return app.openapi_schema
