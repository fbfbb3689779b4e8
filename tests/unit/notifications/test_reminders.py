"""Reminders follow the plan: they come before a session, move with it, stop with it, and never come twice."""

from shared.contracts.notifications import NotificationSent
from shared.contracts.sessions import (
    SessionScheduled,
)
from shared.time.clock import iso
from tests.unit.notifications.house import DAY_S, HOUR_S, LINK, PATIENT, House, new_york

AGREED = {"contact_sms": True, "contact_email": True}
TUESDAY_15 = new_york(24, 15)


async def test_a_reminder_comes_a_day_and_an_hour_before() -> None:
    house = House()
    await house.enrol(consents=AGREED)
    await house.session(SessionScheduled, TUESDAY_15)
    await house.at(TUESDAY_15 - 1)
    assert house.sms.bodies == [
        f"You have an appointment tomorrow at 3:00 PM. Join: {LINK}. Questions +15550000002. Reply STOP to opt out.",
        f"You have an appointment today at 3:00 PM. Join: {LINK}. Questions +15550000002. Reply STOP to opt out.",
    ]
    said = house.said.of(NotificationSent)
    assert [one["channel"] for one in said] == ["sms", "sms"]
    assert [one["at"] for one in said] == [iso(TUESDAY_15 - DAY_S), iso(TUESDAY_15 - HOUR_S)]
    assert said[0]["patient_id"] == PATIENT
    assert said[0]["notification_id"] != said[1]["notification_id"]


async def test_a_session_soon_is_told_of_at_once_and_once() -> None:
    house = House()
    await house.enrol(consents=AGREED)
    await house.session(SessionScheduled, house.clock.now_s() + 600)
    await house.after(599)
    assert len(house.sms.sent) == 1
    assert ("expired", "superseded") in await house.states()
