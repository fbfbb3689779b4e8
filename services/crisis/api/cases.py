"""`/v1/cases`: what clinicians see and do."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from services.crisis.handlers import Handlers, Refused, Standing, Unknown
from services.crisis.ports import StoreSilent
from services.crisis.queries import ForeignCursor, Queries
from shared.chassis.http import Problem, authenticate
from shared.contracts.levels import Level
from shared.security.auth import Principal, TokenVerifier

STAFF = ("clinician", "supervisor")


class ProgressBody(BaseModel):
    """What is being done, as a code."""

    code: str = Field(min_length=1, max_length=64, examples=["calling_patient"])


class ContactedBody(BaseModel):
    """How the contact with the patient went."""

    result: Literal["reached", "not_reached", "emergency_services"]
    minutes: int | None = Field(None, ge=0, le=1440)
    ended_by: str | None = Field(None, max_length=64)


class EscalateBody(BaseModel):
    """Why the next step is asked for."""

    why: str = Field(min_length=1, max_length=500)


class OfferBody(BaseModel):
    """Whom the case is offered to."""

    to: str = Field(min_length=1, max_length=64)


class LowerBody(BaseModel):
    """Flags to lower, to which level, and the second clinician."""

    version: int | None = None
    flags: list[str] = Field(min_length=1, max_length=100)
    level: Level
    why: str = Field(min_length=1, max_length=2000)
    second_clinician_id: str = Field(min_length=1, max_length=64)


class ResolveBody(BaseModel):
    """Every open flag by name, the level found, the plan and the reason."""

    version: int | None = None
    flags: list[str] = Field(min_length=1, max_length=100)
    level: Level
    plan: str = Field(min_length=1, max_length=4000)
    why: str = Field(min_length=1, max_length=2000)
    second_clinician_id: str | None = Field(None, max_length=64)


def cases_router(
    handlers: Handlers,
    queries: Queries,
    verifier: TokenVerifier,
    timeline: Callable[[str], Awaitable[list[dict[str, Any]] | None]],
) -> APIRouter:
    """Routes over the handlers and queries of one replica."""
    router = APIRouter(prefix="/v1/cases", tags=["cases"])

    def staff(request: Request) -> Principal:
        return authenticate(request, verifier, roles=STAFF)

    @router.get("")
    async def cases(
        request: Request,
        status: Annotated[Literal["open", "closed"] | None, Query()] = None,
        owner: str | None = None,
        patient_id: str | None = None,
        cursor: str | None = None,
    ) -> JSONResponse:
        authenticate(request, verifier, roles=(*STAFF, "service"))
        try:
            return JSONResponse(await queries.cases(status, owner, patient_id, cursor))
        except ForeignCursor as foreign:
            raise Problem(422, "foreign-cursor", "The cursor is not ours", str(foreign)) from None

    @router.get("/{identifier}")
    async def case(request: Request, identifier: str) -> JSONResponse:
        authenticate(request, verifier, roles=(*STAFF, "service"))
        found = queries.case(identifier)
        if found is None:
            raise _unknown()
        return JSONResponse(found, headers={"ETag": f'"{found["version"]}"'})

    @router.get("/{identifier}/timeline")
    async def case_timeline(request: Request, identifier: str) -> JSONResponse:
        authenticate(request, verifier, roles=(*STAFF, "service"))
        lines = await timeline(identifier)
        if lines is None:
            raise _unknown()
        return JSONResponse({"items": lines})

    @router.post("/{identifier}/acknowledge")
    async def acknowledge(request: Request, identifier: str) -> JSONResponse:
        principal = staff(request)
        return await _answer(lambda: handlers.acknowledge(identifier, principal.sub, principal.role))

    @router.post("/{identifier}/progress")
    async def progress(request: Request, identifier: str, body: Annotated[ProgressBody, Body()]) -> JSONResponse:
        principal = staff(request)
        return await _answer(lambda: handlers.progress(identifier, principal.sub, body.code))

    @router.post("/{identifier}/contacted")
    async def contacted(request: Request, identifier: str, body: Annotated[ContactedBody, Body()]) -> JSONResponse:
        principal = staff(request)
        return await _answer(lambda: handlers.contacted(identifier, principal.sub, body.result))

    @router.post("/{identifier}/escalate")
    async def escalate(request: Request, identifier: str, body: Annotated[EscalateBody, Body()]) -> JSONResponse:
        principal = staff(request)
        return await _answer(lambda: handlers.escalate(identifier, principal.sub))

    @router.post("/{identifier}/offer")
    async def offer(request: Request, identifier: str, body: Annotated[OfferBody, Body()]) -> JSONResponse:
        principal = staff(request)
        return await _answer(lambda: handlers.offer(identifier, principal.sub, body.to))

    @router.post("/{identifier}/accept")
    async def accept(request: Request, identifier: str) -> JSONResponse:
        principal = staff(request)
        return await _answer(lambda: handlers.accept(identifier, principal.sub))

    @router.post("/{identifier}/lower")
    async def lower(request: Request, identifier: str, body: Annotated[LowerBody, Body()]) -> JSONResponse:
        principal = staff(request)
        flags, second = tuple(body.flags), body.second_clinician_id
        return await _answer(lambda: handlers.lower(identifier, principal.sub, body.version, flags, body.level, second))

    @router.post("/{identifier}/resolve")
    async def resolve(request: Request, identifier: str, body: Annotated[ResolveBody, Body()]) -> JSONResponse:
        principal = staff(request)
        flags, second = tuple(body.flags), body.second_clinician_id
        return await _answer(lambda: handlers.resolve(identifier, principal.sub, body.version, flags, body.level, second))

    return router


async def _answer(command: Callable[[], Standing | Awaitable[Standing]]) -> JSONResponse:
    try:
        result = command()
        standing = result if isinstance(result, Standing) else await result
    except Unknown:
        raise _unknown() from None
    except Refused as refused:
        raise Problem(
            409, "case-stands-against-it", "The case stands against it", refused.why, extra=asdict(refused.standing)
        ) from None
    except StoreSilent:
        raise Problem(
            503,
            "store-silent",
            "The store is silent",
            "this decision needs the store; paging and acknowledging go on without it; try again",
            headers={"Retry-After": "1"},
        ) from None
    return JSONResponse({"state": standing.state, "owner": standing.owner, "version": standing.version})


def _unknown() -> Problem:
    return Problem(404, "unknown-case", "No such case", "ask for a case id, a flag id or a page code of a case known here")
