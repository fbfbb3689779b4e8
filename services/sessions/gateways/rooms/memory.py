"""Rooms that are nowhere: the twin of every provider. Its links lead to a host that cannot exist; it believes signed callbacks."""

from collections.abc import Mapping

from services.sessions.gateways.rooms.jitsi import ROOM_PREFIX, STAFF_PREFIX, signal_of
from services.sessions.ports import ForgedSignal, RoomSignal, StoreTime
from shared.providers.webhook import SIGNATURE, signature_holds


class MemoryRooms:
    """The port Rooms."""

    def __init__(self, webhook_key: bytes | None, time: StoreTime) -> None:
        self._webhook_key = webhook_key
        self._time = time

    def link(self, session_id: str, person: str, *, moderator: bool, expires_s: float) -> str:
        """A link that says what a real one would."""
        user = f"{STAFF_PREFIX}{person}" if moderator else person
        return f"https://rooms.invalid/{ROOM_PREFIX}{session_id}?user={user}&until={int(expires_s)}"

    def read(self, headers: Mapping[str, str], body: bytes) -> RoomSignal | None:
        """What a callback says."""
        if self._webhook_key is None or not signature_holds(
            self._webhook_key, headers.get(SIGNATURE.lower(), ""), body, self._time.now_s()
        ):
            raise ForgedSignal
        return signal_of(body)
