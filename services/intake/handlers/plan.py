"""Changes a patient's way through the programme: care plan, reviews of the safety plan, discharge."""

from services.intake.domain.assignments import asked
from services.intake.domain.patient import Document
from services.intake.domain.plan import CarePlan, Discharge, discharged, is_discharged, with_plan, with_review
from services.intake.handlers.changes import PatientChanges, of_a_patient_who_is_here
from services.intake.ports import AnsweredSheets, KeySource, OpenCases
from shared.time.clock import Clock


class RequestUsed(Exception):
    """The same request was made before with another body."""


class AlreadyDischarged(Exception):
    """This patient has left already, for the reason `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__("the patient has left already")
        self.reason = reason


class WhyIsMissing(Exception):
    """A risk case of this patient is open, or a flag on its way: whoever discharges them says why all the same."""


class PlanHandler:
    """The write side of the programme; every method raises what `PatientChanges.of` raises."""

    def __init__(
        self, changes: PatientChanges, sheets: AnsweredSheets, cases: OpenCases, keys: KeySource, clock: Clock
    ) -> None:
        self._changes = changes
        self._sheets = sheets
        self._cases = cases
        self._keys = keys
        self._clock = clock

    async def change_plan(self, patient_id: str, plan: CarePlan, by: str, version: int | None = None) -> Document:
        """Put this plan in the place of the one before; the patient. Raises Discharged."""

        async def change(found: Document) -> Document:
            of_a_patient_who_is_here(found)
            return with_plan(found, plan, by, self._clock.now_s())

        return await self._changes.of(patient_id, change, version)

    async def review_safety_plan(self, patient_id: str, request: str, by: str) -> Document:
        """Keep that the safety plan was gone through with the patient, also after they have left; the patient."""

        async def change(found: Document) -> Document:
            return with_review(found, request, by, self._clock.now_s())

        return await self._changes.of(patient_id, change)

    async def discharge(self, patient_id: str, reason: str, why: str | None, by: str, request: str, digest: str) -> Document:
        """Let a patient go, and take back what they have not answered; the patient.

        An open case is looked for in the same try, and goes on whatever is decided here. Raises RequestUsed,
        AlreadyDischarged, WhyIsMissing, KeyUnavailable.
        """

        async def change(found: Document) -> Document:
            if is_discharged(found):
                return _again(found, reason, request, digest)
            open_case = await self._cases.unsettled(patient_id)
            if open_case and why is None:
                raise WhyIsMissing
            key = None if why is None else self._keys.current().unwrap(patient_id, found["key"])
            told = Discharge(reason, by, request, digest, why, open_case)
            sheets = await self._sheets.answered(patient_id, *asked(found))
            return discharged(found, told, key, sheets, self._clock.now_s())

        return await self._changes.of(patient_id, change)


def _again(found: Document, reason: str, request: str, digest: str) -> Document:
    before = found["discharged"]
    if before["request"] == request and before["digest"] != digest:
        raise RequestUsed
    if before["reason"] != reason:
        raise AlreadyDischarged(before["reason"])
    return found
