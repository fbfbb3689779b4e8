"""`GET /v1/cases…`: what clinicians see."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from services.crisis.handlers import Unknown
from services.crisis.notebook import Notebook
from services.crisis.ports import StoreSilent
from services.crisis.queries import ForeignCursor, Queries
from shared.chassis.http import Problem, authenticate, etag
from shared.security.auth import TokenVerifier

STAFF = ("clinician", "supervisor")


def cases_router(
    queries: Queries,
    notebook: Notebook,
    verifier: TokenVerifier,
    timeline: Callable[[str], Awaitable[list[dict[str, Any]] | None]],
) -> APIRouter:
    """Routes over the queries of one replica."""
    router = APIRouter(prefix="/v1/cases", tags=["cases"])

    @router.get("")
    async def cases(
        request: Request,
        status: Annotated[Literal["open", "closed"] | None, Query()] = None,
        owner: str | None = None,
        patient_id: str | None = None,
        cursor: str | None = None,
    ) -> JSONResponse:
        """Cases, the newest first, open ones known to this replica and closed ones of the last day."""
        authenticate(request, verifier, roles=(*STAFF, "service"))
        try:
            return JSONResponse(await queries.cases(status, owner, patient_id, cursor))
        except ForeignCursor as foreign:
            raise Problem(422, "foreign-cursor", "The cursor is not ours", str(foreign)) from None

    @router.get("/{identifier}")
    async def case(request: Request, identifier: str) -> JSONResponse:
        """One case, by its id, the id of a flag of it, or the six characters of a page."""
        authenticate(request, verifier, roles=(*STAFF, "service"))
        found = queries.case(identifier)
        if found is None:
            raise unknown_case()
        return JSONResponse(found, headers=etag(found["version"]))

    @router.get("/{identifier}/timeline")
    async def case_timeline(request: Request, identifier: str) -> JSONResponse:
        """Everything that happened to a case, every line chained to the one before."""
        authenticate(request, verifier, roles=(*STAFF, "service"))
        lines = await timeline(identifier)
        if lines is None:
            raise unknown_case()
        return JSONResponse({"items": lines})

    @router.get("/{identifier}/notes")
    async def case_notes(request: Request, identifier: str) -> JSONResponse:
        """What clinicians wrote when they closed, lowered, contacted or escalated."""
        authenticate(request, verifier, roles=STAFF)
        try:
            return JSONResponse({"items": await notebook.of(identifier)})
        except Unknown:
            raise unknown_case() from None
        except StoreSilent:
            raise Problem(503, "store-silent", "The store is silent", headers={"Retry-After": "1"}) from None

    return router


def unknown_case() -> Problem:
    """The 404 for a case that this replica does not know."""
    return Problem(404, "unknown-case", "No such case", "ask for a case id, a flag id or a page code of a case known here")
