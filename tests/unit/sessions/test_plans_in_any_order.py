"""What is heard of a patient makes the same calendar in any order, twice, and long after: nothing twice, nothing lost."""

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.sessions.domain.group import Group
from services.sessions.domain.patient import CLOSED_MAX, Heard
from services.sessions.handlers.observed import OVERBOOKED
from shared.contracts.crisis import FlagJoined
from shared.contracts.sessions import SessionCancelled, SessionScheduled
from shared.time.clock import epoch_s
from shared.time.ids import derived_id
from tests.unit.sessions.ward import NOW, PROGRAMME, Ward, discharged, enrolled, moved_to, opened, plan, resolved

EXAMPLES = 40
BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
# (event, sequence); every session lies after every change, so that no order can make one begin before it was planned.
PATIENT_EVENTS: tuple[tuple[Any, int], ...] = (
    (enrolled(), 1),
    (plan("five_by_three"), 2),
    (moved_to(BERLIN), 3),
    (plan("three_by_three", weeks=3), 4),
    (plan("evening", starts_on="2026-03-16"), 5),
)


CASES: list[Any] = [
    opened("f1", "moderate"),
    opened("f2", "high"),
    resolved("f1"),
    resolved("f1", "f2", level="moderate", at="2026-03-02T15:00:00Z"),
]


async def heard(events: list[tuple[Any, int | None]]) -> Ward:
    ward = Ward()
    for event, sequence in events:
        await ward.hear(event, sequence)
    return ward


async def calendar(ward: Ward) -> set[tuple[str, float, str]]:
    return {(one.place_id, one.starts_s, one.zone) for one in await ward.all_places() if one.state == "scheduled"}


@settings(max_examples=EXAMPLES)
@given(st.integers(0, 2**32))
async def test_the_calendar_is_the_same_in_any_order(seed: int) -> None:
    chance = random.Random(seed)
    events = [*PATIENT_EVENTS] + ([(discharged(), 6)] if chance.random() < 0.3 else [])
    straight = await heard([*events])
    shuffled = [event for event in events for _ in range(chance.choice((1, 1, 2)))]
    chance.shuffle(shuffled)
    other = await heard([*shuffled])
    assert await calendar(other) == await calendar(straight)
    assert (len(await calendar(straight)) == 0) == (len(events) == 6)
    # What was told adds up to what is there: each place was scheduled once more often than it was cancelled, or as often.
    balance: dict[str, int] = {}
    for event in other.published.events(SessionScheduled, SessionCancelled):
        step = 1 if isinstance(event, SessionScheduled) else -1
        balance[event.session_id] = balance.get(event.session_id, 0) + step
    assert {session_id for session_id, count in balance.items() if count == 1} == {
        place.session_id for place in await other.all_places() if place.state == "scheduled"
    }
    assert set(balance.values()) <= {0, 1}


@settings(max_examples=EXAMPLES)
@given(st.permutations(CASES), st.integers(0, 3))
def test_the_risk_is_the_same_in_any_order(events: list[Any], twice: int) -> None:
    after = Heard("p1")
    for event in [*events, events[twice]]:
        after = after.after(event, 0)
    assert (after.risk.open_level, after.risk.last_level) == (None, "moderate")


def test_a_further_flag_raises_the_level_of_the_case() -> None:
    joined = FlagJoined(case_id="c", patient_id="p1", programme_id=PROGRAMME, at=NOW, flag_id="f2", level="imminent")
    after = Heard("p1").after(opened("f1", "low"), 0).after(joined, 0)
    assert after.risk.open_level == "imminent"
    assert after.after(resolved("f2"), 0).risk.open_level == "low"


def test_what_is_remembered_of_closed_flags_is_bounded_and_open_ones_stay() -> None:
    after = Heard("p1").after(opened("open", "high"), 0)
    for number in range(CLOSED_MAX + 50):
        after = after.after(resolved(f"f{number}"), 0)
    assert len(after.flags) == CLOSED_MAX + 1
    assert after.risk.open_level == "high"


async def test_a_plan_heard_twice_makes_nothing_twice() -> None:
    ward = await heard([(enrolled(), 1), (plan(), 2), (plan(), 2)])
    assert len(await ward.all_places()) == len(ward.published.events(SessionScheduled)) == 6
    assert ward.published.wakes == 6


