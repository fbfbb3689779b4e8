"""`/v1/tasks`: what answers have left for a human; for staff only."""

from collections.abc import Sequence

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.intake.api.problems import not_found, told
from services.intake.handlers.tasks import TaskHandler
from services.intake.queries import BadCursor, TaskQueries
from shared.chassis.http import Problem, authenticate, json_response
from shared.security.auth import TokenVerifier

STAFF = ("clinician", "supervisor", "service")
STATES: Sequence[str] = ("open", "closed")


def tasks_router(handler: TaskHandler, queries: TaskQueries, verifier: TokenVerifier) -> APIRouter:
    """Routes of tasks."""
    router = APIRouter(tags=["tasks"])

    @router.get("/v1/tasks")
    async def page(
        request: Request, patient_id: str | None = None, status: str | None = None, cursor: str | None = None
    ) -> Response:
        """Tasks, newest first, of one patient or all, open or closed or both: `{items, next}`."""
        authenticate(request, verifier, roles=STAFF)
        if status is not None and status not in STATES:
            raise Problem(422, "unknown-status", "A task is open or closed")
        try:
            with told():
                found = await queries.page(patient_id, status, cursor)
        except BadCursor:
            raise Problem(422, "bad-cursor", "The cursor was not given out by this service") from None
        return json_response(found)

    @router.post("/v1/tasks/{task_id}/close")
    async def close(request: Request, task_id: str) -> Response:
        """Close a task that has been done; closing it again changes nothing."""
        principal = authenticate(request, verifier, roles=STAFF)
        with told():
            task = await handler.close(task_id, principal.sub)
        if task is None:
            raise not_found()
        return json_response(task)

    return router
