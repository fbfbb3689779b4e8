"""What every request passes before the framework looks at it: measure and trace, the caller's token, the bound on its body.

A plain ASGI layer: it costs microseconds. Whoever has no valid token learns nothing of what a body should look like, and a
body longer than the bound is refused before it is kept in memory.
"""

from collections.abc import Collection
from time import perf_counter

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.chassis.problems import ExtraForErrors, Problem, problem_response
from shared.security.auth import NotAuthenticated, Principal, TokenVerifier
from shared.telemetry.metrics import HTTP_REQUEST_SECONDS
from shared.telemetry.traces import NOTHING, TRACEPARENT, Lane, Span, span, tracing

BODY_MAX_BYTES = 65_536
# What a monitor or a generated client reads; everything else needs a token unless the service opens it by name.
OPEN_PATHS = ("/health/", "/metrics", "/openapi.json")
_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Entrance:
    """An application in front of an application. `open_paths`: beginnings of paths that need no token."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        verifier: TokenVerifier | None,
        open_paths: Collection[str],
        body_max_bytes: int,
        extra_for_all_errors: ExtraForErrors | None,
    ) -> None:
        self._app = app
        self._verifier = verifier
        self._open_paths = (*OPEN_PATHS, *open_paths)
        self._body_max_bytes = body_max_bytes
        self._extra_for_all_errors = extra_for_all_errors

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

        with self._span(scope) as seen:
            try:
                await self._admit(scope, receive, observed)
            finally:
                template = getattr(scope.get("route"), "path", "unmatched")
                answered(seen, scope["method"], template, status)
                HTTP_REQUEST_SECONDS.labels(scope["method"], template, status).observe(perf_counter() - started)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            if self._verifier is not None and not scope["path"].startswith(self._open_paths):
                verified(self._verifier, request.headers.get("authorization"))
            if scope["method"] in _WITH_BODY:
                receive = _again(await body_of(request, self._body_max_bytes), receive)
        except Problem as problem:
            extra = self._extra_for_all_errors(request) if self._extra_for_all_errors is not None else None
            await problem_response(problem, extra)(scope, receive, send)
            return
        except ClientDisconnect:
            return
        await self._app(scope, receive, send)

    def _span(self, scope: Scope) -> Span:
        return NOTHING if scope["path"].startswith(OPEN_PATHS) else request_span(scope, "routine")


def verified(verifier: TokenVerifier, authorization: str | None) -> Principal:
    """The caller behind an `Authorization` header; raises Problem 401."""
    try:
        return verifier.verify_header(authorization)
    except NotAuthenticated as error:
        slug = error.code.replace("_", "-")
        raise Problem(401, slug, "A valid bearer token is needed", headers={"WWW-Authenticate": "Bearer"}) from None


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


def request_span(scope: Scope, lane: Lane) -> Span:
    """The span of a request, below the caller's when it names one; its URL is never in it."""
    if not tracing():
        return NOTHING
    name = TRACEPARENT.encode()
    told = next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)
    method = scope["method"]
    return span(method, "server", parent=told, lane=lane, attributes={"http.request.method": method})


def answered(seen: Span, method: str, template: str, status: int) -> None:
    """Say of a request's span what is known at its end."""
    if seen is not NOTHING:
        seen.name(f"{method} {template}")
        seen.set("http.route", template)
        seen.set("http.response.status_code", status)
        if status >= 500:
            seen.set("error.type", str(status))


def _again(body: bytes, receive: Receive) -> Receive:
    """The same request once more, its body whole."""
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
