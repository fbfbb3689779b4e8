"""One change of a patient's document, tried against others who change the same patient at the same time."""

from collections.abc import Awaitable, Callable

from services.intake.bounded import bounded
from services.intake.domain.patient import Document, is_forgotten
from services.intake.domain.plan import is_discharged
from services.intake.handlers.patients import ATTEMPTS, Forgotten, NoSuchPatient, VersionHasChanged
from services.intake.ports import Outbox, Patients, RoutineBound, StoreSilent

# The document as it shall be; the version it has already when nothing is to be written.
Change = Callable[[Document], Awaitable[Document]]


class Discharged(Exception):
    """This patient has left the programme."""


class PatientChanges:
    """Changes of patients that need no key of theirs: state and events in one write, told to the bus right after it."""

    def __init__(self, patients: Patients, outbox: Outbox, bound: RoutineBound, *, within_s: float) -> None:
        self._patients = patients
        self._outbox = outbox
        self._bound = bound
        self._within_s = within_s

    async def of(self, patient_id: str, change: Change, version: int | None = None) -> Document:
        """The patient's document after the change. Raises NoSuchPatient, Forgotten, VersionHasChanged, StoreSilent, Busy and
        whatever `change` raises, which then has changed nothing."""
        return await bounded(self._of(patient_id, change, version), self._bound, self._within_s)

    async def _of(self, patient_id: str, change: Change, version: int | None) -> Document:
        for _ in range(ATTEMPTS):
            found = await self._patients.load(patient_id)
            if found is None:
                raise NoSuchPatient
            if is_forgotten(found):
                raise Forgotten
            if version is not None and found["version"] != version:
                raise VersionHasChanged(int(found["version"]))
            new = await change(found)
            if new["version"] == found["version"]:
                return found
            if await self._patients.replace(new, found["version"]):
                self._outbox.wake(patient_id, patient_id, new["outbox"][len(found["outbox"]) :])
                return new
        raise StoreSilent


def of_a_patient_who_is_here(document: Document) -> None:
    """Raise Discharged for a patient who has left."""
    if is_discharged(document):
        raise Discharged
