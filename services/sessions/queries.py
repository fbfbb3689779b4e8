"""The read side: sessions of a patient, one session, a week's attendance."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import orjson

from services.sessions.domain.attendance import Week, missed_in_a_row, week_of_places
from services.sessions.domain.calendar import known_zone, week_of
from services.sessions.domain.group import Group
from services.sessions.domain.place import Place
from services.sessions.domain.times import Times
from services.sessions.ports import Groups, Patients, Places, StoreTime
from shared.time.clock import iso


class BadCursor(ValueError):
    """A cursor that this service did not give out."""


class Queries:
    """What is asked of sessions; passes on what a silent store raises."""

    def __init__(
        self,
        *,
        places: Places,
        patients: Patients,
        groups: Groups,
        time: StoreTime,
        times: Times,
        home_zone: str,
        page_max: int,
    ) -> None:
        self._places = places
        self._patients = patients
        self._groups = groups
        self._time = time
        self._times = times
        self._home_zone = home_zone
        self._page_max = page_max

    async def of_patient(self, patient_id: str, from_s: float | None, cursor: str | None) -> dict[str, Any]:
        """A page of a patient's sessions in the order of their starts: `{items, next}`. Raises BadCursor."""
        after = _read(cursor) if cursor is not None else None
        if after is None and from_s is not None:
            after = (from_s, "")
        found = await self._places.of_patient(patient_id, after, self._page_max)
        last = found[-1] if len(found) == self._page_max else None
        return {
            "items": [self.shown(place) for place in found],
            "next": None if last is None else _cursor(last.starts_s, last.place_id),
        }

    async def session(self, session_id: str) -> Sequence[Place]:
        """Everybody's place in a session; none when there is no such session."""
        return await self._places.of_session(session_id)

    def whole(self, places: Sequence[Place]) -> dict[str, Any]:
        """A session with these places in it."""
        first = places[0]
        told: dict[str, Any] = {"session_id": first.session_id, "kind": first.kind, "starts_at": iso(first.starts_s)}
        told |= {"minutes": first.minutes, "clinician_id": first.clinician_id, "group_id": first.group_id}
        return told | {"places": [self.shown(place) for place in places]}

    def shown(self, place: Place) -> dict[str, Any]:
        """One patient's place as it is told."""
        now_s = self._time.now_s()
        waits = place.state == "scheduled" and now_s >= place.starts_s + self._times.late_s
        return {
            "session_id": place.session_id,
            "patient_id": place.patient_id,
            "kind": place.kind,
            "starts_at": iso(place.starts_s),
            "minutes": place.minutes,
            "zone": place.zone,
            "week": place.week,
            "clinician_id": place.clinician_id,
            "group_id": place.group_id,
            # Late is what the clock says of somebody who is waited for; nothing is written for it.
            "state": "late" if waits else place.state,
            "reason": place.reason,
            "late": place.late or waits,
            "joined_at": _at(place.joined_s),
            "left_at": _at(place.left_s),
            "minutes_attended": round(place.present_until(now_s) / 60),
            "completed_at": _at(place.completed_s),
            "version": place.version,
        }

    async def attendance(self, patient_id: str, week: str | None) -> dict[str, Any]:
        """The figures of a week (this one, if none is named), and missed sessions in a row up to now."""
        now_s = self._time.now_s()
        heard, _ = await self._patients.load(patient_id)
        zone = known_zone(heard.contact.zone if heard.contact is not None else None, self._home_zone)
        asked = week or week_of(now_s, zone)
        figures = week_of_places(await self._places.of_week(patient_id, asked), now_s)
        in_a_row = missed_in_a_row(await self._places.states_before(patient_id, now_s))
        return {"patient_id": patient_id, "week": asked, **_week(figures), "missed_in_a_row": in_a_row}

    async def group(self, group_id: str) -> Group | None:
        """One group."""
        return await self._groups.load(group_id)


def _week(week: Week) -> dict[str, Any]:
    return {
        "hours_planned": week.hours_planned,
        "hours_attended": week.hours_attended,
        "attended": week.attended,
        "missed": week.missed,
        "excused": week.excused,
        "ahead": week.ahead,
        "below_minimum": week.below_minimum,
    }


def _at(at_s: float | None) -> str | None:
    return None if at_s is None else iso(at_s)


def _cursor(starts_s: float, place_id: str) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([starts_s, place_id])).decode().rstrip("=")


def _read(cursor: str) -> tuple[float, str]:
    try:
        starts_s, place_id = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return float(starts_s), str(place_id)
    except (ValueError, TypeError, binascii.Error):
        raise BadCursor from None
