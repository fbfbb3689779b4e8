"""The patient of a new case is told at once whom to reach: whatever the hour, the count, the consent or a STOP."""

from services.notifications.domain.patient import Preferences
from services.notifications.ports import NotSent
from shared.contracts.crisis import CaseOpened
from shared.contracts.notifications import NotificationSent
from shared.contracts.sessions import SessionScheduled
from shared.security.phi import PatientPhone
from shared.time.clock import iso
from tests.unit.notifications.house import DAY_S, PATIENT, PHONE, House, new_york

NIGHT = new_york(24, 3)


async def opened(house: House, case_id: str = "case-1") -> None:
    event = CaseOpened(
        case_id=case_id, patient_id=PATIENT, programme_id="default", at=iso(house.clock.now_s()), flag_id="f", level="high"
    )
    await house.events.case(event, house.envelope(event))


async def test_guidance_goes_at_night_after_a_stop_without_consent_and_over_the_count() -> None:
    house = House(NIGHT)
    await house.enrol(consents={"contact_sms": False, "contact_email": False})
    await house.numbers.say(PatientPhone(PHONE), stopped=True, at_s=NIGHT, text_id="t1")
    await house.people.prefer(PATIENT, Preferences(channels=()), None)
    for number in range(5):
        await opened(house, f"case-{number}")
        await house.after(1)
    assert len(house.sms.sent) == 5
    assert "call 911, or call or text 988" in house.sms.bodies[0]
    (told, *_) = (await house.queries.notifications(PATIENT))["items"]
    assert (told["emergency"], told["template"], told["state"]) == (True, "guidance", "sent")
    assert {one["template"] for one in house.said.of(NotificationSent)} == {"guidance"}


async def test_stop_holds_reminders_and_not_guidance() -> None:
    house = House()
    await house.enrol(consents={"contact_sms": True}, email=None)
    await house.numbers.say(PatientPhone(PHONE), stopped=True, at_s=house.clock.now_s(), text_id="t1")
    await house.session(SessionScheduled, house.clock.now_s() + 600)
    await opened(house)
    await house.after(600)
    assert [body.split(".")[0] for body in house.sms.bodies] == ["Somebody from our team will be in touch soon"]
    assert ("dropped", "stopped") in await house.states()


async def test_guidance_does_not_use_up_the_count() -> None:
    house = House()
    await house.enrol(email=None)
    await opened(house)
    await house.after(1)
    await house.session(SessionScheduled, house.clock.now_s() + 600)
    await house.after(1)
    assert len(house.sms.sent) == 2


async def test_guidance_is_in_the_patients_language_and_country() -> None:
    house = House()
    await house.enrol(locale="es-ES", country="ES")
    await opened(house)
    await house.after(1)
    assert house.sms.bodies[0].endswith("Puede encontrar ayuda ahora mismo: llame al 112.")


async def test_an_emergency_is_said_again_when_nobody_knows_whether_it_was() -> None:
    house = House()
    await house.enrol(email=None)
    house.sms.refusals.append(NotSent("timeout", "retry", maybe=True))
    await opened(house)
    await house.after(5)
    assert len(house.sms.sent) == 1


async def test_guidance_for_somebody_not_heard_of_waits_for_them() -> None:
    house = House()
    await opened(house)
    await house.after(3)
    assert await house.states("case") == [("planned", "patient_not_heard_of")]
    await house.enrol()
    await house.after(10)
    assert len(house.sms.sent) == 1
    late = House()
    await opened(late)
    await late.after(2 * DAY_S)
    assert await late.states("case") == [("expired", "window_over")]
