"""Who has a flag, for how long, and when that is not enough."""

from hypothesis import given
from hypothesis import strategies as st

from services.crisis.domain.budget import BUDGETS
from services.crisis.domain.case import open_case
from services.crisis.domain.coverage import coverage
from services.crisis.domain.facts import Accepted, Acknowledged, Contacted, Owned, Progress
from shared.contracts.levels import LEVELS, Level
from tests.unit.crisis.clinic import ADAEZE, BRUNO, CHIARA, NOON, Replica, acknowledged, flag, ledger_of
from tests.unit.crisis.ledgers import LATEST, Story, stories

later = st.floats(0.0, 100_000.0)
levels = st.sampled_from(LEVELS)


def covered_until(*items: object, now: float) -> float | None:
    case = open_case(ledger_of(*items))  # type: ignore[arg-type]
    assert case is not None
    one = case.first_flag
    return coverage(one, case.levels[one.flag_id], case.leases_of(one), now).covered_until


@given(st.sampled_from(("low", "moderate", "high")), later)
def test_an_acknowledgement_is_a_lease(level: Level, after_s: float) -> None:
    """It ends at the later of t0 + t4 and the acknowledgement + t4 − t3."""
    alarm, budget = flag(level=level), BUDGETS[level]
    ack = acknowledged(ADAEZE, alarm, at=NOON + after_s)
    ends = max(NOON + budget.t4, NOON + after_s + budget.t4 - budget.t3)
    assert covered_until(alarm, ack, now=NOON + after_s) == ends
    assert covered_until(alarm, ack, now=ends) is None


@given(st.sampled_from(("low", "moderate", "high")), later, later)
def test_progress_renews_the_lease_by_the_same_difference(level: Level, after_s: float, then_s: float) -> None:
    alarm, budget = flag(level=level), BUDGETS[level]
    ack = acknowledged(ADAEZE, alarm, at=NOON + after_s)
    at = NOON + after_s + then_s
    sign = Progress("p", ADAEZE, "called", (alarm.flag_id,), at=at)
    until = covered_until(alarm, ack, sign, now=at)
    assert until is not None
    assert until >= at + budget.t4 - budget.t3


@given(levels, later)
def test_progress_of_somebody_who_never_took_the_flag_quietens_nobody(level: Level, after_s: float) -> None:
    alarm = flag(level=level)
    sign = Progress("p", BRUNO, "called", (alarm.flag_id,), at=NOON + after_s)
    contact = Contacted("c", BRUNO, "reached", (alarm.flag_id,), at=NOON + after_s)
    assert covered_until(alarm, sign, contact, now=NOON + after_s) is None


@given(st.sampled_from(("low", "moderate", "high")), later)
def test_a_contact_that_reached_the_patient_lasts_until_the_disposition_is_due(level: Level, after_s: float) -> None:
    alarm, budget = flag(level=level), BUDGETS[level]
    ack = acknowledged(ADAEZE, alarm, at=NOON + after_s)
    at = NOON + after_s + 1.0
    contact = Contacted("c", ADAEZE, "reached", (alarm.flag_id,), at=at)
    assert covered_until(alarm, ack, contact, now=at) == max(NOON + budget.t5, at + budget.t5 - budget.t4)


@given(st.permutations([ADAEZE, BRUNO, CHIARA]), st.floats(0.0, 200.0))
def test_imminent_needs_two_distinct_roles(people: list[str], after_s: float) -> None:
    alarm = flag(level="imminent")
    one, two, _ = people
    first = acknowledged(one, alarm, at=NOON + 5.0)
    again = Acknowledged("other-phone", one, first.role, first.flags, "sms", at=NOON + 6.0)
    assert covered_until(alarm, first, again, now=NOON + 6.0) is None
    second = acknowledged(two, alarm, at=NOON + 6.0 + after_s)
    assert covered_until(alarm, first, second, now=NOON + 6.0 + after_s) is not None


def test_imminent_rings_on_for_the_others_while_one_person_has_it() -> None:
    alarm = flag(level="imminent")
    ledger = ledger_of(alarm)
    replica = Replica(ledger)
    replica.run(NOON + 5.0)
    ledger.add(acknowledged(ADAEZE, alarm, at=NOON + 5.0))
    pages = replica.run(NOON + 200.0)
    assert ADAEZE not in {page.attempt.person for _, page in pages}
    assert {BRUNO, CHIARA} <= {page.attempt.person for _, page in pages}


def test_an_untold_role_is_no_second_role() -> None:
    """Whoever took over an offered case holds it, but its role is told only by an acknowledgement."""
    alarm = flag(level="imminent")
    ack = acknowledged(ADAEZE, alarm, at=NOON + 1.0)
    taken = Accepted("offer", BRUNO, (alarm.flag_id,), at=NOON + 2.0)
    assert covered_until(alarm, ack, taken, now=NOON + 2.0) is None
    assert covered_until(flag(level="high"), taken, now=NOON + 2.0) is not None


@given(stories(closings=False), st.floats(NOON, LATEST + 600.0))
def test_nobody_acknowledged_is_ever_ownerless(story: Story, now: float) -> None:
    """Whatever else was told: a case that somebody took has an owner; so has every flag that is quiet."""
    ledger = ledger_of(*story)
    case = open_case(ledger)
    assert case is not None
    quiet = [f for f in case.flags.values() if coverage(f, case.levels[f.flag_id], case.leases_of(f), now).covered_until]
    if case.acks or (quiet and not case.accepted):
        assert case.owner is not None


@given(stories(closings=False))
def test_the_owner_is_whom_the_store_wrote_or_the_earliest_who_answered(story: Story) -> None:
    case = open_case(ledger_of(*story))
    assert case is not None
    written = [fact for fact in case.facts if isinstance(fact, Owned)]
    if written:
        assert case.owner in {fact.person for fact in written if fact.generation == max(f.generation for f in written)}
    elif case.acks:
        assert case.owner == min(case.acks, key=lambda ack: (ack.at, ack.ack_id)).person


@given(levels)
def test_budgets_get_longer_and_leases_are_positive(level: Level) -> None:
    budget = BUDGETS[level]
    assert 0.0 < budget.t2 < budget.t3 < budget.t4 < budget.t5
    assert budget.lease_s > 0.0
    assert [name for name, _ in budget.stages()] == ["t2", "t3", "t4", "t5"]


def test_graver_levels_have_tighter_budgets() -> None:
    for stage in ("t2", "t3", "t4", "t5"):
        lengths = [getattr(BUDGETS[level], stage) for level in LEVELS]
        assert lengths == sorted(lengths, reverse=True)
    assert (BUDGETS["imminent"].t2, BUDGETS["imminent"].t3, BUDGETS["imminent"].t4) == (0.25, 60.0, 300.0)
