"""Forgets a patient by forgetting their key: what was sealed with it is noise from then on, in every copy.

Never while a risk case is open or a flag is on its way: who has to reach the patient needs to know how.
"""

from typing import Literal

from services.intake.bounded import bounded
from services.intake.domain.patient import forgotten, is_forgotten
from services.intake.handlers.directory import Directory
from services.intake.ports import Assessments, OpenCases, Outbox, Patients, RoutineBound, StoreSilent
from shared.time.clock import Clock

WHYS = ("patient_request", "retention_over", "enrolled_by_mistake")
Outcome = Literal["forgotten", "unsettled", "no_such_patient"]
_ATTEMPTS = 3


class ForgettingHandler:
    """The end of a patient's record."""

    def __init__(
        self,
        *,
        clock: Clock,
        patients: Patients,
        assessments: Assessments,
        cases: OpenCases,
        directory: Directory,
        outbox: Outbox,
        bound: RoutineBound,
        within_s: float,
    ) -> None:
        self._clock = clock
        self._patients = patients
        self._assessments = assessments
        self._cases = cases
        self._directory = directory
        self._outbox = outbox
        self._bound = bound
        self._within_s = within_s

    async def forget(self, patient_id: str, by: str, why: str) -> Outcome:
        """Forget a patient for good; asked again, it finishes what was begun. Raises StoreSilent and Busy."""
        return await bounded(self._forget(patient_id, by, why), self._bound, self._within_s)

    async def _forget(self, patient_id: str, by: str, why: str) -> Outcome:
        for _ in range(_ATTEMPTS):
            found = await self._patients.load(patient_id)
            if found is None:
                return "no_such_patient"
            if not is_forgotten(found):
                if await self._cases.unsettled(patient_id):
                    return "unsettled"
                new = forgotten(found, by, why, self._clock.now_s())
                if not await self._patients.replace(new, found["version"]):
                    continue
                self._outbox.wake(patient_id, patient_id, new["outbox"])
            self._directory.forget(patient_id)
            while await self._assessments.forget_keys(patient_id):
                pass
            return "forgotten"
        raise StoreSilent
