"""Identities and shapes of what intake keeps: records, flags, patients' routing cards.

A record's id is derived from who sent what where under which Idempotency-Key, a flag's from its record and what the safety
items saw: a retry is the same flag; other answers, another patient or another day are new ones.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from services.intake.domain.safety import Finding
from shared.contracts.levels import Level
from shared.contracts.risk import Routing
from shared.time.clock import iso
from shared.time.ids import derived_id

ASSESSMENTS_ROUTE = "POST /v1/patients/{id}/assessments"
PATIENTS_ROUTE = "POST /v1/patients"
# Without an Idempotency-Key the same content within these seconds is the same request.
KEYLESS_WINDOW_S = 600
_DAY_S = 86_400
_KEY_MAX = 128
_OPAQUE = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
UNKNOWN_ROUTING: Mapping[str, Any] = Routing().model_dump(mode="json")


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


@dataclass(frozen=True, slots=True)
class Flag:
    """One risk flag on its way: `accepted_s` since the epoch for the record, `accepted_mono_s` for its age."""

    flag_id: str
    programme_id: str
    patient_id: str
    level: Level
    rule: str
    source_id: str
    accepted_s: float
    accepted_mono_s: float
    routing: Mapping[str, Any]
    reporter: str | None = None
    # Where its trace goes on; no part of what is flagged.
    traceparent: str | None = None

    def event(self) -> dict[str, Any]:
        """The fields of RiskFlagged."""
        return {
            "flag_id": self.flag_id,
            "programme_id": self.programme_id,
            "patient_id": self.patient_id,
            "level": self.level,
            "rule": self.rule,
            "source_id": self.source_id,
            "accepted_at": iso(self.accepted_s),
            "routing": self.routing,
            "reporter": self.reporter,
        }


def kept(flag: Flag) -> dict[str, Any]:
    """The flag as a pending express entry of its document."""
    entry: dict[str, Any] = {"flag_id": flag.flag_id, "at": flag.accepted_s, "event": flag.event()}
    return entry if flag.traceparent is None else entry | {"traceparent": flag.traceparent}


def revived(entry: Mapping[str, Any], now_s: float, now_mono_s: float) -> Flag:
    """The flag of a pending express entry, with its true age on this process's monotonic clock."""
    event = entry["event"]
    accepted_s = float(entry["at"])
    return Flag(
        flag_id=event["flag_id"],
        programme_id=event["programme_id"],
        patient_id=event["patient_id"],
        level=event["level"],
        rule=event["rule"],
        source_id=event["source_id"],
        accepted_s=accepted_s,
        accepted_mono_s=now_mono_s - max(0.0, now_s - accepted_s),
        routing=event["routing"],
        reporter=event.get("reporter"),
        traceparent=entry.get("traceparent"),
    )


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


def opaque_patient_id(told: str) -> str:
    """The id under which a flag travels: the one told, or a derived one when it is no plain id (it may be a name)."""
    return told if _OPAQUE.match(told) else derived_id("unreadable-patient", told)
