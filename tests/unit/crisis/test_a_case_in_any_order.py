"""One patient's case as a machine that hypothesis drives: flags, pages, answers and decisions in any order, by a manual clock.

What must hold after every step is said in the clinic's words, in the invariants at the end.
"""

import os
from collections import Counter, defaultdict
from dataclasses import dataclass

from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.crisis.domain.case import Case, open_case
from services.crisis.domain.coverage import coverage
from services.crisis.domain.decide import Page
from services.crisis.domain.facts import (
    Accepted,
    Closed,
    Contacted,
    Escalated,
    Fact,
    Flag,
    Handed,
    Lowered,
    Offered,
    Owned,
    Progress,
    Receipt,
)
from services.crisis.domain.ledger import Ledger
from shared.contracts.levels import LEVELS, Level, rank
from tests.unit.crisis.clinic import (
    ADAEZE,
    BRUNO,
    CHIARA,
    NOON,
    PATIENT,
    ROUND_S,
    TIMES,
    Provider,
    Replica,
    accepting,
    acknowledged,
    flag,
    refusing,
    resetting,
)

EXAMPLES = int(os.environ.get("CRISIS_EXAMPLES", "40"))
STEPS = 24
FLAGS_MAX = 4
MINUTE_S = 60.0
# The next step or round begins, a ring may wait for room in the minute, a retry for half a minute.
LONGEST_PAUSE_S = ROUND_S + MINUTE_S + 30.0
PROVIDERS: dict[str, Provider] = {"takes": accepting, "refuses": refusing, "breaks off": resetting}

people = st.sampled_from((ADAEZE, BRUNO, CHIARA))
levels = st.sampled_from(LEVELS)


@dataclass(frozen=True, slots=True)
class Ring:
    """A page that may have rung: when, whom, how, whether it was the first about its flag there."""

    at: float
    person: str
    channel: str
    first: bool


