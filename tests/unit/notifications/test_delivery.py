"""Every try ends in sent, in a retry, in the next channel, or in failed; a dead address is marked, and nobody is lost in silence."""

from dataclasses import replace

import pytest

from services.notifications.domain.obligation import Item, Obligation
from services.notifications.domain.patient import Patient
from services.notifications.ports import NotSent
from services.notifications.stages import record
from shared.contracts.notifications import NotificationDelivered, NotificationFailed, NotificationSent, PatientUnreachable
from shared.contracts.sessions import SessionScheduled
from shared.storage.errors import StoreUnavailable
from tests.unit.notifications.house import AGREED, PATIENCE, PATIENT, House, Receipts, new_york

SOON_S = 1200.0
TEMPORARY = NotSent("status_500", "retry")
TIMEOUT = NotSent("timeout", "retry", maybe=True)
DEAD = NotSent("30005", "dead")
REST = NotSent("30003", "dead", rest_s=86_400.0)


async def soon(*refusals: NotSent, mail: str | None = "somebody@example.org", **consents: bool) -> House:
    """A session in twenty minutes; these are the provider's first answers."""
    house = House()
    await house.enrol(consents={**AGREED, **consents}, email=mail)
    house.sms.refusals.extend(refusals)
    await house.session(SessionScheduled, house.clock.now_s() + SOON_S)
    return house


async def the_message(house: House) -> tuple[str, str | None]:
    return next(one for one in await house.states() if one != ("expired", "superseded"))


async def test_a_temporary_refusal_is_tried_again() -> None:
    house = await soon(TEMPORARY)
    await house.after(1)
    assert house.sms.sent == []
    await house.after(5)
    assert len(house.sms.sent) == 1
    assert await the_message(house) == ("sent", None)
    assert house.said.of(NotificationFailed) == []


async def test_after_so_many_tries_the_next_channel_has_it() -> None:
    house = await soon(*[TEMPORARY] * 9)
    await house.after(60)
    assert len(house.sms.refusals) == 9 - PATIENCE.tries_max
    assert len(house.mail.sent) == 1
    failed = house.said.of(NotificationFailed)
    assert [(one["channel"], one["reason"]) for one in failed] == [("sms", "status_500")]


async def test_without_another_channel_it_fails_with_the_reason() -> None:
    house = await soon(*[TEMPORARY] * 9, mail=None)
    await house.after(60)
    assert await the_message(house) == ("failed", "status_500")
    assert house.said.of(NotificationSent) == []


async def test_a_try_of_unknown_end_is_not_made_twice_on_the_same_channel() -> None:
    house = await soon(TIMEOUT)
    await house.after(30)
    assert await the_message(house) == ("sending", "timeout")
    await house.after(120)
    assert house.sms.sent == []
    assert len(house.mail.sent) == 1
    assert [one["reason"] for one in house.said.of(NotificationFailed)] == ["unknown_outcome"]


async def test_a_receipt_tells_the_end_of_such_a_try() -> None:
    house = await soon(TIMEOUT)
    await house.after(5)
    await Receipts(house).delivered("SM77")
    assert await the_message(house) == ("delivered", None)
    assert len(house.said.of(NotificationSent)) == len(house.said.of(NotificationDelivered)) == 1
    await house.after(300)
    assert house.mail.sent == []


async def test_an_acceptance_without_an_id_is_not_called_sent() -> None:
    house = await soon()
    house.sms.nameless = True
    await house.after(5)
    assert house.said.of(NotificationSent) == []
    assert await the_message(house) == ("sending", "no_provider_id")


async def test_a_dead_number_is_marked_and_the_mail_goes_out() -> None:
    house = await soon(DEAD)
    await house.after(5)
    assert len(house.mail.sent) == 1
    patient = await house.patients.load(PATIENT)
    assert patient is not None
    assert patient.dead["sms"].code == "30005"
    assert house.said.of(PatientUnreachable) == []
    await house.session(SessionScheduled, house.clock.now_s() + SOON_S, session_id="next")
    await house.after(5)
    assert len(house.mail.sent) == 2
    assert house.sms.sent == []


async def test_no_live_channel_is_told_once() -> None:
    house = await soon(DEAD, mail=None)
    await house.after(5)
    assert await the_message(house) == ("failed", "dead_30005")
    await house.session(SessionScheduled, house.clock.now_s() + SOON_S, session_id="next")
    await house.after(5)
    assert ("failed", "no_live_channel") in await house.states()
    assert [one["channels"] for one in house.said.of(PatientUnreachable)] == [["sms"]]


async def test_a_handset_that_was_off_is_tried_again_another_day() -> None:
    house = await soon(REST)
    await house.after(5)
    await house.session(SessionScheduled, house.clock.now_s() + 2 * 86_400.0, session_id="in two days")
    await house.after(2 * 86_400.0)
    assert len(house.sms.sent) == 2


async def test_another_number_lives() -> None:
    house = await soon(DEAD)
    await house.after(5)
    await house.move("America/New_York", phone="+15550199002")
    await house.session(SessionScheduled, house.clock.now_s() + SOON_S, session_id="next")
    await house.after(5)
    assert [one.to.open() for one in house.sms.sent] == ["+15550199002"]


