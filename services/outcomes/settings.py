"""Settings of outcomes."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class OutcomesSettings(BaseSettings):
    """What outcomes alone is told, from VIGIL_OUTCOMES_…; the deployment's own are read by the chassis."""

    model_config = SettingsConfigDict(env_prefix="VIGIL_OUTCOMES_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8104, description="Port to listen on.")

    follow_up_day_s: float = Field(
        86_400.0, gt=0, description="How long a day of the follow-up after a discharge is; shorter in demonstrations."
    )
