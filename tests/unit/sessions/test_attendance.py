"""The attendance machine: whatever people do and however time passes, a place ends in one state, and is told of once."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sessions.domain.attendance import missed_in_a_row, week_of_places
from services.sessions.domain.attending import Located, ended, joined, left, lost, returned
from services.sessions.domain.changing import called_off, excused, moved, opened, planned, planned_again
from services.sessions.domain.facts import Change
from services.sessions.domain.place import Place, document_of, due_s, place_of
from services.sessions.domain.refusals import Refused
from services.sessions.domain.risk import Risk
from services.sessions.domain.times import DEFAULT
from services.sessions.domain.waiting import in_time
from shared.contracts.sessions import (
    ParticipantDropped,
    SessionAttended,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
    SessionRescheduled,
    SessionStarted,
)
from tests.unit.sessions.ward import SEALED

START_S = 1_772_460_000.0
HERE = Located(SEALED)
HOUR_S = 3600.0


def place(**others: Any) -> Place:
    told: dict[str, Any] = {
        "place_id": "pl", "session_id": "s", "patient_id": "p1", "programme_id": "default", "kind": "individual",
        "starts_s": START_S, "slot_s": START_S, "minutes": 60, "zone": "UTC", "origin": "posted",
    }  # fmt: skip
    return Place(**told | others)


def waited(one: Place, now_s: float, risk: Risk | None = None) -> Change | None:
    became = in_time(one, risk or Risk(), 0, now_s, DEFAULT)
    return None if became is None else became.change


ACTIONS = {
    "join": lambda one, now: joined(one, HERE, now, DEFAULT),
    "join without a key": lambda one, now: joined(one, Located(None), now, DEFAULT),
    "leave": left,
    "lost": lambda one, now: lost(one, "unknown", now),
    "returned": returned,
    "complete": lambda one, now: ended(one, now, DEFAULT),
    "excuse": lambda one, now: excused(one, True, now, DEFAULT),
    "cancel": lambda one, now: called_off(one, "cancelled", now),
    "open": opened,
    "time": waited,
}


@given(st.lists(st.tuples(st.sampled_from(sorted(ACTIONS)), st.floats(0, 1800)), max_size=30))
def test_whatever_happens_a_place_ends_once_and_its_hours_add_up(steps: list[tuple[str, float]]) -> None:
    one, now_s = place(), START_S - HOUR_S
    told: list[Any] = []
    for action, after_s in [*steps, ("time", 10 * HOUR_S), ("time", 0.0)]:
        now_s += after_s
        try:
            change = ACTIONS[action](one, now_s)
        except Refused:
            continue
        if change is not None:
            assert change.place.version == one.version + 1
            told += change.events
            one = change.place
        assert place_of(document_of(one, DEFAULT)) == one
        due = due_s(one, DEFAULT)
        assert due is None or due > START_S - HOUR_S
    while (last := waited(one, now_s)) is not None:
        told += last.events
        one = last.place
    kinds = [type(event) for event in told]
    assert one.over
    assert due_s(one, DEFAULT) is None
    assert kinds.count(SessionCompleted) == (0 if one.state == "cancelled" else 1)
    assert kinds.count(SessionAttended) == (one.state == "attended")
    assert kinds.count(SessionMissed) <= 1
    assert (SessionMissed in kinds) >= (one.state == "missed")
    assert 0 <= one.present_s <= now_s - START_S
    assert one.state in ("attended", "missed", "excused", "cancelled")
    if SessionStarted in kinds:
        assert one.located_s is not None


@pytest.mark.parametrize(("after_s", "late"), [(-600, False), (0, False), (299, False), (300, True), (899, True), (2000, True)])
def test_late_begins_five_minutes_after_the_start(after_s: float, late: bool) -> None:
    change = joined(place(), HERE, START_S + after_s, DEFAULT)
    assert change is not None
    assert change.place.late is late
    assert isinstance(change.events[0], SessionStarted)
    assert change.events[0].late is late


@pytest.mark.parametrize(("minutes", "partial"), [(0, True), (29, True), (30, False), (60, False)])
def test_less_than_half_of_the_minutes_is_partial(minutes: int, partial: bool) -> None:
    came = joined(place(), HERE, START_S, DEFAULT)
    assert came is not None
    over = ended(came.place, START_S + 60 * minutes, DEFAULT)
    assert over is not None
    attended, completed = over.events
    assert isinstance(attended, SessionAttended)
    assert (attended.partial, attended.minutes_attended, completed.outcome) == (partial, minutes, "attended")  # type: ignore[union-attr]


def test_only_time_within_the_session_counts() -> None:
    came = joined(place(), HERE, START_S - 600, DEFAULT)
    assert came is not None
    went = left(came.place, START_S + 600)
    assert went is not None
    again = joined(went.place, None, START_S + 1800, DEFAULT)
    assert again is not None
    assert again.events == (), "the location was told for this session already"
    over = ended(again.place, START_S + 3600, DEFAULT)
    assert over is not None
    assert over.place.present_s == 600 + 1800


def test_a_session_that_nobody_closes_ends_with_its_planned_end() -> None:
    came = joined(place(), HERE, START_S, DEFAULT)
    assert came is not None
    assert waited(came.place, START_S + HOUR_S + DEFAULT.close_after_s - 1) is None
    over = waited(came.place, START_S + HOUR_S + DEFAULT.close_after_s)
    assert over is not None
    assert over.place.present_s == HOUR_S
    assert isinstance(over.events[0], SessionAttended)
    assert over.events[0].minutes_attended == 60


def test_nobody_joins_without_saying_where_they_are() -> None:
    with pytest.raises(Refused, match="location-not-confirmed") as refused:
        joined(place(), None, START_S, DEFAULT)
    assert "location_confirmed" in refused.value.detail


@pytest.mark.parametrize(
    ("one", "now_s", "code"),
    [
        (place(), START_S - DEFAULT.join_early_s - 1, "too-early"),
        (place(), START_S + HOUR_S + DEFAULT.close_after_s + 1, "session-over"),
        (place(state="cancelled"), START_S, "session-cancelled"),
        (place(state="attended", completed_s=START_S), START_S, "session-over"),
    ],
)
def test_who_may_not_join_is_told_why(one: Place, now_s: float, code: str) -> None:
    with pytest.raises(Refused, match=code):
        joined(one, HERE, now_s, DEFAULT)


def test_whoever_comes_after_having_been_missed_is_let_in_and_attended() -> None:
    missed = waited(place(), START_S + DEFAULT.missed_s)
    assert missed is not None
    came = joined(missed.place, HERE, START_S + 1200, DEFAULT)
    assert came is not None
    assert (came.place.state, came.place.late) == ("joined", True)
    over = ended(came.place, START_S + HOUR_S, DEFAULT)
    assert over is not None
    assert isinstance(over.events[0], SessionAttended)


@pytest.mark.parametrize(
    ("risk", "level"),
    [
        (Risk(), None),
        (Risk("low", None), None),
        (Risk(None, "high"), None),
        (Risk("moderate", None), "moderate"),
        (Risk("imminent", "low"), "imminent"),
    ],
)
@pytest.mark.parametrize("cause", ["unknown", "technical"])
def test_somebody_lost_for_two_minutes_is_told_and_flagged_at_open_risk(risk: Risk, level: str | None, cause: Any) -> None:
    came = joined(place(), HERE, START_S, DEFAULT)
    assert came is not None
    gone = lost(came.place, cause, START_S + 600)
    assert gone is not None
    assert in_time(gone.place, risk, 0, START_S + 719, DEFAULT) is None
    became = in_time(gone.place, risk, 0, START_S + 720, DEFAULT)
    assert became is not None
    assert (None if became.raises is None else became.raises.level) == level
    (dropped,) = became.change.events
    assert isinstance(dropped, ParticipantDropped)
    assert dropped.cause == cause
    assert became.flagged("f").change.events[0].flag_id == "f"  # type: ignore[union-attr]
    # Once: who stays away is told of again only when the session ends.
    assert in_time(became.change.place, risk, 0, START_S + 1800, DEFAULT) is None


def test_whoever_is_back_within_two_minutes_was_not_dropped() -> None:
    came = joined(place(), HERE, START_S, DEFAULT)
    assert came is not None
    gone = lost(came.place, "unknown", START_S + 600)
    assert gone is not None
    back = returned(gone.place, START_S + 700)
    assert back is not None
    assert waited(back.place, START_S + 720) is None
    assert back.place.present_until(START_S + 800) == 700


@pytest.mark.parametrize(("notice_s", "by_staff", "may"), [(86_400, False, True), (86_399, False, False), (60, True, True)])
def test_a_patient_is_excused_with_a_days_notice_and_staff_at_any_time(notice_s: float, by_staff: bool, may: bool) -> None:
    if not may:
        with pytest.raises(Refused, match="notice-too-short"):
            excused(place(), by_staff, START_S - notice_s, DEFAULT)
        return
    change = excused(place(), by_staff, START_S - notice_s, DEFAULT)
    assert change is not None
    (told,) = change.events
    assert isinstance(told, SessionCancelled)
    assert told.reason == "excused"
    over = waited(change.place, START_S + HOUR_S + DEFAULT.close_after_s)
    assert over is not None
    assert isinstance(over.events[0], SessionCompleted)
    assert over.events[0].outcome == "excused"


def test_what_is_moved_says_from_where_and_is_due_anew() -> None:
    change = moved(place(), START_S + 86_400, None, START_S - 60)
    assert change is not None
    (told,) = change.events
    assert isinstance(told, SessionRescheduled)
    assert told.from_starts_at < told.starts_at
    assert due_s(change.place, DEFAULT) == START_S + 86_400 + DEFAULT.missed_s
    assert moved(change.place, START_S + 86_400, None, START_S) is None
    came = joined(place(), HERE, START_S, DEFAULT)
    assert came is not None
    with pytest.raises(Refused, match="session-under-way"):
        moved(came.place, START_S + 86_400, None, START_S)
    with pytest.raises(Refused, match="session-under-way"):
        called_off(came.place, "cancelled", START_S)


def test_what_somebody_cancelled_is_not_planned_again() -> None:
    assert len(planned(place(), START_S).events) == 1
    cancelled = called_off(place(), "cancelled", START_S - 60)
    unplanned = called_off(place(), "plan_changed", START_S - 60)
    assert cancelled is not None
    assert unplanned is not None
    assert planned_again(cancelled.place, place(), START_S - 30) is None
    again = planned_again(unplanned.place, place(), START_S - 30)
    assert again is not None
    assert (again.place.state, again.place.version) == ("scheduled", 3)


def test_a_week_adds_up() -> None:
    places = [
        place(minutes=180, state="attended", present_s=170 * 60, completed_s=1.0),
        place(minutes=180, state="missed"),
        place(minutes=180, state="excused"),
        place(minutes=180, state="cancelled"),
        place(minutes=60),
    ]
    week = week_of_places(places, START_S)
    assert (week.hours_planned, week.hours_attended, week.below_minimum) == (10.0, 2.83, True)
    assert (week.attended, week.missed, week.excused, week.ahead) == (1, 1, 1, 1)
    nine = replace(places[0], present_s=9 * HOUR_S)
    assert not week_of_places([nine], START_S).below_minimum


@pytest.mark.parametrize(
    ("states", "count"),
    [([], 0), (["missed", "missed"], 2), (["missed", "excused", "cancelled", "missed"], 2), (["attended", "missed"], 0)],
)
def test_missed_in_a_row(states: list[str], count: int) -> None:
    assert missed_in_a_row(states) == count
