"""What other services say leaves work for staff: which work, once, whatever the order and however often it is heard."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.intake.domain import work
from services.intake.handlers.cases import CaseHandler
from services.intake.subscribers import subscriptions
from shared.bus.delivery import Unavailable
from shared.contracts.envelope import Envelope
from shared.contracts.levels import LEVELS, Level
from shared.contracts.notifications import PatientUnreachable
from shared.contracts.outcomes import FollowUpDue
from shared.contracts.sessions import SessionMissed
from shared.time.clock import ManualClock, iso
from tests.unit.intake.programme import Programme

ENROLLED_S = 1_700_000_000.0
DAY_S = 86_400.0
ENVELOPE = Envelope("e", SessionMissed.TYPE, "vigil/sessions", "", "p1", "default")


def missed(
    session: str = "s1", consecutive: int = 1, level: Level | None = None, day: float = 20.0, patient: str = "p1"
) -> SessionMissed:
    due_at = iso(ENROLLED_S + day * DAY_S)
    return SessionMissed(
        session_id=session,
        patient_id=patient,
        programme_id="default",
        at=due_at,
        kind="group",
        starts_at=iso(ENROLLED_S + day * DAY_S - 900.0),
        minutes=180,
        week="2023-W48",
        due_at=due_at,
        consecutive=consecutive,
        level=level,
    )


def kinds(event: SessionMissed, enrolled_at: str | None = iso(ENROLLED_S)) -> list[str]:
    return [task["kind"] for task in work.of_missed(event, enrolled_at, ENROLLED_S)]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (missed(), ["call_today"]),
        (missed(level="low"), ["call_today"]),
        (missed(level="moderate"), ["call_now"]),
        (missed(level="imminent"), ["call_now"]),
        (missed(day=13.99), ["call_now"]),
        (missed(day=14.0), ["call_today"]),
        (missed(consecutive=2), ["call_today", "missed_in_a_row"]),
        (missed(consecutive=3), ["call_today", "missed_in_a_row", "re_engagement"]),
        (missed(consecutive=9, level="high"), ["call_now", "missed_in_a_row", "re_engagement"]),
    ],
)
def test_the_more_are_missed_in_a_row_the_more_people_look(event: SessionMissed, expected: list[str]) -> None:
    assert kinds(event) == expected


def test_a_patient_nobody_knows_the_enrolment_of_is_called_now() -> None:
    assert kinds(missed(), None) == ["call_now"]


def test_tasks_hold_codes_and_never_an_answer() -> None:
    supervisor = work.of_missed(missed(consecutive=2, level="high"), iso(ENROLLED_S), ENROLLED_S)[1]
    assert supervisor["codes"] == {
        "session_kind": "group",
        "starts_at": iso(ENROLLED_S + 20 * DAY_S - 900.0),
        "consecutive": 2,
        "at_next_contact": "cssrs_since_last_contact",
        "role": "supervisor",
    }
    assert (supervisor["source_id"], supervisor["state"], supervisor["instrument"]) == ("s1", "open", None)


def follow_up(number: int = 1, patient: str = "p1") -> FollowUpDue:
    return FollowUpDue(
        follow_up_id=f"f{number}",
        patient_id=patient,
        programme_id="default",
        at=iso(ENROLLED_S),
        contact="7d",
        discharged_at=iso(ENROLLED_S),
        due_from=iso(ENROLLED_S + 6 * DAY_S),
        due_by=iso(ENROLLED_S + 8 * DAY_S),
    )


def unreachable(patient: str = "p1") -> PatientUnreachable:
    return PatientUnreachable(patient_id=patient, programme_id="default", at=iso(ENROLLED_S), channels=("sms", "email"))


async def test_follow_ups_and_patients_out_of_reach_become_tasks_that_staff_closes() -> None:
    programme = Programme()
    patient = await programme.house.enrol()
    for _ in range(2):
        await programme.work.follow_up_due(follow_up(patient=patient), ENVELOPE)
        await programme.work.unreachable(unreachable(patient), ENVELOPE)
    tasks = await programme.house.open_tasks(patient)
    assert sorted((one["kind"], one["state"]) for one in tasks) == [
        ("follow_up_contact", "open"),
        ("patient_unreachable", "open"),
    ]
    for task in tasks:
        await programme.house.tasks.close(task["task_id"], "ana")
    await programme.work.follow_up_due(follow_up(patient=patient), ENVELOPE)
    assert {one["state"] for one in await programme.house.open_tasks(patient)} == {"closed"}, "what is done stays done"


EVENTS = st.lists(
    st.one_of(
        st.builds(
            missed,
            session=st.sampled_from(["s1", "s2", "s3"]),
            level=st.sampled_from([None, *LEVELS]),
            day=st.sampled_from([1.0, 20.0]),
            consecutive=st.integers(1, 4),
            patient=st.just("p1"),
        ),
        st.builds(follow_up, st.integers(1, 2)),
        st.just(unreachable()),
    ),
    max_size=6,
    unique_by=lambda event: (type(event).__name__, getattr(event, "session_id", getattr(event, "follow_up_id", ""))),
)


async def _opened(events: Sequence[Any]) -> list[tuple[str, str, str, str]]:
    """The tasks after these events, as they are told but for when they were opened."""
    programme = Programme(ManualClock(ENROLLED_S))
    enrolled = {"_id": "p1", "version": 1, "patient_id": "p1", "enrolled_at": iso(ENROLLED_S), "outbox": []}
    await programme.house.people.insert(enrolled)
    by_class = {
        event_class: handler
        for one in subscriptions(CaseHandler(programme.house.cases), programme.work)
        for event_class, handler in one.handlers.items()
    }
    for event in events:
        programme.clock.advance(1.0)
        await by_class[type(event)](event, ENVELOPE)
    tasks = await programme.house.open_tasks("p1")
    return sorted((one["task_id"], one["kind"], one["source_id"], str(one["codes"])) for one in tasks)


@settings(max_examples=50)
@given(EVENTS, st.data())
async def test_the_same_events_in_any_order_and_again_leave_the_same_work(events: list[Any], data: st.DataObject) -> None:
    again = data.draw(
        st.permutations([*events, *data.draw(st.lists(st.sampled_from(events), max_size=4) if events else st.just([]))])
    )
    assert await _opened(again) == await _opened(events)


async def test_while_the_store_is_silent_events_wait() -> None:
    programme = Programme()
    heard = subscriptions(CaseHandler(programme.house.cases), programme.work)
    assert [one.topic.name for one in heard] == ["cases.v1", "sessions.v1", "outcomes.v1", "notifications.v1"]
    programme.house.people.silent = programme.house.work.silent = True
    for subscription, event in zip(heard[1:], (missed(), follow_up(), unreachable()), strict=True):
        with pytest.raises(Unavailable):
            await subscription.handlers[type(event)](event, ENVELOPE)
