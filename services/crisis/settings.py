"""Settings of one crisis replica, from the environment (prefix VIGIL_CRISIS_) and the deployment's shared names."""

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class SharedSettings(BaseSettings):
    """What every service of a deployment shares."""

    model_config = SettingsConfigDict(env_prefix="VIGIL_", frozen=True, extra="ignore")

    kafka_bootstrap: str = "127.0.0.1:29092"
    kafka_security_file: Path | None = None
    mongo_uri: str = "mongodb://127.0.0.1:29017/?replicaSet=rs0"
    mongo_driver: str = "pymongo"
    topic_prefix: str = "vigil"
    programme_id: str = "default"
    service_token_file: Path
    dev_issuer_key_file: Path
    twilio_base_url: str = "http://127.0.0.1:8190"
    twilio_account_sid: str = "AC00000000000000000000000000000000"
    twilio_auth_token_file: Path
    twilio_sender: str = "+15550000000"


class CrisisSettings(BaseSettings):
    """What one replica has of its own.

    `peers` are the base URLs of all replicas in ordinal order; `listeners` those of listeners outside the ranks (they hear
    flags and facts, and page only on their own rules).
    """

    model_config = SettingsConfigDict(env_prefix="VIGIL_CRISIS_", frozen=True, extra="ignore")

    ordinal: int = Field(0, ge=0)
    peers: str = "http://127.0.0.1:8103"
    listeners: str = ""
    host: str = "127.0.0.1"
    port: int = 8103
    journal_dir: Path
    roster_file: Path
    link_key_file: Path
    public_url: str = "http://127.0.0.1:8103"
    step_s: float | None = Field(None, gt=0)

    @field_validator("step_s", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @property
    def peer_urls(self) -> tuple[str, ...]:
        """Base URLs of all replicas."""
        return tuple(url.strip().rstrip("/") for url in self.peers.split(",") if url.strip())

    @property
    def listener_urls(self) -> tuple[str, ...]:
        """Base URLs of listeners outside the ranks."""
        return tuple(url.strip().rstrip("/") for url in self.listeners.split(",") if url.strip())
