"""Composition root of sessions."""

from pathlib import Path

from services.sessions.api.callbacks import WEBHOOKS, callbacks_router
from services.sessions.api.groups import groups_router
from services.sessions.api.sessions import SessionRoutes
from services.sessions.gateways.locations import SealedLocations
from services.sessions.gateways.rooms.jitsi import JitsiRooms
from services.sessions.gateways.rooms.memory import MemoryRooms
from services.sessions.gateways.store_time import OffsetTime
from services.sessions.handlers.calendar import Calendar
from services.sessions.handlers.due import DueHandler, DueSettings
from services.sessions.handlers.groups import GroupHandler
from services.sessions.handlers.patients import PatientHandler
from services.sessions.handlers.rooms import RoomHandler
from services.sessions.handlers.schedule import ScheduleHandler
from services.sessions.ports import Rooms, StoreTime
from services.sessions.queries import Queries
from services.sessions.repository import StoredGroups, StoredPatients, StoredPlaces
from services.sessions.settings import SessionsSettings
from services.sessions.subscribers import subscriptions
from services.sessions.timers import timers
from shared.bus.patient_keys import PatientKeyReader
from shared.chassis.application import Parts, Service, Timer, run_service
from shared.contracts.sessions import (
    ParticipantDropped,
    SessionAttended,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
    SessionRescheduled,
    SessionScheduled,
    SessionStarted,
)
from shared.contracts.topics import SESSIONS
from shared.providers.webhook import webhook_key
from shared.security.keks import KekFile
from shared.security.keyring import Keyring

# What each route answers, for its description.
EXAMPLES = Path(__file__).parent / "api" / "examples.yaml"
PLACES = "places"
SAID = (
    SessionScheduled,
    SessionRescheduled,
    SessionCancelled,
    SessionStarted,
    SessionAttended,
    SessionMissed,
    SessionCompleted,
    ParticipantDropped,
)
# Nobody waits for keys: a slow broker is no reason to begin anew.
KEYS_FETCH_WAIT_S = 0.5
KEYS_REQUEST_S = 10.0


def build(parts: Parts, settings: SessionsSettings) -> Service:
    """What sessions adds to the chassis."""
    programme_id, times, home_zone = parts.deployment.programme_id, settings.times, settings.home_zone
    documents, time = parts.store.documents(PLACES), OffsetTime(parts.store, parts.clock)
    places = StoredPlaces(documents, parts.relay(documents, dict.fromkeys(SAID, SESSIONS)), times)
    patients, groups = StoredPatients(parts.store.documents("patients")), StoredGroups(parts.store.documents("groups"))
    flags = parts.flags(PLACES, known=patients)
    calendar = Calendar(
        places=places, groups=groups, time=time, times=times, home_zone=home_zone, weeks_default=settings.plan_weeks
    )
    hearing = PatientHandler(patients, calendar)
    keys, rooms = _Keys(parts, hearing, settings.key_wait_s), _rooms(settings, time)
    room_handler = RoomHandler(places=places, patients=patients, locations=keys.locations, rooms=rooms, time=time, times=times)
    schedule = ScheduleHandler(
        programme_id=programme_id,
        places=places,
        patients=patients,
        groups=groups,
        time=time,
        times=times,
        home_zone=home_zone,
        capacity_default=settings.group_capacity,
    )
    queries = Queries(
        places=places,
        patients=patients,
        groups=groups,
        time=time,
        times=times,
        home_zone=home_zone,
        page_max=settings.page_max,
    )
    due = DueHandler(
        places=places,
        patients=patients,
        flags=flags,
        time=time,
        times=times,
        settings=DueSettings(settings.due_page, settings.due_at_once),
    )
    return Service(
        examples=EXAMPLES,
        routes=[
            SessionRoutes(programme_id, schedule, room_handler, queries, parts.verifier).router(),
            groups_router(GroupHandler(groups), queries, parts.verifier, settings.group_capacity),
            callbacks_router(room_handler, rooms),
        ],
        subscriptions=subscriptions(hearing),
        timers=[
            *timers(due, hearing, keys.look, due_look_s=settings.due_look_s, kek_look_s=settings.kek_look_s),
            # It never ends: it connects again by itself.
            Timer(0.0, keys.reader.run),
        ],
        on_start=[places.prepare],
        alarms=lambda: keys.alarms() | {"due_not_looked_for": due.not_looked_for_s() > settings.due_alarm_s},
        open_paths=[WEBHOOKS],
        # Whoever is refused is told whom to call.
        extra_for_all_errors=lambda _request: {"guidance": parts.guidance.for_anybody},
    )


class _Keys:
    """Patients' keys, as the bus tells them."""

    def __init__(self, parts: Parts, hearing: PatientHandler, key_wait_s: float) -> None:
        self.keks = KekFile(parts.deployment.kek_file)
        self.keks.refresh()
        keyring = Keyring(hearing.forgotten)
        self.locations = SealedLocations(keyring, self.keks, parts.clock, key_wait_s)
        self.reader = PatientKeyReader(
            lambda: parts.outside.partition_reader(fetch_wait_s=KEYS_FETCH_WAIT_S, request_s=KEYS_REQUEST_S),
            keyring,
            topic_prefix=parts.deployment.topic_prefix,
            clock=parts.clock,
        )

    def alarms(self) -> dict[str, bool]:
        """What stands against sealing a location."""
        return {"sealing_unavailable": self.keks.trouble is not None, "location_unsent": self.locations.unsent}

    async def look(self) -> None:
        """Look at the file of key-encryption keys."""
        self.keks.refresh()


def _rooms(settings: SessionsSettings, time: StoreTime) -> Rooms:
    key = _read(settings.room_webhook_key_file)
    signed_with = None if key is None else webhook_key(key)
    if settings.rooms == "memory":
        return MemoryRooms(signed_with, time)
    secret = _read(settings.jitsi_key_file)
    if secret is None:
        raise ValueError("VIGIL_SESSIONS_JITSI_KEY_FILE is needed for rooms of Jitsi")
    return JitsiRooms(settings.jitsi_url, settings.jitsi_app_id, secret.strip(), signed_with, time)


def _read(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()


def main() -> None:
    """Run sessions."""
    run_service("sessions", SessionsSettings, build)
