"""Nothing ends but by a human: a flag that nobody holds and nobody closed rings again, whatever happened before."""

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.crisis.domain.case import Case, open_case
from services.crisis.domain.coverage import coverage
from services.crisis.domain.decide import decide
from services.crisis.domain.facts import Closed, Escalated, Gap, Progress
from services.crisis.domain.ledger import Ledger
from shared.contracts.levels import LEVELS, Level
from tests.unit.crisis.clinic import (
    ADAEZE,
    BRUNO,
    CHIARA,
    DMITRI,
    NOON,
    PEOPLE,
    ROUND_S,
    STEP_S,
    Replica,
    accepting,
    acknowledged,
    flag,
    ledger_of,
    refusing,
    resetting,
    roster,
    without,
)
from tests.unit.crisis.ledgers import LATEST, Story, stories

moments = st.floats(LATEST, LATEST + 3600.0)
# The next step or round begins, a ring may wait for room in the minute, a retry for half a minute.
LONGEST_PAUSE_S = ROUND_S + 60.0 + 30.0


def uncovered(ledger: Ledger, now: float) -> set[str]:
    """The open flags that no live lease covers."""
    case = open_case(ledger)
    if case is None:
        return set()
    return {f.flag_id for f in case.flags.values() if held(case, f.flag_id, now) is None}


def held(case: Case, flag_id: str, now: float) -> float | None:
    one = case.flags[flag_id]
    return coverage(one, case.levels[flag_id], case.leases_of(one), now).covered_until


@given(stories(), moments)
def test_a_flag_that_nobody_holds_is_paged_now_or_has_its_next_moment(story: Story, now: float) -> None:
    replica = Replica(ledger_of(*story), now, fresh=False)
    decision = replica.decide()
    paged = {flag_id for page in decision.pages for flag_id in page.attempt.flags}
    for flag_id in uncovered(replica.ledger, now):
        assert flag_id in paged or decision.next_due is not None
    assert decision.next_due is None or decision.next_due > now


@given(stories(), moments)
def test_stepping_from_moment_to_moment_it_rings_again(story: Story, now: float) -> None:
    """Whatever was sent, failed or folded away before: within one round everybody's flag is on somebody's phone again."""
    replica = Replica(ledger_of(*story), now, fresh=False)
    waiting = uncovered(replica.ledger, now)
    pages = replica.run(now + LONGEST_PAUSE_S)
    assert waiting <= {flag_id for _, page in pages for flag_id in page.attempt.flags}


@given(stories(closings=False), moments)
def test_a_lease_that_nobody_renews_ends_and_the_case_rings(story: Story, now: float) -> None:
    """However many acknowledged, progressed or escalated: two silent days later every open flag rings again."""
    ledger = ledger_of(*story)
    replica = Replica(ledger, now + 2 * 86_400.0 + 30 * 86_400.0, fresh=False)
    pages = replica.run(replica.now + LONGEST_PAUSE_S)
    assert set(ledger.flags) <= {flag_id for _, page in pages for flag_id in page.attempt.flags}


@given(stories(closings=False), moments)
def test_only_a_human_ends_it(story: Story, now: float) -> None:
    ledger = ledger_of(*story)
    ledger.add(Closed("closing", ADAEZE, "low", CHIARA, tuple(sorted(ledger.flags)), at=now))
    decision = Replica(ledger, now, fresh=False).decide()
    assert not decision.pages
    assert decision.next_due is None


@given(st.sampled_from(LEVELS))
def test_nobody_answers_for_ten_rounds_and_it_is_still_ringing(level: Level) -> None:
    replica = Replica(ledger_of(flag(level=level)))
    replica.run(NOON + 10 * ROUND_S)
    for number in range(10):
        began = NOON + number * ROUND_S
        for name, after_s in ((ADAEZE, 0.0), (BRUNO, STEP_S), (CHIARA, 2 * STEP_S)):
            assert any(began + after_s <= at < began + after_s + 1.0 for at in replica.rung(name, "sms"))


def test_from_the_second_round_the_fallback_pool_rings_too() -> None:
    replica = Replica(ledger_of(flag()))
    replica.run(NOON + ROUND_S - 1.0)
    assert not replica.rung(DMITRI)
    replica.run(NOON + ROUND_S + 1.0)
    assert replica.rung(DMITRI)


def test_a_provider_that_refuses_for_minutes_is_asked_every_second_and_then_takes_the_page() -> None:
    """A refusal cannot have rung a phone: it is repeated every second and counted by nobody."""
    replica = Replica(ledger_of(flag()), provider=refusing)
    replica.run(NOON + 100.0)
    asked = replica.rung(ADAEZE, "sms")
    assert len(asked) > 98
    assert all(0.99 < later - earlier < 1.02 for earlier, later in pairwise(asked))
    assert {page.attempt.n for _, page in replica.pages} == {0}
    replica.provider = accepting
    recovered = replica.now
    first, *_ = replica.run(recovered + 5.0)
    assert first[0] - recovered < 1.5


