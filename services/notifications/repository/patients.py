"""What is known of patients, in the store; contacts and consents as they came, sealed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from services.notifications.domain.local_time import Quiet
from services.notifications.domain.patient import DeadAddress, Patient, Preferences
from shared.storage.documents import Document, Documents
from shared.storage.errors import DuplicateKey
from shared.storage.outbox import Relay, carry_trace


class StoredPatients:
    """The port Patients."""

    def __init__(self, documents: Documents, relay: Relay) -> None:
        self._documents = documents
        self._relay = relay

    async def load(self, patient_id: str) -> Patient | None:
        found = await self._documents.find_one({"_id": patient_id, "patient_id": patient_id})
        return None if found is None else _read(found)

    async def save(self, patient: Patient) -> bool:
        entries = [dict(one) for one in patient.events]
        carry_trace(entries)
        document = _written(patient)
        if patient.version == 0:
            try:
                await self._documents.insert({**document, "outbox": entries})
            except DuplicateKey:
                return False
        else:
            told = {name: value for name, value in document.items() if name not in ("_id", "patient_id")}
            change: Document = {"$set": told}
            if entries:
                change["$push"] = {"outbox": {"$each": entries}}
            query = {"_id": patient.patient_id, "patient_id": patient.patient_id, "version": patient.version}
            if not await self._documents.update(query, change):
                return False
        self._relay.wake(patient.patient_id, patient.patient_id, entries)
        return True

    async def cards(self, limit: int) -> Sequence[tuple[str, Mapping[str, Any], str | None]]:
        """Routing codes and language of patients, so many at the most: `(patient id, routing, locale)`."""
        found = await self._documents.find({"contacts_seq": {"$gte": 0}}, limit=limit, fields={"routing": 1, "locale": 1})
        return [(one["_id"], one["routing"], one["locale"]) for one in found]

    async def forget(self, patient_id: str) -> None:
        query = {"_id": patient_id, "patient_id": patient_id}
        gone: Document = {"contacts": {}, "consents": None, "dead": {}, "preferences": {}}
        await self._documents.update(query, {"$set": gone, "$inc": {"version": 1}})


def _written(patient: Patient) -> Document:
    told = {name: getattr(patient, name) for name in _PLAIN}
    preferences = patient.preferences
    return {
        **told,
        "_id": patient.patient_id,
        "version": patient.version + 1,
        "contacts": dict(patient.contacts),
        "routing": dict(patient.routing),
        "discharged": None if patient.discharged is None else dict(patient.discharged),
        # A list: names of instruments may hold dots.
        "completed": [[name, at_s] for name, at_s in patient.completed.items()],
        "preferences": {
            "channels": None if preferences.channels is None else list(preferences.channels),
            "quiet": None if preferences.quiet is None else asdict(preferences.quiet),
            "leads_min": None if preferences.leads_min is None else list(preferences.leads_min),
        },
        "sent": {channel: list(times) for channel, times in patient.sent.items()},
        "dead": {channel: asdict(one) for channel, one in patient.dead.items()},
    }


_PLAIN = (
    "patient_id",
    "programme_id",
    "contacts_seq",
    "consents",
    "consents_seq",
    "zone",
    "locale",
    "track",
    "preferences_version",
    "unreachable_s",
)


def _read(found: Mapping[str, Any]) -> Patient:
    told = found["preferences"]
    channels, quiet, leads_min = told.get("channels"), told.get("quiet"), told.get("leads_min")
    return Patient(
        **{name: found[name] for name in _PLAIN},
        version=found["version"],
        contacts=found["contacts"],
        routing=found["routing"],
        discharged=found["discharged"],
        completed=dict(found["completed"]),
        preferences=Preferences(
            None if channels is None else tuple(channels),
            None if quiet is None else Quiet(**quiet),
            None if leads_min is None else tuple(leads_min),
        ),
        sent={channel: tuple(times) for channel, times in found["sent"].items()},
        dead={channel: DeadAddress(**one) for channel, one in found["dead"].items()},
    )
