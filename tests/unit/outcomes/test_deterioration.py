"""Reliable deterioration is somebody's business once, at its onset, and never again because a topic is read again."""

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.outcomes.domain.deterioration import newly_worse, onsets
from services.outcomes.domain.sheets import sheet_of
from services.outcomes.domain.trajectory import Series, trajectory_of
from shared.contracts.change import change_rules
from shared.contracts.outcomes import OutcomeUpdated
from shared.contracts.risk import RiskFlagged
from shared.contracts.topics import RISK
from shared.storage.memory import MemoryStore
from shared.time.clock import ManualClock
from shared.time.ids import derived_id
from tests.unit.outcomes.events import Handlers
from tests.unit.outcomes.house import PATIENT, House, envelope, running, sheet
from tests.unit.outcomes.test_no_flag_is_lost import Struck

RULES = change_rules()


def told(*totals: int, instrument: str = "phq9") -> list[int]:
    sheets = [sheet_of(sheet(f"s{week}", total, week=week, instrument=instrument)) for week, total in enumerate(totals)]
    series = trajectory_of(sheets, RULES).of(instrument, "sum")
    return [int(point.sheet.assessment_id[1:]) for point in onsets(series, RULES[instrument])]


def test_it_is_told_at_its_onset() -> None:
    assert told(8, 13, 14, 14, 15) == [2]


def test_it_is_told_again_when_it_has_become_reliably_worse_still() -> None:
    assert told(5, 11, 13, 16, 17) == [1, 4]


def test_it_is_told_again_after_it_was_better() -> None:
    assert told(8, 14, 10, 14) == [1, 3]


def test_where_higher_is_better_lower_is_worse() -> None:
    assert told(60, 52, 50, 44, 40, instrument="who5") == [2, 4]


def test_without_a_rule_nothing_is_told() -> None:
    assert told(10, 50, instrument="k10") == []


def series(*totals: tuple[int, int]) -> Series:
    """Totals, each of its week."""
    sheets = [sheet_of(sheet(f"s{week}", total, week=week)) for week, total in totals]
    return trajectory_of(sheets, RULES).of("phq9", "sum")


def test_a_late_upload_that_changes_nothing_is_not_new() -> None:
    worse = series((0, 5), (2, 12))
    assert newly_worse(series((0, 5)), worse, RULES["phq9"]) is not None
    assert newly_worse(worse, series((0, 5), (1, 6), (2, 12)), RULES["phq9"]) is None
    assert newly_worse(series((0, 5), (2, 6)), series((0, 5), (1, 20), (2, 6)), RULES["phq9"]) is None


def test_a_late_baseline_shows_what_was_worse_all_along() -> None:
    found = newly_worse(series((2, 20)), series((0, 8), (2, 20)), RULES["phq9"])
    assert found is not None
    assert found.sheet.assessment_id == "s2"


@given(st.lists(st.integers(0, 27), min_size=1, max_size=8), st.randoms(use_true_random=False))
async def test_whoever_is_worse_at_the_end_was_told_of_in_whatever_order_it_was_heard(totals: list[int], random: Any) -> None:
    events = [sheet(f"s{week}", total, week=week) for week, total in enumerate(totals)]
    shuffled = events * 2
    random.shuffle(shuffled)
    handlers = Handlers(MemoryStore(ManualClock()), Struck())
    for event in shuffled:
        await handlers.hear(event, envelope(event))
    told = [flag.source_id for flag in handlers.flags.flags]
    # What is heard in between may make one and the same sheet an onset again: that is the same flag again, and no other one.
    assert len({flag.flag_id for flag in handlers.flags.flags}) == len(set(told))
    whole = series(*enumerate(totals))
    latest = whole.latest
    assert latest is not None
    if any(one.sheet.assessment_id == latest.sheet.assessment_id for one in onsets(whole, RULES["phq9"])):
        assert latest.sheet.assessment_id in told


async def flags(house: House) -> list[Any]:
    return [event for _, event in await house.said(RiskFlagged, RISK)]


async def test_it_raises_a_flag_and_says_so(tmp_path: Path) -> None:
    async with running(tmp_path) as house:
        await house.enrol(PATIENT)
        await house.until(lambda: house.knows(PATIENT))
        worse = sheet("a1", 14, week=0.01)
        await house.tell(sheet("a0", 8), worse, worse)

        async def raised() -> bool:
            return bool(await flags(house)) and len(await house.said(OutcomeUpdated)) == 2

        await house.until(raised)
        (flag,) = await flags(house)
        assert (flag.rule, flag.level, flag.source_id, flag.routing.region) == (
            "phq9.reliable_deterioration",
            "moderate",
            "a1",
            "US-NY",
        )
        assert flag.flag_id == derived_id("flag", "outcomes", PATIENT, flag.rule, "moderate", "a1")
        first, second = (event for _, event in await house.said(OutcomeUpdated))
        assert (first.flag_id, second.flag_id, second.reliable) == (None, flag.flag_id, "deteriorated")
        shown = await house.trajectory(2)
        assert shown["instruments"][0]["deteriorated"] is True


async def test_a_topic_that_is_read_again_pages_nobody(tmp_path: Path) -> None:
    async with running(tmp_path) as house:
        house.clock.jump(100 * 86_400.0)
        await house.tell(sheet("a0", 8), sheet("a1", 20, week=1))
        await house.trajectory(2)

        async def told() -> bool:
            return len(await house.said(OutcomeUpdated)) == 2

        await house.until(told)
        await house.drain()
        assert await flags(house) == []
        assert [event.flag_id for _, event in await house.said(OutcomeUpdated)] == [None, None]
