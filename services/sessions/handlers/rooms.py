"""Joining a session, and what its room says of who is there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.sessions.domain.attending import NEEDS_A_LOCATION, Located, joined, left, lost, returned
from services.sessions.domain.facts import Change
from services.sessions.domain.place import Place, place_id_of
from services.sessions.domain.refusals import Refused
from services.sessions.domain.times import Times
from services.sessions.handlers.changes import Act, NotThere, PlaceChanger, done
from services.sessions.handlers.observed import ROOM_SIGNALS
from services.sessions.ports import Locations, Patients, Places, Rooms, RoomSignal, StoreTime

# A provider's clock may be so far from the store's before a signal of before a return is taken for a new one.
CLOCKS_DIFFER_S = 5.0


@dataclass(frozen=True, slots=True)
class Joined:
    """A patient's place after joining, the link into the room, and whether their location could be sealed (and so be told)."""

    place: Place
    link: str
    located: bool


class RoomHandler:
    """Who comes into a room and goes. Every method passes on what a silent store raises."""

    def __init__(
        self,
        *,
        places: Places,
        patients: Patients,
        locations: Locations,
        rooms: Rooms,
        time: StoreTime,
        times: Times,
    ) -> None:
        self._places = places
        self._changer = PlaceChanger(places)
        self._patients = patients
        self._locations = locations
        self._rooms = rooms
        self._time = time
        self._times = times

    async def join(
        self, session_id: str, patient_id: str, location: Mapping[str, Any] | None, confirmed: bool, act: Act
    ) -> Joined:
        """A patient comes in, from `location`, or (`confirmed`) from the place on file. Raises Refused, NotThere, KeyUsed."""
        place = await self._places.load(place_id_of(session_id, patient_id))
        if place is None:
            raise NotThere
        located = None
        if not done(place, act):
            located = await self._located(place, location, confirmed)
            place = await self._changer.change(
                place, lambda found: joined(found, located, self._time.now_s(), self._times), act
            )
        link = self.link(place, place.place_id, moderator=False)
        return Joined(place, link, located is None or located.sealed is not None)

    def link(self, place: Place, person: str, *, moderator: bool) -> str:
        """A link into the room of this place's session."""
        return self._rooms.link(
            place.session_id, person, moderator=moderator, expires_s=place.ends_s + self._times.close_after_s
        )

    async def _located(self, place: Place, location: Mapping[str, Any] | None, confirmed: bool) -> Located | None:
        if location is not None:
            return Located(await self._locations.sealed(place.patient_id, location))
        if not confirmed:
            return None
        heard, _ = await self._patients.load(place.patient_id)
        if heard.contact is None or heard.contact.location is None:
            raise Refused("location-not-confirmed", NEEDS_A_LOCATION)
        # Sealed by intake with this patient's key, for a field of the same name: it is told on as it is.
        return Located(heard.contact.location)

    async def heard(self, signal: RoomSignal) -> str:
        """Take in what a room says; what became of it: `changed`, `nothing` or `nobody`."""
        if signal.kind == "room_failed":
            places = await self._places.of_session(signal.session_id)
        else:
            found = await self._places.load(signal.place_id) if signal.place_id is not None else None
            places = [found] if found is not None and found.session_id == signal.session_id else []
        act = (signal.signal_id, signal.kind)
        changes = [await self._changer.change(place, lambda one: self._decided(one, signal), act) for place in places]
        outcome = "nobody" if not places else "nothing"
        if any(after.version != before.version for before, after in zip(places, changes, strict=True)):
            outcome = "changed"
        ROOM_SIGNALS.labels(signal.kind, outcome).inc()
        return outcome

    def _decided(self, place: Place, signal: RoomSignal) -> Change | None:
        now_s = self._time.now_s()
        if signal.kind == "joined":
            return returned(place, now_s)
        if place.here_since_s is not None and signal.at_s + CLOCKS_DIFFER_S < place.here_since_s:
            # Signals come late and in any order: they have come back since.
            return None
        if signal.kind == "left":
            return left(place, now_s)
        return lost(place, "technical" if signal.technical or signal.kind == "room_failed" else "unknown", now_s)
