"""Messages that nobody read in time: the covering clinician is told once; where that fails the patient is, with guidance."""

from collections.abc import Sequence
from dataclasses import replace

from services.notifications.domain.channels import Channel
from services.notifications.domain.local_time import zone_of
from services.notifications.domain.message import By, Message
from services.notifications.domain.staffed import Staffed
from services.notifications.domain.verdict import Text
from services.notifications.gateways.memory import MemorySender
from services.notifications.handlers.forgetting import Forgetting
from services.notifications.ports import NotSent
from services.notifications.repository.threads import StoredThreads
from services.notifications.timers.unread import Covering, UnreadWork
from shared.security.phi import PatientEmail, PatientPhone, Phi
from shared.storage.memory import MemoryStore
from shared.time.clock import ManualClock
from tests.unit.notifications.house import HOUR_S, MONDAY_10, PATIENT, House, Said, new_york

WEEKDAYS = Staffed(zone_of("America/New_York"), frozenset(range(5)), 8 * 60, 18 * 60, 4 * HOUR_S)


class Desk:
    """The loop, and whom it tells."""

    def __init__(self, *channels: Channel) -> None:
        self.clock = ManualClock(MONDAY_10)
        store, relay = MemoryStore(self.clock), Said()
        self.threads = StoredThreads(store.documents("threads"), relay)  # type: ignore[arg-type]
        self.senders = {channel: MemorySender(channel) for channel in channels}
        addresses: dict[Channel, Phi[str]] = {"sms": PatientPhone("+15550100009"), "email": PatientEmail("c@example.org")}
        texts = {channel: Text("Please look") for channel in addresses}
        self.said: list[str] = []
        self.outcomes: list[str] = []
        covering = Covering({one: addresses[one] for one in channels}, texts, dict(self.senders), 60.0, HOUR_S)
        self.work = UnreadWork(self.threads, covering, self._say, store.now_s, self.outcomes.append)

    async def _say(self, message: Message) -> None:
        self.said.append(message.message_id)

    async def waits(self, message_id: str, by: By = "patient") -> None:
        """A message that is to be read within a minute."""
        message = Message(message_id, PATIENT, "default", by, "a", MONDAY_10, "d", {"text": "s"}, due_s=MONDAY_10 + 60)
        await self.threads.post(message)

    async def after(self, seconds: float, times: int = 3) -> None:
        """The loop, some times."""
        self.clock.advance(seconds)
        for _ in range(times):
            await self.work.once()


async def test_the_covering_clinician_is_told_once_in_either_direction() -> None:
    desk = Desk("sms")
    await desk.waits("from the patient")
    await desk.waits("from staff", "staff")
    await desk.after(59)
    assert desk.senders["sms"].sent == []
    await desk.after(2)
    await desk.after(HOUR_S)
    assert desk.senders["sms"].bodies == ["Please look"] * 2
    assert (desk.outcomes, desk.said) == (["told", "told"], [])


async def test_the_next_way_is_tried() -> None:
    desk = Desk("sms", "email")
    desk.senders["sms"].refusals.append(NotSent("status_500", "retry"))
    await desk.waits("m")
    await desk.after(61)
    assert len(desk.senders["email"].sent) == 1
    assert desk.outcomes == ["told"]


async def test_a_patient_is_answered_where_nobody_can_be_told_and_it_is_tried_again() -> None:
    desk = Desk("sms")
    desk.senders["sms"].refusals.append(NotSent("status_500", "retry"))
    await desk.waits("m")
    await desk.after(61)
    assert (desk.outcomes, desk.said) == (["failed"], ["m"])
    await desk.after(61)
    assert desk.outcomes == ["failed", "told"]


async def test_where_nobody_covers_only_patients_are_answered() -> None:
    desk = Desk()
    await desk.waits("from the patient")
    await desk.waits("from staff", "staff")
    await desk.after(61)
    assert (desk.outcomes, desk.said) == (["nobody_covers"] * 2, ["from the patient"])


def test_replies_are_promised_in_staffed_time() -> None:
    assert WEEKDAYS.reply_by_s(new_york(23, 10)) == new_york(23, 14)
    assert WEEKDAYS.reply_by_s(new_york(23, 16)) == new_york(24, 10)
    assert WEEKDAYS.reply_by_s(new_york(27, 17)) == new_york(30, 11)
    assert WEEKDAYS.reply_by_s(new_york(28, 12)) == new_york(30, 12)
    assert [WEEKDAYS.open_at(new_york(*moment)) for moment in ((23, 8), (23, 18), (28, 12))] == [True, False, False]
    never = replace(WEEKDAYS, days=frozenset())
    assert never.reply_by_s(new_york(23, 10)) == new_york(23, 14)


async def test_who_is_forgotten_leaves_nothing() -> None:
    house, forgetting = House(), Forgetting()
    await house.enrol(consents={"contact_sms": True})
    house.keyring.on_forgotten = forgetting.told
    house.keyring.hear(PATIENT, None)
    await forgetting.once(house.patients)
    left = await house.patients.load(PATIENT)
    assert left is not None
    seen: Sequence[object] = (dict(left.contacts), left.consents)
    assert seen == ({}, None)
