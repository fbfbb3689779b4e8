"""AssessmentCompleted → a sheet, what it makes of its series, and a flag where that has become reliably worse."""

from collections.abc import Mapping

from services.outcomes.domain.sheets import Sheet, sheet_of
from services.outcomes.domain.trajectory import Series, trajectory_of
from services.outcomes.ports import Sheets, Told
from shared.contracts.assessment import AssessmentCompleted
from shared.contracts.change import ChangeRule
from shared.contracts.envelope import Envelope
from shared.contracts.outcomes import OutcomeUpdated
from shared.time.clock import Clock, iso
from shared.time.ids import derived_id


class AssessmentHandler:
    """The write side of measures."""

    def __init__(self, sheets: Sheets, rules: Mapping[str, ChangeRule], clock: Clock) -> None:
        self._sheets = sheets
        self._rules = rules
        self._clock = clock

    async def completed(self, event: AssessmentCompleted, envelope: Envelope) -> None:
        """Keep a sheet; publish OutcomeUpdated when it changes what is the latest of its series."""
        sheet = sheet_of(event)
        known = await self._sheets.of_instrument(sheet.patient_id, sheet.instrument)
        if any(one.assessment_id == sheet.assessment_id for one in known):
            return
        before, after = (
            trajectory_of(sheets, self._rules).of(sheet.instrument, sheet.scale) for sheets in (known, [*known, sheet])
        )
        told = []
        if _summary(after) is not None and _summary(after) != _summary(before):
            updated = self._updated(sheet, after)
            told = [Told(updated, derived_id("outcome-updated", sheet.assessment_id))]
        await self._sheets.insert(sheet, told, envelope)

    def _updated(self, sheet: Sheet, series: Series, flag_id: str | None = None) -> OutcomeUpdated:
        latest, baseline = series.latest, series.baseline
        assert latest is not None
        assert baseline is not None
        judged = latest.judged
        return OutcomeUpdated(
            patient_id=sheet.patient_id,
            programme_id=sheet.programme_id,
            at=iso(self._clock.now_s()),
            instrument=series.instrument,
            scale=series.scale,
            assessment_id=latest.sheet.assessment_id,
            baseline=baseline.total,
            latest=latest.total,
            change=latest.total - baseline.total,
            reliable=None if judged is None else judged.reliable,
            response=None if judged is None else judged.response,
            remission=None if judged is None else judged.remission,
            recovery=None if judged is None else judged.recovery,
            flag_id=flag_id,
        )


def _summary(series: Series) -> tuple[str, int, int] | None:
    """What OutcomeUpdated is about: which sheet is the latest, and both totals."""
    latest, baseline = series.latest, series.baseline
    if latest is None or baseline is None:
        return None
    return (latest.sheet.assessment_id, baseline.total, latest.total)
