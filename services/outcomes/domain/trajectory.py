"""Measures of one patient over time, derived from the union of their sheets: the order in which they were heard is nothing.

A series is one instrument on one scale; totals of two scales are never compared. A corrected sheet gives no point, nor does an
incomplete one. A prorated total is shown as what it is and judged against nothing: the rules of change are for complete totals.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from services.outcomes.domain.sheets import Sheet
from shared.contracts.change import Change, ChangeRule, change_between

NO_RULE = ChangeRule()
COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class Point:
    """A sheet with a total, and what is said of it against the baseline; `change` is later minus baseline, in points.

    None: the baseline itself, or a prorated total.
    """

    sheet: Sheet
    total: int
    change: int | None = None
    judged: Change | None = None

    @property
    def deteriorated(self) -> bool:
        """Whether it is reliably worse than the baseline."""
        return self.judged is not None and self.judged.reliable == "deteriorated"


@dataclass(frozen=True, slots=True)
class Series:
    """One instrument on one scale, in the order of answering. `coded` are complete sheets that have codes instead of a total."""

    instrument: str
    scale: str | None
    points: tuple[Point, ...] = ()
    coded: tuple[Sheet, ...] = ()

    @property
    def complete(self) -> tuple[Point, ...]:
        """The points that may be compared."""
        return tuple(point for point in self.points if point.sheet.status == COMPLETE)

    @property
    def baseline(self) -> Point | None:
        """The first complete one."""
        return next(iter(self.complete), None)

    @property
    def latest(self) -> Point | None:
        """The last complete one; the baseline itself while there is no other."""
        return self.complete[-1] if self.complete else None

    @property
    def paired(self) -> bool:
        """Whether there is a later total to compare the first one with."""
        return len(self.complete) > 1


@dataclass(frozen=True, slots=True)
class Trajectory:
    """All series of one patient; `incomplete` counts the sheets of an instrument that give no point."""

    series: tuple[Series, ...] = ()
    incomplete: Mapping[str, int] = field(default_factory=dict)

    def of(self, instrument: str, scale: str | None) -> Series:
        """One series, empty when nothing was heard of it."""
        found = (one for one in self.series if (one.instrument, one.scale) == (instrument, scale))
        return next(found, Series(instrument, scale))


def trajectory_of(sheets: Iterable[Sheet], rules: Mapping[str, ChangeRule]) -> Trajectory:
    """What the sheets of one patient amount to."""
    union = {sheet.assessment_id: sheet for sheet in sheets}
    corrected = _corrected(union)
    standing = sorted((sheet for sheet in union.values() if sheet.assessment_id not in corrected), key=lambda one: one.order)
    grouped: dict[tuple[str, str | None], list[Sheet]] = {}
    incomplete: dict[str, int] = {}
    for sheet in standing:
        if sheet.status == "incomplete":
            incomplete[sheet.instrument] = incomplete.get(sheet.instrument, 0) + 1
        else:
            grouped.setdefault((sheet.instrument, sheet.scale), []).append(sheet)
    series = [_series(name, scale, group, rules.get(name, NO_RULE)) for (name, scale), group in grouped.items()]
    return Trajectory(tuple(sorted(series, key=lambda one: (one.instrument, one.scale or ""))), incomplete)


def _corrected(sheets: Mapping[str, Sheet]) -> set[str]:
    """Sheets in whose place another one stands. Two that correct the same one: the later accepted stands, so does the last of
    a chain."""
    replaced = {sheet.corrects for sheet in sheets.values() if sheet.corrects is not None}
    rivals: dict[str, list[Sheet]] = {}
    for sheet in sheets.values():
        if sheet.corrects is not None:
            rivals.setdefault(sheet.corrects, []).append(sheet)
    for group in rivals.values():
        last = max(group, key=lambda one: (one.accepted_s, one.assessment_id))
        replaced |= {sheet.assessment_id for sheet in group if sheet is not last}
    return replaced


def _series(instrument: str, scale: str | None, sheets: Iterable[Sheet], rule: ChangeRule) -> Series:
    points: list[Point] = []
    coded: list[Sheet] = []
    baseline: int | None = None
    for sheet in sheets:
        if sheet.total is None:
            coded.append(sheet)
        elif sheet.status != COMPLETE:
            points.append(Point(sheet, sheet.total))
        elif baseline is None:
            baseline = sheet.total
            points.append(Point(sheet, sheet.total))
        else:
            judged = change_between(rule, baseline, sheet.total)
            points.append(Point(sheet, sheet.total, sheet.total - baseline, judged))
    return Series(instrument, scale, tuple(points), tuple(coded))
