"""The cohort report: what is counted, and that nothing small can be had from it."""

import itertools
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.outcomes.domain import suppression
from services.outcomes.domain.cohort import Cohort, engagement_bands, percentiles
from services.outcomes.domain.episodes import Life
from services.outcomes.domain.sheets import sheet_of
from services.outcomes.domain.trajectory import Trajectory, trajectory_of
from services.outcomes.queries.cohort import told
from shared.contracts.change import change_rules
from shared.contracts.crisis import CaseAcknowledged, CaseOpened, CaseResolved
from shared.contracts.sessions import SessionAttended, SessionMissed
from shared.time.clock import iso
from tests.unit.outcomes.house import START_S, WEEK_S, House, discharged, enrolled, running, sheet

RULES = change_rules()
COUNTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 60), min_size=1)


def possible(cells: Mapping[str, Any], whole: int) -> dict[str, set[int]]:
    """Everything a reader may still believe of each cell: all counts that fit the table and its whole."""
    ranges = [range(cell, cell + 1) if isinstance(cell, int) else _kept_back(cell, whole) for cell in cells.values()]
    # The last cell is what is left over: fewer cases to go through.
    fits: dict[str, set[int]] = {name: {cell} if isinstance(cell, int) else set() for name, cell in cells.items()}
    unknown = [place for place, one in enumerate(ranges) if len(one) != 1]
    if not unknown:
        return {name: {int(cell)} for name, cell in cells.items()}
    *free, last = unknown
    base = whole - sum(one[0] for one in ranges if len(one) == 1)
    for chosen in itertools.product(*(ranges[place] for place in free)):
        rest = base - sum(chosen)
        if rest in ranges[last]:
            for place, value in zip((*free, last), (*chosen, rest), strict=True):
                fits[list(cells)[place]].add(value)
    return fits


def _kept_back(cell: Any, whole: int) -> range:
    return range(1, suppression.SMALL if cell == suppression.FEW else whole + 1)


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 40), min_size=2))
@example({"a": 10, "b": 10})
@example({"a": 10, "b": 10, "c": 11})
@example({"a": 1, "b": 1, "c": 50})
def test_no_small_cell_can_be_worked_out(counts: dict[str, int]) -> None:
    cells = suppression.table(counts)
    whole = sum(counts.values())
    if whole < suppression.SMALL:
        # The whole is not told either.
        assert all(cell in (0, suppression.FEW, suppression.HIDDEN) for cell in cells.values())
        return
    for name, believed in possible(cells, whole).items():
        assert counts[name] in believed
        if 0 < counts[name] < suppression.SMALL:
            assert len(believed) > 1, (counts, cells)


@given(COUNTS)
def test_what_is_not_small_and_protects_nobody_is_told(counts: dict[str, int]) -> None:
    cells = suppression.table(counts)
    small = [name for name, count in counts.items() if 0 < count < suppression.SMALL]
    if not small:
        assert cells == counts
    assert all(cells[name] in (suppression.FEW, suppression.HIDDEN) for name in small)
    assert all(cells[name] == 0 for name, count in counts.items() if count == 0)


@pytest.mark.parametrize(
    ("count", "whole", "cell", "rate"),
    [
        (20, 40, 20, 0.5),
        (0, 40, 0, 0.0),
        (40, 40, 40, 1.0),
        (5, 40, "<11", None),
        (35, 40, "hidden", None),
        (10, 40, "<11", None),
        (11, 40, 11, 0.275),
        (29, 40, 29, 0.725),
        (30, 40, "hidden", None),
        (3, 9, "<11", None),
        (0, 9, "<11", None),
        (0, 0, 0, None),
    ],
)
def test_a_part_is_told_when_neither_it_nor_the_rest_is_small(count: int, whole: int, cell: Any, rate: Any) -> None:
    assert (suppression.part(count, whole), suppression.rate(count, whole)) == (cell, rate)


def test_percentiles_are_by_nearest_rank() -> None:
    assert percentiles(range(1, 101)) == {"p50": 50, "p90": 90, "p99": 99}
    assert percentiles([7.0]) == {"p50": 7.0, "p90": 7.0, "p99": 7.0}
    assert percentiles([]) == {}


def test_engagement_bands_begin_where_they_say() -> None:
    bands = {"no session yet": 3, "below 50 %": 2, "50 to 79 %": 2, "80 % and more": 2}
    assert engagement_bands([0.0, 0.499, 0.5, 0.799, 0.8, 1.0], 9) == bands


async def cohort(house: House, patients: int) -> None:
    """Patients of whom every second one improves, every third one leaves, each with a session and a case."""
    for number in range(patients):
        name = f"p{number:03}"
        await house.tell(enrolled(patient=name), sheet(f"{name}-a", 16, patient=name, band="moderately_severe"))
        if number % 2 == 0:
            await house.tell(sheet(f"{name}-b", 6, week=4, patient=name, band="mild"))
        if number % 3 == 0:
            await house.tell(discharged(START_S + 5 * WEEK_S, "completed", name))
        place = {
            "session_id": f"s-{name}",
            "patient_id": name,
            "programme_id": "default",
            "at": iso(START_S + WEEK_S * 1.2),
            "kind": "group",
            "starts_at": iso(START_S + WEEK_S * 1.1),
            "minutes": 60,
            "week": "2026-W03",
        }
        begun = {"joined_at": place["starts_at"], "left_at": place["at"], "late": False, "partial": False}
        await house.tell(
            SessionMissed(**place, due_at=place["at"], consecutive=1)
            if number % 4 == 0
            else SessionAttended(**place, **begun, minutes_attended=60)
        )
        case = {"case_id": f"c-{name}", "patient_id": name, "programme_id": "default"}
        await house.tell(
            CaseOpened(**case, at=iso(START_S), flag_id="f", level="moderate"),
            CaseAcknowledged(**case, at=iso(START_S + number), flag_ids=("f",), person_id="ana", via="sms"),
            CaseResolved(**case, at=iso(START_S + 600), flag_ids=("f",), person_id="ana", level="low"),
        )


