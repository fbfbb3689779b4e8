"""`/v1/groups` and `/v1/patients/{id}/attendance`: who sits together, and who comes."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from services.sessions.api.bodies import ID, GroupBody, PatientId
from services.sessions.api.problems import not_there, told
from services.sessions.api.sessions import STAFF
from services.sessions.domain.group import Group
from services.sessions.handlers.groups import GroupHandler
from services.sessions.queries import Queries
from shared.chassis.http import Problem, authenticate, etag, if_match, json_response
from shared.contracts.sessions import WEEK_PATTERN
from shared.security.auth import TokenVerifier

GroupId = Annotated[str, Path(pattern=ID, examples=["dbt-mornings"])]


def groups_router(handler: GroupHandler, queries: Queries, verifier: TokenVerifier, capacity_default: int) -> APIRouter:
    """Routes of groups and attendance."""
    router = APIRouter(tags=["sessions"])

    def staff(request: Request) -> None:
        authenticate(request, verifier, roles=STAFF)

    @router.put("/v1/groups/{group_id}", dependencies=[Depends(staff)])
    async def put(request: Request, group_id: GroupId, body: GroupBody) -> Response:
        """Make or change a group; `If-Match` as everywhere. More than eight people take two facilitators."""
        capacity = body.capacity if body.capacity is not None else capacity_default
        group = Group(group_id, body.kind, capacity, tuple(dict.fromkeys(body.facilitators)))
        with told():
            after = await handler.put(group, if_match(request))
        if after is None:
            raise Problem(412, "version-has-changed", "The group has changed since that version")
        return json_response(_shown(after), headers=etag(after.version))

    @router.get("/v1/groups/{group_id}", dependencies=[Depends(staff)])
    async def get(group_id: GroupId) -> Response:
        """A group."""
        group = await queries.group(group_id)
        if group is None:
            raise not_there()
        return json_response(_shown(group), headers=etag(group.version))

    @router.get("/v1/patients/{patient_id}/attendance")
    async def attendance(
        request: Request,
        patient_id: PatientId,
        week: Annotated[str | None, Query(pattern=WEEK_PATTERN, examples=["2026-W03"])] = None,
    ) -> Response:
        """Hours planned and attended in an ISO week (this one, if none is named), and missed sessions in a row."""
        who = authenticate(request, verifier, roles=(*STAFF, "patient"))
        if who.role not in STAFF and who.sub != patient_id:
            raise Problem(403, "forbidden", "This caller may not do that")
        return json_response(await queries.attendance(patient_id, week))

    return router


def _shown(group: Group) -> dict[str, Any]:
    return {
        "group_id": group.group_id,
        "kind": group.kind,
        "capacity": group.capacity,
        "facilitators": list(group.facilitators),
        "version": group.version,
    }
