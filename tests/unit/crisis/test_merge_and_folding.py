"""What two replicas know is joined by union: the order, repetition and lateness of what they hear do not matter."""

from collections.abc import Callable
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.crisis.domain.case import open_case
from services.crisis.domain.encoding import to_document
from services.crisis.domain.facts import ATTEMPT_FACTS, Closed, Failed, Flag, Handed, Intended, Receipt, Sending, Upto
from services.crisis.domain.ledger import Ledger, folded
from shared.time.ids import derived_id
from tests.unit.crisis.clinic import ADAEZE, NOON, PATIENT, attempt, contents, copy_of, flag, ledger_of
from tests.unit.crisis.ledgers import LATEST, PEOPLE, SENDERS, Story, shuffles, stories

FIRST, SECOND = flag("first"), flag("second")


def joined(*ledgers: Ledger) -> Ledger:
    whole = Ledger(PATIENT)
    for one in ledgers:
        whole.merge(one)
    return whole


@given(stories(), stories())
def test_it_does_not_matter_which_replica_tells_the_other(ours: Story, theirs: Story) -> None:
    a, b = ledger_of(*ours), ledger_of(*theirs)
    assert contents(joined(a, b)) == contents(joined(b, a))


@given(stories(), stories(), stories())
def test_it_does_not_matter_which_two_replicas_meet_first(one: Story, two: Story, three: Story) -> None:
    a, b, c = ledger_of(*one), ledger_of(*two), ledger_of(*three)
    assert contents(joined(joined(a, b), c)) == contents(joined(a, joined(b, c)))


@given(stories())
def test_hearing_everything_twice_changes_nothing(story: Story) -> None:
    ledger = ledger_of(*story)
    before, revision = contents(ledger), ledger.revision
    assert not ledger.merge(copy_of(ledger))
    assert contents(ledger) == before
    assert ledger.revision == revision


@given(stories(), shuffles())
def test_the_order_of_hearing_does_not_matter(story: Story, again: Callable[[Story], Story]) -> None:
    assert contents(ledger_of(*story)) == contents(ledger_of(*again(story)))


@given(stories())
def test_of_two_stamps_the_earlier_counts(story: Story) -> None:
    earliest: dict[object, float] = {}
    for item in story:
        key = item.flag_id if isinstance(item, Flag) else item
        earliest[key] = min(item.at, earliest.get(key, item.at))
    ledger = ledger_of(*story)
    assert {flag_id: one.at for flag_id, one in ledger.flags.items()} == {
        k: v for k, v in earliest.items() if isinstance(k, str)
    }
    for fact in ledger.facts:
        assert isinstance(fact, Upto) or fact.at == earliest[fact]


@given(stories(), st.sampled_from(SENDERS), st.floats(NOON, LATEST + 120.0))
def test_folding_before_or_after_a_merge_gives_the_same(story: Story, by: str, now: float) -> None:
    """A replica may fold its tries while a peer still holds them one by one: joined again, both know the same."""
    plain = ledger_of(*story)
    tidy = copy_of(plain)
    for line in folded(plain, by, now, least=1):
        tidy.add(line)
    assert contents(joined(plain, tidy)) == contents(joined(tidy, plain)) == contents(tidy)


@given(stories(folded=False), st.sampled_from(SENDERS), st.floats(NOON, LATEST + 120.0))
def test_folding_never_loses_that_a_page_was_handed(story: Story, by: str, now: float) -> None:
    plain = ledger_of(*story)
    tidy = copy_of(plain)
    for line in folded(plain, by, now, least=1):
        tidy.add(line)
    before, after = open_case(plain), open_case(tidy)
    if before is None or after is None:
        assert before is after
        return
    for flag_id, one in before.flags.items():
        assert before.stamps(one) == after.stamps(one)
        assert before.paged_people(flag_id) == after.paged_people(flag_id)
        for person_id, channel in before.tries:
            times = before.handed_times(flag_id, person_id, channel)
            assert max(times, default=None) == max(after.handed_times(flag_id, person_id, channel), default=None)


@given(stories(folded=False), st.sampled_from(SENDERS), st.floats(NOON, LATEST + 120.0))
def test_folding_leaves_open_tries_and_those_of_others_alone(story: Story, by: str, now: float) -> None:
    plain = ledger_of(*story)
    tidy = copy_of(plain)
    for line in folded(plain, by, now, least=1):
        tidy.add(line)
    settled = {f.attempt for f in plain.facts if isinstance(f, (Failed, Handed))}
    for fact in plain.facts:
        if isinstance(fact, ATTEMPT_FACTS) and (fact.attempt.by != by or fact.attempt not in settled):
            assert fact in tidy.facts


def test_a_day_of_ringing_fits_into_a_few_lines() -> None:
    ledger = ledger_of(FIRST)
    for k in range(1, 200):
        one = attempt(FIRST, k=k)
        ledger.add(Sending(one, "twilio", at=NOON + 10.0 * k))
        ledger.add(Handed(one, "twilio", f"id-{k}", at=NOON + 10.0 * k + 0.1))
        for line in folded(ledger, "crisis-0", NOON + 10.0 * k + 1.0):
            ledger.add(line)
        assert len(ledger.facts) <= 2 * (7 + 8) + 1
    (line,) = (f for f in ledger.facts if isinstance(f, Upto))
    assert line.handed_first == NOON + 10.1


