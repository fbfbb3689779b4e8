"""Reminders follow the plan: they come before a session, move with it, stop with it, and never come twice."""

import pytest

from services.notifications.domain.patient import Preferences
from shared.contracts.notifications import NotificationSent
from shared.contracts.sessions import (
    SessionAttended,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
    SessionRescheduled,
    SessionScheduled,
    SessionStarted,
)
from shared.time.clock import iso
from tests.unit.notifications.house import AGREED, DAY_S, HOUR_S, LINK, PATIENT, House, SlowStore, new_york

TUESDAY_15 = new_york(24, 15)


async def planned(**options: object) -> House:
    """A patient who agrees to messages, with a session on Tuesday at three."""
    house = House(**options)  # type: ignore[arg-type]
    await house.enrol(consents=AGREED)
    await house.session(SessionScheduled, TUESDAY_15)
    return house


async def test_a_reminder_comes_a_day_and_an_hour_before() -> None:
    house = await planned()
    await house.at(TUESDAY_15 - 1)
    rest = f"Join: {LINK}. Questions +15550000002. Reply STOP to opt out."
    assert house.sms.bodies == [
        f"You have an appointment tomorrow at 3:00 PM. {rest}",
        f"You have an appointment today at 3:00 PM. {rest}",
    ]
    said = house.said.of(NotificationSent)
    assert [one["at"] for one in said] == [iso(TUESDAY_15 - DAY_S), iso(TUESDAY_15 - HOUR_S)]
    assert {one["channel"] for one in said} == {"sms"}
    assert said[0]["patient_id"] == PATIENT
    assert said[0]["notification_id"] != said[1]["notification_id"]


async def test_the_provider_may_not_deliver_after_the_session_has_begun() -> None:
    house = await planned()
    await house.at(TUESDAY_15 - 1)
    assert [one.valid_s for one in house.sms.sent] == [DAY_S, HOUR_S]


async def test_a_session_soon_is_told_of_at_once_and_once() -> None:
    house = House()
    await house.enrol(consents=AGREED)
    await house.session(SessionScheduled, house.clock.now_s() + 600)
    await house.after(599)
    assert len(house.sms.sent) == 1
    assert ("expired", "superseded") in await house.states()


async def test_a_moved_session_moves_its_reminders() -> None:
    house = await planned()
    wednesday_17 = new_york(25, 17)
    await house.session(SessionRescheduled, wednesday_17)
    await house.at(TUESDAY_15)
    assert [one for one in house.sms.bodies if "3:00 PM" in one] == []
    await house.at(wednesday_17)
    assert [one.split(". ")[0] for one in house.sms.bodies] == [
        "You have an appointment tomorrow at 5:00 PM",
        "You have an appointment today at 5:00 PM",
    ]
    assert [state for state in await house.states() if state == ("cancelled", "moved")] == [("cancelled", "moved")] * 2


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (SessionCancelled, "cancelled"),
        (SessionStarted, "joined"),
        (SessionAttended, "attended"),
        (SessionCompleted, "completed"),
    ],
)
async def test_what_ends_a_session_ends_its_reminders(event: type, code: str) -> None:
    house = await planned()
    await house.session(event, TUESDAY_15)
    await house.at(TUESDAY_15 + DAY_S)
    assert house.sms.sent == []
    assert await house.states() == [("cancelled", code)] * 2


async def test_a_discharge_ends_what_is_left() -> None:
    house = await planned()
    await house.discharge()
    assert await house.states() == [("cancelled", "discharged")] * 2
    await house.session(SessionScheduled, TUESDAY_15 + DAY_S, session_id="late")
    await house.at(TUESDAY_15 + 2 * DAY_S)
    assert house.sms.sent == []


async def test_a_session_taken_up_again_is_reminded_of_again() -> None:
    house = await planned()
    await house.session(SessionCancelled, TUESDAY_15)
    await house.session(SessionRescheduled, TUESDAY_15)
    await house.at(TUESDAY_15)
    assert len(house.sms.sent) == 2


async def test_nothing_is_sent_for_a_session_that_is_over() -> None:
    house = House(TUESDAY_15 + 60)
    await house.enrol(consents=AGREED)
    await house.session(SessionScheduled, TUESDAY_15)
    await house.after(60)
    assert house.sms.sent == []
    assert {state for state, _ in await house.states()} == {"expired"}


