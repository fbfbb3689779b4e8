"""Two replicas that heard the same things decide the same, whatever way it came."""

from collections.abc import Callable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from services.crisis.domain.decide import Heard, Situation, decide, replica_order
from services.crisis.domain.ledger import Ledger
from tests.unit.crisis.clinic import NOON, PATIENT, REPLICAS, TIMES, flag, ledger_of, roster
from tests.unit.crisis.ledgers import LATEST, Story, shuffles, stories

ROSTER = roster()
moments = st.floats(NOON, LATEST + 600.0)


def situation(ledger: Ledger, now: float, me: str) -> Situation:
    heard = {flag_id: Heard(flag.at, False) for flag_id, flag in ledger.flags.items()}
    return Situation(now, me, REPLICAS, ROSTER, TIMES, 0.150, heard=heard)


@given(stories(), shuffles(), moments, st.sampled_from(REPLICAS))
def test_two_tables_that_heard_the_same_decide_the_same(
    story: Story, again: Callable[[Story], Story], now: float, me: str
) -> None:
    """In any order, twice, or late: the pages due, the gaps found and the next moment are the same."""
    one, two = ledger_of(*story), ledger_of(*again(story))
    ours, theirs = decide(one, situation(one, now, me)), decide(two, situation(two, now, me))
    assert sorted(ours.pages, key=repr) == sorted(theirs.pages, key=repr)
    assert set(ours.gaps) == set(theirs.gaps)
    assert ours.next_due == theirs.next_due


@given(stories(), moments)
def test_deciding_changes_nothing(story: Story, now: float) -> None:
    ledger = ledger_of(*story)
    at = situation(ledger, now, REPLICAS[0])
    revision = ledger.revision
    assert decide(ledger, at) == decide(ledger, at)
    assert ledger.revision == revision


@given(st.text(min_size=1, max_size=40), st.integers(2, 5))
def test_every_patient_has_one_order_of_replicas(patient_id: str, n: int) -> None:
    names = tuple(f"crisis-{i}" for i in range(n))
    assert replica_order(patient_id, names) == replica_order(patient_id, tuple(reversed(names)))
    assert sorted(replica_order(patient_id, names)) == sorted(names)


def test_patients_are_spread_over_the_replicas() -> None:
    firsts = [replica_order(f"patient-{i}", REPLICAS)[0] for i in range(400)]
    assert 150 < firsts.count(REPLICAS[0]) < 250


def test_the_second_replica_waits_one_rank_for_the_first() -> None:
    story = ledger_of(flag())
    first, second = replica_order(PATIENT, REPLICAS)
    (flag_id,) = story.flags
    base = situation(story, NOON, first)
    fresh = replace(base, heard={flag_id: Heard(NOON, True)})
    assert decide(story, fresh).pages
    waiting = decide(story, replace(fresh, me=second))
    assert not waiting.pages
    assert waiting.next_due == NOON + TIMES.rank_step
    lagging = decide(story, replace(fresh, me=second, lag_s=0.3))
    assert lagging.next_due == NOON + TIMES.rank_step + 0.3
