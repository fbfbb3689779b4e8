"""What is told of a place: its events, from the place as it is after the change."""

from dataclasses import dataclass
from typing import Any, Literal

from services.sessions.domain.place import Place
from shared.contracts.levels import Level
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
from shared.time.clock import iso

Event = (
    SessionScheduled
    | SessionRescheduled
    | SessionCancelled
    | SessionStarted
    | SessionAttended
    | SessionMissed
    | SessionCompleted
    | ParticipantDropped
)


@dataclass(frozen=True, slots=True)
class Change:
    """A place after a change, and what is told of it."""

    place: Place
    events: tuple[Event, ...] = ()


def _of(place: Place, now_s: float) -> dict[str, Any]:
    return {
        "session_id": place.session_id,
        "patient_id": place.patient_id,
        "programme_id": place.programme_id,
        "at": iso(now_s),
        "kind": place.kind,
        "starts_at": iso(place.starts_s),
        "minutes": place.minutes,
        "week": place.week,
    }


def _where(place: Place) -> dict[str, Any]:
    return {"zone": place.zone, "clinician_id": place.clinician_id, "group_id": place.group_id}


def scheduled(place: Place, now_s: float) -> SessionScheduled:
    """The patient has it ahead."""
    return SessionScheduled(**_of(place, now_s), **_where(place))


def rescheduled(place: Place, from_starts_s: float, now_s: float) -> SessionRescheduled:
    """It is at another time."""
    return SessionRescheduled(**_of(place, now_s), **_where(place), from_starts_at=iso(from_starts_s))


def cancelled(place: Place, now_s: float) -> SessionCancelled:
    """The patient has it no more."""
    return SessionCancelled(**_of(place, now_s), reason=place.reason or "cancelled")


def started(place: Place, location: str, now_s: float) -> SessionStarted:
    """The patient is there, at a confirmed place; `location` is sealed."""
    return SessionStarted(**_of(place, now_s), late=place.late, location=location)


def attended(place: Place, partial: bool, now_s: float) -> SessionAttended:
    """It is over, and the patient was there."""
    joined_s = place.joined_s if place.joined_s is not None else place.starts_s
    return SessionAttended(
        **_of(place, now_s),
        joined_at=iso(joined_s),
        left_at=iso(place.left_s if place.left_s is not None else now_s),
        minutes_attended=round(place.present_s / 60),
        late=place.late,
        partial=partial,
    )


def missed(place: Place, due: float, consecutive: int, level: Level | None, flag_id: str | None, now_s: float) -> SessionMissed:
    """Nobody came."""
    return SessionMissed(**_of(place, now_s), due_at=iso(due), consecutive=consecutive, level=level, flag_id=flag_id)


def completed(place: Place, outcome: Literal["attended", "missed", "excused"], now_s: float) -> SessionCompleted:
    """It is over for everybody."""
    return SessionCompleted(**_of(place, now_s), outcome=outcome)


def dropped(place: Place, flag_id: str | None, now_s: float) -> ParticipantDropped:
    """The patient was lost and did not come back."""
    lost_s = place.lost_s if place.lost_s is not None else now_s
    return ParticipantDropped(**_of(place, now_s), lost_at=iso(lost_s), cause=place.lost_cause, flag_id=flag_id)