async def test_a_missed_session_becomes_two_messages() -> None:
    house = await planned()
    await house.at(TUESDAY_15)
    before = len(house.sms.sent)
    await house.at(TUESDAY_15 + 901)
    await house.session(SessionMissed, TUESDAY_15)
    await house.after(1)
    first = house.sms.bodies[before:]
    assert [text.split(".")[0] for text in first] == ["We missed you today"]
    assert "call 911, or call or text 988" in first[0]
    await house.at(TUESDAY_15 + 1801)
    assert len(house.sms.bodies[before:]) == 2


async def test_who_comes_after_all_is_not_missed_a_second_time() -> None:
    house = await planned()
    await house.at(TUESDAY_15 + 901)
    before = len(house.sms.sent)
    await house.session(SessionMissed, TUESDAY_15)
    await house.after(1)
    await house.session(SessionStarted, TUESDAY_15)
    await house.after(DAY_S)
    assert len(house.sms.sent) == before + 1


async def test_the_end_of_a_missed_session_does_not_stop_its_messages() -> None:
    house = await planned()
    await house.at(TUESDAY_15 + 901)
    before = len(house.sms.sent)
    await house.session(SessionMissed, TUESDAY_15)
    await house.session(SessionCompleted, TUESDAY_15, outcome="missed")
    await house.at(TUESDAY_15 + 2 * HOUR_S)
    assert len(house.sms.sent) == before + 2


async def test_after_an_outage_one_message_goes_out_and_the_rest_expires() -> None:
    house = await planned()
    house.clock.advance(TUESDAY_15 - 600 - house.clock.now_s())
    await house.look()
    assert len(house.sms.sent) == 1
    assert ("expired", "superseded") in await house.states()
    await house.at(TUESDAY_15 + DAY_S)
    assert len(house.sms.sent) == 1


async def test_a_store_that_comes_back_changes_no_count() -> None:
    house = await planned(store=SlowStore())
    house.slow.away = True
    await house.at_without_store(TUESDAY_15 - DAY_S + 5)
    house.slow.away = False
    await house.at(TUESDAY_15)
    assert len(house.sms.sent) == 2


async def test_repeated_events_change_nothing() -> None:
    house = await planned()
    for _ in range(3):
        await house.session(SessionScheduled, TUESDAY_15)
    await house.at(TUESDAY_15)
    assert len(house.sms.sent) == 2


async def test_three_in_the_afternoon_stays_three_over_the_change_of_the_clocks() -> None:
    """New York puts its clocks back on Sunday, 1 November 2026, and forward on Sunday, 14 March 2027."""
    monday_15 = new_york(2, 15)
    house = House(new_york(30, 10, month=10))
    await house.enrol(consents=AGREED)
    await house.session(SessionScheduled, monday_15)
    items = await house.items()
    assert [one.due_s for one in items] == [new_york(1, 15), new_york(2, 14)]
    assert items[0].due_s == monday_15 - 24 * HOUR_S
    across = House(new_york(30, 10, month=10))
    await across.enrol(consents=AGREED)
    sunday_15 = new_york(1, 15)
    await across.session(SessionScheduled, sunday_15)
    assert (await across.items())[0].due_s == new_york(31, 15, month=10) == sunday_15 - 25 * HOUR_S


async def test_a_move_takes_the_clock_along() -> None:
    house = await planned()
    await house.move("America/Los_Angeles")
    await house.at(TUESDAY_15 - 1)
    assert house.sms.bodies[-1].startswith("You have an appointment today at 12:00 PM")


async def test_quiet_hours_move_with_the_patient() -> None:
    house = House()
    await house.enrol(consents=AGREED)
    nine = new_york(24, 9)
    await house.session(SessionScheduled, nine)
    assert (await house.items())[-1].due_s == new_york(24, 8)
    await house.move("America/Los_Angeles")
    # Six in the morning there: the evening before, the last moment that is not quiet.
    assert (await house.items())[-1].due_s < new_york(24, 0)


async def test_preferences_move_what_is_planned() -> None:
    house = await planned()
    await house.people.prefer(PATIENT, Preferences(("email",), None, (30,)), None)
    await house.at(TUESDAY_15)
    assert house.sms.sent == []
    assert [one.text.subject for one in house.mail.sent] == ["Your appointment today at 3:00 PM"]
    assert [one.valid_s for one in house.mail.sent] == [1800.0]
