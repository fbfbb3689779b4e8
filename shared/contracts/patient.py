"""What intake says about patients: pseudonymous ids and codes only."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from shared.contracts.risk import Routing


class PatientEnrolled(BaseModel):
    """A patient joined the programme; contacts and location are not in this version (they travel sealed later)."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    TYPE: ClassVar[str] = "vigil.patients.enrolled.v1"

    patient_id: str = Field(max_length=64)
    programme_id: str = Field(max_length=64)
    enrolled_at: str
    routing: Routing = Routing()
