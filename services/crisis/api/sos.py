"""`POST /v1/sos`: whoever has a patient's token gets somebody paged, whatever else came with the request."""

import asyncio
import hashlib

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from services.crisis.domain.sos import PATIENT, STAFF, press_of
from services.crisis.sos import Sos
from shared.chassis.http import Problem, authenticate, body_of, json_response
from shared.chassis.idempotency import KEY_HEADER
from shared.security.auth import Principal, TokenVerifier

SOS_PATH = "/v1/sos"
BODY_MAX_BYTES = 64 * 1024
_KEY_MAX = 128


class SosApi:
    """Takes presses."""

    def __init__(self, sos: Sos, verifier: TokenVerifier, body_s: float) -> None:
        self._sos = sos
        self._verifier = verifier
        self._body_s = body_s

    async def post(self, request: Request) -> Response:
        """202 `{flag_id, guidance}`. A patient's token is enough; staff names the patient (422 otherwise)."""
        principal = authenticate(request, self._verifier, roles=(PATIENT, *STAFF))
        press = press_of(principal.role, principal.sub, await self._told(request, principal))
        if press is None:
            raise Problem(422, "patient-unnamed", "Nobody is named", "send the `patient_id` of the patient in danger")
        pressed = await self._sos.take(principal.sub, press, _key(request))
        return json_response({"flag_id": pressed.flag_id, "guidance": list(pressed.guidance)}, 202)

    async def _told(self, request: Request, principal: Principal) -> object:
        """What the body says, None for whatever cannot be read; raises Problem 413 for staff."""
        raw = await (self._patiently(request) if principal.role == PATIENT else body_of(request, BODY_MAX_BYTES))
        try:
            told: object = orjson.loads(raw)
        except (orjson.JSONDecodeError, RecursionError):
            return None
        return told

    async def _patiently(self, request: Request) -> bytes:
        """The body as far as it came within `sos_body` and its bound: too much, too slow or cut off, the press is a press."""
        kept = bytearray()
        try:
            async with asyncio.timeout(self._body_s):
                async for chunk in request.stream():
                    kept += chunk[: BODY_MAX_BYTES + 1 - len(kept)]
        except (TimeoutError, ClientDisconnect):
            return b""
        return bytes(kept)


def _key(request: Request) -> str | None:
    told = request.headers.get(KEY_HEADER)
    return hashlib.sha256(told.encode()).hexdigest() if told and len(told) > _KEY_MAX else told
