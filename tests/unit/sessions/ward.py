"""Sessions without a bus and without a process: real handlers and repositories over the store in memory, a clock that tests move."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from services.sessions.domain.place import Place, place_id_of
from services.sessions.domain.times import Times
from services.sessions.gateways.rooms.memory import MemoryRooms
from services.sessions.gateways.store_time import OffsetTime
from services.sessions.handlers.calendar import Calendar
from services.sessions.handlers.due import DueHandler, DueSettings
from services.sessions.handlers.patients import PatientHandler
from services.sessions.handlers.rooms import RoomHandler
from services.sessions.handlers.schedule import ScheduleHandler, Wanted
from services.sessions.repository import StoredGroups, StoredPatients, StoredPlaces
from shared.contracts.catalogue import EVENTS, type_of
from shared.contracts.crisis import CaseOpened, CaseResolved
from shared.contracts.envelope import Envelope
from shared.contracts.flag import UNKNOWN_ROUTING, Flag
from shared.contracts.flagging import Delivery
from shared.contracts.levels import Level
from shared.contracts.patient import CarePlanChanged, ContactChanged, PatientDischarged, PatientEnrolled
from shared.contracts.risk import Routing
from shared.contracts.sealed import SealedContacts
from shared.contracts.sessions import Kind
from shared.storage.memory import MemoryDocuments, MemoryStore
from shared.time.clock import ManualClock, epoch_s, iso
from shared.time.ids import derived_id

NOW = "2026-03-02T14:00:00Z"
NOW_S = epoch_s(NOW)
PROGRAMME = "default"
LOCATION = {"country": "US", "region": "US-NY"}
SEALED = "s1.9819a8c7.OvX1wr92I89-EZLZ2c09ZrgkI0wLNDfCPF2dedQ1eGGZ5r_VD7U5bYaLm5t2SNdUeF3X06nax5Tlsw"
WEBHOOK_KEY = b"a key of rooms that nobody guesses"
_TYPES = {type_of(event): event for event in EVENTS}


class Published:
    """Takes what a relay would publish: every event once by its id, whatever is woken how often."""

    def __init__(self) -> None:
        self.entries: dict[str, Mapping[str, Any]] = {}
        self.wakes = 0

    def wake(self, document_id: str, shard_key: str, entries: Sequence[Mapping[str, Any]]) -> None:
        self.wakes += len(entries)
        for entry in entries:
            known = self.entries.setdefault(entry["id"], entry)
            assert known["type"] == entry["type"], "one id, two events"

    def events(self, *kinds: type[BaseModel]) -> list[Any]:
        told = [_TYPES[entry["type"]].model_validate(entry["data"]) for entry in self.entries.values()]
        return [event for event in told if not kinds or isinstance(event, kinds)]


class Struck:
    """The port Flags: remembers what was handed to the lanes."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.flags: list[Flag] = []
        self.documents: list[str] = []

    def flag(
        self,
        patient_id: str,
        level: Level,
        rule: str,
        source_id: str,
        *cause: str,
        routing: Mapping[str, Any] = UNKNOWN_ROUTING,
        reporter: str | None = None,
        accepted_s: float | None = None,
    ) -> Flag:
        flag_id = derived_id("flag", "sessions", patient_id, rule, level, *(cause or (source_id,)))
        now_s = self._clock.now_s()
        return Flag(flag_id, PROGRAMME, patient_id, level, rule, source_id, now_s, now_s, routing, reporter)

    def strike(self, flag: Flag) -> Delivery:
        self.flags.append(flag)
        return Delivery(flag)

    def stored(self, delivery: Delivery, document_id: str, shard: str | None = None) -> None:
        self.documents.append(document_id)

    async def copied(self, delivery: Delivery, within_s: float) -> bool:
        return True


class Seals:
    """The port Locations; `keyless` has no key."""

    def __init__(self) -> None:
        self.keyless = False

    async def sealed(self, patient_id: str, location: Mapping[str, Any]) -> str | None:
        return None if self.keyless else SEALED


