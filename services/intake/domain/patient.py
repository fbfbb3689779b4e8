"""An enrolment: contacts stand in a sub-document of their own, what leaves intake are codes."""

import re
from collections.abc import Mapping
from typing import Any

from services.intake.domain.record import Card
from shared.contracts.patient import PatientEnrolled
from shared.time.clock import iso
from shared.time.ids import derived_id

_CODE = re.compile(r"[A-Za-z0-9_.-]+\Z")
_CONTACTS = ("name", "phone", "email", "location", "emergency_contact")


def enrolled_document(patient_id: str, programme_id: str, told: Mapping[str, Any], digest: str, now_s: float) -> dict[str, Any]:
    """The document of a new patient, with PatientEnrolled in its outbox. `told` is the validated request."""
    routing = routing_of(told)
    at = iso(now_s)
    return {
        "_id": patient_id,
        "version": 1,
        "patient_id": patient_id,
        "programme_id": programme_id,
        "digest": digest,
        "enrolled_at": at,
        "contacts": {name: told.get(name) for name in _CONTACTS},
        "locale": told["locale"],
        "zone": told["zone"],
        "country": told["location"]["country"],
        "routing": routing,
        "outbox": [
            {
                "id": derived_id(patient_id, PatientEnrolled.TYPE),
                "type": PatientEnrolled.TYPE,
                "at": now_s,
                "time": at,
                "data": {
                    "patient_id": patient_id,
                    "programme_id": programme_id,
                    "enrolled_at": at,
                    "routing": routing,
                },
            }
        ],
    }


def routing_of(told: Mapping[str, Any]) -> dict[str, Any]:
    """The routing codes of a patient; what is no code stays here and travels as `unknown`."""
    return {
        "region": _code(told["location"]["region"], 32),
        "language": _code(told["locale"].replace("_", "-").split("-", 1)[0].lower(), 16),
        "track": _code(told.get("track"), 32),
        "own_clinician_id": _code(told.get("own_clinician_id"), 64, None),
        "minor": told.get("minor"),
    }


def card_of(document: Mapping[str, Any]) -> Card:
    """What the hot path needs of a stored patient."""
    return Card(document["routing"], document.get("country"))


def _code(told: Any, length: int, otherwise: str | None = "unknown") -> str | None:
    return told if isinstance(told, str) and len(told) <= length and _CODE.match(told) else otherwise
