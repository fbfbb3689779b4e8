"""What intake says about answers: scores and codes, never an answer."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from shared.contracts.levels import Level


class AssessmentCompleted(BaseModel):
    """An answer sheet was stored and scored; `status` is complete, prorated or incomplete.

    `scale` names what the total is (`sum`, `percent`, `sum_12_60`); totals of two scales are never compared. `scales`: subscales
    and the total on other scales, `max` where the form decides it; `findings`: named conditions of a complete sheet; `codes`:
    the level of an instrument without a total, and where it is routed. null = not known from what was answered. `corrects`:
    the assessment that this one takes the place of.
    """

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
    scale: str | None = None
    scales: dict[str, int | float | None] = {}
    findings: dict[str, bool | None] = {}
    codes: dict[str, str | None] = {}
    corrects: str | None = Field(default=None, max_length=64)


class AssessmentAssigned(BaseModel):
    """A patient is to answer an instrument by `due_by`; the AssessmentCompleted of that instrument ends it. `withdrawn`: no more."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    TYPE: ClassVar[str] = "vigil.assessments.assigned.v1"

    assignment_id: str = Field(max_length=64)
    patient_id: str = Field(max_length=64)
    programme_id: str = Field(max_length=64)
    assigned_at: str
    instrument: str
    due_from: str
    due_by: str
    withdrawn: bool = False
