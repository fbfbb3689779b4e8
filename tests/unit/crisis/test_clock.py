"""One time for all replicas: the store's, whatever their own walls say."""

from hypothesis import given
from hypothesis import strategies as st

from services.crisis.clock import CrisisClock
from shared.time.clock import ManualClock
from tests.unit.crisis.clinic import NOON

off = st.floats(-1000.0, 1000.0)
way = st.floats(0.0, 2.0)


@given(off, way)
def test_the_first_answer_sets_the_clock_and_tells_the_shift(wall_off: float, half_way: float) -> None:
    wall = ManualClock(NOON + wall_off)
    clock = CrisisClock(wall)
    asked = clock.now()
    wall.advance(2 * half_way)
    store_now = NOON + half_way
    by_s = clock.hear_store(store_now, asked, clock.now())
    assert abs(by_s + wall_off) < 1e-3
    assert abs(clock.now() - (NOON + 2 * half_way)) < 1e-3
    assert clock.settled


@given(off, way, st.floats(0.0, 1.0))
def test_later_answers_shift_nothing_and_never_move_within_what_is_unknown(wall_off: float, took: float, share: float) -> None:
    """However the way there and back differ: an answer that fits is no reason to move."""
    wall = ManualClock(NOON + wall_off)
    clock = CrisisClock(wall)
    clock.hear_store(NOON, clock.now(), clock.now())
    asked = clock.now()
    wall.advance(took)
    before = clock.now()
    assert clock.hear_store(NOON + took * share, asked, before) == 0.0
    assert abs(clock.now() - before) < 1e-6


@given(off, st.floats(2.0, 100.0))
def test_drift_is_corrected(wall_off: float, drift: float) -> None:
    wall = ManualClock(NOON + wall_off)
    clock = CrisisClock(wall)
    clock.hear_store(NOON, clock.now(), clock.now())
    asked = clock.now()
    wall.advance(0.002)
    assert clock.hear_store(NOON + drift, asked, clock.now()) == 0.0
    assert abs(clock.now() - (NOON + drift)) < 0.01


@given(st.floats(1.0, 1000.0))
def test_what_was_kept_from_an_earlier_life_counts_until_the_store_answers(skew: float) -> None:
    clock = CrisisClock(ManualClock(NOON - skew), skew)
    assert abs(clock.now() - NOON) < 1e-3
    assert abs(clock.skew_s - skew) < 1e-3
    assert clock.comparable
    assert not clock.settled
    assert not CrisisClock(ManualClock(NOON - skew)).comparable
