"""A turn that ends in the middle of a crisis: whoever comes is paged at once, whoever has the case keeps it."""

from dataclasses import replace

import pytest

from services.crisis.domain.decide import decide
from services.crisis.domain.facts import Intended, Sending
from services.crisis.domain.roster import ContactMethod, Policy, Roster, Step
from tests.unit.crisis.clinic import (
    ADAEZE,
    BRUNO,
    CHIARA,
    DMITRI,
    NOON,
    REPLICAS,
    STEP_S,
    TIMES,
    Replica,
    acknowledged,
    attempt,
    first_in_line,
    flag,
    ledger_of,
    roster,
)


def on_call(person: str, version: int = 8) -> Roster:
    """One step, one person."""
    return replace(roster(Policy((Step(0.0, (person,)),), (DMITRI,), STEP_S)), version=version)


def test_whoever_comes_on_duty_is_paged_at_once_and_whoever_goes_is_left_alone() -> None:
    replica = Replica(ledger_of(flag()), roster=on_call(ADAEZE))
    replica.run(NOON + 20.0)
    assert replica.rung(ADAEZE)
    replica.roster = on_call(CHIARA)
    went = len(replica.rung(ADAEZE))
    replica.run(NOON + 21.0)
    assert replica.rung(CHIARA)[0] <= NOON + 21.0
    replica.run(NOON + 10 * STEP_S)
    assert len(replica.rung(ADAEZE)) == went
    assert len(replica.rung(CHIARA)) > 5


def test_whoever_has_the_case_keeps_it_after_their_turn_and_nobody_else_is_woken() -> None:
    first = flag()
    replica = Replica(ledger_of(first, acknowledged(ADAEZE, first, at=NOON + 5.0)), now=NOON + 6.0, roster=on_call(CHIARA))
    assert replica.run(NOON + 60.0) == []
    replica.run(NOON + 3_600.0)
    assert replica.rung(CHIARA), "the lease ended: whoever is on call now"
    assert not replica.rung(ADAEZE)


def test_an_intent_for_somebody_outside_of_the_own_roster_silences_nothing() -> None:
    """The peer has another roster still: it means to page Adaeze, and here Bruno is on call."""
    first = flag()
    ledger = ledger_of(first)
    me = first_in_line(ledger)
    peer = next(name for name in REPLICAS if name != me)
    ledger.add(Intended(attempt(first, person_id=ADAEZE, by=peer), 7, 7, at=NOON))
    replica = Replica(ledger, now=NOON + 0.01, me=me, roster=on_call(BRUNO), replicas=REPLICAS)
    assert [page.attempt.person for page in decide(ledger, replica.situation()).pages] == [BRUNO]


def sees_a_try(channel: str, after: float) -> list[str]:
    """Whom the second replica pages so long after the first one began to send on a channel and said no more."""
    first = flag(level="moderate")
    ledger = ledger_of(first)
    peer = first_in_line(ledger)
    me = next(name for name in REPLICAS if name != peer)
    people = {ADAEZE: replace(roster().people[ADAEZE], contact_methods=(ContactMethod("m", channel, "somewhere"),))}
    here = roster(Policy((Step(0.0, (ADAEZE,)),), (), STEP_S), people)
    ledger.add(Sending(attempt(first, channel=channel, by=peer), "provider", at=NOON))
    replica = Replica(ledger, now=NOON + after, me=me, roster=here, replicas=REPLICAS)
    return [page.attempt.channel for page in decide(ledger, replica.situation()).pages]


@pytest.mark.parametrize(
    ("channel", "silent_s"), [("sms", 0.150), ("webhook", TIMES.hedge_cap), ("email", TIMES.provider_attempt)]
)
def test_how_long_an_unfinished_try_silences_the_others_depends_on_its_way(channel: str, silent_s: float) -> None:
    assert sees_a_try(channel, silent_s - 0.01) == []
    assert sees_a_try(channel, silent_s + TIMES.rank_step + 0.01) == [channel]
