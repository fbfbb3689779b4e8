"""Settings of intake's own, from the environment: VIGIL_INTAKE_…"""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class IntakeSettings(BaseSettings):
    """Intake's own settings; seconds and numbers."""

    model_config = SettingsConfigDict(env_prefix="VIGIL_INTAKE_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8101, description="Port to listen on.")
    instruments_dir: Path | None = Field(None, description="Directory with a deployment's own instrument files (*.yaml).")
    licences_acknowledged: str = Field(
        "", description="Ids of instruments whose licence somebody here has agreed to, comma-separated; others are refused."
    )
    prorate: bool = Field(False, description="Whether a sheet with few missing answers gets an estimated total.")

    flagged_answer_s: float = Field(1.0, description="How long the answer to a flagged sheet may take, from its acceptance.")
    routine_answer_s: float = Field(3.0, description="How long the answer to any other sheet may take.")
    routing_read_s: float = Field(0.025, description="How long a flag waits for routing codes that are not in memory.")
    rescan_s: float = Field(1.0, description="How often stored flags without both lanes' confirmation are sent again.")
    draft_abandoned_s: float = Field(
        900.0, description="A draft that nobody goes on with for so long is judged by what it leaves open."
    )
    draft_look_s: float = Field(15.0, description="How often abandoned drafts are looked for.")
    warm_up_s: float = Field(5.0, description="Ready at the latest then, whatever is dead: a flag must find a way in.")

    routine_max: int = Field(128, description="Routine requests at once; beyond it they are refused and flags are not.")
    routine_operations: int = Field(
        24, description="How many of the store's connections routine requests may hold; the rest is kept for flags."
    )
    page_max: int = Field(50, description="Records in one page of a list.")
    cards_max: int = Field(100_000, description="Patients whose routing codes are kept in memory.")

    kek_look_s: float = Field(5.0, gt=0, description="How often the file of key-encryption keys is looked at.")
    rewrap_s: float = Field(10.0, gt=0, description="How often a page of data keys is wrapped anew after a rotation.")
    rewrap_batch: int = Field(100, ge=1, description="Data keys in such a page.")

    express_heartbeat_s: float = Field(10.0, description="How often the express lane says hello to each replica.")
    express_attempt_s: float = Field(1.0, description="How long one POST of the express lane may take.")
    express_posts: int = Field(4, description="POSTs under way to one replica.")
    express_queue: int = Field(10_000, description="Flags waiting for one replica; the oldest fails beyond it.")
    kafka_request_s: float = Field(1.0, description="How long Kafka may take to acknowledge a flag.")

    @property
    def acknowledged(self) -> frozenset[str]:
        """Ids of instruments whose licence is acknowledged."""
        return frozenset(name.strip() for name in self.licences_acknowledged.split(",") if name.strip())
