"""What clinicians do to a case, and what they are told."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from services.crisis.domain.facts import Acknowledged, Attempt, Flag, Handed, Lowered
from services.crisis.domain.reference import Reference
from services.crisis.domain.replies import Reply
from services.crisis.handlers import PENDING_REPLIES_MAX, PENDING_REPLY_S, Refused, Unknown
from services.crisis.ports import StoreSilent
from shared.time.ids import derived_id, page_code
from tests.unit.crisis.lane import ANA, BEN, SUE, Lane

FIRST = derived_id("flag", "first")
CODE = page_code(FIRST)


@pytest_asyncio.fixture
async def lane() -> AsyncIterator[Lane]:
    one = Lane()
    yield one
    await one.end()


@pytest_asyncio.fixture
async def paged(lane: Lane) -> Lane:
    """Ana was paged about a first flag; the store answers."""
    await lane.store_answers()
    await lane.flagged(lane.flag())
    return lane


def acks(lane: Lane, patient: str = "patient-1") -> list[tuple[str, tuple[str, ...]]]:
    case = lane.table.case(patient)
    return [] if case is None else [(ack.person, ack.flags) for ack in case.acks]


# Answering


async def test_a_bare_one_takes_the_case(paged: Lane) -> None:
    assert await paged.reply(ANA, "1") == f"You have {CODE}. Report progress or it rings again."
    assert acks(paged) == [(ANA, (FIRST,))]


async def test_the_second_who_answers_hears_who_has_it(paged: Lane) -> None:
    await paged.reply(ANA, "1")
    said = await paged.reply(BEN, "", "call-1", flag_id=FIRST)
    assert said == f"{CODE} taken by Ana. Your answer is noted."
    assert [person for person, _ in acks(paged)] == [ANA, BEN]


async def test_a_stranger_is_told_nothing(paged: Lane) -> None:
    assert await paged.reply("nobody", "1") is None
    assert acks(paged) == []
    assert paged.passed_on == []


async def test_the_flags_of_an_answer_are_fixed_where_it_is_heard(paged: Lane) -> None:
    await paged.reply(ANA, "1")
    second = paged.flag("second", level="imminent")
    await paged.flagged(second)
    assert acks(paged) == [(ANA, (FIRST,))]


async def test_the_same_answer_twice_is_one(paged: Lane) -> None:
    await paged.reply(ANA, "1", "SM-1")
    await paged.reply(ANA, "1", "SM-1")
    assert len(acks(paged)) == 1


async def test_a_link_of_a_closed_flag_takes_nothing(paged: Lane) -> None:
    await paged.handlers.resolve(FIRST, ANA, None, (FIRST,), "low", None)
    facts = len(paged.table.entries["patient-1"].ledger.facts)
    assert await paged.reply(ANA, "", "link:1", flag_id=FIRST) == f"{CODE} is closed already."
    await paged.flagged(paged.flag("after the close"))
    assert await paged.reply(ANA, "", "link:2", flag_id=FIRST) == f"{CODE} is closed already."
    assert acks(paged) == []
    assert facts <= len(paged.table.entries["patient-1"].ledger.facts)


async def test_an_answer_before_its_flag_is_kept_passed_on_and_acted_on(lane: Lane) -> None:
    assert await lane.reply(ANA, "", "link:1", flag_id=FIRST) is None
    assert [reply.reply_id for reply in lane.passed_on] == ["link:1"]
    assert lane.journal.kinds() == ["reply"]
    lane.engine.hear("patient-1", page_of(FIRST, lane.clock.now() - 1.0))
    await lane.settled()
    assert acks(lane) == [(ANA, (FIRST,))]


async def test_an_answer_that_a_peer_understood_first_is_left_to_it(lane: Lane) -> None:
    await lane.reply(ANA, "1", "SM-1")
    of_the_peer = Acknowledged("SM-1", ANA, "clinician", (FIRST,), "sms", at=lane.clock.now())
    lane.engine.hear("patient-1", [of_the_peer, *page_of(FIRST, lane.clock.now() - 1.0)])
    second = derived_id("flag", "second")
    lane.engine.hear("patient-2", page_of(second, lane.clock.now() - 1.0, "patient-2"))
    await lane.settled()
    assert acks(lane) == [(ANA, (FIRST,))]
    assert acks(lane, "patient-2") == []


async def test_a_peers_answer_is_not_passed_on_again(lane: Lane) -> None:
    lane.handlers.reply(Reply("SM-1", ANA, CODE, None, "sms", lane.clock.now()), from_peer=True)
    assert lane.passed_on == []
    assert lane.journal.kinds() == ["reply"]


async def test_an_old_answer_means_nothing_any_more(lane: Lane) -> None:
    old = lane.clock.now() - PENDING_REPLY_S - 1.0
    lane.handlers.reply(Reply("SM-1", ANA, CODE, None, "sms", old))
    lane.engine.hear("patient-1", page_of(FIRST, old - 5.0))
    await lane.settled()
    assert acks(lane) == []


async def test_an_answer_that_was_asked_back_is_not_acted_on_later(paged: Lane) -> None:
    await paged.flagged(paged.flag("second", "patient-2"))
    said = await paged.reply(ANA, "1")
    assert said is not None
    assert said.startswith("Which one? Reply with a code: ")
    assert CODE in said
    await paged.handlers.resolve(FIRST, ANA, None, (FIRST,), "low", None)
    await paged.flagged(paged.flag("third", "patient-2"))
    assert acks(paged, "patient-2") == []


async def test_answers_that_wait_are_bounded(lane: Lane) -> None:
    for number in range(PENDING_REPLIES_MAX + 5):
        lane.handlers.reply(Reply(f"SM-{number}", ANA, f"AB{number:04d}", None, "sms", lane.clock.now()), from_peer=True)
    assert len(lane.handlers._pending) == PENDING_REPLIES_MAX
    assert "SM-4" not in lane.handlers._pending


def page_of(flag_id: str, at: float, patient: str = "patient-1") -> list[Any]:
    attempt = Attempt((flag_id,), ANA, "sms", 0, 0, 0, "crisis-1", 1)
    return [Flag(flag_id, patient, "high", at=at), Handed(attempt, "twilio", f"SM-{flag_id[:8]}", at=at)]


# By API


async def test_acknowledging_by_api_takes_all_open_flags(paged: Lane) -> None:
    await paged.flagged(paged.flag("second"))
    standing = paged.handlers.acknowledge(CODE, "sub-7", "supervisor")
    assert (standing.state, standing.owner) == ("owned", "sub-7")
    assert acks(paged) == [("sub-7", tuple(sorted((FIRST, derived_id("flag", "second")))))]


@pytest.mark.parametrize("identifier", ["", "nobody", "ZZZZZZ", derived_id("flag", "unheard of")])
async def test_nobody_knows_a_case_that_is_not_there(paged: Lane, identifier: str) -> None:
    with pytest.raises(Unknown):
        paged.handlers.acknowledge(identifier, ANA, "clinician")


async def test_versions_only_grow(paged: Lane) -> None:
    handlers = paged.handlers
    versions = [
        handlers.acknowledge(FIRST, ANA, "clinician").version,
        handlers.progress(FIRST, ANA, "calling").version,
        handlers.contacted(FIRST, ANA, "reached").version,
        handlers.escalate(FIRST, ANA).version,
    ]
    assert versions == sorted(set(versions))


async def test_escalating_pages_the_next_step_now(paged: Lane) -> None:
    paged.handlers.escalate(FIRST, ANA)
    await paged.until(lambda: len(paged.phone.pages) == 2)
    assert paged.phone.pages[1][1] == "+15550100002"
    paged.handlers.escalate(FIRST, ANA)
    await paged.until(lambda: len(paged.phone.pages) == 3)
    assert paged.phone.pages[2][1] == "+15550100003"


async def test_a_case_is_offered_by_its_owner_to_somebody_on_the_roster(paged: Lane) -> None:
    paged.handlers.acknowledge(FIRST, ANA, "clinician")
    with pytest.raises(Refused, match="owner"):
        paged.handlers.offer(FIRST, BEN, SUE)
    with pytest.raises(Refused, match="roster"):
        paged.handlers.offer(FIRST, ANA, "nobody")
    assert paged.handlers.offer(FIRST, ANA, BEN).owner == ANA


async def test_an_offer_is_taken_by_whom_it_was_made_to_and_once(paged: Lane) -> None:
    paged.handlers.acknowledge(FIRST, ANA, "clinician")
    await paged.clerk.record("patient-1")
    paged.handlers.offer(FIRST, ANA, BEN)
    with pytest.raises(Refused, match="offer"):
        await paged.handlers.accept(FIRST, SUE)
    assert (await paged.handlers.accept(FIRST, BEN)).owner == BEN
    case = paged.table.case("patient-1")
    assert case is not None
    assert case.owned is not None
    assert (case.owner, case.owned.generation) == (BEN, 2)
    with pytest.raises(Refused, match="offer"):
        await paged.handlers.accept(FIRST, BEN)


async def test_lowering_needs_a_second_clinician_and_every_flag(paged: Lane) -> None:
    await paged.flagged(paged.flag("second"))
    both = (FIRST, derived_id("flag", "second"))
    for second in (ANA, "nobody"):
        with pytest.raises(Refused, match="second clinician"):
            await paged.handlers.lower(FIRST, ANA, None, both, "low", second)
    with pytest.raises(Refused, match="not named") as refused:
        await paged.handlers.lower(FIRST, ANA, None, (FIRST,), "low", BEN)
    assert set(refused.value.standing.open_flags) == set(both)
    with pytest.raises(Refused, match="not lower"):
        await paged.handlers.lower(FIRST, ANA, None, both, "high", BEN)
    with pytest.raises(Refused, match="changed"):
        await paged.handlers.lower(FIRST, ANA, 1, both, "low", BEN)
    await paged.handlers.lower(FIRST, ANA, None, (*both, derived_id("flag", "foreign")), "moderate", BEN)
    case = paged.table.case("patient-1")
    assert case is not None
    assert case.level == "moderate"
    (lowered,) = [fact for fact in case.facts if isinstance(fact, Lowered)]
    assert (lowered.person, lowered.second_person, set(lowered.flags)) == (ANA, BEN, set(both))


async def test_closing_names_every_open_flag(paged: Lane) -> None:
    second = paged.flag("second")
    await paged.flagged(second)
    with pytest.raises(Refused, match="not named") as refused:
        await paged.handlers.resolve(FIRST, ANA, None, (FIRST,), "low", None)
    standing = refused.value.standing
    assert (standing.state, set(standing.open_flags)) == ("paged", {FIRST, second.flag_id})
    closed = await paged.handlers.resolve(FIRST, ANA, standing.version, (FIRST, second.flag_id), "low", None)
    assert closed.state == "closed"
    assert closed.version > standing.version
    assert paged.queries.case(FIRST) is not None
    assert (paged.queries.case(FIRST) or {})["version"] == closed.version


async def test_closing_an_outdated_version_is_refused(paged: Lane) -> None:
    case = paged.table.case("patient-1")
    assert case is not None
    version = case.version
    paged.handlers.acknowledge(FIRST, ANA, "clinician")
    with pytest.raises(Refused, match="changed") as refused:
        await paged.handlers.resolve(FIRST, ANA, version, (FIRST,), "low", None)
    assert refused.value.standing.version > version


async def test_a_closed_case_takes_no_more_orders(paged: Lane) -> None:
    await paged.handlers.resolve(FIRST, ANA, None, (FIRST,), "low", None)
    await paged.flagged(paged.flag("after"))
    orders: list[Callable[[], object]] = [
        lambda: paged.handlers.acknowledge(FIRST, ANA, "clinician"),
        lambda: paged.handlers.progress(FIRST, ANA, "calling"),
        lambda: paged.handlers.escalate(FIRST, ANA),
    ]
    for order in orders:
        with pytest.raises(Refused, match="closed") as refused:
            order()
        assert refused.value.standing.state == "closed"
        assert refused.value.standing.open_flags == ()
    with pytest.raises(Refused, match="closed"):
        await paged.handlers.resolve(FIRST, ANA, None, (FIRST,), "low", None)


async def test_without_the_store_people_act_and_decisions_wait(lane: Lane) -> None:
    await lane.flagged(lane.flag())
    assert lane.handlers.acknowledge(FIRST, ANA, "clinician").owner == ANA
    for decision in (
        lane.handlers.resolve(FIRST, ANA, None, (FIRST,), "low", None),
        lane.handlers.lower(FIRST, ANA, None, (FIRST,), "low", BEN),
        lane.handlers.accept(FIRST, ANA),
    ):
        with pytest.raises(StoreSilent):
            await decision


async def test_a_receipt_of_an_unknown_flag_is_nothing(paged: Lane) -> None:
    paged.handlers.receipt(Reference(derived_id("flag", "unheard of")), "SM-9", "delivered")
    paged.handlers.receipt(Reference(FIRST, 1, "sms", "ana"), "SM1", "delivered")
    case = paged.table.case("patient-1")
    assert case is not None
    assert case.state == "received"


async def test_where_it_is_asked_for_nobody_closes_below_a_high_flags_level_alone(paged: Lane) -> None:
    paged.handlers._second_to_reduce = True
    await paged.reply(ANA, "1")
    for second in (None, ANA, "nobody"):
        with pytest.raises(Refused, match="needs a second clinician"):
            await paged.handlers.resolve(FIRST, ANA, None, (FIRST,), "low", second)
    assert (await paged.handlers.resolve(FIRST, ANA, None, (FIRST,), "low", BEN)).state == "closed"


async def test_closing_at_the_flags_own_level_needs_no_second_person(paged: Lane) -> None:
    paged.handlers._second_to_reduce = True
    await paged.reply(ANA, "1")
    assert (await paged.handlers.resolve(FIRST, ANA, None, (FIRST,), "high", None)).state == "closed"
