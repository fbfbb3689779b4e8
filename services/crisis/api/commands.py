"""`POST /v1/cases/{id}/…`: what clinicians do."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Body, Depends, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from services.crisis.api.cases import STAFF, unknown_case
from services.crisis.domain.orders import Order, OtherBody
from services.crisis.handlers import Handlers, Refused, Standing, Unknown
from services.crisis.notebook import Notebook
from services.crisis.ports import StoreSilent
from shared.chassis.http import Problem, authenticate, caller, etag, if_match
from shared.chassis.idempotency import DOCUMENTED, key_used, posted
from shared.contracts.levels import Level
from shared.security.auth import Principal, TokenVerifier

# Answers to orders under a key, repeated word for word when the order comes again.
ANSWERS_MAX = 1000
Command = Callable[[str | None], Standing | Awaitable[Standing]]


class ProgressBody(BaseModel):
    """What is being done, as a code."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"code": "calling_patient"}]})
    code: str = Field(min_length=1, max_length=64, examples=["calling_patient"])


class ContactedBody(BaseModel):
    """How the contact with the patient went."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"result": "reached", "minutes": 12, "ended_by": "clinician"}]})
    result: Literal["reached", "not_reached", "emergency_services"]
    minutes: int | None = Field(None, ge=0, le=1440)
    ended_by: str | None = Field(None, max_length=64)


class EscalateBody(BaseModel):
    """Why the next step is asked for."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"why": "the patient does not answer"}]})
    why: str = Field(min_length=1, max_length=500)


class OfferBody(BaseModel):
    """Whom the case is offered to."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"to": "ben"}]})
    to: str = Field(min_length=1, max_length=64)


class LowerBody(BaseModel):
    """Flags to lower, to which level, and the second clinician."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "flags": ["0b8f3c52-6a1d-5e0c-9a7e-2f4d1c3b5a69"],
                    "level": "moderate",
                    "why": "no intent, plan agreed",
                    "second_clinician_id": "sue",
                }
            ]
        }
    )
    version: int | None = None
    flags: list[str] = Field(min_length=1, max_length=100)
    level: Level
    why: str = Field(min_length=1, max_length=2000)
    second_clinician_id: str = Field(min_length=1, max_length=64)


