"""What comes in by express, bus, peers, phones and providers comes in any order and more than once; it counts once."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from services.crisis.domain.facts import Acknowledged, Receipt
from services.crisis.domain.reference import Reference
from services.crisis.domain.replies import Reply
from shared.time.ids import derived_id, page_code
from tests.unit.crisis.lane import ANA, BEN, SUE, Lane

PATIENT = "patient-1"
FIRST, SECOND = derived_id("flag", "first"), derived_id("flag", "second")
# The flag that each answer is about, whatever else it may cover.
ANSWERS = {"SM-a": (ANA, FIRST), "SM-b": (ANA, SECOND), "call-b": (BEN, FIRST), "link-s": (SUE, SECOND)}
EXAMPLES = 25

Delivery = Callable[[], Awaitable[None]]


class Deliveries:
    """Everything that reaches one replica in this story, each as something that can be delivered again."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.events = {FIRST: lane.flag("first", PATIENT), SECOND: lane.flag("second", PATIENT, "imminent")}
        self.at = lane.clock.now()

    def all(self) -> dict[str, Delivery]:
        """By name."""
        return {
            "first by express": lambda: self.flag(FIRST, fresh=True),
            "first by the bus": lambda: self.flag(FIRST, fresh=True),
            "second by express": lambda: self.flag(SECOND, fresh=True),
            "second from a backlog": lambda: self.flag(SECOND, fresh=False),
            "text about the first": lambda: self.text("SM-a"),
            "text about the second": lambda: self.text("SM-b"),
            "key in a call": lambda: self.by_flag("call-b", "voice"),
            "link": lambda: self.by_flag("link-s", "link"),
            "receipt": lambda: self.receipt("SM1", "delivered"),
            "another word for it": lambda: self.receipt("SM1", "undelivered"),
            "a peer's acknowledgement": self.peer,
            "the store": self.lane.store_answers,
        }

    async def flag(self, flag_id: str, *, fresh: bool) -> None:
        self.lane.acceptance.accept_all([(self.events[flag_id], self.at)], fresh=fresh)

    async def text(self, reply_id: str) -> None:
        person, flag_id = ANSWERS[reply_id]
        self.lane.handlers.reply(Reply(reply_id, person, page_code(flag_id), None, "sms", self.lane.clock.now()))

    async def by_flag(self, reply_id: str, via: str) -> None:
        person, flag_id = ANSWERS[reply_id]
        self.lane.handlers.reply(Reply(reply_id, person, "", flag_id, via, self.lane.clock.now()))

    async def receipt(self, provider_id: str, outcome: str) -> None:
        self.lane.handlers.receipt(Reference(FIRST), provider_id, outcome)

    async def peer(self) -> None:
        fact = Acknowledged("peer-ack", SUE, "supervisor", (FIRST,), "sms", at=self.at)
        self.lane.engine.hear(PATIENT, [fact], fresh=True)


@settings(max_examples=EXAMPLES)
@given(st.integers(0, 2**32))
async def test_whatever_the_order_and_however_often_everything_counts_once(seed: int) -> None:
    chance = random.Random(seed)
    lane = Lane()
    deliveries = Deliveries(lane).all()
    names = [name for name in deliveries for _ in range(chance.choice((1, 1, 2, 3)))]
    chance.shuffle(names)
    for name in names:
        await deliveries[name]()
        if chance.random() < 0.5:
            await lane.settled()
    await lane.settled()

    ledger = lane.table.entries[PATIENT].ledger
    acks = {fact.ack_id: fact for fact in ledger.facts.values() if isinstance(fact, Acknowledged)}
    told = [fact.ack_id for fact in ledger.facts.values() if isinstance(fact, Acknowledged)]
    assert Counter(told) == Counter([*ANSWERS, "peer-ack"]), "one acknowledgement for each answer"
    for reply_id, (person, flag_id) in ANSWERS.items():
        assert acks[reply_id].person == person
        assert flag_id in acks[reply_id].flags
    assert len([fact for fact in ledger.facts.values() if isinstance(fact, Receipt)]) <= 2
    case = lane.table.case(PATIENT)
    assert case is not None
    assert set(case.flags) == {FIRST, SECOND}
    assert case.owner in {ANA, BEN, SUE}
    assert all(count == 1 for count in Counter(lane.phone.pages).values()), "the same page twice"

    await _nothing_of_it_comes_back_after_the_close(lane, deliveries, names)
    await lane.end()


async def _nothing_of_it_comes_back_after_the_close(lane: Lane, deliveries: dict[str, Delivery], names: list[str]) -> None:
    await lane.handlers.resolve(FIRST, ANA, None, (FIRST, SECOND), "low", None)
    await lane.settled()
    pages = len(lane.phone.pages)
    for name in reversed(names):
        await deliveries[name]()
    await lane.settled()
    assert lane.table.case(PATIENT) is None
    assert len(lane.phone.pages) == pages
    assert await lane.cases.all_open() == ()


async def test_an_answer_that_is_told_again_covers_no_page_that_came_in_between() -> None:
    """Nobody confirmed the callback, so the provider repeats it; meanwhile Ana was paged about another flag."""
    lane = Lane()
    await lane.flagged(lane.flag("first", PATIENT))
    said = await lane.reply(ANA, page_code(FIRST), "SM-a")
    await lane.flagged(lane.flag("second", PATIENT, "imminent"))
    assert await lane.reply(ANA, page_code(FIRST), "SM-a") == said
    case = lane.table.case(PATIENT)
    assert case is not None
    assert [ack.flags for ack in case.acks] == [(FIRST,)]
    await lane.end()


async def test_commands_that_are_repeated_change_nothing_more() -> None:
    """A clinician taps twice, a client repeats: the same state, the same owner, nobody is rung."""
    lane = Lane()
    await lane.store_answers()
    await lane.flagged(lane.flag("first", PATIENT))
    standings = [lane.handlers.acknowledge(FIRST, ANA, "clinician") for _ in range(3)]
    assert {(one.state, one.owner) for one in standings} == {("owned", ANA)}
    for _ in range(3):
        lane.handlers.progress(FIRST, ANA, "calling")
        lane.handlers.contacted(FIRST, ANA, "reached")
    lane.handlers.offer(FIRST, ANA, BEN)
    lane.handlers.offer(FIRST, ANA, BEN)
    first = await lane.handlers.accept(FIRST, BEN)
    assert (first.state, first.owner) == ("contacted", BEN)
    pages = len(lane.phone.pages)
    await asyncio.gather(
        *(lane.handlers.resolve(FIRST, BEN, None, (FIRST,), "low", None) for _ in range(2)), return_exceptions=True
    )
    assert lane.table.case(PATIENT) is None
    assert len(lane.phone.pages) == pages
    await lane.end()
