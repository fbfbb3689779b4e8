"""`GET /v1/on-call` and `GET /v1/reports/latency`: who would be rung, and how quick it was."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from services.crisis.queries import Queries
from shared.chassis.http import Problem, authenticate
from shared.security.auth import TokenVerifier
from shared.time.clock import epoch_s


def overview_router(queries: Queries, verifier: TokenVerifier, now: Callable[[], float]) -> APIRouter:
    """Routes over the queries of one replica."""

    def reader(request: Request) -> None:
        authenticate(request, verifier, roles=("clinician", "supervisor", "service"))

    router = APIRouter(prefix="/v1", tags=["overview"], dependencies=[Depends(reader)])

    @router.get("/on-call", summary="Whom a flag raised at that moment would ring, step by step")
    async def on_call(
        at: Annotated[str | None, Query(examples=["2026-01-31T08:00:00Z"])] = None,
        own_clinician_id: str | None = None,
        language: str | None = None,
        region: str | None = None,
        track: str | None = None,
    ) -> dict[str, Any]:
        try:
            moment = now() if at is None else epoch_s(at)
        except (ValueError, OverflowError):
            raise Problem(422, "not-a-time", "`at` is no time", "send ISO 8601 with a zone: 2026-01-31T08:00:00Z") from None
        return queries.on_call(moment, own_clinician_id, language, region, track)

    @router.get("/reports/latency", summary="t0 to t2 and t0 to t3 per level, milliseconds")
    async def latency() -> dict[str, Any]:
        return await queries.latency()

    return router