async def report(house: House, patients: int) -> Any:
    found: list[Any] = []

    async def there() -> bool:
        answer = await house.get("/v1/reports/cohort", "supervisor")
        assert answer.status == 200
        found[:] = [answer.json]
        shown = answer.json
        return (shown["patients"]["ever_enrolled"], shown["crisis"]["moderate"]["resolved"]) == (patients, patients)

    await house.until(there)
    return found[0]


async def test_everybody_is_counted(tmp_path: Path) -> None:
    async with running(tmp_path, cohort_page=7) as house:
        house.clock.jump(400 * 86_400.0)
        await cohort(house, 48)
        told = await report(house, 48)
        assert told["patients"] == {"ever_enrolled": 48, "present": 32, "left": 16}
        assert told["discharges"] == {"discharged": 16, "reasons": {"completed": 16}, "completion": 1.0}
        (phq9,) = told["instruments"]
        assert (phq9["patients"], phq9["n_paired"], phq9["n_missing"]) == (48, 24, 24)
        assert phq9["bands"] == ["mild", "moderately_severe"]
        assert phq9["first_bands"] == {"mild": 0, "moderately_severe": 24}
        assert phq9["latest_bands"] == {"mild": 24, "moderately_severe": 0}
        assert phq9["reliable"]["improved"] == {"n": 24, "rate": 1.0, "rate_last_observation": 0.5}
        assert phq9["reliable"]["deteriorated"]["n"] == 0
        assert phq9["judgements"]["response"] == {"n": 24, "rate": 1.0, "rate_last_observation": 0.5}
        assert told["measures"]["drr_e"] == {
            "patients": 48,
            "n_followed": 0,
            "n_missing": 48,
            "window_open": 0,
            "followed": 0.0,
            "remission": 0.0,
            "response": 0.0,
        }
        assert told["engagement"]["bands"] == {"no session yet": 0, "below 50 %": 12, "50 to 79 %": 0, "80 % and more": 36}
        assert told["engagement"]["share"] == 0.75
        assert told["engagement"]["week_two"] == {"patients": 48, "rate": 0.75}
        assert told["crisis"]["moderate"] == {
            "opened": 48,
            "acknowledged": 48,
            "escalated": 0,
            "resolved": 48,
            "breached": 0,
            "to_acknowledge_s": {"p50": 23.0, "p90": 43.0, "p99": 47.0},
            "to_resolve_s": {"p50": 600.0, "p90": 600.0, "p99": 600.0},
        }


async def test_of_a_small_cohort_nothing_is_told_but_that_it_is_small(tmp_path: Path) -> None:
    async with running(tmp_path) as house:
        house.clock.jump(400 * 86_400.0)
        await cohort(house, 9)

        async def counted() -> bool:
            told = (await house.get("/v1/reports/cohort", "supervisor")).json
            return bool(told["crisis"]["moderate"]["resolved"] == "<11" and told["instruments"])

        await house.until(counted)
        await house.drain()
        told = (await house.get("/v1/reports/cohort", "supervisor")).json
        assert told["patients"]["ever_enrolled"] == "<11"

        def numbers(value: Any) -> set[Any]:
            if isinstance(value, Mapping):
                return set().union(*map(numbers, value.values()))
            if isinstance(value, list):
                return set().union(*map(numbers, value))
            return {value} if isinstance(value, int | float) else set()

        assert numbers({name: part for name, part in told.items() if name != "small_cells_below"}) <= {0}


@pytest.mark.parametrize("role", ["patient", "clinician", "service"])
async def test_the_cohort_is_for_supervisors(tmp_path: Path, role: str) -> None:
    async with running(tmp_path) as house:
        assert (await house.get("/v1/reports/cohort", role)).problem == "forbidden"


@pytest.mark.parametrize(
    ("patients", "paired", "shown"),
    [
        (60, 30, (60, 30, 30)),
        (60, 55, ("hidden", 55, "<11")),
        (60, 4, ("hidden", "<11", 56)),
        (60, 60, (60, 60, 0)),
        (8, 3, ("<11",) * 3),
    ],
)
def test_the_few_who_are_missing_cannot_be_had_by_subtraction(patients: int, paired: int, shown: Any) -> None:
    cohort = Cohort(date(2026, 6, 30))
    for number in range(patients):
        sheets = [sheet(f"{number}-a", 16), sheet(f"{number}-b", 6, week=4)][: 1 + (number < paired)]
        cohort.add(
            Life(f"p{number}", "default", frozenset({START_S})), trajectory_of(map(sheet_of, sheets), RULES), [], START_S
        )
    (phq9,) = told(cohort)["instruments"]
    assert (phq9["patients"], phq9["n_paired"], phq9["n_missing"]) == shown
    carried = phq9["judgements"]["response"]["rate_last_observation"]
    assert (carried is None) == (not isinstance(phq9["patients"], int) or paired < 11)


def test_few_who_are_present_hide_why_the_others_left() -> None:
    cohort = Cohort(date(2026, 6, 30))
    for number in range(40):
        left = frozenset({(START_S + 1, "completed")}) if number < 37 else frozenset()
        cohort.add(Life(f"p{number}", "default", frozenset({START_S}), left), Trajectory(), [], START_S)
    shown = told(cohort)
    assert shown["patients"] == {"ever_enrolled": 40, "present": "<11", "left": "hidden"}
    assert shown["discharges"] == {"discharged": "hidden", "reasons": None, "completion": None}
