"""Depression measures over months, as payers and registries define them; pure functions of a patient's PHQ-9 totals.

HEDIS DRR-E [V]: a PHQ-9 above 9 starts it; the most recent PHQ-9 on days 120 to 240 after it counts, not the best one; remission
is below 5, response at least 50 % lower. MNCM (CBE 1884, CMS159) [V]: the same at six and at twelve months, each ± 60 days; who
has no PHQ-9 in the window stays in the denominator as not remitted. Neither a diagnosis nor an age is known here: whoever reports
to a payer applies those before.
"""

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from services.outcomes.domain.trajectory import Point, Series

INDEX_ABOVE = 9
REMISSION_BELOW = 5
RESPONSE_PERCENT = 50
MNCM_DAYS_AROUND = 60


@dataclass(frozen=True, slots=True)
class Window:
    """Days on which a follow-up counts, first and last of them included."""

    first: date
    last: date

    def holds(self, day: date) -> bool:
        """Whether a day is one of them."""
        return self.first <= day <= self.last


@dataclass(frozen=True, slots=True)
class Followed:
    """One patient in a measure: its index total, the total that counts (None = missing), what is said of it.

    `closed`: the window is over, so a missing one is missing for good.
    """

    baseline: int
    total: int | None
    closed: bool
    remission: bool
    response: bool


def drr_e(phq9: Series, today: date) -> Followed | None:
    """HEDIS depression remission or response; None for a patient without a PHQ-9 above 9."""
    index = _index(phq9)
    if index is None:
        return None
    begins = _day(index)
    return _followed(index, phq9.complete, Window(begins + timedelta(days=120), begins + timedelta(days=240)), today)


def mncm(phq9: Series, months: int, today: date) -> Followed | None:
    """Remission or response at so many months, ± 60 days; None for a patient without a PHQ-9 above 9."""
    index = _index(phq9)
    if index is None:
        return None
    middle, around = _months_after(_day(index), months), timedelta(days=MNCM_DAYS_AROUND)
    return _followed(index, phq9.complete, Window(middle - around, middle + around), today)


def day_of(at_s: float) -> date:
    """The day of a moment, UTC."""
    return datetime.fromtimestamp(at_s, UTC).date()


def _index(phq9: Series) -> Point | None:
    return next((point for point in phq9.complete if point.total > INDEX_ABOVE), None)


def _followed(index: Point, points: Sequence[Point], window: Window, today: date) -> Followed:
    within = [point for point in points if window.holds(_day(point))]
    total = within[-1].total if within else None
    lower = 0 if total is None else index.total - total
    return Followed(
        baseline=index.total,
        total=total,
        closed=today > window.last,
        remission=total is not None and total < REMISSION_BELOW,
        response=total is not None and lower * 100 >= index.total * RESPONSE_PERCENT,
    )


def _day(point: Point) -> date:
    return day_of(point.sheet.answered_s)


def _months_after(day: date, months: int) -> date:
    """The same day of a later month, or that month's last one."""
    year, month = divmod(day.month - 1 + months, 12)
    last = calendar.monthrange(day.year + year, month + 1)[1]
    return date(day.year + year, month + 1, min(day.day, last))
