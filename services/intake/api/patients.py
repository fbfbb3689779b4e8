"""`/v1/patients`: enrolment, a patient's record for those who care for them, its changes and its end."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from services.intake.api.enrolment import ContactsChange, EnrolmentTold
from services.intake.api.problems import gone, not_found, told
from services.intake.domain.consents import UnknownPurpose
from services.intake.handlers.forgetting import ForgettingHandler
from services.intake.handlers.patients import PatientHandler
from services.intake.queries import Queries
from shared.chassis.http import Problem, authenticate, caller, etag, if_match, json_response
from shared.chassis.idempotency import DOCUMENTED
from shared.security.auth import Principal, TokenVerifier

STAFF = ("clinician", "supervisor", "service")


class PatientId(BaseModel):
    """The id of an enrolled patient."""

    patient_id: str


class ConsentsTold(BaseModel):
    """Consents given (true) and withdrawn (false); purposes that are not named stay as they are."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"consents": {"contact_sms": True}}]}, extra="forbid", hide_input_in_errors=True
    )
    consents: dict[str, bool]


class Forget(BaseModel):
    """Why a patient is forgotten: a code, because this stays."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"why": "patient_request"}]}, extra="forbid", hide_input_in_errors=True
    )
    why: Literal["patient_request", "retention_over", "enrolled_by_mistake"]


def patients_router(
    handler: PatientHandler, forgetting: ForgettingHandler, queries: Queries, verifier: TokenVerifier
) -> APIRouter:
    """Routes of patients."""
    router = APIRouter(tags=["patients"])
    staff, supervisor = caller(verifier, roles=STAFF), caller(verifier, roles=("supervisor",))

    @router.post("/v1/patients", status_code=201, response_model=PatientId, openapi_extra=DOCUMENTED)
    async def post(request: Request, enrolment: EnrolmentTold, principal: Annotated[Principal, Depends(staff)]) -> Response:
        """Enrol a patient; 200 when the same key and body come again, 409 for another body under a used key."""
        key = request.headers.get("idempotency-key")
        with told():
            enrolled = await handler.enrol(principal.sub, key, enrolment.enrolment())
        if enrolled.kind == "conflict":
            raise Problem(409, "key-used", "This Idempotency-Key was used for another enrolment")
        return json_response({"patient_id": enrolled.patient_id}, 201 if enrolled.kind == "new" else 200)

    @router.get("/v1/patients/{patient_id}")
    async def get(request: Request, patient_id: str) -> Response:
        """A patient; contacts and location only for those who care for them. 410 for one who was forgotten."""
        principal = authenticate(request, verifier)
        _own_only(principal.role, principal.sub, patient_id)
        with told():
            found = await queries.patient(patient_id, with_contacts=principal.role in STAFF)
        if found is None:
            raise not_found()
        if "forgotten" in found:
            raise gone(found["forgotten"] if principal.role in STAFF else None)
        return json_response(found, headers=etag(found["version"]))

    @router.put("/v1/patients/{patient_id}/contacts", dependencies=[Depends(staff)])
    async def put_contacts(request: Request, patient_id: str, body: ContactsChange) -> Response:
        """Put contacts and location in the place of the old ones, and zone and locale where they are told."""
        with told():
            change = handler.change_contacts(patient_id, body.contacts(), if_match(request), zone=body.zone, locale=body.locale)
            return now(patient_id, await change)

    @router.put("/v1/patients/{patient_id}/consents")
    async def put_consents(request: Request, patient_id: str, body: ConsentsTold) -> Response:
        """Give or withdraw consents; a patient may do so for themselves: `{patient_id, version}`; `If-Match` as above."""
        principal = authenticate(request, verifier)
        _own_only(principal.role, principal.sub, patient_id)
        try:
            with told():
                return now(patient_id, await handler.change_consents(patient_id, body.consents, if_match(request)))
        except UnknownPurpose:
            raise Problem(422, "unknown-purpose", "Nobody can agree to one of these purposes") from None

    @router.post("/v1/patients/{patient_id}/forget")
    async def forget(patient_id: str, body: Forget, principal: Annotated[Principal, Depends(supervisor)]) -> Response:
        """Forget a patient for good; 409 while a case of theirs is open or a flag on its way. Again: 200, nothing changes."""
        with told():
            outcome = await forgetting.forget(patient_id, principal.sub, body.why)
        if outcome == "no_such_patient":
            raise not_found()
        if outcome == "unsettled":
            raise Problem(409, "case-open", "A risk case of this patient is open, or a flag on its way; close it first")
        return json_response({"patient_id": patient_id, "forgotten": True})

    return router


def now(patient_id: str, version: int) -> Response:
    """The word on a patient's change: whose, and which version it made."""
    return json_response({"patient_id": patient_id, "version": version}, headers=etag(version))


def _own_only(role: str, sub: str, patient_id: str) -> None:
    if role == "patient" and sub != patient_id:
        raise Problem(403, "forbidden", "A patient may reach their own record only")