@dataclass
class Ward:
    """One service's rooms, wired by hand."""

    times: Times = field(default_factory=Times)
    page_max: int = 200
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW_S))
    published: Published = field(default_factory=Published)
    seals: Seals = field(default_factory=Seals)
    documents: MemoryDocuments | None = None

    def __post_init__(self) -> None:
        store = MemoryStore(self.clock)
        self.documents = self.documents or store.documents("places")
        self.time = OffsetTime(store, self.clock)
        # Only its `wake` is asked for.
        self.places = StoredPlaces(self.documents, self.published, self.times)  # type: ignore[arg-type]
        self.patients = StoredPatients(store.documents("patients"))
        self.groups = StoredGroups(store.documents("groups"))
        self.struck = Struck(self.clock)
        self.calendar = Calendar(
            places=self.places,
            groups=self.groups,
            time=self.time,
            times=self.times,
            home_zone="America/New_York",
            weeks_default=12,
        )
        self.hearing = PatientHandler(self.patients, self.calendar)
        self.rooms = RoomHandler(
            places=self.places,
            patients=self.patients,
            locations=self.seals,
            rooms=MemoryRooms(WEBHOOK_KEY, self.time),
            time=self.time,
            times=self.times,
        )
        self.schedule = ScheduleHandler(
            programme_id=PROGRAMME,
            places=self.places,
            patients=self.patients,
            groups=self.groups,
            time=self.time,
            times=self.times,
            home_zone="America/New_York",
            capacity_default=12,
        )
        self.due = self.looker()

    def looker(self) -> DueHandler:
        """One process that looks for due places; several may."""
        return DueHandler(
            places=self.places,
            patients=self.patients,
            flags=self.struck,
            time=self.time,
            times=self.times,
            settings=DueSettings(self.page_max),
        )

    async def session(
        self, *patients: str, kind: Kind = "individual", in_s: float = 3600.0, minutes: int = 60, key: str = "k"
    ) -> str:
        """A session that begins in so many seconds."""
        session_id = derived_id(key, *patients)
        wanted = Wanted(patients or ("p1",), kind, self.clock.now_s() + in_s, minutes, "ben")
        await self.schedule.schedule(session_id, wanted, (session_id, "digest"))
        return session_id

    async def place(self, session_id: str, patient: str = "p1") -> Place:
        found = await self.places.load(place_id_of(session_id, patient))
        assert found is not None
        return found

    async def join(self, session_id: str, patient: str = "p1", *, key: str = "join") -> Place:
        return (await self.rooms.join(session_id, patient, LOCATION, False, (derived_id(key, session_id, patient), ""))).place

    async def passes(self, seconds: float) -> int:
        """Time passes, and what is due then is done; how many places changed."""
        self.clock.advance(seconds)
        return await self.due.look_once()

    async def hear(self, event: Any, sequence: int | None = 1) -> None:
        """An event from the bus."""
        subject = event.patient_id
        envelope = Envelope(derived_id(event.model_dump_json()), event.TYPE, "test", iso(NOW_S), subject, PROGRAMME, sequence)
        await self.hearing.heard(event, envelope)

    async def all_places(self) -> list[Place]:
        """Every place of anybody."""
        assert self.documents is not None
        ids = [one["_id"] for one in await self.documents.find({}, limit=10_000, fields={"state": 1})]
        found = await asyncio.gather(*map(self.places.load, ids))
        return sorted((place for place in found if place is not None), key=lambda place: (place.starts_s, place.place_id))


def enrolled(patient: str = "p1", zone: str | None = "America/New_York", at: str = NOW, **routing: Any) -> PatientEnrolled:
    return PatientEnrolled(
        patient_id=patient,
        programme_id=PROGRAMME,
        enrolled_at=at,
        zone=zone,
        routing=Routing(**routing),
        contacts=SealedContacts(location=SEALED),
    )


def moved_to(zone: str, patient: str = "p1", at: str = NOW) -> ContactChanged:
    return ContactChanged(patient_id=patient, programme_id=PROGRAMME, changed_at=at, zone=zone, contacts=SealedContacts())


def plan(
    template: str | None = "three_by_three", patient: str = "p1", starts_on: str = "2026-03-09", weeks: int = 2, at: str = NOW,
    groups: tuple[str, ...] = (),
) -> CarePlanChanged:  # fmt: skip
    return CarePlanChanged(
        patient_id=patient,
        programme_id=PROGRAMME,
        changed_at=at,
        template=template,
        starts_on=starts_on if template is not None else None,
        weeks=weeks if template is not None else None,
        group_ids=groups,
    )


def discharged(patient: str = "p1", at: str = NOW) -> PatientDischarged:
    return PatientDischarged(patient_id=patient, programme_id=PROGRAMME, discharged_at=at, reason="completed")


def opened(flag: str = "f1", level: Level = "high", patient: str = "p1") -> CaseOpened:
    return CaseOpened(case_id="c", patient_id=patient, programme_id=PROGRAMME, at=NOW, flag_id=flag, level=level)


def resolved(*flags: str, level: Level = "low", patient: str = "p1", at: str = NOW) -> CaseResolved:
    return CaseResolved(
        case_id="c", patient_id=patient, programme_id=PROGRAMME, at=at, flag_ids=flags, person_id="ana", level=level
    )
