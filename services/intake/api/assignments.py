"""`/v1/patients/{patient_id}/assignments`: what a patient is to answer, and by when."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from starlette.responses import Response

from services.intake.api.plan import STAFF, left_told
from services.intake.api.problems import not_found, told
from services.intake.domain.assignments import EVERY_DAYS_MAX, TIMES_MAX, NoSuchSeries, Order, TooManyAssignments
from services.intake.handlers.assignments import AssignmentHandler, UnknownInstrument
from services.intake.queries import AssignmentQueries, BadCursor
from shared.chassis.http import Problem, authenticate, caller, json_response
from shared.chassis.idempotency import DOCUMENTED, posted
from shared.security.auth import Principal, TokenVerifier
from shared.time.clock import epoch_s

PATH = "/v1/patients/{patient_id}/assignments"
Moment = Annotated[str, Field(max_length=40, json_schema_extra={"format": "date-time"})]


def _moment(told_: str) -> str:
    try:
        epoch_s(told_)
    except (ValueError, OverflowError):
        raise ValueError("a time with its zone, for example 2026-01-31T08:00:00Z") from None
    return told_


class Assign(BaseModel):
    """What is to be answered: once, by `due_by`, or `times` times every so many days. Each time the patient has from `due_from`
    to `due_by`, moved by whole days in their zone; without `due_by`, until the next time begins."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"instrument": "phq9", "due_from": "2026-02-02T08:00:00-05:00", "due_by": "2026-02-04T08:00:00-05:00"},
                {"instrument": "phq9", "due_from": "2026-02-02T08:00:00-05:00", "every_days": 7, "times": 12},
            ]
        },
        extra="forbid",
        hide_input_in_errors=True,
    )
    instrument: str = Field(max_length=64)
    due_from: Annotated[Moment, AfterValidator(_moment)]
    due_by: Annotated[Moment, AfterValidator(_moment)] | None = None
    every_days: int | None = Field(None, ge=1, le=EVERY_DAYS_MAX)
    times: int = Field(1, ge=1, le=TIMES_MAX)

    @model_validator(mode="after")
    def _makes_sense(self) -> "Assign":
        if self.due_by is None and self.every_days is None:
            raise ValueError("due_by or every_days is needed")
        if self.every_days is None and self.times > 1:
            raise ValueError("times needs every_days")
        if self.due_by is not None and epoch_s(self.due_by) <= epoch_s(self.due_from):
            raise ValueError("due_by is after due_from")
        return self

    def order(self) -> Order:
        """The same for the rules."""
        by_s = None if self.due_by is None else epoch_s(self.due_by)
        return Order(self.instrument, epoch_s(self.due_from), by_s, self.every_days, self.times)


def assignments_router(
    handler: AssignmentHandler, queries: AssignmentQueries, programme_id: str, verifier: TokenVerifier
) -> APIRouter:
    """Routes of assignments."""
    router = APIRouter(tags=["assignments"])
    staff = caller(verifier, roles=STAFF)

    @router.post(PATH, status_code=201, openapi_extra=DOCUMENTED)
    async def post(request: Request, patient_id: str, body: Assign, who: Annotated[Principal, Depends(staff)]) -> Response:
        """Ask a patient to answer an instrument, once or again and again; 200 when the same key and body come again."""
        asked = posted(request, who, body)
        try:
            with left_told(), told():
                items, new = await handler.assign(
                    patient_id, body.order(), asked.id_in(programme_id, patient_id), asked.digest, who.sub
                )
        except UnknownInstrument:
            title = "This instrument is not known here, or may not be used yet"
            raise Problem(422, "unknown-instrument", title) from None
        except TooManyAssignments:
            raise Problem(409, "too-many-assignments", "This patient has as many assignments as are kept") from None
        return json_response({"items": items}, 201 if new else 200)

    @router.get(PATH)
    async def page(
        request: Request,
        patient_id: str,
        status: Literal["ahead", "open", "overdue", "completed", "withdrawn"] | None = None,
        cursor: str | None = None,
    ) -> Response:
        """A patient's assignments, the one that begins last first; a patient may see their own: `{items, next}`."""
        who = authenticate(request, verifier, roles=(*STAFF, "patient"))
        if who.role == "patient" and who.sub != patient_id:
            raise Problem(403, "forbidden", "A patient may reach their own record only")
        try:
            with told():
                found = await queries.page(patient_id, status, cursor)
        except BadCursor:
            raise Problem(422, "bad-cursor", "The cursor was not given out by this service") from None
        if found is None:
            raise not_found()
        return json_response(found)

    @router.post(f"{PATH}/{{series_id}}/withdraw", openapi_extra=DOCUMENTED, dependencies=[Depends(staff)])
    async def withdraw(patient_id: str, series_id: str) -> Response:
        """Take back what a patient has not answered of a series; again, nothing changes."""
        try:
            with told():
                items = await handler.withdraw(patient_id, series_id)
        except NoSuchSeries:
            raise not_found() from None
        return json_response({"items": items})

    return router
