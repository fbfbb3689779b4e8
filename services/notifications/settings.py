"""Settings of notifications."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class NotificationsSettings(BaseSettings):
    """What notifications alone is told, from VIGIL_NOTIFICATIONS_…; the deployment's own are read by the chassis."""

    model_config = SettingsConfigDict(env_prefix="VIGIL_NOTIFICATIONS_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8105, description="Port to listen on.")
