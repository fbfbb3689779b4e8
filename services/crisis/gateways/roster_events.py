"""What the bus is told of the roster: the whole of it, sealed, under one key; and gaps before they happen."""

import asyncio
from typing import Any

from services.crisis.gateways.bus import EventBus
from services.crisis.gateways.roster_seal import RosterSeal
from shared.contracts.envelope import Envelope
from shared.contracts.roster import ROSTER_KEY, CoverageGapForeseen, RosterChanged
from shared.contracts.topics import ROSTER

_SOURCE = "vigil/crisis"


class SealedRosterEvents:
    """The port RosterEvents over the crisis producer."""

    def __init__(self, bus: EventBus, seal: RosterSeal, programme_id: str) -> None:
        self._bus = bus
        self._seal = seal
        self._programme_id = programme_id

    async def roster_changed(self, document: dict[str, Any], entry: dict[str, Any]) -> None:
        """Publish the roster; raises ConnectionError."""
        event = RosterChanged(
            programme_id=self._programme_id,
            version=entry["version"],
            at=entry["at"],
            entry=entry["entry"],
            by=entry["by"],
            sealed=await asyncio.to_thread(self._seal.seal, document),
        )
        await self._publish(ROSTER_KEY, entry["id"], RosterChanged.TYPE, entry["at"], event.model_dump(mode="json"))

    async def gap_foreseen(self, entry: dict[str, Any]) -> None:
        """Publish a gap; raises ConnectionError."""
        event = CoverageGapForeseen(**{name: value for name, value in entry.items() if name != "id"})
        key = f"gap/{event.level}/{event.step}"
        await self._publish(key, entry["id"], CoverageGapForeseen.TYPE, event.at, event.model_dump(mode="json"))

    async def _publish(self, key: str, event_id: str, kind: str, at: str, data: dict[str, Any]) -> None:
        await self._bus.publish(ROSTER, key, Envelope(event_id, kind, _SOURCE, at, key, self._programme_id), data)
