"""`POST /v1/cases/{id}/…`: what clinicians do."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Body, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from services.crisis.api.cases import STAFF, unknown_case
from services.crisis.handlers import Handlers, Refused, Standing, Unknown
from services.crisis.notebook import Notebook
from services.crisis.ports import StoreSilent
from shared.chassis.http import Problem, authenticate
from shared.contracts.levels import Level
from shared.security.auth import Principal, TokenVerifier


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


class CaseCommands:
    """Commands over the handlers and the notebook of one replica."""

    def __init__(self, handlers: Handlers, notebook: Notebook, verifier: TokenVerifier) -> None:
        self._handlers = handlers
        self._notebook = notebook
        self._verifier = verifier

    def router(self) -> APIRouter:
        """The routes."""
        router = APIRouter(prefix="/v1/cases/{identifier}", tags=["cases"])
        for command in (
            self.acknowledge,
            self.progress,
            self.contacted,
            self.escalate,
            self.offer,
            self.accept,
            self.lower,
            self.resolve,
        ):
            router.add_api_route(f"/{command.__name__}", command, methods=["POST"])
        return router

    async def acknowledge(self, request: Request, identifier: str) -> JSONResponse:
        """Take the case: all its open flags."""
        who = self._staff(request)
        return await _answer(lambda: self._handlers.acknowledge(identifier, who.sub, who.role))

    async def progress(self, request: Request, identifier: str, body: Annotated[ProgressBody, Body()]) -> JSONResponse:
        """Somebody is on it: the lease is renewed."""
        who = self._staff(request)
        return await _answer(lambda: self._handlers.progress(identifier, who.sub, body.code))

    async def contacted(self, request: Request, identifier: str, body: Annotated[ContactedBody, Body()]) -> JSONResponse:
        """A live contact with the patient was tried."""
        who = self._staff(request)
        answer = await _answer(lambda: self._handlers.contacted(identifier, who.sub, body.result))
        self._notebook.later(identifier, "contacted", who.sub, body.model_dump(exclude_none=True))
        return answer

    async def escalate(self, request: Request, identifier: str, body: Annotated[EscalateBody, Body()]) -> JSONResponse:
        """Page the next step now."""
        who = self._staff(request)
        answer = await _answer(lambda: self._handlers.escalate(identifier, who.sub))
        self._notebook.later(identifier, "escalated", who.sub, {"why": body.why})
        return answer

    async def offer(self, request: Request, identifier: str, body: Annotated[OfferBody, Body()]) -> JSONResponse:
        """Offer the case to somebody; it stays with its owner until accepted."""
        who = self._staff(request)
        return await _answer(lambda: self._handlers.offer(identifier, who.sub, body.to))

    async def accept(self, request: Request, identifier: str) -> JSONResponse:
        """Take an offered case over."""
        who = self._staff(request)
        return await _answer(lambda: self._handlers.accept(identifier, who.sub))

    async def lower(self, request: Request, identifier: str, body: Annotated[LowerBody, Body()]) -> JSONResponse:
        """Two clinicians lower flags to a level."""
        who, flags, second = self._staff(request), tuple(body.flags), body.second_clinician_id
        return await _answer(
            lambda: self._notebook.deciding(
                identifier,
                "lowered",
                who.sub,
                {"why": body.why},
                lambda: self._handlers.lower(identifier, who.sub, body.version, flags, body.level, second),
            )
        )

    async def resolve(self, request: Request, identifier: str, body: Annotated[ResolveBody, Body()]) -> JSONResponse:
        """Close the case, naming every open flag."""
        who, flags, second = self._staff(request), tuple(body.flags), body.second_clinician_id
        return await _answer(
            lambda: self._notebook.deciding(
                identifier,
                "closed",
                who.sub,
                {"plan": body.plan, "why": body.why},
                lambda: self._handlers.resolve(identifier, who.sub, body.version, flags, body.level, second),
            )
        )

    def _staff(self, request: Request) -> Principal:
        return authenticate(request, self._verifier, roles=STAFF)


async def _answer(command: Callable[[], Standing | Awaitable[Standing]]) -> JSONResponse:
    try:
        result = command()
        standing = result if isinstance(result, Standing) else await result
    except Unknown:
        raise unknown_case() from None
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
