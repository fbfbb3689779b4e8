"""Settings of outcomes."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class OutcomesSettings(BaseSettings):
    """What outcomes alone is told, from VIGIL_OUTCOMES_…; the deployment's own are read by the chassis."""

    model_config = SettingsConfigDict(env_prefix="VIGIL_OUTCOMES_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8104, description="Port to listen on.")

    flagged_answer_s: float = Field(1.0, gt=0, description="How long the answer to a check-in that raises a flag may take.")
    routine_answer_s: float = Field(3.0, gt=0, description="How long the answer to any other check-in may take.")
    key_wait_s: float = Field(0.25, ge=0, description="How long a check-in waits for the key of a patient who is new here.")
    page_max: int = Field(50, ge=1, description="Check-ins in one page of a list.")
    cards_max: int = Field(100_000, ge=1, description="Patients whose routing codes are kept in memory.")

    deterioration_fresh_s: float = Field(
        259_200.0, gt=0, description="A sheet that was accepted longer ago raises no flag: it is a topic read again."
    )
    follow_up_day_s: float = Field(
        86_400.0, gt=0, description="How long a day of the follow-up after a discharge is; shorter in demonstrations."
    )
    follow_up_look_s: float = Field(5.0, gt=0, description="How often it is looked for contacts that are due.")
    follow_up_catch_up_s: float = Field(
        1_209_600.0,
        ge=0,
        description="How long after its last moment a contact that was missed is still told of, then it expires.",
    )
    follow_up_batch: int = Field(200, ge=1, description="Patients whose due contacts are settled in one look.")

    kek_look_s: float = Field(5.0, gt=0, description="How often the file of key-encryption keys is looked at.")
    keys_wait_s: float = Field(0.5, gt=0, description="How long the broker may hold a fetch of patients' keys.")
    keys_request_s: float = Field(10.0, ge=1, description="How long a request for patients' keys may take.")

    cohort_page: int = Field(1_000, ge=1, description="Documents in one read of a cohort report.")
