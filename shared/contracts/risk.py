"""The risk flag: one immutable statement that a patient may be in danger."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from shared.contracts.levels import Level

# A UUID in its canonical form: the code on a page is derived from it, so two spellings would be two flags.
FLAG_ID = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


class Routing(BaseModel):
    """Codes that choose who is paged; no free text, nothing that identifies a person by itself."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    region: str = Field(default="unknown", max_length=32)
    language: str = Field(default="unknown", max_length=16)
    track: str = Field(default="unknown", max_length=32)
    own_clinician_id: str | None = Field(default=None, max_length=64)
    minor: bool | None = None


class RiskFlagged(BaseModel):
    """A patient may be in danger: raised by intake, sessions, outcomes, notifications or the patient.

    `vigil.risk.flagged.v1`. `accepted_at` is t0, ISO 8601 UTC; `rule` names the rule that fired
    (for example `phq9.q9`), `source_id` the record it fired on.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    TYPE: ClassVar[str] = "vigil.risk.flagged.v1"

    flag_id: str = Field(pattern=FLAG_ID, examples=["0b8f3c52-6a1d-5e0c-9a7e-2f4d1c3b5a69"])
    programme_id: str = Field(max_length=64)
    patient_id: str = Field(min_length=1, max_length=64)
    level: Level
    rule: str = Field(max_length=128)
    source_id: str = Field(max_length=64)
    accepted_at: str = Field(max_length=40)
    routing: Routing = Routing()
    reporter: str | None = Field(default=None, max_length=64)
