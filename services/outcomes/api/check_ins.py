"""`/v1/check-ins`: how a patient is today; guidance is in every response."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from services.outcomes.api.access import own_only
from services.outcomes.api.trajectories import Who, shown
from services.outcomes.domain.check_in import Received
from services.outcomes.handlers.check_ins import CheckInHandler, Word
from services.outcomes.ports import StoreSilent
from services.outcomes.queries.check_ins import BadCursor, CheckInQueries
from shared.chassis.http import body_of, json_response, problem_response
from shared.chassis.idempotency import DOCUMENTED, KEY_HEADER
from shared.chassis.problems import Problem
from shared.contracts.guidance import Guidance
from shared.security.auth import Principal
from shared.security.keks import KeyUnavailable

PATH = "/v1/check-ins"
RETRY_SOON = {"Retry-After": "1"}
GuidanceOf = Callable[[str | None], Guidance]
_PROBLEMS: Mapping[str, tuple[int, str, str]] = {
    "invalid": (422, "check-in-invalid", "The check-in is not valid"),
    "unknown_patient": (404, "unknown-patient", "There is no such patient"),
    "forgotten": (410, "patient-forgotten", "This patient was forgotten"),
    "conflict": (409, "key-used", "This Idempotency-Key was used for another check-in"),
    "unsealed": (503, "sealing-unavailable", "What a patient tells cannot be sealed now"),
    "unsure": (503, "not-confirmed", "The check-in is not safely stored yet; send the same request again with the same key"),
}
_SENT: dict[str, Any] = {"mood": 4, "urges": {"self_harm": 0, "suicide": 2}, "note": "Slept badly."}
_STORED: dict[str, Any] = {
    "check_in_id": "0d6f0b7a-4b61-5a3c-8d11-9f1b2c3d4e55",
    "patient_id": "7d0c1f5e-2b7a-4f0e-9d63-0a5f3f1c7b21",
    "recorded_at": "2026-01-31T08:00:00.000000Z",
    **_SENT,
    "forgotten": False,
    "flag": {"flag_id": "0b8f3c52-6a1d-5e0c-9a7e-2f4d1c3b5a69", "level": "moderate"},
}
_GUIDANCE = [{"label": "988 Suicide and Crisis Lifeline", "phone": "988", "text_to": "988"}]
_RATING: dict[str, Any] = {"type": ["integer", "null"], "minimum": 0, "maximum": 5}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["mood"],
                    "properties": {
                        "patient_id": {"type": "string", "description": "Whom it is about; a patient speaks for themselves."},
                        "mood": {"type": "integer", "minimum": 0, "maximum": 10},
                        "urges": {
                            "type": ["object", "null"],
                            "properties": {"self_harm": _RATING, "suicide": _RATING},
                            "additionalProperties": False,
                        },
                        "note": {"type": ["string", "null"], "maxLength": 4000},
                    },
                },
                "example": _SENT,
            }
        },
    },
    **DOCUMENTED,
}


def check_ins_router(handler: CheckInHandler, queries: CheckInQueries, readers: Who, guidance: GuidanceOf) -> APIRouter:
    """Routes of check-ins; `guidance` gives the lines for a patient, or for anybody."""
    router = APIRouter(tags=["check-ins"])
    stored = shown(_STORED | {"guidance": _GUIDANCE}, "The same check-in again")
    responses: dict[int | str, dict[str, Any]] = {201: {**stored[200], "description": "Stored"}, 200: stored[200]}

    @router.post(PATH, status_code=201, openapi_extra=_BODY, responses=responses)
    async def post(request: Request, who: Annotated[Principal, Depends(readers)]) -> Response:
        """Take a check-in; a rating of an urge at its threshold pages in the same request."""
        raw = await body_of(request)
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise Problem(422, "body-unreadable", "The body is no JSON") from None
        patient_id = _patient(who, body)
        word = await handler.take(Received(who.sub, patient_id, request.headers.get(KEY_HEADER), body))
        return _response(word, queries, guidance(patient_id))

    @router.get(PATH, responses=shown({"items": [_STORED], "next": None, "guidance": _GUIDANCE}, "Newest first"))
    async def page(patient_id: str, who: Annotated[Principal, Depends(readers)], cursor: str | None = None) -> Response:
        """A patient's check-ins, newest first: `{items, next}`."""
        own_only(who, patient_id)
        try:
            found = await queries.page(patient_id, cursor)
        except BadCursor:
            raise Problem(422, "bad-cursor", "The cursor was not given out by this service") from None
        except KeyUnavailable as unavailable:
            raise _problem("unsealed", unavailable.code) from None
        except StoreSilent:
            title = "The store does not answer; send the same request again"
            raise Problem(503, "store-unavailable", title, headers=RETRY_SOON) from None
        return json_response(found | {"guidance": guidance(patient_id)})

    return router


def _patient(who: Principal, body: Any) -> str | None:
    told = body.get("patient_id") if isinstance(body, Mapping) else None
    if who.role != "patient":
        return told if isinstance(told, str) else None
    if isinstance(told, str):
        own_only(who, told)
    # A patient speaks for themselves, whatever else they say.
    return who.sub


def _response(word: Word, queries: CheckInQueries, guidance: Guidance) -> Response:
    if word.kind in ("stored", "repeated") and word.document is not None:
        try:
            body = queries.one(word.document)
        except KeyUnavailable as unavailable:
            # It is stored; only the key that showed it is away again.
            return problem_response(_problem("unsealed", unavailable.code, _said(word, guidance)))
        return json_response(body | {"guidance": guidance}, 201 if word.kind == "stored" else 200)
    return problem_response(_problem(word.kind, None, _said(word, guidance)))


def _said(word: Word, guidance: Guidance) -> dict[str, Any]:
    flag = None if word.flag is None else {"flag_id": word.flag.flag_id, "level": word.flag.level}
    said: dict[str, Any] = {"flag": flag, "flagged": word.flagged, "guidance": guidance}
    if word.faults:
        said["faults"] = [{"item": item, "code": code} for item, code in word.faults.items()]
    return said


def _problem(kind: str, detail: str | None = None, extra: Mapping[str, Any] | None = None) -> Problem:
    status, slug, title = _PROBLEMS[kind]
    return Problem(status, slug, title, detail, extra=extra, headers=RETRY_SOON if status == 503 else None)