async def test_an_undelivered_message_goes_by_the_next_channel() -> None:
    house = await soon()
    await house.after(1)
    await Receipts(house).undelivered("sms-1", DEAD)
    await house.after(1)
    assert len(house.mail.sent) == 1
    assert [one["reason"] for one in house.said.of(NotificationFailed)] == ["30005"]
    assert (await house.patients.load(PATIENT)).dead["sms"].code == "30005"  # type: ignore[union-attr]


async def test_receipts_come_twice_late_and_for_others() -> None:
    house = await soon()
    await house.after(1)
    receipts = Receipts(house)
    await receipts.delivered("somebody else's")
    assert await the_message(house) == ("sent", None)
    for _ in range(2):
        await receipts.delivered("sms-1")
    await receipts.undelivered("sms-1", DEAD)
    assert await the_message(house) == ("delivered", None)
    assert len(house.said.of(NotificationDelivered)) == 1


async def test_a_message_without_a_receipt_ends_unconfirmed() -> None:
    house = await soon()
    await house.after(PATIENCE.receipt_s + 10)
    assert await the_message(house) == ("unconfirmed", "no_receipt")


async def test_a_sender_that_died_between_intent_and_word_sends_nothing_twice() -> None:
    house = await soon()
    (obligation,) = await house.obligations.due(house.clock.now_s(), 1)
    item = obligation.due(house.clock.now_s())
    assert item is not None
    last = max((one for one in obligation.items), key=lambda one: one.due_s)
    intended = record.intended(obligation, last, "sms", "twilio", house.clock.now_s(), PATIENCE)
    assert await house.obligations.save(intended)
    await house.after(PATIENCE.lease_s + 5)
    assert house.sms.sent == []
    assert len(house.mail.sent) == 1


async def test_two_replicas_send_once() -> None:
    house = await soon()
    (obligation,) = await house.obligations.due(house.clock.now_s(), 1)
    for _ in range(3):
        await house.pipeline.step(obligation, house.clock.now_s())
    await house.after(5)
    assert len(house.sms.sent) == 1


@pytest.mark.parametrize("code", ["21610"])
async def test_a_number_that_opted_out_at_the_provider_counts_as_stopped(code: str) -> None:
    house = await soon(NotSent(code, "stopped"))
    await house.after(5)
    assert len(house.mail.sent) == 1
    await house.session(SessionScheduled, house.clock.now_s() + SOON_S, session_id="next")
    await house.after(5)
    assert house.sms.sent == []


async def test_whose_key_is_not_there_yet_waits() -> None:
    house = House(new_york(24, 10))
    other = House(new_york(24, 10))
    await house.enrol(consents=AGREED)
    house.keyring._wrapped.clear()
    await house.session(SessionScheduled, house.clock.now_s() + SOON_S)
    await house.after(3)
    assert ("planned", "key_not_heard_of") in await house.states()
    _, wrapped = other.key, house.current().wrap(house.key)
    house.keyring.hear(PATIENT, wrapped)
    await house.after(10)
    assert len(house.sms.sent) == 1


async def test_who_was_forgotten_hears_nothing() -> None:
    house = await soon()
    house.keyring.hear(PATIENT, None)
    await house.after(5)
    assert await the_message(house) == ("dropped", "key_forgotten")


async def test_one_messages_trouble_cancels_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is silent about one patient: what is under way for another one is sent and recorded all the same."""
    house = await soon()
    stranger = Obligation("stranger", "session", "s", "stranger", "default")
    now_s = house.clock.now_s()
    item = Item("reminder:60:1", "session_reminder", now_s - 1, now_s + 600, now_s + 600, next_s=now_s - 1)
    assert await house.obligations.save(replace(stranger, items=(item,)))
    loaded = house.patients.load

    async def load(patient_id: str) -> Patient | None:
        if patient_id == "stranger":
            raise StoreUnavailable("silent")
        return await loaded(patient_id)

    monkeypatch.setattr(house.patients, "load", load)
    with pytest.raises(StoreUnavailable):
        await house.routine.once()
    assert await the_message(house) == ("sent", None)


async def test_a_message_with_a_defect_stands_before_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    house = await soon()
    monkeypatch.setattr(house.contacts, "open", lambda _patient: 1 / 0)
    await house.after(5)
    assert ("planned", "defect") in await house.states()
    monkeypatch.undo()
    await house.after(70)
    assert await the_message(house) == ("sent", None)


async def test_a_timer_without_its_row_ends_quietly_and_is_counted() -> None:
    house = await soon()
    (obligation,) = await house.obligations.due(house.clock.now_s(), 1)
    await house.after(1)
    done = await house.obligations.load(obligation.obligation_id)
    assert done is not None
    house.outcomes.clear()
    await house.pipeline.step(replace(done, items=()), house.clock.now_s())
    assert house.outcomes == [("none", "nothing_due")]
    assert len(house.sms.sent) == 1
