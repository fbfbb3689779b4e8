"""Answer sheets become documents here, sealed: with the patient's key, or with one of their own where there is no patient."""

import structlog

from services.intake.domain.documents import Corrected, OwnKey, accepted_document, draft_document, rejected_document
from services.intake.domain.record import Card
from services.intake.domain.sheet import Sheet
from services.intake.ports import Document, KeySource
from shared.contracts.flag import Flag
from shared.security.keks import KeyUnavailable
from shared.telemetry.metrics import SEALING_FAILURES

_log = structlog.get_logger(__name__)


class SheetSealer:
    """Makes documents of sheets; called only after a flag was handed to both lanes."""

    def __init__(self, keys: KeySource, *, prorate: bool) -> None:
        self._keys = keys
        self._prorate = prorate

    def accepted(self, sheet: Sheet, flag: Flag | None, card: Card, corrected: Corrected | None = None) -> Document | None:
        """The document of a valid sheet or draft; None when its answers cannot be sealed, and so must not be stored."""
        try:
            if card.key is None:
                raise KeyUnavailable("no_key")
            key = self._keys.current().unwrap(sheet.patient_id, card.key)
        except KeyUnavailable as unavailable:
            _failed(unavailable, sheet)
            return None
        if sheet.draft:
            return draft_document(sheet, flag, key)
        return accepted_document(sheet, flag, key, prorate=self._prorate, corrected=corrected)

    def rejected(self, sheet: Sheet, flag: Flag, why: str) -> Document:
        """The document of a refused sheet with a flag; without any key it keeps the flag and nothing that was sent."""
        try:
            keks = self._keys.current()
            key, wrapped = keks.new_key(sheet.patient_id)
            own = OwnKey(key, wrapped, keks.fingerprint(sheet.digest.encode()))
        except KeyUnavailable as unavailable:
            _failed(unavailable, sheet)
            own = None
        return rejected_document(sheet, flag, why, own)


def _failed(unavailable: KeyUnavailable, sheet: Sheet) -> None:
    SEALING_FAILURES.labels(unavailable.code).inc()
    _log.error("answers_not_sealed", code=unavailable.code, record_id=sheet.record_id)
