"""What sessions says about appointments: one event per patient and session, ids, codes and times; where a patient is, sealed.

A group session has many patients: each hears only of their own place in it. `sequence` of the envelope is the version of that
place, so the highest one holds. `week` is the ISO week of the start in the patient's zone, `2026-W48`.
"""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.contracts.levels import Level
from shared.contracts.sealed import Sealed

Kind = Literal["individual", "group", "family", "workshop", "medication", "psychiatric_evaluation", "follow_up"]
KINDS: tuple[Kind, ...] = (
    "individual",
    "group",
    "family",
    "workshop",
    "medication",
    "psychiatric_evaluation",
    "follow_up",
)
WEEK_PATTERN = r"^\d{4}-W\d{2}$"


class _SessionEvent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    session_id: str = Field(max_length=64)
    patient_id: str = Field(max_length=64)
    programme_id: str = Field(max_length=64)
    at: str
    kind: Kind
    starts_at: str
    minutes: int = Field(ge=1, le=1440)
    week: str = Field(pattern=WEEK_PATTERN)


class SessionScheduled(_SessionEvent):
    """A patient has a session ahead."""

    TYPE: ClassVar[str] = "vigil.sessions.scheduled.v1"
    zone: str = Field(max_length=64)
    clinician_id: str | None = Field(default=None, max_length=64)
    group_id: str | None = Field(default=None, max_length=64)


class SessionRescheduled(_SessionEvent):
    """A patient's session is at another time; `starts_at`, `minutes` and `week` are the new ones."""

    TYPE: ClassVar[str] = "vigil.sessions.rescheduled.v1"
    zone: str = Field(max_length=64)
    from_starts_at: str
    clinician_id: str | None = Field(default=None, max_length=64)
    group_id: str | None = Field(default=None, max_length=64)


class SessionCancelled(_SessionEvent):
    """A patient does not have this session any more; `excused` counts in the planned hours and is no missed session."""

    TYPE: ClassVar[str] = "vigil.sessions.cancelled.v1"
    reason: Literal["cancelled", "excused", "discharged", "plan_changed"]


class SessionStarted(_SessionEvent):
    """A patient has joined, with the place confirmed where they are for this session."""

    TYPE: ClassVar[str] = "vigil.sessions.started.v1"
    late: bool
    location: Sealed


class SessionAttended(_SessionEvent):
    """A session is over for a patient who was there; `partial`: for less than half of its minutes."""

    TYPE: ClassVar[str] = "vigil.sessions.attended.v1"
    joined_at: str
    left_at: str
    minutes_attended: int = Field(ge=0)
    late: bool
    partial: bool


class SessionMissed(_SessionEvent):
    """A patient was not there 15 minutes after the start; `due_at` is when that became so, `consecutive` counts missed sessions
    in a row, this one among them; `level`: the last one known of the patient's risk, with `flag_id` when missing it raised one."""

    TYPE: ClassVar[str] = "vigil.sessions.missed.v1"
    due_at: str
    consecutive: int = Field(ge=1)
    level: Level | None = None
    flag_id: str | None = Field(default=None, max_length=64)


class SessionCompleted(_SessionEvent):
    """A session has ended for everybody who had a place in it; told once for each of them."""

    TYPE: ClassVar[str] = "vigil.sessions.completed.v1"
    outcome: Literal["attended", "missed", "excused"]


class ParticipantDropped(_SessionEvent):
    """A patient was lost in the middle of a session and did not come back for two minutes."""

    TYPE: ClassVar[str] = "vigil.sessions.participant-dropped.v1"
    lost_at: str
    cause: Literal["technical", "unknown"]
    flag_id: str | None = Field(default=None, max_length=64)
