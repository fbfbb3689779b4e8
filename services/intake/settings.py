"""Settings of intake, from the environment: VIGIL_… of the deployment, VIGIL_INTAKE_… of its own."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class DeploymentSettings(BaseSettings):
    """What intake shares with the other services of its deployment."""

    model_config = SettingsConfigDict(env_prefix="VIGIL_", frozen=True, extra="ignore")

    kafka_bootstrap: str = "127.0.0.1:29092"
    kafka_security_file: Path | None = None
    mongo_uri: str = "mongodb://127.0.0.1:29017/?replicaSet=rs0"
    mongo_driver: str = "pymongo"
    topic_prefix: str = Field("vigil", pattern=r"^[A-Za-z0-9._-]{1,60}$")
    programme_id: str = Field("default", max_length=64)
    crisis_urls: str = "http://127.0.0.1:8103,http://127.0.0.1:8113"
    service_token_file: Path
    dev_issuer_key_file: Path

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

    host: str = "127.0.0.1"
    port: int = 8101
    home_country: str = Field("US", pattern=r"^[A-Z]{2}$")
    prorate: bool = False

    # How long a caller waits, from the acceptance of the answer.
    flagged_answer_s: float = 1.0
    routine_answer_s: float = 3.0
    routing_read_s: float = 0.025
    rescan_s: float = 1.0
    # Ready at the latest then, whatever is dead: a flag must find a way in.
    warm_up_s: float = 5.0

    # Routine requests at once, and how many of the store's connections they may hold; the rest is kept for flags.
    routine_max: int = 128
    routine_operations: int = 24
    page_max: int = 50
    cards_max: int = 100_000

    express_heartbeat_s: float = 10.0
    express_attempt_s: float = 1.0
    express_posts: int = 4
    express_queue: int = 10_000
    kafka_request_s: float = 1.0
