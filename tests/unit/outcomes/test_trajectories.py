"""Measures over time: baseline, latest, every point and what is said of it; the published edges of the rules of change."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm  # type: ignore[import-untyped]

from services.outcomes.domain.sheets import sheet_document, sheet_of, stored_sheet
from services.outcomes.domain.trajectory import Series, trajectory_of
from shared.contracts.change import change_between, change_rules
from shared.contracts.outcomes import OutcomeUpdated
from tests.unit.outcomes.house import running, sheet

RULES = change_rules()


def series(*sheets: Any, instrument: str = "phq9", scale: str | None = "sum") -> Series:
    return trajectory_of([sheet_of(one) for one in sheets], RULES).of(instrument, scale)


async def test_answers_over_weeks_become_a_trajectory(tmp_path: Path) -> None:
    async with running(tmp_path) as house:
        await house.tell(sheet("a0", 16), sheet("a1", 12, week=1), sheet("a2", 4, week=2))
        found = await house.trajectory(3)
        (phq9,) = found["instruments"]
        assert (phq9["baseline"]["total"], phq9["latest"]["total"], phq9["change"]) == (16, 4, -12)
        assert [point["total"] for point in phq9["points"]] == [16, 12, 4]
        assert (phq9["reliable"], phq9["response"], phq9["remission"], phq9["recovery"]) == ("improved", True, True, True)
        assert [point["reliable"] for point in phq9["points"]] == [None, "unchanged", "improved"]


async def test_each_new_latest_is_published_once(tmp_path: Path) -> None:
    async with running(tmp_path) as house:
        await house.tell(sheet("a0", 16), sheet("a1", 9, week=1), sheet("a1", 9, week=1))
        await house.trajectory(2)

        async def told() -> bool:
            return len(await house.said(OutcomeUpdated)) == 2

        await house.until(told)
        events = [event for _, event in await house.said(OutcomeUpdated)]
        assert [(one.assessment_id, one.baseline, one.latest, one.change, one.reliable) for one in events] == [
            ("a0", 16, 16, 0, None),
            ("a1", 16, 9, -7, "improved"),
        ]
        await house.drain()
        assert len(await house.said(OutcomeUpdated)) == 2


async def test_nobody_sees_the_trajectory_of_another_patient(tmp_path: Path) -> None:
    async with running(tmp_path) as house:
        await house.tell(sheet("a0", 16))
        await house.trajectory(1)
        assert (await house.get("/v1/trajectories/p1", "patient", "p2")).problem == "forbidden"
        assert (await house.get("/v1/trajectories/p1", "patient", "p1")).status == 200
        assert (await house.get("/v1/trajectories/p9")).problem == "not-found"


def test_totals_of_two_scales_are_two_series() -> None:
    sheets = [
        sheet("a", 30, scale="sum_12_60", instrument="whodas12"),
        sheet("b", 18, scale="sum", instrument="whodas12", week=1),
    ]
    found = trajectory_of([sheet_of(one) for one in sheets], RULES)
    assert [(one.scale, one.baseline.total if one.baseline else None, one.paired) for one in found.series] == [
        ("sum", 18, False),
        ("sum_12_60", 30, False),
    ]


def test_an_incomplete_sheet_is_no_point_and_is_counted() -> None:
    found = trajectory_of([sheet_of(sheet("a", 12)), sheet_of(sheet("b", None, status="incomplete", week=1))], RULES)
    assert [len(one.points) for one in found.series] == [1]
    assert found.incomplete == {"phq9": 1}


def test_a_prorated_total_is_shown_and_judged_against_nothing() -> None:
    found = series(sheet("a", 20, status="prorated"), sheet("b", 12, week=1), sheet("c", 4, week=2))
    assert [point.total for point in found.points] == [20, 12, 4]
    assert (found.baseline.total if found.baseline else None, found.latest.change if found.latest else None) == (12, -8)


def test_a_correction_takes_the_place_of_what_it_corrects_whichever_comes_first() -> None:
    wrong, right, later = sheet("a", 3), sheet("b", 17, corrects="a", accepted_s=9e9), sheet("c", 9, week=1)
    for order in ((wrong, right, later), (right, later, wrong), (later, right, wrong)):
        found = series(*order)
        assert [point.total for point in found.points] == [17, 9]
    chain = series(wrong, right, sheet("d", 18, corrects="b", accepted_s=9.1e9), later)
    assert [point.total for point in chain.points] == [18, 9]
    rivals = series(wrong, right, sheet("e", 16, corrects="a", accepted_s=9.2e9))
    assert [point.total for point in rivals.points] == [16]


def test_retiring_an_instrument_removes_no_point() -> None:
    """Requirement 24: whatever is known of an instrument today, what was answered stays, with both its times."""
    found = series(sheet("a", 7, instrument="gone_since", version="2019"), instrument="gone_since")
    assert [(one.total, one.sheet.instrument_version) for one in found.points] == [(7, "2019")]
    later = series(
        sheet("a", 7, instrument="gone_since"), sheet("b", 3, instrument="gone_since", week=1), instrument="gone_since"
    )
    assert later.latest is not None
    assert later.latest.change == -4
    assert later.latest.judged is not None
    assert later.latest.judged.reliable is None


def test_a_sheet_without_a_total_is_kept_with_its_codes() -> None:
    found = series(sheet("a", None, instrument="cssrs_screener", scale=None), instrument="cssrs_screener", scale=None)
    assert (len(found.points), len(found.coded)) == (0, 1)


SHEETS = st.lists(
    st.builds(
        lambda number, total, week, kind, scale, status, corrects: sheet(
            f"s{number}",
            None if status == "incomplete" else total,
            week=week,
            instrument=kind,
            scale=scale,
            status=status,
            corrects=None if corrects is None else f"s{corrects}",
            accepted_s=1.8e9 + number,
        ),
        st.integers(0, 12),
        st.integers(0, 27),
        st.integers(0, 6),
        st.sampled_from(["phq9", "gad7", "who5"]),
        st.sampled_from(["sum", None]),
        st.sampled_from(["complete", "complete", "complete", "prorated", "incomplete"]),
        st.one_of(st.none(), st.integers(0, 12)),
    ),
    unique_by=lambda event: event.assessment_id,
    max_size=12,
)


@given(SHEETS, st.randoms(use_true_random=False))
def test_the_order_of_hearing_is_nothing(events: list[Any], random: Any) -> None:
    sheets = [sheet_of(event) for event in events]
    shuffled = sheets * 2
    random.shuffle(shuffled)
    assert trajectory_of(shuffled, RULES) == trajectory_of(sheets, RULES)


@given(SHEETS)
def test_a_sheet_comes_back_from_the_store_as_it_was(events: list[Any]) -> None:
    sheets = [sheet_of(event) for event in events]
    assert [stored_sheet(sheet_document(one)) for one in sheets] == sheets


# Published edges: (instrument, baseline, later) → reliable, response, remission, recovery, reliable recovery.
EDGES = [
    ("phq9", 10, 5, "unchanged", True, False, True, False),
    ("phq9", 12, 8, "unchanged", False, False, True, False),
    ("phq9", 12, 6, "improved", True, False, True, True),
    ("phq9", 20, 15, "unchanged", False, False, False, False),
    ("phq9", 20, 14, "improved", False, False, False, False),
    ("phq9", 9, 4, "unchanged", True, True, False, False),
    ("phq9", 9, 15, "deteriorated", False, False, False, False),
    ("phq9", 9, 14, "unchanged", False, False, False, False),
    ("gad7", 8, 7, "unchanged", False, False, True, False),
    ("gad7", 12, 8, "improved", False, False, False, False),
    ("gad7", 11, 7, "improved", False, False, True, True),
    ("gad7", 4, 8, "deteriorated", False, False, False, False),
    ("isi", 14, 7, "improved", False, True, None, None),
    ("isi", 13, 8, "unchanged", False, False, None, None),
    ("isi", 15, 7, "improved", True, True, None, None),
    ("pcl5", 43, 28, "improved", True, True, None, None),
    ("pcl5", 42, 28, "unchanged", False, False, None, None),
    ("pcl5", 45, 30, "improved", True, False, None, None),
    ("who5", 40, 50, "improved", None, None, None, None),
    ("who5", 40, 48, "unchanged", None, None, None, None),
    ("who5", 60, 50, "deteriorated", None, None, None, None),
    ("whodas12", 20, 12, "improved", None, None, None, None),
    ("whodas12", 19, 12, "unchanged", None, None, None, None),
    ("k10", 40, 10, None, None, None, None, None),
]


@pytest.mark.parametrize(("instrument", "baseline", "later", "reliable", "response", "remission", "recovery", "both"), EDGES)
def test_the_published_edges_hold(
    instrument: str, baseline: int, later: int, reliable: Any, response: Any, remission: Any, recovery: Any, both: Any
) -> None:
    found = series(
        sheet("a", baseline, instrument=instrument), sheet("b", later, week=2, instrument=instrument), instrument=instrument
    )
    assert found.latest is not None
    judged = found.latest.judged
    assert judged is not None
    assert (judged.reliable, judged.response, judged.remission, judged.recovery, judged.reliable_recovery) == (
        reliable,
        response,
        remission,
        recovery,
        both,
    )


# Jacobson and Truax: (standard deviation, reliability) of clinical sheet §1.2, and the integer rule they give.
@pytest.mark.parametrize(
    ("instrument", "deviation", "reliability", "points"),
    [("phq9", 5.5, 0.89, 6), ("gad7", 4.5, 0.92, 4), ("whodas12", 7.1, 0.86, 8)],
)
def test_the_integer_rules_are_those_of_jacobson_and_truax(
    instrument: str, deviation: float, reliability: float, points: int
) -> None:
    error = deviation * math.sqrt(1 - reliability)
    of_a_difference = math.sqrt(2) * error
    needed = float(norm.ppf(0.975)) * of_a_difference
    assert math.floor(needed) + 1 == points == RULES[instrument].reliable_points
    for later in range(28):
        rci = abs(later - 14) / of_a_difference
        by_rci = 2 * float(norm.sf(rci)) < 0.05
        assert (change_between(RULES[instrument], 14, later).reliable != "unchanged") == by_rci, later
