"""Routes that bypass the framework: for the few requests whose microseconds count.

The same request, the same problem documents and metrics as everywhere else, without the middleware stack and the router in
between. Everything that is not listed goes to the application, which still documents these routes.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import perf_counter

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.chassis.entrance import answered, request_span
from shared.chassis.problems import ExtraForErrors, Problem, problem_response
from shared.telemetry.metrics import HTTP_REQUEST_SECONDS
from shared.telemetry.traces import NOTHING, Lane

Handler = Callable[[Request], Awaitable[Response]]
_log = structlog.get_logger(__name__)


class DirectRoutes:
    """An application in front of an application. A path may hold one parameter: `/v1/patients/{patient_id}/assessments`.

    With a `lane` each request is a span of it; without, the handlers begin their own (a POST that carries many traces).
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: Mapping[tuple[str, str], Handler],
        *,
        extra_for_all_errors: ExtraForErrors | None = None,
        lane: Lane | None = None,
    ) -> None:
        self._app = app
        self._lane = lane
        self._extra_for_all_errors = extra_for_all_errors
        self._exact = {route: handler for route, handler in routes.items() if "{" not in route[1]}
        self._patterns = [_Pattern.of(*route, handler) for route, handler in routes.items() if "{" in route[1]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._find(scope) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        handler, template = found
        started = perf_counter()
        with NOTHING if self._lane is None else request_span(scope, self._lane) as seen:
            response = await self._answer(Request(scope, receive), handler, template)
            if response is None:
                return
            await response(scope, receive, send)
            answered(seen, scope["method"], template, response.status_code)
        HTTP_REQUEST_SECONDS.labels(scope["method"], template, response.status_code).observe(perf_counter() - started)

    async def _answer(self, request: Request, handler: Handler, template: str) -> Response | None:
        """What the handler says, or the problem that it met; None when the caller has gone."""
        try:
            return await handler(request)
        except Problem as problem:
            return self._refused(request, problem)
        except ClientDisconnect:
            return None
        except Exception:  # noqa: BLE001 - the last line of defence: the caller is told, the log has the cause
            _log.exception("request_failed", route=template)
            return self._refused(request, Problem(500, "internal", "The service failed to answer"))

    def _find(self, scope: Scope) -> tuple[Handler, str] | None:
        method, path = scope["method"], scope["path"]
        handler = self._exact.get((method, path))
        if handler is not None:
            return handler, path
        for pattern in self._patterns:
            value = pattern.value(method, path)
            if value is not None:
                scope["path_params"] = {pattern.name: value}
                return pattern.handler, pattern.template
        return None

    def _refused(self, request: Request, problem: Problem) -> Response:
        extra = self._extra_for_all_errors(request) if self._extra_for_all_errors is not None else None
        return problem_response(problem, extra)


@dataclass(frozen=True, slots=True)
class _Pattern:
    method: str
    template: str
    before: str
    name: str
    after: str
    handler: Handler

    @classmethod
    def of(cls, method: str, template: str, handler: Handler) -> "_Pattern":
        before, _, rest = template.partition("{")
        name, _, after = rest.partition("}")
        return cls(method, template, before, name, after, handler)

    def value(self, method: str, path: str) -> str | None:
        """The parameter's value when the path fits: one segment, not empty."""
        if method != self.method or not (path.startswith(self.before) and path.endswith(self.after)):
            return None
        value = path[len(self.before) : len(path) - len(self.after)]
        return value if value and "/" not in value else None
