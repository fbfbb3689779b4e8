"""What outcomes says: that something was recorded, what became of a measure, whom to contact after a discharge. Never an answer."""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.contracts.levels import Level

Contact = Literal["24_72h", "7d", "30d", "3m", "6m", "12m"]


class CheckInRecorded(BaseModel):
    """A patient has said how they are; what they said stays in the store."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    TYPE: ClassVar[str] = "vigil.outcomes.check-in-recorded.v1"

    check_in_id: str = Field(max_length=64)
    patient_id: str = Field(max_length=64)
    programme_id: str = Field(max_length=64)
    recorded_at: str
    flag_id: str | None = Field(default=None, max_length=64)
    flag_level: Level | None = None


class OutcomeUpdated(BaseModel):
    """A measure of a patient has a new latest value; figures on the instrument's own scale, None = not known or no rule.

    `reliable` is improved, unchanged or deteriorated against the baseline; `flag_id`: reliable deterioration raised a flag.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    TYPE: ClassVar[str] = "vigil.outcomes.updated.v1"

    patient_id: str = Field(max_length=64)
    programme_id: str = Field(max_length=64)
    at: str
    instrument: str = Field(max_length=64)
    scale: str | None = None
    assessment_id: str = Field(max_length=64)
    baseline: int
    latest: int
    change: int
    reliable: str | None = None
    response: bool | None = None
    remission: bool | None = None
    recovery: bool | None = None
    flag_id: str | None = Field(default=None, max_length=64)


class FollowUpDue(BaseModel):
    """A patient who was discharged is to be contacted, from `due_from` on and by `due_by`."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    TYPE: ClassVar[str] = "vigil.outcomes.follow-up-due.v1"

    follow_up_id: str = Field(max_length=64)
    patient_id: str = Field(max_length=64)
    programme_id: str = Field(max_length=64)
    at: str
    contact: Contact
    discharged_at: str
    due_from: str
    due_by: str
