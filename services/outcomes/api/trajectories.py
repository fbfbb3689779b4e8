"""`/v1/trajectories/{patient_id}`, `/v1/follow-ups`, `/v1/crises`: what became of one patient's measures, sessions, contacts."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from services.outcomes.api.access import nothing_known, own_only
from services.outcomes.queries.patients import PatientQueries
from shared.chassis.http import json_response
from shared.security.auth import Principal

Who = Callable[[Request], Principal]
_POINT: dict[str, Any] = {
    "assessment_id": "f2b0a7de-5a4c-5b8e-8f1d-6c0e9a3d2b11",
    "answered_at": "2026-02-02T08:00:00.000000Z",
    "accepted_at": "2026-02-02T08:00:01.250000Z",
    "instrument_version": "1",
    "status": "complete",
    "total": 9,
    "band": "mild",
    "change": -7,
    "reliable": "improved",
    "response": False,
    "remission": False,
    "recovery": True,
    "reliable_recovery": True,
    "below_clinical_cut": None,
}
_UNJUDGED: dict[str, Any] = dict.fromkeys(
    ("change", "reliable", "response", "remission", "recovery", "reliable_recovery", "below_clinical_cut")
)
_BASELINE = (
    _POINT
    | _UNJUDGED
    | {
        "assessment_id": "0f6d7d0e-7a53-5b0a-9a3e-1f6f7f1d8c20",
        "answered_at": "2026-01-05T08:00:00.000000Z",
        "accepted_at": "2026-01-05T08:00:00.800000Z",
        "total": 16,
        "band": "moderately_severe",
    }
)
_EXAMPLE: dict[str, Any] = {
    "patient_id": "7d0c1f5e-2b7a-4f0e-9d63-0a5f3f1c7b21",
    "enrolled_at": "2026-01-04T15:00:00.000000Z",
    "left": None,
    "instruments": [
        {
            "instrument": "phq9",
            "scale": "sum",
            "baseline": _BASELINE,
            "latest": _POINT,
            **{name: value for name, value in _POINT.items() if name in _UNJUDGED},
            "deteriorated": False,
            "points": [_BASELINE, _POINT],
            "coded": [],
        }
    ],
    "incomplete": {"gad7": 1},
    "attendance": {
        "weeks": [
            {
                "week": "2026-W02",
                "hours_planned": 9.0,
                "hours_attended": 7.5,
                "engagement": 0.8333333333333334,
                "sessions": {"attended": 5, "missed": 1, "excused": 0, "ahead": 0},
            }
        ],
        "hours_planned": 9.0,
        "hours_attended": 7.5,
        "engagement": 0.8333333333333334,
        "first_session_at": "2026-01-06T15:00:00.000000Z",
    },
}
_FOLLOW_UPS: dict[str, Any] = {
    "patient_id": "7d0c1f5e-2b7a-4f0e-9d63-0a5f3f1c7b21",
    "items": [
        {
            "follow_up_id": "5a0f4b1e-9f56-5f8e-8a3f-5b0a1c7d2e33",
            "contact": "7d",
            "discharged_at": "2026-03-30T15:00:00.000000Z",
            "due_from": "2026-04-06T15:00:00.000000Z",
            "due_by": "2026-04-08T15:00:00.000000Z",
            "state": "pending",
        }
    ],
}
_NONE = {
    "opened": 0,
    "acknowledged": 0,
    "escalated": 0,
    "resolved": 0,
    "breached": 0,
    "to_acknowledge_s": [],
    "to_resolve_s": [],
}
_CRISES: dict[str, Any] = {
    "patient_id": "7d0c1f5e-2b7a-4f0e-9d63-0a5f3f1c7b21",
    "levels": {
        "low": _NONE,
        "moderate": _NONE
        | {"opened": 1, "acknowledged": 1, "resolved": 1, "to_acknowledge_s": [41.5], "to_resolve_s": [3120.0]},
        "high": _NONE,
        "imminent": _NONE,
    },
}


def shown(example: Mapping[str, Any], words: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route whose 200 looks like this."""
    return {200: {"description": words, "content": {"application/json": {"example": example}}}}


def trajectories_router(queries: PatientQueries, readers: Who, staff: Who) -> APIRouter:
    """Routes of one patient."""
    router = APIRouter(tags=["trajectories"])

    @router.get("/v1/trajectories/{patient_id}", responses=shown(_EXAMPLE, "Measures and attendance of one patient"))
    async def trajectory(patient_id: str, who: Annotated[Principal, Depends(readers)]) -> Response:
        """Every measure of a patient over time, judged against its first total, and their attendance per ISO week."""
        own_only(who, patient_id)
        found = await queries.trajectory(patient_id)
        if found is None:
            raise nothing_known()
        return json_response(found)

    @router.get("/v1/follow-ups", responses=shown(_FOLLOW_UPS, "Contacts that a discharge has left owed"))
    async def follow_ups(patient_id: str, _who: Annotated[Principal, Depends(staff)]) -> Response:
        """The contacts that are owed after a discharge, and what became of each: pending, told, expired or cancelled."""
        return json_response(await queries.follow_ups(patient_id))

    @router.get("/v1/crises", responses=shown(_CRISES, "Crisis figures of one patient, per level"))
    async def crises(patient_id: str, _who: Annotated[Principal, Depends(staff)]) -> Response:
        """How many cases a patient had, per level, and how long each took."""
        return json_response(await queries.crises(patient_id))

    return router
