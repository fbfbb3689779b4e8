"""Settings of sessions, from the environment: VIGIL_SESSIONS_…"""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.sessions.domain.times import DEFAULT, Times


class SessionsSettings(BaseSettings):
    """What sessions alone is told; the deployment's own are read by the chassis. Where a rule's number comes from: `Times`."""

    model_config = SettingsConfigDict(env_prefix="VIGIL_SESSIONS_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8102, description="Port to listen on.")

    late_s: float = Field(DEFAULT.late_s, ge=0, description="Seconds after the start from which on somebody is late.")
    missed_s: float = Field(DEFAULT.missed_s, gt=0, description="Seconds after the start at which a session is missed.")
    partial_share: float = Field(
        DEFAULT.partial_share, ge=0, le=1, description="Present for less than this share of the minutes is partial attendance."
    )
    excuse_notice_s: float = Field(
        DEFAULT.excuse_notice_s, ge=0, description="Notice in seconds with which patients may excuse themselves."
    )
    dropped_s: float = Field(
        DEFAULT.dropped_s, gt=0, description="Seconds for which somebody is lost in a session before it is told."
    )
    close_after_s: float = Field(
        DEFAULT.close_after_s,
        ge=0,
        description="Seconds after the planned end at which a session is closed that nobody closed.",
    )
    join_early_s: float = Field(DEFAULT.join_early_s, ge=0, description="Seconds before the start from which on one may join.")
    backlog_s: float = Field(
        DEFAULT.backlog_s, gt=0, description="Found due later than this, missed sessions are one flag per patient and day."
    )
    plan_past_s: float = Field(
        DEFAULT.plan_past_s, ge=0, description="How long ago a session may have begun that a plan heard of late still makes."
    )
    due_look_s: float = Field(0.25, gt=0, description="How often due places are looked for.")
    due_page: int = Field(200, ge=1, description="Due places that are read at once.")
    due_at_once: int = Field(16, ge=1, description="Patients whose due places are changed at once.")

    due_alarm_s: float = Field(30.0, gt=0, description="Nobody has looked for due places for so long: an alarm rings.")

    home_zone: str = Field("America/New_York", description="Time zone of patients of whom none is known.")
    plan_weeks: int = Field(12, ge=1, le=52, description="Weeks of a care plan that names no number.")
    group_capacity: int = Field(12, ge=1, description="Patients in a group session without a group, and in a new group.")
    page_max: int = Field(100, ge=1, description="Sessions in one page of a list.")
    kek_look_s: float = Field(5.0, gt=0, description="How often the file of key-encryption keys is looked at.")
    key_wait_s: float = Field(
        2.0, ge=0, description="How long a join waits for the key that seals a location, of a patient who is new."
    )

    rooms: str = Field(
        "memory", pattern="^(memory|jitsi)$", description="Who provides teletherapy rooms: jitsi, or memory (links to nowhere)."
    )
    jitsi_url: str = Field("https://meet.example.org", description="Base URL of the Jitsi deployment.")
    jitsi_app_id: str = Field("vigil", description="Application id in Jitsi's tokens: their issuer.")
    jitsi_key_file: Path | None = Field(None, description="File with the secret that Jitsi's tokens are signed with.")
    room_webhook_key_file: Path | None = Field(
        None, description="File with the key that the rooms' callbacks are signed with; without it they are refused."
    )

    @property
    def times(self) -> Times:
        """The times that the rules know."""
        return Times(
            late_s=self.late_s,
            missed_s=self.missed_s,
            partial_share=self.partial_share,
            excuse_notice_s=self.excuse_notice_s,
            dropped_s=self.dropped_s,
            close_after_s=self.close_after_s,
            join_early_s=self.join_early_s,
            backlog_s=self.backlog_s,
            plan_past_s=self.plan_past_s,
        )