def test_a_provider_that_hangs_is_tried_again_within_half_a_minute() -> None:
    replica = Replica(ledger_of(flag()), provider=resetting)
    replica.run(NOON + 600.0)
    asked = replica.rung(ADAEZE, "sms")
    assert max(later - earlier for earlier, later in pairwise(asked)) < 30.1
    assert [round(at - NOON, 1) for at in asked[:6]] == [0.0, 0.0, 1.0, 4.0, 14.0, 44.0]


def test_a_second_provider_is_asked_at_once() -> None:
    ledger = ledger_of(flag())
    replica = Replica(ledger, provider=refusing)
    (page, *_) = replica.decide().pages
    for fact in refusing(page, NOON):
        ledger.add(fact)
    alone = decide(ledger, replace(replica.situation(), now=NOON + 0.01, providers=("twilio",)))
    both = decide(ledger, replace(replica.situation(), now=NOON + 0.01, providers=("twilio", "other")))
    assert page.attempt.channel not in {p.attempt.channel for p in alone.pages}
    again = next(p for p in both.pages if p.attempt.channel == page.attempt.channel)
    assert again.avoid_provider == "twilio"


@given(st.permutations([ADAEZE, BRUNO, CHIARA]), st.integers(0, 3))
def test_nobody_at_a_step_means_the_next_step_at_once_and_the_pool(names: list[str], missing: int) -> None:
    """However many of the people of the policy cannot be reached: somebody rings in the first millisecond."""
    gone = names[:missing]
    replica = Replica(ledger_of(flag()), roster=roster(people=without(PEOPLE, *gone)))
    replica.run(NOON + 0.001)
    rung = {page.attempt.person for _, page in replica.pages}
    assert rung
    if ADAEZE in gone:
        assert DMITRI in rung
        assert (BRUNO in rung) == (BRUNO not in gone)
    else:
        assert rung == {ADAEZE}
    steps = {fact.step for fact in replica.ledger.facts if isinstance(fact, Gap)}
    assert (0 in steps) == (ADAEZE in gone)


def test_when_everybody_has_the_flag_and_it_is_not_enough_everybody_rings_on() -> None:
    """Imminent needs two roles: three clinicians who all took it do not make it silent for ever."""
    same_role = roster()
    alarm = flag(level="imminent")
    ledger = ledger_of(alarm)
    for number, name in enumerate((ADAEZE, BRUNO, CHIARA, DMITRI)):
        taken = acknowledged(name, alarm, at=NOON + 1.0, ack_id=f"ack-{number}")
        ledger.add(type(taken)(taken.ack_id, name, "clinician", taken.flags, "sms", at=taken.at))
    replica = Replica(ledger, NOON + 2.0, roster=same_role, fresh=False)
    pages = replica.run(NOON + 2.0 + 2 * ROUND_S)
    assert pages


def test_asking_for_the_next_step_rings_it_although_the_case_is_held() -> None:
    alarm = flag()
    ledger = ledger_of(alarm, acknowledged(ADAEZE, alarm, at=NOON + 5.0))
    replica = Replica(ledger, NOON + 10.0, fresh=False)
    assert not replica.decide().pages
    ledger.add(Escalated("call", ADAEZE, 1, (alarm.flag_id,), at=NOON + 10.0))
    replica.run(NOON + 30.0)
    assert {page.attempt.person for _, page in replica.pages} == {BRUNO}


def test_a_lapsed_lease_starts_the_policy_anew() -> None:
    """High: an acknowledgement holds until half an hour after the flag; then everybody is paged again from step one."""
    alarm = flag()
    ledger = ledger_of(alarm)
    replica = Replica(ledger)
    replica.run(NOON + 20.0)
    ledger.add(acknowledged(ADAEZE, alarm, at=NOON + 20.0))
    assert not replica.run(NOON + 1799.0)
    pages = replica.run(NOON + 1801.0)
    assert {page.attempt.person for _, page in pages} == {ADAEZE}
    assert {page.attempt.episode for _, page in pages} == {1}
    pages = replica.run(NOON + 1800.0 + STEP_S + 1.0)
    assert BRUNO in {page.attempt.person for _, page in pages}


def test_progress_renews_the_lease() -> None:
    alarm = flag()
    ledger = ledger_of(alarm, acknowledged(ADAEZE, alarm, at=NOON + 20.0))
    ledger.add(Progress("p", ADAEZE, "called", (alarm.flag_id,), at=NOON + 1700.0))
    replica = Replica(ledger, NOON + 1700.0, fresh=False)
    assert not replica.run(NOON + 1700.0 + 1499.0)
    assert replica.run(NOON + 1700.0 + 1501.0)
