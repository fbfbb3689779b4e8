"""Assigns instruments to patients."""

from services.intake.bounded import bounded
from services.intake.domain.assignments import Order, asked, assigned, series_of, shown, without
from services.intake.domain.patient import Document
from services.intake.domain.registry import Registry
from services.intake.handlers.changes import PatientChanges, of_a_patient_who_is_here
from services.intake.handlers.plan import RequestUsed
from services.intake.ports import AnsweredSheets, RoutineBound
from shared.time.clock import Clock


class UnknownInstrument(Exception):
    """Nobody can be asked to answer this here: it is not known, or its licence is not acknowledged."""


class AssignmentHandler:
    """The write side of assignments."""

    def __init__(
        self,
        changes: PatientChanges,
        sheets: AnsweredSheets,
        registry: Registry,
        bound: RoutineBound,
        clock: Clock,
        *,
        within_s: float,
    ) -> None:
        self._changes = changes
        self._sheets = sheets
        self._registry = registry
        self._bound = bound
        self._clock = clock
        self._within_s = within_s

    async def assign(self, patient_id: str, order: Order, series_id: str, digest: str, by: str) -> tuple[list[Document], bool]:
        """The assignments of this series, the earliest first, and whether they are new; the same request again is the same series.

        Raises what `PatientChanges.of` raises, and UnknownInstrument, RequestUsed, TooManyAssignments, Discharged.
        """
        instrument = self._registry.find(order.instrument)
        if instrument is None or not self._registry.may_be_used(instrument):
            raise UnknownInstrument
        new = True

        async def change(found: Document) -> Document:
            nonlocal new
            new = True
            for known in series_of(found):
                if known["series_id"] == series_id:
                    new = False
                    if known["digest"] != digest:
                        raise RequestUsed
                    return found
            of_a_patient_who_is_here(found)
            now_s = self._clock.now_s()
            return assigned(found, order, series_id=series_id, digest=digest, by=by, now_s=now_s)

        return await self._of_series(await self._changes.of(patient_id, change), series_id), new

    async def withdraw(self, patient_id: str, series_id: str) -> list[Document]:
        """Take back what is not answered of a series; its assignments, the earliest first. Again: nothing changes.

        Raises what `PatientChanges.of` raises, and NoSuchSeries.
        """

        async def change(found: Document) -> Document:
            sheets = await self._sheets.answered(patient_id, *asked(found))
            return without(found, series_id, sheets, self._clock.now_s())

        return await self._of_series(await self._changes.of(patient_id, change), series_id)

    async def _of_series(self, document: Document, series_id: str) -> list[Document]:
        patient_id = document["patient_id"]
        sheets = await bounded(self._sheets.answered(patient_id, *asked(document)), self._bound, self._within_s)
        return [one for one in shown(document, sheets, self._clock.now_s()) if one["series_id"] == series_id][::-1]
