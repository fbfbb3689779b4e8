"""What intake says about answers: scores and codes, never an answer."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from shared.contracts.levels import Level


class AssessmentCompleted(BaseModel):
    """An answer sheet was stored and scored; `status` is complete, prorated or incomplete."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    TYPE: ClassVar[str] = "vigil.assessments.completed.v1"

    assessment_id: str
    patient_id: str = Field(max_length=64)
    programme_id: str = Field(max_length=64)
    instrument: str
    instrument_version: str
    status: str
    total: int | None = None
    band: str | None = None
    flag_id: str | None = None
    flag_level: Level | None = None
    answered_at: str
    accepted_at: str