class CaseInAnyOrder(RuleBasedStateMachine):
    """A patient, one replica that pages, and people who answer or do not."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(PATIENT)
        self.replica = Replica(self.ledger, me="crisis-0")
        self.replica.provider = self.provide
        self.mode = "takes"
        self.rings: list[Ring] = []
        self.named: set[str] = set()
        self.lowered: set[str] = set()
        self.told = 0

    # The world

    @initialize(level=levels)
    def a_first_flag(self, level: Level) -> None:
        self.flagged(level)

    @precondition(lambda self: len(self.ledger.flags) < FLAGS_MAX)
    @rule(level=levels)
    def a_further_flag(self, level: Level) -> None:
        self.flagged(level)

    @rule(seconds=st.sampled_from((0.2, 3.0, 20.0, 61.0)))
    def a_while_passes(self, seconds: float) -> None:
        self.replica.run(self.replica.now + seconds)

    @precondition(lambda self: self.mode == "takes")
    @rule(seconds=st.sampled_from((400.0, 1900.0)))
    def a_long_while_passes(self, seconds: float) -> None:
        self.replica.run(self.replica.now + seconds)

    @rule(mode=st.sampled_from(sorted(PROVIDERS)))
    def the_provider(self, mode: str) -> None:
        self.mode = mode

    @rule(outcome=st.sampled_from(("delivered", "undelivered")), which=st.integers(0, 7))
    def a_receipt(self, outcome: str, which: int) -> None:
        pages = [fact for fact in self.ledger.facts.values() if isinstance(fact, Handed)]
        assume(pages)
        page = pages[which % len(pages)]
        self.say(Receipt(page.provider_id, outcome, page.flags, at=self.replica.now))

    # People

    @rule(person=people, every=st.booleans())
    def acknowledges(self, person: str, every: bool) -> None:
        """Of the API, all open flags; of a reply, those that were handed to that person."""
        flags = [f for f in self.case().flags.values() if every or person in self.case().paged_people(f.flag_id)]
        assume(flags)
        self.told += 1
        self.say(acknowledged(person, *flags, at=self.replica.now, ack_id=f"ack-{self.told}"))

    @rule(person=people)
    def reports_progress(self, person: str) -> None:
        self.say(Progress(self.fresh("progress"), person, "calling", self.open_ids(), at=self.replica.now))

    @rule(person=people, result=st.sampled_from(("reached", "not_reached")))
    def contacts_the_patient(self, person: str, result: str) -> None:
        self.say(Contacted(self.fresh("contact"), person, result, self.open_ids(), at=self.replica.now))

    @rule(person=people, step=st.integers(1, 4))
    def asks_for_the_next_step(self, person: str, step: int) -> None:
        self.say(Escalated(self.fresh("call"), person, step, self.open_ids(), at=self.replica.now))

    @rule(to=people)
    def the_owner_offers(self, to: str) -> None:
        case = self.case()
        assume(case.owner is not None)
        generation = case.owned.generation if case.owned is not None else 1
        self.say(Offered(self.fresh("offer"), case.owner or "", to, generation, self.open_ids(), at=self.replica.now))

    @rule(which=st.integers(0, 3))
    def somebody_accepts(self, which: int) -> None:
        offers = self.case().offers
        assume(offers)
        offer = offers[which % len(offers)]
        self.say(Accepted(offer.offer_id, offer.to, self.open_ids(), at=self.replica.now))

    @rule()
    def the_store_decides_who_owns(self) -> None:
        """As the clerk does: generation 1 from the earliest acknowledgement, later ones from an offer of the current one."""
        case, now = self.case(), self.replica.now
        if case.owned is None:
            assume(case.acks)
            self.say(Owned(1, case.acks[0].person, case.acks[0].ack_id, self.open_ids(), at=now))
            return
        offers = {offer.offer_id: offer for offer in case.offers}
        taken = [offers[one.offer_id] for one in case.accepted if one.offer_id in offers]
        taken = [offer for offer in taken if offer.generation == case.owned.generation]
        assume(taken)
        self.say(Owned(case.owned.generation + 1, taken[0].to, taken[0].offer_id, self.open_ids(), at=now))

    @rule(level=levels, which=st.integers(0, FLAGS_MAX - 1))
    def two_clinicians_lower(self, level: Level, which: int) -> None:
        flag_id = self.open_ids()[which % len(self.open_ids())]
        self.lowered.add(flag_id)
        self.say(Lowered(self.fresh("lowering"), ADAEZE, CHIARA, level, (flag_id,), at=self.replica.now))

    @precondition(lambda self: len(self.ledger.flags) > 1)
    @rule(unseen=st.booleans())
    def a_human_closes(self, unseen: bool) -> None:
        """All that is open, or all but the flag that came last and was not seen."""
        ids = self.open_ids()
        named = tuple(sorted(self.by_age()[:-1])) if unseen and len(ids) > 1 else ids
        self.named.update(named)
        self.say(Closed(self.fresh("closing"), ADAEZE, "low", None, named, at=self.replica.now))

    @rule()
    def everything_is_heard_again(self) -> None:
        """From a peer, the store, the bus: late and once more."""
        other = Ledger(PATIENT)
        other.merge(self.ledger)
        assert not self.ledger.merge(other)

    # What must hold

    @invariant()
    def an_open_flag_that_nobody_holds_has_a_due(self) -> None:
        due = self.replica.act().next_due
        case, now = open_case(self.ledger), self.replica.now
        if case is None:
            assert due is None, "a closed case rings nobody and waits for nothing"
            return
        assert due is not None
        assert due > now
        if any(coverage(f, case.levels[f.flag_id], case.leases_of(f), now).covered_until is None for f in case.flags.values()):
            assert due <= now + LONGEST_PAUSE_S

    @invariant()
    def a_lease_ends(self) -> None:
        case, now = open_case(self.ledger), self.replica.now
        for one in case.flags.values() if case is not None else ():
            assert case is not None
            held = coverage(one, case.levels[one.flag_id], case.leases_of(one), now)
            due = self.replica.decide().next_due
            assert held.covered_until is None or (due is not None and due <= held.covered_until)

    @invariant()
    def nobody_who_acknowledged_is_left_without_an_owner(self) -> None:
        case = open_case(self.ledger)
        if case is not None and case.acks:
            assert case.owner in {ack.person for ack in case.acks} | {offer.to for offer in case.offers}

    @invariant()
    def a_close_covers_the_flags_it_names_and_no_other(self) -> None:
        assert self.ledger.closed_flags() == self.named
        assert set(self.ledger.open_flags()) == self.ledger.flags.keys() - self.named

    @invariant()
    def a_level_falls_only_when_two_clinicians_lower_it(self) -> None:
        case = open_case(self.ledger)
        for flag_id, level in case.levels.items() if case is not None else ():
            told = rank(self.ledger.flags[flag_id].level)
            assert rank(level) == told or (rank(level) < told and flag_id in self.lowered)

    @invariant()
    def nobody_is_rung_again_more_than_six_times_a_minute(self) -> None:
        again: dict[tuple[str, str], list[float]] = defaultdict(list)
        for ring in self.rings:
            if not ring.first:
                again[ring.person, ring.channel].append(ring.at)
        for times in again.values():
            most = TIMES.rerings_per_minute
            assert all(later - first >= MINUTE_S for first, later in zip(times, times[most:], strict=False))

    # How

    def provide(self, page: Page, at: float) -> list[Fact]:
        facts = PROVIDERS[self.mode](page, at)
        if self.mode != "refuses":
            self.rings.append(Ring(at, page.attempt.person, page.attempt.channel, page.first))
        return facts

    def flagged(self, level: Level) -> None:
        """A flag comes, and in the same moment it is on its way to somebody's phone."""
        one: Flag = flag(f"flag-{len(self.ledger.flags)}", level, at=self.replica.now)
        before = len(self.replica.pages)
        self.ledger.add_flag(one)
        self.replica.act()
        assert any(one.flag_id in page.attempt.flags for _, page in self.replica.pages[before:]), "a flag that rings nobody"

    def say(self, fact: Fact) -> None:
        self.ledger.add(fact)
        self.replica.act()

    def case(self) -> Case:
        case = open_case(self.ledger)
        assume(case is not None)
        assert case is not None
        return case

    def open_ids(self) -> tuple[str, ...]:
        return tuple(sorted(self.case().flags))

    def by_age(self) -> list[str]:
        return [one.flag_id for one in sorted(self.case().flags.values(), key=lambda f: (f.at, f.flag_id))]

    def fresh(self, kind: str) -> str:
        self.told += 1
        return f"{kind}-{self.told}"


def test_a_provider_that_refuses_everything_is_asked_once_a_second_about_each_of_many_flags() -> None:
    """Found by the machine: folding took a refusal away in the moment it came, and the page was due again at once."""
    ledger = Ledger(PATIENT)
    for number in range(12):
        ledger.add_flag(flag(f"flag-{number}", at=NOON))
    replica = Replica(ledger, provider=refusing)
    replica.run(NOON + 10.5)
    asked = Counter((page.attempt.flags, page.attempt.person, page.attempt.channel) for _, page in replica.pages)
    assert set(asked.values()) == {11}


CaseInAnyOrder.TestCase.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None)
TestACaseInAnyOrder = CaseInAnyOrder.TestCase
