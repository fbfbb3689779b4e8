"""AssessmentCompleted → a sheet, what it makes of its series, and a flag where that has become reliably worse."""

from collections.abc import Mapping

from services.outcomes.domain.deterioration import LEVEL, newly_worse, rule_of
from services.outcomes.domain.sheets import Sheet, sheet_of
from services.outcomes.domain.trajectory import NO_RULE, Series, trajectory_of
from services.outcomes.handlers.directory import Directory
from services.outcomes.ports import Sheets, Told
from shared.contracts.assessment import AssessmentCompleted
from shared.contracts.change import ChangeRule
from shared.contracts.envelope import Envelope
from shared.contracts.flag import Flag, kept
from shared.contracts.flagging import Flags
from shared.contracts.outcomes import OutcomeUpdated
from shared.time.clock import Clock, iso
from shared.time.ids import derived_id


class AssessmentHandler:
    """The write side of measures. `fresh_s`: a sheet accepted longer ago raises no flag: it is a topic read again."""

    def __init__(
        self,
        sheets: Sheets,
        rules: Mapping[str, ChangeRule],
        flags: Flags,
        directory: Directory,
        clock: Clock,
        *,
        fresh_s: float,
    ) -> None:
        self._sheets = sheets
        self._rules = rules
        self._flags = flags
        self._directory = directory
        self._clock = clock
        self._fresh_s = fresh_s

    async def completed(self, event: AssessmentCompleted, envelope: Envelope) -> None:
        """Keep a sheet; publish OutcomeUpdated when it changes what is the latest of its series, and flag its deterioration."""
        sheet = sheet_of(event)
        known = await self._sheets.of_instrument(sheet.patient_id, sheet.instrument)
        if any(one.assessment_id == sheet.assessment_id for one in known):
            return
        before = trajectory_of(known, self._rules).of(sheet.instrument, sheet.scale)
        after = trajectory_of([*known, sheet], self._rules).of(sheet.instrument, sheet.scale)
        flag = self._flag(sheet, before, after)
        told = []
        if _summary(after) is not None and _summary(after) != _summary(before):
            updated = self._updated(sheet, after, None if flag is None else flag.flag_id)
            told = [Told(updated, derived_id("outcome-updated", sheet.assessment_id))]
        # First the store: of a crash between the two the rescan finds the flag, of a crash before it the event comes again.
        new = await self._sheets.insert(sheet, told, envelope, () if flag is None else (kept(flag),))
        if flag is not None and new:
            self._flags.stored(self._flags.strike(flag), sheet.assessment_id, sheet.patient_id)

    def _flag(self, sheet: Sheet, before: Series, after: Series) -> Flag | None:
        worse = newly_worse(before, after, self._rules.get(sheet.instrument, NO_RULE))
        if worse is None or self._clock.now_s() - sheet.accepted_s > self._fresh_s:
            return None
        # t0 is now: that it has become worse is known from here on, not from when the sheet came.
        return self._flags.flag(
            sheet.patient_id,
            LEVEL,
            rule_of(sheet.instrument),
            worse.sheet.assessment_id,
            routing=self._directory.routing(sheet.patient_id),
        )

    def _updated(self, sheet: Sheet, series: Series, flag_id: str | None) -> OutcomeUpdated:
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
