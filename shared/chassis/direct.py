"""Routes that bypass the framework: for the few requests whose microseconds count.

The same request, the same problem documents and metrics as everywhere else, without the middleware stack and the router in
between. Everything that is not listed goes to the application.
"""

from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.chassis.problems import Problem, problem_response
from shared.telemetry.metrics import HTTP_REQUEST_SECONDS

Handler = Callable[[Request], Awaitable[Response]]
_log = structlog.get_logger(__name__)


class DirectRoutes:
    """An application in front of an application."""

    def __init__(self, app: ASGIApp, routes: Mapping[tuple[str, str], Handler]) -> None:
        self._app = app
        self._routes = dict(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self._routes.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if handler is None:
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        try:
            response = await handler(Request(scope, receive))
        except Problem as problem:
            response = problem_response(problem)
        except ClientDisconnect:
            return
        except Exception:  # noqa: BLE001 - the last line of defence: the caller is told, the log has the cause
            _log.exception("request_failed", route=scope["path"])
            response = problem_response(Problem(500, "internal", "The service failed to answer"))
        await response(scope, receive, send)
        HTTP_REQUEST_SECONDS.labels(scope["method"], scope["path"], response.status_code).observe(perf_counter() - started)
