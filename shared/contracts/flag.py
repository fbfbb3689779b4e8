"""A risk flag on its way: what every service raises, keeps as a pending entry of its own document, and finds again."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.contracts.levels import Level
from shared.contracts.risk import Routing
from shared.time.clock import iso
from shared.time.ids import derived_id

UNKNOWN_ROUTING: Mapping[str, Any] = Routing().model_dump(mode="json")
_OPAQUE = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


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


def opaque_patient_id(told: str) -> str:
    """The id under which a flag travels: the one told, or a derived one when it is no plain id (it may be a name)."""
    return told if _OPAQUE.match(told) else derived_id("unreadable-patient", told)
