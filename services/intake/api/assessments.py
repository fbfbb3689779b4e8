"""`/v1/patients/{patient_id}/assessments` and `/v1/assessments/{assessment_id}`."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from services.intake.api.problems import RETRY_SOON, not_found, told
from services.intake.domain.sheet import Received
from services.intake.handlers.assessments import AssessmentHandler, Word
from services.intake.queries import BadCursor, Queries
from services.intake.queries import told as told_of
from shared.chassis.http import Problem, authenticate, body_of, json_response, problem_response
from shared.chassis.idempotency import DOCUMENTED
from shared.contracts.guidance import GuidanceTable
from shared.security.auth import Principal, TokenVerifier
from shared.security.phi import Answers

ANSWERS_PATH = "/v1/patients/{patient_id}/assessments"
ROLES = ("patient", "clinician", "supervisor", "service")
_BODY_SCHEMA: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["instrument", "answers"],
                    "properties": {
                        "instrument": {"type": "string", "examples": ["phq9"]},
                        "answers": {
                            "type": "object",
                            "additionalProperties": {"type": ["integer", "boolean", "null"]},
                            "examples": [{"q1": 0, "q9": 1}],
                        },
                        "answered_at": {"type": "string", "format": "date-time"},
                        "context": {"type": "object", "additionalProperties": {"type": ["string", "boolean"]}},
                        "corrects": {"type": "string", "description": "The assessment that this one takes the place of."},
                        "instrument_version": {"type": "string"},
                        "text_hash": {"type": "string"},
                    },
                }
            }
        },
    },
    "parameters": [
        {"name": "patient_id", "in": "path", "required": True, "schema": {"type": "string"}},
        *DOCUMENTED["parameters"],
    ],
}
_PROBLEMS: Mapping[str, tuple[int, str, str]] = {
    "invalid": (422, "answers-invalid", "The answers are not valid"),
    "unknown_patient": (404, "unknown-patient", "There is no such patient"),
    "conflict": (409, "key-used", "This Idempotency-Key was used for other answers"),
    "unsure": (503, "not-confirmed", "The answers are not safely stored yet; send the same request again with the same key"),
}


def post_answers(handler: AssessmentHandler, verifier: TokenVerifier) -> Callable[[Request], Awaitable[Response]]:
    """The hot route: takes an answer sheet."""

    async def post(request: Request) -> Response:
        """Take an answer sheet; 201, or 200 when the same key and body come again."""
        principal = authenticate(request, verifier, roles=ROLES)
        patient_id = request.path_params["patient_id"]
        own_only(principal, patient_id)
        raw = await body_of(request)
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise Problem(422, "body-unreadable", "The body is no JSON") from None
        key = request.headers.get("idempotency-key")
        with told():
            word = await handler.take(Received(principal.sub, patient_id, key, raw, Answers(body)))
        return _response(word)

    return post


def assessments_router(
    post: Callable[[Request], Awaitable[Response]], queries: Queries, verifier: TokenVerifier, guidance: GuidanceTable
) -> APIRouter:
    """Routes of answer sheets; every response carries guidance. `post` is `post_answers`, listed here for its description."""
    router = APIRouter(tags=["assessments"])
    anybody = list(guidance.for_anybody)
    router.post(ANSWERS_PATH, status_code=201, openapi_extra=_BODY_SCHEMA)(post)

    @router.get("/v1/assessments/{assessment_id}")
    async def get(request: Request, assessment_id: str) -> Response:
        """One accepted sheet."""
        principal = authenticate(request, verifier, roles=ROLES)
        with told():
            found = await queries.assessment(assessment_id)
        if found is None or (principal.role == "patient" and found["patient_id"] != principal.sub):
            raise not_found()
        return json_response(found | {"guidance": anybody})

    @router.get("/v1/patients/{patient_id}/assessments")
    async def page(request: Request, patient_id: str, cursor: str | None = None) -> Response:
        """A patient's sheets, newest first: `{items, next}`."""
        own_only(authenticate(request, verifier, roles=ROLES), patient_id)
        try:
            with told():
                found = await queries.assessments(patient_id, cursor)
        except BadCursor:
            raise Problem(422, "bad-cursor", "The cursor was not given out by this service") from None
        return json_response(found | {"guidance": anybody})

    return router


def own_only(principal: Principal, patient_id: str) -> None:
    """Raises Problem 403 for a patient who reaches for somebody else's."""
    if principal.role == "patient" and principal.sub != patient_id:
        raise Problem(403, "forbidden", "A patient may reach their own sheets only")


def _response(word: Word) -> Response:
    if word.kind in ("stored", "repeated") and word.document is not None:
        body = told_of(word.document) | {"guidance": word.guidance}
        return json_response(body, 201 if word.kind == "stored" else 200)
    return problem_response(problem_of(word))


def problem_of(word: Word) -> Problem:
    """What a sender is told whose sheet was not stored."""
    status, slug, title = _PROBLEMS[word.kind]
    flag = None if word.flag is None else {"flag_id": word.flag.flag_id, "level": word.flag.level}
    extra: dict[str, Any] = {"flag": flag, "flagged": word.flagged, "guidance": word.guidance}
    if word.faults:
        extra["faults"] = [{"item": fault.item, "code": fault.code} for fault in word.faults]
    if word.refusal is not None:
        return Problem(422, "licence-not-acknowledged", "This instrument may not be used here yet", word.refusal, extra=extra)
    return Problem(status, slug, title, extra=extra, headers=RETRY_SOON if status == 503 else None)
