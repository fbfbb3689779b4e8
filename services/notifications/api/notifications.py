"""`/v1/notifications` and `/v1/patients/{id}/preferences`."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.notifications.domain.local_time import Quiet, minute_of
from services.notifications.domain.patient import Preferences
from services.notifications.domain.plans import Rules
from services.notifications.handlers.patients import PatientHandler, PreferencesMoved
from services.notifications.queries import Queries, preferences_shown
from shared.chassis.application import Parts
from shared.chassis.http import Problem, etag, if_match, json_response
from shared.security.auth import Principal

_HOUR = r"^(?:[01]\d|2[0-3]):[0-5]\d$"
# A week before; more leads than this are more messages than anybody wants.
LEAD_MAX_MIN = 10_080
_SHOWN: dict[str, Any] = {
    "channels": ["sms", "email"],
    "quiet_hours": {"from": "21:00", "to": "08:00"},
    "lead_minutes": [1440, 60],
    "set": ["quiet_hours"],
}
_ITEM: dict[str, Any] = {
    "notification_id": "3f0c7a52-0b1d-5e0c-9a7e-2f4d1c3b5a69",
    "about": {"kind": "session", "id": "6a1d3c52-6a1d-5e0c-9a7e-2f4d1c3b5a69"},
    "template": "session_reminder",
    "emergency": False,
    "due_at": "2026-11-30T20:00:00.000000Z",
    "until": "2026-11-30T21:00:00.000000Z",
    "state": "held",
    "reason": "quiet_hours",
    "held_until": "2026-11-30T20:30:00.000000Z",
    "channel": None,
    "sent_at": None,
    "tries": [],
}


class QuietHours(BaseModel):
    """Hours of the patient's day in which nothing that can wait is sent; the same time twice: none."""

    model_config = ConfigDict(extra="forbid")
    from_: str = Field(alias="from", pattern=_HOUR, examples=["21:00"])
    to: str = Field(pattern=_HOUR, examples=["08:00"])

    def quiet(self) -> Quiet:
        """As minutes of the day."""
        return Quiet(minute_of(self.from_), minute_of(self.to))


class PreferencesTold(BaseModel):
    """What a patient asks for; what is left out, or null, is as the programme does it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"channels": ["sms"], "quiet_hours": {"from": "21:00", "to": "09:00"}, "lead_minutes": [1440, 30]}]
        },
    )
    channels: list[Literal["sms", "email"]] | None = Field(None, max_length=2)
    quiet_hours: QuietHours | None = None
    lead_minutes: list[Annotated[int, Field(ge=1, le=LEAD_MAX_MIN)]] | None = Field(None, max_length=4)

    def preferences(self) -> Preferences:
        """As the rules know them."""
        return Preferences(
            None if self.channels is None else tuple(dict.fromkeys(self.channels)),
            None if self.quiet_hours is None else self.quiet_hours.quiet(),
            None if self.lead_minutes is None else tuple(dict.fromkeys(self.lead_minutes)),
        )


def notifications_router(parts: Parts, queries: Queries, patients: PatientHandler, rules: Rules) -> APIRouter:
    """Routes about messages, and what patients want of them."""
    router = APIRouter(tags=["notifications"])
    caller = parts.caller("patient", "clinician", "supervisor", "service")

    def _own(who: Principal, patient_id: str) -> None:
        if who.role == "patient" and who.sub != patient_id:
            raise Problem(403, "forbidden", "This caller may not do that")

    @router.get(
        "/v1/notifications", responses={200: {"content": {"application/json": {"example": {"items": [_ITEM], "more": False}}}}}
    )
    async def notifications(
        who: Annotated[Principal, Depends(caller)],
        patient_id: Annotated[str, Query(max_length=64, examples=["b7a3e0c4-5c62-5b5e-8a57-1c8f4f0a9d11"])],
    ) -> Response:
        """What was, is and will be sent to a patient, in which state and why: never a text, never an address."""
        _own(who, patient_id)
        return json_response(await queries.notifications(patient_id))

    @router.get(
        "/v1/patients/{patient_id}/preferences", responses={200: {"content": {"application/json": {"example": _SHOWN}}}}
    )
    async def preferences(patient_id: str, who: Annotated[Principal, Depends(caller)]) -> Response:
        """What holds for a patient; `set` names what they asked for themselves. `ETag` is the version."""
        _own(who, patient_id)
        shown, version = await queries.preferences(patient_id)
        return json_response(shown, headers=etag(version))

    @router.put(
        "/v1/patients/{patient_id}/preferences", responses={200: {"content": {"application/json": {"example": _SHOWN}}}}
    )
    async def prefer(
        patient_id: str, request: Request, body: PreferencesTold, who: Annotated[Principal, Depends(caller)]
    ) -> Response:
        """Set all preferences; messages still to come move. With `If-Match`, only if nobody changed them in between."""
        _own(who, patient_id)
        try:
            patient = await patients.prefer(patient_id, body.preferences(), if_match(request))
        except PreferencesMoved as moved:
            raise Problem(
                412, "preferences-moved", "Somebody changed the preferences in between", headers=etag(moved.version)
            ) from None
        return json_response(preferences_shown(patient, rules), headers=etag(patient.preferences_version))

    return router
