"""`/v1/reports/cohort`: all patients together; small cells are kept back before anything leaves the service."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.responses import Response

from services.outcomes.api.trajectories import Who, shown
from services.outcomes.queries.cohort import CohortQueries
from shared.chassis.http import json_response
from shared.security.auth import Principal

_LEVEL: dict[str, Any] = {
    "opened": 64,
    "acknowledged": 64,
    "escalated": "<11",
    "resolved": "hidden",
    "breached": 0,
    "to_acknowledge_s": {"p50": 38.2, "p90": 118.0, "p99": 260.4},
    "to_resolve_s": {"p50": 2400.0, "p90": 7200.0, "p99": 14400.0},
}
_NO_CASES: dict[str, Any] = dict.fromkeys(_LEVEL, 0) | {"to_acknowledge_s": None, "to_resolve_s": None}
_MEASURE: dict[str, Any] = {
    "patients": 90,
    "n_followed": 61,
    "n_missing": 29,
    "window_open": 40,
    "followed": 0.6777777777777778,
    "remission": 0.24444444444444444,
    "response": 0.4,
}
_EXAMPLE: dict[str, Any] = {
    "programme_id": "default",
    "as_of": "2026-06-30T08:00:00.000000Z",
    "small_cells_below": 11,
    "patients": {"ever_enrolled": 240, "present": 96, "left": 144},
    "discharges": {
        "discharged": 144,
        "reasons": {"completed": 92, "lost_to_follow_up": "<11", "patient_choice": 24, "stepped_up": "hidden"},
        "completion": 0.6388888888888888,
    },
    "instruments": [
        {
            "instrument": "phq9",
            "scale": "sum",
            "patients": 232,
            "n_paired": 201,
            "n_missing": 31,
            "bands": ["minimal", "mild", "moderate", "moderately_severe", "severe"],
            "first_bands": {"minimal": 12, "mild": 26, "moderate": 62, "moderately_severe": 60, "severe": 41},
            "latest_bands": {"minimal": 61, "mild": 66, "moderate": 41, "moderately_severe": 21, "severe": 12},
            "reliable": {
                "improved": {"n": 118, "rate": 0.5870646766169154, "rate_last_observation": 0.5086206896551724},
                "unchanged": {"n": 71, "rate": 0.35323383084577115, "rate_last_observation": None},
                "deteriorated": {"n": 12, "rate": 0.05970149253731343, "rate_last_observation": 0.05172413793103448},
            },
            "judgements": {"response": {"n": 97, "rate": 0.4825870646766169, "rate_last_observation": 0.41810344827586204}},
        }
    ],
    "measures": {"drr_e": _MEASURE, "mncm_6_months": _MEASURE, "mncm_12_months": _MEASURE},
    "engagement": {
        "hours_planned": 18_240.0,
        "hours_attended": 14_592.0,
        "share": 0.8,
        "bands": {"no session yet": 12, "below 50 %": 24, "50 to 79 %": 61, "80 % and more": 143},
        "week_two": {"patients": 220, "rate": 0.85},
        "days_to_first_session": {"p50": 2.1, "p90": 5.0, "p99": 9.7},
    },
    "crisis": {"low": _NO_CASES, "moderate": _LEVEL, "high": _LEVEL, "imminent": _NO_CASES},
}


def reports_router(queries: CohortQueries, supervisors: Who) -> APIRouter:
    """Routes of reports."""
    router = APIRouter(tags=["reports"])

    @router.get("/v1/reports/cohort", responses=shown(_EXAMPLE, "All patients together"))
    async def cohort(_who: Annotated[Principal, Depends(supervisors)]) -> Response:
        """All patients together: bands, reliable change with how many are paired and missing, engagement, crisis figures."""
        return json_response(await queries.report())

    return router
