"""Settings of sessions."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class SessionsSettings(BaseSettings):
    """What sessions alone is told, from VIGIL_SESSIONS_…; the deployment's own are read by the chassis."""

    model_config = SettingsConfigDict(env_prefix="VIGIL_SESSIONS_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8102, description="Port to listen on.")