class ResolveBody(BaseModel):
    """Every open flag by name, the level found, the plan and the reason."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "flags": ["0b8f3c52-6a1d-5e0c-9a7e-2f4d1c3b5a69"],
                    "level": "low",
                    "plan": "seen tomorrow",
                    "why": "safe, with family",
                }
            ]
        }
    )
    version: int | None = None
    flags: list[str] = Field(min_length=1, max_length=100)
    level: Level
    plan: str = Field(min_length=1, max_length=4000)
    why: str = Field(min_length=1, max_length=2000)
    second_clinician_id: str | None = Field(None, max_length=64)


class CaseCommands:
    """Commands over the handlers and the notebook of one replica.

    An order with an Idempotency-Key is carried out once: the replica that took it repeats its answer, every other one knows the
    order by the fact it made and says how the case stands. With `If-Match` a case that has changed meanwhile is a 412.
    """

    def __init__(self, handlers: Handlers, notebook: Notebook, verifier: TokenVerifier, programme_id: str) -> None:
        self._handlers = handlers
        self._notebook = notebook
        self._verifier = verifier
        self._programme_id = programme_id
        self._told: OrderedDict[str, Standing] = OrderedDict()
        self._under_way: dict[str, asyncio.Task[Standing]] = {}

    def router(self) -> APIRouter:
        """The routes."""
        staff = Depends(caller(self._verifier, roles=STAFF))
        router = APIRouter(prefix="/v1/cases/{identifier}", tags=["cases"], dependencies=[staff])
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
            router.add_api_route(f"/{command.__name__}", command, methods=["POST"], openapi_extra=DOCUMENTED)
        return router

    async def acknowledge(self, request: Request, identifier: str) -> JSONResponse:
        """Take the case: all its open flags."""
        who = self._staff(request)
        return await self._once(
            request, identifier, None, lambda order: self._handlers.acknowledge(identifier, who.sub, who.role, order)
        )

    async def progress(self, request: Request, identifier: str, body: Annotated[ProgressBody, Body()]) -> JSONResponse:
        """Somebody is on it: the lease is renewed."""
        who = self._staff(request)
        return await self._once(
            request, identifier, body, lambda order: self._handlers.progress(identifier, who.sub, body.code, order)
        )

    async def contacted(self, request: Request, identifier: str, body: Annotated[ContactedBody, Body()]) -> JSONResponse:
        """A live contact with the patient was tried."""
        who = self._staff(request)

        def contacted(order: str | None) -> Standing:
            standing = self._handlers.contacted(identifier, who.sub, body.result, order)
            self._notebook.later(identifier, "contacted", who.sub, body.model_dump(exclude_none=True))
            return standing

        return await self._once(request, identifier, body, contacted)

    async def escalate(self, request: Request, identifier: str, body: Annotated[EscalateBody, Body()]) -> JSONResponse:
        """Page the next step now."""
        who = self._staff(request)

        def escalate(order: str | None) -> Standing:
            standing = self._handlers.escalate(identifier, who.sub, order)
            self._notebook.later(identifier, "escalated", who.sub, {"why": body.why})
            return standing

        return await self._once(request, identifier, body, escalate)

    async def offer(self, request: Request, identifier: str, body: Annotated[OfferBody, Body()]) -> JSONResponse:
        """Offer the case to somebody; it stays with its owner until accepted."""
        who = self._staff(request)
        return await self._once(
            request, identifier, body, lambda order: self._handlers.offer(identifier, who.sub, body.to, order)
        )

    async def accept(self, request: Request, identifier: str) -> JSONResponse:
        """Take an offered case over."""
        who = self._staff(request)
        return await self._once(request, identifier, None, lambda order: self._handlers.accept(identifier, who.sub, order))

    async def lower(self, request: Request, identifier: str, body: Annotated[LowerBody, Body()]) -> JSONResponse:
        """Two clinicians lower flags to a level."""
        who, flags, second = self._staff(request), tuple(body.flags), body.second_clinician_id
        return await self._once(
            request,
            identifier,
            body,
            lambda order: self._notebook.deciding(
                identifier,
                "lowered",
                who.sub,
                {"why": body.why},
                lambda: self._handlers.lower(identifier, who.sub, body.version, flags, body.level, second, order),
            ),
        )

    async def resolve(self, request: Request, identifier: str, body: Annotated[ResolveBody, Body()]) -> JSONResponse:
        """Close the case, naming every open flag."""
        who, flags, second = self._staff(request), tuple(body.flags), body.second_clinician_id
        return await self._once(
            request,
            identifier,
            body,
            lambda order: self._notebook.deciding(
                identifier,
                "closed",
                who.sub,
                {"plan": body.plan, "why": body.why},
                lambda: self._handlers.resolve(identifier, who.sub, body.version, flags, body.level, second, order),
            ),
        )

    def _staff(self, request: Request) -> Principal:
        return authenticate(request, self._verifier, roles=STAFF)

    async def _once(self, request: Request, identifier: str, body: BaseModel | None, command: Command) -> JSONResponse:
        """Carry an order out unless it was before, and say how the case stands."""
        asked = posted(request, self._staff(request), body)
        with told():
            order = Order(asked.id_in(self._programme_id, self._handlers.subject_of(identifier)), asked.digest)
            if asked.key is None:
                self._require_version(request, identifier)
                return _answer(await _result(command, None))
            standing = self._told.get(order.fact_id) or self._handlers.repeated(identifier, order)
            if standing is None:
                standing = await self._first(request, identifier, order, command)
        return _answer(standing)

    async def _first(self, request: Request, identifier: str, order: Order, command: Command) -> Standing:
        running = self._under_way.get(order.fact_id)
        if running is None:
            self._require_version(request, identifier)
            running = asyncio.get_running_loop().create_task(_result(command, order.fact_id))
            self._under_way[order.fact_id] = running
            running.add_done_callback(lambda done: self._ended(order.fact_id, done))
        # The caller may go; what was begun is carried out.
        return await asyncio.shield(running)

    def _ended(self, fact_id: str, done: "asyncio.Task[Standing]") -> None:
        del self._under_way[fact_id]
        if not done.cancelled() and done.exception() is None:
            self._told[fact_id] = done.result()
            if len(self._told) > ANSWERS_MAX:
                self._told.popitem(last=False)

    def _require_version(self, request: Request, identifier: str) -> None:
        wanted = if_match(request)
        standing = self._handlers.standing(identifier)
        if wanted is not None and wanted != standing.version:
            raise Problem(
                412,
                "version-has-changed",
                "The case has changed since that version",
                extra=asdict(standing),
                headers=etag(standing.version),
            )


async def _result(command: Command, order_id: str | None) -> Standing:
    result = command(order_id)
    return result if isinstance(result, Standing) else await result


def _answer(standing: Standing) -> JSONResponse:
    body = {"state": standing.state, "owner": standing.owner, "version": standing.version}
    return JSONResponse(body, headers=etag(standing.version))


@contextmanager
def told() -> Iterator[None]:
    """Turn what stands against an order into problems."""
    try:
        yield
    except Unknown:
        raise unknown_case() from None
    except OtherBody:
        raise key_used() from None
    except Refused as refused:
        standing = refused.standing
        raise Problem(
            409,
            "case-stands-against-it",
            "The case stands against it",
            refused.why,
            extra=asdict(standing),
            headers=etag(standing.version),
        ) from None
    except StoreSilent:
        raise Problem(
            503,
            "store-silent",
            "The store is silent",
            "this decision needs the store; paging and acknowledging go on without it; try again",
            headers={"Retry-After": "1"},
        ) from None
