"""`/v1/patients/{patient_id}/drafts/{instrument}`: a sheet that is still being written; every save is read for danger."""

from typing import Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from services.intake.api.assessments import ROLES, own_only, problem_of
from services.intake.api.problems import not_found, told
from services.intake.domain.sheet import Received
from services.intake.handlers.assessments import AssessmentHandler
from services.intake.queries import Queries
from shared.chassis.http import Problem, authenticate, body_of, json_response
from shared.contracts.guidance import GuidanceTable
from shared.security.auth import TokenVerifier
from shared.security.phi import Answers

DRAFT_PATH = "/v1/patients/{patient_id}/drafts/{instrument}"
_BODY_SCHEMA: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["answers"],
                    "properties": {
                        "answers": {
                            "type": "object",
                            "additionalProperties": {"type": ["integer", "boolean", "null"]},
                            "examples": [{"q1": 0, "q9": None}],
                        },
                        "context": {"type": "object", "additionalProperties": {"type": ["string", "boolean"]}},
                        "instrument_version": {"type": "string"},
                    },
                }
            }
        },
    },
    "parameters": [{"name": "Idempotency-Key", "in": "header", "required": False, "schema": {"type": "string"}}],
}


def drafts_router(handler: AssessmentHandler, queries: Queries, verifier: TokenVerifier, guidance: GuidanceTable) -> APIRouter:
    """Routes of drafts; every response carries guidance."""
    router = APIRouter(tags=["drafts"])

    @router.put(DRAFT_PATH, openapi_extra=_BODY_SCHEMA)
    async def put(request: Request, patient_id: str, instrument: str) -> Response:
        """Save what has been answered so far in the place of what was saved before.

        With the Idempotency-Key under which the sheet will be handed in, the same safety answers are the same flag then.
        """
        principal = authenticate(request, verifier, roles=ROLES)
        own_only(principal, patient_id)
        raw = await body_of(request)
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise Problem(422, "body-unreadable", "The body is no JSON") from None
        key = request.headers.get("idempotency-key")
        with told():
            word = await handler.take(Received(principal.sub, patient_id, key, raw, Answers(body), draft=instrument))
        if word.document is None:
            raise problem_of(word)
        flag = None if word.flag is None else {"flag_id": word.flag.flag_id, "level": word.flag.level}
        return json_response({"saved_at": word.document["accepted_at"], "flag": flag, "guidance": word.guidance})

    @router.get(DRAFT_PATH)
    async def get(request: Request, patient_id: str, instrument: str) -> Response:
        """What was saved last; 404 when nothing was, or when the sheet has been handed in since."""
        own_only(authenticate(request, verifier, roles=ROLES), patient_id)
        with told():
            found = await queries.draft(patient_id, instrument)
        if found is None:
            raise not_found()
        return json_response(found | {"guidance": list(guidance.for_anybody)})

    return router
