"""Attendance: one patient's place in one session as a join of what sessions said of it, and the weeks these places make.

Of each kind of event the highest version of the place counts; the state is what the highest of all says. A week is the ISO week
of the start in the patient's zone, as sessions tells it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from services.outcomes.domain.moments import seconds_of
from shared.contracts.envelope import Envelope
from shared.contracts.sessions import (
    SessionAttended,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
    SessionRescheduled,
    SessionScheduled,
    SessionStarted,
)

SessionEvent = (
    SessionScheduled
    | SessionRescheduled
    | SessionCancelled
    | SessionStarted
    | SessionAttended
    | SessionMissed
    | SessionCompleted
)
SESSION_EVENTS = (
    SessionScheduled,
    SessionRescheduled,
    SessionCancelled,
    SessionStarted,
    SessionAttended,
    SessionMissed,
    SessionCompleted,
)
# States of a place. Planned hours are those of all but `cancelled`; a session that was `excused` counts in them and is not missed.
PLANNED, STARTED, ATTENDED, MISSED, EXCUSED, CANCELLED = "planned", "started", "attended", "missed", "excused", "cancelled"
_OVER = frozenset({ATTENDED, MISSED, EXCUSED})


@dataclass(frozen=True, slots=True, order=True)
class Said:
    """What one event said: its version, then time and id to tell two of one version apart, the same way everywhere."""

    sequence: int
    at_s: float
    event_id: str
    state: str = field(compare=False)
    kind: str = field(compare=False)
    starts_at: str = field(compare=False)
    minutes: int = field(compare=False)
    week: str = field(compare=False)
    minutes_attended: int | None = field(compare=False, default=None)
    late: bool | None = field(compare=False, default=None)


@dataclass(frozen=True, slots=True)
class Place:
    """A patient's place in a session: the highest thing said, per kind of event."""

    session_id: str
    patient_id: str
    programme_id: str
    said: Mapping[str, Said]

    @property
    def place_id(self) -> str:
        """Its id in the store."""
        return place_id(self.session_id, self.patient_id)

    def join(self, other: "Place") -> "Place":
        """Both together."""
        said = dict(self.said)
        for name, one in other.said.items():
            said[name] = max(said[name], one) if name in said else one
        return replace(self, said=said)

    @property
    def last(self) -> Said:
        """What holds now. Of one version the more final kind holds: an ending is told after what it ends."""
        return max(self.said.values(), key=lambda one: (one.sequence, one.at_s, _FINALITY[one.state], one.event_id))

    @property
    def minutes_attended(self) -> int:
        """For how long the patient was there, if that is what holds; a session told as attended without minutes counts whole."""
        if self.last.state != ATTENDED:
            return 0
        told = self.said.get("SessionAttended")
        return self.last.minutes if told is None or told.minutes_attended is None else told.minutes_attended


_FINALITY = {PLANNED: 0, STARTED: 1, CANCELLED: 2, EXCUSED: 3, MISSED: 4, ATTENDED: 5}


def place_id(session_id: str, patient_id: str) -> str:
    """The id of a patient's place in a session."""
    return f"{session_id}:{patient_id}"


def place_of(event: SessionEvent, envelope: Envelope) -> Place:
    """What one event says of a place."""
    attended = event.minutes_attended if isinstance(event, SessionAttended) else None
    said = Said(
        sequence=-1 if envelope.sequence is None else envelope.sequence,
        at_s=seconds_of(event.at),
        event_id=envelope.id,
        state=_state(event),
        kind=event.kind,
        starts_at=event.starts_at,
        minutes=event.minutes,
        week=event.week,
        minutes_attended=attended,
        late=event.late if isinstance(event, SessionAttended | SessionStarted) else None,
    )
    return Place(event.session_id, event.patient_id, event.programme_id, {type(event).__name__: said})


def _state(event: SessionEvent) -> str:
    match event:
        case SessionScheduled() | SessionRescheduled():
            return PLANNED
        case SessionStarted():
            return STARTED
        case SessionAttended():
            return ATTENDED
        case SessionMissed():
            return MISSED
        case SessionCancelled():
            return EXCUSED if event.reason == "excused" else CANCELLED
        case SessionCompleted():
            return event.outcome


@dataclass(frozen=True, slots=True)
class Week:
    """One ISO week of a patient; minutes and numbers of sessions. `minutes_over`: planned minutes of sessions that are over."""

    week: str
    minutes_planned: int = 0
    minutes_over: int = 0
    minutes_attended: int = 0
    attended: int = 0
    missed: int = 0
    excused: int = 0
    ahead: int = 0

    @property
    def engagement(self) -> float | None:
        """Attended hours ÷ planned hours of what is over; None while nothing is."""
        return self.minutes_attended / self.minutes_over if self.minutes_over else None


def weeks_of(places: Iterable[Place]) -> tuple[Week, ...]:
    """The weeks of one patient, in their order."""
    weeks: dict[str, Week] = {}
    for place in places:
        last = place.last
        if last.state == CANCELLED:
            continue
        week = weeks.get(last.week, Week(last.week))
        over = last.state in _OVER
        weeks[last.week] = replace(
            week,
            minutes_planned=week.minutes_planned + last.minutes,
            minutes_over=week.minutes_over + (last.minutes if over else 0),
            minutes_attended=week.minutes_attended + place.minutes_attended,
            attended=week.attended + (last.state == ATTENDED),
            missed=week.missed + (last.state == MISSED),
            excused=week.excused + (last.state == EXCUSED),
            ahead=week.ahead + (not over),
        )
    return tuple(weeks[name] for name in sorted(weeks))


def first_attended_s(places: Iterable[Place]) -> float | None:
    """When the first session began that the patient attended."""
    return min((seconds_of(place.last.starts_at) for place in places if place.last.state == ATTENDED), default=None)


def place_document(place: Place) -> dict[str, Any]:
    """The place as it is stored."""
    return {
        "_id": place.place_id,
        "session_id": place.session_id,
        "patient_id": place.patient_id,
        "programme_id": place.programme_id,
        "said": {name: {slot: getattr(one, slot) for slot in Said.__slots__} for name, one in sorted(place.said.items())},
    }


def stored_place(document: Mapping[str, Any]) -> Place:
    """The place from its document."""
    said = {name: Said(**told) for name, told in document["said"].items()}
    return Place(document["session_id"], document["patient_id"], document["programme_id"], said)
