"""Seals where a patient is for a session, with that patient's key from the topic of patient keys."""

from collections.abc import Mapping
from typing import Any

import structlog

from services.sessions.handlers.observed import LOCATIONS_UNSENT
from shared.security.keks import KekFile, KeyUnavailable
from shared.security.keyring import Keyring

_log = structlog.get_logger(__name__)


class SealedLocations:
    """The port Locations. Nobody is refused for want of a key: the join counts, the location stays unsent, an alarm rings."""

    def __init__(self, keyring: Keyring, keks: KekFile) -> None:
        self._keyring = keyring
        self._keks = keks
        self.unsent = False

    def sealed(self, patient_id: str, location: Mapping[str, Any]) -> str | None:
        """The sealed location, or None."""
        try:
            token = self._keyring.key_of(patient_id, self._keks.current()).seal("location", dict(location))
        except KeyUnavailable as unavailable:
            self.unsent = True
            LOCATIONS_UNSENT.labels(unavailable.code).inc()
            _log.error("location_not_sealed", code=unavailable.code)
            return None
        self.unsent = False
        return token
