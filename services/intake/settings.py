"""Settings of intake, from the environment: VIGIL_… of the deployment, VIGIL_INTAKE_… of its own."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class DeploymentSettings(BaseSettings):
    """What intake shares with the other services of its deployment."""

    model_config = SettingsConfigDict(env_prefix="VIGIL_", frozen=True, extra="ignore")

    kafka_bootstrap: str = Field("127.0.0.1:29092", description="Kafka brokers, host:port, comma-separated.")
    kafka_security_file: Path | None = Field(None, description="JSON file with the SASL and TLS settings; none = plain text.")
    mongo_uri: str = Field("mongodb://127.0.0.1:29017/?replicaSet=rs0", description="MongoDB connection string.")
    mongo_driver: str = Field("pymongo", description="pymongo (its asyncio API) or motor.")
    topic_prefix: str = Field("vigil", pattern=r"^[A-Za-z0-9._-]{1,60}$", description="Prefix of topics, dead letters, groups.")
    programme_id: str = Field("default", max_length=64, description="The programme this deployment serves.")
    crisis_urls: str = Field(
        "http://127.0.0.1:8103,http://127.0.0.1:8113",
        description="Base URLs of every receiver of the express lane, comma-separated.",
    )
    service_token_file: Path = Field(description="File with this service's own bearer token.")
    dev_issuer_key_file: Path = Field(description="File with the key that bearer tokens are verified with.")

    @property
    def receivers(self) -> tuple[str, ...]:
        """Base URLs of every receiver of the express lane."""
        return tuple(url.strip().rstrip("/") for url in self.crisis_urls.split(",") if url.strip())

    @property
    def database(self) -> str:
        """The name of intake's database: a deployment's prefix keeps it apart from others on the same server."""
        return f"{self.topic_prefix.replace('.', '_')}_intake"


class IntakeSettings(BaseSettings):
    """Intake's own settings; seconds and numbers."""

    model_config = SettingsConfigDict(env_prefix="VIGIL_INTAKE_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8101, description="Port to listen on.")
    home_country: str = Field(
        "US", pattern=r"^[A-Z]{2}$", description="Whose emergency numbers are given when a patient's country is not known."
    )
    prorate: bool = Field(False, description="Whether a sheet with few missing answers gets an estimated total.")

    flagged_answer_s: float = Field(1.0, description="How long the answer to a flagged sheet may take, from its acceptance.")
    routine_answer_s: float = Field(3.0, description="How long the answer to any other sheet may take.")
    routing_read_s: float = Field(0.025, description="How long a flag waits for routing codes that are not in memory.")
    rescan_s: float = Field(1.0, description="How often stored flags without both lanes' confirmation are sent again.")
    warm_up_s: float = Field(5.0, description="Ready at the latest then, whatever is dead: a flag must find a way in.")

    routine_max: int = Field(128, description="Routine requests at once; beyond it they are refused and flags are not.")
    routine_operations: int = Field(
        24, description="How many of the store's connections routine requests may hold; the rest is kept for flags."
    )
    page_max: int = Field(50, description="Records in one page of a list.")
    cards_max: int = Field(100_000, description="Patients whose routing codes are kept in memory.")

    express_heartbeat_s: float = Field(10.0, description="How often the express lane says hello to each replica.")
    express_attempt_s: float = Field(1.0, description="How long one POST of the express lane may take.")
    express_posts: int = Field(4, description="POSTs under way to one replica.")
    express_queue: int = Field(10_000, description="Flags waiting for one replica; the oldest fails beyond it.")
    kafka_request_s: float = Field(1.0, description="How long Kafka may take to acknowledge a flag.")
