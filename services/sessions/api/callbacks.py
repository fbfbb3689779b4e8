"""What rooms say: `/v1/rooms/webhooks/jitsi`, proven by its own signature instead of a token."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.sessions.handlers.rooms import RoomHandler
from services.sessions.ports import ForgedSignal, Rooms, UnreadableSignal
from shared.chassis.http import Problem

WEBHOOKS = "/v1/rooms/webhooks/"
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object"},
                "example": {
                    "idempotencyKey": "d11f155d-ced5-4a7e-b6d9-aaa135c64f65",
                    "eventType": "PARTICIPANT_LEFT",
                    "timestamp": 1768226400000,
                    "fqn": "vigil/vigil-3e0e2c7e-5a55-5d0f-8c37-5d9d1d6b0a42",
                    "data": {"id": "8f0c2a64-0b8e-5d57-9a6b-5a3f0f6f8d11", "disconnectReason": "left"},
                },
            }
        },
    }
}


def callbacks_router(handler: RoomHandler, rooms: Rooms) -> APIRouter:
    """The route of callbacks."""
    router = APIRouter(tags=["rooms"])

    @router.post(f"{WEBHOOKS}jitsi", status_code=204, openapi_extra=_BODY)
    async def jitsi(request: Request) -> Response:
        """A signal of a room, signed (`Vigil-Signature`; 403 otherwise): somebody came, went or was lost. The same one again
        changes nothing."""
        try:
            signal = rooms.read(request.headers, await request.body())
        except ForgedSignal:
            raise Problem(403, "signature-refused", "The signature does not hold") from None
        except UnreadableSignal:
            raise Problem(422, "signal-unreadable", "The signal cannot be read") from None
        if signal is not None:
            await handler.heard(signal)
        return Response(status_code=204)

    return router
