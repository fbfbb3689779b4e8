"""Settings of one crisis replica, from the environment (prefix VIGIL_CRISIS_) and the deployment's shared names."""

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.crisis.domain.page_text import LIMIT, page_text
from shared.chassis.settings import DeploymentSettings

# A page has to fit into one message whatever the level; a link is `<public url>/a/<40 characters>`.
_LONGEST_PAGE = len(page_text("imminent", "0" * 6, 0.0, "UTC", f"/a/{'0' * 40}"))
PUBLIC_URL_MAX = LIMIT - _LONGEST_PAGE
# Characters that count once in GSM-7 and can stand in a URL.
_GSM_URL = re.compile(r"https?://[A-Za-z0-9.:/_-]+")


class SharedSettings(DeploymentSettings):
    """What crisis is told of its deployment: what every service is, and the account at the provider of pages."""

    twilio_base_url: str = Field("http://127.0.0.1:8190", description="Where the SMS and voice provider's API is.")
    twilio_account_sid: str = Field("AC00000000000000000000000000000000", description="The provider account's id.")
    twilio_auth_token_file: Path = Field(description="File with the account's token; callbacks are signed with it too.")
    twilio_sender: str = Field("+15550000000", description="The number that this service's messages come from, E.164.")


class CrisisSettings(BaseSettings):
    """What one replica has of its own."""

    model_config = SettingsConfigDict(env_prefix="VIGIL_CRISIS_", frozen=True, extra="ignore")

    ordinal: int = Field(0, ge=0, description="Which of `peers` this replica is, from 0.")
    peers: str = Field("http://127.0.0.1:8103", description="Base URLs of all replicas in ordinal order, comma-separated.")
    listeners: str = Field(
        "", description="Base URLs of listeners outside the ranks: they hear flags and facts, and never act."
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8103, ge=1, le=65535, description="Port to listen on.")
    journal_dir: Path = Field(description="Directory of this replica's journal and bookmark, on a disk of its own.")
    roster_file: Path = Field(description="JSON file with people, contact methods and policies.")
    link_key_file: Path = Field(description="File with the key of one-tap links, the same for all replicas, 16 bytes or more.")
    public_url: str = Field("http://127.0.0.1:8103", description="Base URL of one-tap links as a phone reaches it.")
    step_s: float | None = Field(None, gt=0, description="Seconds between a policy's steps instead of the roster's own.")
    second_to_reduce: bool = Field(
        False,
        description="Whether closing a case below the level of a high or imminent flag needs a second clinician, as lowering does.",
    )
    webhook_key_file: Path | None = Field(
        None, description="File with the key that signs webhook pages, 16 bytes or more; none = no pages by webhook."
    )
    smtp_host: str = Field("", max_length=253, description="Mail server that pages are handed in at; empty = no pages by mail.")
    smtp_port: int = Field(587, ge=1, le=65535, description="Port of the mail server.")
    smtp_sender: str = Field("vigil@localhost", max_length=254, description="Address that mail comes from.")
    smtp_tls: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="How the mail server's connection is secured: starttls (587), tls (465), none (loopback only)."
    )
    smtp_username: str = Field("", max_length=254, description="Who logs in at the mail server; empty = nobody.")
    smtp_password_file: Path | None = Field(None, description="File with that password.")

    @field_validator("step_s", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("public_url")
    @classmethod
    def _fits_into_a_page(cls, value: str) -> str:
        url = value.rstrip("/")
        if len(url) > PUBLIC_URL_MAX or not _GSM_URL.fullmatch(url):
            raise ValueError(
                f"give a URL of at most {PUBLIC_URL_MAX} plain characters, so that a page fits into {LIMIT} of GSM-7"
            )
        return url

    @model_validator(mode="after")
    def _is_one_of_its_peers(self) -> Self:
        if self.ordinal >= len(self.peer_urls):
            raise ValueError("ordinal must be the place, from 0, of this replica's own URL in VIGIL_CRISIS_PEERS")
        if len(set(self.peer_urls)) != len(self.peer_urls):
            raise ValueError("VIGIL_CRISIS_PEERS names a replica twice")
        return self

    @property
    def peer_urls(self) -> tuple[str, ...]:
        """Base URLs of all replicas."""
        return tuple(url.strip().rstrip("/") for url in self.peers.split(",") if url.strip())

    @property
    def listener_urls(self) -> tuple[str, ...]:
        """Base URLs of listeners outside the ranks."""
        return tuple(url.strip().rstrip("/") for url in self.listeners.split(",") if url.strip())
