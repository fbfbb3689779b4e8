"""Enrols patients and changes what is known of them: contacts and consents are sealed before anything is written.

The id of a patient comes from caller and key, so that a retry is the same patient. Without a key-encryption key nothing is
stored: every method raises KeyUnavailable then, and StoreSilent and Busy like all routine work.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from services.intake.bounded import bounded
from services.intake.domain import consents as consent_rules
from services.intake.domain.patient import (
    Contacts,
    Document,
    Enrolment,
    card_of,
    enrolled_document,
    is_forgotten,
    opened_consents,
    with_consents,
    with_contacts,
)
from services.intake.domain.record import PATIENTS_ROUTE, record_id
from services.intake.handlers.directory import Directory
from services.intake.ports import AlreadyThere, KeySource, Outbox, Patients, RoutineBound, StoreSilent
from shared.security.sealing import DataKey
from shared.time.clock import Clock
from shared.time.ids import fresh_id

# How often a change is tried against others who change the same patient at the same time.
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What became of an enrolment: a new patient, the same one again, or another one under a used key."""

    kind: Literal["new", "repeated", "conflict"]
    patient_id: str


class NoSuchPatient(Exception):
    """Nobody of this id is enrolled."""


class Forgotten(Exception):
    """This patient was forgotten; nothing about them can change any more."""


class VersionHasChanged(Exception):
    """The patient was changed since the version that somebody has seen; `version` is what it is now."""

    def __init__(self, version: int) -> None:
        super().__init__("the patient was changed meanwhile")
        self.version = version


class PatientHandler:
    """The write side of patients."""

    def __init__(
        self,
        *,
        programme_id: str,
        clock: Clock,
        patients: Patients,
        directory: Directory,
        outbox: Outbox,
        bound: RoutineBound,
        keys: KeySource,
        within_s: float,
    ) -> None:
        self._programme_id = programme_id
        self._clock = clock
        self._patients = patients
        self._directory = directory
        self._outbox = outbox
        self._bound = bound
        self._keys = keys
        self._within_s = within_s

    async def enrol(self, principal: str, key: str | None, told: Enrolment) -> Enrolled:
        """Store a new patient (majority); a retry with the same key is safe."""
        # Without a key two equal enrolments are two people: guessing that they are one would mix up two patients.
        patient_id = record_id(self._programme_id, principal, "", PATIENTS_ROUTE, key) if key else fresh_id()
        return await bounded(self._keep(patient_id, told), self._bound, self._within_s)

    async def change_contacts(
        self,
        patient_id: str,
        contacts: Contacts,
        version: int | None = None,
        *,
        zone: str | None = None,
        locale: str | None = None,
    ) -> int:
        """Put these contacts in the place of the old ones, zone and locale where they are told; the patient's new version.
        `version` is the one to be changed, None any. Raises NoSuchPatient, Forgotten, VersionHasChanged."""
        now_s = self._clock.now_s()

        def change(found: Document, key: DataKey) -> Document:
            return with_contacts(found, contacts, key, now_s, zone=zone, locale=locale)

        return await self._changed(patient_id, version, change)

    async def change_consents(self, patient_id: str, told: Mapping[str, bool], version: int | None = None) -> int:
        """Set the named consents; as `change_contacts`, and raises UnknownPurpose."""
        now_s = self._clock.now_s()

        def change(found: Document, key: DataKey) -> Document:
            return with_consents(found, consent_rules.changed(opened_consents(found, key), told, now_s), key, now_s)

        return await self._changed(patient_id, version, change)

    async def _keep(self, patient_id: str, told: Enrolment) -> Enrolled:
        keks = self._keys.current()
        key, wrapped = keks.new_key(patient_id)
        document = enrolled_document(patient_id, self._programme_id, told, key, wrapped, self._clock.now_s())
        try:
            await self._patients.insert(document)
        except AlreadyThere:
            found = await self._patients.load(patient_id)
            if found is None:
                raise StoreSilent from None
            if is_forgotten(found):
                return Enrolled("conflict", patient_id)
            self._learn(found)
            same = found["digest"] == told.digest(keks.unwrap(patient_id, found["key"]))
            return Enrolled("repeated" if same else "conflict", patient_id)
        self._learn(document)
        self._outbox.wake(patient_id, patient_id, document["outbox"])
        return Enrolled("new", patient_id)

    async def _changed(self, patient_id: str, version: int | None, change: Callable[[Document, DataKey], Document]) -> int:
        return await bounded(self._change(patient_id, version, change), self._bound, self._within_s)

    async def _change(self, patient_id: str, version: int | None, change: Callable[[Document, DataKey], Document]) -> int:
        for _ in range(ATTEMPTS):
            found = await self._patients.load(patient_id)
            if found is None:
                raise NoSuchPatient
            if is_forgotten(found):
                raise Forgotten
            if version is not None and found["version"] != version:
                raise VersionHasChanged(int(found["version"]))
            new = change(found, self._keys.current().unwrap(patient_id, found["key"]))
            if await self._patients.replace(new, found["version"]):
                self._learn(new)
                self._outbox.wake(patient_id, patient_id, new["outbox"][len(found["outbox"]) :])
                return int(new["version"])
        raise StoreSilent

    def _learn(self, document: Document) -> None:
        card = card_of(document)
        if card is not None:
            self._directory.learn(document["patient_id"], card)
