"""`/v1/patients`: enrolment, and a patient's record for those who care for them."""

import re
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import APIRouter, Depends, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.intake.api.problems import not_found, told
from services.intake.handlers.patients import PatientHandler
from services.intake.queries import Queries
from shared.chassis.http import Problem, authenticate, caller, json_response
from shared.chassis.idempotency import DOCUMENTED
from shared.security.auth import Principal, TokenVerifier

STAFF = ("clinician", "supervisor", "service")
_PHONE = re.compile(r"\+[1-9]\d{5,14}\Z")
_PHONE_NOISE = str.maketrans("", "", " -().")


def _e164(told: str) -> str:
    plain = told.translate(_PHONE_NOISE)
    if not _PHONE.match(plain):
        raise ValueError("not an E.164 number")
    return plain


def _zone(told: str) -> str:
    try:
        ZoneInfo(told)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("not a time zone") from None
    return told


Phone = Annotated[str, Field(max_length=32), AfterValidator(_e164)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class Location(BaseModel):
    """Where the patient is: ISO 3166 country and a region code."""

    model_config = ConfigDict(extra="ignore")
    country: str = Field(pattern=r"^[A-Z]{2}$")
    region: str = Field(min_length=1, max_length=100)


class EmergencyContact(BaseModel):
    """Whom to call when the patient cannot be reached."""

    model_config = ConfigDict(extra="ignore")
    name: Name
    phone: Phone


class Enrolment(BaseModel):
    """What an enrolment needs."""

    model_config = ConfigDict(extra="ignore")
    name: Name
    phone: Phone
    email: str | None = Field(None, max_length=254)
    locale: str = Field(min_length=2, max_length=35)
    zone: Annotated[str, Field(max_length=64), AfterValidator(_zone)]
    location: Location
    emergency_contact: EmergencyContact | None = None
    track: str | None = Field(None, max_length=32)
    own_clinician_id: str | None = Field(None, max_length=64)
    minor: bool | None = None


class PatientId(BaseModel):
    """The id of an enrolled patient."""

    patient_id: str


def patients_router(handler: PatientHandler, queries: Queries, verifier: TokenVerifier) -> APIRouter:
    """Routes of patients."""
    router = APIRouter(tags=["patients"])
    staff = caller(verifier, roles=STAFF)

    @router.post("/v1/patients", status_code=201, response_model=PatientId, openapi_extra=DOCUMENTED)
    async def post(request: Request, enrolment: Enrolment, principal: Annotated[Principal, Depends(staff)]) -> Response:
        """Enrol a patient; 200 when the same key and body come again, 409 for another body under a used key."""
        key = request.headers.get("idempotency-key")
        with told():
            enrolled = await handler.enrol(principal.sub, key, enrolment.model_dump(mode="json"))
        if enrolled.kind == "conflict":
            raise Problem(409, "key-used", "This Idempotency-Key was used for another enrolment")
        return json_response({"patient_id": enrolled.patient_id}, 201 if enrolled.kind == "new" else 200)

    @router.get("/v1/patients/{patient_id}")
    async def get(request: Request, patient_id: str) -> Response:
        """A patient; contacts and location only for those who care for them."""
        principal = authenticate(request, verifier)
        if principal.role == "patient" and principal.sub != patient_id:
            raise Problem(403, "forbidden", "A patient may reach their own record only")
        with told():
            found = await queries.patient(patient_id, with_contacts=principal.role in STAFF)
        if found is None:
            raise not_found()
        return json_response(found)

    return router
