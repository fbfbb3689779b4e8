"""Seals where a patient is for a session, with that patient's key from the topic of patient keys."""

from collections.abc import Mapping
from typing import Any

import structlog

from services.sessions.handlers.observed import LOCATIONS_UNSENT
from shared.security.keks import KekFile, KeyUnavailable
from shared.security.keyring import Keyring
from shared.security.sealing import DataKey
from shared.time.clock import Clock

LOOK_EVERY_S = 0.05
_log = structlog.get_logger(__name__)


class SealedLocations:
    """The port Locations. Nobody is refused for want of a key: the join counts, the location stays unsent, an alarm rings.

    The key of somebody who was enrolled a moment ago may be on its way still: it is waited for, `key_wait_s` at the most.
    """

    def __init__(self, keyring: Keyring, keks: KekFile, clock: Clock, key_wait_s: float) -> None:
        self._keyring = keyring
        self._keks = keks
        self._clock = clock
        self._key_wait_s = key_wait_s
        self.unsent = False

    async def sealed(self, patient_id: str, location: Mapping[str, Any]) -> str | None:
        """The sealed location, or None."""
        try:
            token = (await self._key_of(patient_id)).seal("location", dict(location))
        except KeyUnavailable as unavailable:
            self.unsent = True
            LOCATIONS_UNSENT.labels(unavailable.code).inc()
            _log.error("location_not_sealed", code=unavailable.code)
            return None
        self.unsent = False
        return token

    async def _key_of(self, patient_id: str) -> DataKey:
        until_s = self._clock.monotonic_s() + self._key_wait_s
        while True:
            try:
                return self._keyring.key_of(patient_id, self._keks.current())
            except KeyUnavailable as unavailable:
                if unavailable.code != "key_not_heard_of" or self._clock.monotonic_s() >= until_s:
                    raise
            await self._clock.sleep(LOOK_EVERY_S)
