"""What every service of a deployment is told by its environment: servers, names, tokens, traces."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class DeploymentSettings(BaseSettings):
    """What all services of one deployment share, from VIGIL_…; a service with more of it derives a class of its own."""

    model_config = SettingsConfigDict(env_prefix="VIGIL_", frozen=True, extra="ignore")

    kafka_bootstrap: str = Field("127.0.0.1:29092", description="Kafka brokers, host:port, comma-separated.")
    kafka_security_file: Path | None = Field(None, description="JSON file with the SASL and TLS settings; none = plain text.")
    mongo_uri: str = Field("mongodb://127.0.0.1:29017/?replicaSet=rs0", description="MongoDB connection string.")
    mongo_driver: str = Field("pymongo", description="pymongo (its asyncio API) or motor.")
    topic_prefix: str = Field("vigil", pattern=r"^[A-Za-z0-9._-]{1,60}$", description="Prefix of topics, dead letters, groups.")
    programme_id: str = Field("default", max_length=64, description="The programme this deployment serves.")
    home_country: str = Field(
        "US", pattern=r"^[A-Z]{2}$", description="Whose emergency numbers are given when a patient's country is not known."
    )
    crisis_urls: str = Field(
        "http://127.0.0.1:8103,http://127.0.0.1:8113",
        description="Base URLs of every receiver of the express lane, comma-separated.",
    )
    service_token_file: Path = Field(description="File with this service's own bearer token.")
    kek_file: Path | None = Field(
        None, description="File with the key-encryption keys; without it nothing about a patient is stored, and flags still go."
    )
    dev_issuer_key_file: Path = Field(description="File with the key that bearer tokens are verified with.")

    otlp_endpoint: str = Field("", description="Base URL of an OTLP/HTTP receiver of traces; empty = no traces are made.")
    trace_routine_ratio: float = Field(
        0.1, ge=0, le=1, description="Share of routine requests and events that are traced; whatever carries a flag always is."
    )
    trace_queue: int = Field(
        2048, ge=1, description="Spans waiting for the receiver; what comes beyond it is counted and lost."
    )

    @property
    def receivers(self) -> tuple[str, ...]:
        """Base URLs of every receiver of the express lane."""
        return tuple(url.strip().rstrip("/") for url in self.crisis_urls.split(",") if url.strip())

    def database(self, service: str) -> str:
        """The name of a service's database: a deployment's prefix keeps it apart from others on the same server."""
        return f"{self.topic_prefix.replace('.', '_')}_{service}"
