"""Measures over months at the edges that their definitions name: days 119, 120, 240, 241; ± 60 days; most recent, not best."""

from datetime import date, timedelta
from typing import Any

import pytest

from services.outcomes.domain.measures import Followed, day_of, drr_e, mncm
from services.outcomes.domain.sheets import sheet_of
from services.outcomes.domain.trajectory import Series, trajectory_of
from shared.contracts.change import change_rules
from tests.unit.outcomes.house import START_S, sheet

FIRST = day_of(START_S)
LATER = FIRST + timedelta(days=800)


def phq9(*totals: tuple[int, int]) -> Series:
    """Totals, each so many days after the start."""
    sheets = [sheet(f"s{days}", total, week=days / 7) for days, total in totals]
    return trajectory_of([sheet_of(one) for one in sheets], change_rules()).of("phq9", "sum")


def of(found: Followed | None) -> Any:
    return None if found is None else (found.total, found.remission, found.response)


@pytest.mark.parametrize(("day", "counts"), [(119, False), (120, True), (240, True), (241, False)])
def test_days_120_to_240_count_for_hedis(day: int, counts: bool) -> None:
    assert of(drr_e(phq9((0, 14), (day, 4)), LATER)) == ((4, True, True) if counts else (None, False, False))


@pytest.mark.parametrize(("baseline", "counts"), [(9, False), (10, True)])
def test_an_index_is_above_nine(baseline: int, counts: bool) -> None:
    assert (drr_e(phq9((0, baseline), (130, 3)), LATER) is not None) == counts
    assert (mncm(phq9((0, baseline), (180, 3)), 6, LATER) is not None) == counts


def test_a_first_total_below_does_not_hide_a_later_index() -> None:
    assert of(drr_e(phq9((0, 7), (10, 16), (140, 6)), LATER)) == (6, False, True)


def test_the_most_recent_counts_and_not_the_best() -> None:
    assert of(drr_e(phq9((0, 20), (130, 2), (200, 12), (250, 1)), LATER)) == (12, False, False)


@pytest.mark.parametrize(("later", "remission", "response"), [(4, True, True), (5, False, True), (6, False, False)])
def test_remission_is_below_five_and_response_half(later: int, remission: bool, response: bool) -> None:
    assert of(drr_e(phq9((0, 11), (150, later)), LATER)) == (later, remission, response)


@pytest.mark.parametrize(
    ("months", "day", "counts"),
    [
        # Six months after 5 January 2026 is 5 July, day 181; twelve months after it day 365.
        (6, 120, False),
        (6, 121, True),
        (6, 241, True),
        (6, 242, False),
        (12, 304, False),
        (12, 305, True),
        (12, 425, True),
        (12, 426, False),
    ],
)
def test_sixty_days_around_six_and_twelve_months_count(months: int, day: int, counts: bool) -> None:
    assert date(2026, 1, 5) == FIRST
    assert of(mncm(phq9((0, 14), (day, 4)), months, LATER)) == ((4, True, True) if counts else (None, False, False))


def test_who_has_none_is_missing_once_the_window_is_over() -> None:
    never = phq9((0, 14))
    assert drr_e(never, FIRST + timedelta(days=240)) == Followed(14, None, False, False, False)
    assert drr_e(never, FIRST + timedelta(days=241)) == Followed(14, None, True, False, False)


def test_a_month_that_is_shorter_ends_with_its_last_day() -> None:
    start = (date(2026, 8, 31) - FIRST).days
    # Six months after 31 August is 28 February; sixty days before it 30 December.
    inside, outside = ((date(2026, 12, day) - FIRST).days for day in (30, 29))
    assert of(mncm(phq9((start, 14), (inside, 4)), 6, LATER)) == (4, True, True)
    assert of(mncm(phq9((start, 14), (outside, 4)), 6, LATER)) == (None, False, False)
