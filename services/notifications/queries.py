"""What others ask of notifications: what was, is and will be sent to a patient, and why not; never a text, never an address."""

from typing import Any

from services.notifications.domain.events import notification_id
from services.notifications.domain.obligation import Item, Obligation
from services.notifications.domain.patient import Patient, Preferences
from services.notifications.domain.plans import Rules
from services.notifications.ports import Obligations, Patients
from shared.time.clock import iso

OBLIGATIONS_MAX = 200


class Queries:
    """The read side."""

    def __init__(self, obligations: Obligations, patients: Patients, rules: Rules) -> None:
        self._obligations = obligations
        self._patients = patients
        self._rules = rules

    async def notifications(self, patient_id: str) -> dict[str, Any]:
        """A patient's messages, the latest due first: `{items, more}`; `more`: older ones are kept and not told."""
        found = await self._obligations.of(patient_id, OBLIGATIONS_MAX + 1)
        told = [_shown(one, item) for one in found[:OBLIGATIONS_MAX] for item in one.items]
        told.sort(key=lambda one: (one["due_at"], one["notification_id"]), reverse=True)
        return {"items": told, "more": len(found) > OBLIGATIONS_MAX}

    async def preferences(self, patient_id: str) -> tuple[dict[str, Any], int]:
        """What holds for a patient, and its version; `set` names what they asked for themselves."""
        patient = await self._patients.load(patient_id) or Patient(patient_id, "")
        return preferences_shown(patient, self._rules), patient.preferences_version


def preferences_shown(patient: Patient, rules: Rules) -> dict[str, Any]:
    """`{channels, quiet_hours: {from, to}, lead_minutes, set}`."""
    quiet, asked = rules.quiet_of(patient), patient.preferences
    return {
        "channels": list(patient.order()),
        "quiet_hours": {"from": _clock(quiet.from_min), "to": _clock(quiet.to_min)},
        "lead_minutes": list(rules.leads_of(patient)),
        "set": _set(asked),
    }


def _set(asked: Preferences) -> list[str]:
    told = {"channels": asked.channels, "quiet_hours": asked.quiet, "lead_minutes": asked.leads_min}
    return [name for name, value in told.items() if value is not None]


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _shown(obligation: Obligation, item: Item) -> dict[str, Any]:
    held = item.state == "planned" and item.next_s is not None and item.next_s > item.due_s and item.code is not None
    return {
        "notification_id": notification_id(obligation, item),
        "about": {"kind": obligation.kind, "id": obligation.subject_id},
        "template": item.template,
        "emergency": obligation.emergency,
        "due_at": iso(item.due_s),
        "until": iso(item.until_s),
        "state": "held" if held else item.state,
        "reason": item.code,
        "held_until": iso(item.next_s) if held and item.next_s is not None else None,
        "channel": item.channel,
        "sent_at": None if item.sent_s is None else iso(item.sent_s),
        "tries": [{"channel": one.channel, "at": iso(one.at_s), "code": one.code} for one in item.tries],
    }
