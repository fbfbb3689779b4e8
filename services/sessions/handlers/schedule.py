"""Sessions that people make and change: schedule, move, cancel, excuse, complete. Each place is a write of its own.

A change of a whole session goes from place to place; one that a crash cut off is finished by the same request again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.sessions.domain.attending import ended, left, lost
from services.sessions.domain.calendar import known_zone
from services.sessions.domain.changing import called_off, excused, moved, opened, planned
from services.sessions.domain.facts import Change
from services.sessions.domain.group import admitted, facilitators_needed
from services.sessions.domain.patient import Heard
from services.sessions.domain.place import Place, place_id_of
from services.sessions.domain.refusals import Refused
from services.sessions.domain.times import Times
from services.sessions.handlers.changes import Act, KeyUsed, NotThere, PlaceChanger
from services.sessions.handlers.observed import PLACES_CHANGED
from services.sessions.ports import Groups, Patients, Places, StoreTime
from shared.contracts.sessions import Kind


@dataclass(frozen=True, slots=True)
class Wanted:
    """A session to be made; `starts_s` in epoch seconds."""

    patient_ids: tuple[str, ...]
    kind: Kind
    starts_s: float
    minutes: int
    clinician_id: str
    group_id: str | None = None


class ScheduleHandler:
    """The write side of sessions. Every method passes on what a silent store raises, and raises Refused, KeyUsed, Conflict."""

    def __init__(
        self,
        *,
        programme_id: str,
        places: Places,
        patients: Patients,
        groups: Groups,
        time: StoreTime,
        times: Times,
        home_zone: str,
        capacity_default: int,
    ) -> None:
        self._programme_id = programme_id
        self._places = places
        self._changer = PlaceChanger(places)
        self._patients = patients
        self._groups = groups
        self._time = time
        self._times = times
        self._home_zone = home_zone
        self._capacity_default = capacity_default

    async def schedule(self, session_id: str, told: Wanted, act: Act) -> bool:
        """Make a session; whether it is new (the same request again is not)."""
        there = await self._places.of_session(session_id)
        for place in there:
            if any(known == act[0] and digest != act[1] for known, digest in place.acts):
                raise KeyUsed
        if len(there) == len(told.patient_ids):
            return False
        group = await self._groups.load(told.group_id) if told.group_id is not None else None
        admitted(told.kind, len(told.patient_ids), group, self._capacity_default)
        if group is not None and len(group.facilitators) < facilitators_needed(len(told.patient_ids)):
            raise Refused("too-few-facilitators", "More than 8 people take two facilitators; give the group another one.")
        now_s = self._time.now_s()
        if told.starts_s < now_s - self._times.plan_past_s:
            raise Refused("too-long-ago", "A session cannot begin longer ago than a day.")
        heard = await self._patients.heard_of(told.patient_ids)
        if any(one.is_discharged or one.forgotten for one in heard.values()):
            raise Refused("patient-discharged", "A patient of this session has left the programme; leave them out.")
        new = [self._place(session_id, patient_id, heard.get(patient_id), told, act) for patient_id in told.patient_ids]
        await self._places.insert([planned(place, now_s) for place in new])
        PLACES_CHANGED.labels("scheduled").inc(len(new))
        return True

    def _place(self, session_id: str, patient_id: str, heard: Heard | None, told: Wanted, act: Act) -> Place:
        contact = heard.contact if heard is not None else None
        return Place(
            place_id=place_id_of(session_id, patient_id),
            session_id=session_id,
            patient_id=patient_id,
            programme_id=self._programme_id,
            kind=told.kind,
            starts_s=told.starts_s,
            slot_s=told.starts_s,
            minutes=told.minutes,
            zone=known_zone(contact.zone if contact is not None else None, self._home_zone),
            origin="posted",
            clinician_id=told.clinician_id,
            group_id=told.group_id,
            acts=(act,),
        )

    async def reschedule(self, session_id: str, starts_s: float, minutes: int | None, act: Act) -> Sequence[Place]:
        """Move a session for everybody in it."""
        now_s = self._time.now_s()
        if starts_s < now_s - self._times.plan_past_s:
            raise Refused("too-long-ago", "A session cannot begin longer ago than a day.")
        return await self._all(session_id, None, lambda place: moved(place, starts_s, minutes, now_s), act)

    async def cancel(self, session_id: str, patient_id: str | None, act: Act) -> Sequence[Place]:
        """Cancel a session, for one patient or for everybody."""
        return await self._all(session_id, patient_id, lambda one: called_off(one, "cancelled", self._time.now_s()), act)

    async def excuse(self, session_id: str, patient_id: str, by_staff: bool, act: Act) -> Place:
        """Excuse one patient."""
        now_s = self._time.now_s()
        return (await self._all(session_id, patient_id, lambda one: excused(one, by_staff, now_s, self._times), act))[0]

    async def start(self, session_id: str, act: Act) -> Sequence[Place]:
        """A clinician opens the session."""
        return await self._all(session_id, None, lambda place: opened(place, self._time.now_s()), act)

    async def leave(self, session_id: str, patient_id: str, is_lost: bool, act: Act) -> Place:
        """A patient goes, or (`is_lost`) is not there any more without having gone."""

        def decide(place: Place) -> Change | None:
            now_s = self._time.now_s()
            return lost(place, "unknown", now_s) if is_lost else left(place, now_s)

        return (await self._all(session_id, patient_id, decide, act))[0]

    async def complete(self, session_id: str, patient_id: str | None, act: Act) -> Sequence[Place]:
        """It is over for one patient, or for everybody: who has not come yet is left to time then."""

        def decide(place: Place) -> Change | None:
            if patient_id is None and place.state == "scheduled":
                return None
            return ended(place, self._time.now_s(), self._times)

        return await self._all(session_id, patient_id, decide, act)

    async def _all(
        self, session_id: str, patient_id: str | None, decide: Callable[[Place], Change | None], act: Act
    ) -> Sequence[Place]:
        if patient_id is not None:
            found = await self._places.load(place_id_of(session_id, patient_id))
            places: Sequence[Place] = [found] if found is not None else []
        else:
            places = await self._places.of_session(session_id)
        if not places:
            raise NotThere
        if patient_id is None:
            # What stands against it for one stands against it for all, before anything is written.
            for place in places:
                if act[0] not in {known for known, _ in place.acts}:
                    decide(place)
        return [await self._changer.change(place, decide, act) for place in places]