def test_receipts_go_with_the_tries_they_speak_of() -> None:
    ledger = ledger_of(FIRST)
    for k in range(1, 200):
        one = attempt(FIRST, k=k)
        ledger.add(Handed(one, "twilio", f"id-{k}", at=NOON + 40.0 * k))
        if k != 199:
            told = ("delivered", "undelivered")[k % 2]
            ledger.add(Receipt(f"id-{k}", told, (FIRST.flag_id,), ADAEZE, "sms", "crisis-0", k, at=NOON + 40.0 * k + 3.0))
        for line in folded(ledger, "crisis-0", NOON + 40.0 * k + 5.0):
            ledger.add(line)
        assert len(ledger.facts) <= 2 * (4 + 8) + 1
    (line,) = (f for f in ledger.facts if isinstance(f, Upto))
    assert line.delivered_first == NOON + 2 * 40.0 + 3.0
    # One that comes when its try has long been folded is heard, and kept no longer than that.
    late = Receipt("id-1", "delivered", (FIRST.flag_id,), ADAEZE, "sms", "crisis-0", 1, at=NOON + 50.0)
    assert ledger.add(late)
    assert not ledger.add(late)
    assert late not in ledger.facts
    case = open_case(ledger)
    assert case is not None
    assert case.state == "received"


@pytest.mark.parametrize(("flags", "hours", "bound_kb"), [(1, 24, 32), (20, 4, 64)])
def test_hours_that_nobody_answers_stay_within_the_bound_of_a_document(flags: int, hours: int, bound_kb: int) -> None:
    """Three people on two channels, two replicas taking turns, a receipt for every page, for hours."""
    raised = [replace(FIRST, flag_id=derived_id("flag", str(number))) for number in range(flags)]
    ledger = ledger_of(*raised)
    largest = 0
    for k in range(1, hours * 15):
        by = SENDERS[k % 2]
        for person in PEOPLE[:3]:
            for channel in ("sms", "voice"):
                at = NOON + 240.0 * k
                one = replace(attempt(*raised, k=1 + k // 2), person=person, channel=channel, by=by)
                ledger.add(Intended(one, at=at))
                ledger.add(Sending(one, "twilio", at=at))
                ledger.add(Handed(one, "twilio", f"{by}-{k}-{person}-{channel}", at=at + 0.1))
                told = (one.flags[0],)
                ledger.add(Receipt(f"{by}-{k}-{person}-{channel}", "delivered", told, person, channel, by, one.k, at=at + 2.0))
        for sender in SENDERS[:2]:
            for line in folded(ledger, sender, NOON + 240.0 * k + 10.0):
                ledger.add(line)
        largest = max(largest, len(orjson.dumps(to_document((*ledger.flags.values(), *ledger.facts.values())))))
    assert largest < bound_kb * 1024


def test_an_hour_of_refusals_fits_into_a_few_lines() -> None:
    ledger = ledger_of(FIRST)
    for k in range(1, 1800):
        one = attempt(FIRST, k=k)
        ledger.add(Sending(one, "twilio", at=NOON + 2.0 * k))
        ledger.add(Failed(one, False, "status 500", at=NOON + 2.0 * k + 0.1))
        for line in folded(ledger, "crisis-0", NOON + 2.0 * k + 1.0):
            ledger.add(line)
        assert len(ledger.facts) <= 2 * (2 + 8) + 1


def test_folding_a_new_case_does_not_take_the_tries_of_a_closed_one_for_its_own() -> None:
    """Two cases of one patient: numbers of tries go on, so an open try of the new case is never counted as settled."""
    ledger = ledger_of(FIRST)
    for k in range(1, 16):
        ledger.add(Handed(attempt(FIRST, k=k), "twilio", f"id-{k}", at=NOON + k))
    ledger.add(Closed("closing", ADAEZE, "high", None, (FIRST.flag_id,), at=NOON + 20.0))
    ledger.add_flag(SECOND)
    assert ledger.last_k(ADAEZE, "sms", "crisis-0") == 15
    under_way = Sending(attempt(SECOND, k=16), "twilio", at=NOON + 30.0)
    ledger.add(under_way)
    for line in folded(ledger, "crisis-0", NOON + 600.0, least=1):
        ledger.add(line)
    assert under_way in ledger.facts


def test_a_gap_in_the_numbers_is_not_folded_over() -> None:
    ledger = ledger_of(FIRST)
    for k in (1, 2, 4, 5, 6, 7):
        ledger.add(Handed(attempt(FIRST, k=k), "twilio", f"id-{k}", at=NOON + k))
    (line,) = folded(ledger, "crisis-0", NOON + 600.0, least=1)
    assert line.k == 2


def test_forgetting_a_closed_flag_leaves_nothing_of_it() -> None:
    both = (FIRST.flag_id, SECOND.flag_id)
    ids = tuple(sorted(both))
    ledger = ledger_of(FIRST, SECOND, Intended(attempt(FIRST, SECOND), at=NOON), Closed("c", ADAEZE, "low", None, ids, at=NOON))
    ledger.forget((FIRST.flag_id,))
    assert len(ledger.facts) == 2
    ledger.forget((SECOND.flag_id,))
    assert not ledger.facts
    assert not ledger.flags


@given(stories(), st.floats(-600.0, 600.0))
def test_setting_the_clock_moves_every_stamp_alike(story: Story, by_s: float) -> None:
    ledger, moved = ledger_of(*story), ledger_of(*story)
    moved.shift(by_s)
    assert moved.closed_flags() == ledger.closed_flags()
    assert moved.flags == ledger.flags
    stamps = {fact: fact.at for fact in moved.facts}
    for fact in ledger.facts:
        if not isinstance(fact, Upto):
            assert abs(stamps[fact] - fact.at - by_s) < 1e-6
