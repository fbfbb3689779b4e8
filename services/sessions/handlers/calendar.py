"""The calendar follows what is heard of a patient: plan, move, discharge. The same heard twice changes nothing."""

from services.sessions.domain.changing import called_off, planned, planned_again
from services.sessions.domain.facts import Change
from services.sessions.domain.patient import Heard
from services.sessions.domain.place import Place, Reason
from services.sessions.domain.plan import changed_from, wanted
from services.sessions.domain.times import Times
from services.sessions.handlers.changes import PlaceChanger
from services.sessions.handlers.observed import OVERBOOKED, PLACES_CHANGED
from services.sessions.ports import Groups, Places, StoreTime
from shared.contracts.envelope import Envelope


class Calendar:
    """Makes a patient's places what their plan says, from its last change on."""

    def __init__(
        self, *, places: Places, groups: Groups, time: StoreTime, times: Times, home_zone: str, weeks_default: int
    ) -> None:
        self._places = places
        self._changer = PlaceChanger(places)
        self._groups = groups
        self._time = time
        self._times = times
        self._home_zone = home_zone
        self._weeks_default = weeks_default

    async def follow(self, heard: Heard, cause: Envelope | None) -> None:
        """Add what is wanted and not there, call off what is there and not wanted; raises what a silent store raises."""
        now_s = self._time.now_s()
        from_s = now_s if heard.forgotten else changed_from(heard, now_s, self._times)
        groups = await self._groups.some(heard.plan.group_ids if heard.plan is not None else ())
        want = wanted(heard, groups, from_s=from_s, home_zone=self._home_zone, weeks_default=self._weeks_default)
        there = {place.place_id: place for place in await self._places.from_then_on(heard.patient_id, from_s)}
        new = [place for place_id, place in want.items() if place_id not in there]
        if new:
            await self._places.insert([planned(place, now_s) for place in new], cause)
            PLACES_CHANGED.labels("scheduled").inc(len(new))
            await self._count_overbooked(new)
        for place_id, place in there.items():
            await self._settle(place, want.get(place_id), heard, from_s, cause)

    async def _settle(self, place: Place, want: Place | None, heard: Heard, from_s: float, cause: Envelope | None) -> None:
        now_s = self._time.now_s()
        if want is not None:
            wanted_again: Place = want
            await self._changer.change(place, lambda found: planned_again(found, wanted_again, now_s), cause=cause)
            return
        gone = heard.forgotten or heard.is_discharged
        if not (gone and place.starts_s >= from_s) and not (place.origin == "plan" and place.slot_s >= from_s):
            return
        reason: Reason = "discharged" if gone else "plan_changed"

        def call_off(found: Place) -> Change | None:
            # Whoever has come, or was missed, keeps it.
            return called_off(found, reason, now_s) if found.state in ("scheduled", "excused") and not found.over else None

        await self._changer.change(place, call_off, cause=cause)

    async def _count_overbooked(self, new: list[Place]) -> None:
        """A plan is a clinician's decision: it is never refused for want of a chair, but somebody has to see it."""
        nearest = min(new, key=lambda place: place.starts_s)
        if nearest.group_id is None:
            return
        group = await self._groups.load(nearest.group_id)
        if group is None:
            return
        there = [place for place in await self._places.of_session(nearest.session_id) if place.state != "cancelled"]
        if len(there) > group.capacity:
            OVERBOOKED.inc()
