"""A further flag of a patient is never silence: the owner is asked, and everybody if the level rises or nobody is at it."""

from hypothesis import given
from hypothesis import strategies as st

from services.crisis.domain.facts import Acknowledged
from shared.contracts.levels import LEVELS, Level, rank
from tests.unit.crisis.clinic import (
    ADAEZE,
    BRUNO,
    CHIARA,
    NOON,
    PEOPLE,
    POLICY,
    STEP_S,
    Replica,
    acknowledged,
    flag,
    ledger_of,
    person,
    roster,
)

levels = st.sampled_from(LEVELS)


def joined(first: Level, second: Level, owner: str | None, owner_at: float = NOON + 5.0) -> Replica:
    """A case of a first flag, taken by somebody (or nobody); a minute later a second flag comes."""
    one, two = flag("first", first), flag("second", second, at=NOON + 40.0)
    ledger = ledger_of(one)
    replica = Replica(ledger)
    replica.run(NOON + 5.0)
    if owner is not None:
        ledger.add(acknowledged(owner, one, at=owner_at))
    replica.run(NOON + 40.0)
    replica.pages.clear()
    ledger.add_flag(two)
    replica.run(NOON + 40.001)
    return replica


def about_the_second(replica: Replica) -> set[str]:
    second = flag("second").flag_id
    return {page.attempt.person for _, page in replica.pages if second in page.attempt.flags}


@given(levels, levels)
def test_the_owner_is_paged_in_the_same_moment(first: Level, second: Level) -> None:
    assert BRUNO in about_the_second(joined(first, second, BRUNO))


@given(levels, levels)
def test_alone_when_the_level_does_not_rise_with_step_one_when_it_does(first: Level, second: Level) -> None:
    asked = about_the_second(joined(first, second, BRUNO))
    assert asked == ({BRUNO, ADAEZE} if rank(second) > rank(first) else {BRUNO})


@given(levels, levels)
def test_an_owner_who_does_not_answer_is_not_waited_for(first: Level, second: Level) -> None:
    """After one step's time the policy begins for the further flag."""
    replica = joined(first, second, BRUNO)
    replica.run(NOON + 40.0 + 3 * STEP_S + 1.0)
    assert {ADAEZE, BRUNO, CHIARA} <= about_the_second(replica)


@given(levels, levels)
def test_nobody_has_the_case_so_everybody_on_step_one_is_rung(first: Level, second: Level) -> None:
    assert about_the_second(joined(first, second, None)) == {ADAEZE}


def test_a_lapsed_owner_is_not_waited_for() -> None:
    """The lease ended before the further flag came: the policy begins at once."""
    one, two = flag("first", "high"), flag("second", "high", at=NOON + 4000.0)
    ledger = ledger_of(one, acknowledged(BRUNO, one, at=NOON + 5.0), two)
    replica = Replica(ledger, NOON + 4000.0)
    replica.act()
    assert ADAEZE in about_the_second(replica)


def test_an_owner_who_left_the_roster_is_not_waited_for() -> None:
    one, two = flag("first"), flag("second", at=NOON + 40.0)
    ack = Acknowledged("ack", "eve", "clinician", (one.flag_id,), "sms", at=NOON + 5.0)
    replica = Replica(ledger_of(one, ack, two), NOON + 40.0)
    replica.act()
    assert about_the_second(replica) == {ADAEZE}


def test_an_owner_who_is_not_on_duty_is_asked_together_with_step_one() -> None:
    """Eve can be reached but no policy names her."""
    one, two = flag("first"), flag("second", at=NOON + 40.0)
    ack = Acknowledged("ack", "eve", "clinician", (one.flag_id,), "sms", at=NOON + 5.0)
    people = {**PEOPLE, "eve": person("eve", "sms")}
    replica = Replica(ledger_of(one, ack, two), NOON + 40.0, roster=roster(POLICY, people))
    replica.act()
    assert about_the_second(replica) == {ADAEZE, "eve"}


def test_answering_the_first_flag_does_not_silence_the_second() -> None:
    replica = joined("high", "high", BRUNO)
    replica.ledger.add(acknowledged(BRUNO, flag("first"), at=replica.now))
    replica.run(NOON + 40.0 + STEP_S + 1.0)
    assert ADAEZE in about_the_second(replica)


def test_every_first_page_stands_alone_and_later_ones_go_together() -> None:
    """Two flags at once ring twice; a minute later one page speaks for both."""
    one, two = flag("first"), flag("second")
    replica = Replica(ledger_of(one, two))
    replica.act()
    firsts = [page.attempt.flags for _, page in replica.pages if page.attempt.channel == "sms"]
    assert sorted(firsts) == sorted([(one.flag_id,), (two.flag_id,)])
    replica.run(NOON + 3 * STEP_S - 1.0)
    replica.pages.clear()
    replica.run(NOON + 3 * STEP_S + 1.0)
    together = tuple(sorted((one.flag_id, two.flag_id)))
    assert {page.attempt.flags for _, page in replica.pages if page.attempt.person == ADAEZE} == {together}
