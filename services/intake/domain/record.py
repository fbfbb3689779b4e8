"""Identities of what intake keeps: records, the flags they raise, patients' routing cards.

A record's id is derived from who sent what where under which Idempotency-Key, a flag's from its record and what the safety
items saw: a retry is the same flag; other answers, another patient or another day are new ones.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from services.intake.domain.safety import Finding
from shared.time.ids import derived_id

ASSESSMENTS_ROUTE = "POST /v1/patients/{id}/assessments"
PATIENTS_ROUTE = "POST /v1/patients"
# Without an Idempotency-Key the same content within these seconds is the same request.
KEYLESS_WINDOW_S = 600
_DAY_S = 86_400
_KEY_MAX = 128


@dataclass(frozen=True, slots=True)
class Card:
    """What the hot path knows of a patient: routing codes, the country that chooses the guidance, the wrapped data key."""

    routing: Mapping[str, Any]
    country: str | None
    key: str | None = None

    @property
    def track(self) -> str | None:
        """The patient's programme track, where known."""
        track = self.routing.get("track")
        return track if isinstance(track, str) and track != "unknown" else None

    @property
    def language(self) -> str | None:
        """The patient's language as a code, where known; `unknown` is one that nobody speaks."""
        language = self.routing.get("language")
        return language if isinstance(language, str) else None


def content_digest(content: Any, raw: bytes = b"") -> str:
    """A fingerprint of parsed JSON that spacing and the order of members don't change; of `raw` where that can't be had.

    JSON nested deeper than 254 levels can be read but not written again.
    """
    try:
        canonical = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        canonical = raw
    return hashlib.sha256(canonical).hexdigest()


def key_of(told: str | None, now_s: float, content: Any, raw: bytes) -> str:
    """The key of a request: its own, or for one that brought none its content, per ten minutes."""
    if not told:
        return f"none:{int(now_s // KEYLESS_WINDOW_S)}:{content_digest(content, raw)}"
    if len(told) > _KEY_MAX:
        return f"long:{hashlib.sha256(told.encode()).hexdigest()}"
    return f"key:{told}"


def record_id(programme_id: str, principal: str, patient_id: str, route: str, key: str) -> str:
    """The id of the aggregate that this request makes."""
    return derived_id(programme_id, principal, patient_id, route, key)


def rejection_id(record: str, fingerprint: str) -> str:
    """The id of the document that keeps a refused answer sheet: one per record and content."""
    return derived_id("rejected", record, fingerprint)


def flag_id(record: str, finding: Finding, safety_digest: str, now_s: float) -> str:
    """The id of the flag that this finding raises."""
    return derived_id(record, finding.rule, finding.level, safety_digest, str(int(now_s // _DAY_S)))