async def test_another_plan_calls_off_what_does_not_belong_to_it_and_keeps_the_rest() -> None:
    ward = await heard([(enrolled(), 1), (plan("five_by_three"), 2), (plan("three_by_three"), 3)])
    cancelled = ward.published.events(SessionCancelled)
    assert {event.reason for event in cancelled} == {"plan_changed"}
    assert (len(cancelled), len(await calendar(ward))) == (4, 6)
    assert len(ward.published.events(SessionScheduled)) == 10
    await ward.hear(plan("five_by_three", at="2026-03-02T15:00:00Z"), 4)
    assert len(await calendar(ward)) == 10
    assert len(ward.published.events(SessionScheduled)) == 14, "what comes back is told again, under another id"


async def test_a_move_to_another_zone_moves_what_is_ahead() -> None:
    ward = await heard([(enrolled(), 1), (plan(weeks=1), 2)])
    before = await calendar(ward)
    await ward.hear(moved_to(BERLIN), 3)
    after = await calendar(ward)
    assert len(before) == len(after) == 3
    # 9:00 in Berlin is five hours before 9:00 in New York while only New York has changed its clock.
    assert sorted(start for _, start, _ in before) == sorted(start + 5 * 3600 for _, start, _ in after)
    assert {zone for _, _, zone in after} == {BERLIN}


async def test_a_discharge_calls_off_everything_ahead_and_nothing_behind() -> None:
    ward = await heard([(enrolled(), 1), (plan(), 2)])
    posted = await ward.session("p1", in_s=3 * 86_400)
    ward.clock.advance(8 * 86_400)
    await ward.due.look_once()
    moment = ward.clock.now_s()
    await ward.hear(discharged(at="2026-03-10T14:00:00Z"), 3)
    assert moment == epoch_s("2026-03-10T14:00:00Z")
    states: dict[bool, set[str]] = {place.starts_s > moment: set() for place in await ward.all_places()}
    for place in await ward.all_places():
        states[place.starts_s > moment].add(place.state)
    assert states == {True: {"cancelled"}, False: {"missed"}}
    assert {event.reason for event in ward.published.events(SessionCancelled)} == {"discharged"}
    assert (await ward.place(posted)).state == "missed"


async def test_a_plan_that_is_heard_of_days_later_makes_no_history() -> None:
    """A store that is filled again from the bus must not tell a year of sessions as missed."""
    ward = Ward()
    ward.clock.advance(10 * 86_400)
    await ward.hear(enrolled(), 1)
    await ward.hear(plan(), 2)
    places = await ward.all_places()
    assert len(places) == 4
    assert min(place.starts_s for place in places) >= ward.clock.now_s() - ward.times.plan_past_s


async def test_whoever_was_forgotten_is_called_off_and_never_heard_of_again() -> None:
    ward = await heard([(enrolled(), 1), (plan(), 2), (opened(), None)])
    ward.hearing.forgotten("p1")
    await ward.hearing.forget_once()
    assert await calendar(ward) == set()
    left, _ = await ward.patients.load("p1")
    assert left == Heard("p1", forgotten=True)
    wakes = ward.published.wakes
    await ward.hear(moved_to(BERLIN), 9)
    await ward.hear(plan(), 9)
    await ward.hearing.forget_once()
    assert (await ward.patients.load("p1"))[0] == left
    assert ward.published.wakes == wakes


async def test_somebody_who_comes_back_after_a_discharge_has_a_plan_again() -> None:
    ward = await heard([(enrolled(), 1), (plan(), 2), (discharged(), 3), (plan("evening", at="2026-03-02T15:00:00Z"), 4)])
    assert len(await calendar(ward)) == 6


async def test_a_plan_is_never_refused_for_want_of_a_chair_and_somebody_sees_it() -> None:
    ward = Ward()
    await ward.groups.save(Group("g", "group", 2, ("ben",)), None)
    before = OVERBOOKED._value.get()
    for number in range(3):
        await ward.hear(enrolled(f"p{number}"), 1)
        await ward.hear(plan(patient=f"p{number}", weeks=1, groups=("g",)), 2)
        assert OVERBOOKED._value.get() == before + (number == 2)
    places = await ward.all_places()
    assert len(places) == 9
    assert {(place.group_id, place.clinician_id) for place in places} == {("g", "ben")}
    assert len({place.session_id for place in places}) == 3


async def test_events_say_whose_word_they_follow() -> None:
    ward = await heard([(enrolled(), 1), (plan(weeks=1), 2)])
    causes = {entry["causation_id"] for entry in ward.published.entries.values()}
    assert causes == {derived_id(plan(weeks=1).model_dump_json())}
    assert [entry["sequence"] for entry in ward.published.entries.values()] == [1, 1, 1]
