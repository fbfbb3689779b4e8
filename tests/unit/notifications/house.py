"""Notifications in memory: real handlers, stages and repositories; time, providers and the bus are the test's."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from services.notifications.domain.channels import Channel
from services.notifications.domain.guidance import Guidance
from services.notifications.domain.local_time import Quiet
from services.notifications.domain.obligation import Item, Obligation
from services.notifications.domain.plans import Rules
from services.notifications.gateways.contacts import SealedContacts
from services.notifications.gateways.files import load_templates
from services.notifications.gateways.memory import MemorySender
from services.notifications.gateways.numbers import StoredNumbers
from services.notifications.handlers.directory import Directory
from services.notifications.handlers.inbound import ReceiptHandler
from services.notifications.handlers.obligations import ObligationHandler
from services.notifications.handlers.patients import PatientHandler
from services.notifications.ports import NotSent, Sender
from services.notifications.queries import Queries
from services.notifications.repository.obligations import StoredObligations
from services.notifications.repository.patients import StoredPatients
from services.notifications.stages.deliver import Delivery
from services.notifications.stages.pipeline import Pipeline
from services.notifications.stages.rate import Caps
from services.notifications.stages.receipts import dead_number, receipts_of
from services.notifications.stages.record import Patience
from services.notifications.stages.render import Words
from services.notifications.timers.due import DueBounds, DueWork
from shared.chassis.guidance import load_guidance
from shared.contracts.envelope import Envelope
from shared.contracts.patient import ConsentChanged, ContactChanged, PatientDischarged, PatientEnrolled
from shared.contracts.sealed import SealedContacts as SealedFields
from shared.contracts.sessions import (
    SessionAttended,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
    SessionRescheduled,
    SessionScheduled,
    SessionStarted,
)
from shared.security.keks import Keks
from shared.security.keyring import Keyring
from shared.storage.errors import StoreUnavailable
from shared.storage.memory import MemoryStore
from shared.time.clock import ManualClock, iso
from shared.time.ids import fresh_id

PATIENT, ZONE = "patient-1", "America/New_York"
LINK = "https://app.example.org"
PHONE, MAIL = "+15550199001", "somebody@example.org"
# Monday, 10:00 in New York.
MONDAY_10 = datetime(2026, 11, 23, 10, tzinfo=ZoneInfo(ZONE)).timestamp()
HOUR_S, DAY_S = 3600.0, 86_400.0
KEKS = Keks({"k1": bytes(32)})
RULES = Rules(
    zone=ZONE,
    quiet=Quiet(21 * 60, 8 * 60),
    leads_min=(1440, 60),
    repeats=3,
    missed_second_s=900.0,
    missed_window_s=4 * HOUR_S,
    guidance_window_s=DAY_S,
)
SEALED = "s1.00000000." + "A" * 40
CAPS = Caps(exempt_per_day=1, exempt_per_week=3, consented_per_day=10)
PATIENCE = Patience(tries_max=3, retry_s=(2.0, 15.0), lease_s=30.0, receipt_s=4 * HOUR_S, unknown_s=60.0)


AGREED = {"contact_sms": True, "contact_email": True}


class SlowStore(MemoryStore):
    """A store that can be away."""

    def __init__(self) -> None:
        super().__init__(ManualClock())
        self.away = False

    def follows(self, clock: ManualClock) -> None:
        """Its clock is this one."""
        self._clock = clock

    async def now_s(self) -> float:
        if self.away:
            raise StoreUnavailable("silent")
        return await super().now_s()


class Said:
    """The relay: what was said, in order, once per event id."""

    def __init__(self) -> None:
        self.entries: dict[str, Mapping[str, Any]] = {}

    def wake(self, _document_id: str, _shard_key: str, entries: Sequence[Mapping[str, Any]]) -> None:
        for one in entries:
            self.entries.setdefault(one["id"], one)

    def of(self, event: Any) -> list[dict[str, Any]]:
        """The data of every event of this class."""
        return [dict(one["data"]) for one in self.entries.values() if one["type"] == event.TYPE]


class House:
    """One service."""

    def __init__(
        self,
        now_s: float = MONDAY_10,
        *,
        rules: Rules = RULES,
        caps: Caps = CAPS,
        channels: Sequence[Channel] = ("sms", "email"),
        store: SlowStore | None = None,
    ) -> None:
        self.clock = ManualClock(now_s)
        self.slow = store or SlowStore()
        self.slow.follows(self.clock)
        self.store: MemoryStore = self.slow
        self.said, self.keyring = Said(), Keyring()
        self.key, wrapped = KEKS.new_key(PATIENT)
        self.keyring.hear(PATIENT, wrapped)
        relay: Any = self.said
        self.obligations = StoredObligations(self.store.documents("obligations"), relay, self.clock)
        self.patients = StoredPatients(self.store.documents("patients"), relay)
        self.numbers = StoredNumbers(self.store.documents("numbers"), self)
        self.contacts = SealedContacts(self, self.keyring)
        self.senders = {channel: MemorySender(channel) for channel in channels}
        by_channel: dict[Channel, Sender] = dict(self.senders.items())
        self.words = Words(load_templates(), Guidance(load_guidance("US")), LINK, "+15550000002")
        self.delivery = Delivery(
            self.obligations, self.patients, self.numbers, by_channel, caps, PATIENCE, 1.0, lambda one, item: item.key
        )
        self.outcomes: list[tuple[str, str]] = []
        self.pipeline = Pipeline(
            self.contacts, self.delivery, rules, self.words, lambda outcome, code: self.outcomes.append((outcome, code))
        )
        bounds = DueBounds(50, 4)
        self.routine = DueWork(self.obligations, self.pipeline, self.store.now_s, bounds)
        self.urgent = DueWork(self.obligations, self.pipeline, self.store.now_s, bounds, emergency=True)
        self.events = ObligationHandler(self.obligations, self.patients, rules)
        self.directory = Directory(Guidance(load_guidance("US")), 100)
        self.people = PatientHandler(self.patients, self.events, "default", self.directory.hear)
        self.queries = Queries(self.obligations, self.patients, rules)
        self.sequence = 0

    def current(self) -> Keks:
        """The key-encryption keys."""
        return KEKS

    @property
    def sms(self) -> MemorySender:
        """Text messages."""
        return self.senders["sms"]

    @property
    def mail(self) -> MemorySender:
        """Mail."""
        return self.senders["email"]

    # What is heard

    def envelope(self, event: Any, sequence: int | None = None) -> Envelope:
        """An envelope with the next sequence, or this one."""
        self.sequence += 1
        told = self.sequence if sequence is None else sequence
        return Envelope(fresh_id(), event.TYPE, "test", iso(self.clock.now_s()), PATIENT, "default", told)

    def sealed(self, phone: str | None = PHONE, email: str | None = MAIL, country: str = "US") -> SealedFields:
        """Contacts as intake seals them."""
        return SealedFields(
            name=self.key.seal("name", "Somebody"),
            phone=None if phone is None else self.key.seal("phone", phone),
            email=None if email is None else self.key.seal("email", email),
            location=self.key.seal("location", {"country": country, "region": "NY"}),
        )

    async def enrol(self, *, consents: Mapping[str, bool] | None = None, locale: str = "en-US", **contacts: Any) -> None:
        """A patient joins, and says what they agree to."""
        event = PatientEnrolled(
            patient_id=PATIENT,
            programme_id="default",
            enrolled_at=iso(self.clock.now_s()),
            contacts=self.sealed(**contacts),
            zone=ZONE,
            locale=locale,
        )
        await self.people.contacts(event, self.envelope(event))
        if consents is not None:
            await self.consent(consents)

    async def consent(self, consents: Mapping[str, bool]) -> None:
        """Says what holds now."""
        told = {purpose: {"granted": granted, "at": iso(self.clock.now_s())} for purpose, granted in consents.items()}
        event = ConsentChanged(
            patient_id=PATIENT,
            programme_id="default",
            changed_at=iso(self.clock.now_s()),
            consents=self.key.seal("consents", told),
        )
        await self.people.consents(event, self.envelope(event))

    async def move(self, zone: str, **contacts: Any) -> None:
        """Lives elsewhere, or is reached in another way."""
        event = ContactChanged(
            patient_id=PATIENT,
            programme_id="default",
            changed_at=iso(self.clock.now_s()),
            contacts=self.sealed(**contacts),
            zone=zone,
            locale="en-US",
        )
        await self.people.contacts(event, self.envelope(event))

    async def discharge(self, reason: Any = "completed") -> None:
        """Leaves."""
        event = PatientDischarged(
            patient_id=PATIENT, programme_id="default", discharged_at=iso(self.clock.now_s()), reason=reason
        )
        await self.people.discharged(event, self.envelope(event))

    async def session(self, event: Any, starts_s: float, *, session_id: str = "session-1", **others: Any) -> None:
        """One event of a session."""
        told = event_of(event, starts_s, self.clock.now_s(), session_id=session_id, **others)
        await self.events.session(told, self.envelope(told))

    # Time

    async def at(self, at_s: float) -> None:
        """Do all that is due until then, at its time, and then be there."""
        while True:
            due = [*await self.obligations.due(at_s, 1), *await self.obligations.due(at_s, 1, emergency=True)]
            moment = min((one.next_s for one in due if one.next_s is not None), default=None)
            if moment is None:
                break
            self.clock.advance(max(0.0, moment - self.clock.now_s()))
            await self.look()
        self.clock.advance(max(0.0, at_s - self.clock.now_s()))

    async def at_without_store(self, at_s: float) -> None:
        """Time passes, and the loop finds no store."""
        self.clock.advance(max(0.0, at_s - self.clock.now_s()))
        with suppress(StoreUnavailable):
            await self.look()

    async def look(self) -> None:
        """What both loops do once."""
        await self.urgent.once()
        await self.routine.once()

    async def after(self, seconds: float) -> None:
        """As `at`, from now."""
        await self.at(self.clock.now_s() + seconds)

    # What became of it

    async def items(self, kind: str = "session") -> list[Item]:
        """All messages of this kind of obligation, by due time."""
        found: Sequence[Obligation] = await self.obligations.of(PATIENT, 100)
        return sorted((item for one in found if one.kind == kind for item in one.items), key=lambda one: one.due_s)

    async def states(self, kind: str = "session") -> list[tuple[str, str | None]]:
        """State and code of each."""
        return [(one.state, one.code) for one in await self.items(kind)]


def event_of(event: Any, starts_s: float, now_s: float, *, session_id: str = "session-1", **others: Any) -> Any:
    """An event of a session with what it needs."""
    needs: dict[Any, dict[str, Any]] = {
        SessionScheduled: {"zone": ZONE},
        SessionRescheduled: {"zone": ZONE, "from_starts_at": iso(starts_s)},
        SessionCancelled: {"reason": "cancelled"},
        SessionMissed: {"due_at": iso(starts_s + 900), "consecutive": 1},
        SessionCompleted: {"outcome": "attended"},
        SessionStarted: {"late": False, "location": SEALED},
        SessionAttended: {
            "joined_at": iso(starts_s),
            "left_at": iso(starts_s),
            "minutes_attended": 50,
            "late": False,
            "partial": False,
        },
    }
    return event(
        session_id=session_id,
        patient_id=PATIENT,
        programme_id="default",
        at=iso(now_s),
        kind="individual",
        starts_at=iso(starts_s),
        minutes=50,
        week="2026-W48",
        **{**needs.get(event, {}), **others},
    )


def new_york(day: int, hour: int, minute: int = 0, month: int = 11) -> float:
    """A moment of 2026 on New York's clocks."""
    return datetime(2026, month, day, hour, minute, tzinfo=ZoneInfo(ZONE)).timestamp()


class Receipts:
    """The provider's word about the newest message that was tried."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._handler = ReceiptHandler(house.obligations, receipts_of(house.delivery, house.clock.now_s), self._dead)

    async def delivered(self, provider_id: str) -> None:
        """It is there."""
        await self._heard(provider_id, None)

    async def undelivered(self, provider_id: str, error: NotSent) -> None:
        """It will not be."""
        await self._heard(provider_id, error)

    async def _heard(self, provider_id: str, error: NotSent | None) -> None:
        obligation = (await self._house.obligations.of(PATIENT, 1))[0]
        tried = next(one for one in obligation.items if one.tries)
        await self._handler.heard(obligation.obligation_id, tried.key, provider_id, error)

    async def _dead(self, obligation: Obligation, error: NotSent, provider_id: str) -> None:
        await dead_number(self._house.delivery, self._house.contacts, obligation, error, self._house.clock.now_s())
