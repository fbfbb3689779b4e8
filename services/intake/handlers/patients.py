"""Enrols patients: the id comes from caller and key, so that a retry is the same patient."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from services.intake.domain.patient import card_of, enrolled_document
from services.intake.domain.record import PATIENTS_ROUTE, content_digest, record_id
from services.intake.handlers.directory import Directory
from services.intake.ports import AlreadyThere, Outbox, Patients, RoutineBound, StoreSilent
from shared.time.clock import Clock
from shared.time.ids import fresh_id


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What became of an enrolment: a new patient, the same one again, or another one under a used key."""

    kind: Literal["new", "repeated", "conflict"]
    patient_id: str


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
        within_s: float,
    ) -> None:
        self._programme_id = programme_id
        self._clock = clock
        self._patients = patients
        self._directory = directory
        self._outbox = outbox
        self._bound = bound
        self._within_s = within_s

    async def enrol(self, principal: str, key: str | None, told: Mapping[str, Any]) -> Enrolled:
        """Store a new patient (majority). Raises StoreSilent and Busy; a retry with the same key is safe."""
        with self._bound.admitted():
            # Without a key two equal enrolments are two people: guessing that they are one would mix up two patients.
            patient_id = record_id(self._programme_id, principal, "", PATIENTS_ROUTE, key) if key else fresh_id()
            writing = asyncio.ensure_future(self._keep(patient_id, told))
            done, _ = await asyncio.wait((writing,), timeout=self._within_s)
            if not done:
                writing.add_done_callback(lambda late: late.cancelled() or late.exception())
                raise StoreSilent
            return writing.result()

    async def _keep(self, patient_id: str, told: Mapping[str, Any]) -> Enrolled:
        digest = content_digest(dict(told))
        document = enrolled_document(patient_id, self._programme_id, told, digest, self._clock.now_s())
        try:
            await self._patients.insert(document)
        except AlreadyThere:
            found = await self._patients.load(patient_id)
            if found is None:
                raise StoreSilent from None
            self._directory.learn(patient_id, card_of(found))
            return Enrolled("repeated" if found["digest"] == digest else "conflict", patient_id)
        self._directory.learn(patient_id, card_of(document))
        self._outbox.wake(patient_id, patient_id, document["outbox"])
        return Enrolled("new", patient_id)
