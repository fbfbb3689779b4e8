"""`/v1/patients/{patient_id}/care-plan`, `/safety-plan/reviews` and `/discharge`: a patient's way through the programme."""

from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response

from services.intake.api.problems import told
from services.intake.domain.patient import Document
from services.intake.domain.plan import CarePlan
from services.intake.handlers.changes import Discharged
from services.intake.handlers.plan import AlreadyDischarged, PlanHandler, RequestUsed, WhyIsMissing
from shared.chassis.http import Problem, caller, etag, if_match, json_response
from shared.chassis.idempotency import DOCUMENTED, key_used, posted
from shared.contracts.patient import DischargeReason
from shared.security.auth import Principal, TokenVerifier

STAFF = ("clinician", "supervisor", "service")
# Sessions lays out each of them; clinical.md 3, typical week.
Template = Literal["three_by_three", "five_by_three", "evening"]
GroupId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
_PLAN: dict[str, Any] = {"template": "three_by_three", "starts_on": "2026-02-02", "weeks": 12, "group_ids": ["dbt-evening"]}


class CarePlanTold(BaseModel):
    """A care plan, whole; `template` null: none any more. `starts_on` is a day in the patient's zone."""

    model_config = ConfigDict(json_schema_extra={"examples": [_PLAN]}, extra="forbid", hide_input_in_errors=True)
    template: Template | None
    starts_on: date | None = None
    weeks: int | None = Field(None, ge=1, le=52)
    group_ids: list[GroupId] = Field(default=[], max_length=8)

    @model_validator(mode="after")
    def _whole(self) -> "CarePlanTold":
        if (self.template is None) != (self.starts_on is None) or (self.template is None) != (self.weeks is None):
            raise ValueError("a template goes with starts_on and weeks, no template goes without them")
        return self

    def plan(self) -> CarePlan:
        """The same for the rules."""
        begins = None if self.starts_on is None else self.starts_on.isoformat()
        return CarePlan(self.template, begins, self.weeks, tuple(dict.fromkeys(self.group_ids)))


class DischargeTold(BaseModel):
    """Why a patient leaves, as a code; `why`, in words, where a risk case of theirs is open all the same."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"reason": "completed"}, {"reason": "stepped_up", "why": "admitted tonight"}]},
        extra="forbid",
        hide_input_in_errors=True,
    )
    reason: DischargeReason
    why: str | None = Field(None, min_length=1, max_length=500)


def plan_router(handler: PlanHandler, programme_id: str, verifier: TokenVerifier) -> APIRouter:
    """Routes of the programme."""
    router = APIRouter(tags=["programme"])
    staff, clinician = caller(verifier, roles=STAFF), caller(verifier, roles=("clinician", "supervisor"))

    @router.put("/v1/patients/{patient_id}/care-plan")
    async def put_plan(
        request: Request, patient_id: str, body: CarePlanTold, who: Annotated[Principal, Depends(staff)]
    ) -> Response:
        """Put this care plan in the place of the one before; the sessions of the old one make room for its own."""
        with left_told(), told():
            patient = await handler.change_plan(patient_id, body.plan(), who.sub, if_match(request))
        return _shown(patient, {"care_plan": patient["care_plan"]})

    @router.post("/v1/patients/{patient_id}/safety-plan/reviews", openapi_extra=DOCUMENTED)
    async def post_review(request: Request, patient_id: str, who: Annotated[Principal, Depends(staff)]) -> Response:
        """Say that the safety plan was gone through with the patient, just now, by the caller."""
        review = posted(request, who).id_in(programme_id, patient_id)
        with told():
            patient = await handler.review_safety_plan(patient_id, review, who.sub)
        plan = patient["safety_plan"]
        return _shown(patient, {"safety_plan": {name: plan[name] for name in ("reviews", "reviewed_at", "by")}})

    @router.post("/v1/patients/{patient_id}/discharge", openapi_extra=DOCUMENTED)
    async def post_discharge(
        request: Request, patient_id: str, body: DischargeTold, who: Annotated[Principal, Depends(clinician)]
    ) -> Response:
        """Let a patient go: what was ahead of them ends, an open risk case does not, and answers are taken as before."""
        asked = posted(request, who, body)
        with left_told(), told():
            patient = await handler.discharge(
                patient_id, body.reason, body.why, who.sub, asked.id_in(programme_id, patient_id), asked.digest
            )
        left = patient["discharged"]
        return _shown(patient, {"discharged": {name: left[name] for name in ("at", "by", "reason", "with_open_case")}})

    return router


class left_told:  # noqa: N801 - reads as a sentence beside `told`
    """What a discharge stands against, as problems."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Discharged):
            raise Problem(409, "patient-discharged", "This patient has left the programme") from None
        if isinstance(error, AlreadyDischarged):
            title = "This patient has left already, for another reason"
            raise Problem(409, "already-discharged", title, extra={"reason": error.reason}) from None
        if isinstance(error, WhyIsMissing):
            title = "A risk case of this patient is open, or a flag on its way: say why they leave all the same"
            raise Problem(409, "discharge-needs-why", title) from None
        if isinstance(error, RequestUsed):
            raise key_used() from None


def _shown(patient: Document, told_: dict[str, Any]) -> Response:
    version = int(patient["version"])
    return json_response({"patient_id": patient["patient_id"], "version": version, **told_}, headers=etag(version))
