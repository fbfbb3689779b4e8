"""Rooms of a Jitsi deployment: links with a signed token (JWT), callbacks with a signed body.

The token's claims are those that Jitsi's own token plugin asks for: `aud`, `iss` (the application), `sub` (the deployment's domain),
`room`, `exp`, `context.user`. It names nobody: the user is a place, or a member of staff, by id. The callbacks are those of "Jitsi as
a Service" (developer.8x8.com, webhooks payload): `idempotencyKey`, `eventType`, `timestamp` in milliseconds, `fqn` = application
and room, `data`. They are signed like every webhook of this deployment (`shared/providers/webhook.py`).
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson
from joserfc import jwt
from joserfc.jwk import OctKey

from services.sessions.ports import ForgedSignal, RoomSignal, SignalKind, StoreTime, UnreadableSignal
from shared.providers.webhook import SIGNATURE, signature_holds

AUDIENCE = "jitsi"
ROOM_PREFIX = "vigil-"
STAFF_PREFIX = "staff-"
# What a participant's browser says when somebody pressed "leave", or was moved to another room by intent.
_WENT = frozenset({"left", "switch_room"})
_TECHNICAL = frozenset({"unrecoverable_error", "bridge_down", "conference_destroyed"})


class JitsiRooms:
    """The port Rooms."""

    def __init__(self, url: str, app_id: str, secret: bytes, webhook_key: bytes | None, time: StoreTime) -> None:
        """`webhook_key` None: no callback is believed."""
        self._url = url.rstrip("/")
        self._app_id = app_id
        self._key = OctKey.import_key(secret)
        self._webhook_key = webhook_key
        self._time = time

    def link(self, session_id: str, person: str, *, moderator: bool, expires_s: float) -> str:
        """A link with a token for this person and room, until then."""
        room = f"{ROOM_PREFIX}{session_id}"
        claims: dict[str, Any] = {
            "aud": AUDIENCE,
            "iss": self._app_id,
            "sub": urlsplit(self._url).hostname or "",
            "room": room,
            "exp": int(expires_s),
            "context": {"user": {"id": f"{STAFF_PREFIX}{person}" if moderator else person, "moderator": moderator}},
        }
        return f"{self._url}/{room}?jwt={jwt.encode({'alg': 'HS256'}, claims, self._key)}"

    def read(self, headers: Mapping[str, str], body: bytes) -> RoomSignal | None:
        """What a callback says."""
        if self._webhook_key is None or not signature_holds(
            self._webhook_key, headers.get(SIGNATURE.lower(), ""), body, self._time.now_s()
        ):
            raise ForgedSignal
        return signal_of(body)


def signal_of(body: bytes) -> RoomSignal | None:
    """The signal in a callback's body; None for what is of no interest. Raises UnreadableSignal."""
    try:
        told = orjson.loads(body)
        kind, room = str(told["eventType"]), str(told["fqn"]).rpartition("/")[2]
        data = told.get("data") or {}
        signal_id, at_s = str(told["idempotencyKey"])[:64], float(told["timestamp"]) / 1000
        person, why = str(data.get("id") or ""), str(data.get("disconnectReason") or "left").lower()
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UnreadableSignal from None
    of_interest: dict[str, SignalKind] = {"PARTICIPANT_JOINED": "joined", "PARTICIPANT_LEFT": "left"}
    if not room.startswith(ROOM_PREFIX):
        return None
    session_id = room.removeprefix(ROOM_PREFIX)
    if kind == "ROOM_DESTROYED":
        return RoomSignal("room_failed", session_id, None, signal_id, at_s, True) if why in _TECHNICAL else None
    signal = of_interest.get(kind)
    if signal is None or not person or person.startswith(STAFF_PREFIX):
        return None
    if signal == "left" and why not in _WENT:
        return RoomSignal("lost", session_id, person, signal_id, at_s, why in _TECHNICAL)
    return RoomSignal(signal, session_id, person, signal_id, at_s)
