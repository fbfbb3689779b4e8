"""Attendance and engagement per ISO week, from what sessions says."""

from typing import Any

import pytest

from services.outcomes.domain.attendance import Place, SessionEvent, Week, first_attended_s, place_of, weeks_of
from shared.contracts.sessions import (
    SessionAttended,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
    SessionRescheduled,
    SessionScheduled,
)
from shared.time.clock import iso
from tests.unit.outcomes.house import PATIENT, START_S, envelope


def common(session: str = "s1", week: str = "2026-W02", minutes: int = 60, at_s: float = 0.0) -> dict[str, Any]:
    return {
        "session_id": session,
        "patient_id": PATIENT,
        "programme_id": "default",
        "at": iso(START_S + at_s),
        "kind": "group",
        "starts_at": iso(START_S + 3_600.0),
        "minutes": minutes,
        "week": week,
    }


def scheduled(**more: Any) -> SessionScheduled:
    return SessionScheduled(**common(**more), zone="UTC")


def rescheduled(**more: Any) -> SessionRescheduled:
    return SessionRescheduled(**common(**more), zone="UTC", from_starts_at=iso(START_S))


def attended(minutes_attended: int, **more: Any) -> SessionAttended:
    at = iso(START_S)
    return SessionAttended(
        **common(**more), joined_at=at, left_at=at, minutes_attended=minutes_attended, late=False, partial=minutes_attended < 30
    )


def missed(**more: Any) -> SessionMissed:
    return SessionMissed(**common(**more), due_at=iso(START_S), consecutive=1)


def cancelled(reason: Any, **more: Any) -> SessionCancelled:
    return SessionCancelled(**common(**more), reason=reason)


def place(*events: SessionEvent) -> Place:
    """A place after these events, each the next version."""
    said = [place_of(event, envelope(event, sequence=number)) for number, event in enumerate(events, 1)]
    joined = said[0]
    for one in said[1:]:
        joined = joined.join(one)
    return joined


def test_planned_hours_are_those_of_all_that_was_not_taken_away() -> None:
    places = [
        place(scheduled(), attended(45)),
        place(scheduled(session="s2"), missed(session="s2")),
        place(scheduled(session="s3"), cancelled("excused", session="s3")),
        place(scheduled(session="s4"), cancelled("cancelled", session="s4")),
        place(scheduled(session="s5"), cancelled("plan_changed", session="s5")),
        place(scheduled(session="s6", minutes=90)),
        place(scheduled(session="s7", week="2026-W03"), attended(60, session="s7", week="2026-W03")),
    ]
    first, second = weeks_of(places)
    assert first == Week("2026-W02", 60 * 3 + 90, 180, 45, attended=1, missed=1, excused=1, ahead=1)
    assert first.engagement == 0.25
    assert (second.week, second.engagement) == ("2026-W03", 1.0)
    assert weeks_of([place(scheduled())])[0].engagement is None


def test_a_session_that_was_moved_counts_in_its_new_week() -> None:
    moved = place(scheduled(), rescheduled(week="2026-W04", minutes=90))
    assert [(week.week, week.minutes_planned) for week in weeks_of([moved])] == [("2026-W04", 90)]


def test_a_missed_session_that_was_attended_after_all_is_attended() -> None:
    corrected = place(scheduled(), missed(), attended(50))
    assert (corrected.last.state, corrected.minutes_attended) == ("attended", 50)
    assert place(scheduled(), attended(50), missed()).minutes_attended == 0


@pytest.mark.parametrize(("outcome", "minutes"), [("attended", 60), ("missed", 0), ("excused", 0)])
def test_the_end_of_a_session_alone_tells_what_became_of_it(outcome: Any, minutes: int) -> None:
    ended = place(SessionCompleted(**common(), outcome=outcome))
    assert (ended.last.state, ended.minutes_attended) == (outcome, minutes)


def test_the_end_of_a_session_does_not_lengthen_it() -> None:
    assert place(scheduled(), attended(20), SessionCompleted(**common(), outcome="attended")).minutes_attended == 20


def test_the_first_session_is_the_first_that_was_attended() -> None:
    assert (
        first_attended_s([place(scheduled()), place(scheduled(session="s2"), attended(9, session="s2"))]) == START_S + 3_600.0
    )
    assert first_attended_s([place(scheduled(), missed())]) is None
