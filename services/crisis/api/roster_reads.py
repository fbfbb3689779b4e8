"""What is on the roster, who has which turn, and where nobody has one: for everybody on the staff."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse

from services.crisis.api.roster import EntryId
from services.crisis.domain.gaps import turns_of
from services.crisis.oncall.duty import Duty
from services.crisis.oncall.foresight import Foresight
from services.crisis.oncall.views import gap_view, person_view, policy_view, roster_view, turn_view
from services.crisis.ports import RosterStore, StoreSilent
from shared.chassis.http import Problem, caller, etag
from shared.contracts.levels import Level
from shared.security.auth import TokenVerifier
from shared.time.clock import epoch_s, iso

STAFF = ("clinician", "supervisor")
DAYS_MAX = 92
_DAY_S = 86_400.0
_Days = Annotated[int, Query(ge=1, le=DAYS_MAX)]


def roster_reads(
    duty: Duty, foresight: Foresight, store: RosterStore, verifier: TokenVerifier, now: Callable[[], float]
) -> APIRouter:
    """Routes over the memory of one replica; they answer without the store, all but the changes."""
    staff = caller(verifier, roles=STAFF)
    router = APIRouter(prefix="/v1", tags=["roster"], dependencies=[Depends(staff)])

    @router.get("/people", summary="Everybody on the roster")
    async def people(request: Request) -> dict[str, Any]:
        whole = staff(request).role == "supervisor"
        return {
            "items": [person_view(duty.book, name, whole=whole) for name in duty.book.people],
            "doubts": list(duty.doubts()),
        }

    @router.get("/people/{entry_id}", summary="A person; addresses are masked for all but supervisors")
    async def person(request: Request, entry_id: EntryId) -> JSONResponse:
        whole = staff(request).role == "supervisor"
        return _one(lambda: person_view(duty.book, entry_id, whole=whole))

    @router.get("/rosters", summary="Every roster of people who take turns")
    async def rosters() -> dict[str, Any]:
        return {"items": [roster_view(duty.book, name) for name in duty.book.rotas]}

    @router.get("/rosters/{entry_id}", summary="A roster with its overrides")
    async def roster(entry_id: EntryId) -> JSONResponse:
        return _one(lambda: roster_view(duty.book, entry_id))

    @router.get("/rosters/{entry_id}/turns", summary="Who has which turn in the coming days")
    async def turns(entry_id: EntryId, days: _Days = 14, at: str | None = None) -> dict[str, Any]:
        start = now() if at is None else _moment(at)
        if entry_id not in duty.book.rotas:
            raise _unknown()
        found = turns_of(duty.reached(), entry_id, start, start + days * _DAY_S)
        return {"from": iso(start), "items": [turn_view(turn) for turn in found]}

    @router.get("/policies", summary="Every policy")
    async def policies() -> dict[str, Any]:
        return {"items": [policy_view(duty.book, level) for level in duty.book.policies]}

    @router.get("/policies/{level}", summary="The policy of a level")
    async def policy(level: Level) -> JSONResponse:
        return _one(lambda: policy_view(duty.book, level))

    @router.get("/coverage-gaps", summary="When nobody can be paged at a step in the coming days")
    async def gaps(days: _Days = 14) -> dict[str, Any]:
        return {"days": days, "items": [gap_view(gap) for gap in await foresight.ahead(days * _DAY_S)]}

    @router.get("/roster-changes", summary="Who changed what, the newest first")
    async def changes() -> dict[str, Any]:
        try:
            found = await store.changes()
        except StoreSilent:
            raise Problem(503, "store-silent", "The store is silent", headers={"Retry-After": "1"}) from None
        return {"items": [{name: one[name] for name in ("version", "at", "by", "entry")} for one in found]}

    return router


def _one(view: Callable[[], dict[str, Any]]) -> JSONResponse:
    try:
        told = view()
    except KeyError:
        raise _unknown() from None
    return JSONResponse(told, headers=etag(told["version"]))


def _moment(at: str) -> float:
    try:
        return epoch_s(at)
    except (ValueError, OverflowError):
        raise Problem(422, "not-a-time", "`at` is no time", "send ISO 8601 with a zone: 2026-01-31T08:00:00Z") from None


def _unknown() -> Problem:
    return Problem(
        404, "not-on-the-roster", "Nothing of that name is on the roster", "GET /v1/people and /v1/rosters say what is"
    )
