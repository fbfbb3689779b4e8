"""What is heard of patients: contacts, consents, discharges, forms handed in; and what they prefer."""

from collections.abc import Callable
from dataclasses import replace

from services.notifications.domain.patient import (
    Patient,
    Preferences,
    with_completed,
    with_consents,
    with_contacts,
    with_discharge,
)
from services.notifications.handlers.obligations import ObligationHandler
from services.notifications.ports import Conflict, Patients
from shared.contracts.assessment import AssessmentCompleted
from shared.contracts.envelope import Envelope
from shared.contracts.patient import ConsentChanged, ContactChanged, PatientDischarged, PatientEnrolled
from shared.time.clock import epoch_s

CHANGES_MAX = 20
_UNKNOWN = "unknown"


class PreferencesMoved(Exception):
    """Somebody changed the preferences in between; `version` is theirs."""

    def __init__(self, version: int) -> None:
        super().__init__("the preferences have another version")
        self.version = version


class PatientHandler:
    """The write side of patients; what was heard twice or late changes nothing."""

    def __init__(
        self,
        patients: Patients,
        obligations: ObligationHandler,
        programme_id: str,
        hear: Callable[[PatientEnrolled | ContactChanged], None],
    ) -> None:
        """`hear` keeps the routing codes of whoever comes or changes."""
        self._patients = patients
        self._obligations = obligations
        self._programme_id = programme_id
        self._hear = hear

    async def contacts(self, event: PatientEnrolled | ContactChanged, envelope: Envelope) -> None:
        """A patient came, or is reached in another way or place: what is still to come moves to their new clock."""
        self._hear(event)
        contacts = None if event.contacts is None else event.contacts.model_dump()
        track = None if event.routing.track == _UNKNOWN else event.routing.track

        def change(patient: Patient) -> Patient:
            return with_contacts(
                patient,
                contacts,
                envelope.sequence or 0,
                zone=event.zone,
                locale=event.locale,
                track=track,
                routing=event.routing.model_dump(),
            )

        await self._changed_and_replanned(event.patient_id, event.programme_id, change)

    async def consents(self, event: ConsentChanged, envelope: Envelope) -> None:
        """A patient agrees, or does not any more: looked at when a message is about to be sent."""
        await self._changed(
            event.patient_id,
            event.programme_id,
            lambda patient: with_consents(patient, event.consents, envelope.sequence or 0),
        )

    async def discharged(self, event: PatientDischarged, envelope: Envelope) -> None:
        """A patient has left: what was to come of sessions and forms is cancelled."""
        await self._changed_and_replanned(
            event.patient_id,
            event.programme_id,
            lambda patient: with_discharge(patient, event.reason, event.discharged_at),
        )

    async def completed(self, event: AssessmentCompleted, envelope: Envelope) -> None:
        """A form was handed in: nobody is reminded of it any more."""
        at_s = epoch_s(event.accepted_at)
        await self._changed_and_replanned(
            event.patient_id, event.programme_id, lambda patient: with_completed(patient, event.instrument, at_s)
        )

    async def prefer(self, patient_id: str, preferences: Preferences, version: int | None) -> Patient:
        """Set what a patient prefers; raises PreferencesMoved when `version` is told and is another one."""

        def change(patient: Patient) -> Patient:
            if version is not None and patient.preferences_version != version:
                raise PreferencesMoved(patient.preferences_version)
            if patient.preferences == preferences:
                return patient
            return replace(patient, preferences=preferences, preferences_version=patient.preferences_version + 1)

        return await self._changed_and_replanned(patient_id, self._programme_id, change)

    async def _changed_and_replanned(self, patient_id: str, programme_id: str, change: Callable[[Patient], Patient]) -> Patient:
        patient = await self._changed(patient_id, programme_id, change)
        # Also when nothing changed: the change may be stored and its plan not, by a crash between the two.
        await self._obligations.replan(patient)
        return patient

    async def _changed(self, patient_id: str, programme_id: str, change: Callable[[Patient], Patient]) -> Patient:
        for _ in range(CHANGES_MAX):
            now = await self._patients.load(patient_id) or Patient(patient_id, programme_id)
            new = change(now)
            if new == now:
                return now
            if await self._patients.save(new):
                return replace(new, version=new.version + 1, events=())
        raise Conflict
