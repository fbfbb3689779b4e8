"""How patients are reached, wired: keys and contacts from the bus, beside the lane and never in its way."""

from dataclasses import dataclass
from typing import Any

from services.crisis.app.adapters import Adapters
from services.crisis.contacts import Contacts
from services.crisis.ports import StoreSilent
from services.crisis.settings import SharedSettings
from services.crisis.times import Times
from shared.bus.delivery import Handler, Subscription, Unavailable
from shared.bus.patient_keys import PatientKeyReader
from shared.chassis.outside import Outside
from shared.contracts.envelope import Envelope
from shared.contracts.patient import ContactChanged, PatientEnrolled
from shared.contracts.sessions import SessionStarted
from shared.contracts.topics import PATIENTS, SESSIONS
from shared.security.keks import KekFile
from shared.security.keyring import Keyring
from shared.time.clock import Clock, SystemClock

GROUP = "crisis"
# Nobody waits for keys: a slow broker is no reason to begin anew.
REQUESTS = 10


@dataclass(frozen=True, slots=True)
class PatientContacts:
    """What knows how patients are reached, and the loops that keep it so."""

    contacts: Contacts
    keyring: Keyring
    keks: KekFile
    keys: PatientKeyReader
    clock: Clock
    look_s: float

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """What it hears: enrolments, changes of contacts, sessions that patients have joined. A silent store is waited out."""
        heard, was_at = _waiting(self.contacts.heard), _waiting(self.contacts.was_at)
        return (
            Subscription(PATIENTS, GROUP, {PatientEnrolled: heard, ContactChanged: heard}),
            Subscription(SESSIONS, GROUP, {SessionStarted: was_at}),
        )

    async def keep(self) -> None:
        """Look at the file of keys, and let go of who was forgotten, for ever."""
        while True:
            await self.clock.sleep(self.look_s)
            self.keks.refresh()
            await self.contacts.forget_once()


def _waiting(handle: Handler) -> Handler:
    async def handled(event: Any, envelope: Envelope) -> None:
        try:
            await handle(event, envelope)
        except StoreSilent:
            raise Unavailable("store_silent") from None

    return handled


def build_contacts(shared: SharedSettings, times: Times, adapters: Adapters, outside: Outside) -> PatientContacts:
    """Ready before anything is connected; without a file of keys contacts cannot be shown, and that is all."""
    clock, keks = SystemClock(), KekFile(shared.kek_file)
    keks.refresh()
    keyring = Keyring()
    contacts = Contacts(adapters.contacts, keks, keyring, clock)
    keyring.on_forgotten = contacts.forgotten
    keys = PatientKeyReader(
        lambda: outside.partition_reader(fetch_wait_s=times.second_hand, request_s=REQUESTS * times.kafka_request),
        keyring,
        topic_prefix=shared.topic_prefix,
        clock=clock,
    )
    return PatientContacts(contacts, keyring, keks, keys, clock, times.kek_look)
