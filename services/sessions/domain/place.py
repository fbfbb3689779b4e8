"""A place: one patient in one session, from being planned to being over. Every change is a new, higher version."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from services.sessions.domain.calendar import week_of
from services.sessions.domain.times import Times
from shared.contracts.sessions import Kind
from shared.time.ids import derived_id

State = Literal["scheduled", "joined", "missed", "attended", "excused", "cancelled"]
Origin = Literal["plan", "posted"]
Reason = Literal["cancelled", "excused", "discharged", "plan_changed"]
Cause = Literal["technical", "unknown"]
# Requests that a place remembers, so that one which comes again does nothing twice.
ACTS_MAX = 16


def place_id_of(session_id: str, patient_id: str) -> str:
    """The id of a patient's place in a session."""
    return derived_id("place", session_id, patient_id)


@dataclass(frozen=True, slots=True)
class Place:
    """One patient in one session; moments are epoch seconds of the store's clock.

    `slot_s` is the start that was planned first and stays when the session is moved. `here_since_s` is set while the patient is
    in the room, `present_s` counts what lies before it, `lost_s` is set while they are lost, `located_s` once they have said where
    they are. `acts`: requests done, with digests.
    """

    place_id: str
    session_id: str
    patient_id: str
    programme_id: str
    kind: Kind
    starts_s: float
    slot_s: float
    minutes: int
    zone: str
    origin: Origin
    clinician_id: str | None = None
    group_id: str | None = None
    version: int = 1
    state: State = "scheduled"
    reason: Reason | None = None
    late: bool = False
    joined_s: float | None = None
    here_since_s: float | None = None
    present_s: float = 0.0
    left_s: float | None = None
    lost_s: float | None = None
    lost_cause: Cause = "unknown"
    dropped_s: float | None = None
    located_s: float | None = None
    opened_s: float | None = None
    completed_s: float | None = None
    acts: tuple[tuple[str, str], ...] = ()

    @property
    def ends_s(self) -> float:
        """The planned end."""
        return self.starts_s + 60 * self.minutes

    @property
    def week(self) -> str:
        """The ISO week of the start, in the patient's zone."""
        return week_of(self.starts_s, self.zone)

    @property
    def over(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.state == "cancelled" or self.completed_s is not None

    def present_until(self, now_s: float) -> float:
        """Seconds in the room during the session, up to now; what was before its start does not count."""
        if self.here_since_s is None:
            return self.present_s
        return self.present_s + max(0.0, now_s - max(self.here_since_s, self.starts_s))

    def next(self, **changes: Any) -> "Place":
        """The next version, changed."""
        return replace(self, version=self.version + 1, **changes)


def due_s(place: Place, times: Times) -> float | None:
    """When time itself changes this place next; None when it will not."""
    if place.over:
        return None
    if place.state == "scheduled":
        return place.starts_s + times.missed_s
    end_s = place.ends_s + times.close_after_s
    if place.state == "joined" and place.lost_s is not None and place.dropped_s is None:
        return min(place.lost_s + times.dropped_s, end_s)
    return end_s


_FIELDS = tuple(field.name for field in fields(Place))


def document_of(place: Place, times: Times) -> dict[str, Any]:
    """The place as it is stored, without its outbox."""
    told = asdict(place)
    told["acts"] = [list(act) for act in place.acts]
    return {"_id": place.place_id, **told, "week": place.week, "due_s": due_s(place, times)}


def place_of(document: Mapping[str, Any]) -> Place:
    """The place in a document."""
    told = {name: document[name] for name in _FIELDS}
    return Place(**told | {"acts": tuple((str(one), str(other)) for one, other in document["acts"])})
